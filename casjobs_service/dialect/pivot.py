"""PIVOT and UNPIVOT, as plain queries."""

from __future__ import annotations

from sqlglot import exp

from casjobs_service.dialect.names import identifier
from casjobs_service.dialect.source import Source
from casjobs_service.dialect.tsql import WRITTEN
from casjobs_service.errors import Kind

INNER = "pivoted"
"""Alias of the table in the query that replaces it."""


def plain(node: exp.Expr, pivot: exp.Pivot, columns: list[str], source: Source) -> exp.Subquery:
    """A query that does what ``table PIVOT (…) AS p`` does.

    Parameters
    ----------
    node
        The table or query before PIVOT, without it.
    columns
        Its columns.
    """
    fields = pivot.args.get("fields") or []
    field = fields[0] if len(fields) == 1 else None
    if not isinstance(field, exp.In) or not isinstance(field.this, exp.Column | exp.Identifier):
        raise source.error("This form of PIVOT is not supported.", Kind.UNSUPPORTED, pivot)
    inner = node.copy()
    inner.set("pivots", None)
    inner.set("joins", None)
    inner.set("alias", exp.TableAlias(this=identifier(INNER)))
    make = _unpivot if pivot.args.get("unpivot") else _pivot
    query = make(inner, pivot, field, columns, source)
    alias = pivot.args.get("alias")
    if alias is None:
        raise source.error("PIVOT needs a name.", Kind.SYNTAX, pivot, "Write PIVOT (…) AS p.")
    subquery = exp.Subquery(this=query, alias=exp.TableAlias(this=identifier(alias.name)))
    for item in subquery.walk():
        item.meta[WRITTEN] = True
    return subquery


def _column(name: str) -> exp.Column:
    return exp.column(identifier(name), table=identifier(INNER))


def _pivot(inner: exp.Expr, pivot: exp.Pivot, field: exp.In, columns: list[str], source: Source) -> exp.Select:
    if len(pivot.expressions) != 1:
        raise source.error("PIVOT needs one aggregate.", Kind.UNSUPPORTED, pivot)
    aggregate = pivot.expressions[0].unalias()
    arguments = list(aggregate.expressions) if isinstance(aggregate, exp.Anonymous) else []
    if len(arguments) != 1 or not isinstance(arguments[0], exp.Column):
        raise source.error("PIVOT needs an aggregate of a column.", Kind.UNSUPPORTED, pivot)
    value, key = arguments[0].name, field.this.name
    others = [name for name in columns if name.lower() not in (value.lower(), key.lower())]
    projections: list[exp.Expr] = [_column(name) for name in others]
    for item in field.expressions:
        name = item.alias_or_name
        wanted = exp.Literal.string(item.unalias().name)
        case = exp.Case(ifs=[exp.If(this=exp.EQ(this=_column(key), expression=wanted), true=_column(value))])
        call = exp.Anonymous(this=aggregate.name, expressions=[case])
        projections.append(exp.alias_(call, identifier(name), copy=False))
    select = exp.Select(expressions=projections, from_=exp.From(this=inner))
    if others:
        select.set("group", exp.Group(expressions=[_column(name) for name in others]))
    return select


def _unpivot(inner: exp.Expr, pivot: exp.Pivot, field: exp.In, columns: list[str], source: Source) -> exp.Select:
    if len(pivot.expressions) != 1:
        raise source.error("UNPIVOT needs one value column.", Kind.UNSUPPORTED, pivot)
    value, key = pivot.expressions[0].name, field.this.name
    taken = [item.name for item in field.expressions]
    lower = {name.lower() for name in taken}
    spelled = {name.lower(): name for name in columns}
    others = [name for name in columns if name.lower() not in lower]
    parts: list[exp.Select] = []
    for name in taken:
        title = spelled.get(name.lower(), name)
        select = exp.Select(
            expressions=[
                *[_column(other) for other in others],
                exp.alias_(_column(title), identifier(value), copy=False),
                exp.alias_(exp.Literal.string(title), identifier(key), copy=False),
            ],
            from_=exp.From(this=inner.copy()),
        )
        present = exp.Not(this=exp.Is(this=_column(title), expression=exp.Null()))
        select.set("where", exp.Where(this=present))
        parts.append(select)
    query: exp.Expr = parts[0]
    for part in parts[1:]:
        query = exp.Union(this=query, expression=part, distinct=False)
    if isinstance(query, exp.Select):
        return query
    wrapped = exp.Subquery(this=query, alias=exp.TableAlias(this=identifier(INNER)))
    return exp.Select(expressions=[exp.Star()], from_=exp.From(this=wrapped))
