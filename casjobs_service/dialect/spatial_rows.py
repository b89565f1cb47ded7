"""SDSS's table functions of one row: coordinates, vectors, parts of identifiers."""

from __future__ import annotations

from casjobs_service.dialect import functions_sky
from casjobs_service.dialect.functions_macro import columns
from casjobs_service.dialect.spatial_kinds import Shape, TableFunction


def _row(name: str, parameters: str, result: str, description: str, *cells: str) -> TableFunction:
    return TableFunction(name, Shape.ROW, columns(parameters), columns(result), description, cells=cells)


def _from_eq(expression: str) -> str:
    return expression.replace("ra_", "{ra}").replace("dec_", "{dec}")


def _rotated(mode: str, x: str, y: str, z: str) -> tuple[str, ...]:
    return tuple(functions_sky.rotated(row, mode, x, y, z) for row in range(3))


_MUNU_X = "cos(radians({mu} - {node})) * cos(radians({nu}))"
_MUNU_GY = "sin(radians({mu} - {node})) * cos(radians({nu}))"
_MUNU_Y = f"({_MUNU_GY} * cos(radians({{incl}})) - sin(radians({{nu}})) * sin(radians({{incl}})))"
_MUNU_Z = f"({_MUNU_GY} * sin(radians({{incl}})) + sin(radians({{nu}})) * cos(radians({{incl}})))"
_MUNU_RA = f"(degrees(atan2({_MUNU_Y}, {_MUNU_X})) + {{node}})"
_EQ_GY = "sin(radians({ra} - {node})) * cos(radians({dec}))"
_EQ_Y = f"({_EQ_GY} * cos(radians({{incl}})) + sin(radians({{dec}})) * sin(radians({{incl}})))"
_EQ_Z = f"(sin(radians({{dec}})) * cos(radians({{incl}})) - {_EQ_GY} * sin(radians({{incl}})))"
_EQ_MU = f"(degrees(atan2({_EQ_Y}, cos(radians({{ra}} - {{node}})) * cos(radians({{dec}})))) + {{node}})"
_EQ_MU = f"(CASE WHEN {_EQ_MU} < 0 THEN {_EQ_MU} + 360 ELSE {_EQ_MU} END)"
_STRIPE_ETA = (
    "(CASE WHEN coalesce({stripe}, 10) < 50 THEN coalesce({stripe}, 10) - 10 ELSE {stripe} - 82 END * 2.5e0 - 32.5e0)"
)


def _normal(eta: str) -> tuple[str, ...]:
    return _rotated("'S2J'", f"sin(radians({eta}))", f"cos(radians({eta}))", "0e0")


ROWS: tuple[TableFunction, ...] = (
    _row(
        "fSDSSfromObjID",
        "objID BIGINT",
        "skyVersion INTEGER, run INTEGER, rerun INTEGER, camcol INTEGER, firstField INTEGER, field INTEGER,"
        " obj INTEGER",
        "Parts of an object's identifier",
        *(
            f"({{objID}} >> {shift}) & {mask}"
            for shift, mask in ((59, 15), (32, 65535), (48, 2047), (29, 7), (28, 1), (16, 4095), (0, 65535))
        ),
    ),
    _row(
        "fSDSSfromSpecID",
        "specObjID UBIGINT",
        "plate INTEGER, mjd INTEGER, fiber INTEGER",
        "Parts of a spectrum's identifier (since data release 8)",
        "({specObjID} >> 50) & 16383",
        "(({specObjID} >> 24) & 16383) + 50000",
        "({specObjID} >> 38) & 4095",
    ),
    _row(
        "fWedgeV3",
        "x1 DOUBLE, y1 DOUBLE, z1 DOUBLE, x2 DOUBLE, y2 DOUBLE, z2 DOUBLE",
        "x DOUBLE, y DOUBLE, z DOUBLE",
        "Wedge product of two vectors",
        "{y1} * {z2} - {y2} * {z1}",
        "{x2} * {z1} - {x1} * {z2}",
        "{x1} * {y2} - {x2} * {y1}",
    ),
    _row(
        "fRotateV3",
        "mode VARCHAR, cx DOUBLE, cy DOUBLE, cz DOUBLE",
        "x DOUBLE, y DOUBLE, z DOUBLE",
        "Vector in other coordinates: J2S, S2J survey, J2G, G2J galactic",
        *_rotated("{mode}", "{cx}", "{cy}", "{cz}"),
    ),
    _row(
        "fGetLonLat",
        "mode VARCHAR, cx DOUBLE, cy DOUBLE, cz DOUBLE",
        "lon DOUBLE, lat DOUBLE",
        "Longitude and latitude in degrees: J2S survey, J2G galactic coordinates",
        functions_sky.longitude("{mode}", "{cx}", "{cy}", "{cz}"),
        functions_sky.latitude("{mode}", "{cx}", "{cy}", "{cz}"),
    ),
    _row(
        "fEqFromMuNu",
        "mu DOUBLE, nu DOUBLE, node DOUBLE, incl DOUBLE",
        "ra DOUBLE, dec DOUBLE, cx DOUBLE, cy DOUBLE, cz DOUBLE",
        "Position from the coordinates of a great circle, in degrees",
        f"CASE WHEN {_MUNU_RA} < 0 THEN {_MUNU_RA} + 360 ELSE {_MUNU_RA} END",
        f"degrees(asin(greatest(-1e0, least(1e0, {_MUNU_Z}))))",
        f"{_MUNU_X} * cos(radians({{node}})) - {_MUNU_Y} * sin(radians({{node}}))",
        f"{_MUNU_X} * sin(radians({{node}})) + {_MUNU_Y} * cos(radians({{node}}))",
        _MUNU_Z,
    ),
    _row(
        "fMuNuFromEq",
        "ra DOUBLE, dec DOUBLE, stripe INTEGER, node DOUBLE, incl DOUBLE",
        "mu DOUBLE, nu DOUBLE",
        "Coordinates along a great circle, in degrees",
        f"CASE WHEN {{stripe}} > 50 AND {_EQ_MU} < 180 THEN {_EQ_MU} + 360 ELSE {_EQ_MU} END",
        f"degrees(asin(greatest(-1e0, least(1e0, {_EQ_Z}))))",
    ),
    _row(
        "fCoordsFromEq",
        "ra DOUBLE, dec DOUBLE",
        "ra DOUBLE, dec DOUBLE, stripe INTEGER, incl DOUBLE, lambda DOUBLE, eta DOUBLE, mu DOUBLE, nu DOUBLE",
        "Stripe and survey coordinates of a position in degrees",
        "{ra}",
        "{dec}",
        *(
            _from_eq(expression)
            for expression in (
                functions_sky.STRIPE,
                functions_sky.INCLINATION,
                functions_sky.LAMBDA,
                functions_sky.ETA,
                functions_sky.MU,
                functions_sky.NU,
            )
        ),
    ),
    _row("fEtaToNormal", "eta DOUBLE", "x DOUBLE, y DOUBLE, z DOUBLE", "Normal vector of an eta", *_normal("{eta}")),
    _row(
        "fStripeToNormal",
        "stripe INTEGER",
        "x DOUBLE, y DOUBLE, z DOUBLE",
        "Normal vector of a stripe",
        *_normal(_STRIPE_ETA),
    ),
)
