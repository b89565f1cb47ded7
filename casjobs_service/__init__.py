"""CasJobs: SQL on science databases, with a private database (MyDB) for everybody."""
