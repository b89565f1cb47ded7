"""What three or more parts of the distribution share: where a deployment lives and its secrets."""

__version__ = "0.1.0"
