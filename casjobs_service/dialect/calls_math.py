"""T-SQL's functions of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlglot import exp

from casjobs_service.dialect import types
from casjobs_service.dialect.conversion import convert
from casjobs_service.dialect.meaning import CALLS, POSTGRESQL, REFUSED, Call, Meaning, fixed, wrap
from casjobs_service.dialect.types import Type

Arguments = list[Any]


def number(meaning: Meaning, node: exp.Expr, kind: Type = types.FLOAT) -> exp.Expr:
    """An argument as a number: what is none is converted."""
    given = meaning.type(node)
    if given.is_number and given.kind != "bit":
        return node
    if given.kind == "null":
        return exp.Cast(this=node, to=kind.node())
    if given.kind == "unknown":
        return node
    return convert(meaning, node, kind if given.kind != "bit" else types.INT)


def as_float(meaning: Meaning, node: exp.Expr) -> exp.Expr:
    """An argument of a function that computes in double precision."""
    node = number(meaning, node)
    kind = meaning.type(node)
    if kind.kind == "float" or (meaning.duckdb and kind.kind != "real"):
        return node
    return meaning.cast(node, types.FLOAT)


def same(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    """Functions that return their argument's type; ``real`` becomes ``float``."""
    kind = given[0]
    if kind.kind == "bit":
        return types.INT
    if kind.kind == "tinyint" or kind.kind == "smallint":
        return types.INT
    return types.FLOAT if kind.kind in ("real", "string", "null") else kind


def _through_float(name: str, postgres: str = "") -> Call:
    """Functions from and to double precision."""

    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
        called = postgres if postgres and not meaning.duckdb else name
        return meaning.call(called, *(as_float(meaning, argument) for argument in arguments))

    return Call(1, 1, fixed(types.FLOAT), rewrite)


def _back(meaning: Meaning, node: exp.Expr, kind: Type) -> exp.Expr:
    """A double as the function's type: integers are cut."""
    if kind.is_approximate or kind.kind == "unknown":
        return node
    if kind.is_integer:
        node = meaning.call("truncate" if meaning.engine == "trino" else "trunc", node)
    return meaning.cast(node, kind)


def _abs(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    kind = meaning.type(node)
    argument = number(meaning, arguments[0])
    return meaning.call("abs", meaning.cast(argument, kind) if meaning.type(argument).kind != kind.kind else argument)


def _abs_type(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    return given[0] if given[0].kind in ("smallint", "real") else same(given, arguments)


def _whole(name: str) -> Callable[[Meaning, exp.Anonymous, Arguments], exp.Expr]:
    """CEILING and FLOOR."""

    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
        argument = number(meaning, arguments[0])
        kind = meaning.type(argument)
        if kind.is_integer:
            return exp.Paren(this=argument)
        if kind.kind == "real":
            argument = meaning.cast(argument, types.FLOAT)
        return meaning.call(name, argument)

    return rewrite


def _whole_type(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    kind = same(given, arguments)
    return types.decimal(kind.precision, 0) if kind.kind == "decimal" else kind


def _round(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    kind = meaning.type(node)
    argument = number(meaning, arguments[0])
    digits = convert(meaning, arguments[1], types.INT) if not meaning.type(arguments[1]).is_integer else arguments[1]
    cut = len(arguments) > 2 and not (isinstance(arguments[2], exp.Literal) and arguments[2].name == "0")
    if cut and not isinstance(arguments[2], exp.Literal):
        raise meaning.fail("The third argument of ROUND must be a number.", arguments[2])
    given = meaning.type(argument)
    if given.kind == "real":
        argument = meaning.cast(argument, types.FLOAT)
    if kind.is_integer and isinstance(digits, exp.Literal):
        return meaning.cast(argument, kind) if given.kind != kind.kind else exp.Paren(this=argument)
    name = "round" if not cut else "truncate" if meaning.engine == "trino" else "trunc"
    if meaning.engine == POSTGRESQL and given.is_approximate:
        # PostgreSQL rounds only numeric to digits.
        return meaning.cast(
            meaning.call(name, exp.Cast(this=argument, to=exp.DataType(this=exp.DType.DECIMAL)), digits), kind
        )
    call = meaning.call(name, argument, digits)
    return meaning.cast(call, kind) if kind.kind in ("decimal", "int", "bigint") else call


def _power(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    """The result has the type of the base: POWER(2, 0.5) is 1."""
    base, exponent = (as_float(meaning, argument) for argument in arguments)
    return _back(meaning, meaning.call("power", base, exponent), meaning.type(node))


def _power_type(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    kind = same(given, arguments)
    return types.decimal(38, kind.scale) if kind.kind == "decimal" else kind


def _angle(name: str) -> Call:
    """DEGREES and RADIANS keep the type: RADIANS(180) is 3."""

    def kind(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
        found = same(given, arguments)
        return types.decimal(38, 18) if found.kind == "decimal" else found

    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
        return _back(meaning, meaning.call(name, as_float(meaning, arguments[0])), meaning.type(node))

    return Call(1, 1, kind, rewrite)


def _sign(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    return meaning.cast(meaning.call("sign", number(meaning, arguments[0])), meaning.type(node))


def _square(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    value = meaning.cast(number(meaning, arguments[0]), types.FLOAT)
    return exp.Paren(this=exp.Mul(this=value, expression=value.copy()))


def _log(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    """The natural logarithm, or that of the base."""
    value = meaning.call("ln", as_float(meaning, arguments[0]))
    if len(arguments) == 1:
        return value
    base = meaning.call("ln", as_float(meaning, arguments[1]))
    return exp.Paren(this=exp.Div(this=value, expression=base, typed=not meaning.duckdb))


def _log10(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    return meaning.call("log10", as_float(meaning, arguments[0]))


def _pi(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    return meaning.call("pi")


def _rand(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    """One number per query, as in SQL Server; with a seed its sequence cannot be given."""
    if arguments:
        raise meaning.fail(
            "RAND with a seed is not supported.", node, "For a repeatable sample, use a column: WHERE objID % 100 = 7."
        )
    select = exp.select(meaning.call("rand" if meaning.engine == "trino" else "random"))
    return exp.Subquery(this=select)


def _checksum(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    """Only CHECKSUM(NEWID()), which is a random int."""
    inner = arguments[0] if len(arguments) == 1 else None
    if isinstance(inner, exp.Anonymous) and inner.name in ("gen_random_uuid", "uuid"):
        scale = exp.Mul(
            this=meaning.call("rand" if meaning.engine == "trino" else "random"),
            expression=exp.Literal.number("4294967295e0"),
        )
        shifted = exp.Sub(this=meaning.call("floor", scale), expression=exp.Literal.number("2147483648e0"))
        return meaning.cast(exp.Paren(this=shifted), types.INT)
    raise meaning.fail("CHECKSUM is not supported.", node, "Compare the columns themselves.")


def _atn2(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    return meaning.call("atan2", *(as_float(meaning, argument) for argument in arguments))


def _choose(meaning: Meaning, node: exp.Anonymous, arguments: Arguments) -> exp.Expr:
    from casjobs_service.dialect.comparison import unify

    index = convert(meaning, arguments[0], types.INT) if not meaning.type(arguments[0]).is_integer else arguments[0]
    case = exp.Case(
        this=wrap(index),
        ifs=[exp.If(this=exp.Literal.number(place), true=argument) for place, argument in enumerate(arguments[1:], 1)],
    )
    unify(meaning, case, meaning.type(node))
    return case


def _choose_type(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    kind = types.NULL
    for item in given[1:]:
        kind = types.wider(kind, item)
    return kind


CALLS.update(
    {
        "abs": Call(1, 1, _abs_type, _abs),
        "ceiling": Call(1, 1, _whole_type, _whole("ceil")),
        "floor": Call(1, 1, _whole_type, _whole("floor")),
        "round": Call(2, 3, same, _round),
        "power": Call(2, 2, _power_type, _power),
        "square": Call(1, 1, fixed(types.FLOAT), _square),
        "sqrt": _through_float("sqrt"),
        "exp": _through_float("exp"),
        "log": Call(1, 2, fixed(types.FLOAT), _log),
        "log10": Call(1, 1, fixed(types.FLOAT), _log10),
        "sin": _through_float("sin"),
        "cos": _through_float("cos"),
        "tan": _through_float("tan"),
        "cot": _through_float("cot"),
        "asin": _through_float("asin"),
        "acos": _through_float("acos"),
        "atan": _through_float("atan"),
        "atn2": Call(2, 2, fixed(types.FLOAT), _atn2),
        "degrees": _angle("degrees"),
        "radians": _angle("radians"),
        "sign": Call(1, 1, same, _sign),
        "pi": Call(0, 0, fixed(types.FLOAT), _pi),
        "rand": Call(0, 1, fixed(types.FLOAT), _rand),
        "checksum": Call(1, -1, fixed(types.INT), _checksum),
        "choose": Call(2, -1, _choose_type, _choose),
    }
)
REFUSED.update(
    {
        "binary_checksum": "Compare the columns themselves.",
        "checksum_agg": "Compare counts and sums.",
        "hashbytes": "Compare the columns themselves.",
    }
)
