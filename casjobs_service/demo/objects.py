"""The real objects of `SkyDemo`, collected from the catalogues."""

from __future__ import annotations

import re
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from casjobs_service.demo import photometry, sky, sources
from casjobs_service.demo.sky import Array

CATALOGUES = {"Hipparcos": 1, "OpenNGC": 2, "Gaia DR3": 3, "Tycho-2": 4}


@dataclass
class Objects:
    """The real objects before they are put into the survey; arrays of equal length, NaN where nothing is known.

    Attributes
    ----------
    source
        Number of the catalogue, see `CATALOGUES`.
    identifier
        In that catalogue.
    name
        In words, e.g. ``HIP 91262``.
    ra, dec
        Degrees, ICRS, epoch J2000.0.
    ra_err, dec_err
        Arc seconds.
    v, b_v, v_i
        Johnson-Cousins magnitude and colours.
    measured_b_v, measured_v_i
        Whether the colour is the object's own.
    radius, axis_ratio, angle
        Of the isophote: arc seconds, b/a, degrees.
    frac_dev
        1 for early types, 0 for late ones.
    redshift
        Of galaxies.
    pmra, pmdec
        Proper motion in mas per year, `pmra` with cos(dec).
    """

    source: npt.NDArray[np.int16]
    identifier: npt.NDArray[np.int64]
    name: npt.NDArray
    ra: Array
    dec: Array
    v: Array
    b_v: Array
    v_i: Array
    measured_b_v: npt.NDArray[np.bool_]
    measured_v_i: npt.NDArray[np.bool_]
    ra_err: Array
    dec_err: Array
    radius: Array
    axis_ratio: Array
    angle: Array
    frac_dev: Array
    redshift: Array
    pmra: Array
    pmdec: Array

    @classmethod
    def of(cls, source: str, identifier: npt.NDArray, name: npt.NDArray, **columns: npt.NDArray) -> Objects:
        """With NaN (or False) for the columns that are not given."""
        count = len(identifier)
        values: dict[str, npt.NDArray] = {
            "source": np.full(count, CATALOGUES[source], np.int16),
            "identifier": identifier.astype(np.int64),
            "name": name,
        }
        for key in cls.__dataclass_fields__:
            if key not in values:
                empty = np.zeros(count, bool) if key.startswith("measured") else np.full(count, np.nan)
                values[key] = columns.get(key, empty)
        return cls(**values)

    @classmethod
    def joined(cls, *parts: Objects) -> Objects:
        """One after the other."""
        return cls(**{key: np.concatenate([getattr(part, key) for part in parts]) for key in cls.__dataclass_fields__})


def hipparcos_stars(stars: sources.Columns) -> Objects:
    """Stars of Hipparcos-2 at epoch J2000.0."""
    ra, dec = sky.at_epoch(
        np.degrees(stars["RArad"]), np.degrees(stars["DErad"]), stars["pmRA"], stars["pmDE"], 2000.0 - 1991.25
    )
    # The catalogue has 0, with an error of 0, for colours that it does not have.
    unknown = (stars["B_V"] == 0) & (stars["e_B_V"] == 0)
    b_v = np.where(unknown, np.nan, stars["B_V"])
    v_i = np.where(unknown & (stars["V_I"] == 0), np.nan, stars["V_I"])
    return Objects.of(
        "Hipparcos",
        stars["HIP"],
        np.char.add("HIP ", stars["HIP"].astype(str)),
        ra=ra,
        dec=dec,
        ra_err=stars["e_RArad"] / 1000,
        dec_err=stars["e_DErad"] / 1000,
        v=photometry.johnson_v(stars["Hpmag"], b_v),
        b_v=b_v,
        v_i=v_i,
        measured_b_v=~unknown,
        measured_v_i=np.isfinite(v_i),
        pmra=stars["pmRA"],
        pmdec=stars["pmDE"],
    )


def openngc_galaxies(stars: Objects) -> Objects:
    """Galaxies of OpenNGC; `stars` give the V-I that belongs to a B-V."""
    with sources.openngc_rows() as database:
        rows = database.execute(
            "SELECT id, name, ra, dec, bmag, vmag, majax, minax, pa, hubble, redshift FROM objects "
            "WHERE type = 'G' AND ra IS NOT NULL ORDER BY id"
        ).fetchall()
    database.close()
    number, name, ra, dec, b, v, major, minor, angle, hubble, redshift = (
        np.array(column, dtype=object) for column in zip(*rows, strict=True)
    )
    magnitude_b, magnitude_v, a, b_axis = (column.astype(float) for column in (b, v, major, minor))
    types = np.array([hubble_class(text) for text in hubble])
    b_v = magnitude_b - magnitude_v
    # The two magnitudes come from different catalogues: a colour that no galaxy has is none.
    measured = (b_v > 0.2) & (b_v < 1.3)
    typical = np.array([np.median(b_v[measured & (types == kind)]) for kind in range(_HUBBLE_CLASSES)])
    b_v = np.where(measured, b_v, typical[types])
    v_i = photometry.mean_relation(stars.b_v, stars.v_i, b_v, 0.05)
    return Objects.of(
        "OpenNGC",
        number,
        name.astype(str),
        ra=np.degrees(ra.astype(float)),
        dec=np.degrees(dec.astype(float)),
        v=np.where(measured | np.isnan(magnitude_b), magnitude_v, magnitude_b - b_v),
        b_v=b_v,
        v_i=v_i,
        measured_b_v=measured,
        radius=a * 30,
        axis_ratio=np.round(b_axis / a, 3),
        angle=angle.astype(float),
        frac_dev=np.array([np.nan, 1, 1, 0, 0, 0, 0])[types],
        redshift=redshift.astype(float),
    )


_HUBBLE_CLASSES = 7


def hubble_class(text: str) -> int:
    """0 not known, 1 elliptical, 2 lenticular to S0-a, 3 Sa and Sab, 4 Sb and Sbc, 5 Sc and Scd, 6 Sd and later."""
    kind = re.sub(r"^S(A|B|AB)(?=[a-dm0])", "S", text.strip().rstrip("?"))
    for number, pattern in enumerate(("E", "(E-)?S0", "Sab?", "Sb", "Sc", "Sd|Sm|I"), 1):
        if kind and re.match(pattern, kind) and not (number == 1 and kind.startswith("E-S0")):
            return number
    return 0


def nearest(ra: Array, dec: Array, other_ra: Array, other_dec: Array, arcsec: float) -> npt.NDArray[np.int64]:
    """For each position the index of the nearest of the other positions, -1 if none is within `arcsec`.

    An other position goes to the one that is nearest to it, so that no two have the same. At most 10 arcsec.
    """
    with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
        for name, (alpha, delta) in {"ours": (ra, dec), "theirs": (other_ra, other_dec)}.items():
            x, y, z = sky.unit_vectors(alpha, delta)
            zone = np.floor((delta + 90) * 360).astype(np.int64)
            connection.register(
                name, pa.table({"row": np.arange(len(alpha)), "zone": zone, "ra": alpha, "x": x, "y": y, "z": z})
            )
        rows = connection.execute(_NEAREST, {"reach": arcsec / 3600}).fetchnumpy()
    index = np.full(len(ra), -1)
    index[rows["ours"]] = rows["theirs"]
    return index


# The zones join: zones of 10 arcsec, and right ascensions that are near where the zone is nearest to its pole.
_NEAREST = """
    WITH zones AS (
        SELECT *, zone + unnest([-1, 0, 1]) AS near,
            cos(radians(least(greatest(abs(near / 360 - 90), abs((near + 1) / 360 - 90)), 90))) AS cosine,
            if(cosine < 1e-3, 360, degrees(2 * asin(least(sin(radians($reach) / 2) / cosine, 1)))) AS width
        FROM ours),
    copies AS (
        SELECT *, ra AS position FROM theirs
        UNION ALL SELECT *, ra - 360 FROM theirs WHERE ra > 350
        UNION ALL SELECT *, ra + 360 FROM theirs WHERE ra < 10),
    pairs AS (
        SELECT one.row AS ours, other.row AS theirs,
            (one.x - other.x) ** 2 + (one.y - other.y) ** 2 + (one.z - other.z) ** 2 AS squared
        FROM zones AS one JOIN copies AS other
            ON other.zone = one.near AND other.position BETWEEN one.ra - one.width AND one.ra + one.width
        WHERE squared < (2 * sin(radians($reach) / 2)) ** 2),
    best AS (SELECT * FROM pairs QUALIFY row_number() OVER (PARTITION BY ours ORDER BY squared, theirs) = 1)
    SELECT ours, theirs FROM best QUALIFY row_number() OVER (PARTITION BY theirs ORDER BY squared, ours) = 1
"""


def small_objects() -> Objects:
    """Stars of Hipparcos and galaxies of OpenNGC."""
    stars = hipparcos_stars(sources.hipparcos())
    return Objects.joined(stars, openngc_galaxies(stars))


def all_objects(tycho: sources.Columns) -> Objects:
    """Stars of Hipparcos, of Gaia and of Tycho-2, each once, and galaxies of OpenNGC.

    A star of Gaia within 1.5 arcsec of one of Hipparcos, and a star of Tycho-2 within 2 arcsec of one of Hipparcos or
    1.5 arcsec of one of Gaia, is the same.
    """
    stars = hipparcos_stars(sources.hipparcos())
    gaia = sources.gaia()
    # What has a negative number is of Hipparcos, and so is here already.
    own = gaia["source_id"] > 0
    gaia = {name: values[own] for name, values in gaia.items()}
    ra, dec = sky.at_epoch(gaia["ra"], gaia["dec"], gaia["pmra"], gaia["pmdec"], 2000.0 - 2016.0)
    in_hipparcos = nearest(stars.ra, stars.dec, tycho["ra"], tycho["dec"], 2.0)
    in_gaia = nearest(ra, dec, tycho["ra"], tycho["dec"], 1.5)
    same = nearest(ra, dec, stars.ra, stars.dec, 1.5)

    # G less VT follows B-V: calibrated on the stars of Hipparcos that are in all three.
    vt = np.where(in_gaia >= 0, tycho["vt"][in_gaia], np.nan)
    colour = gaia["g"] - vt
    both = same >= 0
    b_v = photometry.mean_relation(colour[both], stars.b_v[same[both]], colour, 0.05)
    new = ~both
    more = Objects.of(
        "Gaia DR3",
        gaia["source_id"][new],
        np.char.add("Gaia DR3 ", gaia["source_id"][new].astype(str)),
        ra=ra[new],
        dec=dec[new],
        v=photometry.v_of_tycho(vt, b_v)[new],
        b_v=b_v[new],
        v_i=photometry.mean_relation(stars.b_v, stars.v_i, b_v[new], 0.05),
        pmra=gaia["pmra"][new].astype(float),
        pmdec=gaia["pmdec"][new].astype(float),
    )
    rest = np.ones(len(tycho["vt"]), bool)
    for index in (in_hipparcos, in_gaia):
        rest[index[index >= 0]] = False
    numbers = np.flatnonzero(rest)
    # There is no colour at all: the usual one makes V, g and r that are good to some 0.15 magnitudes.
    usual = np.full(len(numbers), np.nanmedian(stars.b_v[stars.v > 9]))
    faint = Objects.of(
        "Tycho-2",
        numbers + 1,
        np.char.add("Tycho-2 row ", (numbers + 1).astype(str)),
        ra=tycho["ra"][numbers],
        dec=tycho["dec"][numbers],
        v=photometry.v_of_tycho(tycho["vt"][numbers].astype(float), usual),
        b_v=usual,
    )
    return Objects.joined(stars, more, faint, openngc_galaxies(stars))
