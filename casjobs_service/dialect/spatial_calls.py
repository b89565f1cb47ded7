# ruff: noqa: S608  (the names in this SQL come from catalogues, in quotes)
"""Queries that do what one call of a spatial function does."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sqlglot import exp

from casjobs_service.catalog import Catalog, Table
from casjobs_service.dialect.spatial_cover import cover_call
from casjobs_service.dialect.spatial_footprint import footprint
from casjobs_service.dialect.spatial_functions import TABLE_FUNCTIONS
from casjobs_service.dialect.spatial_kinds import READS, Choice, ScalarFunction, Searched, Shape, TableFunction, choose
from casjobs_service.dialect.spatial_places import places
from casjobs_service.dialect.spatial_zones import (
    OBJECTS,
    Place,
    Search,
    around,
    around_each,
    around_variable,
    number,
    quoted,
    raw,
    real,
)
from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import TableName

FIRST_FIELD = 1 << 28
"""Bit of an objID."""


def _check(name: str, parameters: Sequence[object], arguments: Sequence[exp.Expr], names: str) -> None:
    if len(arguments) != len(parameters):
        raise QueryError(
            f"{name} takes {len(parameters)} arguments ({names}), not {len(arguments)}.",
            Kind.SYNTAX,
        )


def _bound(function: TableFunction | ScalarFunction, arguments: Sequence[exp.Expr]) -> dict[str, exp.Expr]:
    """Arguments by the names of the parameters."""
    names = [parameter.name for parameter in function.parameters]
    _check(function.name, names, arguments, ", ".join(names))
    return dict(zip(names, arguments, strict=True))


def table_call(function: TableFunction, arguments: Sequence[exp.Expr], catalog: Catalog, few: bool) -> exp.Subquery:
    """Query for a table function; `few` if it is called for few rows of other tables only."""
    given = _bound(function, arguments)
    if function.shape is Shape.ROW:
        return _row(function, given)
    if function.shape is Shape.COVER:
        return cover_call(function, arguments)
    if function.shape is Shape.FOOTPRINT:
        return footprint(function, given, catalog)
    if function.shape is Shape.PLACES:
        return places(function, given, catalog)
    choice = _choice(function.name, function.searched, catalog)
    if function.shape is Shape.BOX:
        return _rectangle(function, given, choice, catalog)
    search, values, ordered = _search(given, function.radius, choice, few)
    cells = ", ".join(_cell(column.name, column.type, choice, search) for column in function.columns)
    order = ""
    if ordered or function.shape is Shape.NEAREST:
        # By its name: the engine plans a repeated expression again.
        answered = any(column.name == "distance" for column in function.columns)
        order = f" ORDER BY {quoted('distance') if answered else search.haversine}{_tie(function, choice)}"
    limit = " LIMIT 1" if function.shape is Shape.NEAREST else ""
    conditions, more = _conditions(search, choice, given, function.where)
    sql = f"SELECT {cells} FROM {search.joins} WHERE {conditions}{order}{limit}"
    return _query(sql, {**values, **more}, choice.table, catalog)


def _choice(name: str, searched: tuple[Searched, ...], catalog: Catalog) -> Choice:
    choice = choose(catalog, searched)
    if choice is None:
        raise QueryError(
            f"{name} needs a table {searched[0].table}, which {catalog.database} does not have.",
            Kind.NAME,
            hint="Name the context in front of the function, e.g. SkyDemo.dbo.fGetNearbyObjEq(…), or write"
            " WHERE dbo.fDistanceArcMinEq(ra, dec, …) < r.",
        )
    return choice


def _search(
    given: dict[str, exp.Expr], radius: str, choice: Choice, few: bool
) -> tuple[Search, dict[str, exp.Expr], bool]:
    """The search, what its placeholders mean, and whether it is for one position only."""
    limit = exp.Literal.number(real(float(radius))) if radius else given["r"]
    if "nx" in given:
        vector = {f"ss_{name}": given[name] for name in ("nx", "ny", "nz")}
        ra = raw("DEGREES(ATAN2(CAST(ss_ny AS DOUBLE), CAST(ss_nx AS DOUBLE)))", vector)
        dec = raw(
            "DEGREES(ATAN2(CAST(ss_nz AS DOUBLE), SQRT(CAST(ss_nx AS DOUBLE) ** 2 + CAST(ss_ny AS DOUBLE) ** 2)))",
            vector,
        )
        parts = [number(given[name]) for name in ("nx", "ny", "nz")]
        centre = _angles(*(part for part in parts if part is not None)) if None not in parts else None
    else:
        ra, dec = given["ra"], given["dec"]
        numbers = number(ra), number(dec)
        centre = (numbers[0], numbers[1]) if numbers[0] is not None and numbers[1] is not None else None
    place = Place.of(choice.sky)
    size = number(limit)
    values = {"ss_ra": ra, "ss_dec": dec, "ss_r": limit}
    if centre is not None and not -90 <= centre[1] <= 90:
        raise QueryError(
            f"A declination lies between -90 and 90 degrees, not at {centre[1]:g}.",
            Kind.DATA,
            hint="The order is: right ascension, declination, radius in arc minutes.",
        )
    if centre is not None and size is not None:
        return around(place, *centre, size), {}, True
    if not any(node.find(exp.Column, exp.Query) for node in values.values()):
        return around_variable(place), values, True
    return around_each(place, size, few), values, False


def _angles(x: float, y: float, z: float) -> tuple[float, float]:
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


def _cell(name: str, kind: str, choice: Choice, search: Search | None) -> str:
    """A column of the result: the table's, or what follows from the position, or NULL."""
    ra, dec = (f"{OBJECTS}.{quoted(column)}" for column in (choice.sky.ra, choice.sky.dec))
    computed = {
        "cx": f"COS(RADIANS({dec})) * COS(RADIANS({ra}))",
        "cy": f"COS(RADIANS({dec})) * SIN(RADIANS({ra}))",
        "cz": f"SIN(RADIANS({dec}))",
        "ra": ra,
        "dec": dec,
    }
    if search is not None:
        computed["distance"] = search.distance
    if name == "distance":
        value = computed[name]
    elif column := choice.table.column(name):
        value = f"{OBJECTS}.{quoted(column.name)}"
    else:
        value = computed.get(name, "NULL")
    return f"CAST({value} AS {kind}) AS {quoted(name)}"


def _tie(function: TableFunction, choice: Choice) -> str:
    """Among rows at the same distance the least identifier comes first, so that answers are the same every time."""
    key = choice.table.column(function.columns[0].name)
    return f", {OBJECTS}.{quoted(key.name)}" if key else ""


def _conditions(
    search: Search, choice: Choice, given: dict[str, exp.Expr], where: tuple[tuple[str, str], ...]
) -> tuple[str, dict[str, exp.Expr]]:
    conditions, values = [search.condition], {}
    if choice.only:
        conditions.append(f"{OBJECTS}.{quoted(choice.only)} = 1")
    for name, parameter in where:
        column = choice.table.column(name)
        conditions.append(f"{OBJECTS}.{quoted(column.name)} = ss_{parameter}" if column else "FALSE")
        values[f"ss_{parameter}"] = given[parameter]
    return " AND ".join(conditions), values


def _query(sql: str, values: dict[str, exp.Expr], table: Table, catalog: Catalog) -> exp.Subquery:
    name = TableName(catalog.database, table.name)
    text = f"{quoted(name.database)}.main.{quoted(name.table)}"
    query = exp.Subquery(this=raw(sql.replace("ss_table", text), values))
    query.meta[READS] = [name]
    return query


def _rectangle(function: TableFunction, given: dict[str, exp.Expr], choice: Choice, catalog: Catalog) -> exp.Subquery:
    place = Place.of(choice.sky)
    conditions = [f"{place.dec} > ss_dec1 AND {place.dec} < ss_dec2"]
    south, north = number(given["dec1"]), number(given["dec2"])
    if place.ordered and south is not None and north is not None:
        height = choice.sky.zone_height
        conditions.append(
            f"{place.zone} BETWEEN {math.floor((south + 90) / height) - 1} AND {math.floor((north + 90) / height) + 1}"
        )
    # From the first to the second right ascension eastwards, across 0 if need be.
    conditions.append(
        f"CASE WHEN ss_ra1 <= ss_ra2 THEN {place.ra} > ss_ra1 AND {place.ra} < ss_ra2"
        f" ELSE {place.ra} > ss_ra1 OR {place.ra} < ss_ra2 END"
    )
    if choice.only:
        conditions.append(f"{OBJECTS}.{quoted(choice.only)} = 1")
    cells = ", ".join(_cell(column.name, column.type, choice, None) for column in function.columns)
    values = {f"ss_{name}": node for name, node in given.items()}
    return _query(
        f"SELECT {cells} FROM ss_table AS {OBJECTS} WHERE {' AND '.join(conditions)}", values, choice.table, catalog
    )


def _row(function: TableFunction, given: dict[str, exp.Expr]) -> exp.Subquery:
    """One row: the arguments, converted to their types, in an inner query; the columns in an outer one."""
    inner = ", ".join(
        f"CAST(ss_{parameter.name} AS {parameter.type}) AS p_{parameter.name}" for parameter in function.parameters
    )
    names = {parameter.name: f"ss_p.p_{parameter.name}" for parameter in function.parameters}
    cells = ", ".join(
        f"CAST({cell.format(**names)} AS {column.type}) AS {quoted(column.name)}"
        for cell, column in zip(function.cells, function.columns, strict=True)
    )
    query = f"SELECT {cells} FROM (SELECT {inner}) AS ss_p"
    return exp.Subquery(this=raw(query, {f"ss_{name}": node for name, node in given.items()}))


def scalar_call(function: ScalarFunction, arguments: Sequence[exp.Expr], catalog: Catalog, few: bool) -> exp.Subquery:
    """Query for a scalar function, likewise."""
    given = _bound(function, arguments)
    if not function.search:
        return _lookup(function, given, catalog)
    table = TABLE_FUNCTIONS[function.search.lower()]
    if table.shape is Shape.FOOTPRINT:
        return footprint(table, given, catalog, "COUNT(*) > 0")
    choice = _choice(function.name, table.searched, catalog)
    search, values, _ = _search(given, table.radius, choice, few)
    conditions, more = _conditions(search, choice, given, (*table.where, *function.filters))
    cell = _cell(function.column, function.returns, choice, search)
    order = search.haversine + _tie(table, choice)
    return _query(
        f"SELECT {cell} FROM {search.joins} WHERE {conditions} ORDER BY {order} LIMIT 1",
        {**values, **more},
        choice.table,
        catalog,
    )


def _lookup(function: ScalarFunction, given: dict[str, exp.Expr], catalog: Catalog) -> exp.Subquery:
    found = next(
        (
            (table, item.column)
            for item in function.lookup
            if (table := catalog.table(item.table))
            and table.column(function.column)
            and table.column(function.key)
            and (not item.column or table.column(item.column))
        ),
        None,
    )
    if found is None:
        raise QueryError(
            f"{function.name} needs a table {function.lookup[0].table}, which {catalog.database} does not have.",
            Kind.NAME,
        )
    table, only = found
    key, value = (f"{OBJECTS}.{quoted(table.column(name).name)}" for name in (function.key, function.column))  # type: ignore[union-attr]
    condition = f" AND {OBJECTS}.{quoted(only)} = 1" if only else ""
    if function.column == function.key:
        # The smaller of the two that may exist is the one without the bit.
        sql = (
            f"SELECT COALESCE(MIN({value}), 0) FROM ss_table AS {OBJECTS}"
            f" WHERE ({key} & ~{FIRST_FIELD}) = (CAST(ss_key AS BIGINT) & ~{FIRST_FIELD}){condition}"
        )
    else:
        sql = f"SELECT MIN({value}) FROM ss_table AS {OBJECTS} WHERE {key} = ss_key{condition}"
    return _query(sql, {"ss_key": next(iter(given.values()))}, table, catalog)
