"""SDSS's scalar functions on positions: distances, coordinates, triangles of the hierarchical mesh."""

from __future__ import annotations

import math

from casjobs_service.dialect.functions_macro import Macro, columns

HTM_DEPTH = 20


def haversine(ra1: str, dec1: str, ra2: str, dec2: str) -> str:
    """Expression for the squared sine of half the distance of positions in degrees.

    It keeps its precision at small angles, where the cosine of the distance loses it.
    """
    return (
        f"(sin(radians({dec2} - {dec1}) / 2) ** 2"
        f" + cos(radians({dec1})) * cos(radians({dec2})) * sin(radians({ra2} - {ra1}) / 2) ** 2)"
    )


def arcmin(haversine_: str) -> str:
    """Expression for a distance in arc minutes."""
    return f"(120 * degrees(asin(least(1e0, sqrt({haversine_})))))"


# Bases of the stripes: SDSS's survey coordinates have their centre at RA 185, Dec 32.5 degrees.
_CX = "(cos(radians(dec_)) * cos(radians(ra_ - 95)))"
_CY = "(cos(radians(dec_)) * sin(radians(ra_ - 95)))"
_CZ = "sin(radians(dec_))"
_ETA0 = f"(degrees(atan2({_CZ}, CASE WHEN {_CY} = 0 AND {_CZ} = 0 THEN 1e-16 ELSE {_CY} END)) - 32.5e0)"
_LAMBDA0 = f"(-degrees(asin(greatest(-1e0, least(1e0, {_CX})))))"
# From -180 to below 180, and 0 at the poles of the survey coordinates.
_ETA1 = (
    f"(CASE WHEN abs({_LAMBDA0}) = 90 THEN 0e0 WHEN {_ETA0} < -180 THEN {_ETA0} + 360"
    f" WHEN {_ETA0} >= 180 THEN {_ETA0} - 360 ELSE {_ETA0} END)"
)
_LAMBDA1 = f"(CASE WHEN {_ETA1} > 57.5e0 THEN 180 - {_LAMBDA0} ELSE {_LAMBDA0} END)"
STRIPE = f"CAST(23 + floor((CASE WHEN {_ETA0} < -180 THEN {_ETA0} + 360 ELSE {_ETA0} END) / 2.5e0 + 0.5e0) AS INTEGER)"
INCLINATION = f"(2.5e0 * ({STRIPE} - CASE WHEN {STRIPE} > 50 THEN 82 ELSE 10 END))"
MU = (
    f"(degrees(atan2({_CY} * cos(radians({INCLINATION})) + {_CZ} * sin(radians({INCLINATION})), {_CX})) + 95"
    f" + CASE WHEN {STRIPE} > 50 THEN 360 ELSE 0 END)"
)
NU = (
    f"degrees(asin(greatest(-1e0, least(1e0,"
    f" {_CZ} * cos(radians({INCLINATION})) - {_CY} * sin(radians({INCLINATION}))))))"
)
ETA = f"(CASE WHEN {_ETA1} > 57.5e0 THEN {_ETA1} - 180 ELSE {_ETA1} END)"
LAMBDA = f"(CASE WHEN {_LAMBDA1} >= 180 THEN {_LAMBDA1} - 360 ELSE {_LAMBDA1} END)"


def _unit(ra: float, dec: float) -> tuple[float, float, float]:
    alpha, delta = math.radians(ra), math.radians(dec)
    return math.cos(delta) * math.cos(alpha), math.cos(delta) * math.sin(alpha), math.sin(delta)


_FORWARD = {
    "J2S": (_unit(185.0, 32.5), _unit(185.0, -57.5), _unit(95.0, 0.0)),
    "J2G": (_unit(266.405, -28.9362), _unit(318.00437, 48.329626), _unit(192.8594, 27.1283)),
}
ROTATIONS = {
    **_FORWARD,
    "S2J": tuple(zip(*_FORWARD["J2S"], strict=True)),
    "G2J": tuple(zip(*_FORWARD["J2G"], strict=True)),
}
"""SDSS's rotation matrices: J2000 to survey and to galactic coordinates, and back."""


def rotated(row: int, mode: str, x: str, y: str, z: str) -> str:
    """Expression for one component (0, 1, 2) of a rotated vector; NULL if `mode` is unknown."""
    cases = " ".join(
        f"WHEN '{name}' THEN {matrix[row][0]!r}::DOUBLE * {x} + {matrix[row][1]!r}::DOUBLE * {y}"
        f" + {matrix[row][2]!r}::DOUBLE * {z}"
        for name, matrix in ROTATIONS.items()
    )
    return f"(CASE upper(trim({mode})) {cases} END)"


def longitude(mode: str, x: str, y: str, z: str) -> str:
    """Expression for the longitude, from 0 to 360 degrees, of a vector in rotated coordinates."""
    angle = f"degrees(atan2({rotated(1, mode, x, y, z)}, {rotated(0, mode, x, y, z)}))"
    return f"(CASE WHEN {angle} < 0 THEN {angle} + 360 ELSE {angle} END)"


def latitude(mode: str, x: str, y: str, z: str) -> str:
    """Expression for the latitude in degrees of a unit vector in rotated coordinates."""
    return f"degrees(asin(greatest(-1e0, least(1e0, {rotated(2, mode, x, y, z)}))))"


# The mesh (Kunszt, Szalay and Thakar 2001): which of the four triangles of each level holds the point. `t` is the
# triangle (number i, corners a, b, c), `w` the middles of its sides, as vectors of length 1. The order of the
# operations is that of the usual implementations: points at a border would change sides otherwise.
FACES = (
    ("x_ >= 0 AND y_ >= 0 AND z_ <= 0", 8, "100 00m 010"),
    ("x_ <= 0 AND y_ >= 0 AND z_ <= 0", 9, "010 00m m00"),
    ("x_ <= 0 AND y_ <= 0 AND z_ <= 0", 10, "m00 00m 0m0"),
    ("x_ >= 0 AND y_ <= 0 AND z_ <= 0", 11, "0m0 00m 100"),
    ("x_ >= 0 AND y_ <= 0 AND z_ >= 0", 12, "100 001 0m0"),
    ("x_ <= 0 AND y_ <= 0 AND z_ >= 0", 13, "0m0 001 m00"),
    ("x_ <= 0 AND y_ >= 0 AND z_ >= 0", 14, "m00 001 010"),
    ("x_ >= 0 AND y_ >= 0 AND z_ >= 0", 15, "010 001 100"),
)


def _face(number: int, corners: str) -> str:
    values = {"0": "0e0", "1": "1e0", "m": "-1e0"}
    parts = [
        f"'{name}{axis}': {values[digit]}"
        for name, corner in zip("abc", corners.split(), strict=True)
        for axis, digit in enumerate(corner)
    ]
    return f"{{'i': {number}::BIGINT, {', '.join(parts)}}}"


def _middle(first: str, second: str) -> tuple[str, ...]:
    sums = [f"(t.{first}{axis} + t.{second}{axis})" for axis in range(3)]
    length = "sqrt(" + " + ".join(f"{part} * {part}" for part in sums) + ")"
    return tuple(f"{part} / {length}" for part in sums)


def _left(first: str, second: str) -> str:
    """The point lies on the left of the great circle from one corner to another."""
    a0, a1, a2 = (f"{first}{axis}" for axis in range(3))
    b0, b1, b2 = (f"{second}{axis}" for axis in range(3))
    return (
        f"x_ * ({a1} * {b2} - {a2} * {b1}) + y_ * ({a2} * {b0} - {a0} * {b2}) + z_ * ({a0} * {b1} - {a1} * {b0}) >= 0"
    )


def _htm() -> str:
    faces = " ".join(f"WHEN {condition} THEN {_face(number, corners)}" for condition, number, corners in FACES)
    middles = [("u", _middle("b", "c")), ("v", _middle("a", "c")), ("w", _middle("a", "b"))]
    w = "{" + ", ".join(f"'{name}{axis}': {part}" for name, parts in middles for axis, part in enumerate(parts)) + "}"
    child = (
        f"CASE WHEN {_left('w.w', 'w.v')} THEN 0 WHEN {_left('w.u', 'w.w')} THEN 1"
        f" WHEN {_left('w.v', 'w.u')} THEN 2 ELSE 3 END"
    )
    # Corners of each of the four triangles.
    choices = {"a": ("t.a", "t.b", "t.c", "w.u"), "b": ("w.w", "w.u", "w.v", "w.v"), "c": ("w.v", "w.w", "w.u", "w.w")}
    corners = ", ".join(
        f"'{name}{axis}': CASE k WHEN 0 THEN {options[0]}{axis} WHEN 1 THEN {options[1]}{axis}"
        f" WHEN 2 THEN {options[2]}{axis} ELSE {options[3]}{axis} END"
        for name, options in choices.items()
        for axis in range(3)
    )
    step = (
        f"list_transform([{w}], lambda w: list_transform([{child}], lambda k: {{'i': t.i * 4 + k, {corners}}})[1])[1]"
    )
    return f"list_reduce(range({HTM_DEPTH}), lambda t, level: {step}, CASE {faces} END).i"


_XYZ = "x DOUBLE, y DOUBLE, z DOUBLE"
_EQ = "ra DOUBLE, dec DOUBLE"
_PAIR = "ra1 DOUBLE, dec1 DOUBLE, ra2 DOUBLE, dec2 DOUBLE"
_PAIR_XYZ = "x1 DOUBLE, y1 DOUBLE, z1 DOUBLE, x2 DOUBLE, y2 DOUBLE, z2 DOUBLE"
_CHORD = "((x1_ - x2_) ** 2 + (y1_ - y2_) ** 2 + (z1_ - z2_) ** 2) / 4"
_ROTATION = "mode VARCHAR, cx DOUBLE, cy DOUBLE, cz DOUBLE"

MACROS: tuple[Macro, ...] = (
    *(
        Macro(
            name,
            columns(_PAIR),
            "DOUBLE",
            "Distance in arc minutes of two positions in degrees",
            arcmin(haversine("ra1_", "dec1_", "ra2_", "dec2_")),
        )
        for name in ("fDistanceArcMinEq", "fDistanceEq")
    ),
    *(
        Macro(
            name,
            columns(_PAIR_XYZ),
            "DOUBLE",
            "Distance in arc minutes of two unit vectors",
            arcmin(_CHORD),
        )
        for name in ("fDistanceArcMinXYZ", "fDistanceXyz")
    ),
    Macro("fMuFromEq", columns(_EQ), "DOUBLE", "Longitude mu in the position's stripe, in degrees", MU),
    Macro("fNuFromEq", columns(_EQ), "DOUBLE", "Latitude nu in the position's stripe, in degrees", NU),
    Macro("fEtaFromEq", columns(_EQ), "DOUBLE", "Survey coordinate eta in degrees", ETA),
    Macro("fLambdaFromEq", columns(_EQ), "DOUBLE", "Survey coordinate lambda in degrees", LAMBDA),
    Macro(
        "fGetLon",
        columns(_ROTATION),
        "DOUBLE",
        "Longitude in degrees of a unit vector: mode J2S survey, J2G galactic coordinates",
        longitude("mode_", "cx_", "cy_", "cz_"),
    ),
    Macro(
        "fGetLat",
        columns(_ROTATION),
        "DOUBLE",
        "Latitude in degrees of a unit vector: mode J2S survey, J2G galactic coordinates",
        latitude("mode_", "cx_", "cy_", "cz_"),
    ),
    *(
        Macro(name, columns(_XYZ), "BIGINT", "Triangle of the hierarchical mesh, depth 20, of a vector", _htm())
        for name in ("fHtmXyz", "fHtmLookupXyz")
    ),
    *(
        Macro(
            name,
            columns(_EQ),
            "BIGINT",
            "Triangle of the hierarchical mesh, depth 20, of a position in degrees",
            "ss_fhtmxyz(cos(radians(dec_)) * cos(radians(ra_)), cos(radians(dec_)) * sin(radians(ra_)),"
            " sin(radians(dec_)))",
            ("fHtmXyz",),
        )
        for name in ("fHtmEq", "fHtmLookupEq")
    ),
    Macro(
        "fHtmToString",
        columns("htmID BIGINT"),
        "VARCHAR",
        "Name of a triangle of the hierarchical mesh, e.g. N12",
        # Two bits per level, after a leading 1 and the bit of the hemisphere.
        "(CASE WHEN (htmID_ >> ss__htmbits(htmID_)) & 1 = 1 THEN 'N' ELSE 'S' END)"
        " || array_to_string(list_transform(range(ss__htmbits(htmID_) // 2),"
        " lambda k: (htmID_ >> (ss__htmbits(htmID_) - 2 - 2 * k)) & 3), '')",
        ("_htmbits",),
    ),
    Macro(
        "_htmbits",
        columns("htmID BIGINT"),
        "BIGINT",
        "Bits of a triangle's number behind that of the hemisphere",
        "CAST(length(ltrim(bin(htmID_), '0')) AS BIGINT) - 2",
        sdss=False,
    ),
    Macro("fHtmVersion", (), "VARCHAR", "Kind of mesh", "'Hierarchical triangular mesh, depth 20'"),
)

REFUSED: dict[str, str] = {}
