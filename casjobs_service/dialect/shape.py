"""The shape of queries: TOP, APPLY, UNION of limited queries, names of output columns."""

from __future__ import annotations

from sqlglot import exp

from casjobs_service.dialect import types
from casjobs_service.dialect.comparison import as_type
from casjobs_service.dialect.meaning import Meaning
from casjobs_service.dialect.names import identifier
from casjobs_service.dialect.scope import OUTS
from casjobs_service.dialect.tsql import WRITTEN
from casjobs_service.errors import Kind

RANKING = "rank_of_row"
"""Column by which TOP … PERCENT and WITH TIES choose rows."""


def reshape(meaning: Meaning, root: exp.Expr) -> exp.Expr:
    """Rewrite all queries of a tree, the innermost first."""
    queries = [node for node in root.walk() if isinstance(node, exp.Select | exp.Lateral | exp.SetOperation)]
    for node in reversed(queries):
        match node:
            case exp.Select():
                new = _select(meaning, node)
                if new is not node:
                    if node is root:
                        root = new
                    else:
                        node.replace(new)
            case exp.SetOperation():
                _set_operation(meaning, node)
            case exp.Lateral():
                _apply(node)
    return root


def _select(meaning: Meaning, node: exp.Select) -> exp.Expr:
    for key in ("hint", "options"):
        node.set(key, None)
    if node.args.get("for_") is not None:
        raise meaning.fail("FOR XML and FOR JSON are not supported.", node, "Choose the format of the result instead.")
    if node.args.get("kind") or node.args.get("operation_modifiers"):
        raise meaning.fail("This form of SELECT is not supported.", node)
    _spell_outputs(node)
    if group := node.args.get("group"):
        _with_rollup(group)
        for key in group.expressions:
            if isinstance(key, exp.Literal):
                # The engine would take a number for the place of a column.
                raise meaning.fail("GROUP BY needs columns.", key, "Repeat the expression of the column.", Kind.SYNTAX)
    if order := node.args.get("order"):
        _order(meaning, order)
    limit = node.args.get("limit")
    if isinstance(limit, exp.Limit):
        options = limit.args.get("limit_options")
        percent = options is not None and options.args.get("percent")
        ties = options is not None and options.args.get("with_ties")
        limit.set("limit_options", None)
        if ties and not node.args.get("order"):
            raise meaning.fail("TOP … WITH TIES needs ORDER BY.", limit, kind=Kind.SYNTAX)
        if percent or ties:
            return _ranked(meaning, node, limit.expression, bool(percent), bool(ties))
    return node


def _with_rollup(group: exp.Group) -> None:
    """``GROUP BY a, b WITH ROLLUP`` is ``GROUP BY ROLLUP (a, b)``."""
    for key, kind in (("rollup", exp.Rollup), ("cube", exp.Cube)):
        for item in group.args.get(key) or []:
            if not item.expressions:
                group.set(key, [kind(expressions=[column.copy() for column in group.expressions])])
                group.set("expressions", [])


def _order(meaning: Meaning, order: exp.Order) -> None:
    for ordered in order.expressions:
        if isinstance(ordered.this, exp.Literal) and ordered.this.is_string:
            raise meaning.fail("ORDER BY needs columns.", ordered, kind=Kind.SYNTAX)


def _spell_outputs(node: exp.Select) -> None:
    """An output column is called as the user wrote it."""
    for index, projection in enumerate(node.expressions):
        if isinstance(projection, exp.Column) and not isinstance(projection.this, exp.Star):
            typed = projection.meta.get("typed", projection.name)
            if typed != projection.name:
                alias = exp.Alias(this=projection.copy(), alias=identifier(typed))
                node.expressions[index].replace(alias)
        elif isinstance(projection, exp.Alias):
            projection.set("alias", identifier(projection.alias))


def _ranked(meaning: Meaning, node: exp.Select, count: exp.Expr, percent: bool, ties: bool) -> exp.Expr:
    """TOP n PERCENT and WITH TIES, by the rank of each row in a query around this one."""
    outs = node.meta.get(OUTS)
    if outs is None or any(not out.name for out in outs) or len({out.name.lower() for out in outs}) != len(outs):
        raise meaning.fail(
            "TOP … PERCENT and WITH TIES need a name for each column.", node, "Name each column: … AS name."
        )
    order = node.args.get("order")
    node.set("limit", None)
    node.set("order", None)
    inner = node
    keys: list[exp.Expr] = []
    if order is not None:
        names = {out.name.lower() for out in outs}
        for number, ordered in enumerate(order.expressions):
            value = ordered.this
            if isinstance(value, exp.Column) and not value.table and value.name.lower() in names:
                key: exp.Expr = exp.column(identifier(value.name), table=identifier("ranked"))
            elif isinstance(value, exp.Literal):
                key = exp.column(identifier(outs[int(value.name) - 1].name), table=identifier("ranked"))
            else:
                if node.args.get("distinct"):
                    raise meaning.fail("With DISTINCT, ORDER BY needs output columns.", ordered, kind=Kind.SYNTAX)
                name = f"sort_key_{number}"
                inner.append("expressions", exp.Alias(this=value.copy(), alias=identifier(name)))
                key = exp.column(identifier(name), table=identifier("ranked"))
            keys.append(
                exp.Ordered(this=key, desc=ordered.args.get("desc"), nulls_first=ordered.args.get("nulls_first"))
            )
    with_ = node.args.get("with_")
    node.set("with_", None)
    into = node.args.get("into")
    node.set("into", None)
    window_order = exp.Order(expressions=[key.copy() for key in keys]) if keys else None
    rank = exp.Window(this=meaning.call("rank" if ties else "row_number"), order=window_order)
    total = exp.Window(this=meaning.call("count", exp.Star()))
    middle = exp.select(
        exp.Column(this=exp.Star(), table=identifier("ranked")),
        exp.alias_(rank, identifier(RANKING)),
        *([exp.alias_(total, identifier("count_of_rows"))] if percent else []),
    ).from_(exp.Subquery(this=inner, alias=exp.TableAlias(this=identifier("ranked"))))
    bound: exp.Expr = exp.Paren(this=count)
    if percent:
        share = exp.Div(
            this=exp.Mul(
                this=exp.column(identifier("count_of_rows"), table=identifier("ranked")),
                expression=meaning.cast(bound, types.FLOAT),
            ),
            expression=exp.Literal.number("100e0"),
        )
        share.set("typed", not meaning.duckdb)
        bound = meaning.call("ceil", share)
    outer = exp.select(*[exp.column(identifier(out.name), table=identifier("ranked")) for out in outs])
    outer = outer.from_(exp.Subquery(this=middle, alias=exp.TableAlias(this=identifier("ranked"))))
    outer = outer.where(exp.LTE(this=exp.column(identifier(RANKING), table=identifier("ranked")), expression=bound))
    if keys:
        outer.set("order", exp.Order(expressions=keys))
    outer.set("with_", with_)
    outer.set("into", into)
    outer.meta.update(node.meta)
    return outer


def _set_operation(meaning: Meaning, node: exp.SetOperation) -> None:
    """Columns of one type; TOP belongs to one of the queries, not to the whole."""
    outs = node.meta.get(OUTS)
    for key in ("this", "expression"):
        side = node.args[key]
        if outs is not None and WRITTEN in node.meta:
            _convert_side(meaning, side, [out.type for out in outs])
        side = node.args[key]
        if isinstance(side, exp.Select) and (side.args.get("limit") or side.args.get("order")):
            node.set(key, exp.Subquery(this=side))


def _convert_side(meaning: Meaning, side: exp.Expr, kinds: list[types.Type]) -> None:
    """One query of a UNION, with the types of the whole: numbers and dates win over texts."""
    side = side.unnest() if isinstance(side, exp.Subquery) else side
    given = side.meta.get(OUTS) or []
    if not isinstance(side, exp.Select) or len(side.expressions) != len(kinds):
        if any(
            out.type.is_string and not kind.is_string and kind != types.UNKNOWN
            for out, kind in zip(given, kinds, strict=False)
        ):
            raise meaning.fail("The columns of this UNION have different types.", side, "CAST them to one type.")
        return
    for projection, kind in zip(list(side.expressions), kinds, strict=True):
        value = projection.unalias()
        new = as_type(meaning, value, kind)
        if new is not value:
            new = new.copy()
            if isinstance(projection, exp.Alias):
                projection.set("this", new)
            else:
                name = output_name(projection)
                projection.replace(exp.Alias(this=new, alias=identifier(name)) if name else new)


def _apply(node: exp.Lateral) -> None:
    """CROSS APPLY is a lateral cross join, OUTER APPLY a lateral left join."""
    cross = node.args.get("cross_apply")
    if cross is None:
        return
    node.set("cross_apply", None)
    join = node.parent
    if isinstance(join, exp.Join):
        if cross:
            join.set("kind", "CROSS")
        else:
            join.set("side", "LEFT")
            join.set("on", exp.true())


def output_name(projection: exp.Expr) -> str:
    """Name of an output column, or nothing."""
    return projection.alias_or_name if isinstance(projection, exp.Alias | exp.Column) else ""


def limit_rows(tree: exp.Expr, count: int) -> exp.Expr:
    """``SET ROWCOUNT``: no more rows than that."""
    limit = tree.args.get("limit")
    if limit is None:
        tree.set("limit", exp.Limit(expression=exp.Literal.number(count)))
        return tree
    wrapped = exp.Subquery(this=tree, alias=exp.TableAlias(this=identifier("rows")))
    return exp.Select(
        expressions=[exp.Star()],
        from_=exp.From(this=wrapped),
        limit=exp.Limit(expression=exp.Literal.number(count)),
    )


def name_outputs(tree: exp.Expr) -> None:
    """Name the unnamed columns of a script's result: Column1, Column2 …"""
    query = tree
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Select):
        return
    number = 0
    for index, projection in enumerate(list(query.expressions)):
        unnamed = not isinstance(projection, exp.Alias | exp.Column | exp.Star)
        if unnamed or (isinstance(projection, exp.Alias) and not projection.alias):
            number += 1
            alias = exp.Alias(this=projection.copy(), alias=identifier(f"Column{number}"))
            query.expressions[index].replace(alias)
