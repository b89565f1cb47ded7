"""Magnitudes in SDSS's bands from those that the catalogues have, by published relations.

Nothing here was observed in u, g, r, i or z. What can be derived from measured colours is good to a few hundredths of
a magnitude; what stands on the mean colour of similar objects says so with its error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from casjobs_service.demo.sky import Array

Flags = npt.NDArray[np.bool_]

BANDS = "ugriz"

EXTINCTION = {"u": 5.155, "g": 3.793, "r": 2.751, "i": 2.086, "z": 1.479}
"""Ratio of the extinction in a band to the reddening E(B-V) (Stoughton et al. 2002, AJ 123, 485, table 22)."""

# B-V and U-B of main-sequence stars, O5 to M5 (Schmidt-Kaler 1982, as in Allen's Astrophysical Quantities).
_DWARFS = np.array(
    [
        [-0.33, -1.19],
        [-0.30, -1.08],
        [-0.17, -0.58],
        [-0.02, -0.02],
        [0.15, 0.10],
        [0.30, 0.03],
        [0.44, -0.02],
        [0.58, 0.06],
        [0.68, 0.20],
        [0.81, 0.45],
        [1.15, 0.98],
        [1.40, 1.22],
        [1.64, 1.24],
    ]
)


@dataclass(frozen=True)
class Magnitudes:
    """Magnitudes and their errors by band; NaN where nothing can be derived."""

    values: dict[str, Array]
    errors: dict[str, Array]


def johnson_v(hp: Array, b_v: Array) -> Array:
    """Johnson's V from Hipparcos's Hp and B-V (Harmanec 1998, A&A 335, 173)."""
    u_b = mean_u_b(b_v)
    return hp - 0.2964 * b_v + 0.0050 * u_b + 0.1110 * b_v**2 + 0.0157 * b_v**3 + 0.0072


def v_of_tycho(vt: Array, b_v: Array) -> Array:
    """Johnson's V from Tycho's VT and B-V: V = VT - 0.090 (BT-VT), B-V = 0.850 (BT-VT) (ESA 1997, section 1.3.20)."""
    return vt - 0.090 / 0.850 * b_v


def mean_u_b(b_v: Array) -> Array:
    """U-B of the main sequence at this B-V; at the ends of the sequence that of its last star."""
    return np.interp(b_v, *_DWARFS.T)


def mean_relation(x: Array, y: Array, at: Array, width: float) -> Array:
    """The median of `y` among objects with nearly the same `x`, at other values of `x`; NaN outside their range."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    bins = np.floor(x / width).astype(int)
    numbers, counts = np.unique(bins, return_counts=True)
    # A median of few objects is no mean relation.
    numbers = numbers[counts >= 10]
    centres = np.array([np.median(x[bins == number]) for number in numbers])
    medians = np.array([np.median(y[bins == number]) for number in numbers])
    return np.interp(at, centres, medians, left=np.nan, right=np.nan)


def derive(v: Array, b_v: Array, v_i: Array, measured_b_v: Flags, measured_v_i: Flags) -> Magnitudes:
    """SDSS's magnitudes from V, B-V and V-I (Cousins).

    g and r: Jester et al. (2005, AJ 130, 873), stars with Rc-Ic < 1.15. i and z: Jordi et al. (2006, A&A 460, 339), by
    way of g-i and Rc-Ic. u: Jester et al. with the U-B of the main sequence, for no catalogue here has U.

    Parameters
    ----------
    measured_b_v, measured_v_i
        Whether the colour is that of the object, rather than of similar ones.
    """
    g = v + 0.60 * b_v - 0.12
    r = v - 0.42 * b_v + 0.11
    u = g + 1.28 * mean_u_b(b_v) + 1.13
    g_i = np.where(v_i <= 1.7815, (v_i - 0.364) / 0.675, (v_i + 0.52) / 1.11)
    i = g - g_i
    z = r - (1.584 * ((r - i) + 0.236) / 1.007 - 0.386)
    values = {"u": u, "g": g, "r": r, "i": i, "z": z}
    near, far = np.where(measured_b_v, 0.03, 0.15), np.where(measured_v_i, 0.05, 0.20)
    errors = {"u": np.full_like(v, 0.30), "g": near, "r": near, "i": far, "z": far + 0.03}
    return Magnitudes(
        {band: np.round(value, 3) for band, value in values.items()},
        {band: np.where(np.isfinite(values[band]), error, np.nan) for band, error in errors.items()},
    )


def reddening(galactic_latitude: Array) -> Array:
    """E(B-V) of the whole Galaxy towards a latitude in degrees: a smooth model, not a map.

    Sandage's (1973) law in the form of Bahcall & Soneira (1980, ApJS 44, 73): A(V) = 0.165 (tan 50 deg - tan b) csc b
    below 50 degrees, nothing above, and A(V) = 3.1 E(B-V). It has no bound at the equator, so what is within 2 degrees
    of it is taken for 2.
    """
    b = np.radians(np.maximum(np.abs(galactic_latitude), 2.0))
    absorption = 0.165 * np.maximum(np.tan(np.radians(50)) - np.tan(b), 0) / np.sin(b)
    return np.round(absorption / 3.1, 4)
