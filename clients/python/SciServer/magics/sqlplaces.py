"""Which names fit at a place in SQL: found out of the words around it, since the query is not finished yet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from SciServer.magics.sqltext import Kind, Token, tokens

_COMMON = """
    select distinct top into from where group by having order asc desc inner left right full outer cross join apply on
    and or not in exists between like is null as case when then else end union all except intersect with over partition
    insert values update set delete create table view drop declare cast convert
"""
KEYWORDS = _COMMON.split()
_KEYWORDS = frozenset([*KEYWORDS, "limit", "offset", "option", "for", "using", "tablesample", "pivot", "go"])
_BEFORE_TABLES = frozenset({"from", "join", "apply", "update", "table"})
_PREFIX = re.compile(r"[@#$]?[^\W\d][\w$#@]*\Z|\Z")


@dataclass(frozen=True)
class Source:
    """A table, or a function that returns one, behind FROM or JOIN.

    Attributes
    ----------
    path
        The parts of its name; empty ones as in ``db..table`` are left out.
    alias
        Its own name if it has no other.
    """

    path: tuple[str, ...]
    alias: str
    is_function: bool = False

    def place(self, default: str) -> tuple[str, str]:
        """Context and name."""
        first = self.path[0]
        return (first if len(self.path) > 1 and first.lower() != "dbo" else default, self.path[-1])


@dataclass(frozen=True)
class Place:
    """Where a cursor stands.

    Attributes
    ----------
    kind
        ``nothing``, ``python`` (in a template), ``table`` (behind FROM and the like), ``target`` (behind INTO), or
        ``value``.
    prefix
        The beginning of a name before the cursor.
    path
        Names before it, with dots: ``("p",)`` of ``p.ra``.
    """

    kind: str
    prefix: str = ""
    path: tuple[str, ...] = ()
    sources: tuple[Source, ...] = field(default=())


def place(text: str, cursor: int, dialect: str = "tsql") -> Place:
    """What could stand at the cursor."""
    all_tokens = list(tokens(text, dialect))
    inside = next(
        (token for token in all_tokens if token.start < cursor <= token.end and _closed_off(token, cursor)), None
    )
    if inside is not None and inside.kind is Kind.TEMPLATE:
        return Place("python", text[inside.start + 2 : cursor])
    if inside is not None:
        return Place("nothing")
    prefix = (_PREFIX.search(text[:cursor]) or [""])[0]
    code = [token for token in all_tokens if token.kind is not Kind.COMMENT]
    before = [token for token in code if token.end <= cursor - len(prefix)]
    path, before = _path_before(before)
    found = _statement(code, cursor)
    kind = _kind(before)
    return Place(kind, prefix, path, tuple(sources(found)))


def _closed_off(token: Token, cursor: int) -> bool:
    """Whether the cursor is inside something in which no name of SQL can stand."""
    if token.kind is Kind.COMMENT:
        return cursor < token.end or token.text.startswith("--") or not token.text.endswith("*/")
    if token.kind is Kind.TEMPLATE:
        return cursor < token.end - 1 or not token.text.endswith("}}")
    if token.kind is Kind.STRING:
        return cursor < token.end or len(token.text) == 1 or not token.text.endswith(("'", "$"))
    return token.kind is Kind.NUMBER


def _path_before(before: list[Token]) -> tuple[tuple[str, ...], list[Token]]:
    """The dotted names at the end, and what is before them."""
    parts: list[str] = []
    place = len(before)
    while place and before[place - 1].text == ".":
        place -= 1
        if place and before[place - 1].kind in {Kind.WORD, Kind.NAME}:
            place -= 1
            parts.append(plain(before[place]))
    return tuple(reversed(parts)), before[:place]


def _statement(code: Sequence[Token], cursor: int) -> list[Token]:
    """The tokens between the semicolons around the cursor."""
    ends = [token.end for token in code if token.text == ";"]
    start = max((end for end in ends if end <= cursor), default=0)
    stop = min((end for end in ends if end > cursor), default=None)
    return [token for token in code if token.start >= start and (stop is None or token.end <= stop)]


def _kind(before: Sequence[Token]) -> str:
    """By the keyword that rules a place; in a list of tables a comma goes on with it."""
    if not before:
        return "value"
    last = before[-1]
    if last.word in _BEFORE_TABLES:
        return "table"
    if last.word == "into":
        return "target"
    if last.text != ",":
        return "value"
    depth = 0
    for token in reversed(before):
        depth += {")": 1, "(": -1}.get(token.text, 0)
        if depth < 0:
            return "value"
        if depth == 0 and token.word in _KEYWORDS and token.word != "as":
            return "table" if token.word == "from" else "value"
    return "value"


def sources(code: Sequence[Token]) -> list[Source]:
    """The tables of a statement, also those of its subqueries."""
    found = []
    expecting = False
    depth_of_list: list[int] = []
    depth = place = 0
    while place < len(code):
        token = code[place]
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if token.word in _BEFORE_TABLES:
            expecting = True
            depth_of_list = [*(each for each in depth_of_list if each < depth), depth]
        elif token.text == "," and depth_of_list and depth_of_list[-1] == depth:
            expecting = True
        elif token.word in _KEYWORDS and token.word not in {"as", "on"}:
            depth_of_list = [each for each in depth_of_list if each < depth]
            expecting = False
        elif expecting and token.kind in {Kind.WORD, Kind.NAME}:
            source, place = _source(code, place)
            found.append(source)
            expecting = False
            continue
        else:
            expecting = False
        place += 1
    return found


def _source(code: Sequence[Token], place: int) -> tuple[Source, int]:
    """A table that begins here, and the place behind it and its alias."""
    path = []
    while place < len(code) and code[place].kind in {Kind.WORD, Kind.NAME}:
        path.append(plain(code[place]))
        place += 1
        dots = place
        while place < len(code) and code[place].text == ".":
            place += 1
        if place == dots:
            break
    is_function = place < len(code) and code[place].text == "("
    if is_function:
        place = _behind(code, place)
    alias = path[-1]
    after = place + 1 if place < len(code) and code[place].word == "as" else place
    if after < len(code) and code[after].kind in {Kind.WORD, Kind.NAME} and code[after].word not in _KEYWORDS:
        alias, place = plain(code[after]), after + 1
    return Source(tuple(path), alias, is_function), place


def _behind(code: Sequence[Token], place: int) -> int:
    """The place behind the parenthesis that opens here."""
    depth = 0
    for number in range(place, len(code)):
        depth += {"(": 1, ")": -1}.get(code[number].text, 0)
        if depth == 0:
            return number + 1
    return len(code)


def plain(token: Token) -> str:
    """A name without its quotes."""
    if token.kind is not Kind.NAME:
        return token.text
    close = "]" if token.text.startswith("[") else '"'
    return token.text[1:].removesuffix(close).replace(close * 2, close)


def quoted(name: str, dialect: str = "tsql") -> str:
    """A name as it stands in SQL: with quotes if it needs them."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$#]*", name) and name.lower() not in _KEYWORDS:
        return name
    if dialect in {"tsql", "mssql"}:
        return "[" + name.replace("]", "]]") + "]"
    return '"' + name.replace('"', '""') + '"'
