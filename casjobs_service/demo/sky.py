"""Positions on the sphere: unit vectors, zones, triangles of the hierarchical mesh, galactic coordinates, epochs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

ZONE_HEIGHT = 30 / 3600
"""Of a zone, in degrees: SDSS's 30 arc seconds."""

HTM_DEPTH = 20

# Rows: the galactic axes in ICRS (ESA 1997, The Hipparcos Catalogue, volume 1, section 1.5.3).
_GALACTIC = np.array(
    [
        [-0.0548755604, -0.8734370902, -0.4838350155],
        [+0.4941094279, -0.4448296300, +0.7469822445],
        [-0.8676661490, -0.1980763734, +0.4559837762],
    ]
)

_CORNERS = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, -1]], float)
# S0 to S3, then N0 to N3: the eight faces of the octahedron with which the mesh begins (Kunszt et al. 2001).
_FACES = ((1, 5, 2), (2, 5, 3), (3, 5, 4), (4, 5, 1), (1, 0, 4), (4, 0, 3), (3, 0, 2), (2, 0, 1))
_CHUNK = 1 << 15


def rounded(ra: Array, dec: Array) -> tuple[Array, Array]:
    """Positions in degrees to 9 decimals (4 microarcseconds), which take much less space than all the digits."""
    ra = np.round(ra, 9)
    return np.where(ra >= 360, ra - 360, ra), np.round(dec, 9)


def unit_vectors(ra: Array, dec: Array) -> Array:
    """Unit vectors, shape (3, n), of positions in degrees."""
    alpha, delta = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)])


def angles(vectors: Array) -> tuple[Array, Array]:
    """Longitude from 0 to 360 and latitude, in degrees, of vectors of any length, shape (3, n)."""
    x, y, z = vectors
    longitude = np.degrees(np.arctan2(y, x)) % 360
    # -1e-20 % 360 is 360.
    longitude[longitude >= 360] = 0
    return longitude, np.degrees(np.arctan2(z, np.hypot(x, y)))


def galactic(vectors: Array) -> tuple[Array, Array]:
    """Galactic longitude and latitude in degrees of unit vectors in ICRS."""
    return angles(_GALACTIC @ vectors)


def zones(dec: Array) -> npt.NDArray[np.int32]:
    """Numbers of the zones, from 0 at the south pole."""
    return np.floor((dec + 90) / ZONE_HEIGHT).astype(np.int32)


def at_epoch(ra: Array, dec: Array, pmra: Array, pmdec: Array, years: Array | float) -> tuple[Array, Array]:
    """Positions in degrees after `years`, along the great circle of the proper motion.

    Proper motions are in mas per year, `pmra` includes cos(dec); where they are NaN the position stays.
    """
    position = unit_vectors(ra, dec)
    alpha, delta = np.radians(ra), np.radians(dec)
    east = np.stack([-np.sin(alpha), np.cos(alpha), np.zeros_like(alpha)])
    north = np.stack([-np.sin(delta) * np.cos(alpha), -np.sin(delta) * np.sin(alpha), np.cos(delta)])
    per_year = np.radians(1 / 3_600_000)
    return angles(position + years * per_year * (np.nan_to_num(pmra) * east + np.nan_to_num(pmdec) * north))


def htm_ids(vectors: Array, depth: int = HTM_DEPTH) -> npt.NDArray[np.int64]:
    """Triangles of the hierarchical triangular mesh in which unit vectors lie.

    A point on the border of two triangles belongs to the one that the mesh numbers first.
    """
    ids = np.empty(vectors.shape[1], np.int64)
    for start in range(0, len(ids), _CHUNK):
        ids[start : start + _CHUNK] = _htm_ids(vectors[:, start : start + _CHUNK], depth)
    return ids


def _htm_ids(points: Array, depth: int) -> npt.NDArray[np.int64]:
    ids = np.zeros(points.shape[1], np.int64)
    corners = np.empty((3, 3, points.shape[1]))
    for number, face in reversed(list(enumerate(_FACES, 8))):
        a, b, c = _CORNERS[list(face)]
        inside = np.all([np.cross(a, b) @ points >= 0, np.cross(b, c) @ points >= 0, np.cross(c, a) @ points >= 0], 0)
        ids[inside] = number
        corners[:, :, inside] = np.stack([a, b, c])[:, :, None]
    for _ in range(depth):
        v0, v1, v2 = corners
        w0, w1, w2 = _middle(v1, v2), _middle(v0, v2), _middle(v0, v1)
        child = np.full(len(ids), 3)
        for number, (a, b) in reversed(list(enumerate(((w2, w1), (w0, w2), (w1, w0))))):
            child[_determinant(a, b, points) >= 0] = number
        ids = ids * 4 + child
        choices = ((v0, w2, w1), (v1, w0, w2), (v2, w1, w0), (w0, w1, w2))
        corners = np.stack([np.choose(child, [choice[corner] for choice in choices]) for corner in range(3)])
    return ids


def _middle(a: Array, b: Array) -> Array:
    middle = a + b
    middle /= np.sqrt(middle[0] ** 2 + middle[1] ** 2 + middle[2] ** 2)
    return middle


def _determinant(a: Array, b: Array, c: Array) -> Array:
    return c[0] * (a[1] * b[2] - a[2] * b[1]) + c[1] * (a[2] * b[0] - a[0] * b[2]) + c[2] * (a[0] * b[1] - a[1] * b[0])
