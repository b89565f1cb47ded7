# ruff: noqa: S608  (queries are what is tested)
"""Covers by the mesh hold all of their region, and the footprint is what the half spaces bound."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest

from casjobs_service.dialect.spatial_cover import BORDER, ranges, region
from casjobs_service.errors import Kind, QueryError
from tests.casjobs.spatial_support import Array, World, arcmin, unit, world

REGIONS = [
    ("CIRCLE J2000 120 60 2", lambda ra, dec: arcmin(120, 60, ra, dec) < 2),
    ("CIRCLE J2000 0 90 300", lambda ra, dec: dec > 85),
    ("circle cartesian 0 0 -2 5000", lambda ra, dec: arcmin(0, -90, ra, dec) < 5000),
    ("RECT J2000 350 -30 20 45", lambda ra, dec: ((ra >= 350) | (ra <= 20)) & (dec >= -30) & (dec <= 45)),
    ("RECT J2000 100 9 130 -4", lambda ra, dec: (ra >= 100) & (ra <= 130) & (dec >= -4) & (dec <= 9)),
    ("REGION CONVEX 0 0 1 0.5 1 0 0 0", lambda ra, dec: (dec >= 30) & ((ra <= 90) | (ra >= 270))),
    ("POLY J2000 0 0 90 0 0 90", lambda ra, dec: (dec >= 0) & (ra <= 90)),
    ("POLY J2000 0 90 90 0 0 0", lambda ra, dec: (dec >= 0) & (ra <= 90)),
    (
        "REGION CIRCLE J2000 10 10 60 CIRCLE J2000 200 -20 90",
        lambda ra, dec: (arcmin(10, 10, ra, dec) < 60) | (arcmin(200, -20, ra, dec) < 90),
    ),
]


@pytest.fixture(scope="module")
def sky() -> tuple[World, Array, Array]:
    here, ra, dec = world()
    everywhere = pa.table({"fieldID": [7]})
    here.add("SkyDemo", "Field", everywhere)
    here.add("SkyDemo", "Region", pa.table({"regionid": [1, 2, 3], "id": [11, 12, 13]}))
    here.add("SkyDemo", "sdssPolygons", pa.table({"sdssPolygonID": [11, 12, 13], "primaryFieldID": [7, 7, 8]}))
    # North of 45 degrees; a quarter of the south; and one whose field is not there.
    half_spaces = {
        "regionid": [1, 2, 2, 3],
        "convexid": [1, 1, 1, 1],
        "x": [0.0, 0.0, 1.0, 0.0],
        "y": [0.0, 0.0, 0.0, 0.0],
        "z": [1.0, -1.0, 0.0, 1.0],
        "c": [float(np.sin(np.radians(45))), 0.5, 0.0, -1.0],
    }
    here.add("SkyDemo", "HalfSpace", pa.table(half_spaces))
    return here, ra, dec


@pytest.mark.parametrize(("text", "inside"), REGIONS)
def test_a_cover_holds_its_region(sky: tuple[World, Array, Array], text: str, inside: object) -> None:
    here, ra, dec = sky
    found = here.run(
        f"SELECT p.ra, p.dec FROM Flat.dbo.PhotoObjAll AS p JOIN dbo.fHtmCoverRegion('{text}') AS c"
        " ON dbo.fHtmEq(p.ra, p.dec) BETWEEN c.HtmIDStart AND c.HtmIDEnd"
    )
    covered = set(zip(found["ra"].to_pylist(), found["dec"].to_pylist(), strict=True))
    expected = inside(ra, dec)  # type: ignore[operator]
    missing = {(a, d) for a, d in zip(ra[expected], dec[expected], strict=True)} - covered
    assert not missing
    # And not much more, though there are crowds on the borders of some.
    assert len(covered) <= 2.5 * np.sum(expected) + 40


def test_ranges_are_in_order_and_apart() -> None:
    found = ranges(region("CIRCLE J2000 33 44 77"))
    assert 4 < len(found) < 4 * BORDER
    assert all(low <= high for low, high in found)
    assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(found))


def test_the_whole_sphere_is_one_range() -> None:
    assert ranges(region("CIRCLE J2000 0 0 10800")) == [(8 << 40, (16 << 40) - 1)]


def test_circles_take_numbers_and_known_variables(sky: tuple[World, Array, Array]) -> None:
    here, *_ = sky
    by_text = here.run("SELECT * FROM dbo.fHtmCoverRegion('CIRCLE J2000 12.5 -3 4')")
    by_numbers = here.run("SELECT * FROM dbo.fHtmCoverCircleEq(10 + 2.5, -3, 4)")
    by_variable = here.run("DECLARE @r float; SET @r = 4; SELECT * FROM fHtmCoverCircleEq(12.5, -3, @r) AS c")
    x, y, z = unit(12.5, -3).tolist()
    by_vector = here.run(f"SELECT * FROM dbo.fHtmCoverCircleXyz({x!r}, {y!r}, {z!r}, 4)")
    assert by_text.column_names == ["HtmIDStart", "HtmIDEnd"]
    assert by_text == by_numbers == by_variable
    assert abs(by_vector.num_rows - by_text.num_rows) < 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("fHtmCoverRegion('DONUT 1 2 3')", "no region"),
        ("fHtmCoverRegion('CIRCLE J2000 1 2')", "cannot be read"),
        ("fHtmCoverRegion('RECT J2000 10 0 200 5')", "180 degrees"),
        ("fHtmCoverRegion('POLY J2000 0 0 20 0 5 5 0 20')", "not convex"),
        ("fHtmCoverCircleEq(p.ra, p.dec, 1)", "constants only"),
    ],
)
def test_other_regions_are_refused(sky: tuple[World, Array, Array], call: str, message: str) -> None:
    here, *_ = sky
    with pytest.raises(QueryError, match=message):
        here.run(f"SELECT c.* FROM Flat.dbo.PhotoObjAll AS p CROSS APPLY dbo.{call} AS c")


def test_the_footprint_by_row(sky: tuple[World, Array, Array]) -> None:
    here, ra, dec = sky
    found = here.run(
        "SELECT p.ra, p.dec, q.type FROM SkyDemo.dbo.PhotoObjAll AS p"
        " OUTER APPLY SkyDemo.dbo.fFootprintEq(ra, dec, 30) q"
    )
    wider = (30 + 7.85) / 60
    cosine = np.cos(np.radians(found["dec"])) * np.cos(np.radians(found["ra"]))
    south = np.degrees(np.arcsin(np.clip(-np.sin(np.radians(found["dec"])), -1, 1)))
    expected = (np.asarray(found["dec"]) >= 45 - wider) | (
        (south >= 30 - wider) & (cosine >= np.cos(np.radians(90 + wider)))
    )
    assert [value == "POLYGON" for value in found["type"].to_pylist()] == expected.tolist()
    assert 0.1 < expected.mean() < 0.9
    assert found.num_rows == len(ra) == len(dec)


def test_the_footprint_as_a_value(sky: tuple[World, Array, Array]) -> None:
    here, *_ = sky
    found = here.run(
        "SELECT SkyDemo.dbo.fInFootprintEq(10, 46, 0) AS a, SkyDemo.dbo.fInFootprintEq(10, 44.9, 0) AS b,"
        " SkyDemo.dbo.fInFootprintEq(10, 44, 1) AS c, SkyDemo.dbo.fInFootprintEq(10, -80, 0) AS d"
    )
    assert list(found.to_pylist()[0].values()) == [True, True, False, True]


def test_the_footprint_needs_its_tables(sky: tuple[World, Array, Array]) -> None:
    here, *_ = sky
    with pytest.raises(QueryError, match="HalfSpace") as caught:
        here.run("SELECT * FROM Flat.dbo.fFootprintEq(1, 2, 3)")
    assert caught.value.kind is Kind.NAME
