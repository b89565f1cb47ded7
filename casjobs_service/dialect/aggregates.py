"""Aggregates and window functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from casjobs_service.dialect import types
from casjobs_service.dialect.arithmetic import scaled, to_number, unscaled
from casjobs_service.dialect.meaning import CALLS, Call, Meaning, first, fixed, wrap
from casjobs_service.dialect.types import Type
from casjobs_service.errors import Kind


def _sum_type(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    kind = given[0]
    if kind.is_integer or kind.is_string:
        return types.BIGINT
    if kind.is_approximate:
        return types.FLOAT
    return types.decimal(38, kind.scale) if kind.kind == "decimal" else kind


def _avg_type(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    kind = given[0]
    if kind.is_integer:
        return types.BIGINT if kind.kind == "bigint" else types.INT
    if kind.is_approximate:
        return types.FLOAT
    return types.decimal(38, max(kind.scale, 6)) if kind.kind == "decimal" else kind


def _operand(meaning: Meaning, node: exp.Anonymous, argument: exp.Expr) -> tuple[exp.Expr, Type]:
    """What is aggregated, without DISTINCT, as a number."""
    inner = argument.expressions[0] if isinstance(argument, exp.Distinct) else argument
    kind = meaning.type(inner)
    if kind.kind == "bit":
        return meaning.cast(inner, types.INT), types.INT
    if kind.is_string:
        return to_number(meaning, inner, types.FLOAT), types.FLOAT
    if kind.is_time or kind.kind in ("binary", "uuid"):
        raise meaning.fail(f"{str(node.name).upper()} needs numbers.", node, kind=Kind.DATA)
    return inner, kind


def _distinct(argument: exp.Expr, inner: exp.Expr) -> exp.Expr:
    return exp.Distinct(expressions=[inner]) if isinstance(argument, exp.Distinct) else inner


def _aggregate(meaning: Meaning, node: exp.Anonymous, name: str, *arguments: exp.Expr) -> exp.Expr:
    """A call of the engine's aggregate, with the OVER of the user's."""
    call: exp.Expr = meaning.call(name, *arguments)
    over = node.parent
    if isinstance(over, exp.Window) and over.this is node:
        window = over.copy()
        window.set("this", call)
        return window
    return call


def _spread(meaning: Meaning, node: exp.Anonymous, new: exp.Expr) -> exp.Expr:
    """A result that holds its own OVER takes the place of the user's."""
    over = node.parent
    if isinstance(over, exp.Window) and over.this is node:
        kind = meaning.type(over)
        over.replace(meaning.typed(new, kind))
        return node
    return new


def _sum(meaning: Meaning, node: exp.Anonymous, arguments: list[Any]) -> exp.Expr:
    inner, kind = _operand(meaning, node, arguments[0])
    call = _aggregate(meaning, node, "sum", _distinct(arguments[0], inner))
    if kind.is_integer:
        call = meaning.cast(call, types.BIGINT)
    return _spread(meaning, node, call)


def _avg(meaning: Meaning, node: exp.Anonymous, arguments: list[Any]) -> exp.Expr:
    inner, kind = _operand(meaning, node, arguments[0])
    quotient: exp.Expr
    result = _avg_type([kind], [])
    if not (kind.is_integer or kind.kind == "decimal"):
        return _spread(meaning, node, _aggregate(meaning, node, "avg", _distinct(arguments[0], inner)))
    count = _aggregate(meaning, node, "count", _distinct(arguments[0], inner.copy()))
    # None of an empty group, rather than an error.
    count = exp.Nullif(this=count, expression=exp.Literal.number(0))
    if not meaning.duckdb:
        total = _aggregate(meaning, node, "sum", _distinct(arguments[0], inner))
        quotient = exp.Div(this=meaning.cast(total, types.decimal(38, kind.scale)), expression=count, typed=True)
        name = "trunc" if meaning.engine == "postgresql" else "truncate"
        return _spread(meaning, node, meaning.cast(meaning.call(name, quotient, result.scale), result))
    if kind.is_integer:
        total = _aggregate(meaning, node, "sum", _distinct(arguments[0], inner))
        quotient = exp.IntDiv(this=total, expression=count)
        return _spread(meaning, node, meaning.cast(exp.Paren(this=quotient), result))
    whole = unscaled(meaning, inner, kind, 0)
    total = _aggregate(meaning, node, "sum", _distinct(arguments[0], whole))
    factor = exp.Cast(this=exp.Literal.number(10 ** (result.scale - kind.scale)), to=types.HUGE.node())
    quotient = exp.IntDiv(this=exp.Paren(this=exp.Mul(this=total, expression=factor)), expression=count)
    return _spread(meaning, node, scaled(meaning, exp.Paren(this=quotient), result))


def _count(meaning: Meaning, node: exp.Anonymous, arguments: list[Any]) -> exp.Expr:
    if len(arguments) == 1 and isinstance(arguments[0], exp.Distinct) and len(arguments[0].expressions) > 1:
        raise meaning.fail("COUNT(DISTINCT …) takes one column.", node, kind=Kind.SYNTAX)
    argument = arguments[0]
    if not meaning.duckdb and isinstance(argument, exp.Distinct) and meaning.type(argument).is_string:
        argument = exp.Distinct(expressions=[meaning.call("lower", argument.expressions[0])])
    return meaning.call("count", argument)


def _plain(name: str, returns: Any, *, approximate: bool = False) -> Call:
    """An aggregate that the engines know, perhaps by another name."""

    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: list[Any]) -> exp.Expr:
        argument = arguments[0]
        if approximate:
            inner, kind = _operand(meaning, node, argument)
            if kind.kind == "decimal" and not meaning.duckdb:
                inner = meaning.cast(inner, types.FLOAT)
            argument = _distinct(argument, inner)
        elif meaning.type(argument).kind == "bit":
            argument = meaning.cast(argument, types.INT)
        return meaning.call(name, argument)

    return Call(1, 1, returns, rewrite, aggregate=True, window=True)


def _ranking(name: str, least: int, most: int, returns: Any) -> Call:
    """A function that needs OVER."""

    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: list[Any]) -> exp.Expr:
        if not isinstance(node.parent, exp.Window):
            raise meaning.fail(f"{name.upper()} needs OVER (…).", node, kind=Kind.SYNTAX)
        if name in ("row_number", "rank", "dense_rank", "ntile", "lag", "lead") and not node.parent.args.get("order"):
            raise meaning.fail(f"{name.upper()} needs OVER (ORDER BY …).", node, kind=Kind.SYNTAX)
        return meaning.call(name, *arguments)

    return Call(least, most, returns, rewrite, window=True)


def _percentile(name: str) -> Call:
    def rewrite(meaning: Meaning, node: exp.Anonymous, arguments: list[Any]) -> exp.Expr:
        within = node.parent
        if not isinstance(within, exp.WithinGroup):
            raise meaning.fail(f"{name.upper()} needs WITHIN GROUP (ORDER BY …).", node, kind=Kind.SYNTAX)
        if not meaning.duckdb:
            return meaning.call(name, *arguments)
        ordered = within.expression.expressions[0]
        share = arguments[0]
        if ordered.args.get("desc"):
            share = exp.Paren(this=exp.Sub(this=exp.Literal.number("1e0"), expression=wrap(share)))
        value = ordered.this
        if name == "percentile_cont":
            value = meaning.cast(value, types.FLOAT)
        call = meaning.call(name.replace("percentile", "quantile"), value.copy(), share)
        within.replace(meaning.typed(call, meaning.type(node)))
        return node

    return Call(1, 1, fixed(types.FLOAT if name == "percentile_cont" else types.UNKNOWN), rewrite, window=True)


def _string_agg(meaning: Meaning, node: exp.Anonymous, arguments: list[Any]) -> exp.Expr:
    from casjobs_service.dialect.conversion import text

    value, separator = (text(meaning, argument) for argument in arguments)
    within = node.parent
    if isinstance(within, exp.WithinGroup):
        order = within.expression
        # The engines want the order after the separator.
        ordered = exp.Order(this=separator, expressions=[item.copy() for item in order.expressions])
        call = meaning.call("string_agg", value, ordered)
        within.replace(meaning.typed(call, types.STRING))
        return node
    return meaning.call("string_agg", value, separator)


def _grouping(meaning: Meaning, node: exp.Anonymous, arguments: list[Any]) -> exp.Expr:
    return meaning.cast(meaning.call("grouping", *arguments), types.INT)


def _identity(meaning: Meaning, node: exp.Anonymous, arguments: list[Any]) -> exp.Expr:
    """IDENTITY(int, start, step) of SELECT … INTO: rows are numbered."""
    start, step = (arguments[1:] + [exp.Literal.number(1)] * 2)[:2]
    rows = exp.Window(this=meaning.call("row_number"))
    before = exp.Paren(this=exp.Sub(this=rows, expression=exp.Literal.number(1)))
    number = exp.Add(this=exp.Mul(this=before, expression=wrap(step)), expression=wrap(start))
    return meaning.cast(exp.Paren(this=number), meaning.type(node))


def _identity_type(given: Sequence[Type], arguments: Sequence[exp.Expr]) -> Type:
    return types.BIGINT if arguments and arguments[0].name.lower() == "bigint" else types.INT


CALLS.update(
    {
        "identity": Call(1, 3, _identity_type, _identity),
        "count": Call(1, 1, fixed(types.INT), _count, aggregate=True, window=True),
        "count_big": Call(1, 1, fixed(types.BIGINT), _count, aggregate=True, window=True),
        "sum": Call(1, 1, _sum_type, _sum, aggregate=True, window=True),
        "avg": Call(1, 1, _avg_type, _avg, aggregate=True, window=True),
        "min": _plain("min", first),
        "max": _plain("max", first),
        "stdev": _plain("stddev_samp", fixed(types.FLOAT), approximate=True),
        "stdevp": _plain("stddev_pop", fixed(types.FLOAT), approximate=True),
        "var": _plain("var_samp", fixed(types.FLOAT), approximate=True),
        "varp": _plain("var_pop", fixed(types.FLOAT), approximate=True),
        "approx_count_distinct": _plain("approx_count_distinct", fixed(types.BIGINT)),
        "string_agg": Call(2, 2, fixed(types.STRING), _string_agg, aggregate=True),
        "grouping": Call(1, 1, fixed(types.INT), _grouping, aggregate=True),
        "grouping_id": Call(1, -1, fixed(types.INT), _grouping, aggregate=True),
        "row_number": _ranking("row_number", 0, 0, fixed(types.BIGINT)),
        "rank": _ranking("rank", 0, 0, fixed(types.BIGINT)),
        "dense_rank": _ranking("dense_rank", 0, 0, fixed(types.BIGINT)),
        "ntile": _ranking("ntile", 1, 1, fixed(types.BIGINT)),
        "percent_rank": _ranking("percent_rank", 0, 0, fixed(types.FLOAT)),
        "cume_dist": _ranking("cume_dist", 0, 0, fixed(types.FLOAT)),
        "lag": _ranking("lag", 1, 3, first),
        "lead": _ranking("lead", 1, 3, first),
        "first_value": _ranking("first_value", 1, 1, first),
        "last_value": _ranking("last_value", 1, 1, first),
        "percentile_cont": _percentile("percentile_cont"),
        "percentile_disc": _percentile("percentile_disc"),
    }
)
