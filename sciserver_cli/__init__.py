"""`sciserver`: the operator's command."""
