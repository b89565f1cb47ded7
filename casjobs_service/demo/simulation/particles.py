"""Particles of `SimulationDB` at redshift 0: those of its haloes, and those between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from casjobs_service.catalog import Grid
from casjobs_service.demo.simulation import cosmology as universe
from casjobs_service.demo.simulation.field import Field
from casjobs_service.demo.simulation.halos import Halos, dispersion, enclosed, within
from casjobs_service.demo.sky import Array

GRID = Grid("phkey", universe.SIDE, 5)
"""Cells of 1.95 Mpc/h: a sphere around a halo touches eight of them or few more."""

Singles = npt.NDArray[np.float32]

_TODAY = np.array(0.0)


def particle_mass(lattice: int) -> float:
    """In solar masses/h, of lattice**3 particles that are all matter of the box."""
    return float(universe.MATTER * universe.CRITICAL * universe.SIDE**3 / lattice**3)


@dataclass(frozen=True)
class Particles:
    """Places within the box (Mpc/h) and velocities (km/s), of shape (3, n); row of the halo, -1 between haloes."""

    place: Singles
    velocity: Singles
    halo: npt.NDArray[np.int64]


def keys(place: npt.NDArray) -> npt.NDArray[np.int32]:
    """Numbers of the cells that places, of shape (3, n), are in."""
    count = 1 << GRID.bits
    cells = np.minimum((np.asarray(place, float) * (count / universe.SIDE)).astype(np.int32), count - 1)
    key = np.zeros(place.shape[1], np.int32)
    for axis in range(3):
        for bit in range(GRID.bits):
            key |= ((cells[axis] >> bit) & 1) << (3 * bit + axis)
    return key


def wrapped(place: npt.NDArray) -> Singles:
    """Within the box, in single precision."""
    single = np.asarray(place % universe.SIDE, np.float32)
    # What is less than the side by too little for single precision.
    single[single >= universe.SIDE] = 0
    return single


def random_particles(random: np.random.Generator, field: Field, halos: Halos, lattice: int) -> Particles:
    """All matter of the box, `lattice`**3 particles."""
    inside = _in_halos(random, halos, lattice)
    between = _between(random, field, halos, lattice, lattice**3 - len(inside.halo))
    return Particles(
        np.concatenate([inside.place, between.place], axis=1),
        np.concatenate([inside.velocity, between.velocity], axis=1),
        np.concatenate([inside.halo, between.halo]),
    )


def _directions(random: np.random.Generator, count: int) -> Array:
    vector = random.standard_normal((3, count))
    return vector / np.linalg.norm(vector, axis=0)


def _in_halos(random: np.random.Generator, halos: Halos, lattice: int) -> Particles:
    """Within R200, by NFW profiles, with the velocities that Jeans's equation asks for."""
    number = np.round(halos.mass / particle_mass(lattice)).astype(np.int64)
    halo = np.repeat(np.arange(len(number)), number)
    concentration = universe.concentration(halos.mass, 0.0) * halos.scatter
    whole = enclosed(concentration)
    reach = universe.radius(halos.mass, _TODAY)
    x = within(random.uniform(0, 1, len(halo)) * whole[halo])
    scale = reach / concentration
    place = halos.place[:, halo] + _directions(random, len(halo)) * (x * scale[halo])
    unit = np.sqrt(universe.GRAVITY * halos.mass / whole / scale)
    spread = random.standard_normal((3, len(halo))) * (dispersion(x) * unit[halo])
    velocity = halos.displacement[:, halo] * universe.drift(_TODAY) + spread
    return Particles(wrapped(place), velocity.astype(np.float32), halo)


def _between(random: np.random.Generator, field: Field, halos: Halos, lattice: int, count: int) -> Particles:
    """`count` particles that the field has moved to places outside haloes.

    They start anywhere in their cells of a lattice: from its knots, they would be seen to stand in rows.
    """
    step = np.float32(universe.SIDE / lattice)
    line = np.arange(lattice, dtype=np.float32)
    start = np.stack(np.meshgrid(line, line, line, indexing="ij")).reshape(3, -1)
    start = (start + random.random(start.shape, np.float32)) * step
    displacement = field.at(start)
    place = wrapped(start + displacement)
    taken = np.zeros(place.shape[1], bool)
    tree = cKDTree(place.T, boxsize=universe.SIDE, balanced_tree=False, compact_nodes=False)
    for rows in tree.query_ball_point(halos.place.T, universe.radius(halos.mass, _TODAY)):
        taken[rows] = True
    free = np.flatnonzero(~taken)
    chosen = np.sort(random.choice(free, count, replace=False))
    velocity = (displacement[:, chosen] * universe.drift(_TODAY)).astype(np.float32)
    return Particles(place[:, chosen], velocity, np.full(count, -1))
