"""Which measurements are of the same object: all pairs that are near each other, and the groups that they make."""

from __future__ import annotations

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from casjobs_service.demo import sky
from casjobs_service.demo.sky import Array

Integers = npt.NDArray[np.int64]

# The zones join: each position meets only those in the zones and in the columns of right ascension that its circle
# touches. For declinations near the equator, where a column is as wide as a zone is high.
_PAIRS = """
    WITH circles AS (
        SELECT row, x, y, z, unnest(range(floor((dec - $reach) / $cell)::BIGINT,
            floor((dec + $reach) / $cell)::BIGINT + 1)) AS zone, ra FROM positions),
    reached AS (
        SELECT *, unnest(range(floor((ra - $reach) / $cell)::BIGINT, floor((ra + $reach) / $cell)::BIGINT + 1)) AS col
        FROM circles),
    cells AS (SELECT *, floor(dec / $cell)::BIGINT AS zone, floor(ra / $cell)::BIGINT AS col FROM positions)
    SELECT one.row AS one, other.row AS other
    FROM reached AS one JOIN cells AS other ON one.zone = other.zone AND one.col = other.col AND one.row < other.row
    WHERE (one.x - other.x) ** 2 + (one.y - other.y) ** 2 + (one.z - other.z) ** 2
        < (2 * sin(radians($reach) / 2)) ** 2
"""


def pairs(ra: Array, dec: Array, arcsec: float) -> tuple[Integers, Integers]:
    """Indices of all pairs of positions that are less than `arcsec` apart, each once.

    Parameters
    ----------
    ra, dec
        Degrees; `ra` without a jump at 360, `dec` within a few degrees of the equator.
    """
    x, y, z = sky.unit_vectors(ra, dec)
    with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
        rows = pa.table({"row": np.arange(len(ra)), "ra": ra, "dec": dec, "x": x, "y": y, "z": z})
        connection.register("positions", rows)
        # A column is narrower than a zone by the cosine of the declination.
        found = connection.sql(_PAIRS, params={"reach": arcsec / 3600, "cell": sky.ZONE_HEIGHT}).to_arrow_table()
    return found["one"].to_numpy(), found["other"].to_numpy()


def groups(count: int, one: Integers, other: Integers) -> Integers:
    """For each of `count` rows the least row that is connected with it, directly or through others.

    Parameters
    ----------
    one, other
        The two ends of each connection.
    """
    least = np.arange(count)
    while True:
        before = least.copy()
        np.minimum.at(least, one, before[other])
        np.minimum.at(least, other, before[one])
        # Whom the least row belongs to, belongs with everybody.
        least = least[least]
        if np.array_equal(least, before):
            return least
