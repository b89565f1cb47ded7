"""What is in the stripe: the real objects of `SkyDemo`, and fainter ones that are drawn from models.

Stars are drawn from the densities of the Galaxy of Juric et al. (2008, ApJ 673, 864): a thin and a thick disc and a
halo, with as many stars in each magnitude of absolute brightness. Their colours lie on that paper's locus. Galaxies
are drawn from number counts of 10^(0.6 r), those of a space that is filled evenly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from casjobs_service.demo import photometry, sky
from casjobs_service.demo.objects import CATALOGUES, Objects
from casjobs_service.demo.sky import Array
from casjobs_service.demo.stripe82 import variables
from casjobs_service.demo.stripe82.matching import pairs

WEST, EAST = 310.0, 419.0
"""Right ascensions of the ends; here they are counted on beyond 360."""
SOUTH, NORTH = -1.25, 1.25
STARS, GALAXIES = 8000, 5000
"""Objects that are simulated in the small mode."""
STAR_LIMITS = (14.0, 21.5)
GALAXY_LIMITS = (15.0, 21.0)
"""r magnitudes, corrected for extinction, of the brightest and the faintest of them."""
SIMULATED = 0
"""In the place of a catalogue's number."""
BLEND = 2.0
"""Arc seconds within which only the brightest object is kept: the telescope would not see two."""

# Thin disc, thick disc, halo (Juric et al. 2008, tables 10): share of the density here, velocity dispersion in km/s
# (about those of Bond et al. 2010, ApJ 716, 1), and the ultraviolet excess of old stars (Ivezic et al. 2008).
_SHARES = (1.0, 0.12, 0.0051)
_DISPERSIONS = np.array([35.0, 60.0, 150.0])
_EXCESS = np.array([0.0, 0.1, 0.2])
_SUN_RADIUS, _SUN_HEIGHT = 8000.0, 25.0
_PER_YEAR = 4.74047
"""Kilometres per second of one astronomical unit per year."""


@dataclass
class Population:
    """Objects of the stripe; arrays of equal length, one row each.

    Attributes
    ----------
    ra, dec
        Degrees, epoch J2000.0; `ra` from `WEST` to `EAST`.
    magnitudes
        Mean u, g, r, i, z with extinction, shape (5, n).
    radius
        With half of the light, arc seconds; 0 for stars.
    catalogue
        Number in `objects.CATALOGUES`, or `SIMULATED`.
    variable
        What kind of variable star, see `variables`.
    """

    ra: Array
    dec: Array
    pmra: Array
    pmdec: Array
    magnitudes: Array
    reddening: Array
    radius: Array
    is_star: npt.NDArray[np.bool_]
    catalogue: npt.NDArray[np.int16]
    identifier: npt.NDArray[np.int64]
    name: npt.NDArray
    variable: variables.Variables

    def __len__(self) -> int:
        return len(self.ra)


def populate(objects: Objects, scale: int, random: np.random.Generator) -> Population:
    """Those of the real `objects` that are in the stripe and have all magnitudes, and `scale` times the simulated."""
    real, stars, galaxies = _real(objects), _stars(STARS * scale, random), _galaxies(GALAXIES * scale, random)
    parts = {name: np.concatenate([one[name] for one in (real, stars, galaxies)], axis=-1) for name in real}
    bright = np.argsort(parts["magnitudes"][2], kind="stable")
    one, other = pairs(parts["ra"][bright], parts["dec"][bright], BLEND)
    kept = np.ones(len(bright), bool)
    kept[np.maximum(one, other)] = False
    parts = {name: values[..., bright][..., kept] for name, values in parts.items()}
    # From west to east.
    order = np.argsort(parts["ra"], kind="stable")
    parts = {name: values[..., order] for name, values in parts.items()}
    numbers = np.arange(1, len(order) + 1)
    simulated = parts["catalogue"] == SIMULATED
    parts["identifier"] = np.where(simulated, numbers, parts["identifier"])
    parts["name"] = np.where(simulated, np.char.add("Simulated ", numbers.astype(str)), parts["name"])
    kinds = variables.draw(simulated & parts["is_star"], parts["magnitudes"], parts["reddening"], random)
    return Population(**parts, variable=kinds)


def _real(objects: Objects) -> dict[str, npt.NDArray]:
    ra, dec = sky.rounded(objects.ra, objects.dec)
    ra = np.where(ra < 180, ra + 360, ra)
    # Tycho-2's stars have a usual B-V and no V-I, but a measurement needs all magnitudes.
    usual = photometry.mean_relation(objects.b_v, objects.v_i, objects.b_v, 0.05)
    v_i = np.where(np.isnan(objects.v_i), usual, objects.v_i)
    found = photometry.derive(objects.v, objects.b_v, v_i, objects.measured_b_v, objects.measured_v_i)
    magnitudes = np.stack([found.values[band] for band in photometry.BANDS])
    inside = (ra >= WEST) & (ra < EAST) & (dec >= SOUTH) & (dec < NORTH) & np.isfinite(magnitudes).all(axis=0)
    is_star = objects.source != CATALOGUES["OpenNGC"]
    columns = {
        "ra": ra,
        "dec": dec,
        "pmra": np.nan_to_num(objects.pmra),
        "pmdec": np.nan_to_num(objects.pmdec),
        "magnitudes": magnitudes,
        "reddening": _reddening(ra, dec),
        # As in SkyDemo: half of the light of a disc is within this part of the isophote.
        "radius": np.where(is_star, 0.0, np.round(0.544 * np.nan_to_num(objects.radius, nan=10.0), 2)),
        "is_star": is_star,
        "catalogue": objects.source,
        "identifier": objects.identifier,
        "name": objects.name,
    }
    return {name: values[..., inside] for name, values in columns.items()}


def _simulated(ra: Array, dec: Array, magnitudes: Array, is_star: bool, **columns: Array) -> dict[str, npt.NDArray]:
    count = len(ra)
    reddening = _reddening(ra, dec)
    extinction = np.array([photometry.EXTINCTION[band] for band in photometry.BANDS])
    return {
        "ra": np.round(ra, 9),
        "dec": np.round(dec, 9),
        "pmra": np.round(columns.get("pmra", np.zeros(count)), 2),
        "pmdec": np.round(columns.get("pmdec", np.zeros(count)), 2),
        "magnitudes": np.round(magnitudes + extinction[:, None] * reddening, 3),
        "reddening": reddening,
        "radius": np.round(columns.get("radius", np.zeros(count)), 2),
        "is_star": np.full(count, is_star),
        "catalogue": np.full(count, SIMULATED, np.int16),
        "identifier": np.zeros(count, np.int64),
        "name": np.full(count, ""),
    }


def _reddening(ra: Array, dec: Array) -> Array:
    return photometry.reddening(sky.galactic(sky.unit_vectors(ra, dec))[1])


def _places(count: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Evenly over the stripe, which is so narrow that declination may be drawn evenly."""
    return random.uniform(WEST, EAST, count), random.uniform(SOUTH, NORTH, count)


def _galaxies(count: int, random: np.random.Generator) -> dict[str, npt.NDArray]:
    """Red and blue ones, about those on the two sides of u-r = 2.22 (Strateva et al. 2001, AJ 122, 1861)."""
    ra, dec = _places(count, random)
    low, high = (10 ** (0.6 * limit) for limit in GALAXY_LIMITS)
    r = np.log10(random.uniform(low, high, count)) / 0.6
    red = random.random(count) < 0.4
    # u-g, g-r, r-i, i-z and their scatter.
    typical = np.where(red, [[1.75], [0.90], [0.40], [0.30]], [[1.20], [0.50], [0.28], [0.15]])
    u_g, g_r, r_i, i_z = typical + random.normal(0, 1, (4, count)) * [[0.20], [0.12], [0.06], [0.06]]
    radius = 10 ** (0.05 - 0.12 * (r - 20) + random.normal(0, 0.15, count))
    return _simulated(ra, dec, _bands(r, u_g, g_r, r_i, i_z), False, radius=radius)


def _stars(count: int, random: np.random.Generator) -> dict[str, npt.NDArray]:
    ra, dec, component, r_i, r = _drawn(count, random)
    # About 0.02 magnitudes is the width of the locus.
    g_r = locus_g_r(r_i) + random.normal(0, 0.02, count)
    u_g = 1.13 + 1.28 * photometry.mean_u_b((g_r + 0.22) / 1.02) + random.normal(0, 0.03, count)
    # Metals dim the ultraviolet of stars like the Sun; of cool stars nothing of the kind is known.
    u_g = u_g - _EXCESS[component] * np.clip((0.8 - g_r) / 0.2, 0, 1)
    i_z = 1.584 * (r_i + 0.236) / 1.007 - 0.386 - r_i + random.normal(0, 0.02, count)
    distance = _distance(r, r_i)
    motion = random.normal(0, 1, (2, count)) * _DISPERSIONS[component] / (_PER_YEAR * distance / 1000)
    return _simulated(ra, dec, _bands(r, u_g, g_r, r_i, i_z), True, pmra=motion[0], pmdec=motion[1])


def _bands(r: Array, u_g: Array, g_r: Array, r_i: Array, i_z: Array) -> Array:
    return np.stack([r + g_r + u_g, r + g_r, r, r - r_i, r - r_i - i_z])


def locus_g_r(r_i: Array) -> Array:
    """g-r of main-sequence stars of an r-i (Juric et al. 2008, equation 4)."""
    return 1.39 * (1 - np.exp(-4.9 * r_i**3 - 2.45 * r_i**2 - 1.68 * r_i - 0.050))


def absolute_r(r_i: Array) -> Array:
    """Absolute magnitude in r of main-sequence stars of an r-i (Juric et al. 2008, equation 2)."""
    return 3.2 + 13.30 * r_i - 11.50 * r_i**2 + 5.40 * r_i**3 - 0.70 * r_i**4


def _distance(r: Array, r_i: Array) -> Array:
    """Parsecs."""
    return 10 ** ((r - absolute_r(r_i)) / 5 + 1)


def _drawn(count: int, random: np.random.Generator) -> tuple[Array, Array, npt.NDArray[np.int64], Array, Array]:
    """Right ascension, declination, component of the Galaxy, r-i and r, drawn together.

    The model's numbers are worked out on a grid of right ascension, r-i and r, and a cell of it is drawn, then a place
    in the cell.
    """
    steps = 44, 40, 60
    limits = (WEST, EAST), (0.05, 1.65), STAR_LIMITS
    edges = [np.linspace(*limit, step + 1) for limit, step in zip(limits, steps, strict=True)]
    ra, r_i, r = np.meshgrid(*((edge[1:] + edge[:-1]) / 2 for edge in edges), indexing="ij")
    distance = _distance(r, r_i)
    # A cell holds the volume of its distances; as many stars in each magnitude of absolute brightness.
    weight = distance**3 * np.gradient(absolute_r(r_i[0, :, 0]))[None, :, None]
    numbers = densities(ra, np.zeros_like(ra), distance) * weight
    cell = random.choice(numbers.size, count, p=(numbers / numbers.sum()).ravel())
    component, *places = np.unravel_index(cell, numbers.shape)
    drawn = [
        edge[place] + random.random(count) * (edge[1] - edge[0]) for edge, place in zip(edges, places, strict=True)
    ]
    return drawn[0], random.uniform(SOUTH, NORTH, count), component, drawn[1], drawn[2]


def densities(ra: Array, dec: Array, distance: Array) -> Array:
    """Stars per volume of the thin disc, the thick disc and the halo, shape (3, …), in units of the thin disc's here.

    Parameters
    ----------
    distance
        Parsecs.
    """
    longitude, latitude = (np.radians(angle) for angle in sky.galactic(sky.unit_vectors(ra.ravel(), dec.ravel())))
    l, b = longitude.reshape(ra.shape), latitude.reshape(ra.shape)  # noqa: E741 - the field's name
    height = distance * np.sin(b) + _SUN_HEIGHT
    x, y = _SUN_RADIUS - distance * np.cos(b) * np.cos(l), distance * np.cos(b) * np.sin(l)
    radius = np.hypot(x, y)
    thin = np.exp((_SUN_RADIUS - radius) / 2600 - np.abs(height) / 300)
    thick = np.exp((_SUN_RADIUS - radius) / 3600 - np.abs(height) / 900)
    halo = (np.hypot(radius, height / 0.64) / _SUN_RADIUS) ** -2.77
    return np.stack([share * part for share, part in zip(_SHARES, (thin, thick, halo), strict=True)])
