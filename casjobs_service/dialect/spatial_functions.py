"""SDSS's table functions: names, parameters, columns, and the tables that they search."""

from __future__ import annotations

from casjobs_service.catalog import Column
from casjobs_service.dialect.functions_macro import columns
from casjobs_service.dialect.spatial_kinds import ScalarFunction, Searched, Shape, TableFunction
from casjobs_service.dialect.spatial_places import PARTICLES
from casjobs_service.dialect.spatial_rows import ROWS

_PRIMARY = (Searched("PhotoPrimary"), Searched("PhotoObjAll", "mode"), Searched("PhotoObj", "mode"))
_ALL = (Searched("PhotoObjAll"), Searched("PhotoObj"))
_SPEC = (Searched("SpecObj"), Searched("SpecObjAll", "sciencePrimary"))
_SPEC_ALL = (Searched("SpecObjAll"), Searched("SpecObj"))

_VECTOR = "cx DOUBLE, cy DOUBLE, cz DOUBLE, htmID BIGINT"
_PHOTO = f"objID BIGINT, run INTEGER, camcol INTEGER, field INTEGER, rerun INTEGER, type INTEGER, {_VECTOR}"
_PHOTO_ALL = _PHOTO.replace("type INTEGER, ", "type INTEGER, mode INTEGER, ")
_SPECTRUM = (
    "specObjID DECIMAL(20,0), plate INTEGER, mjd INTEGER, fiberID INTEGER, z FLOAT, zErr FLOAT, zWarning INTEGER,"
    f" {_VECTOR}"
)
_SPECTRUM_ALL = _SPECTRUM.replace("zWarning INTEGER, ", "zWarning INTEGER, sciencePrimary INTEGER, ")
_APOGEE = (
    "apstar_id VARCHAR, apogee_id VARCHAR, ra DOUBLE, dec DOUBLE, glon DOUBLE, glat DOUBLE, vhelio_avg FLOAT,"
    " vscatter FLOAT, distance DOUBLE, htmID BIGINT"
)
_MANGA = (
    "plateIFU VARCHAR, mangaid VARCHAR, objra DOUBLE, objdec DOUBLE, ifura DOUBLE, ifudec DOUBLE, drp3qual BIGINT,"
    " bluesn2 FLOAT, redsn2 FLOAT, mjdmax INTEGER, mngtarg1 BIGINT, mngtarg2 BIGINT, mngtarg3 BIGINT, htmID BIGINT"
)
_MOS = "target_pk BIGINT, catalogid BIGINT, ra DOUBLE, dec DOUBLE, epoch FLOAT, parallax FLOAT, htmID BIGINT"
_FRAME = "fieldID BIGINT, a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE, e DOUBLE, f DOUBLE, node DOUBLE, incl DOUBLE"
_COVERED = "HtmIDStart BIGINT, HtmIDEnd BIGINT"
_UNITS = {
    "ra": ("deg", "pos.eq.ra", "Right ascension"),
    "dec": ("deg", "pos.eq.dec", "Declination"),
    "distance": ("arcmin", "pos.angDistance", "Distance from the given position"),
    "cx": ("", "pos.cartesian.x", "x of the unit vector"),
    "cy": ("", "pos.cartesian.y", "y of the unit vector"),
    "cz": ("", "pos.cartesian.z", "z of the unit vector"),
}


def _described(text: str) -> tuple[Column, ...]:
    return tuple(Column(column.name, column.type, *_UNITS.get(column.name, ("", "", ""))) for column in columns(text))


_EQ = "ra DOUBLE, dec DOUBLE, r DOUBLE"
_XYZ = "nx DOUBLE, ny DOUBLE, nz DOUBLE, r DOUBLE"


def _searches(
    suffix: str, what: str, result: str, searched: tuple[Searched, ...], distance: bool = True
) -> list[TableFunction]:
    """fGetNearby… and fGetNearest…, by position and by unit vector."""
    shown = _described(f"{result}, distance DOUBLE" if distance else result)
    found = []
    for ending, parameters in (("Eq", _EQ), ("XYZ", _XYZ)):
        where = "a position in degrees" if ending == "Eq" else "a unit vector"
        found += [
            TableFunction(
                f"fGetNearby{suffix}{ending}",
                Shape.CONE,
                columns(parameters),
                shown,
                f"{what} within r arc minutes of {where}",
                searched,
            ),
            TableFunction(
                f"fGetNearest{suffix}{ending}",
                Shape.NEAREST,
                columns(parameters),
                shown,
                f"The closest of the {what[0].lower()}{what[1:]} within r arc minutes of {where}",
                searched,
            ),
        ]
    return found


_FUNCTIONS: tuple[TableFunction, ...] = (
    *_searches("Obj", "Primary objects", _PHOTO, _PRIMARY),
    *_searches("ObjAll", "Objects", _PHOTO_ALL, _ALL),
    *_searches("SpecObj", "Science-primary spectra", _SPECTRUM, _SPEC),
    *_searches("SpecObjAll", "Spectra", _SPECTRUM_ALL, _SPEC_ALL),
    *_searches("ApogeeStar", "APOGEE stars", _APOGEE, (Searched("apogeeStar"),), distance=False),
    *_searches("MosTarget", "Targets of the Milky Way Mapper and Black Hole Mapper", _MOS, (Searched("mos_target"),)),
    *(
        function
        for function in _searches("MangaObj", "MaNGA objects", _MANGA, (Searched("mangaDrpAll"),), distance=False)
        if function.name.endswith("Eq")
    ),
    *(
        TableFunction(
            name,
            Shape.BOX,
            columns(parameters),
            _described(_PHOTO),
            "Primary objects between two right ascensions and two declinations in degrees, without the borders",
            _PRIMARY,
        )
        for name, parameters in (
            ("fGetObjFromRect", "ra1 DOUBLE, ra2 DOUBLE, dec1 DOUBLE, dec2 DOUBLE"),
            ("fGetObjFromRectEq", "ra1 DOUBLE, dec1 DOUBLE, ra2 DOUBLE, dec2 DOUBLE"),
        )
    ),
    TableFunction(
        "fGetNearbyFrameEq",
        Shape.CONE,
        columns("ra DOUBLE, dec DOUBLE, r DOUBLE, zoom INTEGER"),
        _described(f"{_FRAME}, distance DOUBLE"),
        "Frames of a zoom with their centre within r arc minutes",
        (Searched("Frame"),),
        where=(("zoom", "zoom"),),
    ),
    TableFunction(
        "fGetNearestFrameEq",
        Shape.NEAREST,
        columns("ra DOUBLE, dec DOUBLE, zoom INTEGER"),
        _described(f"{_FRAME}, distance DOUBLE"),
        "The frame of a zoom with the closest centre, within 81 arc minutes",
        (Searched("Frame"),),
        radius="81",
        where=(("zoom", "zoom"),),
    ),
    *(
        TableFunction(
            name,
            Shape.COVER,
            columns("region VARCHAR"),
            columns(_COVERED),
            "Ranges of triangles of the mesh that together contain a region, which must be a constant: CIRCLE, RECT,"
            " POLY or CONVEX. They contain some of its surroundings, too",
        )
        for name in ("fHtmCoverRegion", "fHtmCover")
    ),
    *(
        TableFunction(
            f"fHtmCoverCircle{ending}",
            Shape.COVER,
            columns(parameters),
            columns(_COVERED),
            "Ranges of triangles of the mesh that together contain a circle with a radius in arc minutes; its numbers"
            " must be constants. They contain some of its surroundings, too",
        )
        for ending, parameters in (("Eq", _EQ), ("Xyz", _XYZ))
    ),
    TableFunction(
        "fFootprintEq",
        Shape.FOOTPRINT,
        columns(_EQ),
        columns("type VARCHAR"),
        "POLYGON, if a position in degrees is within the survey or within r + 7.85 arc minutes of it; no row, if not",
        (Searched("HalfSpace"),),
    ),
    PARTICLES,
    *ROWS,
)

TABLE_FUNCTIONS: dict[str, TableFunction] = {function.name.lower(): function for function in _FUNCTIONS}
"""By name in lower case."""

_SCALARS: tuple[ScalarFunction, ...] = (
    ScalarFunction(
        "fGetNearestObjIdEq",
        columns(_EQ),
        "BIGINT",
        "objID of the closest primary object within r arc minutes; NULL if there is none",
        "objID",
        "fGetNearbyObjEq",
    ),
    ScalarFunction(
        "fGetNearestObjIdAllEq",
        columns(_EQ),
        "BIGINT",
        "objID of the closest object within r arc minutes; NULL if there is none",
        "objID",
        "fGetNearbyObjAllEq",
    ),
    ScalarFunction(
        "fGetNearestObjIdEqType",
        columns(f"{_EQ}, t INTEGER"),
        "BIGINT",
        "objID of the closest primary object of type t within r arc minutes",
        "objID",
        "fGetNearbyObjEq",
        (("type", "t"),),
    ),
    ScalarFunction(
        "fGetNearestObjIdEqMode",
        columns(f"{_EQ}, mode INTEGER"),
        "BIGINT",
        "objID of the closest object of a mode within r arc minutes",
        "objID",
        "fGetNearbyObjAllEq",
        (("mode", "mode"),),
    ),
    ScalarFunction(
        "fGetNearestSpecObjIdEq",
        columns(_EQ),
        "DECIMAL(20,0)",
        "specObjID of the closest science-primary spectrum within r arc minutes",
        "specObjID",
        "fGetNearbySpecObjEq",
    ),
    ScalarFunction(
        "fGetNearestSpecObjIdAllEq",
        columns(_EQ),
        "DECIMAL(20,0)",
        "specObjID of the closest spectrum within r arc minutes",
        "specObjID",
        "fGetNearbySpecObjAllEq",
    ),
    ScalarFunction(
        "fGetNearestFrameidEq",
        columns("ra DOUBLE, dec DOUBLE, zoom INTEGER"),
        "BIGINT",
        "fieldID of the frame of a zoom with the closest centre, within 81 arc minutes",
        "fieldID",
        "fGetNearestFrameEq",
    ),
    ScalarFunction(
        "fInFootprintEq",
        columns(_EQ),
        "BOOLEAN",
        "Whether a position in degrees is within the survey or within r + 7.85 arc minutes of it",
        "type",
        "fFootprintEq",
    ),
    *(
        ScalarFunction(
            f"fStrip{ending}OfRun",
            columns("run INTEGER"),
            "INTEGER",
            f"Strip{ending} of a run",
            f"strip{ending}",
            lookup=(Searched("Run"),),
            key="run",
        )
        for ending in ("e", "")
    ),
    ScalarFunction(
        "fObjID",
        columns("objID BIGINT"),
        "BIGINT",
        "objID of the object that has it, whatever its first-field bit; 0 if there is none",
        "objID",
        lookup=_ALL,
        key="objID",
    ),
    ScalarFunction(
        "fPrimaryObjID",
        columns("objID BIGINT"),
        "BIGINT",
        "objID of the primary object that has it, whatever its first-field bit; 0 if there is none",
        "objID",
        lookup=_PRIMARY,
        key="objID",
    ),
)

SCALAR_FUNCTIONS: dict[str, ScalarFunction] = {function.name.lower(): function for function in _SCALARS}
"""By name in lower case."""

_COVER = (
    "Searches here need no cover by triangles: write dbo.fGetNearbyObjEq(ra, dec, r), or a condition on a distance."
)
_REGION = "Regions are not kept here. Write conditions on ra and dec, or on a distance."
REFUSED: dict[str, str] = {
    **{
        name.lower(): f"{name} is not supported. {_COVER}"
        for name in (
            "fHtmCoverCircleLatLon",
            "fHtmCoverRegionSelect",
            "fHtmCoverBinary",
            "fHtmCoverList",
            "fHtm_Cover",
            "fHtmCoverRegionAdvanced",
            "fHtmToCenterPoint",
            "fHtmToCornerPoints",
            "fHtmGetCenterPoint",
            "fHtmGetCornerPoints",
        )
    },
    **{
        name.lower(): f"{name} is not supported. {_REGION}"
        for name in (
            "fRegionsContainingPointEq",
            "fRegionsContainingPointXYZ",
            "fRegionContainsPointEq",
            "fRegionContainsPointXYZ",
            "fRegionGetObjectsFromRegionId",
            "fRegionGetObjectsFromString",
            "fRegionsIntersectingString",
            "fRegionsIntersectingBinary",
            "fPolygonsContainingPointEq",
            "fPolygonsContainingPointXYZ",
            "fRegionFromString",
            "fRegionNot",
            "fRegionFuzz",
            "fRegionOverlapId",
            "fRegionPredicate",
            "fRegionAreaPatch",
        )
    },
    **{
        name.lower(): f"{name} is not supported. Call fGetNearbyObjEq and fGetNearbySpecObjEq."
        for name in ("fGetObjectsEq", "fGetObjectsMaskEq", "fGetJpegObjects")
    },
}
"""Table and scalar functions that are refused: name in lower case → why, and what to do instead."""
