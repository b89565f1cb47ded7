# ruff: noqa: S608  (the names in this SQL come from catalogues, in quotes)
"""Searches by place in a periodic box, over tables that are sorted by the cells of a grid.

As on the sky (`casjobs_service.dialect.spatial_zones`), a shape is listed once for every cell that its limits touch,
and the list is joined with the table by equality of the cells' numbers. The engine passes a short list on to the scan,
which then reads only the parts of the table that hold these cells: near cells are near in the table, too, because
they are numbered along a curve that fills space (Morton 1966). A shape that goes beyond the box meets the particles of
the opposite side, whose places are then those beyond the box, too: next to the shape, as the simulation had them.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from casjobs_service.catalog import Catalog, Grid, Table
from casjobs_service.dialect.functions_macro import columns
from casjobs_service.dialect.functions_shapes import NUMBERS, ShapeError, check_shape
from casjobs_service.dialect.source import literal_text
from casjobs_service.dialect.spatial_kinds import READS, Searched, Shape, TableFunction
from casjobs_service.dialect.spatial_zones import CELLS, OBJECTS, number, quoted, raw, real
from casjobs_service.dialect.tsql import WRITTEN
from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import TableName

PARTICLES = TableFunction(
    "MillenniumParticles",
    Shape.PLACES,
    columns("snapnum INTEGER, shape VARCHAR"),
    columns(
        "partId BIGINT, x FLOAT, y FLOAT, z FLOAT, vx FLOAT, vy FLOAT, vz FLOAT, fofId BIGINT, phkey INTEGER,"
        " snapnum SMALLINT"
    ),
    "Particles of a snapshot within Sphere::New(x, y, z, r).ToString() or Box::New(…).ToString(). The simulation's box"
    " is periodic: places of particles beyond its border are given next to the shape, not within the box",
    (Searched("Particles"),),
)
_SHIFTED = ("x", "y", "z")


def places_table(catalog: Catalog) -> Table | None:
    """The table that `PARTICLES` searches; None: the function does not belong to this database."""
    if catalog.engine != "duckdb":
        return None
    tables = (catalog.table(item.table) for item in PARTICLES.searched)
    return next(
        (
            table
            for table in tables
            if table is not None and table.grid and all(table.column(column.name) for column in PARTICLES.columns)
        ),
        None,
    )


def places(function: TableFunction, given: Mapping[str, exp.Expr], catalog: Catalog) -> exp.Subquery:
    """Query for a call of `PARTICLES`.

    Raises
    ------
    QueryError
        The database has no such table, or a shape that is known here is none, or wider than the box.
    """
    table = places_table(catalog)
    if table is None or table.grid is None:
        raise QueryError(f"There is no table function {function.name}.", Kind.NAME)
    _check(given["shape"], table.grid)
    answered = ", ".join(
        f"CAST({_place(column.name) if column.name in _SHIFTED else f'{OBJECTS}.{column.name}'} AS {column.type})"
        f" AS {quoted(column.name)}"
        for column in function.columns
    )
    inside = " AND ".join(
        f"{_place(axis)} >= {CELLS}.{axis}1 AND {_place(axis)} < {CELLS}.{axis}2" for axis in _SHIFTED
    )
    squared = " + ".join(f"({_place(axis)} - {CELLS}.{axis}0) ** 2" for axis in _SHIFTED)
    name = TableName(catalog.database, table.name)
    sql = (
        f"SELECT {answered} FROM ({_cells(table.grid)}) AS {CELLS}"
        f" JOIN {quoted(name.database)}.main.{quoted(name.table)} AS {OBJECTS}"
        f" ON {OBJECTS}.{quoted(table.grid.key)} = {CELLS}.cell AND {OBJECTS}.snapnum = {CELLS}.snapshot"
        f" WHERE CASE WHEN {CELLS}.r IS NULL THEN {inside} ELSE {squared} <= {CELLS}.r ** 2 END"
    )
    numbers = _numbers(given["shape"], table.grid)
    query = exp.Subquery(this=raw(sql, {"ss_snapnum": given["snapnum"], "ss_shape": numbers}))
    query.meta[READS] = [name]
    return query


def _numbers(node: exp.Expr, grid: Grid) -> exp.Expr:
    """The list of a shape's numbers. Of ``Sphere::New(…)`` in the query they are taken as they are."""
    side = exp.Literal.number(grid.side)
    if kind := _new(node):
        numbers: exp.Expr = raw(
            "[" + ", ".join(f"CAST(ss_{place} AS DOUBLE)" for place in range(NUMBERS[kind])) + "]",
            {f"ss_{place}": argument for place, argument in enumerate(node.expressions)},
        )
        call = exp.Anonymous(this="_checked", expressions=[numbers, side])
    else:
        call = exp.Anonymous(this="_shape", expressions=[node.copy(), side])
    call.meta[WRITTEN] = True
    return call


def _new(node: exp.Expr) -> str:
    """``SPHERE`` or ``BOX``, if a node is a call that makes one, with as many arguments as it must have."""
    if not isinstance(node, exp.Anonymous):
        return ""
    kind, _, method = str(node.name).upper().partition("::")
    return kind if method == "NEW" and NUMBERS.get(kind) == len(node.expressions) else ""


def _place(axis: str) -> str:
    return f"({OBJECTS}.{axis} + {CELLS}.{axis}_shift)"


def _cells(grid: Grid) -> str:
    """SELECT of one row per cell that the shape ``ss_shape`` (list of numbers) touches.

    Columns: snapshot; x0, y0, z0, r of a sphere (of a box r is NULL); x1, x2 and so on, the limits; cell, its number;
    x_shift and so on, by which its particles are moved if it lies beyond the box.
    """
    count = 1 << grid.bits
    size = real(grid.side / count)
    limits = ", ".join(
        f"CASE WHEN LEN(n) = {NUMBERS['SPHERE']} THEN n[{place}] - n[4] ELSE n[{place}] END AS {axis}1,"
        f" CASE WHEN LEN(n) = {NUMBERS['SPHERE']} THEN n[{place}] + n[4] ELSE n[{place + 3}] END AS {axis}2,"
        f" n[{place}] AS {axis}0"
        for place, axis in enumerate(_SHIFTED, 1)
    )
    sql = (
        f"SELECT snapshot, CASE WHEN LEN(n) = {NUMBERS['SPHERE']} THEN n[4] END AS r, {limits}"
        " FROM (SELECT ss_snapnum AS snapshot, ss_shape AS n)"
    )
    for axis in _SHIFTED:
        sql = (
            f"SELECT *, UNNEST(GENERATE_SERIES(CAST(FLOOR({axis}1 / {size}) AS BIGINT),"
            f" CAST(FLOOR({axis}2 / {size}) AS BIGINT))) AS i{axis} FROM ({sql})"
        )
    # From the lowest: a bit of x, of y, of z, and so on.
    bits = " | ".join(
        f"(((i{axis} >> {bit}) & 1) << {3 * bit + place})"
        for bit in range(grid.bits)
        for place, axis in enumerate(_SHIFTED)
    )
    shifts = ", ".join(f"(i{axis} >> {grid.bits}) * {real(grid.side)} AS {axis}_shift" for axis in _SHIFTED)
    kept = ", ".join(f"{axis}0, {axis}1, {axis}2" for axis in _SHIFTED)
    return f"SELECT snapshot, r, {kept}, {shifts}, CAST({bits} AS INTEGER) AS cell FROM ({sql})"


def _check(node: exp.Expr, grid: Grid) -> None:
    """Refuse a shape that is written in the query and is wrong; others are looked at when it runs."""
    text = literal_text(node)
    if kind := _new(node):
        values = [number(argument) for argument in node.expressions]
        if None not in values:
            text = " ".join([kind, *map(repr, values)])
    if text is None:
        return
    try:
        check_shape(text, grid.side)
    except ShapeError as error:
        raise QueryError(str(error), Kind.DATA) from None
