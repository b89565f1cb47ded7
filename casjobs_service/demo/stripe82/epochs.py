"""What each run measured of each object, and what is measured when all runs are added up.

Fluxes are in maggies and magnitudes are asinh magnitudes, as SDSS's. The error of a flux F in a field in which the
flux F5 is measured to a fifth is, after Ivezic et al. (2019, ApJ 873, 111, equation 5),

    s^2 = (0.04 - g) F F5 + A g F5^2 + (c F)^2,        g = 0.039,

where the first term is the photons of the object, the second those of the sky, and the third the calibration: 0.01 in
g, r, i, 0.02 in u and z. A is 1 for stars; galaxies cover more sky, 1 + 2 (radius / fwhm)^2 times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from casjobs_service.demo import sky, survey
from casjobs_service.demo.sky import Array
from casjobs_service.demo.stripe82 import variables
from casjobs_service.demo.stripe82.population import WEST, Population
from casjobs_service.demo.stripe82.runs import Runs
from casjobs_service.dialect.functions_photo import SOFTENING

Integers = npt.NDArray[np.int64]

GAMMA = 0.039
CALIBRATION = np.array([0.02, 0.01, 0.01, 0.01, 0.02])
ASTROMETRY = 0.045
"""Arc seconds: error of each coordinate, however bright the object (Pier et al. 2003, AJ 125, 1559)."""
DETECTED = 5.0
"""Least ratio of the flux of a point source in r to its error."""
_POGSON = 2.5 / np.log(10)
_J2000 = 51544.5
_YEAR = 365.25


@dataclass
class Measured:
    """Measurements; arrays of equal length, one row each.

    Attributes
    ----------
    thing
        Row of the object in the population.
    run, index
        Row of the run (of sums: the strip), and field counted from the west end of the stripe.
    psf, psf_error, model, model_error
        Fluxes in u, g, r, i, z, shape (5, n).
    """

    thing: Integers
    run: Integers
    index: Integers
    ra: Array
    dec: Array
    ra_error: Array
    dec_error: Array
    psf: Array
    psf_error: Array
    model: Array
    model_error: Array

    def __len__(self) -> int:
        return len(self.thing)

    def only(self, chosen: npt.NDArray[np.bool_] | Integers) -> Measured:
        """Some of the rows, or all of them in another order."""
        return Measured(**{name: getattr(self, name)[..., chosen] for name in self.__dataclass_fields__})

    @property
    def detected(self) -> npt.NDArray[np.bool_]:
        """Bright enough to be found."""
        return self.psf[2] >= DETECTED * self.psf_error[2]


def flux(magnitudes: Array) -> Array:
    """Maggies."""
    return np.asarray(10 ** (-0.4 * magnitudes))


def asinh_magnitudes(fluxes: Array, errors: Array) -> tuple[Array, Array]:
    """Magnitudes and their errors, of fluxes in maggies, shape (5, n) (Lupton, Gunn & Szalay 1999, AJ 118, 1406)."""
    softening = np.array(SOFTENING)[:, None]
    x = fluxes / (2 * softening)
    return -_POGSON * (np.arcsinh(x) + np.log(softening)), _POGSON * errors / (2 * softening) / np.sqrt(1 + x**2)


def errors(fluxes: Array, depth: Array, area: Array) -> Array:
    """Errors of fluxes, shape (5, n): see the head of this module."""
    fifth = flux(depth)
    photons, background = (0.04 - GAMMA) * fluxes * fifth, area * GAMMA * fifth**2
    return np.sqrt(photons + background + (CALIBRATION[:, None] * fluxes) ** 2)


def observe(things: Population, runs: Runs, random: np.random.Generator) -> Measured:
    """All visits of all objects, whether they were found or not.

    A measurement that error has moved over the edge of the strip is none.
    """
    thing, run, index = _visits(things, runs)
    mjd, depth = runs.mjd(run, index), runs.depth(run, index)
    seeing = runs.fwhm[run, index]
    radius = things.radius[thing]
    area = 1 + 2 * (radius / seeing) ** 2
    true = flux(things.magnitudes[:, thing] + _changes(things.variable, thing, mjd))
    # What an image as wide as that of a star catches of a galaxy.
    caught = np.where(things.is_star[thing], 1.0, 1 / area)
    psf_error, model_error = errors(true * caught, depth, np.ones_like(area)), errors(true, depth, area)
    noise = random.normal(0, 1, (2, *true.shape))
    # A star's two magnitudes come from the same pixels.
    noise[1] = np.where(things.is_star[thing], noise[0], noise[1])
    psf, model = true * caught + noise[0] * psf_error, true + noise[1] * model_error
    ratio = np.maximum(psf[2] / psf_error[2], 1)
    error = np.hypot(ASTROMETRY, seeing / 2.355 / ratio)
    ra, dec = _places(things, thing, mjd[2], error, random)
    strip, index = _fields(ra, dec)
    kept = (strip == runs.strip[run]) & (index >= runs.first[run]) & (index < runs.first[run] + runs.count[run])
    return Measured(thing, run, index, ra, dec, error, error, psf, psf_error, model, model_error).only(kept)


def _fields(ra: Array, dec: Array) -> tuple[Integers, Integers]:
    """Strips and fields, counted from the west end of the stripe."""
    return survey.place(ra % 360, dec).strip, np.floor((ra - WEST) / survey.FIELD_LENGTH).astype(np.int64)


def _visits(things: Population, runs: Runs) -> tuple[Integers, Integers, Integers]:
    strip, index = _fields(things.ra, things.dec)
    seen = [
        np.flatnonzero((strip == runs.strip[number]) & (index >= first) & (index < first + runs.count[number]))
        for number, first in enumerate(runs.first)
    ]
    thing = np.concatenate(seen)
    return thing, np.repeat(np.arange(len(runs)), [len(one) for one in seen]), index[thing]


def _changes(stars: variables.Variables, thing: Integers, mjd: Array) -> Array:
    """Magnitudes to add to the mean, shape (5, n), at times of that shape."""
    changes = np.zeros_like(mjd)
    varies = stars.kind[thing] != variables.CONSTANT
    one = thing[varies]
    for band in range(len(mjd)):
        phase = variables.phases(mjd[band, varies], stars.period[one], stars.epoch[one])
        changes[band, varies] = variables.change(stars.kind[one], phase, stars.amplitude[one], stars.second[one], band)
    return changes


def _places(
    things: Population, thing: Integers, mjd: Array, error: Array, random: np.random.Generator
) -> tuple[Array, Array]:
    """Measured right ascensions (beyond 360) and declinations, moved by proper motion and error."""
    years = (mjd - _J2000) / _YEAR
    ra, dec = sky.at_epoch(things.ra[thing], things.dec[thing], things.pmra[thing], things.pmdec[thing], years)
    east, north = random.normal(0, 1, (2, len(thing))) * error / 3600
    ra = np.where(ra < 180, ra + 360, ra) + east / np.cos(np.radians(dec))
    return np.round(ra, 9), np.round(dec + north, 9)


def add_up(things: Population, visits: Measured) -> Measured:
    """One measurement of each object from all of its visits: means weighted by the inverse squares of the errors."""
    order = np.argsort(visits.thing, kind="stable")
    rows = visits.only(order)
    thing, starts = np.unique(rows.thing, return_index=True)

    def mean(values: Array, error: Array) -> tuple[Array, Array]:
        weights = error**-2.0
        total = np.add.reduceat(weights, starts, axis=-1)
        return np.add.reduceat(values * weights, starts, axis=-1) / total, total**-0.5

    ra, ra_error = mean(rows.ra, rows.ra_error)
    dec, dec_error = mean(rows.dec, rows.dec_error)
    psf, psf_error = mean(rows.psf, rows.psf_error)
    model, model_error = mean(rows.model, rows.model_error)
    ra, dec = np.round(ra, 9), np.round(dec, 9)
    strip, index = _fields(ra, dec)
    return Measured(thing, strip, index, ra, dec, ra_error, dec_error, psf, psf_error, model, model_error)
