"""T-SQL's functions of texts, and those of values of any type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from casjobs_service.dialect import types
from casjobs_service.dialect.comparison import align, as_type, pattern_of, regular, unify
from casjobs_service.dialect.conversion import convert, text
from casjobs_service.dialect.meaning import CALLS, POSTGRESQL, REFUSED, Call, Meaning, first, fixed, wrap
from casjobs_service.dialect.types import Type

Arguments = list[Any]


def _integer(meaning: Meaning, node: exp.Expr) -> exp.Expr:
    kind = meaning.type(node)
    return node if kind.kind in ("int", "smallint", "tinyint") else convert(meaning, node, types.INT)


def _is_count(node: exp.Expr, least: int = 0) -> bool:
    """A literal that needs no check."""
    return isinstance(node, exp.Literal) and node.name.isdigit() and int(node.name) >= least


def _texts(name: str) -> Call:
    """A function whose arguments are texts, and that the engines know."""

    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
        return meaning.call(name, *(text(meaning, argument) for argument in arguments))

    return Call(1, 1, fixed(types.STRING), rewrite)


def _trim(name: str) -> Call:
    """Only blanks are cut."""

    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
        value = text(meaning, arguments[0])
        return meaning.call(name, value) if meaning.engine == "trino" else meaning.call(name, value, " ")

    return Call(1, 1, fixed(types.STRING), rewrite)


def _len(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    value = text(meaning, arguments[0])
    trimmed = meaning.call("rtrim", value) if meaning.engine == "trino" else meaning.call("rtrim", value, " ")
    return meaning.cast(meaning.call("length", trimmed), types.INT)


def _datalength(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    kind = meaning.type(arguments[0])
    if kind.is_string:
        return meaning.cast(meaning.call("length", arguments[0]), types.INT)
    if kind.kind == "binary":
        return meaning.cast(meaning.call("octet_length", arguments[0]), types.INT)
    raise meaning.fail("DATALENGTH is supported for texts and binary only.", node)


def _side(name: str) -> Call:
    """LEFT and RIGHT."""

    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
        value, count = text(meaning, arguments[0]), _integer(meaning, arguments[1])
        if _is_count(count):
            if meaning.engine != "trino":
                return meaning.call(name, value, count)
            if name == "left":
                return meaning.call("substr", value, 1, count)
        meaning.only_duckdb(f"{name.upper()} with a computed length", node)
        return meaning.macro(f"cj_{name}", value, count)

    return Call(2, 2, fixed(types.STRING), rewrite)


def _substring(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    value = text(meaning, arguments[0])
    start, length = (_integer(meaning, argument) for argument in arguments[1:])
    if _is_count(start, 1) and _is_count(length):
        return meaning.call("substr" if meaning.engine == "trino" else "substring", value, start, length)
    if meaning.engine == POSTGRESQL:
        # Its own substring counts and complains exactly as T-SQL's does.
        return meaning.call("substr", value, start, length)
    meaning.only_duckdb("SUBSTRING with computed places", node)
    return meaning.macro("cj_substring", value, start, length)


def _replicate(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    value, count = text(meaning, arguments[0]), _integer(meaning, arguments[1])
    if _is_count(count) and meaning.engine != "trino":
        return meaning.call("repeat", value, count)
    meaning.only_duckdb("REPLICATE", node)
    return meaning.macro("cj_repeat", value, count)


def _space(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    meaning.only_duckdb("SPACE", node)
    return meaning.macro("cj_repeat", " ", _integer(meaning, arguments[0]))


def _charindex(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    part, value = text(meaning, arguments[0]), text(meaning, arguments[1])
    if len(arguments) == 2 and isinstance(part, exp.Literal) and part.name:
        small = exp.Literal.string(part.name.lower())
        name = "instr" if meaning.duckdb else "strpos"
        return meaning.cast(meaning.call(name, meaning.call("lower", value), small), types.INT)
    meaning.only_duckdb("CHARINDEX with a start or a computed text", node)
    start = _integer(meaning, arguments[2]) if len(arguments) > 2 else exp.Literal.number(1)
    return meaning.cast(meaning.macro("cj_index", part, value, start), types.INT)


def _replace(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    value, old, new = (text(meaning, argument) for argument in arguments)
    if isinstance(old, exp.Literal) and old.name and old.name.lower() == old.name.upper():
        return meaning.call("replace", value, old, new)
    meaning.only_duckdb("REPLACE of letters, in any case,", node)
    return meaning.macro("cj_replace", value, old, new)


def _stuff(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    meaning.only_duckdb("STUFF", node)
    new = text(meaning, arguments[3])
    if meaning.type(arguments[3]).kind == "null":
        new = exp.Literal.string("")
    return meaning.macro(
        "cj_stuff",
        text(meaning, arguments[0]),
        _integer(meaning, arguments[1]),
        _integer(meaning, arguments[2]),
        new,
    )


def _patindex(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    """Place of a pattern; the pattern must be written in the query."""
    meaning.only_duckdb("PATINDEX", node)
    pattern, value = arguments[0], text(meaning, arguments[1])
    if not isinstance(pattern, exp.Literal):
        raise meaning.fail("The pattern of PATINDEX must be written in the query.", pattern)
    written = pattern.name
    body = written.lstrip("%")
    anywhere = body != written
    regex, _ = pattern_of(body, "")
    whole = ("^.*?" if anywhere else "^") + f"({regex})$"
    before = meaning.call("regexp_extract", value, f"(?is)^(.*?){regex}$", 1)
    place = exp.Add(this=meaning.call("length", before), expression=exp.Literal.number(1)) if anywhere else None
    return exp.Case(
        ifs=[
            exp.If(this=exp.Is(this=wrap(value), expression=exp.Null()), true=exp.Null()),
            exp.If(
                this=regular(meaning, value.copy(), whole),
                true=meaning.cast(exp.Paren(this=place), types.INT) if place else exp.Literal.number(1),
            ),
        ],
        default=exp.Literal.number(0),
    )


def _str(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    meaning.only_duckdb("STR", node)
    value = convert(meaning, arguments[0], types.FLOAT)
    length = _integer(meaning, arguments[1]) if len(arguments) > 1 else exp.Literal.number(10)
    digits = _integer(meaning, arguments[2]) if len(arguments) > 2 else exp.Literal.number(0)
    return meaning.macro("cj_str", value, length, digits)


def _concat(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    return meaning.call("concat", *(text(meaning, argument) for argument in arguments))


def _concat_ws(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    return meaning.call("concat_ws", *(text(meaning, argument) for argument in arguments))


def _char(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    return meaning.call("chr", _integer(meaning, arguments[0]))


def _code(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    name = {"postgresql": "ascii", "trino": "codepoint"}.get(meaning.engine, "unicode")
    return meaning.cast(meaning.call(name, text(meaning, arguments[0])), types.INT)


def _one_text(name: str) -> Call:
    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
        meaning.only_duckdb(str(node.name).upper(), node)
        return meaning.macro(name, text(meaning, arguments[0]))

    return Call(1, 1, fixed(types.INT), rewrite)


def _is_number(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    kind = meaning.type(arguments[0])
    if kind.is_number:
        absent = exp.Is(this=wrap(arguments[0]), expression=exp.Null())
        return exp.Case(ifs=[exp.If(this=absent, true=exp.Literal.number(0))], default=exp.Literal.number(1))
    meaning.only_duckdb("ISNUMERIC", node)
    return meaning.macro("cj_is_number", text(meaning, arguments[0]))


# Values of any type


def _isnull(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    """The second value takes the type of the first."""
    value, other = arguments
    kind = meaning.type(node)
    given = meaning.type(other)
    if given.kind != kind.kind and "unknown" not in (given.kind, kind.kind) and given.kind != "null":
        other = convert(meaning, other, kind)
    elif kind.is_string and kind.length > 0 and isinstance(other, exp.Literal):
        other = exp.Literal.string(other.name[: kind.length])
    return exp.Coalesce(this=value, expressions=[other])


def _isnull_type(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    return given[1] if given[0].kind == "null" else given[0]


def _coalesce(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    kind = meaning.type(node)
    values = [as_type(meaning, argument, kind) for argument in arguments]
    return exp.Coalesce(this=values[0], expressions=values[1:])


def _widest(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    kind = types.NULL
    for item in given:
        kind = types.wider(kind, item)
    return kind


def _extreme(name: str) -> Call:
    """GREATEST and LEAST, which leave NULLs out."""

    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
        # Elsewhere one NULL makes the result NULL.
        meaning.only_duckdb(name.upper(), node)
        kind = meaning.type(node)
        return meaning.call(name, *(as_type(meaning, argument, kind) for argument in arguments))

    return Call(1, -1, _widest, rewrite)


def _nullif(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    value = arguments[0]
    left, right = align(meaning, value.copy(), arguments[1])
    if left == value:
        return exp.Nullif(this=value, expression=right)
    return exp.Case(ifs=[exp.If(this=exp.EQ(this=left, expression=right), true=exp.Null())], default=value)


def _iif(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    case = exp.Case(ifs=[exp.If(this=arguments[0], true=arguments[1])], default=arguments[2])
    unify(meaning, case, meaning.type(node))
    return case


def _iif_type(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    return types.wider(given[1], given[2])


def _newid(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    return meaning.call("uuid" if meaning.engine == "trino" else "gen_random_uuid")


def _db_name(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    return exp.Literal.string(meaning.session.context)


CALLS.update(
    {
        "len": Call(1, 1, fixed(types.INT), _len),
        "datalength": Call(1, 1, fixed(types.INT), _datalength),
        "left": _side("left"),
        "right": _side("right"),
        "substring": Call(3, 3, fixed(types.STRING), _substring),
        "upper": _texts("upper"),
        "lower": _texts("lower"),
        "reverse": _texts("reverse"),
        "ltrim": _trim("ltrim"),
        "rtrim": _trim("rtrim"),
        "trim": _trim("trim"),
        "replace": Call(3, 3, fixed(types.STRING), _replace),
        "stuff": Call(4, 4, fixed(types.STRING), _stuff),
        "replicate": Call(2, 2, fixed(types.STRING), _replicate),
        "space": Call(1, 1, fixed(types.STRING), _space),
        "charindex": Call(2, 3, fixed(types.INT), _charindex),
        "patindex": Call(2, 2, fixed(types.INT), _patindex),
        "str": Call(1, 3, fixed(types.STRING), _str),
        "concat": Call(2, -1, fixed(types.STRING), _concat),
        "concat_ws": Call(3, -1, fixed(types.STRING), _concat_ws),
        "char": Call(1, 1, fixed(types.STRING), _char),
        "nchar": Call(1, 1, fixed(types.STRING), _char),
        "ascii": Call(1, 1, fixed(types.INT), _code),
        "unicode": Call(1, 1, fixed(types.INT), _code),
        "isnumeric": Call(1, 1, fixed(types.INT), _is_number),
        "isdate": _one_text("cj_is_date"),
        "isnull": Call(2, 2, _isnull_type, _isnull),
        "coalesce": Call(2, -1, _widest, _coalesce),
        "nullif": Call(2, 2, first, _nullif),
        "greatest": _extreme("greatest"),
        "least": _extreme("least"),
        "iif": Call(3, 3, _iif_type, _iif),
        "newid": Call(0, 0, fixed(types.UUID), _newid),
        "newsequentialid": Call(0, 0, fixed(types.UUID), _newid),
        "db_name": Call(0, 0, fixed(types.STRING), _db_name),
    }
)
REFUSED.update(
    {
        "format": "Use CONVERT with a style, STR or ROUND.",
        "soundex": "Use LIKE.",
        "difference": "Use LIKE.",
        "object_id": "It may stand in IF OBJECT_ID('t') IS NOT NULL DROP TABLE t.",
        "object_name": "Read information_schema.tables instead.",
        "col_length": "Read information_schema.columns instead.",
        "suser_name": "There are no logins here.",
        "suser_sname": "There are no logins here.",
        "user_name": "There are no logins here.",
        "host_name": "The server is nobody's business.",
        "serverproperty": "The server is not SQL Server.",
        "parsename": "Use SUBSTRING and CHARINDEX.",
        "openrowset": "Files and other servers cannot be reached.",
        "opendatasource": "Files and other servers cannot be reached.",
        "openquery": "Files and other servers cannot be reached.",
        "ident_current": "Ask for max(…) of the column.",
        "scope_identity": "Ask for max(…) of the column.",
        "xact_state": "Each statement is a transaction of its own.",
    }
)
