# ruff: noqa: S608  (queries are what is tested)
"""Searches around many positions find exactly the rows that brute force finds, without comparing all with all."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casjobs_service.catalog import Sky
from casjobs_service.errors import QueryError
from tests.casjobs.spatial_support import HEIGHT, UPLOADED, Array, World, arcmin, photo_table, world

Pairs = npt.NDArray[np.int64]
"""up_id * 2**32 + number of the object, in ascending order."""


@pytest.fixture(scope="module")
def sky() -> tuple[World, Array, Array]:
    return world()


@pytest.fixture(scope="module")
def distances(sky: tuple[World, Array, Array]) -> Array:
    """From each row of MyDB.up to each object, in arc minutes."""
    here, ra, dec = sky
    up_ra, up_dec = uploaded(here)
    return np.stack([arcmin(up_ra[row], up_dec[row], ra, dec) for row in range(UPLOADED)])


def uploaded(here: World) -> tuple[Array, Array]:
    table = here.connection.sql("FROM MyDB.up ORDER BY up_id").to_arrow_table()
    return np.asarray(table["up_ra"]), np.asarray(table["up_dec"])


def pairs(table: pa.Table) -> Pairs:
    """Of a result with up_id and objID; rows without object are left out."""
    table = table.filter(table["objID"].is_valid())
    found = np.asarray(table["up_id"], np.int64) * (1 << 32) + (np.asarray(table["objID"], np.int64) - (1 << 60))
    found.sort()
    assert np.all(np.diff(found) > 0)
    return found


def where(chosen: npt.NDArray[np.bool_]) -> Pairs:
    """The same of a matrix."""
    rows, objects = np.nonzero(chosen)
    return np.asarray(rows, np.int64) * (1 << 32) + objects


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("context", ["SkyDemo", "Flat"])
@pytest.mark.parametrize(("radius", "size"), [("0.1/60.0", 0.1 / 60), ("1", 1), ("10", 10), ("120", 120)])
def test_every_way_to_write_a_cross_match(
    sky: tuple[World, Array, Array], distances: Array, radius: str, size: float, context: str, few: bool
) -> None:
    here, *_ = sky
    here.know_rows(few)
    expected = where(distances < size)
    assert len(expected) > 10
    distance = "dbo.fDistanceArcMinEq(u.up_ra, u.up_dec, p.ra, p.dec)"
    table = f"{context}.dbo.PhotoObjAll"
    search = f"{context}.dbo.fGetNearbyObjAllEq(u.up_ra, u.up_dec, {radius})"
    for query in (
        f"SELECT u.up_id, n.objID FROM MyDB.up u CROSS APPLY {search} n",
        f"SELECT u.up_id, p.objID FROM MyDB.up u JOIN {table} p ON {distance} < {radius}",
        f"SELECT u.up_id, p.objID FROM {table} p JOIN MyDB.up u ON {distance} < {radius}",
        f"SELECT u.up_id, p.objID FROM {table} p, MyDB.up u WHERE {distance} * 60 < ({radius}) * 60",
        f"SELECT p.up_id, u.objID FROM MyDB.up p, {table} u WHERE {radius}"
        " > dbo.fDistanceEq(u.ra, u.dec, p.up_ra, p.up_dec)",
    ):
        np.testing.assert_array_equal(pairs(here.run(query)), expected, query)


def test_primaries_and_outer_apply(sky: tuple[World, Array, Array], distances: Array) -> None:
    here, ra, _ = sky
    expected = where((distances < 2) & (np.arange(len(ra)) % 4 != 3))
    inner = here.run("SELECT u.up_id, n.objID FROM MyDB..up u CROSS APPLY dbo.fGetNearbyObjEq(u.up_ra, u.up_dec, 2) n")
    np.testing.assert_array_equal(pairs(inner), expected)
    outer = here.run("SELECT u.up_id, n.objID FROM MyDB..up u OUTER APPLY dbo.fGetNearbyObjEq(u.up_ra, u.up_dec, 2) n")
    assert set(outer["up_id"].to_pylist()) == set(range(UPLOADED))
    np.testing.assert_array_equal(pairs(outer), expected)


def test_radius_of_each_position(sky: tuple[World, Array, Array], distances: Array) -> None:
    here, *_ = sky
    radii = (np.arange(UPLOADED) % 7).astype(float) * 3
    for query in (
        "SELECT u.up_id, n.objID FROM MyDB.up u CROSS APPLY fGetNearbyObjAllEq(u.up_ra, u.up_dec, u.up_id % 7 * 3) n",
        "SELECT u.up_id, p.objID FROM MyDB.up u, PhotoObjAll p"
        " WHERE dbo.fDistanceArcMinEq(p.ra, p.dec, u.up_ra, u.up_dec) < u.up_id % 7 * 3",
    ):
        np.testing.assert_array_equal(pairs(here.run(query)), where(distances < radii[:, None]))


def test_nearest_of_each(sky: tuple[World, Array, Array], distances: Array) -> None:
    here, *_ = sky
    best = {row: value for row, value in enumerate(distances.min(1)) if value < 5}
    for query in (
        "SELECT u.up_id, n.distance FROM MyDB.up u CROSS APPLY dbo.fGetNearestObjAllEq(u.up_ra, u.up_dec, 5) n",
        "SELECT u.up_id, n.distance FROM MyDB.up u CROSS APPLY"
        " (SELECT TOP 1 f.distance FROM dbo.fGetNearbyObjAllEq(u.up_ra, u.up_dec, 5) f ORDER BY f.distance) n",
    ):
        found = here.run(query)
        answered = dict(zip(found["up_id"].to_pylist(), found["distance"].to_pylist(), strict=True))
        assert answered.keys() == best.keys()
        assert all(abs(answered[row] - best[row]) < 1e-9 for row in best)


def test_scalar_searches(sky: tuple[World, Array, Array], distances: Array) -> None:
    here, ra, _ = sky
    found = here.run(
        "SELECT u.up_id, dbo.fGetNearestObjIdAllEq(u.up_ra, u.up_dec, 5.0) AS a,"
        " dbo.fGetNearestObjIdEqType(u.up_ra, u.up_dec, 5, 3) AS t FROM MyDB.up u"
        " WHERE dbo.fGetNearestObjIdEq(u.up_ra, u.up_dec, 5) IS NOT NULL ORDER BY u.up_id"
    )
    primary, galaxy = np.arange(len(ra)) % 4 != 3, np.arange(len(ra)) % 2 == 1
    rows = np.flatnonzero(distances[:, primary].min(1) < 5)
    assert found["up_id"].to_pylist() == rows.tolist()
    nearest = np.asarray(found["a"]) - (1 << 60)
    np.testing.assert_allclose(distances[rows, nearest], distances[rows].min(1), atol=1e-9)
    of_type = distances[np.ix_(rows, primary & galaxy)].min(1)
    assert [key is None for key in found["t"].to_pylist()] == (of_type >= 5).tolist()
    assert here.run("SELECT dbo.fStripeOfRun(94) AS a, dbo.fStripOfRun(752) AS b").to_pylist() == [{"a": 82, "b": "S"}]
    first = 1 << 60
    objects = here.run(
        f"SELECT dbo.fObjID({first + 5}) AS a, dbo.fObjID(5) AS b, dbo.fPrimaryObjID({first + 3}) AS c,"
        f" dbo.fObjID({first + 5 + (1 << 28)}) AS d"
    )
    assert objects.to_pylist() == [{"a": first + 5, "b": 0, "c": 0, "d": first + 5}]


def test_outer_join_by_distance(sky: tuple[World, Array, Array], distances: Array) -> None:
    here, ra, _ = sky
    condition = "dbo.fDistanceArcMinEq(u.up_ra, u.up_dec, p.ra, p.dec) < 1 AND p.type = 3"
    found = here.run(f"SELECT u.up_id, p.objID FROM MyDB.up AS u LEFT JOIN PhotoObjAll AS p ON {condition}")
    chosen = (distances < 1) & (np.arange(len(ra)) % 2 == 1)
    np.testing.assert_array_equal(pairs(found), where(chosen))
    assert set(found["up_id"].to_pylist()) == set(range(UPLOADED))
    # The table that keeps its rows cannot become the one that is looked up.
    other = here.run(
        f"SELECT u.up_id, p.objID FROM PhotoObjAll AS p RIGHT JOIN MyDB.up AS u ON {condition} WHERE u.up_id < 20"
    )
    np.testing.assert_array_equal(pairs(other), where(chosen[:20]))
    assert set(other["up_id"].to_pylist()) == set(range(20))


def test_order_of_the_columns_stays(sky: tuple[World, Array, Array]) -> None:
    here, *_ = sky
    distance = "dbo.fDistanceArcMinEq(u.up_ra, u.up_dec, p.ra, p.dec)"
    found = here.run(f"SELECT TOP 1 * FROM PhotoObjAll p JOIN MyDB.up u ON {distance} < 1")
    assert found.column_names[0] == "objID"
    assert found.column_names[-3:] == ["up_id", "up_ra", "up_dec"]


def test_further_tables_and_conditions(sky: tuple[World, Array, Array], distances: Array) -> None:
    here, ra, _ = sky
    found = here.run(
        "WITH few AS (SELECT up_id, up_ra, up_dec FROM MyDB.up WHERE up_id < 100)"
        " SELECT f.up_id, p.objID FROM few AS f, PhotoObjAll AS p, Run AS r"
        " WHERE p.run = r.run AND dbo.fDistanceArcMinEq(f.up_ra, f.up_dec, p.ra, p.dec) < 600"
        " AND EXISTS (SELECT * FROM SpecObjAll s WHERE s.plate = p.run)"
    )
    expected = where((distances[:100] < 600) & (np.arange(len(ra)) % 1000 == 752))
    assert len(expected)
    np.testing.assert_array_equal(pairs(found), expected)
    three = here.run(
        "SELECT a.up_id, p.objID, b.up_id AS other FROM MyDB.up a JOIN PhotoObjAll p"
        " ON dbo.fDistanceArcMinEq(a.up_ra, a.up_dec, p.ra, p.dec) < 0.1 JOIN MyDB.up b"
        " ON dbo.fDistanceArcMinEq(p.ra, p.dec, b.up_ra, b.up_dec) < 0.1"
    )
    close = distances < 0.1
    rows = [
        (int(a), int(k) + (1 << 60), int(b))
        for k in np.flatnonzero(close.any(0))
        for a in np.flatnonzero(close[:, k])
        for b in np.flatnonzero(close[:, k])
    ]
    assert sorted(zip(*(three[name].to_pylist() for name in three.column_names), strict=True)) == sorted(rows)


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize(
    "condition",
    [
        "p.type = 3 AND u.up_id < 50",
        "u.up_ra < p.ra OR p.camcol = 3",
        "p.objID IN (SELECT objID FROM PhotoObjAll WHERE run < 100)",
        "EXISTS (SELECT 1 FROM SpecObjAll s WHERE s.plate = p.run)",
        "abs(p.dec - u.up_dec) < 0.001 AND p.zoneID > 100",
        "(SELECT max(r.stripe) FROM Run r WHERE r.run = p.run) = 82",
    ],
)
def test_with_other_conditions(sky: tuple[World, Array, Array], condition: str, few: bool) -> None:
    here, *_ = sky
    here.know_rows(few)
    distance = "dbo.fDistanceArcMinEq(u.up_ra, u.up_dec, p.ra, p.dec)"
    # Without a distance alone on one side it is a plain join.
    plain = here.run(
        "SELECT u.up_id, p.objID FROM MyDB.up u JOIN PhotoObjAll p"
        f" ON {distance} + 0 < 30 WHERE {condition} ORDER BY u.up_id, p.objID"
    )
    assert plain.num_rows
    left = here.run(
        f"SELECT u.up_id, p.objID FROM MyDB.up u LEFT JOIN PhotoObjAll p ON {distance} < 30 AND ({condition})"
    )
    assert set(left["up_id"].to_pylist()) == set(range(UPLOADED))
    np.testing.assert_array_equal(pairs(left), pairs(plain))
    for query in (
        f"SELECT u.up_id, p.objID FROM MyDB.up u JOIN PhotoObjAll p ON {distance} < 30 AND ({condition})",
        f"SELECT u.up_id, p.objID FROM PhotoObjAll p JOIN MyDB.up u ON {distance} < 30 WHERE {condition}",
        f"SELECT u.up_id, p.objID FROM MyDB.up u, PhotoObjAll p WHERE {distance} < 30 AND ({condition})",
        "SELECT u.up_id, p.objID FROM MyDB.up u CROSS APPLY fGetNearbyObjAllEq(u.up_ra, u.up_dec, 30) n"
        f" JOIN PhotoObjAll p ON p.objID = n.objID WHERE {condition}",
    ):
        np.testing.assert_array_equal(pairs(here.run(query)), pairs(plain), query)


def test_a_table_with_itself(sky: tuple[World, Array, Array]) -> None:
    here, *_ = sky
    up_ra, up_dec = uploaded(here)
    found = here.run(
        "SELECT a.up_id, b.up_id AS other FROM MyDB.up a JOIN MyDB.up b"
        " ON a.up_id < b.up_id AND dbo.fDistanceArcMinEq(a.up_ra, a.up_dec, b.up_ra, b.up_dec) <= 3"
    )
    between = arcmin(up_ra[:, None], up_dec[:, None], up_ra, up_dec)
    expected = {(int(a), int(b)) for a, b in zip(*np.nonzero(between <= 3), strict=True) if a < b}
    assert set(zip(found["up_id"].to_pylist(), found["other"].to_pylist(), strict=True)) == expected


POSITIONS = st.tuples(
    st.one_of(
        st.floats(0, 360, exclude_max=True),
        st.sampled_from([0.0, 1e-7, 359.9999999, 180.0, 90.0]),
        st.floats(-1e-3, 1e-3).map(lambda x: x % 360),
    ),
    st.one_of(
        st.floats(-90, 90),
        st.sampled_from([90.0, -90.0, 0.0, 89.9, -89.9, HEIGHT, -HEIGHT, 89.99999]),
        st.integers(-10800, 10800).map(lambda zone: zone * HEIGHT),
        st.floats(-1e-3, 1e-3),
    ),
)
RADII = st.one_of(st.sampled_from([0.1 / 60, 1 / 60, 1.0, 60.0, 5400.0]), st.floats(-2.8, 3.74).map(lambda x: 10.0**x))


@given(
    st.lists(POSITIONS, min_size=1, max_size=25),
    st.lists(POSITIONS, min_size=1, max_size=12),
    RADII,
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_zones_join_against_brute_force(
    sky: tuple[World, Array, Array],
    objects: list[tuple[float, float]],
    centres: list[tuple[float, float]],
    radius: float,
    ordered: bool,
    few: bool,
) -> None:
    here, *_ = sky
    # With each centre a copy very near to it, and others just inside and just outside of the radius.
    copies = [(ra, dec + step) for ra, dec in centres for step in (1e-6, radius / 60.00001, radius / 59.99999)]
    ra, dec = np.array([*objects, *(copy for copy in copies if copy[1] <= 90)], float).T
    here.add("SkyTry", "PhotoObjAll", photo_table(ra, dec), Sky("ra", "dec", "zoneID", HEIGHT) if ordered else None)
    up_ra, up_dec = np.array(centres, float).T
    here.add("MyDB", "tried", pa.table({"up_id": np.arange(len(up_ra)), "up_ra": up_ra, "up_dec": up_dec}))
    here.know_rows(few)
    away = arcmin(up_ra[:, None], up_dec[:, None], ra, dec)
    sure, possible = where(away < radius - 1e-7), where(away < radius + 1e-7)
    search = f"dbo.fGetNearbyObjAllEq(t.up_ra, t.up_dec, {radius!r})"
    distance = "dbo.fDistanceArcMinEq(t.up_ra, t.up_dec, p.ra, p.dec)"
    for query in (
        f"SELECT t.up_id, n.objID FROM MyDB.tried t CROSS APPLY {search} n",
        f"SELECT t.up_id, p.objID FROM MyDB.tried t JOIN PhotoObjAll p ON {distance} < {radius!r}",
        f"SELECT 0 AS up_id, n.objID FROM dbo.fGetNearbyObjAllEq({up_ra[0]!r}, {up_dec[0]!r}, {radius!r}) n",
    ):
        found = pairs(here.run(query.replace("np.float64", ""), "SkyTry"))
        first_only = "SELECT 0" in query
        assert np.isin(sure[sure < 1 << 32] if first_only else sure, found).all()
        assert np.isin(found, possible).all()


def test_strange_positions_are_no_error(sky: tuple[World, Array, Array]) -> None:
    here, ra, dec = sky
    strange = pa.table(
        {
            "up_id": np.arange(8),
            "up_ra": pa.array([None, 0.0, np.nan, np.inf, -0.001, 720.0, 10.0, 0.0]),
            "up_dec": pa.array([0.0, None, 0.0, 0.0, 0.0, 0.0, -9999.0, np.nan]),
        }
    )
    here.add("MyDB", "strange", strange)
    found = here.run(
        "SELECT s.up_id, n.objID FROM MyDB.strange s OUTER APPLY dbo.fGetNearbyObjAllEq(s.up_ra, s.up_dec, 1) n"
    )
    assert set(found["up_id"].to_pylist()) == set(range(8))
    matched = {row for row, key in zip(found["up_id"].to_pylist(), found["objID"].to_pylist(), strict=True) if key}
    assert matched == {4, 5}
    # A catalogue may count right ascension from -180, or hold rows without position.
    here.add("MyDB", "negative", pa.table({"id": [1, 2, 3], "ra": [-0.5, None, 359.5], "dec": [0.0, 0.0, np.nan]}))
    both = here.run(
        "SELECT p.objID, n.id FROM PhotoObjAll p JOIN MyDB.negative n"
        " ON dbo.fDistanceArcMinEq(p.ra, p.dec, n.ra, n.dec) < 60"
    )
    assert both.num_rows == np.count_nonzero(arcmin(359.5, 0, ra, dec) < 60)


@pytest.mark.parametrize("few", [True, False])
def test_plans_join_by_equality(sky: tuple[World, Array, Array], few: bool) -> None:
    here, *_ = sky
    here.know_rows(few)
    distance = "dbo.fDistanceArcMinEq(u.up_ra, u.up_dec, p.ra, p.dec)"
    for query in (
        "SELECT u.up_id, n.objID FROM MyDB.up u CROSS APPLY dbo.fGetNearbyObjEq(u.up_ra, u.up_dec, 1) n",
        "SELECT u.up_id, n.objID FROM MyDB.up u OUTER APPLY dbo.fGetNearestObjEq(u.up_ra, u.up_dec, 1) n",
        f"SELECT u.up_id, p.objID FROM MyDB.up u JOIN PhotoObjAll p ON {distance} < 1",
        f"SELECT u.up_id, p.objID FROM PhotoObjAll p, MyDB.up u WHERE {distance} < 1",
    ):
        plan = here.plan(query)
        assert not re.search(r"Nested Loop|Cross Product|Blockwise|IE Join|Piecewise", plan, re.IGNORECASE)
        assert re.search(r"zone = |= zone|zoneID.* = ", plan)
        # The big table is read once.
        assert plan.count("PhotoObjAll") == 1


def test_tables_that_a_function_reads_are_told(sky: tuple[World, Array, Array]) -> None:
    here, *_ = sky
    (statement,) = here.statements("SELECT * FROM dbo.fGetNearbyObjEq(1, 2, 3)")
    assert [str(name) for name in statement.reads] == ["SkyDemo.PhotoObjAll"]


def test_sqlxmatch(sky: tuple[World, Array, Array], distances: Array) -> None:
    here, *_ = sky
    call = (
        "EXECUTE SQLxMatch @table1='MyDB.dbo.up', @table2='PhotoObjAll', @id_col1='up_id', @ra_col1='up_ra',"
        " @dec_col1='up_dec', @radius=20"
    )
    expected = where(distances < 20 / 60)
    found = here.run(call)
    assert found.column_names == ["id1", "id2", "sep"]
    np.testing.assert_array_equal(pairs(found.rename_columns(["up_id", "objID", "sep"])), expected)
    for a, b, sep in zip(*(found[name].to_pylist() for name in found.column_names), strict=True):
        assert abs(distances[a, b - (1 << 60)] * 60 - sep) < 1e-7
    ranked = here.run(call + ", @include_sep_rank=1, @include_radec=1, @sort_by_separation=1")
    assert ranked.column_names == ["id1", "id2", "sep", "sep_rank", "ra1", "dec1", "ra2", "dec2"]
    assert ranked.num_rows == len(expected)
    keys = list(zip(ranked["id1"].to_pylist(), ranked["sep"].to_pylist(), strict=True))
    assert keys == sorted(keys)
    nearest = here.run(call + ", @only_nearest=1")
    assert set(nearest["id1"].to_pylist()) == set((expected >> 32).tolist())
    made = here.run(
        f"CREATE TABLE MyDB.matched (id1 bigint, id2 bigint, sep float)\n{call}, @output_table='MyDB.dbo.matched'\n"
        "SELECT * FROM MyDB.matched"
    )
    assert made.num_rows == len(expected)
    with pytest.raises(QueryError, match="600 arc seconds"):
        here.statements("EXEC SQLxMatch 'MyDB.up', 'PhotoObjAll', 601")
    with pytest.raises(QueryError, match="Did you mean @radius"):
        here.statements("EXEC SQLxMatch @table1='MyDB.up', @table2='PhotoObjAll', @radus=1")


def test_neighbours_of_an_upload(sky: tuple[World, Array, Array], distances: Array) -> None:
    here, ra, _ = sky
    found = here.run(
        "CREATE TABLE #upload (up_id int, up_ra float, up_dec float)\n"
        "INSERT INTO #upload SELECT up_id, up_ra, up_dec FROM MyDB.up WHERE up_id < 100\n"
        "EXEC spGetNeighborsPrim 2.5"
    )
    assert found.column_names == ["up_ID", "objID"]
    found = found.rename_columns(["up_id", "objID"])
    np.testing.assert_array_equal(pairs(found), where((distances[:100] < 2.5) & (np.arange(len(ra)) % 4 != 3)))
    with pytest.raises(QueryError, match=r"(?i)did you mean spgetneighbors"):
        here.statements("EXEC spGetNeighbor 1")
