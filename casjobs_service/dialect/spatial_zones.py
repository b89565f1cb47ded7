"""SQL for searches around positions, over tables that are sorted by zone.

Gray, Nieto-Santisteban and Szalay (2007), *The zones algorithm for finding points-near-a-point or cross-matching
spatial datasets*: a zone is a strip of declination; whoever is near a position lies in few zones, and within each in a
short range of right ascension.

For one position that is a range of the table, which the engine finds by the minima and maxima of its row groups. For
many it is a join: each position is listed once for every cell (zone, and piece of the zone in right ascension) that
its circle touches, and joined with the table's rows by equality of the cells. A join by inequalities would compare
every position with every row. The list is a lateral subquery, so that the engine makes it only for the rows that the
rest of the query leaves.

Right ascensions of tables with a `Sky` lie between 0 and 360 degrees. Rows and positions with a declination beyond the
poles are never found.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlglot import exp

from casjobs_service.catalog import Sky, Table
from casjobs_service.dialect.functions_sky import arcmin, haversine

OBJECTS = "ss_o"
"""Alias of the table that is searched."""
CELLS = "ss_c"
"""Alias of the list of positions and cells."""
SLACK = 1e-9
"""In degrees: more than rounding moves a border, less than anybody measures (4 micro arc seconds)."""
POLE = 89.9
"""Declination in degrees up to which a circle is limited in right ascension; its width is ill-conditioned beyond."""
_PIECES = 65536
"""Of the equator at most: 20 arc seconds each."""


_HOLE = re.compile(r"\bss_(?:\w+)\b")


def raw(sql: str, holes: Mapping[str, exp.Expr] | None = None) -> exp.Expr:
    """A node that is written as this text of DuckDB's SQL, with nodes in place of the words in `holes`.

    Parsing the text would give the same, and takes a hundred times as long: tens of milliseconds per query.
    """
    chain: exp.Expr | None = None
    start = 0
    for match in _HOLE.finditer(sql):
        node = (holes or {}).get(match[0])
        if node is None:
            continue
        chain = _joined(chain, exp.Var(this=sql[start : match.start()].strip()))
        node = node.copy()
        chain = _joined(chain, exp.Paren(this=node) if isinstance(node, exp.Binary | exp.Unary) else node)
        start = match.end()
    return _joined(chain, exp.Var(this=sql[start:].strip()))


def _joined(first: exp.Expr | None, second: exp.Expr) -> exp.Expr:
    # Generators write this node as its two parts with a blank between them, whatever they are.
    return second if first is None else exp.Introducer(this=first, expression=second)


def quoted(name: str) -> str:
    """A name in DuckDB's quotes."""
    return '"' + name.replace('"', '""') + '"'


def real(value: float) -> str:
    """A literal that is a DOUBLE; without exponent it would be a DECIMAL."""
    text = repr(float(value))
    return text if "e" in text else f"{text}e0"


def number(node: exp.Expr) -> float | None:
    """Value of an expression over numbers only, as T-SQL computes it; None if it is none."""
    value = _number(node)
    return None if value is None else float(value)


def _number(node: exp.Expr) -> int | float | None:
    match node:
        case exp.Literal() if not node.is_string:
            text = str(node.this)
            return int(text) if text.isdigit() else float(text)
        case exp.Paren():
            return _number(node.this)
        case exp.Neg():
            value = _number(node.this)
            return None if value is None else -value
        case exp.Add() | exp.Sub() | exp.Mul() | exp.Div():
            left, right = _number(node.this), _number(node.expression)
            if left is None or right is None or (isinstance(node, exp.Div) and right == 0):
                return None
            if isinstance(node, exp.Add):
                return left + right
            if isinstance(node, exp.Sub):
                return left - right
            if isinstance(node, exp.Mul):
                return left * right
            if isinstance(left, int) and isinstance(right, int):
                return int(math.copysign(abs(left) // abs(right), left * right))
            return left / right
    return None


FEW = 1000
"""So many positions are looked up by zones alone, see `Cells`."""


@dataclass(frozen=True, slots=True)
class Cells:
    """How a table is cut: zones of `height` degrees, and the equator into `pieces`.

    With many positions, zones alone are too coarse: all positions in a zone would be compared with all its rows. But
    with few the engine passes their list of zones on to the scan of the table, if the zone is the only key of the
    join: 10 positions in 10 million rows take 10 ms rather than 100 ms.

    Attributes
    ----------
    step
        A zone here is that many of the table's zones.
    pieces
        0: zones alone.
    """

    height: float
    step: int
    pieces: int

    @classmethod
    def of(cls, sky: Sky, radius: float | None, few: bool) -> Cells:
        """Cells for circles of that radius in arc minutes (None: not known) around positions of which there are `few`.

        A circle reaches into some ten zones and one or two pieces.
        """
        height = sky.zone_height
        if radius is None:
            # Few cells for a degree, and few rows in a cell for an arc second.
            step, pieces = max(1, round(1 / 60 / height)), 4096
        else:
            degrees = max(radius / 60, 1e-6)
            step = max(1, round(degrees / height / 4))
            pieces = min(_PIECES, max(8, int(180 / degrees)))
        if few:
            step, pieces = 1 if step < 100 else step, 0
        if not sky.zone:
            height, step = height * step, 1
        return cls(height * step, step, pieces)

    @property
    def last(self) -> int:
        """Number of the last zone, which holds the pole."""
        return math.floor(180 / self.height)

    def density(self, zone: str) -> str:
        """Pieces per degree of right ascension in a zone.

        Fewer towards the poles, where a circle is wide in right ascension: 1 - x^2 is close to the cosine, and cheap.
        """
        slope, offset = 2 / (self.last + 2), 1 / (self.last + 2) - 1
        place = f"({zone} * {real(slope)} + {real(offset)})"
        return f"({real(self.pieces / 360)} - {real(self.pieces / 360)} * {place} * {place})"


def cells_sql(cells: Cells) -> str:
    """SELECT of one row per cell for the position ``ss_ra``, ``ss_dec`` and radius ``ss_r`` (arc minutes).

    Columns: a, d (the position), t (squared sine of half the radius), low, high (of right ascension), zone, and if
    there are pieces: piece. Nothing else: the engine fails over constants that nobody uses, above an UNNEST.
    """
    height = real(cells.height)
    zones = f"""SELECT a, d, t, low, high, CAST(UNNEST(GENERATE_SERIES(
        CAST(GREATEST(0e0, FLOOR((d - s + 90e0) / {height})) AS BIGINT),
        CAST(LEAST({real(cells.last)}, FLOOR((d + s + 90e0) / {height})) AS BIGINT))) AS INTEGER) AS zone
    FROM (SELECT a, d, s, t,
        UNNEST(CASE WHEN w >= 180e0 THEN [0e0] WHEN a - w <= 0e0 THEN [0e0, a - w + 360e0]
          WHEN a + w >= 360e0 THEN [a - w, 0e0] ELSE [a - w] END) AS low,
        UNNEST(CASE WHEN w >= 180e0 THEN [360e0] WHEN a - w <= 0e0 THEN [a + w, 360e0]
          WHEN a + w >= 360e0 THEN [360e0, a + w - 360e0] ELSE [a + w] END) AS high
    FROM (SELECT a, d, s, t, {_width("d", "s")} AS w
    FROM (SELECT a - 360e0 * FLOOR(a / 360e0) AS a, d, {_padded("r")} AS s, {threshold("r")} AS t
    FROM (SELECT CAST(ss_ra AS DOUBLE) AS a, CAST(ss_dec AS DOUBLE) AS d, CAST(ss_r AS DOUBLE) AS r)
    WHERE d BETWEEN -90e0 AND 90e0 AND r >= 0e0 AND ISFINITE(a))))"""  # noqa: S608 - our own names
    if not cells.pieces:
        return zones
    return f"""
    SELECT a, d, t, low, high, zone,
      CAST(UNNEST(GENERATE_SERIES(CAST(FLOOR(low * density) AS BIGINT), CAST(FLOOR(high * density) AS BIGINT)))
        AS DOUBLE) AS piece
    FROM (SELECT a, d, t, low, high, zone, {cells.density("zone")} AS density FROM ({zones}))"""  # noqa: S608


def _padded(radius: str) -> str:
    return f"LEAST(180e0, {radius} / 60e0 * {real(1 + 1e-12)} + {real(SLACK)})"


def _width(dec: str, radius: str) -> str:
    """Half the width in right ascension of a circle, in degrees."""
    return (
        f"(CASE WHEN ABS({dec}) + {radius} >= {real(POLE)} THEN 180e0"
        f" ELSE DEGREES(ASIN(SIN(RADIANS({radius})) / COS(RADIANS({dec})))) + {real(SLACK)} END)"
    )


def threshold(radius: str) -> str:
    """Squared sine of half a radius in arc minutes; 2, which is beyond all, for more than half the sphere's girth."""
    return f"(CASE WHEN {radius} > 10800e0 THEN 2e0 ELSE SIN(RADIANS({radius} / 60e0) / 2e0) ** 2 END)"


def rows_of(node: exp.Expr, table: Table | None) -> int | None:
    """How many rows something in FROM has at most; None: not known."""
    if isinstance(node, exp.Table):
        return table.rows if table is not None else None
    if isinstance(node, exp.Values):
        return len(node.expressions)
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select):
        limit = node.this.args.get("limit")
        count = number(limit.expression) if isinstance(limit, exp.Limit) and limit.expression is not None else None
        options = limit.args.get("limit_options") if isinstance(limit, exp.Limit) else None
        return int(count) if count is not None and options is None else None
    return None


def are_few(rows: Iterable[int | None]) -> bool:
    """Whether the product of some tables has no more than `FEW` rows."""
    product = 1
    for count in rows:
        if count is None or product * count > FEW:
            return False
        product *= max(1, count)
    return True


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rows of the searched table are: expressions over its columns.

    Attributes
    ----------
    sky
        How the table is ordered, if these are its own columns; else an unordered one.
    """

    ra: str
    dec: str
    sky: Sky
    alias: str = OBJECTS

    @classmethod
    def of(cls, sky: Sky, alias: str = OBJECTS) -> Place:
        """Of a table's own columns."""
        return cls(f"{alias}.{quoted(sky.ra)}", f"{alias}.{quoted(sky.dec)}", sky, alias)

    @property
    def ordered(self) -> bool:
        """The table is sorted by zone."""
        return bool(self.sky.zone)

    @property
    def zone(self) -> str:
        """The table's zone column."""
        return f"{self.alias}.{quoted(self.sky.zone)}"

    def in_cell(self, cells: Cells) -> str:
        """Condition that a row is in a cell of `cells_sql`, and in its range of right ascension."""
        if self.ordered:
            zone = f"({self.zone} // {cells.step})" if cells.step > 1 else self.zone
            ra = self.ra
        else:
            zone = f"FLOOR(({self.dec} + 90e0) / {real(cells.height)})"
            ra = f"({self.ra} - 360e0 * FLOOR({self.ra} / 360e0))"
        conditions = [f"{zone} = {CELLS}.zone", f"{ra} >= {CELLS}.low", f"{ra} <= {CELLS}.high"]
        if cells.pieces:
            conditions.append(f"FLOOR({ra} * {cells.density(zone)}) = {CELLS}.piece")
        return " AND ".join(conditions)

    def haversine(self, ra: str, dec: str) -> str:
        """Squared sine of half the distance from a position."""
        return haversine(ra, dec, self.ra, self.dec)


@dataclass(frozen=True, slots=True)
class Search:
    """Rows of a table near a position.

    Attributes
    ----------
    joins
        FROM clause with the table, which is written ``ss_table``.
    condition
        For WHERE.
    haversine
        Squared sine of half the distance.
    """

    joins: str
    condition: str
    haversine: str

    @property
    def distance(self) -> str:
        """In arc minutes."""
        return arcmin(self.haversine)


def around_each(place: Place, radius: float | None, few: bool) -> Search:
    """For positions ``ss_ra``, ``ss_dec``, ``ss_r`` of other tables' rows; `radius` if it is the same for all."""
    cells = Cells.of(place.sky, radius, few)
    distance = place.haversine(f"{CELLS}.a", f"{CELLS}.d")
    joins = f"({cells_sql(cells)}) AS {CELLS} JOIN ss_table AS {OBJECTS} ON {place.in_cell(cells)}"
    return Search(joins, f"{distance} < {CELLS}.t", distance)


def around(place: Place, ra: float, dec: float, radius: float) -> Search:
    """For one known position, in degrees, and a radius in arc minutes."""
    distance = place.haversine(real(ra), real(dec))
    limit = 2.0 if radius > 10800 else math.sin(math.radians(radius / 60) / 2) ** 2
    conditions = [*box(place, ra, dec, radius), f"{distance} < {real(limit if radius >= 0 else -1.0)}"]
    return Search(f"ss_table AS {OBJECTS}", " AND ".join(conditions), distance)


def box(place: Place, ra: float, dec: float, radius: float) -> list[str]:
    """Conditions that all rows within `radius` arc minutes of a position fulfil."""
    size = min(180.0, max(0.0, radius) / 60 * (1 + 1e-12) + SLACK)
    if not place.ordered:
        return [f"{place.dec} BETWEEN {real(dec - size)} AND {real(dec + size)}"]
    height = place.sky.zone_height
    first = max(0, math.floor((dec - size + 90) / height))
    conditions = [f"{place.zone} BETWEEN {first} AND {math.floor((dec + size + 90) / height)}"]
    if abs(dec) + size >= POLE:
        return conditions
    width = math.degrees(math.asin(math.sin(math.radians(size)) / math.cos(math.radians(dec)))) + SLACK
    centre = ra % 360
    low, high = centre - width, centre + width
    if low > 0 and high < 360:
        conditions.append(f"{place.ra} BETWEEN {real(low)} AND {real(high)}")
    elif width < 180:
        low, high = (low + 360, high) if low <= 0 else (low, high - 360)
        conditions.append(f"({place.ra} >= {real(low)} OR {place.ra} <= {real(high)})")
    return conditions


def around_variable(place: Place) -> Search:
    """For one position ``ss_ra``, ``ss_dec``, ``ss_r`` that is known when the query starts, as variables are."""
    ra, dec, radius = (f"CAST({name} AS DOUBLE)" for name in ("ss_ra", "ss_dec", "ss_r"))
    size = _padded(f"GREATEST(0e0, {radius})")
    distance = place.haversine(ra, dec)
    if place.ordered:
        height = real(place.sky.zone_height)
        limits = (
            f"{place.zone} BETWEEN TRY_CAST(FLOOR(({dec} - {size} + 90e0) / {height}) AS INTEGER)"
            f" AND TRY_CAST(FLOOR(({dec} + {size} + 90e0) / {height}) AS INTEGER)"
        )
    else:
        limits = f"{place.dec} BETWEEN {dec} - {size} AND {dec} + {size}"
    condition = f"{limits} AND {distance} < {threshold(radius)} AND {radius} >= 0e0 AND {dec} BETWEEN -90e0 AND 90e0"
    return Search(f"ss_table AS {OBJECTS}", condition, distance)
