# ruff: noqa: S608  (queries of our own)
"""What it costs to find the particles around a halo, among ten million.

Method
------
`SimulationDB` as ``sciserver data load --full`` makes it: 10,077,696 particles, sorted by cells. Queries are
translated as by the service, and run in one process with one thread. Sides take turns, and the order changes with each
round; figures are medians.

- *halo*: particles within three half-mass radii of one halo, by its identifier, as the published query asks for them.
- *sphere*: particles within a radius of a random place.

Peer: the same by the distance of each particle (*plain scan*), which a table that is not sorted would need.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import statistics
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.casjobs import goal, in_turn, table
from casjobs_service.catalog import Catalog
from casjobs_service.demo.simulation import build, cosmology, trees
from casjobs_service.dialect import translate

HALO = (
    "select count(*) as n from mpahalotrees.mr hh cross apply dbo.MillenniumParticles(hh.snapnum, "
    "dbo.Sphere::New(hh.x,hh.y,hh.z,3*hh.halfmassradius).ToString()) p where hh.haloId={}"
)
SPHERE = "select count(*) as n from dbo.MillenniumParticles(63, dbo.Sphere::New({}, {}, {}, {}).ToString())"
_APART = "least(abs(p.{0} - {1}), {2} - abs(p.{0} - {1})) ** 2"
SCAN_HALO = (
    "SELECT count(*) FROM SimulationDB.mr AS h JOIN SimulationDB.Particles AS p ON "
    + " + ".join(_APART.format(axis, f"h.{axis}", cosmology.SIDE) for axis in "xyz")
    + " <= (3 * h.halfmassRadius) ** 2 WHERE h.haloId = {}"
)
SCAN_SPHERE = (
    "SELECT count(*) FROM SimulationDB.Particles AS p WHERE "
    + " + ".join(_APART.format(axis, f"{{{number}}}", cosmology.SIDE) for number, axis in enumerate("xyz"))
    + " <= {3} ** 2"
)
HALOS = {"heaviest": 1, "100th": 100, "5000th": 5000}
RADII = (0.5, 2.0, 10.0)
GOAL = 0.2
"""Of the plain scan's time, for a halo."""


class Universe:
    """The database, attached to an engine with one thread."""

    def __init__(self, path: Path) -> None:
        started = time.perf_counter()
        self._catalog = build.build(path, True, 2)
        print(f"Made in {time.perf_counter() - started:.0f} s, {path.stat().st_size / 1e6:.0f} MB")
        self._engine = duckdb.connect()
        self._engine.execute(f"ATTACH '{path}' AS SimulationDB (READ_ONLY)")
        self._engine.execute("SET threads = 1")

    def catalog(self, name: str) -> Catalog | None:
        """For the translator."""
        return self._catalog if name.lower() == "simulationdb" else None

    def names(self) -> list[str]:
        """For the translator."""
        return [self._catalog.database]

    def query(self, text: str) -> int:
        """The count that a query of the dialect answers; its translation counts, too."""
        [statement] = translate(text, self, self._catalog.database)
        for prelude in statement.prelude:
            self._engine.execute(prelude)
        return self.scan(statement.sql)

    def scan(self, sql: str) -> int:
        """The count that a query of the engine answers."""
        return int(self._engine.execute(sql).fetchall()[0][0])


def main() -> None:
    """Make the database, measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="casjobs-bench-particles-") as home:
        measure(Universe(Path(home) / "data.duckdb"), rounds)
    print("\nVersions: " + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("duckdb", "sqlglot")))


def measure(universe: Universe, rounds: int) -> None:
    """Each query both ways; both must find the same particles."""
    places = np.random.default_rng(1).uniform(0, cosmology.SIDE, (rounds + 1, 3)).tolist()
    rows = [["Particles around", "particles", "by cells, ms", "plain scan, ms"]]
    for title, number in HALOS.items():
        halo = number * trees.TREE
        found = universe.query(HALO.format(halo))
        assert found == universe.scan(SCAN_HALO.format(halo))
        times = in_turn(
            {
                "cells": lambda _, halo=halo: universe.query(HALO.format(halo)),
                "scan": lambda _, halo=halo: universe.scan(SCAN_HALO.format(halo)),
            },
            rounds,
        )
        rows.append(_row(f"the {title} halo", found, times))
        ratio = statistics.median(times["cells"]) / statistics.median(times["scan"])
        goal(f"the {title} halo, times the plain scan", ratio, GOAL)
    for radius in RADII:
        found = universe.query(SPHERE.format(*places[0], radius))
        assert found == universe.scan(SCAN_SPHERE.format(*places[0], radius))
        times = in_turn(
            {
                "cells": lambda turn, radius=radius: universe.query(SPHERE.format(*places[turn], radius)),
                "scan": lambda turn, radius=radius: universe.scan(SCAN_SPHERE.format(*places[turn], radius)),
            },
            rounds,
        )
        rows.append(_row(f"a random place, {radius:g} Mpc/h", found, times))
    table("Particles", rows)


def _row(title: str, found: int, times: dict[str, list[float]]) -> list[str]:
    return [title, f"{found:,}", *(f"{1000 * statistics.median(times[side]):.1f}" for side in ("cells", "scan"))]


if __name__ == "__main__":
    main()
