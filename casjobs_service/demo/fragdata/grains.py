"""A body of rock that an impact breaks: grains of a Voronoi polycrystal, and the fragments that hold together.

The grains fill a cube. A face between two grains breaks where the stress of the impact, which falls with the distance
from the place that was hit, is greater than the face's strength, drawn from Weibull's distribution for its area.
Grains that faces still hold together are a fragment. Where nearly all faces break, as in a catastrophic impact, the
fragments are the clusters of a percolation about its threshold, and their numbers fall as a power of their mass.

All numbers of the model are assumptions, chosen to look like tests with basalt (Fujiwara, Kamimoto and Tsukamoto 1977,
Icarus 31, 277). Units: metre, kilogram, second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Voronoi

from casjobs_service.demo.sky import Array

Integers = npt.NDArray[np.int64]

SIDE = 0.1
"""Of the cube, in m; the corner with the least x, y and z is at 0."""
DENSITY = 2700.0
"""In kg/m^3."""
HIT = np.array([SIDE / 2, SIDE / 2, SIDE])
"""Place of the impact: the middle of the upper side."""
MODULUS = 8.0
"""Weibull's modulus of the strengths, as of rock."""
STRESS = 1.8
"""At a distance of half the side, in units of the strength of a face as large as a grain's cross section."""
DECAY = 0.1
"""The stress falls as this power of the distance: in a small body waves that come back from its sides even it out."""
SPEED = 2.0
"""Of a fragment with the mass of the body, in m/s; it goes with the power -1/6 of the mass (Nakamura and Fujiwara
1991, Icarus 92, 132)."""
_MARGIN = 3.0
"""Grains that are nearer to a side, in mean distances of grains, are mirrored there, so that the side bounds them."""


class FragmentError(RuntimeError):
    """The grains do not fill the body."""


@dataclass(frozen=True)
class Grains:
    """Polyhedra that fill the cube, and the triangles that bound them.

    Attributes
    ----------
    centres
        A point inside each grain; shape (n, 3).
    corners
        Vertices of the triangles; shape (m, 3).
    triangles
        Rows of `corners`; shape (k, 3).
    faces
        Number of the face that a triangle is part of, ascending.
    sides
        Grains on both sides of each face, the second -1 on the body's surface; shape (f, 2).
    """

    centres: Array
    corners: Array
    triangles: Integers
    faces: Integers
    sides: Integers


def polycrystal(random: np.random.Generator, count: int) -> Grains:
    """That many grains around random points.

    Raises
    ------
    FragmentError
        A grain is not bounded.
    """
    points = random.uniform(0, SIDE, (count, 3))
    mirrored = [points]
    near = _MARGIN * SIDE / np.cbrt(count)
    for axis in range(3):
        for wall in (0.0, SIDE):
            images = points[np.abs(points[:, axis] - wall) < near]
            images[:, axis] = 2 * wall - images[:, axis]
            mirrored.append(images)
    cells = Voronoi(np.concatenate(mirrored))
    pairs = np.sort(cells.ridge_points, axis=1)
    ours = np.flatnonzero(pairs[:, 0] < count)
    lengths = np.array([len(cells.ridge_vertices[row]) for row in ours])
    ring = np.concatenate([cells.ridge_vertices[row] for row in ours])
    if ring.min() < 0:
        raise FragmentError("A grain reaches out of the body: more points must be mirrored at its sides.")
    # Each face as a fan of triangles around its first corner.
    start = np.cumsum(lengths) - lengths
    faces = np.repeat(np.arange(len(ours)), lengths - 2)
    place = np.arange(len(faces)) - np.repeat(np.cumsum(lengths - 2) - (lengths - 2), lengths - 2)
    triangles = np.stack([ring[start[faces]], ring[start[faces] + place + 1], ring[start[faces] + place + 2]], axis=1)
    sides = np.where(pairs[ours] < count, pairs[ours], -1)
    used, renumbered = np.unique(triangles, return_inverse=True)
    # What lies on a side of the body lies there exactly.
    corners = np.clip(cells.vertices[used], 0, SIDE)
    return Grains(points, corners, renumbered.reshape(-1, 3), faces, sides)


def areas(grains: Grains) -> Array:
    """Of the faces, in m^2."""
    a, b, c = (grains.corners[grains.triangles[:, corner]] for corner in range(3))
    triangle = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    return np.asarray(np.bincount(grains.faces, triangle, len(grains.sides)), float)


def broken(random: np.random.Generator, grains: Grains) -> npt.NDArray[np.bool_]:
    """Which faces break. By the weakest link, a larger face is weaker."""
    first = np.searchsorted(grains.faces, np.arange(len(grains.sides)))
    distance = np.linalg.norm(grains.corners[grains.triangles[first, 0]] - HIT, axis=1)
    stress = STRESS * (np.maximum(distance, SIDE / 100) / (SIDE / 2)) ** -DECAY
    unit = SIDE**2 / np.cbrt(len(grains.centres)) ** 2
    chance = -np.expm1(-areas(grains) / unit * stress**MODULUS)
    return random.uniform(0, 1, len(chance)) < chance


def fragment_of(grains: Grains, gone: npt.NDArray[np.bool_]) -> Integers:
    """Number of each grain's fragment when faces are gone, in no order."""
    held = grains.sides[~gone & (grains.sides[:, 1] >= 0)]
    count = len(grains.centres)
    graph = coo_array((np.ones(len(held), bool), held.T), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


@dataclass(frozen=True)
class Tetrahedra:
    """Elements of the grains, each over a triangle of the surface of its grain.

    Attributes
    ----------
    grain
        That it is part of.
    corners
        Three rows of `Grains.corners`, counterclockwise seen from outside; the fourth corner is the grain's centre.
    beyond
        Grain on the other side of the triangle, -1 on the body's surface.
    """

    grain: Integers
    corners: Integers
    beyond: Integers


def tetrahedra(grains: Grains) -> Tetrahedra:
    """All of them, sorted by grain."""
    first, second = grains.sides[grains.faces].T
    inner = second >= 0
    grain = np.concatenate([first, second[inner]])
    beyond = np.concatenate([second, first[inner]])
    corners = np.concatenate([grains.triangles, grains.triangles[inner]])
    a, b, c = (grains.corners[corners[:, corner]] - grains.centres[grain] for corner in range(3))
    turned = np.einsum("ij,ij->i", np.cross(a, b), c) < 0
    corners[turned] = corners[turned][:, [0, 2, 1]]
    order = np.argsort(grain, kind="stable")
    return Tetrahedra(grain[order], corners[order], beyond[order])


def points(grains: Grains, elements: Tetrahedra) -> Array:
    """The four corners of each element; shape (n, 4, 3)."""
    return np.concatenate([grains.corners[elements.corners], grains.centres[elements.grain][:, None]], axis=1)


def volumes(corners: Array) -> Array:
    """Of tetrahedra, in m^3; `corners` has the shape (n, 4, 3)."""
    edges = corners[:, :3] - corners[:, 3:]
    return np.linalg.det(edges) / 6
