"""SQL cut into tokens, as far as templates and completion need it: what is text or comment, and what is not.

It reads any text, also half a query: what is not closed goes to the end.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

BRACKETED = frozenset({"tsql", "mssql"})
"""Dialects in which ``[name]`` is a name; in the others it is an array."""


class Kind(Enum):
    """What a token is."""

    WORD = auto()
    """A keyword, or a name without quotes; with ``@``, ``#`` or ``$`` before it."""
    NAME = auto()
    """A quoted name, with its quotes."""
    STRING = auto()
    COMMENT = auto()
    NUMBER = auto()
    TEMPLATE = auto()
    """``{{``, an expression of Python, and ``}}``."""
    SYMBOL = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a text: ``text[start:end]``."""

    kind: Kind
    start: int
    end: int
    text: str

    @property
    def word(self) -> str:
        """In small letters if it is a word, else empty."""
        return self.text.lower() if self.kind is Kind.WORD else ""


# A doubled quote inside a string or name ends one and begins the next one, which comes to the same here.
_COMMON = [
    (Kind.COMMENT, r"--[^\n]*"),
    (Kind.STRING, r"'[^']*'?"),
    (Kind.NAME, r'"[^"]*"?'),
    (Kind.NUMBER, r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"),
    (Kind.WORD, r"[@\#$]*[^\W\d][\w$\#@]*"),
]
_ONLY = {
    True: [(Kind.NAME, r"\[(?:[^\]]|\]\])*+\]?")],
    # Strings of PostgreSQL and DuckDB: with backslashes, and between dollars.
    False: [(Kind.STRING, r"[eE]'(?:[^'\\]|\\.)*+'?"), (Kind.STRING, r"\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z)")],
}


def _pattern(bracketed: bool) -> re.Pattern[str]:
    parts = [f"(?P<{kind.name}_{place}>{rule})" for place, (kind, rule) in enumerate([*_ONLY[bracketed], *_COMMON])]
    return re.compile("|".join(parts), re.DOTALL)


_PATTERNS = {bracketed: _pattern(bracketed) for bracketed in (True, False)}
_SPACE = re.compile(r"\s+")
_COMMENT_ENDS = re.compile(r"/\*|\*/")


def tokens(text: str, dialect: str = "tsql") -> Iterator[Token]:
    """The tokens of a text, without white space.

    Parameters
    ----------
    dialect
        Of the service: ``tsql``, ``duckdb``, ``postgresql`` …
    """
    pattern = _PATTERNS[dialect in BRACKETED]
    position = 0
    while position < len(text):
        if space := _SPACE.match(text, position):
            position = space.end()
            continue
        kind, end = _token_at(text, position, pattern)
        yield Token(kind, position, end, text[position:end])
        position = end


def _token_at(text: str, position: int, pattern: re.Pattern[str]) -> tuple[Kind, int]:
    if text.startswith("{{", position):
        return Kind.TEMPLATE, template_end(text, position)
    if text.startswith("/*", position):
        return Kind.COMMENT, _comment_end(text, position)
    if (found := pattern.match(text, position)) and found.lastgroup:
        name = next(name for name, value in found.groupdict().items() if value is not None and name != "tag")
        return Kind[name.rpartition("_")[0]], found.end()
    return Kind.SYMBOL, position + 1


def _comment_end(text: str, start: int) -> int:
    """Comments may contain comments."""
    depth = 0
    for mark in _COMMENT_ENDS.finditer(text, start):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(text)


def template_end(text: str, start: int) -> int:
    """Where the template at `start` ends.

    It is the first ``}}`` before which a whole expression of Python stands, since dictionaries and strings have braces
    too; the very first one if there is none such.
    """
    closing = first = text.find("}}", start + 2)
    while closing != -1:
        # Of {{ {1: {2: 3}} }} the last two braces count, also where a third one touches them.
        for end in (closing + 2, closing + 3):
            if text[end - 2 : end] == "}}" and _is_expression(text[start + 2 : end - 2]):
                return end
        closing = text.find("}}", closing + 2)
    return first + 2 if first != -1 else len(text)


def _is_expression(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            # Of text that is only tried.
            warnings.simplefilter("ignore")
            compile(text.strip(), "<template>", "eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
