"""Units as VOUnits spells them."""

from __future__ import annotations

import warnings

_USUAL = {
    "degree": "deg",
    "degrees": "deg",
    "mag(ab)": "mag",
    "mags": "mag",
    "magnitude": "mag",
    "hours": "h",
    "seconds": "s",
    "arcseconds": "arcsec",
    "radians": "rad",
    "kilometers/sec": "km.s**-1",
}


def standard_unit(text: str) -> str:
    """A unit in the VOUnits standard, e.g. ``mas.yr**-1`` for ``mas/yr``; as it is, if nobody knows it.

    For the operator's command: it brings astropy.
    """
    text = text.strip()
    if not text:
        return ""
    if text.lower() in _USUAL:
        return _USUAL[text.lower()]
    from astropy import units

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for format in ("vounit", "cds", "fits", None):
            try:
                return str(units.Unit(text, format=format).to_string("vounit"))
            except (ValueError, TypeError):
                continue
    return text
