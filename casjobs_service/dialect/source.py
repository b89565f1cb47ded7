"""The user's text, and errors that point into it."""

from __future__ import annotations

import bisect
import difflib
import re
from collections.abc import Iterable

from sqlglot import exp

from casjobs_service.dialect.tsql import START
from casjobs_service.errors import Kind, QueryError

_OPEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\[[^\]]*\]|--[^\n]*|/\*|'|\"|\[")
_COMMENT = re.compile(r"/\*|\*/")


class Source:
    """A script, by whose offsets places are found."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = [0]
        self._lines.extend(index + 1 for index, character in enumerate(text) if character == "\n")

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a character, both from 1."""
        line = bisect.bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def error(
        self,
        message: str,
        kind: Kind,
        at: exp.Expr | int | None = None,
        hint: str = "",
    ) -> QueryError:
        """An error at a node or an offset; to be raised by the caller."""
        offset = start_of(at) if isinstance(at, exp.Expr) else at
        if offset is None:
            return QueryError(message, kind, hint=hint)
        line, column = self.place(offset)
        return QueryError(message, kind, line, column, hint)

    def unclosed(self) -> QueryError:
        """Which quote, bracket or comment has no end; to be raised by the caller."""
        place = 0
        while match := _OPEN.search(self.text, place):
            if match[0] == "/*":
                depth, at = 1, match.end()
                while depth and (inner := _COMMENT.search(self.text, at)):
                    depth += 1 if inner[0] == "/*" else -1
                    at = inner.end()
                if depth:
                    return self.error("A comment is not closed.", Kind.SYNTAX, match.start(), "End it with */.")
                place = at
                continue
            if len(match[0]) == 1:
                what = {"'": "A text", '"': "A quoted name", "[": "A bracket"}[match[0]]
                return self.error(f"{what} is not closed.", Kind.SYNTAX, match.start())
            place = match.end()
        return self.error("A quote, a bracket or a comment is not closed.", Kind.SYNTAX)


def start_of(node: exp.Expr) -> int | None:
    """Offset of the first character of a node, as near as is known."""
    current: exp.Expr | None = node
    while current is not None:
        # An operator starts where its left side does; of what has no place, the node around it is asked.
        first = min(
            (inner.meta[START] for inner in current.walk() if inner._meta and START in inner._meta), default=None
        )
        if first is not None:
            return int(first)
        current = current.parent
    return None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """`` Did you mean …?`` for the nearest candidate, or nothing."""
    spelled = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(name.lower(), spelled, 1, 0.7)
    return f"Did you mean {spelled[near[0]]}?" if near else ""


def literal_text(node: exp.Expr | None) -> str | None:
    """Content of a text in quotes, ``'…'`` or ``N'…'``; None for everything else."""
    if isinstance(node, exp.National):
        return str(node.this)
    return node.name if isinstance(node, exp.Literal) and node.is_string else None
