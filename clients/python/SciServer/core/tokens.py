"""Where the token comes from. It is looked up for each request, because the platform renews it in the file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ENVIRONMENT = "SCISERVER_TOKEN"

IDENT = "--ident="
"""Begin of an argument on the command line that has a token (contract §0.2)."""


class Token:
    """A token that does not show itself: in tracebacks and notebooks it is ``<token>``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The token itself."""
        return self._value

    @property
    def is_possible(self) -> bool:
        """Whether it can stand in a header: visible ASCII, and nothing else."""
        return all("!" <= letter <= "~" for letter in self._value)

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

    In this order: `explicit`; the token file, and where there is one nothing else, as in contract §0.2; `remember`;
    ``--ident=`` on the command line; the environment variable ``SCISERVER_TOKEN``.
    """
    if explicit is not None:
        return explicit
    if Path(path).is_file():
        return read_file(path)
    arguments = [argument.removeprefix(IDENT) for argument in sys.argv if argument.startswith(IDENT)]
    others = (*reversed(arguments), os.environ.get(ENVIRONMENT, ""))
    return _Memory.token or next((Token(text.strip()) for text in others if text.strip()), None)
