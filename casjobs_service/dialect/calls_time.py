"""T-SQL's functions of dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from casjobs_service.dialect import types
from casjobs_service.dialect.conversion import EPOCH, convert, datetime_literal
from casjobs_service.dialect.meaning import CALLS, REFUSED, Call, Meaning, fixed, wrap
from casjobs_service.dialect.source import did_you_mean
from casjobs_service.dialect.types import Type
from casjobs_service.dialect.values import now
from casjobs_service.errors import Kind

Arguments = list[Any]

PARTS = {
    "year": "year",
    "yy": "year",
    "yyyy": "year",
    "quarter": "quarter",
    "qq": "quarter",
    "q": "quarter",
    "month": "month",
    "mm": "month",
    "m": "month",
    "dayofyear": "dayofyear",
    "dy": "dayofyear",
    "y": "dayofyear",
    "day": "day",
    "dd": "day",
    "d": "day",
    "week": "week",
    "wk": "week",
    "ww": "week",
    "weekday": "weekday",
    "dw": "weekday",
    "w": "weekday",
    "hour": "hour",
    "hh": "hour",
    "minute": "minute",
    "mi": "minute",
    "n": "minute",
    "second": "second",
    "ss": "second",
    "s": "second",
    "millisecond": "millisecond",
    "ms": "millisecond",
    "microsecond": "microsecond",
    "mcs": "microsecond",
    "iso_week": "iso_week",
    "isowk": "iso_week",
    "isoww": "iso_week",
}


def _part(meaning: Meaning, node: exp.Expr) -> str:
    word = node.name.lower() if isinstance(node, exp.Var | exp.Column | exp.Identifier) else ""
    if word not in PARTS:
        raise meaning.fail(
            f"{node.name or 'This'} is no part of a date.", node, did_you_mean(word, PARTS), Kind.SYNTAX
        )
    return PARTS[word]


def _moment(meaning: Meaning, node: exp.Expr) -> exp.Expr:
    """An argument as a date; texts and numbers become ``datetime``."""
    kind = meaning.type(node)
    if kind.is_time or kind.kind == "unknown":
        return node
    return convert(meaning, node, types.DATETIME)


def _timestamp(meaning: Meaning, node: exp.Expr) -> exp.Expr:
    """As `_moment`, with date and time."""
    node = _moment(meaning, node)
    kind = meaning.type(node)
    if kind.kind == "datetime":
        return node
    if kind.kind == "time":
        start = datetime_literal(EPOCH, types.DATETIME)
        return exp.Paren(this=exp.Add(this=exp.Cast(this=start, to=types.DATE.node()), expression=node))
    return meaning.cast(node, types.DATETIME)


def _dateadd_type(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    return given[2] if given[2].is_time else types.DATETIME


def _dateadd(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    part = _part(meaning, arguments[0])
    part = {"dayofyear": "day", "weekday": "day"}.get(part, part)
    if part == "iso_week":
        raise meaning.fail("iso_week cannot be added.", arguments[0], kind=Kind.SYNTAX)
    count = arguments[1]
    if meaning.type(count).kind not in ("int", "smallint", "tinyint", "bigint"):
        count = convert(meaning, count, types.INT)
    moment = _moment(meaning, arguments[2])
    kind = meaning.type(moment)
    factor = {"quarter": 3, "week": 7}.get(part, 1)
    unit = {"quarter": "month", "week": "day"}.get(part, part)
    if not meaning.duckdb:
        interval = exp.Interval(this=exp.Literal.string("1"), unit=exp.var(unit.upper()))
        number: exp.Expr = (
            exp.Mul(this=wrap(count), expression=exp.Literal.number(factor)) if factor > 1 else wrap(count)
        )
        new: exp.Expr = exp.Add(this=moment, expression=exp.Mul(this=exp.Paren(this=number), expression=interval))
        return exp.Cast(this=exp.Paren(this=new), to=kind.node())
    if factor > 1:
        count = exp.Mul(this=wrap(count), expression=exp.Literal.number(factor))
    interval_ = meaning.call(
        f"to_{unit}s", exp.Cast(this=count, to=types.INT.node()) if unit in ("year", "month", "day") else count
    )
    new = exp.Paren(this=exp.Add(this=moment, expression=interval_))
    return meaning.cast(new, kind) if kind.kind == "date" else new


def _datediff(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    """Boundaries of the part that lie between the two."""
    meaning.only_duckdb("DATEDIFF", node, "Subtract the dates in that engine's own SQL.")
    part = _part(meaning, arguments[0])
    one, other = (_timestamp(meaning, argument) for argument in arguments[1:])
    unit = {"dayofyear": "day", "weekday": "day"}.get(part, part)
    if part == "iso_week":
        raise meaning.fail("iso_week has no difference.", arguments[0], kind=Kind.SYNTAX)
    if part == "week":
        first, last = (meaning.macro("cj_weeks", moment) for moment in (one, other))
        return meaning.cast(exp.Paren(this=exp.Sub(this=last, expression=first)), meaning.type(node))
    return meaning.cast(meaning.call("date_diff", unit, one, other), meaning.type(node))


def _datepart_of(meaning: Meaning, node: exp.Anonymous, part: str, argument: exp.Expr) -> exp.Expr:
    moment = _moment(meaning, argument)
    if not meaning.duckdb:
        names = {"dayofyear": "doy", "weekday": "dow", "iso_week": "week"}
        if part in ("week", "millisecond", "microsecond"):
            meaning.only_duckdb(f"The part {part} of a date", node)
        value: exp.Expr = exp.Extract(this=exp.var(names.get(part, part).upper()), expression=moment)
        if part == "second":
            value = meaning.call("floor", value)
        if part == "weekday":
            value = exp.Add(this=value, expression=exp.Literal.number(1))
        return meaning.cast(exp.Paren(this=value), types.INT)
    match part:
        case "weekday":
            value = exp.Add(this=meaning.call("dayofweek", moment), expression=exp.Literal.number(1))
        case "week":
            return meaning.macro("cj_week", moment)
        case "iso_week":
            value = meaning.call("weekofyear", moment)
        case "millisecond":
            value = exp.Mod(this=meaning.call("millisecond", moment), expression=exp.Literal.number(1000))
        case "microsecond":
            value = exp.Mod(this=meaning.call("microsecond", moment), expression=exp.Literal.number(1_000_000))
        case _:
            value = meaning.call(part, moment)
    return meaning.cast(exp.Paren(this=value) if isinstance(value, exp.Binary) else value, types.INT)


def _datepart(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    return _datepart_of(meaning, node, _part(meaning, arguments[0]), arguments[1])


def _named_part(part: str) -> Call:
    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
        return _datepart_of(meaning, node, part, arguments[0])

    return Call(1, 1, fixed(types.INT), rewrite)


def _datename(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    part = _part(meaning, arguments[0])
    meaning.only_duckdb("DATENAME", node)
    if part == "month":
        return meaning.call("monthname", _moment(meaning, arguments[1]))
    if part == "weekday":
        return meaning.call("dayname", _moment(meaning, arguments[1]))
    return exp.Cast(this=_datepart_of(meaning, node, part, arguments[1]), to=types.STRING.node())


def _now(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    return now(meaning)


def _eomonth(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    meaning.only_duckdb("EOMONTH", node)
    moment = convert(meaning, arguments[0], types.DATE)
    if len(arguments) > 1:
        moment = exp.Paren(this=exp.Add(this=moment, expression=meaning.call("to_months", arguments[1])))
    return meaning.cast(meaning.call("last_day", moment), types.DATE)


def _from_parts(name: str, kind: Type) -> Any:
    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
        meaning.only_duckdb(str(node.name).upper(), node)
        if len(arguments) == 7:
            parts = exp.Literal.number("1000e0")
            fraction = exp.Div(this=wrap(arguments.pop()), expression=parts, typed=False)
            arguments[5] = exp.Add(this=meaning.cast(arguments[5], types.FLOAT), expression=fraction)
        return meaning.call(name, *arguments)

    return Call(3 if kind.kind == "date" else 7, 3 if kind.kind == "date" else 7, fixed(kind), rewrite)


def _datetrunc(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    part = _part(meaning, arguments[0])
    if part in ("week", "weekday", "dayofyear"):
        raise meaning.fail(f"DATETRUNC of {part} is not supported.", arguments[0])
    unit = {"iso_week": "week"}.get(part, part)
    moment = _moment(meaning, arguments[1])
    return exp.Cast(this=meaning.call("date_trunc", unit, moment), to=meaning.type(moment).node())


CALLS.update(
    {
        "getdate": Call(0, 0, fixed(types.DATETIME), _now),
        "getutcdate": Call(0, 0, fixed(types.DATETIME), _now),
        "sysdatetime": Call(0, 0, fixed(types.DATETIME), _now),
        "sysutcdatetime": Call(0, 0, fixed(types.DATETIME), _now),
        "dateadd": Call(3, 3, _dateadd_type, _dateadd),
        "datediff": Call(3, 3, fixed(types.INT), _datediff),
        "datediff_big": Call(3, 3, fixed(types.BIGINT), _datediff),
        "datepart": Call(2, 2, fixed(types.INT), _datepart),
        "datename": Call(2, 2, fixed(types.STRING), _datename),
        "datetrunc": Call(2, 2, lambda given, arguments: given[1] if given[1].is_time else types.DATETIME, _datetrunc),
        "year": _named_part("year"),
        "month": _named_part("month"),
        "day": _named_part("day"),
        "eomonth": Call(1, 2, fixed(types.DATE), _eomonth),
        "datefromparts": _from_parts("make_date", types.DATE),
        "datetimefromparts": _from_parts("make_timestamp", types.DATETIME),
    }
)
REFUSED.update(
    {
        "switchoffset": "Times have no zone here.",
        "todatetimeoffset": "Times have no zone here.",
        "sysdatetimeoffset": "Use SYSDATETIME(), which is in UTC.",
    }
)
