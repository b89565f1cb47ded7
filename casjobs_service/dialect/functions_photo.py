"""SDSS's functions on identifiers, names, magnitudes and addresses of files."""

from __future__ import annotations

from casjobs_service.dialect.functions_macro import Macro, columns

SKYSERVER = "https://skyserver.sdss.org/dr16/en/"
ARCHIVE = "https://data.sdss.org/sas/dr17/"

SOFTENING = (1.4e-10, 0.9e-10, 1.2e-10, 1.8e-10, 7.4e-10)
"""Of SDSS's asinh magnitudes in u, g, r, i, z (Lupton, Gunn and Szalay 1999)."""

# Bits of an objID from the highest: 1 empty, 4 sky version, 11 rerun, 16 run, 3 camera column, 1 first field,
# 12 field, 16 object.
PHOTO_BITS = {
    "fSkyVersion": (59, 0xF, "Sky version"),
    "fRerun": (48, 0x7FF, "Number of the processing"),
    "fRun": (32, 0xFFFF, "Run"),
    "fCamcol": (29, 0x7, "Camera column"),
    "fFirstField": (28, 0x1, "1 in the first field of a run"),
    "fField": (16, 0xFFF, "Field"),
    "fObj": (0, 0xFFFF, "Number within the field"),
}
# Of a specObjID since data release 8: 14 plate, 12 fibre, 14 date less 50000, 14 reduction, 10 line or index.
SPECTRUM_BITS = {
    "fPlate": (50, 0x3FFF, 0, "Plate"),
    "fFiber": (38, 0xFFF, 0, "Fibre"),
    "fMJD": (24, 0x3FFF, 50000, "Modified Julian date of the observation"),
}


def _photo_id(first_field: str) -> str:
    # Sums as in SDSS, in 64 bits: a part that is too large runs into the next one there, too.
    return (
        "(CASE WHEN skyversion_ = -1 THEN 15 ELSE skyversion_ END) * 576460752303423488"
        " + rerun_ * 281474976710656 + run_ * 4294967296 + camcol_ * 536870912"
        f" + {first_field} * 268435456 + field_ * 65536 + obj_"
    )


_IDS = "skyversion BIGINT, run BIGINT, rerun BIGINT, camcol BIGINT, field BIGINT, obj BIGINT"
_RUN2D = "(specObjID_ >> 10) & 16383"
_REDUCTION = (
    f"CASE WHEN {_RUN2D} IN (26, 103, 104) THEN CAST({_RUN2D} AS VARCHAR)"
    f" ELSE printf('v%d_%d_%d', ({_RUN2D}) // 10000 + 5, ({_RUN2D}) % 10000 // 100, ({_RUN2D}) % 100) END"
)
_SPECTRA = f"'{ARCHIVE}' || CASE WHEN {_RUN2D} IN (26, 103, 104) THEN 'sdss' ELSE 'eboss' END || '/spectro/redux/'"
_PLATE = "ss_fplate(specObjID_), ss_fmjd(specObjID_)"
_SEXAGESIMAL = (
    "printf('%02d:%02d:', CAST(floor({d}) AS INTEGER), CAST(floor(60 * ({d} - floor({d}))) AS INTEGER))"
    " || lpad(ss__fixed(ss_round(60 * (60 * ({d} - floor({d})) - floor(60 * ({d} - floor({d})))),"
    " {p}, truncate_), {p}), {p} + 3, '0')"
)
_PRECISION = "greatest(1, least(10, precision_))"
_FRAME = "ss_frun(fieldID_), ss_fcamcol(fieldID_), ss_ffield(fieldID_)"
_FIELD_NEEDS = ("fRun", "fRerun", "fCamcol", "fField")


def _frame_url(name: str, description: str, path: str, *, band: bool) -> Macro:
    """`path` has {rerun}, {run}, {camcol}, {run6}, {field4} and, with `band`, {band}."""
    pieces = {
        "rerun": "' || ss_frerun(fieldID_) || '",
        "run": "' || ss_frun(fieldID_) || '",
        "camcol": "' || ss_fcamcol(fieldID_) || '",
        "run6": "' || printf('%06d', ss_frun(fieldID_)) || '",
        "field4": "' || printf('%04d', ss_ffield(fieldID_)) || '",
        "band": "' || trim(filter_) || '",
    }
    return Macro(
        name,
        columns("fieldID BIGINT, filter VARCHAR" if band else "fieldID BIGINT"),
        "VARCHAR",
        f"Address of {description} in SDSS's archive (data release 17)",
        f"'{ARCHIVE}{path.format(**pieces)}'",
        _FIELD_NEEDS,
    )


def _page(name: str, parameters: str, description: str, body: str, needs: tuple[str, ...] = ()) -> Macro:
    return Macro(
        name, columns(parameters), "VARCHAR", f"Address of SkyServer's {description} (data release 16)", body, needs
    )


_POSITION = "'ra=' || ltrim(ss_str(ra_, 10, 6)) || '&dec=' || ltrim(ss_str(dec_, 10, 6))"

MACROS: tuple[Macro, ...] = (
    *(
        Macro(
            name,
            columns("objID BIGINT"),
            "INTEGER",
            f"{what}, taken from an object's or field's identifier",
            f"CAST((objID_ >> {shift}) & {mask} AS INTEGER)",
        )
        for name, (shift, mask, what) in PHOTO_BITS.items()
    ),
    *(
        Macro(
            name,
            columns("specObjID UBIGINT"),
            "INTEGER",
            f"{what}, taken from a spectrum's identifier (since data release 8)",
            f"CAST((specObjID_ >> {shift}) & {mask} AS INTEGER) + {offset}",
        )
        for name, (shift, mask, offset, what) in SPECTRUM_BITS.items()
    ),
    Macro(
        "fFirstFieldBit",
        (),
        "BIGINT",
        "The bit of an objID that is set in the first field of a run",
        "268435456::BIGINT",
    ),
    Macro(
        "fObjidFromSDSS",
        columns(_IDS),
        "BIGINT",
        "Identifier of an object that is not in the first field of its run",
        _photo_id("0"),
    ),
    Macro(
        "fObjidFromSDSSWithFF",
        columns(_IDS + ", firstfield BIGINT"),
        "BIGINT",
        "Identifier of an object",
        _photo_id("firstfield_"),
        optional=("0",),
    ),
    Macro(
        "fSDSS",
        columns("objID BIGINT"),
        "VARCHAR",
        "Sky version, run, rerun, camera column, field and number of an object, with hyphens",
        "concat_ws('-', ss_fskyversion(objID_), ss_frun(objID_), ss_frerun(objID_), ss_fcamcol(objID_),"
        " ss_ffield(objID_), ss_fobj(objID_))",
        ("fSkyVersion", "fRun", "fRerun", "fCamcol", "fField", "fObj"),
    ),
    Macro(
        "fSpecidFromSDSS",
        columns("plate UBIGINT, mjd UBIGINT, fiber UBIGINT, run2d UBIGINT"),
        "DECIMAL(20,0)",
        "Identifier of a spectrum (since data release 8) of reduction 26, or another number",
        "CAST((plate_ << 50) | (fiber_ << 38) | ((mjd_ - 50000) << 24) | (run2d_ << 10) AS DECIMAL(20,0))",
        optional=("26",),
    ),
    Macro(
        "fHMSbase",
        columns("deg DOUBLE, truncate INTEGER, precision INTEGER"),
        "VARCHAR",
        "Right ascension in degrees as hh:mm:ss.ss, rounded or (truncate 1) cut",
        _SEXAGESIMAL.format(d="abs(deg_ / 15)", p=_PRECISION),
        ("ROUND", "_fixed"),
        optional=("0", "2"),
    ),
    Macro(
        "fDMSbase",
        columns("deg DOUBLE, truncate INTEGER, precision INTEGER"),
        "VARCHAR",
        "Declination in degrees as +dd:mm:ss.ss, rounded or (truncate 1) cut",
        "CASE WHEN deg_ < 0 THEN '-' ELSE '+' END || " + _SEXAGESIMAL.format(d="abs(deg_)", p=_PRECISION),
        ("ROUND", "_fixed"),
        optional=("0", "2"),
    ),
    Macro(
        "fHMS",
        columns("deg DOUBLE"),
        "VARCHAR",
        "Right ascension in degrees as hh:mm:ss.ss",
        "ss_fhmsbase(deg_)",
        ("fHMSbase",),
    ),
    Macro(
        "fDMS",
        columns("deg DOUBLE"),
        "VARCHAR",
        "Declination in degrees as +dd:mm:ss.ss",
        "ss_fdmsbase(deg_)",
        ("fDMSbase",),
    ),
    Macro(
        "fIAUFromEq",
        columns("ra DOUBLE, dec DOUBLE"),
        "VARCHAR",
        "Name of a position, SDSS Jhhmmss.ss+ddmmss.s",
        "'SDSS J' || replace(ss_fhmsbase(ra_, 1, 2) || ss_fdmsbase(dec_, 1, 1), ':', '')",
        ("fHMSbase", "fDMSbase"),
    ),
    Macro(
        "fMJDToGMT",
        columns("mjd DOUBLE"),
        "VARCHAR",
        "Modified Julian date as yyyy-mm-dd:hh:mm:ss.sss",
        "strftime(TIMESTAMP '1858-11-17' + to_milliseconds(CAST(round(mjd_ * 86400000) AS BIGINT)),"
        " '%Y-%m-%d:%H:%M:%S.%g')",
    ),
    Macro(
        "fMagToFlux",
        columns("mag FLOAT, band INTEGER"),
        "FLOAT",
        "Flux in nJy of an asinh magnitude; bands 0 to 4 are u, g, r, i, z",
        # 3630.78 Jy is the flux of magnitude 0 of SDSS's asinh magnitudes.
        "CAST(1e9 * 3630.78e0 * 2 * ss__softening(band_) * sinh("
        "(CASE WHEN mag_ < -99 THEN 1e0 ELSE mag_::DOUBLE END) / -1.0857362048e0"
        " - ln(ss__softening(band_))) AS FLOAT)",
        ("_softening",),
    ),
    Macro(
        "fMagToFluxErr",
        columns("mag FLOAT, err FLOAT, band INTEGER"),
        "FLOAT",
        "Error in nJy of the flux of an asinh magnitude",
        "CAST((CASE WHEN mag_ < -99 THEN 1e0 ELSE err_::DOUBLE END) * sqrt(ss_fmagtoflux(mag_, band_)::DOUBLE ** 2"
        " + 4e18 * (3630.78e0 * ss__softening(band_)) ** 2) / 1.0857362048e0 AS FLOAT)",
        ("_softening", "fMagToFlux"),
    ),
    Macro(
        "_softening",
        columns("band INTEGER"),
        "DOUBLE",
        "Softening parameter of the asinh magnitudes of a band",
        f"CASE band_ {' '.join(f'WHEN {band} THEN {value!r}' for band, value in enumerate(SOFTENING))} END",
        sdss=False,
    ),
    _frame_url(
        "fGetUrlFitsField",
        "the catalogue of a field",
        "eboss/photoObj/{rerun}/{run}/{camcol}/photoObj-{run6}-{camcol}-{field4}.fits",
        band=False,
    ),
    _frame_url(
        "fGetUrlFitsCFrame",
        "the corrected frame of a field in a band",
        "eboss/photoObj/frames/{rerun}/{run}/{camcol}/frame-{band}-{run6}-{camcol}-{field4}.fits.bz2",
        band=True,
    ),
    _frame_url(
        "fGetUrlFitsMask",
        "the mask of a field in a band",
        "eboss/photo/redux/{rerun}/{run}/objcs/{camcol}/fpM-{run6}-{band}{camcol}-{field4}.fit.gz",
        band=True,
    ),
    _frame_url(
        "fGetUrlFitsBin",
        "the binned frame of a field in a band",
        "eboss/photo/redux/{rerun}/{run}/objcs/{camcol}/fpBIN-{run6}-{band}{camcol}-{field4}.fit.gz",
        band=True,
    ),
    _frame_url(
        "fGetUrlFitsAtlas",
        "the atlas images of a field",
        "eboss/photo/redux/{rerun}/{run}/objcs/{camcol}/fpAtlas-{run6}-{camcol}-{field4}.fit",
        band=False,
    ),
    Macro(
        "fGetUrlFitsSpectrum",
        columns("specObjID UBIGINT"),
        "VARCHAR",
        "Address of a spectrum in SDSS's archive (data release 17)",
        f"{_SPECTRA} || {_REDUCTION} || printf('/spectra/lite/%04d/spec-%04d-%05d-%04d.fits', ss_fplate(specObjID_),"
        f" {_PLATE}, ss_ffiber(specObjID_))",
        ("fPlate", "fMJD", "fFiber"),
    ),
    Macro(
        "fGetUrlFitsPlate",
        columns("specObjID UBIGINT"),
        "VARCHAR",
        "Address of the spectra of a plate in SDSS's archive (data release 17)",
        f"{_SPECTRA} || {_REDUCTION} || printf('/%04d/spPlate-%04d-%05d.fits', ss_fplate(specObjID_), {_PLATE})",
        ("fPlate", "fMJD"),
    ),
    _page(
        "fGetUrlExpId", "objID BIGINT", "page of an object", f"'{SKYSERVER}tools/explore/summary.aspx?id=' || objID_"
    ),
    _page(
        "fGetUrlExpEq",
        "ra DOUBLE, dec DOUBLE",
        "page of a position",
        f"'{SKYSERVER}tools/explore/summary.aspx?' || {_POSITION}",
        ("STR",),
    ),
    _page(
        "fGetUrlNavEq",
        "ra DOUBLE, dec DOUBLE",
        "navigation tool at a position",
        f"'{SKYSERVER}tools/chart/navi.aspx?' || {_POSITION}",
        ("STR",),
    ),
    _page(
        "fGetUrlSpecImg",
        "specObjID UBIGINT",
        "picture of a spectrum",
        f"'{SKYSERVER}get/SpecById.ashx?id=' || specObjID_",
    ),
    _page(
        "fGetUrlFrameImg",
        "fieldID BIGINT, zoom INTEGER",
        "picture of a field",
        f"'{SKYSERVER}get/FrameById.ashx?id=' || fieldID_ || '&zoom=' || zoom_",
    ),
)

REFUSED: dict[str, str] = {
    "fgeturlnavid": "Write fGetUrlNavEq(ra, dec) with the object's position instead of fGetUrlNavId.",
    "fgeturlmangacube": "fGetUrlMangaCube needs SDSS's own tables.",
    "fgetwcs": "fGetWCS needs SDSS's own tables.",
}
