"""Users' SQL, translated for the engine that runs it."""
