"""Variable stars: which of the simulated stars they are, and their brightness at any time.

Two kinds, together one in a hundred of the simulated stars:

RR Lyrae
    Periods of 0.45 to 0.75 days, amplitudes in g of 0.5 to 1.2 magnitudes: a rise in a seventh of the period and a
    slow decline. The amplitude is smaller where the wave is longer; the colours are those of Ivezic et al. (2005, AJ
    129, 1096).
Eclipsing binaries
    Periods of 0.3 to 5 days, evenly in the logarithm; a primary eclipse of 0.15 to 0.7 magnitudes and a secondary one
    of a part of it, half a period later, the same in all bands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from casjobs_service.demo import photometry
from casjobs_service.demo.sky import Array

FRACTION = 0.01
"""Of the simulated stars."""
KINDS = ("", "RR Lyrae", "eclipsing binary")
CONSTANT, RR_LYRAE, ECLIPSING = range(len(KINDS))

RR_LYRAE_RATIO = np.array([0.95, 1.0, 0.71, 0.56, 0.50])
"""Amplitude in u, g, r, i, z as a part of that in g, about that of Sesar et al. (2010, ApJ 708, 717)."""
RR_LYRAE_LIMIT = 19.0
"""Magnitude in r of the faintest, which are at the end of the Galaxy, 50 kpc from here."""
_RR_LYRAE_COLOURS = np.array([1.15, 0.20, 0.08, 0.02])
_RR_LYRAE_SCATTER = np.array([0.04, 0.04, 0.02, 0.02])
"""Colours u-g, g-r, r-i, i-z, and how much stars differ in them."""
_RISE = 0.15
_ECLIPSE = 0.06
"""Half of an eclipse as a part of the period, as the width of a Gaussian times 2.5."""


@dataclass
class Variables:
    """For each object; arrays of equal length, NaN where the object is constant.

    Attributes
    ----------
    kind
        Index in `KINDS`.
    period
        Days.
    epoch
        Modified Julian date: of the maximum of RR Lyrae stars, of the middle of the primary eclipse of binaries.
    amplitude
        Magnitudes in g, from the brightest to the faintest.
    second
        Depth of the secondary eclipse as a part of the primary one's.
    """

    kind: npt.NDArray[np.int16]
    period: Array
    epoch: Array
    amplitude: Array
    second: Array


def draw(
    may_vary: npt.NDArray[np.bool_], magnitudes: Array, reddening: Array, random: np.random.Generator
) -> Variables:
    """Make `FRACTION` of the objects that may vary variable; RR Lyrae stars get their colours in `magnitudes`."""
    count = len(may_vary)
    half = round(FRACTION * may_vary.sum() / 2)
    kind = np.zeros(count, np.int16)
    kind[random.choice(np.flatnonzero(may_vary & (magnitudes[2] < RR_LYRAE_LIMIT)), half, replace=False)] = RR_LYRAE
    kind[random.choice(np.flatnonzero(may_vary & (kind == CONSTANT)), half, replace=False)] = ECLIPSING
    pulsating, eclipsing = kind == RR_LYRAE, kind == ECLIPSING
    period = np.where(pulsating, random.uniform(0.45, 0.75, count), 10 ** random.uniform(-0.523, 0.699, count))
    amplitude = np.where(pulsating, random.uniform(0.5, 1.2, count), random.uniform(0.15, 0.7, count))
    epoch = 51000 + random.random(count) * period
    second = np.where(eclipsing, random.uniform(0.2, 1.0, count), np.nan)
    _colour(magnitudes, reddening, pulsating, random)
    known = kind != CONSTANT
    return Variables(
        kind,
        np.where(known, np.round(period, 6), np.nan),
        np.where(known, np.round(epoch, 5), np.nan),
        np.where(known, np.round(amplitude, 3), np.nan),
        np.asarray(np.round(second, 3), float),
    )


def _colour(magnitudes: Array, reddening: Array, chosen: npt.NDArray[np.bool_], random: np.random.Generator) -> None:
    scatter = random.normal(0, 1, (4, int(chosen.sum()))) * _RR_LYRAE_SCATTER[:, None]
    u_g, g_r, r_i, i_z = _RR_LYRAE_COLOURS[:, None] + scatter
    from_r = np.array([g_r + u_g, g_r, np.zeros_like(g_r), -r_i, -r_i - i_z])
    extinction = np.array([photometry.EXTINCTION[band] for band in photometry.BANDS])
    reddened = from_r + (extinction - extinction[2])[:, None] * reddening[chosen]
    magnitudes[:, chosen] = np.round(magnitudes[2, chosen] + reddened, 3)


def phases(mjd: Array, period: Array, epoch: Array) -> Array:
    """From 0 to 1; 0 at `epoch`."""
    return (mjd - epoch) / period % 1


def change(kind: npt.NDArray[np.int16], phase: Array, amplitude: Array, second: Array, band: int) -> Array:
    """Magnitudes to add to the mean at phases, in the band with this number; 0 for constant objects.

    RR Lyrae stars vary around their mean; the mean of binaries is that out of eclipse.
    """
    saw = np.where(phase < 1 - _RISE, phase / (1 - _RISE), (1 - phase) / _RISE) - 0.5
    primary = np.exp(-0.5 * (2.5 * np.minimum(phase, 1 - phase) / _ECLIPSE) ** 2)
    secondary = np.exp(-0.5 * (2.5 * (phase - 0.5) / _ECLIPSE) ** 2)
    pulsation = amplitude * RR_LYRAE_RATIO[band] * saw
    eclipses = amplitude * (primary + second * secondary)
    return np.select([kind == RR_LYRAE, kind == ECLIPSING], [pulsation, eclipses], 0.0)
