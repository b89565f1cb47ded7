"""Making of `FragData`: fragments of a broken body, their elements and vertices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from casjobs_service.catalog import Catalog
from casjobs_service.demo import database, schema
from casjobs_service.demo.fragdata import grains as model
from casjobs_service.demo.fragdata.grains import Grains, Integers, Tetrahedra
from casjobs_service.demo.sky import Array

NAME = "FragData"
SMALL, FULL = 3000, 40_000
"""Grains of the body."""
_SEED = 1977
_SCHEMA = Path(__file__).with_name("schema.txt")


def build(path: Path, full: bool, threads: int) -> Catalog:
    """Write the database file `path` and return what it contains."""
    definitions = schema.read([_SCHEMA])
    tables = database.write(path, definitions, relations(FULL if full else SMALL), threads=threads)
    return Catalog(NAME, "duckdb", tables)


def relations(count: int) -> dict[str, pa.Table]:
    """Rows of the tables, for a body of that many grains."""
    random = np.random.default_rng(_SEED)
    grains = model.polycrystal(random, count)
    elements = model.tetrahedra(grains)
    corners = model.points(grains, elements)
    volume = model.volumes(corners)
    label = model.fragment_of(grains, model.broken(random, grains))
    # The heaviest fragment has the number 1.
    whole = np.bincount(label[elements.grain], weights=volume)
    rank = np.empty(len(whole), np.int64)
    rank[np.argsort(-whole, kind="stable")] = np.arange(1, len(whole) + 1)
    fragment = rank[label]
    order = np.argsort(fragment[elements.grain], kind="stable")
    elements = Tetrahedra(elements.grain[order], elements.corners[order], elements.beyond[order])
    corners, volume = corners[order], volume[order]
    owner = fragment[elements.grain]
    vertices, places = _vertices(grains, elements, owner)
    outside = elements.beyond < 0
    surface = np.where(outside, 2, np.where(fragment[elements.beyond] != owner, 1, 0))
    return {
        "elements": database.arrow(
            {"fragid": owner, "elemid": _number(owner), "grainid": elements.grain + 1, "volume": volume}
            | {f"v{corner + 1}": places[:, corner] for corner in range(4)}
            | {"surface": surface}
        ),
        "vertices": vertices,
        "fragments": _fragments(owner, elements.grain, corners, volume, surface),
    }


def _number(groups: Integers) -> Integers:
    """0, 1, 2 … within each group of a sorted array."""
    first = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    return np.arange(len(groups)) - np.repeat(first, np.diff(np.r_[first, len(groups)]))


def _vertices(grains: Grains, elements: Tetrahedra, owner: Integers) -> tuple[pa.Table, Integers]:
    """Vertices of each fragment, numbered from 0, and those numbers of the four corners of each element."""
    every = np.concatenate([grains.corners, grains.centres])
    rows = np.concatenate([elements.corners, elements.grain[:, None] + len(grains.corners)], axis=1)
    pairs, place = np.unique(owner[:, None] * len(every) + rows, return_inverse=True)
    fragment, row = np.divmod(pairs, len(every))
    number = _number(fragment)
    columns = {"fragid": fragment, "vertid": number} | {axis: every[row, at] for at, axis in enumerate("xyz")}
    return database.arrow(columns), number[place.reshape(-1, 4)]


def _fragments(owner: Integers, grain: Integers, corners: Array, volume: Array, surface: Integers) -> pa.Table:
    count = owner.max()
    whole = _sum(owner, volume)
    mass = model.DENSITY * whole
    centre = np.stack([_sum(owner, volume * axis) for axis in corners.mean(axis=1).T], axis=1) / whole[:, None]
    a, b, c = (corners[:, corner] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    pairs = np.unique(owner * (grain.max() + 1) + grain) // (grain.max() + 1)
    inertia = _inertia(owner, corners - centre[owner - 1][:, None], volume)
    velocity = _velocity(mass, centre)
    return database.arrow(
        {"fragid": np.arange(1, count + 1), "grains": _sum(pairs, np.ones(len(pairs)))}
        | {"elements": _sum(owner, np.ones(len(owner))), "volume": whole, "mass": mass}
        | {"area": _sum(owner, np.where(surface > 0, area, 0))}
        | {axis: centre[:, at] for at, axis in enumerate("xyz")}
        | {f"v{axis}": velocity[:, at] for at, axis in enumerate("xyz")}
        | inertia
    )


def _sum(owner: Integers, values: Array) -> Array:
    return np.asarray(np.bincount(owner - 1, values), float)


def _inertia(owner: Integers, corners: Array, volume: Array) -> dict[str, Array]:
    """Tensor of each fragment; corners are from its centre of mass.

    The integral of x_i x_j over a tetrahedron is V/20 times the sum over its corners of x_i x_j plus the product of
    the sums over its corners of x_i and x_j.
    """
    total = corners.sum(axis=1)
    moments = np.einsum("nki,nkj->nij", corners, corners) + total[:, :, None] * total[:, None, :]
    weighted = moments * (model.DENSITY * volume / 20)[:, None, None]
    second = {i + j: _sum(owner, weighted[:, a, b]) for a, i in enumerate("xyz") for b, j in enumerate("xyz")}
    return {
        "ixx": second["yy"] + second["zz"],
        "iyy": second["xx"] + second["zz"],
        "izz": second["xx"] + second["yy"],
        "ixy": -second["xy"],
        "ixz": -second["xz"],
        "iyz": -second["yz"],
    }


def _velocity(mass: Array, centre: Array) -> Array:
    """Away from below the place that was hit, in the frame in which all fragments together rest."""
    origin = model.HIT - np.array([0, 0, model.SIDE / 4])
    direction = centre - origin
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    speed = model.SPEED * (mass / mass.sum()) ** (-1 / 6)
    velocity = direction * speed[:, None]
    return velocity - (mass @ velocity / mass.sum())[None]
