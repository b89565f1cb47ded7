"""What the tests of the Jupyter server extensions share; the tests themselves are in `server_extensions/*/tests`."""
