"""Making of `Stripe82`: the simulated measurements under SDSS's names of tables and columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from casjobs_service.catalog import Catalog
from casjobs_service.demo import database, photometry, schema, sky, survey
from casjobs_service.demo.objects import CATALOGUES, Objects
from casjobs_service.demo.sky import Array
from casjobs_service.demo.stripe82 import VERSION, epochs, matching, population, runs, variables
from casjobs_service.demo.stripe82.epochs import Measured
from casjobs_service.demo.stripe82.population import SIMULATED, WEST, Population
from casjobs_service.demo.stripe82.runs import COADDED, FIELDS, Runs

NAME = "Stripe82"
STAR, GALAXY = 6, 3
PRIMARY, SECONDARY = 1, 2
MATCH_ARCSEC = 1.0
CAMCOLS = 6
FULL_SCALE = 4
"""How many times as many faint objects the full mode has."""

_SCHEMA = Path(__file__).with_name("schema.txt")
_FROM = {
    "pairs": '"PhotoObjAll" AS one JOIN "PhotoObjAll" AS other ON one."matchHead" = other."matchHead" '
    'AND one."run" <> other."run"'
}
"""FROM clause of a view that is made of two rows of a table."""

Integers = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray]


def build(path: Path, objects: Objects, scale: int, threads: int) -> Catalog:
    """Write the database file `path` and return what it contains.

    Parameters
    ----------
    objects
        Real objects, of the whole sky.
    scale
        How many times as many faint objects as in the small mode are simulated.
    """
    present = [name for name, number in CATALOGUES.items() if np.any(objects.source == number)]
    cases = " ".join(f"WHEN {CATALOGUES[name]} THEN '{name}'" for name in present)
    words = {
        "stars": " and ".join(name for name in present if name != "OpenNGC"),
        "catalogues": ", ".join(present),
        "catalogue": f"CASE catalogue {cases} END",
    }
    definitions = schema.read([_SCHEMA], words)
    relations = simulate(objects, scale)
    tables = database.write(path, definitions, relations, sources=_FROM, threads=threads)
    return Catalog(NAME, "duckdb", tables)


def simulate(objects: Objects, scale: int) -> dict[str, pa.Table]:
    """Relations of the schema."""
    random = np.random.default_rng([82, VERSION])
    nights = runs.draw(random)
    things = population.populate(objects, scale, random)
    visits = epochs.observe(things, nights, random)
    rows = _Rows.of(nights, visits.only(visits.detected), epochs.add_up(things, visits))
    counts = np.bincount(visits.thing, minlength=len(things))
    heads = _heads(rows)
    return {
        "photo": database.arrow(_photo(rows, things, nights, heads)),
        "heads": database.arrow(_groups(rows, heads, counts)),
        "fields": database.arrow(_fields(rows, things, nights)),
        "runs": database.arrow(_runs(nights)),
        "sources": database.arrow(_sources(rows, things, counts)),
    }


@dataclass
class _Rows:
    """Rows of PhotoObjAll, sorted by objID; `night` is the row of the run, -1 for sums."""

    measured: Measured
    night: Integers
    run: Integers
    camcol: Integers
    field: Integers
    number: Integers
    objid: Integers

    @classmethod
    def of(cls, nights: Runs, visits: Measured, sums: Measured) -> _Rows:
        sums = sums.only(sums.detected)
        night = np.concatenate([visits.run, np.full(len(sums), -1)])
        run = np.concatenate([nights.run[visits.run], np.array(COADDED)[sums.run]])
        field = np.concatenate([nights.field(visits.run, visits.index), sums.index + survey.FIRST_FIELD])
        both = Measured(
            **{
                name: np.concatenate([getattr(visits, name), getattr(sums, name)], axis=-1)
                for name in Measured.__dataclass_fields__
            }
        )
        camcol = survey.place(both.ra % 360, both.dec).camcol
        number = survey.numbers_within(survey.photo_id(run, camcol, field, np.zeros_like(run)))
        objid = survey.photo_id(run, camcol, field, number)
        order = np.argsort(objid)
        return cls(both.only(order), *(one[order] for one in (night, run, camcol, field, number, objid)))

    @property
    def field_id(self) -> Integers:
        return self.objid - self.number


def _heads(rows: _Rows) -> Integers:
    """For each row the first row of its group."""
    one, other = matching.pairs(rows.measured.ra, rows.measured.dec, MATCH_ARCSEC)
    different = rows.run[one] != rows.run[other]
    return matching.groups(len(rows.run), one[different], other[different])


def _photo(rows: _Rows, things: Population, nights: Runs, heads: Integers) -> Columns:
    measured, thing = rows.measured, rows.measured.thing
    ra, dec = sky.rounded(measured.ra % 360, measured.dec)
    zone = sky.zones(dec)
    grouped = np.bincount(heads, minlength=len(heads))[heads] > 1
    columns = {
        "objid": rows.objid,
        "run": rows.run,
        "camcol": rows.camcol,
        "field": rows.field,
        "obj": rows.number,
        "mode": np.where(rows.night < 0, PRIMARY, SECONDARY),
        "type": np.where(things.is_star[thing], STAR, GALAXY),
        "radius": np.where(things.is_star[thing], np.nan, things.radius[thing]),
        "ra": ra,
        "dec": dec,
        "ra_error": np.round(measured.ra_error, 4),
        "dec_error": np.round(measured.dec_error, 4),
        "htmid": sky.htm_ids(sky.unit_vectors(ra, dec)),
        "zoneid": zone,
        "mjd": np.where(rows.night < 0, np.nan, np.floor(nights.start)[rows.night]),
        "thingid": thing + 1,
    }
    for kind in ("psf", "model"):
        values, errors = epochs.asinh_magnitudes(getattr(measured, kind), getattr(measured, f"{kind}_error"))
        for band, value, error in zip(photometry.BANDS, values, errors, strict=True):
            columns |= {f"{kind}_{band}": np.round(value, 3), f"{kind}_error_{band}": np.round(error, 4)}
    for band in photometry.BANDS:
        columns[f"extinction_{band}"] = np.round(photometry.EXTINCTION[band] * things.reddening[thing], 4)
    order = np.lexsort((ra, zone))
    head = pa.array(rows.objid[heads], mask=~grouped).take(pa.array(order))
    return {name: values[order] for name, values in columns.items()} | {"head": head}


def _groups(rows: _Rows, heads: Integers, visits: Integers) -> Columns:
    """Groups of more than one measurement."""
    measured = rows.measured
    sizes = np.bincount(heads, minlength=len(heads))
    first = np.flatnonzero(sizes > 1)

    def mean(values: Array) -> Array:
        return np.bincount(heads, values, len(heads))[first] / sizes[first]

    ra, dec = mean(measured.ra), mean(measured.dec)
    centre = np.zeros((2, len(heads)))
    centre[:, first] = ra, dec
    off_ra = (measured.ra - centre[0, heads]) * np.cos(np.radians(measured.dec)) * 3600
    off_dec = (measured.dec - centre[1, heads]) * 3600
    others = np.bincount(heads, rows.run != rows.run[heads], len(heads))[first]
    seen = np.bincount(heads, rows.night >= 0, len(heads))[first]
    return {
        "head": rows.objid[first],
        "ra": np.round(ra % 360, 9),
        "dec": np.round(dec, 9),
        "var_ra": np.round(mean(off_ra**2), 6),
        "var_dec": np.round(mean(off_dec**2), 6),
        "matches": others.astype(int),
        "misses": (visits[measured.thing[first]] - seen).astype(int),
    }


def _fields(rows: _Rows, things: Population, nights: Runs) -> Columns:
    """All fields of all runs, and of the two sums."""
    night = np.repeat(np.arange(len(nights)), nights.count)
    index = np.concatenate([first + np.arange(count) for first, count in zip(nights.first, nights.count, strict=True)])
    strip = np.concatenate([nights.strip[night], np.repeat((0, 1), FIELDS)])
    run = np.concatenate([nights.run[night], np.repeat(COADDED, FIELDS)])
    field = np.concatenate([nights.field(night, index), np.tile(np.arange(FIELDS), 2) + survey.FIRST_FIELD])
    place = np.concatenate([index, np.tile(np.arange(FIELDS), 2)]) + 0.5
    ra = np.round(WEST + place * survey.FIELD_LENGTH, 3) % 360
    nothing = np.full(2 * FIELDS, np.nan)
    columns: Columns = {"run": run, "strip": strip, "field": field, "ra": ra}
    columns["fwhm"] = np.concatenate([nights.fwhm[night, index], nothing])
    columns["mjd"] = np.concatenate([nights.mjd(night, index)[2], nothing])
    for band, sky_ in zip(photometry.BANDS, nights.sky[:, night], strict=True):
        columns[f"sky_{band}"] = np.round(np.concatenate([10 ** (0.4 * (22.5 - sky_)), nothing]), 4)
    columns = {name: np.tile(values, CAMCOLS) for name, values in columns.items()}
    camcol = np.repeat(np.arange(1, CAMCOLS + 1), len(run))
    height = survey.STRIPE_HEIGHT / survey.BANDS
    south = ((camcol - 1) * 2 + columns["strip"]) * height - survey.STRIPE_HEIGHT / 2
    field_id = survey.photo_id(columns["run"], camcol, columns["field"], np.zeros_like(camcol))
    order = np.argsort(field_id)
    holder = np.searchsorted(field_id[order], rows.field_id)
    stars = things.is_star[rows.measured.thing]
    columns |= {
        "fieldid": field_id,
        "camcol": camcol,
        "south": south,
        "north": south + height,
    }
    return {name: values[order] for name, values in columns.items()} | {
        "ntotal": np.bincount(holder, minlength=len(order)),
        "nstars": np.bincount(holder, stars, len(order)).astype(int),
    }


def _runs(nights: Runs) -> Columns:
    return {
        "run": np.concatenate([COADDED, nights.run]),
        "strip": np.concatenate([(0, 1), nights.strip]),
        "mjd": np.concatenate([(np.nan, np.nan), np.floor(nights.start)]),
        "last": np.concatenate([(FIELDS, FIELDS), nights.count]) + survey.FIRST_FIELD - 1,
        "west": np.concatenate([(WEST, WEST), np.round(WEST + nights.first * survey.FIELD_LENGTH, 2)]) % 360,
    }


def _sources(rows: _Rows, things: Population, visits: Integers) -> Columns:
    sums = rows.night < 0
    objid = np.zeros(len(things), np.int64)
    objid[rows.measured.thing[sums]] = rows.objid[sums]
    stars = things.variable
    columns = {
        "thingid": np.arange(1, len(things) + 1),
        "objid": pa.array(objid, mask=objid == 0),
        "catalogue": pa.array(things.catalogue, mask=things.catalogue == SIMULATED),
        "identifier": things.identifier,
        "name": things.name,
        "type": np.where(things.is_star, STAR, GALAXY),
        "ra": np.round(things.ra % 360, 9),
        "dec": things.dec,
        "pmra": things.pmra,
        "pmdec": things.pmdec,
        "visits": visits,
        "kind": np.array(variables.KINDS)[stars.kind],
        "period": stars.period,
        "epoch": stars.epoch,
        "amplitude": stars.amplitude,
    }
    return columns | {f"mag_{band}": value for band, value in zip(photometry.BANDS, things.magnitudes, strict=True)}
