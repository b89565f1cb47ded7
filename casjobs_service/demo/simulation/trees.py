"""Merger histories of the haloes of `SimulationDB`, from today back to where they are too light.

Growth and mergers are those that Fakhouri, Ma and Boylan-Kolchin (2010, MNRAS 406, 2267) found in the Millennium
simulations: a halo's main progenitor is lighter by the mean growth, times a factor of its own; its other progenitors
are drawn from the merger rate, and have histories of the same kind. A halo that is going to merge falls in at the
virial velocity of the one that it merges with.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.integrate import cumulative_trapezoid

from casjobs_service.demo.simulation import cosmology as universe
from casjobs_service.demo.simulation.halos import SCATTER, Halos
from casjobs_service.demo.sky import Array

Integers = npt.NDArray[np.int64]

TREE = 1_000_000
"""Identifiers begin with the number of the tree."""
NONE = -1
"""Instead of an identifier: there is no such halo."""
_GROWTH_SCATTER = 0.3
"""Of the growth of single haloes about the mean, in ln: an assumption."""
_RATIOS = np.geomspace(1e-5, 1, 2000)
# Mergers with at least a ratio of masses, without the factors of mass and redshift.
_MERGERS = -cumulative_trapezoid(
    (0.0104 * _RATIOS * _RATIOS**-1.995 * np.exp((_RATIOS / 9.72e-3) ** 0.263))[::-1],
    np.log(_RATIOS)[::-1],
    initial=0,
)[::-1]
_KILOMETRES_PER_MPC = 3.0857e19
_SECONDS = 3.15576e16
"""In 10^9 years."""


@dataclass
class Trees:
    """Haloes of all snapshots, all of a later one before those of an earlier one; arrays of equal length.

    Attributes
    ----------
    descendant
        Row of the halo that it becomes, or becomes part of; `NONE` today.
    root
        Row of the halo that it is part of today.
    main
        It is the heaviest of its descendant's progenitors.
    offset
        From where the main branch of its tree is, comoving in Mpc/h; shape (n, 3).
    outwards
        Velocity in km/s with which it comes from there; shape (n, 3).
    """

    mass: Array
    snapshot: Integers
    descendant: Integers
    root: Integers
    main: npt.NDArray[np.bool_]
    pace: Array
    scatter: Array
    offset: Array
    outwards: Array

    def __len__(self) -> int:
        return len(self.mass)

    def take(self, rows: npt.NDArray) -> Trees:
        """Some of them."""
        return Trees(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def joined(parts: list[Trees]) -> Trees:
    """All of some."""
    return Trees(
        **{name: np.concatenate([getattr(one, name) for one in parts]) for name in Trees.__dataclass_fields__}
    )


def histories(random: np.random.Generator, halos: Halos, least: float) -> Trees:
    """Trees of all haloes down to the mass `least`, in solar masses/h."""
    count = len(halos.mass)
    now = Trees(
        halos.mass,
        np.full(count, universe.LAST),
        np.full(count, NONE),
        np.arange(count),
        np.ones(count, bool),
        np.exp(random.normal(0, _GROWTH_SCATTER, count)),
        halos.scatter,
        np.zeros((count, 3)),
        np.zeros((count, 3)),
    )
    levels, first = [now], 0
    z, age = universe.redshifts(), universe.ages()
    for snapshot in range(universe.LAST - 1, -1, -1):
        before = _main_progenitors(now, first, z[snapshot : snapshot + 2].mean(), age[snapshot + 1] - age[snapshot])
        heavy = before.mass >= least
        others = _others(random, now.take(heavy), before.take(heavy), z[snapshot], z[snapshot + 1], least)
        first += len(now)
        now = joined([before.take(heavy), others])
        if not len(now):
            break
        levels.append(now)
    return joined(levels)


def _main_progenitors(now: Trees, first: int, z: float, years: float) -> Trees:
    """The heaviest progenitor of each, `years` (10^9) earlier; `first` is the row of the first of them."""
    solar = now.mass / universe.HUBBLE
    grown = 46.1e9 * years * (solar / 1e12) ** 1.1 * (1 + 1.11 * z) * universe.expansion(np.array(z)) * universe.HUBBLE
    step = now.outwards * (1 + z) * universe.HUBBLE * years * _SECONDS / _KILOMETRES_PER_MPC
    return Trees(
        now.mass - grown * now.pace,
        now.snapshot - 1,
        first + np.arange(len(now)),
        now.root,
        np.ones(len(now), bool),
        now.pace,
        now.scatter,
        now.offset + step,
        now.outwards,
    )


def _others(random: np.random.Generator, now: Trees, main: Trees, z: float, later: float, least: float) -> Trees:
    """The other progenitors that haloes `now` had at redshift z; `main` are their heaviest ones."""
    rate = (now.mass / universe.HUBBLE / 1e12) ** 0.133 * (1 + z) ** 0.0993 * (z - later)
    resolved = np.interp(least / main.mass, _RATIOS, _MERGERS)
    row = np.repeat(np.arange(len(now)), random.poisson(rate * resolved))
    count = len(row)
    ratio = np.interp(-random.uniform(0, resolved[row]), -_MERGERS, _RATIOS)
    mass = main.mass[row] * ratio
    direction = random.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    touching = universe.radius(main.mass[row], np.array(z)) + universe.radius(mass, np.array(z))
    return Trees(
        mass,
        main.snapshot[row],
        main.descendant[row],
        main.root[row],
        np.zeros(count, bool),
        np.exp(random.normal(0, _GROWTH_SCATTER, count)),
        10 ** random.normal(0, SCATTER, count),
        main.offset[row] + direction * touching[:, None],
        main.outwards[row] + direction * universe.circular_velocity(main.mass[row], np.array(z))[:, None],
    )


def identifiers(trees: Trees) -> dict[str, Integers]:
    """Identifiers that run through each tree from the root, main progenitors first.

    So the progenitors of a halo are those from `haloid` to `lastprogenitorid`, and its main branch those from `haloid`
    to `mainleafid` (Lemson and the Virgo Consortium 2006, arXiv:astro-ph/0608019).
    """
    count = len(trees)
    rows = np.arange(count)
    levels = np.flatnonzero(np.r_[True, trees.snapshot[1:] != trees.snapshot[:-1], True])
    size = np.ones(count, np.int64)
    branch = np.ones(count, np.int64)
    for first, end in zip(levels[1:-1][::-1], levels[2:][::-1], strict=True):
        np.add.at(size, trees.descendant[first:end], size[first:end])
        heirs = rows[first:end][trees.main[first:end]]
        branch[trees.descendant[heirs]] += branch[heirs]
    haloid = np.empty(count, np.int64)
    haloid[: levels[1]] = (np.arange(levels[1]) + 1) * TREE
    following = np.full(count, NONE)
    for first, end in itertools.pairwise(levels[1:]):
        order = first + np.lexsort((-trees.mass[first:end], ~trees.main[first:end], trees.descendant[first:end]))
        sizes, family = size[order], trees.descendant[order]
        before = np.cumsum(sizes) - sizes
        opens = np.r_[True, family[1:] != family[:-1]]
        before -= np.repeat(before[opens], np.diff(np.r_[np.flatnonzero(opens), len(order)]))
        haloid[order] = haloid[family] + 1 + before
        same = ~opens[1:]
        following[order[:-1][same]] = haloid[order[1:][same]]
    child = trees.descendant != NONE
    return {
        "haloid": haloid,
        "descendantid": np.where(child, haloid[trees.descendant], NONE),
        "firstprogenitorid": np.where(size > 1, haloid + 1, NONE),
        "nextprogenitorid": following,
        "lastprogenitorid": haloid + size - 1,
        "mainleafid": haloid + branch - 1,
        "treeid": haloid[trees.root],
    }
