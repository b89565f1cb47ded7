"""The real objects of `SkyDemo`, collected from the catalogues."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
