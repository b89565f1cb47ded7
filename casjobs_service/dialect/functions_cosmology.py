"""SDSS's cosmological functions: distances in Mpc and times in Gyr at a redshift."""

from __future__ import annotations

import numpy as np

from casjobs_service.dialect.functions_macro import Macro, columns

# Defaults of SDSS's functions: five years of WMAP (Hinshaw and others 2009), flat.
_PARAMETERS = "OmegaM DOUBLE, OmegaL DOUBLE, OmegaR DOUBLE, omega0 DOUBLE, h_0 DOUBLE"
_DEFAULTS = ("0.27891507e0", "0.721e0", "8.493e-5", "-1e0", "0.701e0")
_PASS = "OmegaM_, OmegaL_, OmegaR_, omega0_, h_0_"  # noqa: S105 - names of arguments
_SPEED = 299792.458
"""Of light, in km/s."""
_GYR = 977.7922216807891
"""1 / (km/s/Mpc) in Gyr, with years of 365.25 days."""

# Gauss-Legendre: with ln(1 + z) and the square root of the scale factor as variables the integrands are so smooth
# that 48 points give more than ten digits up to z = 1000.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)
_POINTS = (
    "["
    + ", ".join(
        f"{{'x': {float((node + 1) / 2)!r}::DOUBLE, 'w': {float(weight / 2)!r}::DOUBLE}}"
        for node, weight in zip(_NODES, _WEIGHTS, strict=True)
    )
    + "]"
)
_OMEGA_K = "(1 - OmegaM_ - OmegaL_ - OmegaR_)"


def _expansion(growth: str) -> str:
    """Expression for H(z)/H0 squared; `growth` is 1 + z."""
    return (
        f"(OmegaR_ * {growth} ** 4 + OmegaM_ * {growth} ** 3 + {_OMEGA_K} * {growth} ** 2"
        f" + OmegaL_ * {growth} ** (3 + 3 * omega0_))"
    )


_HUBBLE = f"({_SPEED}e0 / (100 * h_0_))"
_LINE_OF_SIGHT = (
    f"{_HUBBLE} * ln(1 + z_) * list_sum(list_transform({_POINTS}, lambda p: p.w * exp(p.x * ln(1 + z_))"
    f" / sqrt({_expansion('exp(p.x * ln(1 + z_))')})))"
)
# Scale factor a = (x s)^2 with s^2 = 1 / (1 + z).
_ROOT = "(p.x / sqrt(1 + z_))"
_AGE = (
    f"{_GYR}e0 / (100 * h_0_) * list_sum(list_transform({_POINTS}, lambda p: p.w * 2 * {_ROOT} ** 3 / sqrt(1 + z_)"
    f" / sqrt(OmegaR_ + OmegaM_ * {_ROOT} ** 2 + {_OMEGA_K} * {_ROOT} ** 4"
    f" + OmegaL_ * {_ROOT} ** (2 - 6 * omega0_))))"
)
_CURVE = f"sqrt(abs({_OMEGA_K}))"
_DC = f"ss_fcosmodc(z_, {_PASS})"
_TRANSVERSE = (
    f"CASE WHEN abs({_OMEGA_K}) < 1e-12 THEN {_DC} WHEN {_OMEGA_K} > 0"
    f" THEN {_HUBBLE} / {_CURVE} * sinh({_CURVE} * {_DC} / {_HUBBLE})"
    f" ELSE {_HUBBLE} / {_CURVE} * sin({_CURVE} * {_DC} / {_HUBBLE}) END"
)


def _macro(name: str, description: str, body: str, needs: tuple[str, ...] = (), first: str = "z DOUBLE") -> Macro:
    return Macro(name, columns(f"{first}, {_PARAMETERS}"), "DOUBLE", description, body, needs, _DEFAULTS)


MACROS: tuple[Macro, ...] = (
    _macro("fCosmoHubbleDistance", "Hubble distance in Mpc", _HUBBLE),
    _macro("fCosmoDc", "Comoving distance along the line of sight, in Mpc", _LINE_OF_SIGHT),
    _macro("fCosmoDm", "Comoving distance across the line of sight, in Mpc", _TRANSVERSE, ("fCosmoDc",)),
    _macro("fCosmoDl", "Luminosity distance in Mpc", f"(1 + z_) * ss_fcosmodm(z_, {_PASS})", ("fCosmoDm",)),
    _macro("fCosmoDa", "Angular diameter distance in Mpc", f"ss_fcosmodm(z_, {_PASS}) / (1 + z_)", ("fCosmoDm",)),
    _macro(
        "fCosmoDistanceModulus",
        "Distance modulus in magnitudes",
        f"5 * log10(ss_fcosmodl(z_, {_PASS})) + 25",
        ("fCosmoDl",),
    ),
    _macro(
        "fCosmoAbsMag",
        "Absolute magnitude of an apparent one, without K correction",
        f"m_ - ss_fcosmodistancemodulus(z_, {_PASS})",
        ("fCosmoDistanceModulus",),
        "m DOUBLE, z DOUBLE",
    ),
    _macro("fCosmoAgeOfUniverse", "Age of the universe in Gyr", _AGE),
    _macro(
        "fCosmoLookBackTime",
        "Time since then, in Gyr",
        f"ss_fcosmoageofuniverse(0e0, {_PASS}) - ss_fcosmoageofuniverse(z_, {_PASS})",
        ("fCosmoAgeOfUniverse",),
    ),
    _macro(
        "fCosmoTimeInterval",
        "Time between two redshifts, in Gyr",
        f"ss_fcosmoageofuniverse(zMin_, {_PASS}) - ss_fcosmoageofuniverse(zMax_, {_PASS})",
        ("fCosmoAgeOfUniverse",),
        "zMin DOUBLE, zMax DOUBLE",
    ),
)

REFUSED: dict[str, str] = {
    "fcosmocomovingvolume": "fCosmoComovingVolume is not available;"
    " for a flat universe compute 4.0 / 3 * pi() * power(dbo.fCosmoDc(z), 3).",
    "fcosmozfromdl": "fCosmoZfromDl is not available.",
    "fcosmoquantities": "fCosmoQuantities is not available; call fCosmoDc, fCosmoDl and fCosmoDa.",
}
