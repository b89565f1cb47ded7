"""Haloes of `SimulationDB` at redshift 0: how heavy they are, where they stand, and how their mass is spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.integrate import cumulative_trapezoid
from scipy.spatial import cKDTree

from casjobs_service.demo.simulation import cosmology as universe
from casjobs_service.demo.simulation.field import CELLS, Field
from casjobs_service.demo.sky import Array

SCATTER = 0.11
"""Of concentrations, in decades (Dutton and Macciò 2014)."""
_BINS = 12
"""Of mass, each of which is placed with one bias."""
_ROUNDS = 200


def enclosed(x: Array) -> Array:
    """Mass of an NFW profile within x scale radii, in units of 4 pi rho_s r_s^3 (Navarro, Frenk and White 1997)."""
    return np.log1p(x) - x / (1 + x)


_X = np.geomspace(1e-4, 1e4, 8001)
_ENCLOSED = enclosed(_X)
# Jeans's equation for isotropic velocities: sigma^2 = 1/rho * integral from x of rho G M / r^2, here in units of
# G 4 pi rho_s r_s^2.
_PRESSURE = -cumulative_trapezoid((_ENCLOSED / (_X**2 * (1 + _X) ** 2))[::-1], np.log(_X)[::-1], initial=0)[::-1]
_DISPERSION = np.sqrt(_X * (1 + _X) ** 2 * _PRESSURE)


def within(mass: Array) -> Array:
    """Radius in scale radii that encloses a mass: the opposite of `enclosed`."""
    return np.interp(mass, _ENCLOSED, _X)


def dispersion(x: Array) -> Array:
    """Dispersion of velocities along an axis at x scale radii, in units of sqrt(G 4 pi rho_s r_s^2)."""
    return np.interp(x, _X, _DISPERSION)


def half_mass(concentration: Array) -> Array:
    """Radius, in units of R200, within which half of the mass within R200 lies."""
    return within(enclosed(concentration) / 2) / concentration


def fastest(concentration: Array) -> Array:
    """Greatest circular velocity in units of V200; it is at 2.163 scale radii."""
    peak = 2.16258
    return np.sqrt(concentration / enclosed(concentration) * enclosed(np.array(peak)) / peak)


@dataclass(frozen=True)
class Halos:
    """Haloes at redshift 0 in order of mass, the heaviest first.

    Attributes
    ----------
    mass
        M200 in solar masses/h.
    scatter
        Factor of the concentration against the mean.
    start, displacement
        Place in the linear field and displacement today, in Mpc/h; shape (3, n).
    """

    mass: Array
    scatter: Array
    start: Array
    displacement: Array

    @property
    def place(self) -> Array:
        """Today, in Mpc/h, within the box; shape (3, n)."""
        return (self.start + self.displacement) % universe.SIDE


def random_halos(random: np.random.Generator, field: Field, least: float) -> Halos:
    """Haloes of at least that mass in solar masses/h, drawn from the mass function and placed in the field."""
    mass = _masses(random, least)
    start, displacement = _places(random, field, mass)
    scatter = 10 ** random.normal(0, SCATTER, len(mass))
    return Halos(mass, scatter, start, displacement)


def _masses(random: np.random.Generator, least: float) -> Array:
    grid = np.geomspace(least, universe.HEAVIEST, 2000)
    number = cumulative_trapezoid(universe.mass_function(grid), np.log(grid), initial=0) * universe.SIDE**3
    count = random.poisson(number[-1])
    drawn = np.interp(random.uniform(0, number[-1], count), number, np.log(grid))
    return np.sort(np.exp(drawn))[::-1]


def _places(random: np.random.Generator, field: Field, mass: Array) -> tuple[Array, Array]:
    """Start and displacement: where the linear field is dense, the more so the heavier, and none within another."""
    edges = np.geomspace(mass[0] * 1.001, mass[-1] * 0.999, _BINS + 1)
    bins = np.clip(np.searchsorted(-edges, -mass) - 1, 0, _BINS - 1)
    excess = universe.bias(np.sqrt(edges[1:] * edges[:-1])) - 1
    chances = [np.cumsum(np.exp(one * field.density).ravel()) for one in excess]
    start = np.empty((3, len(mass)))
    displacement = np.empty((3, len(mass)))
    reach = universe.radius(mass, np.array(0.0))
    wanted: npt.NDArray[np.int64] = np.arange(len(mass))
    for _ in range(_ROUNDS):
        for number in range(_BINS):
            here = wanted[bins[wanted] == number]
            drawn = random.uniform(0, chances[number][-1], len(here))
            cell = np.unravel_index(np.searchsorted(chances[number], drawn), (CELLS,) * 3)
            start[:, here] = (np.stack(cell) + random.uniform(0, 1, (3, len(here)))) * universe.SIDE / CELLS
        displacement[:, wanted] = field.at(start[:, wanted])
        wanted = _overlapping((start + displacement) % universe.SIDE, reach)
        if not len(wanted):
            return start, displacement
    raise RuntimeError("The haloes do not fit into the box.")


def _overlapping(place: Array, reach: Array) -> npt.NDArray[np.int64]:
    """Those that touch a heavier one."""
    tree = cKDTree(place.T, boxsize=universe.SIDE)
    pairs = tree.query_pairs(2 * reach[0], output_type="ndarray")
    apart = np.abs(place[:, pairs[:, 0]] - place[:, pairs[:, 1]])
    distance = np.linalg.norm(np.minimum(apart, universe.SIDE - apart), axis=0)
    touching = pairs[distance < reach[pairs].sum(axis=1)]
    return np.unique(touching.max(axis=1))
