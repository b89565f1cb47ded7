"""Making of `SimulationDB`: a small universe in the shape of the Millennium simulation's database.

Nothing of it was simulated step by step. Haloes come from a mass function, stand where a linear field has moved them,
have NFW profiles, and histories by a published merger rate.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from casjobs_service.catalog import Catalog
from casjobs_service.demo import database, schema
from casjobs_service.demo.simulation import cosmology as universe
from casjobs_service.demo.simulation.field import Field, random_field
from casjobs_service.demo.simulation.halos import Halos, fastest, half_mass, random_halos
from casjobs_service.demo.simulation.particles import GRID, keys, particle_mass, random_particles, wrapped
from casjobs_service.demo.simulation.trees import Trees, histories, identifiers
from casjobs_service.demo.sky import Array

NAME = "SimulationDB"
SCHEMA = "mpahalotrees"
"""Database of SQL Server in which the Millennium simulation has its table `mr`."""
SMALL, FULL = 64, 216
"""Particles along each side of the box: 0.26 million and 10 million together."""
LEAST = 20
"""Particles of the lightest haloes."""
_SEED = 1970
_SCHEMA = Path(__file__).with_name("schema.txt")


def build(path: Path, full: bool, threads: int) -> Catalog:
    """Write the database file `path` and return what it contains."""
    definitions = schema.read([_SCHEMA])
    tables = database.write(path, definitions, relations(FULL if full else SMALL), threads=threads)
    for table in tables:
        if table.name == "mr":
            table.schema = SCHEMA
        elif table.name == "Particles":
            table.grid = GRID
    return Catalog(NAME, "duckdb", tables)


def relations(lattice: int) -> dict[str, pa.Table]:
    """Rows of the tables, with lattice**3 particles."""
    random = np.random.default_rng(_SEED)
    field = random_field(random)
    least = LEAST * particle_mass(lattice)
    halos = random_halos(random, field, least)
    trees = histories(random, halos, least)
    names = identifiers(trees)
    return {
        "halos": _halos(trees, halos, names, lattice),
        "particles": _particles(random, field, halos, names["haloid"], lattice),
        "snapshots": _snapshots(lattice),
    }


def _snapshots(lattice: int) -> pa.Table:
    z = universe.redshifts()
    number = np.arange(len(z))
    return database.arrow(
        {
            "snapnum": number,
            "redshift": np.round(z, 6),
            "age": np.round(universe.ages(), 5),
            "particles": np.where(number == universe.LAST, lattice**3, 0),
        }
    )


def _particles(random: np.random.Generator, field: Field, halos: Halos, haloid: npt.NDArray, lattice: int) -> pa.Table:
    particles = random_particles(random, field, halos, lattice)
    key = keys(particles.place)
    order = np.lexsort((particles.halo, key))
    halo = particles.halo[order]
    columns: dict[str, npt.NDArray] = {"partid": np.arange(len(key)), "phkey": key[order]}
    for axis, name in enumerate("xyz"):
        columns[name] = particles.place[axis, order]
        columns[f"v{name}"] = np.round(particles.velocity[axis, order], 2)
    table = database.arrow(columns)
    return table.append_column("fofid", pa.array(haloid[halo], mask=halo < 0))


def _halos(trees: Trees, halos: Halos, names: dict[str, npt.NDArray], lattice: int) -> pa.Table:
    z = universe.redshifts()[trees.snapshot]
    growth = universe.growth(z)
    moved = halos.displacement[:, trees.root] * growth
    place = wrapped(halos.start[:, trees.root] + moved + trees.offset.T)
    velocity = moved * universe.drift(z) - trees.outwards.T
    mass, radius = trees.mass, universe.radius(trees.mass, z)
    concentration = _concentrations(trees) * trees.scatter
    circular = universe.circular_velocity(mass, z)
    columns = {
        "snapnum": trees.snapshot,
        "redshift": np.round(z, 6),
        "np": np.round(mass / particle_mass(lattice)).astype(np.int64),
        "mass": mass / 1e10,
        "radius": radius,
        "half": half_mass(concentration) * radius,
        "concentration": concentration,
        "v200": circular,
        "vmax": fastest(concentration) * circular,
        "phkey": keys(place),
        **{axis: place[number] for number, axis in enumerate("xyz")},
        **{f"vel{axis}": np.round(velocity[number], 2) for number, axis in enumerate("xyz")},
    }
    order = np.argsort(names["haloid"])
    return database.arrow({name: values[order] for name, values in (names | columns).items()})


def _concentrations(trees: Trees) -> Array:
    """Mean concentrations, at each halo's redshift."""
    found = np.empty(len(trees))
    for snapshot in np.unique(trees.snapshot):
        rows = trees.snapshot == snapshot
        found[rows] = universe.concentration(trees.mass[rows], universe.redshifts()[snapshot])
    return found
