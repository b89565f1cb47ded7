"""An imaginary survey that observed the real objects of `SkyDemo`, so that its identifiers look like SDSS's.

The sky is cut along circles of declination into stripes of 2.5 degrees, each made of two interleaved strips of six
camera columns of 12.5 arc minutes; a strip is one run; a field is 0.15 degrees long in right ascension, as SDSS's are
at the equator. The stripe on the equator has SDSS's number, 82, and its two runs have the numbers 106 and 206 that
SDSS gives to the runs added up there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from casjobs_service.demo.sky import Array

Integers = npt.NDArray[np.int64]

SKY_VERSION = 2
RERUN = 301
STRIPE_HEIGHT = 2.5
BANDS = 12
"""Of declination in a stripe: two strips of six camera columns."""
FIRST_FIELD = 11
FIELD_LENGTH = 0.15
EQUATOR = 82
_FIRST_STRIPE = EQUATOR - 36

FIRST_PLATE = 266
PLATE_MJD = 51544
"""Modified Julian date 2000 January 1, for the positions are those of epoch J2000.0."""
RUN2D = 26
FIBERS = 640


@dataclass(frozen=True)
class Place:
    """Where in the survey objects are; arrays of equal length."""

    stripe: Integers
    strip: Integers
    run: Integers
    camcol: Integers
    field: Integers

    @property
    def band(self) -> Integers:
        """Number of the band of declination of a camera column, from 0 in the south."""
        return (self.stripe - _FIRST_STRIPE) * BANDS + (self.camcol - 1) * 2 + self.strip

    @property
    def field_id(self) -> Integers:
        """SDSS's identifier of a field: an object's with 0 for the object."""
        return photo_id(self.run, self.camcol, self.field, np.zeros_like(self.run))


def place(ra: Array, dec: Array) -> Place:
    """Stripe, strip (0 or 1), run, camera column and field of positions in degrees."""
    height = STRIPE_HEIGHT / BANDS
    band = np.floor((dec + 90 + STRIPE_HEIGHT / 2) / height).astype(np.int64)
    stripe = band // BANDS + _FIRST_STRIPE
    strip = band % 2
    field = np.minimum(np.floor(ra / FIELD_LENGTH), round(360 / FIELD_LENGTH) - 1).astype(np.int64) + FIRST_FIELD
    return Place(stripe, strip, run_number(stripe, strip), band % BANDS // 2 + 1, field)


def run_number(stripe: Integers, strip: Integers) -> Integers:
    """Runs are numbered by stripe and strip: 106 and 206 on the equator, 1000 + 2 x stripe + strip elsewhere."""
    return np.where(stripe == EQUATOR, 106 + 100 * strip, 1000 + 2 * stripe + strip)


def limits(place_: Place) -> tuple[Array, Array, Array, Array]:
    """Least and greatest right ascension and declination of fields, in degrees."""
    height = STRIPE_HEIGHT / BANDS
    south = place_.band * height - 90 - STRIPE_HEIGHT / 2
    west = np.asarray((place_.field - FIRST_FIELD) * FIELD_LENGTH, float)
    return west, west + FIELD_LENGTH, np.maximum(south, -90.0), np.minimum(south + height, 90.0)


def photo_id(run: Integers, camcol: Integers, field: Integers, obj: Integers) -> Integers:
    """SDSS's 64-bit identifier of an object in the images.

    From the highest bit: 1 empty, 4 sky version, 11 rerun, 16 run, 3 camera column, 1 first field, 12 field, 16
    object. The first-field bit is set in the first field of a run.
    """
    first = (field == FIRST_FIELD).astype(np.int64)
    return (
        (np.int64(SKY_VERSION) << np.int64(59))
        | (np.int64(RERUN) << np.int64(48))
        | (run << np.int64(32))
        | (camcol << np.int64(29))
        | (first << np.int64(28))
        | (field << np.int64(16))
        | obj
    )


def spectrum_id(plate: Integers, fiber: Integers, mjd: int = PLATE_MJD, run2d: int = RUN2D) -> Integers:
    """SDSS's 64-bit identifier of a spectrum, as from data release 8.

    From the highest bit: 14 plate, 12 fibre, 14 date less 50000, 14 reduction, 10 empty. `fiber` 0 is the plate's own.
    """
    return (
        (plate << np.int64(50))
        | (fiber << np.int64(38))
        | (np.int64(mjd - 50000) << np.int64(24))
        | (np.int64(run2d) << np.int64(10))
    )


def numbers_within(groups: Integers) -> Integers:
    """1, 2, 3 … within each group of equal values, in the order of the rows."""
    order = np.argsort(groups, kind="stable")
    sorted_groups = groups[order]
    starts = np.flatnonzero(np.r_[True, sorted_groups[1:] != sorted_groups[:-1]])
    counts = np.diff(np.r_[starts, len(groups)])
    numbers = np.empty(len(groups), np.int64)
    numbers[order] = np.arange(len(groups)) - np.repeat(starts, counts) + 1
    return numbers
