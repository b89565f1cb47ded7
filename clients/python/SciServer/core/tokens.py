"""Where the token comes from. It is looked up for each request, because the platform renews it in the file."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT = "SCISERVER_TOKEN"


class Token:
    """A token that does not show itself: in tracebacks and notebooks it is ``<token>``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The token itself."""
        return self._value

    def __repr__(self) -> str:
        return "<token>"


class _Memory:
    """What this process was given by `remember`."""

    token: Token | None = None


def remember(token: str | None) -> None:
    """Use `token` in this process where there is no token file; None forgets it."""
    _Memory.token = Token(token) if token else None


def read_file(path: str) -> Token | None:
    """The token in a file; None if there is no such file, or nothing in it (contract §0.2)."""
    try:
        text = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Token(text) if text else None


def find(path: str, explicit: Token | None = None) -> Token | None:
    """The token to use now.

    In this order: `explicit`; the token file; `remember`; the environment variable ``SCISERVER_TOKEN``.
    """
    if explicit is not None:
        return explicit
    from_environment = os.environ.get(ENVIRONMENT, "").strip()
    return read_file(path) or _Memory.token or (Token(from_environment) if from_environment else None)
