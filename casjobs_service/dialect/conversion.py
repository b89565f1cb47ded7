"""CAST, CONVERT and the conversions that T-SQL does by itself."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal, InvalidOperation

from sqlglot import exp

from casjobs_service.dialect import types
from casjobs_service.dialect.meaning import POSTGRESQL, TRINO, Meaning, handles, number_of_hex, wrap
from casjobs_service.dialect.types import Type
from casjobs_service.errors import Kind

EPOCH = datetime.datetime(1900, 1, 1)
"""Day 0 of SQL Server's dates."""

_FORMATS = (
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
    "%Y%m%d %H:%M:%S",
    "%Y%m%d %H:%M",
    "%Y%m%d",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%m/%d/%y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S",
    "%b %d %Y",
    "%b %d, %Y",
    "%B %d %Y",
    "%B %d, %Y",
    "%d %b %Y",
    "%d %B %Y",
    "%d-%b-%Y",
    "%b %d %Y %I:%M%p",
    "%b %d %Y %H:%M:%S",
    "%H:%M:%S.%f",
    "%H:%M:%S",
    "%H:%M",
)

STYLES: dict[int, tuple[str, str]] = {
    1: ("%m/%d/%y", "MM/DD/YY"),
    101: ("%m/%d/%Y", "MM/DD/YYYY"),
    2: ("%y.%m.%d", "YY.MM.DD"),
    102: ("%Y.%m.%d", "YYYY.MM.DD"),
    3: ("%d/%m/%y", "DD/MM/YY"),
    103: ("%d/%m/%Y", "DD/MM/YYYY"),
    4: ("%d.%m.%y", "DD.MM.YY"),
    104: ("%d.%m.%Y", "DD.MM.YYYY"),
    5: ("%d-%m-%y", "DD-MM-YY"),
    105: ("%d-%m-%Y", "DD-MM-YYYY"),
    6: ("%d %b %y", "DD Mon YY"),
    106: ("%d %b %Y", "DD Mon YYYY"),
    7: ("%b %d, %y", "Mon DD, YY"),
    107: ("%b %d, %Y", "Mon DD, YYYY"),
    8: ("%H:%M:%S", "HH24:MI:SS"),
    24: ("%H:%M:%S", "HH24:MI:SS"),
    108: ("%H:%M:%S", "HH24:MI:SS"),
    10: ("%m-%d-%y", "MM-DD-YY"),
    110: ("%m-%d-%Y", "MM-DD-YYYY"),
    11: ("%y/%m/%d", "YY/MM/DD"),
    111: ("%Y/%m/%d", "YYYY/MM/DD"),
    12: ("%y%m%d", "YYMMDD"),
    112: ("%Y%m%d", "YYYYMMDD"),
    14: ("%H:%M:%S:%g", "HH24:MI:SS:MS"),
    114: ("%H:%M:%S:%g", "HH24:MI:SS:MS"),
    20: ("%Y-%m-%d %H:%M:%S", "YYYY-MM-DD HH24:MI:SS"),
    120: ("%Y-%m-%d %H:%M:%S", "YYYY-MM-DD HH24:MI:SS"),
    21: ("%Y-%m-%d %H:%M:%S.%g", "YYYY-MM-DD HH24:MI:SS.MS"),
    25: ("%Y-%m-%d %H:%M:%S.%g", "YYYY-MM-DD HH24:MI:SS.MS"),
    121: ("%Y-%m-%d %H:%M:%S.%g", "YYYY-MM-DD HH24:MI:SS.MS"),
    23: ("%Y-%m-%d", "YYYY-MM-DD"),
    126: ("%Y-%m-%dT%H:%M:%S.%g", 'YYYY-MM-DD"T"HH24:MI:SS.MS'),
    127: ("%Y-%m-%dT%H:%M:%S.%g", 'YYYY-MM-DD"T"HH24:MI:SS.MS'),
}
"""Styles of CONVERT for dates: format of strftime and of PostgreSQL's to_char."""
_LONGEST = {"bit": 1, "tinyint": 3, "smallint": 6, "int": 11, "bigint": 20}


def read_datetime(value: str) -> datetime.datetime | None:
    """A date in one of the forms that SQL Server reads."""
    value = " ".join(value.split())
    if not value:
        return EPOCH
    # SQL Server writes up to seven digits of a second, Python reads six.
    value = re.sub(r"(:\d\d\.\d{6})\d+$", r"\1", value)
    for form in _FORMATS:
        try:
            return datetime.datetime.strptime(value, form)
        except ValueError:
            continue
    return None


def datetime_literal(moment: datetime.datetime, kind: Type) -> exp.Expr:
    """A literal with that type."""
    if kind.kind == "date":
        value = f"{moment:%Y-%m-%d}"
    elif kind.kind == "time":
        value = f"{moment:%H:%M:%S.%f}"
    else:
        value = f"{moment:%Y-%m-%d %H:%M:%S.%f}" if moment.microsecond else f"{moment:%Y-%m-%d %H:%M:%S}"
    node = exp.Cast(this=exp.Literal.string(value), to=kind.node())
    node.meta["t"] = kind
    return node


def convert(meaning: Meaning, node: exp.Expr, kind: Type, *, safe: bool = False, style: int | None = None) -> exp.Expr:
    """A value as another type, as T-SQL's CAST does it.

    Parameters
    ----------
    safe
        NULL instead of an error (``TRY_CAST``).
    style
        Third argument of CONVERT.
    """
    given = meaning.type(node)
    if isinstance(node, exp.HexString):
        return _of_hex(meaning, node, kind, style)
    if given.kind in ("null", "unknown") and kind.kind != "string":
        return meaning.typed(exp.Cast(this=node, to=kind.node()), kind)
    if kind.is_number:
        new = _to_number(meaning, node, given, kind, safe)
    elif kind.is_string:
        new = _to_text(meaning, node, given, kind, style)
    elif kind.is_time:
        new = _to_time(meaning, node, given, kind, safe, style)
    elif kind.kind == "binary":
        new = _to_binary(meaning, node, given, kind)
    else:
        new = exp.TryCast(this=node, to=kind.node()) if safe else exp.Cast(this=node, to=kind.node())
    return meaning.typed(new, kind)


def text(meaning: Meaning, node: exp.Expr) -> exp.Expr:
    """A value as text, as T-SQL converts it where a text is wanted."""
    kind = meaning.type(node)
    return node if kind.is_string or kind.kind == "null" else convert(meaning, node, types.STRING)


def _cast(meaning: Meaning, node: exp.Expr, kind: Type, safe: bool) -> exp.Expr:
    return exp.TryCast(this=node, to=kind.node()) if safe else exp.Cast(this=node, to=kind.node())


def _failed(meaning: Meaning, node: exp.Expr, value: str, kind: Type) -> exp.Expr:
    name = {"decimal": "a decimal", "float": "a float", "real": "a real"}.get(kind.kind, kind.kind)
    raise meaning.fail(f"Conversion failed when converting the text '{value}' to {name}.", node, kind=Kind.DATA)


def _to_number(meaning: Meaning, node: exp.Expr, given: Type, kind: Type, safe: bool) -> exp.Expr:
    if given.is_string:
        if isinstance(node, exp.Literal):
            return _number_of_literal(meaning, node, kind, safe)
        return _number_of_text(meaning, node, kind, safe)
    if given.is_time:
        return _number_of_time(meaning, node, given, kind)
    if given.kind == "binary":
        raise meaning.fail("Binary columns cannot become numbers.", node)
    if not given.is_number:
        raise meaning.fail(f"{given.kind} cannot become {kind.kind}.", node, kind=Kind.DATA)
    if kind.kind == "bit":
        return (
            node if given.kind == "bit" else exp.Paren(this=exp.NEQ(this=wrap(node), expression=exp.Literal.number(0)))
        )
    if given.kind == "bit" and not meaning.duckdb:
        node = exp.Cast(this=node, to=types.INT.node())
    if kind.is_integer and not given.is_integer and (given.kind != "decimal" or given.scale):
        # CAST rounds in the engines, T-SQL cuts.
        node = meaning.call("truncate" if meaning.engine == "trino" else "trunc", node)
    return _cast(meaning, node, kind, safe)


def _number_of_literal(meaning: Meaning, node: exp.Literal, kind: Type, safe: bool) -> exp.Expr:
    value = node.name.strip()
    if kind.kind == "bit":
        truth = {"true": "1", "false": "0", "": "0"}.get(value.lower(), value)
        if re.fullmatch(r"[+-]?\d+", truth):
            return exp.Boolean(this=int(truth) != 0)
    elif kind.is_integer:
        if re.fullmatch(r"[+-]?\d+", value) or not value:
            number = int(value or "0")
            limits = {"tinyint": (0, 255), "smallint": (-(1 << 15), (1 << 15) - 1), "int": (-(1 << 31), (1 << 31) - 1)}
            low, high = limits.get(kind.kind, (-(1 << 63), (1 << 63) - 1))
            if low <= number <= high:
                literal = exp.Literal.number(abs(number))
                return exp.Cast(this=exp.Neg(this=literal) if number < 0 else literal, to=kind.node())
            if not safe:
                raise meaning.fail(f"{value} does not fit into {kind.kind}.", node, kind=Kind.DATA)
    else:
        try:
            number_ = Decimal(value or "0")
        except InvalidOperation:
            number_ = Decimal("NaN")
        if number_.is_finite() and (kind.kind != "decimal" or (value and "e" not in value.lower())):
            return exp.Cast(this=exp.Literal.string(value or "0"), to=kind.node())
    if safe:
        return exp.Cast(this=exp.Null(), to=kind.node())
    return _failed(meaning, node, node.name, kind)


def _number_of_text(meaning: Meaning, node: exp.Expr, kind: Type, safe: bool) -> exp.Expr:
    if not meaning.duckdb:
        if safe:
            meaning.only_duckdb("TRY_CAST of a text", node)
        return exp.Cast(this=node, to=kind.node())
    attempt = "try_" if safe else ""
    if kind.kind == "bit":
        return meaning.macro(f"cj_{attempt}bit", node)
    name = "whole" if kind.is_integer else "exact" if kind.kind == "decimal" else "float"
    return _cast(meaning, meaning.macro(f"cj_{attempt}{name}", node), kind, safe)


def _number_of_time(meaning: Meaning, node: exp.Expr, given: Type, kind: Type) -> exp.Expr:
    """Days since 1900."""
    if given.kind != "datetime":
        raise meaning.fail(f"{given.kind} cannot become {kind.kind}.", node, kind=Kind.DATA)
    meaning.only_duckdb("A date as number", node, "Use DATEDIFF.")
    micros = meaning.call("date_diff", "microsecond", datetime_literal(EPOCH, types.DATETIME), node)
    days: exp.Expr = exp.Div(this=micros, expression=exp.Literal.number("86400000000e0"), typed=not meaning.duckdb)
    if kind.is_integer:
        days = meaning.call("round", days)
    return exp.Cast(this=exp.Paren(this=days), to=kind.node())


def _to_text(meaning: Meaning, node: exp.Expr, given: Type, kind: Type, style: int | None) -> exp.Expr:
    if isinstance(node, exp.Literal) and node.is_string:
        value = node.name[: abs(kind.length)] if kind.length else node.name
        return exp.Literal.string(value.ljust(-kind.length) if kind.length < 0 else value)
    length = abs(kind.length)
    if given.is_string or given.kind in ("null", "unknown"):
        new = node if given.is_string else exp.Cast(this=node, to=types.STRING.node())
        if length and not (0 < abs(given.length) <= length):
            new = (
                meaning.call("left", new, length)
                if meaning.engine != "trino"
                else meaning.call("substr", new, 1, length)
            )
    elif given.is_integer:
        value_ = exp.Cast(this=node, to=types.INT.node()) if given.kind == "bit" else node
        new = exp.Cast(this=value_, to=types.STRING.node())
        if length and length < _LONGEST[given.kind]:
            absent = exp.Is(this=node.copy(), expression=exp.Null())
            new = exp.Case(
                ifs=[
                    exp.If(
                        this=exp.LTE(this=meaning.call("length", new), expression=exp.Literal.number(length)),
                        true=new.copy(),
                    ),
                    exp.If(
                        this=exp.Not(this=absent),
                        true=exp.Literal.string("*"),
                    ),
                ]
            )
    elif given.kind == "decimal":
        new = exp.Cast(this=node, to=types.STRING.node())
        if length and length < given.precision + 2:
            new = _fit(meaning, new, length)
    elif given.is_approximate:
        meaning.only_duckdb("A float as text", node, "Select the number itself.")
        if style not in (None, 0, 1, 2, 3, 128, 129):
            raise meaning.fail(f"The style {style} is not known for numbers.", node)
        new = meaning.macro("cj_text_of_float" + (f"_{style}" if style in (1, 2, 3) else ""), node)
        if length and length < (14 if style not in (1, 2, 3) else 25):
            new = _fit(meaning, new, length)
    elif given.is_time:
        new = _text_of_time(meaning, node, given, style)
        if length:
            new = _first(meaning, new, length)
    elif given.kind == "uuid":
        new = meaning.call("upper", exp.Cast(this=node, to=types.STRING.node()))
    elif given.kind == "binary":
        if style not in (1, 2):
            raise meaning.fail("Binary becomes text only with the style 1 or 2.", node, "CONVERT(varchar(max), x, 1).")
        meaning.only_duckdb("Binary as text", node)
        new = meaning.call("hex", node)
        if style == 1:
            new = exp.Paren(this=exp.DPipe(this=exp.Literal.string("0x"), expression=new, safe=True))
    else:
        raise meaning.fail("This cannot become text.", node)
    if kind.length < 0:
        new = meaning.call("rpad", new, length, " ")
    return new


def _first(meaning: Meaning, node: exp.Expr, length: int) -> exp.Expr:
    if meaning.engine == TRINO:
        return meaning.call("substr", node, 1, length)
    return meaning.call("left", node, length)


def _fit(meaning: Meaning, node: exp.Expr, length: int) -> exp.Expr:
    """A number that does not fit into the characters is an error."""
    if not meaning.duckdb:
        return node
    return meaning.macro("cj_fit", node, length)


def _text_of_time(meaning: Meaning, node: exp.Expr, given: Type, style: int | None) -> exp.Expr:
    if style is None:
        style = 0 if given.kind == "datetime" else 121
    if style == 121 and given.kind in ("date", "time"):
        return exp.Cast(this=node, to=types.STRING.node())
    if style in (0, 100):
        meaning.only_duckdb("The style 0 of dates", node, "Write CONVERT(varchar(30), x, 121).")
        return meaning.macro("cj_text_of_datetime", node)
    if style not in STYLES:
        raise meaning.fail(f"The style {style} is not known for dates.", node, "Use 120: yyyy-mm-dd hh:mi:ss.")
    if meaning.engine == POSTGRESQL:
        return meaning.call("to_char", node, STYLES[style][1])
    meaning.only_duckdb("A date as text", node)
    return meaning.call("strftime", node, STYLES[style][0])


def _to_time(meaning: Meaning, node: exp.Expr, given: Type, kind: Type, safe: bool, style: int | None) -> exp.Expr:
    if given.is_string:
        if isinstance(node, exp.Literal) and style is None:
            moment = read_datetime(node.name)
            if moment is not None:
                return datetime_literal(moment, kind)
            if safe:
                return exp.Cast(this=exp.Null(), to=kind.node())
            return _failed(meaning, node, node.name, kind)
        if style is not None:
            if style not in STYLES:
                raise meaning.fail(f"The style {style} is not known for dates.", node)
            meaning.only_duckdb("A text with a style as date", node)
            name = "try_strptime" if safe else "strptime"
            return exp.Cast(this=meaning.call(name, node, STYLES[style][0]), to=kind.node())
        if not meaning.duckdb:
            return exp.Cast(this=node, to=kind.node())
        return exp.Cast(this=meaning.macro("cj_try_datetime" if safe else "cj_datetime", node), to=kind.node())
    if given.is_number:
        if isinstance(node, exp.Literal) and given.is_integer:
            return datetime_literal(EPOCH + datetime.timedelta(days=int(node.name)), kind)
        meaning.only_duckdb("A number as date", node, "Use DATEADD(day, n, '1900-01-01').")
        micros = exp.Cast(
            this=exp.Mul(this=wrap(node), expression=exp.Literal.number("86400e6")), to=types.BIGINT.node()
        )
        start = datetime_literal(EPOCH, types.DATETIME)
        moment_ = exp.Paren(this=exp.Add(this=start, expression=meaning.call("to_microseconds", micros)))
        return moment_ if kind.kind == "datetime" else exp.Cast(this=moment_, to=kind.node())
    if given.is_time:
        return node if given.kind == kind.kind else exp.Cast(this=node, to=kind.node())
    raise meaning.fail(f"{given.kind} cannot become {kind.kind}.", node, kind=Kind.DATA)


def _to_binary(meaning: Meaning, node: exp.Expr, given: Type, kind: Type) -> exp.Expr:
    meaning.only_duckdb("Binary", node)
    if given.is_integer:
        width = {"bit": 1, "tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}[given.kind]
        length = -kind.length if kind.length < 0 else min(kind.length or width, width)
        # Eight bytes of the number, of which the last ones count.
        digits = meaning.call("lpad", meaning.call("hex", exp.Cast(this=node, to=types.BIGINT.node())), 16, "0")
        if length > 8:
            digits = meaning.call("lpad", digits, 2 * length, "0")
        return meaning.call("unhex", meaning.call("right", digits, 2 * length))
    if given.kind == "decimal":
        return _decimal_bytes(meaning, node, given, kind)
    if given.is_string:
        return _cut(meaning, meaning.call("encode", node), kind)
    if given.kind == "binary":
        return _cut(meaning, node, kind)
    raise meaning.fail(f"{given.kind} cannot become binary.", node)


def _cut(meaning: Meaning, node: exp.Expr, kind: Type) -> exp.Expr:
    """Bytes with a length: what is too long is cut at its end, and a fixed length is filled with zeros."""
    if not kind.length:
        return node
    digits = meaning.call("hex", node)
    if kind.length < 0:
        return meaning.call("unhex", meaning.call("rpad", digits, -2 * kind.length, "0"))
    return meaning.call("unhex", meaning.call("left", digits, 2 * kind.length))


def _decimal_bytes(meaning: Meaning, node: exp.Expr, given: Type, kind: Type) -> exp.Expr:
    """As SQL Server keeps decimals: precision, scale, 0, sign, and the digits as a number, its lowest byte first.

    What is too long loses its first bytes: of SDSS's identifiers, ``numeric(20,0)``, eight bytes keep little.
    """
    from casjobs_service.dialect.arithmetic import unscaled

    size = next(size for most, size in ((9, 4), (19, 8), (28, 12), (38, 16)) if given.precision <= most)
    header = f"{given.precision:02X}{given.scale:02X}00"
    whole = unscaled(meaning, node, given, 0)
    length = -kind.length if kind.length < 0 else min(kind.length or size + 4, size + 4)
    return meaning.macro("cj_decimal_bytes", whole, header, size, length)


def _of_hex(meaning: Meaning, node: exp.HexString, kind: Type, style: int | None) -> exp.Expr:
    """``0x…`` as what is wanted."""
    if kind.is_number:
        value = number_of_hex(node)
        if kind.kind == "int" and len(str(node.this)) == 8 and int(str(node.this), 16) >= 1 << 31:
            value = exp.Neg(this=exp.Literal.number((1 << 32) - int(str(node.this), 16)))
        return meaning.typed(exp.Cast(this=value, to=kind.node()), kind)
    if kind.is_string and style in (1, 2):
        digits = str(node.this).upper()
        return meaning.typed(exp.Literal.string(("0x" if style == 1 else "") + digits), kind)
    if kind.is_string:
        value_ = bytes.fromhex(str(node.this).zfill(len(str(node.this)) + len(str(node.this)) % 2))
        return meaning.typed(exp.Literal.string(value_.decode("latin-1")), kind)
    if kind.kind == "binary":
        return meaning.typed(blob(meaning, node, kind.length), kind)
    raise meaning.fail(f"Binary cannot become {kind.kind}.", node)


def blob(meaning: Meaning, node: exp.HexString, length: int = 0) -> exp.Expr:
    """``0x…`` as binary of a length; negative: of just this one."""
    digits = str(node.this)
    digits = digits.zfill(len(digits) + len(digits) % 2)
    if length:
        digits = digits[: 2 * abs(length)].ljust(max(0, -2 * length), "0")
    if meaning.engine == POSTGRESQL:
        return meaning.call("decode", digits, "hex")
    return meaning.call("from_hex" if meaning.engine == "trino" else "unhex", digits)


@handles(exp.Cast, exp.TryCast)
def _cast_node(meaning: Meaning, node: exp.Cast) -> exp.Expr:
    kind = types.written(node.to, cast=True)
    if kind is None or node.args.get("format"):
        raise meaning.fail(f"The type {node.to.sql(dialect='tsql')} is not supported.", node)
    return convert(meaning, node.this, kind, safe=isinstance(node, exp.TryCast))


@handles(exp.Convert)
def _convert_node(meaning: Meaning, node: exp.Convert) -> exp.Expr:
    kind = types.written(node.this, cast=True)
    if kind is None:
        raise meaning.fail(f"The type {node.this.sql(dialect='tsql')} is not supported.", node)
    style = node.args.get("style")
    number = None
    if style is not None:
        if not (isinstance(style, exp.Literal) and style.name.isdigit()):
            raise meaning.fail("The style of CONVERT must be a number.", style)
        number = int(style.name)
    return convert(meaning, node.expression, kind, safe=bool(node.args.get("safe")), style=number)
