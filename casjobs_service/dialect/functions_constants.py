"""Names and values of SDSS's flags and enumerations: what its table `DataConstants` holds.

Names and values are those of the data releases up to 17 (public: SDSS's *Bitmasks* and *Schema Browser* pages), with
`SpecClass` as it was up to data release 7. Descriptions are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from casjobs_service.dialect.functions_targets import TARGETS


@dataclass(frozen=True)
class Constant:
    """One value of a field."""

    name: str
    value: int
    description: str


@dataclass(frozen=True)
class Field:
    """A column whose values have names.

    Attributes
    ----------
    bits
        Each name is a bit, rather than a value.
    text
        A line per name: number of the bit, or value; name; description.
    """

    name: str
    bits: bool
    description: str
    text: str

    @cached_property
    def constants(self) -> tuple[Constant, ...]:
        """In ascending order."""
        return tuple(self._read())

    @cached_property
    def values(self) -> dict[str, int]:
        """By name in upper case."""
        return {constant.name.upper(): constant.value for constant in self.constants}

    def _read(self) -> Iterator[Constant]:
        for line in self.text.strip().splitlines():
            number, name, *description = line.strip().split(" ", 2)
            value = 1 << int(number) if self.bits else int(number)
            # The highest bit of a 64-bit integer is its sign.
            yield Constant(name, value - (1 << 64) if value >> 63 else value, " ".join(description))


PHOTO_FLAGS = """
0 CANONICAL_CENTER The centre in the canonical band was used to measure the other bands
1 BRIGHT Found by the search for bright objects; measured again in the next one
2 EDGE Too close to the edge of the frame
3 BLENDED More than one peak; a candidate for deblending
4 CHILD Made by deblending another object
5 PEAKCENTER The centre is that of the peak pixel
6 NODEBLEND Blended, and deblending was not tried
7 NOPROFILE Too small or too close to the edge for a radial profile
8 NOPETRO No Petrosian radius was found
9 MANYPETRO More than one Petrosian radius was found
10 NOPETRO_BIG The Petrosian radius lies beyond the last point of the profile
11 DEBLEND_TOO_MANY_PEAKS More peaks than the deblender handles
12 COSMIC_RAY Contains a pixel hit by a cosmic ray
13 MANYR50 More than one radius that holds 50 % of the light
14 MANYR90 More than one radius that holds 90 % of the light
15 BAD_RADIAL Some points of the profile have a negative signal
16 INCOMPLETE_PROFILE The Petrosian radius reaches the edge of the frame
17 INTERP Contains interpolated pixels
18 SATURATED Contains saturated pixels
19 NOTCHECKED Contains pixels that were not searched for peaks
20 SUBTRACTED The wings of this bright object were subtracted
21 NOSTOKES No Stokes parameters were measured
22 BADSKY The sky level is so bad that nothing was measured
23 PETROFAINT A Petrosian radius was rejected because the surface brightness there is too low
24 TOO_LARGE Too large to be measured
25 DEBLENDED_AS_PSF Deblended as a point source
26 DEBLEND_PRUNED A child was removed because it was like another one
27 ELLIPFAINT Fainter in its centre than the isophote to be measured
28 BINNED1 Found in the image as it is
29 BINNED2 Found in the image binned by 2
30 BINNED4 Found in the image binned by 4
31 MOVED Perhaps moving
32 DEBLENDED_AS_MOVING Deblended as a moving object
33 NODEBLEND_MOVING Perhaps moving, and not deblended as such
34 TOO_FEW_DETECTIONS Found in too few bands to be deblended as moving
35 BAD_MOVING_FIT The fit of the motion is too poor
36 STATIONARY Consistent with being at rest
37 PEAKS_TOO_CLOSE Peaks too close to be deblended were merged
38 MEDIAN_CENTER The centre is that of the median-smoothed image
39 LOCAL_EDGE The centre in some band is too close to an edge
40 BAD_COUNTS_ERROR Too few good pixels for a reliable error
41 BAD_MOVING_FIT_CHILD The fit of a child's motion was too poor
42 DEBLEND_UNASSIGNED_FLUX Much flux was given to no child
43 SATUR_CENTER A saturated pixel is close to the centre
44 INTERP_CENTER An interpolated pixel is close to the centre
45 DEBLENDED_AT_EDGE Deblended although close to the edge
46 DEBLEND_NOPEAK No peak within this child in some band
47 PSF_FLUX_INTERP More than 20 % of the PSF flux is interpolated
48 TOO_FEW_GOOD_DETECTIONS Too few good detections to be deblended as moving
49 CENTER_OFF_AIMAGE The centre of some peak lies outside the atlas image
50 DEBLEND_DEGENERATE Candidate children were the same; one was kept
51 BRIGHTEST_GALAXY_CHILD The brightest child that is classified as a galaxy
52 CANONICAL_BAND This is the canonical band
53 AMOMENT_FAINT Too faint for weighted moments
54 AMOMENT_SHIFT The centroid moved too far while moments were measured
55 AMOMENT_MAXITER Moments did not converge
56 MAYBE_CR Perhaps a cosmic ray
57 MAYBE_EGHOST Perhaps a ghost made by the electronics
58 NOTCHECKED_CENTER The centre was not searched for objects
59 OBJECT2_HAS_SATUR_DN The flux includes the electrons of bleed trails
60 OBJECT2_DEBLEND_PEEPHOLE The deblender's peephole optimiser changed the result
61 GROWN_MERGED Growing led to a merger
62 HAS_CENTER Has a canonical centre
63 RESERVED Not used
"""

PHOTO_STATUS = """
0 SET Set within its own run
1 GOOD Good by its flags
2 DUPLICATE Found again in an adjacent field of the run
4 OK_RUN In the primary rows of its field
5 RESOLVED Resolved against other runs
6 PSEGMENT In a primary segment
8 FIRST_FIELD In the first field of its segment
9 OK_SCANLINE In the valid range of nu of its scanline
10 OK_STRIPE In the valid range of eta of its stripe
12 SECONDARY A secondary object of the survey
13 PRIMARY A primary object of the survey
14 TARGET A spectroscopic target
"""

SPEC_Z_WARNING = """
0 SKY Sky fibre
1 LITTLE_COVERAGE Too little coverage in wavelength
2 SMALL_DELTA_CHI2 Best and second-best fit are too close
3 NEGATIVE_MODEL The synthetic spectrum is negative
4 MANY_OUTLIERS Too many points far from the best model
5 Z_FITLIMIT The best redshift is at the edge of the range that was tried
6 NEGATIVE_EMISSION A quasar's line has negative emission
7 UNPLUGGED The fibre was not plugged
"""

SPEC_PIX_MASK = """
0 NOPLUG Fibre not listed in the plug map
1 BADTRACE Bad trace
2 BADFLAT Low counts in the fibre flat
3 BADARC Bad arc solution
4 MANYBADCOLUMNS More than 10 % of the pixels are bad columns
5 MANYREJECTED More than 10 % of the pixels were rejected in extraction
6 LARGESHIFT Large shift between flat and object
7 BADSKYFIBER Sky fibre with extreme residuals
8 NEARWHOPPER Within two fibres of a very bright source
9 WHOPPER A very bright source
10 SMEARIMAGE Smear available for both cameras
11 SMEARHIGHSN Signal sufficient for the full smear fit
12 SMEARMEDSN Signal sufficient for the scaled median fit only
16 NEARBADPIXEL Bad pixel within 3 pixels of the trace
17 LOWFLAT Flat field below 0.5
18 FULLREJECT Fully rejected in extraction
19 PARTIALREJECT Some pixels rejected in extraction
20 SCATTEREDLIGHT Much scattered light
21 CROSSTALK Much cross-talk
22 NOSKY Sky level not known at this wavelength
23 BRIGHTSKY Sky brighter than the object
24 NODATA No data in the combination
25 COMBINEREJ Rejected in the combination
26 BADFLUXFACTOR Low factor of the flux calibration
27 BADSKYCHI Large residuals of the sky at this wavelength
28 REDMONSTER Contiguous region of large residuals of the sky
"""

SOURCE_TYPES = (
    "GALAXY QSO STAR_BHB STAR_CARBON STAR_BROWN_DWARF STAR_SUB_DWARF STAR_CATY_VAR STAR_RED_DWARF STAR_WHITE_DWARF "
    "REDDEN_STD SPECTROPHOTO_STD HOT_STD ROSAT_A ROSAT_B ROSAT_C ROSAT_D SERENDIPITY_BLUE SERENDIPITY_FIRST "
    "SERENDIPITY_RED SERENDIPITY_DISTANT SERENDIPITY_MANUAL QA SKY NA STAR_PN"
)


def _numbered(names: str, first: int = 0) -> str:
    return "\n".join(f"{number} {name}" for number, name in enumerate(names.split(), first))


_FIELDS = (
    Field(
        "PhotoMode",
        False,
        "Whether the observation is the primary one of its object",
        """
        1 PRIMARY Primary object
        2 SECONDARY Secondary object
        3 FAMILY Family object
        4 OUTSIDE Outside the boundary of the chunk
        5 HOLE In a hole (a field of quality 5)
        """,
    ),
    Field("MaskType", False, "Kind of mask", _numbered("BLEEDING BRIGHT_STAR TRAIL HOLE SEEING")),
    Field(
        "PhotoType",
        False,
        "Classification by shape",
        """
        0 UNKNOWN Not known
        1 COSMIC_RAY Track of a cosmic ray (not used)
        2 DEFECT Defect of telescope or processing (not used)
        3 GALAXY Extended object
        4 GHOST Reflected or refracted light (not used)
        5 KNOWNOBJ From another catalogue (not used)
        6 STAR Point source
        7 TRAIL Trail of a satellite, asteroid or meteor (not used)
        8 SKY Blank sky
        9 NOTATYPE Not a type
        """,
    ),
    Field(
        "InsideMask",
        True,
        "Whether the object is inside a mask, and why",
        """
        0 INMASK_BLEEDING Bleed trail
        1 INMASK_BRIGHT_STAR Bright star, or close to one
        2 INMASK_TRAIL Close to a trail
        3 INMASK_HOLE Hole
        4 INMASK_POOR_SEEING Seeing above 1.7 arc seconds
        5 INMASK_BAD_SEEING Seeing above 2.0 arc seconds
        """,
    ),
    Field("PhotoStatus", True, "Status of the object in the survey, up to data release 7", PHOTO_STATUS),
    Field("PhotoFlags", True, "How detection and measurement went", PHOTO_FLAGS),
    Field(
        "CalibStatus",
        True,
        "Calibration of the image",
        """
        0 PHOTOMETRIC Photometric
        1 UNPHOT_OVERLAP Not photometric, calibrated by overlaps with photometric data
        2 UNPHOT_EXTRAP_CLEAR Extrapolated from the clear part of the night
        3 UNPHOT_EXTRAP_CLOUDY Extrapolated from a cloudy part of the night
        4 UNPHOT_DISJOINT Not connected with the rest of the survey
        5 INCREMENT_CALIB Calibrated incrementally by overlaps
        6 RESERVED2
        7 RESERVED3
        8 PT_CLEAR Photometric telescope, clear
        9 PT_CLOUDY Photometric telescope, cloudy
        10 DEFAULT Default calibration
        11 NO_UBERCAL Not calibrated globally
        """,
    ),
    Field(
        "ImageStatus",
        True,
        "Sky and instrument during the exposure",
        _numbered(
            "CLEAR CLOUDY UNKNOWN BAD_ROTATOR BAD_ASTROM BAD_FOCUS SHUTTERS FF_PETALS DEAD_CCD NOISY_CCD",
        ),
    ),
    Field(
        "ResolveStatus",
        True,
        "Which of several observations the object is",
        """
        0 RUN_PRIMARY Primary within its run
        1 RUN_RAMP In an overlap without a neighbouring field
        2 RUN_OVERLAPONLY Only in the overlap of two fields
        3 RUN_IGNORE Bright or parent object
        4 RUN_EDGE Close to the first or last column
        5 RUN_DUPLICATE The same pixels measured in two fields
        8 SURVEY_PRIMARY Primary within the survey
        9 SURVEY_BEST Best observation, not in the primary one of this part of the sky
        10 SURVEY_SECONDARY Repeated observation
        11 SURVEY_BADFIELD In a field with score 0
        12 SURVEY_EDGE Not secondary because it is at an edge
        """,
    ),
    Field(
        "FieldQuality",
        False,
        "Quality of a field",
        """
        1 BAD Not acceptable
        2 ACCEPTABLE Barely acceptable
        3 GOOD Fully acceptable
        4 MISSING Data missing; accepted as a hole
        5 HOLE Not acceptable; accepted as a hole
        """,
    ),
    Field(
        "PspStatus",
        False,
        "How the point spread function of the field was made",
        _numbered(
            "FIELD_OK FIELD_PSF22 FIELD_PSF11 FIELD_NOPSF FIELD_ABORTED FIELD_MISSING FIELD_OE_TRANSIENT",
        ),
    ),
    Field("FramesStatus", False, "How processing of the frames ended", _numbered("OK ABORTED MISSING TOO_LONG")),
    Field("SpecZWarning", True, "Warnings about the redshift", SPEC_Z_WARNING),
    Field("SpecPixMask", True, "Problems of a fibre (bits 0 to 15) or a pixel (16 to 31)", SPEC_PIX_MASK),
    Field(
        "SpecClass",
        False,
        "Class of a spectrum, up to data release 7",
        """
        0 UNKNOWN Not known
        1 STAR Star
        2 GALAXY Galaxy
        3 QSO Quasar
        4 HIZ_QSO Quasar of high redshift
        5 SKY Blank sky
        6 STAR_LATE Star of type M or later
        7 GAL_EM Galaxy with emission lines
        """,
    ),
    Field(
        "HoleType",
        False,
        "Kind of hole in a plate",
        _numbered("OBJECT COHERENT_SKY GUIDE LIGHT_TRAP ALIGNMENT QUALITY"),
    ),
    Field("SourceType", False, "Kind of a spectroscopic target", _numbered(SOURCE_TYPES)),
    Field("ProgramType", False, "Spectroscopic programme", _numbered("Main Other South")),
    Field("CoordType", False, "Coordinates of a tiling boundary", _numbered("RA_DEC LAMBDA_ETA MU_NU MU_ETA")),
    Field(
        "TiMask",
        True,
        "Result of tiling",
        """
        0 AR_TMASK_TILED Assigned to a tile
        1 AR_TMASK_DECOLLIDED The object of its group that may have a fibre
        2 AR_TMASK_COVERED In the area of a tile
        3 AR_TMASK_REMOVED Removed from the tile
        4 AR_TMASK_CULLED Removed from this tiling
        """,
    ),
    *(Field(name, True, description, text) for name, description, text in TARGETS),
)

FIELDS: dict[str, Field] = {field.name: field for field in _FIELDS}
"""By name."""

ZERO_NAMES = {"InsideMask": ("INMASK_NOT_IN_MASK", "Not inside a mask"), "SpecZWarning": ("OK", "No warnings")}
"""Names that some flags have for 0."""


def sdss_constants() -> list[tuple[str, str, int, str]]:
    """Rows of the table `DataConstants`: field, name, value, description.

    As in SDSS's, a row with an empty name describes the field.
    """
    rows: list[tuple[str, str, int, str]] = []
    for field in _FIELDS:
        rows.append((field.name, "", 0, field.description))
        if field.name in ZERO_NAMES:
            name, description = ZERO_NAMES[field.name]
            rows.append((field.name, name, 0, description))
        rows += [(field.name, constant.name, constant.value, constant.description) for constant in field.constants]
    return rows
