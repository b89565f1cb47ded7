"""Errors as somebody in a notebook sees them: what is wrong, where, and what to do; no traceback unless asked for."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from IPython.core.error import UsageError
from IPython.core.getipython import get_ipython

WIDEST = 100
"""Characters of a line of SQL that are shown; of a longer one the part around the place."""


class Message:
    """What is shown of an error, instead of its traceback.

    IPython calls an exception's ``_render_traceback_``, if it has one. The first call is the error's own cell; a later
    one comes from ``%tb``, and is answered with the traceback.

    Parameters
    ----------
    error
        What has happened. It holds this object, so that it does not matter who shows it.
    lines
        To show.
    """

    def __init__(self, error: BaseException, lines: Sequence[str]) -> None:
        self.error = error
        self.lines = list(lines)
        self.shown = False

    def __call__(self) -> list[str]:
        shell = get_ipython()
        if not self.shown or shell is None:
            self.shown = True
            return self.lines
        found: list[str] = shell.InteractiveTB.structured_traceback(
            type(self.error), self.error, self.error.__traceback__
        )
        return found


class MagicError(UsageError):
    """A magic was called in a way that cannot work; the text says what to do."""

    def __init__(self, message: str, *excerpt: str) -> None:
        super().__init__(message)
        self._render_traceback_ = Message(self, [message, *excerpt])


def shown_as(error: BaseException, lines: Sequence[str]) -> BaseException:
    """The same error, of which IPython shows these lines.

    Its type and attributes stay as they are, for ``except QueryError as error``. Its frames are dropped: those of the
    client have nothing to say about a refused query, and ``%xmode Verbose`` would show what is in them, the token too.
    """
    error._render_traceback_ = Message(error, lines)  # type: ignore[attr-defined]
    error.__suppress_context__ = True
    return error.with_traceback(None)


def excerpt(text: str, line: int, column: int, *, first_line: int = 1) -> list[str]:
    """A line of a text with a caret below the place.

    Parameters
    ----------
    line, column
        From 1; a place behind the end is the end.
    first_line
        Number that the text's first line has for the user.
    """
    lines = text.split("\n")
    line = min(max(line, 1), len(lines))
    shown = lines[line - 1].rstrip("\r").replace("\t", " ")
    column = min(max(column, 1), len(shown) + 1)
    if len(shown) > WIDEST:
        start = max(0, min(column - 1 - WIDEST // 2, len(shown) - WIDEST))
        before, after = "…" * (start > 0), "…" * (start + WIDEST < len(shown))
        shown, column = before + shown[start : start + WIDEST] + after, column - start + len(before)
    number = str(line + first_line - 1)
    gap = " " * sum(_width(letter) for letter in shown[: column - 1])
    return [f"  {number} | {shown}", f"  {' ' * len(number)} | {gap}^"]


def _width(letter: str) -> int:
    """Cells of a terminal, and of a fixed-width font."""
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def place_of(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of a position in a text."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def offset_of(text: str, line: int, column: int) -> int:
    """The opposite of `place_of`; places that do not exist become the nearest ones."""
    lines = text.split("\n")
    line = min(max(line, 1), len(lines))
    return sum(len(each) + 1 for each in lines[: line - 1]) + min(max(column - 1, 0), len(lines[line - 1]))


def said(error: Any) -> str:
    """What an error says, in a line that follows a colon."""
    return " ".join(str(error).split()) or type(error).__name__
