# ruff: noqa: S608  (queries of our own)
"""Searches by place in a periodic box: the same rows as comparing every particle with every image of the shape."""

from __future__ import annotations

import itertools

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from casjobs_service.catalog import Catalog, Grid
from casjobs_service.dialect import spatial
from casjobs_service.errors import Kind, QueryError
from tests.casjobs.spatial_support import World

SIDE, BITS = 50.0, 3
COUNT = 20_000
HALOS = {1: (1.0, 1.0, 49.0, 1.5), 2: (25.0, 25.0, 25.0, 2.0), 3: (0.0, 49.99, 12.5, 0.01), 4: (6.25, 6.25, 6.25, 1.0)}


def _key(place: np.ndarray) -> np.ndarray:
    """Morton's number, bit by bit."""
    cells = np.floor(place / (SIDE / 2**BITS)).astype(int)
    bits = [f"{cells[axis, row]:0{BITS}b}" for row in range(place.shape[1]) for axis in range(3)]
    return np.array(
        [
            int("".join(z + y + x for x, y, z in zip(*bits[start : start + 3], strict=True)), 2)
            for start in range(0, len(bits), 3)
        ]
    )


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    """Where the particles are, in the order of their identifiers; some on the borders of the box and of cells."""
    random = np.random.default_rng(3)
    place = random.uniform(0, SIDE, (3, COUNT)).astype(np.float32)
    place[:, :200] = random.choice([0, 6.25, 43.75, 25, 49.99], (3, 200))
    return place


@pytest.fixture(scope="module")
def world(places: np.ndarray) -> World:
    """`SimulationDB` with particles and haloes, and `Other` without."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    here = World(connection)
    key = _key(places)
    order = np.argsort(key, kind="stable")
    columns = {"partId": order, "snapnum": np.full(COUNT, 63, np.int16), "fofId": order % 7, "phkey": key[order]}
    columns |= {axis: places[number, order] for number, axis in enumerate("xyz")}
    columns |= {f"v{axis}": np.zeros(COUNT, np.float32) for axis in "xyz"}
    here.add("SimulationDB", "Particles", pa.table(columns))
    halos = np.array(list(HALOS.values())).T
    columns = {"haloId": np.array(list(HALOS)), "snapnum": np.full(len(HALOS), 63)}
    columns |= dict(zip(("x", "y", "z", "halfmassradius"), halos, strict=True))
    here.add("SimulationDB", "mr", pa.table(columns))
    here.add("Other", "mine", pa.table({"x": [1.0]}))
    particles, mr = here.catalogs["simulationdb"].tables
    particles.grid = Grid("phkey", SIDE, BITS)
    mr.schema = "mpahalotrees"
    return here


def _near(places: np.ndarray, x: float, y: float, z: float, radius: float) -> set[tuple[int, float, float, float]]:
    """Identifiers and places of all images of particles in a sphere."""
    found = set()
    for shift in itertools.product((-SIDE, 0, SIDE), repeat=3):
        image = places.astype(float) + np.array(shift)[:, None]
        inside = np.sum((image - np.array([x, y, z])[:, None]) ** 2, axis=0) <= radius**2
        found |= {(int(row), *np.float32(image[:, row]).tolist()) for row in np.flatnonzero(inside)}
    return found


def _found(world: World, query: str, context: str = "SimulationDB") -> set[tuple[int, float, float, float]]:
    rows = world.run(query, context).select(["partId", "x", "y", "z"]).to_pylist()
    found = {(row["partId"], *(float(np.float32(row[axis])) for axis in "xyz")) for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize(
    "sphere",
    [(25, 25, 25, 5), (0, 0, 0, 3), (49.9, 0.1, 25, 6.3), (6.25, 6.25, 6.25, 6.25), (25, 25, 25, 0), (60, -10, 130, 4),
     (1, 2, 3, 25)],
)  # fmt: skip
def test_a_sphere(world: World, places: np.ndarray, sphere: tuple[float, ...]) -> None:
    wanted = _near(places, *(value % SIDE for value in sphere[:3]), sphere[3])
    # A centre outside the box has its particles next to it.
    outside = np.floor(np.array(sphere[:3]) / SIDE) * SIDE
    wanted = {(row, *np.float32(np.array(at) + outside).tolist()) for row, *at in wanted}
    text = ", ".join(map(str, sphere))
    query = f"select * from dbo.MillenniumParticles(63, Sphere::New({text}).ToString())"
    assert {row for row, *_ in _found(world, query)} == {row for row, *_ in wanted}
    if not outside.any():
        assert _found(world, query) == wanted
    # The same from a text, from a variable, and from numbers that are known when the query runs.
    assert _found(world, f"select * from MillenniumParticles(63, 'Sphere {text.replace(',', '')}')") == _found(
        world, query
    )
    script = f"declare @s varchar(100) = dbo.Sphere::New({text}).ToString() select * from MillenniumParticles(63, @s)"
    assert _found(world, script) == _found(world, query)
    centre = ", ".join(map(str, sphere[:3]))
    script = f"declare @r float = {sphere[3]} select * from MillenniumParticles(63, dbo.Sphere::New({centre}, @r))"
    assert _found(world, script) == _found(world, query)


def test_for_each_halo(world: World, places: np.ndarray) -> None:
    rows = world.run(
        "select hh.haloId, p.partId, p.x, p.y, p.z from mpahalotrees.mr hh cross apply dbo.MillenniumParticles("
        "hh.snapnum, dbo.Sphere::New(hh.x, hh.y, hh.z, 3 * hh.halfmassradius).ToString()) p",
        "SimulationDB",
    ).to_pylist()
    assert rows
    for halo, (x, y, z, half) in HALOS.items():
        found = {
            (row["partId"], *(float(np.float32(row[axis])) for axis in "xyz")) for row in rows if row["haloId"] == halo
        }
        assert found == _near(places, x, y, z, 3 * half)


def test_the_published_query_answers_places_about_the_halo_in_random_order(world: World, places: np.ndarray) -> None:
    query = (
        "select top 100000 p.x-hh.x as x, p.y-hh.y as y, p.z-hh.z as z from mpahalotrees.mr hh "
        "cross apply dbo.MillenniumParticles(hh.snapnum, "
        "dbo.Sphere::New(hh.x,hh.y,hh.z,3*hh.halfmassradius).ToString()) p where hh.haloId=1 order by newid()"
    )
    first, second = (world.run(query, "SimulationDB").to_pandas() for _ in range(2))
    x, y, z, half = HALOS[1]
    assert len(first) == len(second) == len(_near(places, x, y, z, 3 * half)) > 30
    assert np.linalg.norm(first, axis=1).max() <= 3 * half * (1 + 1e-5)
    assert not first.equals(second)
    assert set(map(tuple, first.round(6).values)) == set(map(tuple, second.round(6).values))
    [statement] = world.statements(query, "SimulationDB")
    assert {name.table for name in statement.reads} == {"mr", "Particles"}


def test_the_form_of_other_published_notebooks(world: World) -> None:
    query = (
        "SELECT p.* FROM (SELECT x,y,z FROM mpahalotrees..mr WHERE haloId=2) h cross apply "
        "SimulationDB.dbo.MillenniumParticles(63, dbo.Sphere::New(h.x,h.y,h.z,2).ToString()) p"
    )
    table = world.run(query, "SimulationDB")
    assert table.num_rows > 3
    assert table.column_names[:4] == ["partId", "x", "y", "z"]
    assert table.schema.field("x").type == pa.float32()


def test_boxes_that_touch_share_no_particle_and_leave_none_out(world: World) -> None:
    boxes = [f"Box::New({x}, 0, 0, {x + 12.5}, 50, 50)" for x in (0, 12.5, 25, 37.5)]
    counts = [len(_found(world, f"select * from MillenniumParticles(63, {box})")) for box in boxes]
    assert sum(counts) == COUNT
    # Across the border.
    assert len(_found(world, "select * from MillenniumParticles(63, 'BOX -25 0 0 25 50 50')")) == COUNT


def test_a_snapshot_without_particles_and_a_shape_that_is_not_known_have_none(world: World) -> None:
    for call in ("62, 'SPHERE 1 1 1 5'", "63, Sphere::New(1, null, 1, 5).ToString()", "63, cast(null as varchar(9))"):
        assert world.run(f"select * from MillenniumParticles({call})", "SimulationDB").num_rows == 0
    outer = world.run(
        "select h.haloId, count(p.partId) as n from mr h "
        "outer apply MillenniumParticles(62, Sphere::New(x, y, z, 1)) p group by h.haloId",
        "SimulationDB",
    )
    assert outer["n"].to_pylist() == [0] * len(HALOS)


def test_only_the_parts_of_the_table_that_hold_the_sphere_are_read(world: World) -> None:
    count = 500_000
    place = np.sort(np.random.default_rng(1).uniform(0, SIDE, (3, count)).astype(np.float32), axis=1)
    key = np.sort(np.random.default_rng(2).integers(0, 512, count))
    columns = {"partId": np.arange(count), "snapnum": np.full(count, 63, np.int16), "fofId": np.arange(count)}
    columns |= {axis: place[number] for number, axis in enumerate("xyz")} | {"phkey": key}
    columns |= {f"v{axis}": place[number] for number, axis in enumerate("xyz")}
    world.add("Large", "Particles", pa.table(columns))
    world.add("Large", "mr", pa.table({"haloId": [1], "x": [1.0], "y": [1.0], "z": [1.0]}))
    world.catalogs["large"].table("Particles").grid = Grid("phkey", SIDE, BITS)  # type: ignore[union-attr]
    [statement] = world.statements(
        "select count(*) from mr cross apply MillenniumParticles(63, Sphere::New(mr.x, mr.y, mr.z, 0.5)) p", "Large"
    )
    for prelude in statement.prelude:
        world.connection.execute(prelude)
    plan = world.connection.execute("EXPLAIN ANALYZE " + statement.sql).fetchall()[0][1]
    assert "Row Groups Scanned: 1 / 5" in plan


@pytest.mark.parametrize(
    ("text", "kind", "column", "message"),
    [
        ("select * from MillenniumParticles(63, Sphere::New(1, 2, 3, -4).ToString())", Kind.DATA, 39, "radius"),
        ("select * from MillenniumParticles(63, Sphere::New(1, 2, 3))", Kind.SYNTAX, 39, "takes 4 arguments"),
        ("select * from MillenniumParticles(63, 'SPEER 1 2 3 4')", Kind.DATA, 15, "takes a SPHERE x y z r or a BOX"),
        ("select * from MillenniumParticles(63, 'SPHERE 1 2 3')", Kind.DATA, 15, "not SPHERE 1 2 3"),
        ("select * from MillenniumParticles(63, 'BOX 1 2 3 1 2 1')", Kind.DATA, 0, "least x, y and z"),
        ("select * from MillenniumParticles(63, Sphere::New(1, 2, 3, 26))", Kind.DATA, 15, "wider than the box"),
        ("select * from MillenniumParticles(63)", Kind.SYNTAX, 15, "takes 2 arguments"),
        ("select * from MillenniumParticles(63, Sphere::Parse('x'))", Kind.NAME, 39, "no function Sphere::Parse"),
        ("select * from MillenniumParticles(63, Sphere::New(1, 2, 3, 4).Area())", Kind.SYNTAX, 0, "Syntax error"),
        ("select * from MillenniumParticle(63, 'x')", Kind.NAME, 15, "no table function MillenniumParticle"),
        ("select geometry::New(1, 2)", Kind.NAME, 0, "There is no function"),
    ],
)  # fmt: skip
def test_errors_that_are_found_before_it_runs(world: World, text: str, kind: Kind, column: int, message: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        world.statements(text, "SimulationDB")
    assert caught.value.kind is kind
    assert column in (0, caught.value.column)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("declare @r int = -1 select * from MillenniumParticles(63, Sphere::New(1, 2, 3, @r))", "radius of a Sphere"),
        ("declare @r int = 30 select * from MillenniumParticles(63, Sphere::New(1, 2, 3, @r))", "simulation, 50"),
        ("declare @s varchar(9) = 'ball' select * from MillenniumParticles(63, @s)", "x2 y2 z2, not ball"),
        ("declare @x int = 9 select * from MillenniumParticles(63, Box::New(@x, 0, 0, 1, 1, 1))", "least x, y and z"),
        ("select Sphere::New(x, y, z, -halfmassradius).ToString() from mr", "radius of a Sphere"),
    ],
)  # fmt: skip
def test_errors_of_values(world: World, text: str, message: str) -> None:
    with pytest.raises(duckdb.Error, match=message):
        world.run(text, "SimulationDB")


def test_a_shape_is_a_text_with_exact_numbers(world: World) -> None:
    table = world.run("select Sphere::New(x, 1e0/3, z, 4).ToString() as s from mr where haloId = 2", "SimulationDB")
    assert table["s"].to_pylist() == ["SPHERE 25.0 0.3333333333333333 25.0 4.0"]


def test_they_belong_to_databases_that_have_the_table(world: World) -> None:
    for text, name in (
        ("select * from dbo.MillenniumParticles(63, 'SPHERE 1 1 1 1')", "MillenniumParticles"),
        ("select dbo.Sphere::New(1, 1, 1, 1).ToString()", "Sphere::New"),
        ("select *, dbo.Sphere::New(1, 1, 1, 1) from SimulationDB.mpahalotrees.mr", "Sphere::New"),
    ):
        with pytest.raises(QueryError, match=f"There is no (table )?function {name}") as caught:
            world.statements(text, "Other")
        assert caught.value.kind is Kind.NAME
    query = (
        "select * from SimulationDB.dbo.MillenniumParticles(63, SimulationDB.dbo.Sphere::New(1, 1, 1, 5).ToString())"
    )
    assert _found(world, query, "Other")
    assert _found(world, query, "Other") == _found(world, query)
    # As in the published notebooks: a shape for a function of the context needs not be named with it.
    assert _found(world, query.replace("SimulationDB.dbo.Sphere", "dbo.Sphere"), "Other") == _found(world, query)
    names = {
        database: {function.name for function in spatial.catalog_functions(world.catalogs[database.lower()])}
        for database in ("SimulationDB", "Other")
    }
    ours = {"MillenniumParticles", "Sphere::New", "Box::New"}
    assert ours <= names["SimulationDB"]
    assert not ours & names["Other"]


def test_a_schema_that_was_a_database_is_known_in_its_context_only(world: World) -> None:
    for name in ("mr", "dbo.mr", "mpahalotrees.mr", "mpahalotrees..mr", "mpahalotrees.dbo.mr", "MPAHaloTrees..MR"):
        assert world.run(f"select count(*) as n from {name}", "SimulationDB")["n"].to_pylist() == [len(HALOS)]
    for name in ("SimulationDB.mpahalotrees.mr", "SimulationDB..mr"):
        assert world.run(f"select count(*) as n from {name}", "Other")["n"].to_pylist() == [len(HALOS)]
    for name, context in (("mpahalotrees..mr", "Other"), ("mpahalotrees..Particles", "SimulationDB")):
        with pytest.raises(QueryError, match="There is no"):
            world.statements(f"select * from {name}", context)
    with pytest.raises(QueryError, match="There is no database elsewhere"):
        world.statements("select * from elsewhere..mr", "SimulationDB")


def test_the_catalogue_keeps_the_grid(world: World) -> None:
    catalog = world.catalogs["simulationdb"]
    assert Catalog.from_json(catalog.to_json()).table("Particles").grid == Grid("phkey", SIDE, BITS)  # type: ignore[union-attr]
