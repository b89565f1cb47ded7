"""What the operator is told when a command cannot go on."""

from __future__ import annotations


class OperatorError(Exception):
    """A command cannot go on; the text says why and what to do. Ends the command with status 1, no traceback."""
