"""``{{expression}}`` in SQL: the value is bound as a parameter, and never becomes part of the text that is parsed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from SciServer.magics import values
from SciServer.magics.errors import MagicError, excerpt, offset_of, place_of, said
from SciServer.magics.sqltext import BRACKETED, Kind, Token, tokens

MOST = 1000
"""Parameters of one query, by the service's own limit."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A template, and what stands in its place in the SQL that is sent.

    Attributes
    ----------
    start, end
        Of the template in the user's text.
    sql
        Names of parameters; never a value.
    """

    start: int
    end: int
    sql: str


@dataclass(frozen=True)
class Query:
    """SQL as it is sent.

    Attributes
    ----------
    text
        As the user wrote it.
    first_line
        Number of the text's first line, for the user: 2 in a cell that begins with ``%%casjobs``.
    """

    text: str
    sql: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    pieces: tuple[Piece, ...] = ()
    first_line: int = 1

    def origin(self, line: int, column: int) -> tuple[int, int]:
        """Where in the user's text a place of `sql` is; inside a template, where that begins."""
        wanted = offset_of(self.sql, line, column)
        moved = 0
        for piece in self.pieces:
            start = piece.start + moved
            if wanted < start:
                break
            if wanted < start + len(piece.sql):
                return place_of(self.text, piece.start)
            moved += len(piece.sql) - (piece.end - piece.start)
        return place_of(self.text, wanted - moved)

    def excerpt(self, line: int, column: int) -> list[str]:
        """The user's line with a caret, for a place of `sql`."""
        return excerpt(self.text, *self.origin(line, column), first_line=self.first_line)


def bind(
    text: str,
    evaluate: Callable[[str], object],
    *,
    dialect: str = "tsql",
    first_line: int = 1,
) -> Query:
    """Put parameters in the place of the templates.

    Parameters
    ----------
    text
        SQL. Templates inside its strings, quoted names and comments are left as they are.
    evaluate
        Gives an expression its value.

    Raises
    ------
    MagicError
        An expression fails, or its value cannot be a parameter; the text names the expression and its place.
    """
    return _Binder(text, evaluate, dialect, first_line).query()


class _Binder:
    def __init__(self, text: str, evaluate: Callable[[str], object], dialect: str, first_line: int) -> None:
        self.text = text
        self.evaluate = evaluate
        self.sign = "@" if dialect in BRACKETED else "$"
        self.first_line = first_line
        self.tokens = [token for token in tokens(text, dialect) if token.kind is not Kind.COMMENT]
        # Names of variables have no case in T-SQL.
        self.taken = {token.word.lstrip("@$") for token in self.tokens if token.word.startswith(("@", "$"))}
        self.parameters: dict[str, object] = {}
        self.known: dict[str, object] = {}
        self.names: dict[str, list[str]] = {}

    def query(self) -> Query:
        pieces = [
            Piece(token.start, token.end, self.replaced(place, token))
            for place, token in enumerate(self.tokens)
            if token.kind is Kind.TEMPLATE
        ]
        return Query(self.text, "".join(self.joined(pieces)), self.parameters, tuple(pieces), self.first_line)

    def joined(self, pieces: list[Piece]) -> Iterator[str]:
        position = 0
        for piece in pieces:
            yield self.text[position : piece.start]
            yield piece.sql
            position = piece.end
        yield self.text[position:]

    def replaced(self, place: int, token: Token) -> str:
        """The names of the parameters of a template."""
        expression = self.expression(token)
        value = self.value(expression, token)
        before = [each.text.lower() for each in self.tokens[max(0, place - 2) : place]]
        if not isinstance(value, list):
            [name] = self.named(expression, [value], token)
            return f"({self.sign}{name})" if before[-1:] == ["in"] else self.sign + name
        after = self.tokens[place + 1].text if place + 1 < len(self.tokens) else ""
        inside = before[-2:] == ["in", "("] and after == ")"
        if before[-1:] != ["in"] and not inside:
            raise self.error(token, f"has {len(value)} values. A list can stand after IN only: in {token.text}.")
        if not value:
            raise self.error(token, "is empty, and IN needs one value at least.")
        if any(each is None for each in value):
            raise self.error(
                token,
                "has missing values, with which NOT IN finds nothing. Leave them out, e.g. with .dropna().",
            )
        names = ", ".join(self.sign + name for name in self.named(expression, value, token))
        return names if inside else f"({names})"

    def expression(self, token: Token) -> str:
        if not token.text.endswith("}}") or len(token.text) < 4:
            raise self.error(token, "has no end: write }} behind the expression.")
        expression = token.text[2:-2].strip()
        if not expression:
            raise self.error(token, "is empty: write an expression of Python between the braces.")
        return expression

    def value(self, expression: str, token: Token) -> object:
        """What may be sent; a list if there are several. The same expression is evaluated once."""
        if expression not in self.known:
            try:
                value = self.evaluate(expression)
            except Exception as error:
                raise self.error(token, f"cannot be evaluated: {type(error).__name__}: {said(error)}") from error
            try:
                self.known[expression] = values.plain(value)
            except values.Refused as error:
                raise self.error(token, str(error)) from None
        return self.known[expression]

    def named(self, expression: str, found: list[object], token: Token) -> list[str]:
        """Names for these values of an expression."""
        if expression in self.names:
            return self.names[expression]
        if len(self.parameters) + len(found) > MOST:
            raise self.error(
                token,
                f"makes more than {MOST} parameters. Upload the values as a table and join it: "
                "%casjobs upload NAME VARIABLE",
            )
        stem = expression.lower() if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", expression) else "value"
        self.names[expression] = [self.free(stem, len(found) > 1, number) for number in range(1, len(found) + 1)]
        self.parameters |= dict(zip(self.names[expression], found, strict=True))
        return self.names[expression]

    def free(self, stem: str, several: bool, number: int) -> str:
        """A name that is not in use."""
        name = wanted = f"{stem}_{number}" if several else stem
        count = 1
        while name in self.taken:
            count += 1
            name = f"{wanted}_{count}"
        self.taken.add(name)
        return name

    def error(self, token: Token, what: str) -> MagicError:
        line, column = place_of(self.text, token.start)
        shown = " ".join(token.text.split())
        shown = shown if len(shown) <= 80 else shown[:79] + "…"
        place = f"line {line + self.first_line - 1}, column {column}"
        return MagicError(f"{shown} ({place}) {what}", *excerpt(self.text, line, column, first_line=self.first_line))


def in_strings(query: Query, dialect: str = "tsql") -> list[str]:
    """Strings of a query that look as if a template was meant, which users of text templates put between quotes."""
    return [
        token.text
        for token in tokens(query.text, dialect)
        if token.kind is Kind.STRING and re.search(r"\{\{\s*\w[^{}]*\}\}", token.text)
    ]
