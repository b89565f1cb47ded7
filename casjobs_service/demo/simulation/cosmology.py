"""The cosmology of `SimulationDB`, that of the Millennium simulation, and what follows from it for haloes.

Units as there: lengths are comoving in Mpc/h, masses in solar masses/h, velocities in km/s, h = 0.73. A halo reaches
to where its mean density is 200 times the critical density of its time.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from casjobs_service.demo.sky import Array

SIDE = 62.5
"""Of the periodic box, in Mpc/h: that of the public part of the Millennium simulation."""
MATTER = 0.25
DARK_ENERGY = 0.75
HUBBLE = 0.73
CRITICAL = 2.7754e11
"""Critical density today, in (solar masses/h)/(Mpc/h)^3."""
GRAVITY = 4.30092e-9
"""G in Mpc (km/s)^2 / solar mass."""
LAST = 63
"""Number of the snapshot at redshift 0."""
HEAVIEST = 3e15
_FIRST_REDSHIFTS = (127.0, 80.0, 50.0, 30.0)
_CONCENTRATION_REDSHIFT = 5.0
"""Up to here the relation of concentrations was measured."""


@cache
def cosmology() -> Any:
    """Colossus's object for the cosmology. It keeps nothing on disk."""
    from colossus.cosmology import cosmology as colossus

    return colossus.setCosmology("millennium", persistence="")


def redshifts() -> Array:
    """Of the 64 snapshots, by their number (Springel et al. 2005, Nature 435, 629, supplement)."""
    n = np.arange(LAST - len(_FIRST_REDSHIFTS), -1, -1)
    return np.r_[_FIRST_REDSHIFTS, 10 ** (n * (n + 35) / 4200) - 1]


def expansion(z: Array) -> Array:
    """H(z) in units of H today."""
    return np.sqrt(MATTER * (1 + z) ** 3 + DARK_ENERGY)


def growth(z: Array) -> Array:
    """Linear growth of structure, 1 today."""
    return np.asarray(cosmology().growthFactor(np.asarray(z, float)))


def drift(z: Array) -> Array:
    """Peculiar velocity in km/s of what the field has moved by 1 Mpc/h at redshift z (Zel'dovich 1970)."""
    rate = (MATTER * (1 + z) ** 3 / expansion(z) ** 2) ** 0.55
    return 100 * expansion(z) * rate / (1 + z)


def radius(mass: Array, z: Array) -> Array:
    """R200 of haloes, comoving, in Mpc/h."""
    return np.cbrt(3 * mass / (800 * np.pi * CRITICAL * expansion(z) ** 2)) * (1 + z)


def circular_velocity(mass: Array, z: Array) -> Array:
    """V200 of haloes in km/s."""
    return np.sqrt(GRAVITY * mass * (1 + z) / radius(mass, z))


def concentration(mass: Array, z: float) -> Array:
    """Mean concentration R200/rs (Dutton and Macciò 2014, MNRAS 441, 3359)."""
    from colossus.halo import concentration as colossus

    cosmology()
    return np.asarray(
        colossus.concentration(mass, "200c", min(z, _CONCENTRATION_REDSHIFT), model="dutton14", range_warning=False)
    )


def mass_function(mass: Array) -> Array:
    """Haloes per (Mpc/h)^3 and unit of ln(mass) at redshift 0 (Tinker et al. 2008, ApJ 688, 709)."""
    from colossus.lss import mass_function as colossus

    cosmology()
    return np.asarray(colossus.massFunction(mass, 0.0, mdef="200c", model="tinker08", q_out="dndlnM"))


def bias(mass: Array) -> Array:
    """Of haloes at redshift 0 (Tinker et al. 2010, ApJ 724, 878)."""
    from colossus.lss import bias as colossus

    cosmology()
    return np.asarray(colossus.haloBias(mass, 0.0, "200c", model="tinker10"))


def ages() -> Array:
    """Of the universe at the snapshots, in 10^9 years."""
    return np.asarray(cosmology().age(redshifts()))
