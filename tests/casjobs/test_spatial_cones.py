# ruff: noqa: S608  (queries are what is tested)
"""Searches around one position find exactly the rows that brute force finds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from casjobs_service.errors import Kind, QueryError
from tests.casjobs.spatial_support import Array, World, arcmin, unit, world

CENTRES = [
    (180.0, 0.5),
    (0.0, 0.0),
    (359.995, -0.004),
    (0.003, 0.002),
    (120.0, 60.0),
    (77.0, 89.97),
    (200.0, -89.99),
    (0.0, 90.0),
    (123.0, -90.0),
    (300.0, 45.0),
    (360.0, 0.0),
    (-0.01, 0.0),
    (719.99, 0.0),
]
RADII = [0.1 / 60, 1 / 60, 1.0, 10.0, 60.0, 30 * 60.0, 90 * 60.0, 170 * 60.0, 200 * 60.0]


@pytest.fixture(scope="module")
def sky() -> tuple[World, Array, Array]:
    return world()


def ids(table: pa.Table) -> Array:
    return np.asarray(table["objID"]) - (1 << 60)


@pytest.mark.parametrize("context", ["SkyDemo", "Flat"])
@pytest.mark.parametrize("centre", CENTRES)
def test_all_rows_of_a_cone_nearest_first(
    sky: tuple[World, Array, Array], centre: tuple[float, float], context: str
) -> None:
    here, ra, dec = sky
    distances = arcmin(*centre, ra, dec)
    for radius in RADII:
        found = here.run(f"SELECT * FROM {context}.dbo.fGetNearbyObjAllEq({centre[0]}, {centre[1]}, {radius!r})")
        expected = np.flatnonzero(distances < radius)
        assert set(ids(found)) == set(expected), radius
        answered = np.asarray(found["distance"])
        assert np.all(np.diff(answered) >= -1e-9)
        # Near the antipode the squared sine cannot say more.
        np.testing.assert_allclose(answered, distances[ids(found)], rtol=1e-12, atol=1e-9 if radius < 10000 else 1e-3)


def test_primary_objects_only(sky: tuple[World, Array, Array]) -> None:
    here, ra, dec = sky
    found = here.run("SELECT n.objID FROM fGetNearbyObjEq(120, 60, 1) AS n")
    expected = np.flatnonzero((arcmin(120, 60, ra, dec) < 1) & (np.arange(len(ra)) % 4 != 3))
    assert len(expected) > 100
    assert set(ids(found)) == set(expected)


def test_columns_and_types_are_sdss_ones(sky: tuple[World, Array, Array]) -> None:
    here, ra, dec = sky
    found = here.run("SELECT * FROM dbo.fGetNearbyObjEq(0, 0, 1)")
    assert found.column_names == (
        ["objID", "run", "camcol", "field", "rerun", "type", "cx", "cy", "cz", "htmID", "distance"]
    )
    assert [str(kind) for kind in found.schema.types] == ["int64"] + ["int32"] * 5 + ["double"] * 3 + [
        "int64",
        "double",
    ]
    # PhotoObjAll has no htmID here.
    assert found["htmID"].null_count == found.num_rows > 10
    rows = ids(found)
    np.testing.assert_allclose(np.asarray(found["cx"]), unit(ra, dec)[rows, 0], atol=1e-15)
    flat = here.run("SELECT * FROM dbo.fGetNearbyObjEq(0, 0, 1)", "Flat")
    assert flat["camcol"].null_count == flat.num_rows == found.num_rows
    # A vector follows from the position.
    np.testing.assert_allclose(np.asarray(flat["cy"]), unit(ra, dec)[ids(flat), 1], atol=1e-15)
    assert here.run("SELECT * FROM dbo.fGetNearbyObjAllEq(0, 0, 1)").column_names[5:8] == ["type", "mode", "cx"]


@pytest.mark.parametrize("centre", CENTRES)
def test_the_nearest_one(sky: tuple[World, Array, Array], centre: tuple[float, float]) -> None:
    here, ra, dec = sky
    distances = arcmin(*centre, ra, dec)
    found = here.run(f"SELECT * FROM dbo.fGetNearestObjAllEq({centre[0]}, {centre[1]}, 600)")
    assert found.num_rows == (distances.min() < 600)
    if found.num_rows:
        np.testing.assert_allclose(found["distance"][0].as_py(), distances.min(), atol=1e-9)
    vector = ", ".join(repr(float(part) * 2) for part in unit(*centre))
    by_vector = here.run(f"SELECT * FROM dbo.fGetNearbyObjAllXYZ({vector}, 60)")
    assert set(ids(by_vector)) == set(np.flatnonzero(distances < 60))


def test_equal_distances_answer_the_same_row_every_time(sky: tuple[World, Array, Array]) -> None:
    here, *_ = sky
    # Three rows lie at right ascension 0 or 360 and declination 0.
    for _ in range(3):
        found = here.run("SELECT objID FROM dbo.fGetNearestObjAllEq(0, 0, 0.001)")
        assert ids(found).tolist() == [9994]


@pytest.mark.parametrize(
    ("west", "east"), [(119.9995, 120.0005), (359.99, 0.01), (10.0, 60.0), (0.0, 360.0), (350.0, 10.0)]
)
def test_rectangles(sky: tuple[World, Array, Array], west: float, east: float) -> None:
    here, ra, dec = sky
    south, north = (59.9995, 60.0005) if west > 100 and east < 121 and west < 121 else (-0.5, 0.5)
    primary = np.arange(len(ra)) % 4 != 3
    across = (ra > west) & (ra < east) if west <= east else (ra > west) | (ra < east)
    expected = np.flatnonzero(across & (dec > south) & (dec < north) & primary)
    assert len(expected) > 0
    for call in (
        f"fGetObjFromRect({west}, {east}, {south}, {north})",
        f"fGetObjFromRectEq({west}, {south}, {east}, {north})",
    ):
        found = here.run(f"SELECT * FROM dbo.{call}")
        assert set(ids(found)) == set(expected)
        assert found.column_names[-1] == "htmID"


def test_spectra(sky: tuple[World, Array, Array]) -> None:
    here, ra, dec = sky
    found = here.run("SELECT * FROM dbo.fGetNearbySpecObjAllEq(10, 90, 3)")
    expected = np.flatnonzero(arcmin(10, 90, ra[:500], dec[:500]) < 3)
    assert set(np.asarray(found["plate"]) - 266) == set(expected)
    assert str(found.schema.field("specObjID").type) == "decimal128(20, 0)"
    assert int(found["specObjID"][0].as_py()) >= 1 << 62
    primary = here.run("SELECT * FROM dbo.fGetNearbySpecObjEq(10, 90, 3)")
    assert set(np.asarray(primary["plate"]) - 266) == {row for row in expected if row % 2}
    assert "sciencePrimary" not in primary.column_names


def test_a_condition_on_a_distance_reads_only_the_zones(sky: tuple[World, Array, Array]) -> None:
    here, ra, dec = sky
    for centre in CENTRES[:10]:
        for condition, radius in (
            ("{} < 5", 5.0),
            ("{} <= 5", 5.0),
            ("5 > {}", 5.0),
            ("{} * 60 < 300", 5.0),
            ("{} / 60 < 0.5", 30.0),
            ("{} BETWEEN 1 AND 5", 5.0),
        ):
            call = f"dbo.fDistanceArcMinEq({centre[0]}, {centre[1]}, p.ra, p.dec)"
            query = f"SELECT p.objID FROM PhotoObjAll AS p WHERE p.type = 3 AND {condition.format(call)}"
            distances = arcmin(*centre, ra, dec)
            expected = (distances < radius) & (np.arange(len(ra)) % 2 == 1)
            if "BETWEEN" in condition:
                expected &= distances >= 1
            assert set(ids(here.run(query))) == set(np.flatnonzero(expected))
    plan = here.plan("SELECT count(*) FROM PhotoObjAll WHERE dbo.fDistanceArcMinEq(ra, dec, 180, 10) < 1")
    assert "zoneID >= 11997" in plan
    # Under NOT or OR nothing follows for the zones.
    far = here.run("SELECT count(*) AS n FROM PhotoObjAll WHERE NOT (dbo.fDistanceArcMinEq(ra, dec, 120, 60) < 1)")
    assert far["n"][0].as_py() == np.count_nonzero(arcmin(120, 60, ra, dec) >= 1)
    either = here.run(
        "SELECT count(*) AS n FROM PhotoObjAll WHERE dbo.fDistanceArcMinEq(ra, dec, 120, 60) < 1 OR ra < 10"
    )
    assert either["n"][0].as_py() == np.count_nonzero((arcmin(120, 60, ra, dec) < 1) | (ra < 10))


def test_a_cone_is_a_range_of_zones(sky: tuple[World, Array, Array]) -> None:
    here, *_ = sky
    plan = here.plan("SELECT * FROM dbo.fGetNearbyObjEq(180, 10, 10)")
    assert "zoneID >= 11979" in plan
    assert "zoneID <= 12020" in plan
    assert "Join" not in plan


def test_variables(sky: tuple[World, Array, Array]) -> None:
    here, ra, dec = sky
    for centre in CENTRES:
        found = here.run(
            f"DECLARE @ra float = {centre[0]}, @dec float = {centre[1]}, @r float\nSET @r = 30\n"
            "SELECT * FROM dbo.fGetNearbyObjAllEq(@ra, @dec, @r / 3)"
        )
        assert set(ids(found)) == set(np.flatnonzero(arcmin(*centre, ra, dec) < 10))
    assert here.run("DECLARE @d float = 91; SELECT * FROM dbo.fGetNearbyObjAllEq(0, @d, 600)").num_rows == 0


@pytest.mark.parametrize(
    ("query", "kind", "part"),
    [
        ("SELECT * FROM dbo.fGetNearbyObjEq(180, 0.5)", Kind.SYNTAX, "3 arguments (ra, dec, r), not 2"),
        ("SELECT * FROM dbo.fGetNearbyObjEq(10, 120, 1)", Kind.DATA, "right ascension, declination"),
        ("SELECT * FROM MyDB.dbo.fGetNearbyObjEq(1, 2, 3)", Kind.NAME, "MyDB does not have"),
        ("SELECT * FROM dbo.fGetNearbyApogeeStarEq(1, 2, 3)", Kind.NAME, "apogeeStar"),
        ("SELECT * FROM dbo.fHtmToCornerPoints(1)", Kind.UNSUPPORTED, "fGetNearbyObjEq"),
        ("SELECT * FROM dbo.fRegionsContainingPointEq(1, 2, 'TILE', 3)", Kind.UNSUPPORTED, "Regions"),
        ("SELECT * FROM dbo.fGetNearbyObjectEq(1, 2, 3)", Kind.NAME, "fGetNearbyObjEq"),
    ],
)
def test_what_cannot_be_done_is_said(sky: tuple[World, Array, Array], query: str, kind: Kind, part: str) -> None:
    here, *_ = sky
    with pytest.raises(QueryError) as raised:
        here.statements(query)
    assert raised.value.kind is kind
    assert part in str(raised.value)


def test_nothing_within_nothing(sky: tuple[World, Array, Array]) -> None:
    here, *_ = sky
    for radius in ("0", "-1", "NULL"):
        assert here.run(f"SELECT * FROM dbo.fGetNearbyObjAllEq(0, 0, {radius})").num_rows == 0
