"""Covers of regions by triangles of the hierarchical mesh (HTM): ``dbo.fHtmCoverRegion('CIRCLE J2000 180 0 10')``.

A cover is a list of ranges of triangles, numbered at depth 20, that together contain the region; it contains some of
its surroundings, too. How much is not laid down: scripts have to test the objects themselves, and those of SDSS do.
Regions are constants, so covers are made while a script is translated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from casjobs_service.dialect.functions_sky import FACES, HTM_DEPTH
from casjobs_service.dialect.source import literal_text
from casjobs_service.dialect.spatial_kinds import TableFunction
from casjobs_service.dialect.spatial_zones import number, quoted, raw
from casjobs_service.errors import Kind, QueryError

Vector = tuple[float, float, float]

BORDER = 96
"""So many triangles may cross the region's border before they are divided no further."""
SLACK = 1e-12
"""Radians: more than rounding moves a corner, and less than a triangle of the finest mesh."""

CIRCLES = frozenset({"fhtmcovercircleeq", "fhtmcovercirclexyz"})
"""Functions that take numbers rather than a text, in lower case."""

_HINT = "Write 'CIRCLE J2000 ra dec radius', 'RECT J2000 ra dec ra dec', 'POLY J2000 ra dec …' or 'CONVEX x y z d …'."


@dataclass(frozen=True, slots=True)
class Cap:
    """The part of the sphere within `radius` (radians) of a direction."""

    centre: Vector
    radius: float


Convex = list[Cap]
"""What is in all of its caps."""


@dataclass(frozen=True, slots=True)
class Triangle:
    """A triangle of the mesh, with a circle around it."""

    number: int
    corners: tuple[Vector, Vector, Vector]
    centre: Vector
    radius: float

    @classmethod
    def of(cls, number_: int, a: Vector, b: Vector, c: Vector) -> Triangle:
        """With its circle."""
        centre = _unit(a[0] + b[0] + c[0], a[1] + b[1] + c[1], a[2] + b[2] + c[2])
        return cls(number_, (a, b, c), centre, max(_angle(centre, corner) for corner in (a, b, c)) + SLACK)

    def children(self) -> Iterator[Triangle]:
        """The four that it is divided into."""
        a, b, c = self.corners
        u, v, w = _middle(b, c), _middle(a, c), _middle(a, b)
        for place, corners in enumerate(((a, w, v), (b, u, w), (c, v, u), (u, v, w))):
            yield Triangle.of(self.number * 4 + place, *corners)

    def misses(self, convex: Convex) -> bool:
        """It certainly has nothing of the region."""
        return any(_angle(self.centre, cap.centre) - self.radius > cap.radius + SLACK for cap in convex)

    def lies_in(self, convex: Convex) -> bool:
        """It certainly is all within the region."""
        return all(_angle(self.centre, cap.centre) + self.radius < cap.radius for cap in convex)


def cover_call(function: TableFunction, arguments: Sequence[exp.Expr]) -> exp.Subquery:
    """Query for a call of a function that makes a cover."""
    start, end = (quoted(column.name) for column in function.columns)
    rows = ", ".join(f"({low}, {high})" for low, high in ranges(_region(function, arguments)))
    sql = f"SELECT v.s AS {start}, v.e AS {end} FROM (VALUES {rows}) AS v(s, e)"  # noqa: S608 - our own numbers
    return exp.Subquery(this=raw(sql))


def ranges(region: list[Convex]) -> list[tuple[int, int]]:
    """First and last number of the triangles of each range, in order."""
    found = sorted(item for convex in region for item in _triangles(convex))
    joined: list[tuple[int, int]] = []
    for low, high in found:
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    # A region that is empty has a cover that holds nothing.
    return joined or [(0, -1)]


def _triangles(convex: Convex) -> Iterator[tuple[int, int]]:
    border = [Triangle.of(face, *map(_corner, corners.split())) for _, face, corners in FACES]
    for depth in range(HTM_DEPTH + 1):
        border = [triangle for triangle in border if not triangle.misses(convex)]
        crossing = []
        for triangle in border:
            if triangle.lies_in(convex):
                yield _range(triangle.number, depth)
            else:
                crossing.append(triangle)
        if depth == HTM_DEPTH or len(crossing) > BORDER:
            for triangle in crossing:
                yield _range(triangle.number, depth)
            return
        border = [child for triangle in crossing for child in triangle.children()]


def _corner(digits: str) -> Vector:
    x, y, z = (float(digit.replace("m", "-1")) for digit in digits)
    return x, y, z


def _range(number_: int, depth: int) -> tuple[int, int]:
    shift = 2 * (HTM_DEPTH - depth)
    return number_ << shift, ((number_ + 1) << shift) - 1


# Regions


def _region(function: TableFunction, arguments: Sequence[exp.Expr]) -> list[Convex]:
    names = [parameter.name for parameter in function.parameters]
    if len(arguments) != len(names):
        raise QueryError(
            f"{function.name} takes {len(names)} arguments ({', '.join(names)}), not {len(arguments)}.", Kind.SYNTAX
        )
    constant = f"{function.name} takes constants only."
    hint = "To search around positions of a table, write CROSS APPLY dbo.fGetNearbyObjEq(a.ra, a.dec, r)."
    if function.name.lower() in CIRCLES:
        values = [number(argument) for argument in arguments]
        if None in values:
            raise QueryError(constant, Kind.UNSUPPORTED, hint=hint)
        known = [value for value in values if value is not None]
        centre = _direction(*known[:2]) if len(known) == 3 else _unit(known[0], known[1], known[2])
        return [[Cap(centre, _radius(known[-1]))]]
    text = literal_text(arguments[0])
    if text is None:
        raise QueryError(constant, Kind.UNSUPPORTED, hint=_HINT)
    return region(text)


def region(text: str) -> list[Convex]:
    """Read a region's text.

    Raises
    ------
    QueryError
        It is of another kind, or lacks numbers.
    """
    convexes: list[Convex] = []
    for kind, rest in re.findall(
        r"(CIRCLE|RECT|POLY|CONVEX)\b((?:(?!CIRCLE|RECT|POLY|CONVEX).)*)", text.upper(), re.S
    ):
        words = rest.split()
        system = words.pop(0) if words and words[0][0].isalpha() else ""
        try:
            numbers = [float(word) for word in words]
            found = {"CIRCLE": _circle, "RECT": _rectangle, "POLY": _polygon, "CONVEX": _half_spaces}[kind](
                system or ("CARTESIAN" if kind == "CONVEX" else "J2000"), numbers
            )
        except ValueError:
            found = None
        if found is None:
            raise QueryError(f"This region cannot be read: {kind} {rest.strip()}", Kind.SYNTAX, hint=_HINT)
        convexes.append(found)
    if not convexes:
        raise QueryError(f"This is no region: {text}", Kind.SYNTAX, hint=_HINT)
    return convexes


def _circle(system: str, numbers: list[float]) -> Convex | None:
    if system == "J2000" and len(numbers) == 3:
        return [Cap(_direction(numbers[0], numbers[1]), _radius(numbers[2]))]
    if system == "CARTESIAN" and len(numbers) == 4:
        return [Cap(_unit(numbers[0], numbers[1], numbers[2]), _radius(numbers[3]))]
    return None


def _rectangle(system: str, numbers: list[float]) -> Convex | None:
    if system != "J2000" or len(numbers) != 4:
        return None
    west, south, east, north = numbers[0], min(numbers[1::2]), numbers[2], max(numbers[1::2])
    caps = [Cap((0.0, 0.0, 1.0), math.radians(90 - south)), Cap((0.0, 0.0, -1.0), math.radians(90 + north))]
    width = (east - west) % 360
    if width > 180:
        raise QueryError(
            "A rectangle goes eastwards from its first right ascension, by 180 degrees at most.",
            Kind.DATA,
            hint="Write the western corner first, or make two of it.",
        )
    if width:
        caps += [Cap(_direction(west + 90, 0), math.pi / 2), Cap(_direction(east - 90, 0), math.pi / 2)]
    return caps


def _polygon(system: str, numbers: list[float]) -> Convex | None:
    if system not in ("J2000", "CARTESIAN"):
        return None
    size = 2 if system == "J2000" else 3
    if len(numbers) % size or len(numbers) < 3 * size:
        return None
    groups = [numbers[place : place + size] for place in range(0, len(numbers), size)]
    corners = [_direction(*group) if size == 2 else _unit(*group) for group in groups]
    sides = [_cross(one, other) for one, other in zip(corners, [*corners[1:], corners[0]], strict=True)]
    for sign in (1, -1):
        # Corners may go round either way.
        normals = [_unit(sign * side[0], sign * side[1], sign * side[2]) for side in sides]
        if all(_dot(normal, corner) > -1e-9 for normal in normals for corner in corners):
            return [Cap(normal, math.pi / 2) for normal in normals]
    raise QueryError("The polygon is not convex.", Kind.UNSUPPORTED, hint="Make several convex ones of it.")


def _half_spaces(system: str, numbers: list[float]) -> Convex | None:
    if system != "CARTESIAN" or len(numbers) % 4 or not numbers:
        return None
    caps = []
    for x, y, z, distance in (numbers[place : place + 4] for place in range(0, len(numbers), 4)):
        caps.append(Cap(_unit(x, y, z), math.acos(max(-1.0, min(1.0, distance)))))
    return caps


# Vectors


def _radius(arcmin: float) -> float:
    return min(math.pi, math.radians(arcmin / 60))


def _direction(ra: float, dec: float) -> Vector:
    alpha, delta = math.radians(ra), math.radians(dec)
    return math.cos(delta) * math.cos(alpha), math.cos(delta) * math.sin(alpha), math.sin(delta)


def _unit(x: float, y: float, z: float) -> Vector:
    length = math.sqrt(x * x + y * y + z * z)
    if not length:
        raise QueryError("A direction cannot be (0, 0, 0).", Kind.DATA)
    return x / length, y / length, z / length


def _middle(one: Vector, other: Vector) -> Vector:
    return _unit(one[0] + other[0], one[1] + other[1], one[2] + other[2])


def _dot(one: Vector, other: Vector) -> float:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def _cross(one: Vector, other: Vector) -> Vector:
    return (
        one[1] * other[2] - one[2] * other[1],
        one[2] * other[0] - one[0] * other[2],
        one[0] * other[1] - one[1] * other[0],
    )


def _angle(one: Vector, other: Vector) -> float:
    # The arc cosine is of no use for small angles.
    cross = _cross(one, other)
    return math.atan2(math.sqrt(_dot(cross, cross)), _dot(one, other))
