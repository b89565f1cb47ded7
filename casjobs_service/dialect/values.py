"""Values that are no calls: literals in quotes and in hexadecimal, variables, the present."""

from __future__ import annotations

from sqlglot import exp

from casjobs_service.dialect.conversion import blob, convert
from casjobs_service.dialect.meaning import Meaning, handles
from casjobs_service.dialect.source import did_you_mean
from casjobs_service.dialect.types import FLOAT, NULL
from casjobs_service.errors import Kind

STANDALONE = (exp.Select, exp.Alias, exp.Tuple)
"""Parents below which ``0x…`` is binary."""


@handles(exp.National)
def _national(meaning: Meaning, node: exp.National) -> exp.Expr:
    value = node.this
    return exp.Literal.string(value if isinstance(value, str) else value.name)


@handles(exp.Literal)
def _literal(meaning: Meaning, node: exp.Literal) -> exp.Expr:
    """``1e3`` is a float in T-SQL, and a decimal in PostgreSQL."""
    if meaning.duckdb or node.is_string or "e" not in node.name.lower():
        return node
    return exp.Cast(this=node.copy(), to=FLOAT.node())


@handles(exp.Alias, exp.Select)
def _binary_output(meaning: Meaning, node: exp.Expr) -> exp.Expr:
    values = node.expressions if isinstance(node, exp.Select) else [node.this]
    for value in list(values):
        if isinstance(value, exp.HexString):
            value.replace(blob(meaning, value))
    return node


@handles(exp.Parameter)
def _parameter(meaning: Meaning, node: exp.Parameter) -> exp.Expr:
    name = node.name
    variable = meaning.session.variables.get(name.lower())
    if variable is None:
        raise meaning.fail(
            f"There is no variable @{name}.",
            node,
            did_you_mean(name, [item.name for item in meaning.session.variables.values()]).replace("mean ", "mean @")
            or f"Declare it first: DECLARE @{name} int.",
            Kind.NAME,
        )
    if variable.type == NULL:
        return exp.Null()
    if meaning.duckdb:
        return meaning.cast(meaning.call("getvariable", variable.name.lower()), variable.type)
    if variable.value is None:
        raise meaning.fail(
            f"@{name} has a value that comes from a query, and cannot be used in another engine.",
            node,
            "Copy the rows that you need INTO MyDB first.",
        )
    value = meaning.rewrite(variable.value.copy())
    return value if isinstance(variable.value, exp.Placeholder) else convert(meaning, value, variable.type)


@handles(exp.CurrentTimestamp)
def _now(meaning: Meaning, node: exp.CurrentTimestamp) -> exp.Expr:
    return now(meaning)


def now(meaning: Meaning) -> exp.Expr:
    """The present, in UTC, without a zone."""
    if meaning.duckdb:
        return exp.Cast(this=meaning.call("now"), to=exp.DataType(this=exp.DType.TIMESTAMP))
    return exp.Cast(
        this=exp.AtTimeZone(this=exp.CurrentTimestamp(), zone=exp.Literal.string("UTC")),
        to=exp.DataType(this=exp.DType.TIMESTAMP),
    )


@handles(exp.Concat)
def _adjacent(meaning: Meaning, node: exp.Concat) -> exp.Expr:
    raise meaning.fail("Two texts stand beside each other.", node, "Join them by +.", Kind.SYNTAX)


@handles(exp.Collate)
def _collate(meaning: Meaning, node: exp.Collate) -> exp.Expr:
    name = node.expression.name.lower()
    if "_cs" in name or "_bin" in name:
        raise meaning.fail("Collations that regard case are not supported.", node)
    return node.this


@handles(exp.ScopeResolution)
def _clr(meaning: Meaning, node: exp.ScopeResolution) -> exp.Expr:
    raise meaning.fail("Types with methods (::) are not supported.", node)
