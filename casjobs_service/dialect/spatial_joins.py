"""Joins and conditions by distance, as users write them: ``dbo.fDistanceArcMinEq(a.ra, a.dec, b.ra, b.dec) < r``.

The condition stays as it is. One of its tables becomes a lateral subquery that finds, by zones, at least the rows that
the condition can hold for; a condition on one table and a constant position gets the ranges that it implies beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from casjobs_service.catalog import Sky, Table
from casjobs_service.dialect.spatial_zones import (
    OBJECTS,
    SLACK,
    Place,
    are_few,
    around_each,
    box,
    number,
    quoted,
    raw,
    real,
    rows_of,
)

DISTANCES = frozenset({"fdistancearcmineq", "fdistanceeq"})
"""Functions of two positions in degrees that answer arc minutes."""
_UNORDERED = Sky("", "", "")


@dataclass(slots=True)
class Item:
    """Something in FROM."""

    alias: str
    node: exp.Expr
    join: exp.Join | None
    table: Table | None

    @property
    def inner(self) -> bool:
        """Every row of it that is in the result fulfils all conditions."""
        return self.join is None or not self.join.side

    @property
    def replaceable(self) -> bool:
        """It may become a lateral subquery."""
        if isinstance(self.node, exp.Table):
            return isinstance(self.node.this, exp.Identifier) and not self.node.args.get("joins")
        return isinstance(self.node, exp.Subquery) and bool(self.alias) and not self.node.args.get("joins")


@dataclass(slots=True)
class Near:
    """A condition that two positions are not further apart than a radius.

    Attributes
    ----------
    positions
        Two pairs (right ascension, declination).
    radius
        In arc minutes.
    value
        The radius, if it is a number.
    """

    node: exp.Expr
    positions: tuple[tuple[exp.Expr, exp.Expr], tuple[exp.Expr, exp.Expr]]
    radius: exp.Expr
    value: float | None


def rewrite_distances(select: exp.Select, tables: dict[int, Table]) -> None:
    """Rewrite the FROM clause and the conditions of one query, in place.

    Parameters
    ----------
    tables
        What the catalogues say of the tables in FROM, by the `id` of their nodes.
    """
    items = list(_items(select, tables))
    if any(item.join is not None and item.join.side in ("RIGHT", "FULL") for item in items):
        return
    by_alias = {item.alias: index for index, item in enumerate(items) if item.alias}
    done: set[int] = set()
    for holder, condition in _conditions(select, items):
        near = _near(condition)
        if near is None:
            continue
        used = [_aliases(pair, by_alias) for pair in near.positions]
        limits = _aliases((near.radius,), by_alias)
        if used[0] and used[1]:
            index = _join(select, items, near, used, limits, holder, done)
            if index is not None:
                done.add(index)
                # What stood before may have moved.
                items = list(_items(select, tables, items))
                by_alias = {item.alias: index for index, item in enumerate(items) if item.alias}
        elif (used[0] or used[1]) and not limits:
            _cone(items, near, used, by_alias)


def _items(select: exp.Select, tables: dict[int, Table], before: list[Item] | None = None) -> Iterator[Item]:
    known = {id(item.node): item.table for item in before or []}
    from_ = select.args.get("from_")
    if from_ is None:
        return
    nodes: list[tuple[exp.Expr, exp.Join | None]] = [(from_.this, None)]
    nodes += [(join.this, join) for join in select.args.get("joins") or []]
    for node, join in nodes:
        yield Item(node.alias_or_name, node, join, tables.get(id(node)) or known.get(id(node)))


def _conditions(select: exp.Select, items: list[Item]) -> list[tuple[Item | None, exp.Expr]]:
    """Terms of WHERE and of the joins' conditions that all must hold, with the join that they belong to."""
    found: list[tuple[Item | None, exp.Expr]] = []
    if where := select.args.get("where"):
        found += [(None, term) for term in _terms(where.this)]
    for item in items:
        if item.join is not None and (on := item.join.args.get("on")):
            found += [(item, term) for term in _terms(on)]
    return found


def _terms(node: exp.Expr) -> Iterator[exp.Expr]:
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, exp.And):
            stack += [current.expression, current.this]
        elif isinstance(current, exp.Paren) and isinstance(current.this, exp.And | exp.Paren):
            stack.append(current.this)
        else:
            yield current


def _near(node: exp.Expr) -> Near | None:
    original = node
    while isinstance(node, exp.Paren):
        node = node.this
    match node:
        case exp.LT() | exp.LTE():
            measured, limit = node.this, node.expression
        case exp.GT() | exp.GTE():
            measured, limit = node.expression, node.this
        case exp.Between():
            measured, limit = node.this, node.args["high"]
        case _:
            return None
    factor = 1.0
    while not isinstance(measured, exp.Anonymous):
        if isinstance(measured, exp.Paren):
            measured = measured.this
            continue
        scaled = _scaled(measured)
        if scaled is None:
            return None
        measured, times = scaled
        factor *= times
    arguments = measured.expressions
    if str(measured.name).lower() not in DISTANCES or len(arguments) != 4:
        return None
    value = number(limit)
    if value is not None:
        radius: exp.Expr = exp.Literal.number(real(value / factor))
        value /= factor
    elif factor == 1:
        radius = limit
    else:
        radius = exp.Div(this=exp.Paren(this=limit.copy()), expression=exp.Literal.number(real(factor)))
    return Near(original, ((arguments[0], arguments[1]), (arguments[2], arguments[3])), radius, value)


def _scaled(node: exp.Expr) -> tuple[exp.Expr, float] | None:
    """Of ``distance * 60`` the distance and the factor, which is positive."""
    if not isinstance(node, exp.Mul | exp.Div):
        return None
    for inner, other in ((node.this, node.expression), (node.expression, node.this)):
        value = number(other)
        if value is not None and value > 0 and (isinstance(node, exp.Mul) or inner is node.this):
            return inner, value if isinstance(node, exp.Mul) else 1 / value
    return None


def _aliases(nodes: tuple[exp.Expr, ...], known: dict[str, int]) -> set[int]:
    """Which items expressions use; those of outer queries do not count."""
    return {known[column.table] for node in nodes for column in node.find_all(exp.Column) if column.table in known}


def _join(
    select: exp.Select,
    items: list[Item],
    near: Near,
    used: list[set[int]],
    limits: set[int],
    holder: Item | None,
    done: set[int],
) -> int | None:
    """Make one of the tables a lateral subquery; answers which."""
    choices = []
    for side in (0, 1):
        if len(used[side]) != 1:
            continue
        index = next(iter(used[side]))
        others = used[1 - side] | limits
        if index in others or index in done or not items[index].replaceable:
            continue
        if holder is not None and not holder.inner:
            # A condition of an outer join only chooses rows of the table that it joins.
            if items[index] is not holder:
                continue
        elif not items[index].inner:
            continue
        join = items[index].join
        if join is not None and join.side and _has_query(join.args.get("on")):
            # The engine refuses queries in the condition of a lateral join.
            continue
        swapped = index < max(others)
        if swapped and not (index == 0 and others == {1} and items[1].inner and items[1].replaceable):
            continue
        place = _place(items[index], near.positions[side])
        if place is None:
            continue
        table = items[index].table
        rows = table.rows if table is not None else None
        choices.append((place.ordered, rows or 0, not swapped, index, side, place))
    if not choices:
        return None
    *_, index, side, place = max(choices, key=lambda choice: choice[:3])
    if index < max(used[1 - side] | limits):
        _swap(select, items)
    join = items[index].join
    if join is not None and _has_query(on := join.args.get("on")):
        join.set("on", None)
        join.set("kind", "CROSS")
        select.where(exp.Paren(this=on), copy=False)
    few = are_few(rows_of(item.node, item.table) for item in items if item is not items[index])
    _make_lateral(items[index], near, side, place, _wanted(select, items[index]), few)
    return index


def _has_query(condition: exp.Expr | None) -> bool:
    return condition is not None and condition.find(exp.Query) is not None


def _place(item: Item, position: tuple[exp.Expr, exp.Expr], alias: str = OBJECTS) -> Place | None:
    """Where the item's rows are; None if that is more than two columns, whose meaning only T-SQL knows."""
    ra, dec = position
    if not isinstance(ra, exp.Column) or not isinstance(dec, exp.Column):
        return None
    sky = item.table.sky if item.table is not None else None
    if sky is not None and sky.zone and (ra.name.lower(), dec.name.lower()) == (sky.ra.lower(), sky.dec.lower()):
        return Place.of(sky, alias)
    texts = [f"CAST({alias}.{quoted(node.name)} AS DOUBLE)" for node in (ra, dec)]
    return Place(texts[0], texts[1], _UNORDERED, alias)


def _wanted(select: exp.Select, item: Item) -> str:
    """Columns of a table that a query uses; what is joined must not carry the others along."""
    if any(isinstance(star.parent, exp.Select | exp.Column) for star in select.find_all(exp.Star)):
        return f"{OBJECTS}.*"
    inner = [node.alias_or_name for node in select.find_all(exp.Table, exp.Subquery, exp.Lateral, exp.CTE)]
    if inner.count(item.alias) > 1:
        # A query inside has another table of that name.
        return f"{OBJECTS}.*"
    names = {column.name: None for column in select.find_all(exp.Column) if column.table == item.alias}
    return ", ".join(f"{OBJECTS}.{quoted(name)}" for name in names) or "1"


def _make_lateral(item: Item, near: Near, side: int, place: Place, wanted: str, few: bool) -> None:
    ra, dec = near.positions[1 - side]
    search = around_each(place, near.value, few)
    # A little wider, so that the user's condition decides at its border.
    wider = exp.Add(
        this=exp.Mul(this=exp.Paren(this=near.radius.copy()), expression=exp.Literal.number(real(1 + 1e-9))),
        expression=exp.Literal.number(real(60 * SLACK)),
    )
    target = item.node.copy()
    old = target.args.get("alias")
    alias = exp.TableAlias(this=exp.to_identifier(OBJECTS))
    if isinstance(old, exp.TableAlias) and old.columns:
        alias.set("columns", [column.copy() for column in old.columns])
    target.set("alias", alias)
    joins = search.joins.replace(f"ss_table AS {OBJECTS}", "ss_table")
    query = raw(
        f"SELECT {wanted} FROM {joins} WHERE {search.condition}",  # noqa: S608 - our own names
        {"ss_ra": ra, "ss_dec": dec, "ss_r": wider, "ss_table": target},
    )
    lateral = exp.Lateral(
        this=exp.Subquery(this=query), alias=exp.TableAlias(this=exp.to_identifier(item.alias, quoted=True))
    )
    item.node.replace(lateral)
    item.node = lateral


def _swap(select: exp.Select, items: list[Item]) -> None:
    """Exchange the first two tables of FROM; ``*`` keeps its order."""
    names = [exp.to_identifier(item.alias, quoted=True) for item in items]
    for projection in list(select.expressions):
        if isinstance(projection, exp.Star):
            at = select.expressions.index(projection)
            stars = [exp.Column(this=exp.Star(), table=name.copy()) for name in names]
            select.set("expressions", [*select.expressions[:at], *stars, *select.expressions[at + 1 :]])
    first, second = items[0].node, items[1].node
    join = items[1].join
    if join is None:
        return
    from_ = select.args["from_"]
    from_.set("this", second)
    join.set("this", first)
    items[0].join, items[1].join = join, None


def _cone(items: list[Item], near: Near, used: list[set[int]], by_alias: dict[str, int]) -> None:
    """Ranges that a condition on one table and a constant position implies."""
    side = 0 if used[0] else 1
    centre = [number(node) for node in near.positions[1 - side]]
    if len(used[side]) != 1 or near.value is None or centre[0] is None or centre[1] is None:
        return
    if abs(centre[1]) > 90:
        return
    item = items[next(iter(used[side]))]
    place = _place(item, near.positions[side], quoted(item.alias))
    if place is None or not place.ordered:
        return
    conditions = box(place, centre[0], centre[1], near.value * (1 + 1e-9) + 60 * SLACK)
    both = exp.And(this=near.node.copy(), expression=raw(" AND ".join(conditions)))
    near.node.replace(exp.Paren(this=both))
