"""When and how well the stripe was observed: the runs of a simulated survey of the years 1998 to 2007.

A run is a night in which the telescope stands still on the meridian and one of the two strips drifts by, so that the
time of an observation is that at which its right ascension culminates at Apache Point. Beginnings are drawn so that
each place is visited a Poisson number of times, on average `VISITS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from casjobs_service.demo import survey
from casjobs_service.demo.sky import Array
from casjobs_service.demo.stripe82.population import EAST, WEST

VISITS = 20
"""Expected number of visits of each place."""
LENGTHS = (40.0, 80.0)
"""Degrees of a run."""
LONGITUDE = -105.82
"""Degrees, of Apache Point, east positive."""
ROTATION = 360.98564736629
"""Degrees per day, of the Earth to the stars."""
BAND_DELAYS = np.array([2, 4, 0, 1, 3]) * 71.72 / 86400
"""Days after r at which u, g, r, i, z see a field: the camera's rows are r, i, u, z, g (Gunn et al. 1998)."""
FIELDS = int(np.ceil((EAST - WEST) / survey.FIELD_LENGTH))
COADDED = (106, 206)
"""Numbers of the added up runs of the southern and the northern strip, as at SDSS."""
_FIRST_RUN = 300
_FIRST_NIGHT = 50960
_J2000 = 51544.5

SKY = np.array([22.1, 21.8, 20.9, 20.2, 19.1])
"""Typical brightness of the sky, magnitudes per square arc second."""
DEPTH = np.array([22.15, 23.13, 22.70, 22.20, 20.71])
"""Magnitudes of point sources that are measured with an error of a fifth in seeing of `SEEING` and that sky (SDSS)."""
SEEING = 1.32
"""Typical width of the point-spread function, arc seconds (SDSS)."""


@dataclass
class Runs:
    """Arrays of equal length, one row per run, in the order of their nights.

    Attributes
    ----------
    strip
        0 south, 1 north.
    first, count
        First field, counted from the west end of the stripe, and number of fields.
    start
        Modified Julian date (UT) at which the first field begins, in r.
    sky
        Brightness, shape (5, n).
    fwhm
        Width of the point-spread function in each field, shape (n, `FIELDS`).
    """

    run: npt.NDArray[np.int64]
    strip: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    start: Array
    sky: Array
    fwhm: Array

    def __len__(self) -> int:
        return len(self.run)

    def field(self, number: npt.NDArray[np.int64], index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """SDSS's number of a field: counted from the beginning of its run."""
        return index - self.first[number] + survey.FIRST_FIELD

    def mjd(self, number: npt.NDArray[np.int64], index: npt.NDArray[np.int64]) -> Array:
        """Modified Julian dates, shape (5, n), at which fields of runs begin in u, g, r, i, z."""
        since = (index - self.first[number]) * survey.FIELD_LENGTH / ROTATION
        return np.round(self.start[number] + since + BAND_DELAYS[:, None], 7)

    def depth(self, number: npt.NDArray[np.int64], index: npt.NDArray[np.int64]) -> Array:
        """Magnitudes, shape (5, n), of a point source whose error is a fifth, in fields of runs."""
        seeing = self.fwhm[number, index]
        # In the light of the sky, noise grows with the width of the image and with the root of the sky's brightness.
        return DEPTH[:, None] - 2.5 * np.log10(seeing / SEEING) + 0.5 * (self.sky[:, number] - SKY[:, None])


def sidereal_time(mjd: npt.ArrayLike) -> Array:
    """Mean sidereal time at Apache Point, degrees from 0 to 360, at a modified Julian date (UT)."""
    return np.asarray((280.46061837 + ROTATION * (np.asarray(mjd) - _J2000) + LONGITUDE) % 360)


def draw(random: np.random.Generator) -> Runs:
    """The nights of the survey."""
    # As far out as a run can be and still reach into the stripe; what is outside is not observed.
    reach = LENGTHS[1] / 2
    strips, west, east = [], [], []
    for side in (0, 1):
        number = random.poisson(VISITS * (EAST - WEST + 2 * reach) / np.mean(LENGTHS))
        size = random.uniform(*LENGTHS, number)
        middle = random.uniform(WEST - reach, EAST + reach, number)
        strips.append(np.full(number, side))
        west.append(np.maximum(middle - size / 2, WEST))
        east.append(np.minimum(middle + size / 2, EAST))
    strip, begin, end = (np.concatenate(parts) for parts in (strips, west, east))
    first = np.floor((begin - WEST) / survey.FIELD_LENGTH).astype(np.int64)
    last = np.minimum(np.ceil((end - WEST) / survey.FIELD_LENGTH), FIELDS).astype(np.int64)
    seen = last - first > 10
    strip, first, last = strip[seen], first[seen], last[seen]
    night = _nights(first, last, random)
    order = np.argsort(night)
    strip, first, last, night = strip[order], first[order], last[order], night[order]
    wait = (WEST + first * survey.FIELD_LENGTH - sidereal_time(night)) % 360 / ROTATION
    count = len(night)
    seeing = np.clip(SEEING * np.exp(random.normal(0, 0.15, count)), 0.9, 2.2)
    width = seeing[:, None] * (1 + random.normal(0, 0.03, (count, FIELDS)))
    brightness = np.round(SKY[:, None] + random.normal(0, 0.15, count) + random.normal(0, 0.05, (5, count)), 3)
    run = _FIRST_RUN + 2 * (night - _FIRST_NIGHT)
    return Runs(run, strip, first, last - first, night + wait, brightness, np.round(width, 2))


def _nights(
    first: npt.NDArray[np.int64], last: npt.NDArray[np.int64], random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """A night for each run, in which all of it culminates in the dark; seven of ten in the last three years."""
    # The Sun's right ascension grows by a degree a day; 8 hours off the meridian it is well below the horizon.
    west, east = WEST + first * survey.FIELD_LENGTH, WEST + last * survey.FIELD_LENGTH
    sun = random.uniform(east - 240, west - 120)
    # Days after the New Year that is in the season, which begins in June.
    day = ((sun - 280.46 + 240) % 360 - 240) / 360 * 365.2422
    weights = np.r_[np.full(7, 0.3 / 7), np.full(3, 0.7 / 3)]
    year = random.choice(np.arange(-1, 9), len(sun), p=weights)
    nights = np.floor(_J2000 + day + year * 365.2422).astype(np.int64)
    taken: set[int] = set()
    for index, wanted in enumerate(nights.tolist()):
        night = wanted
        while night in taken:
            night += 1
        taken.add(night)
        nights[index] = night
    return nights
