"""Making of `SkyDemo`: real objects under SDSS's names of tables and columns."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from casjobs_service.catalog import Catalog
from casjobs_service.demo import database, meta, photometry, schema, sky, survey
from casjobs_service.demo.objects import CATALOGUES, Objects
from casjobs_service.demo.sky import Array

NAME = "SkyDemo"
STAR, GALAXY = 6, 3
BINNED1 = 1 << 28
TARGET_GALAXY = 1 << 6
NEIGHBOR_ARCMIN = 0.5

_SQL = Path(__file__).with_suffix(".sql")

_FROM = {
    "specphoto": '"SpecObjAll" JOIN "PhotoObjAll" ON "SpecObjAll"."bestObjID" = "PhotoObjAll"."objID" '
    'ORDER BY "SpecObjAll"."zoneID", "SpecObjAll".ra',
}
"""FROM clauses of relations that are made of tables of the schema."""

_MOSTLY_UNKNOWN = {"Field"}


def build(path: Path, objects: Objects, threads: int) -> Catalog:
    """Write the database file `path` and return what it contains."""
    present = [name for name, number in CATALOGUES.items() if np.any(objects.source == number)]
    words = {
        "stars": " and ".join(name for name in present if name != "OpenNGC"),
        "catalogues": ", ".join(present),
        "catalogue": "CASE source " + " ".join(f"WHEN {CATALOGUES[name]} THEN '{name}'" for name in present) + " END",
    }
    definitions = schema.read(schema.files(), words)
    variables = {
        "band": survey.STRIPE_HEIGHT / survey.BANDS,
        "south": -90 - survey.STRIPE_HEIGHT / 2,
        "first_field": survey.FIRST_FIELD,
        "field_length": survey.FIELD_LENGTH,
        "near": NEIGHBOR_ARCMIN / 60,
    }
    prelude = [f"SET VARIABLE {name} = {value}::DOUBLE" for name, value in variables.items()]
    prelude += _SQL.read_text().split(";\n")
    definitions |= meta.constant_views(definitions)
    relations = _relations(objects) | meta.relations(definitions)
    tables = database.write(path, definitions, relations, prelude, _FROM, _MOSTLY_UNKNOWN, threads)
    return Catalog(NAME, "duckdb", tables)


def _relations(objects: Objects) -> dict[str, pa.Table]:
    ra, dec = sky.rounded(objects.ra, objects.dec)
    objects = dataclasses.replace(objects, ra=ra, dec=dec)
    vectors = sky.unit_vectors(ra, dec)
    zone = sky.zones(objects.dec)
    order = np.lexsort((objects.ra, zone))
    objects = Objects(**{key: getattr(objects, key)[order] for key in objects.__dataclass_fields__})
    vectors, zone = vectors[:, order], zone[order]
    place = survey.place(objects.ra, objects.dec)
    number = survey.numbers_within(place.field_id)
    object_id = survey.photo_id(place.run, place.camcol, place.field, number)
    longitude, latitude = sky.galactic(vectors)
    is_star = objects.source != CATALOGUES["OpenNGC"]
    magnitudes = photometry.derive(objects.v, objects.b_v, objects.v_i, objects.measured_b_v, objects.measured_v_i)
    reddening = photometry.reddening(latitude)
    r_dereddened = magnitudes.values["r"] - photometry.EXTINCTION["r"] * reddening
    target = np.where(~is_star & (r_dereddened < 17.77), TARGET_GALAXY, 0)
    spectrum, spectra = _spectra(objects)
    columns = {
        "objid": object_id,
        "run": place.run,
        "camcol": place.camcol,
        "field": place.field,
        "stripe": place.stripe,
        "strip": place.strip,
        "band": place.band,
        "obj": number,
        "fieldid": place.field_id,
        "type": np.where(is_star, STAR, GALAXY),
        "flags": np.full(len(number), BINNED1),
        "ra": objects.ra,
        "dec": objects.dec,
        "cx": np.round(vectors[0], 12),
        "cy": np.round(vectors[1], 12),
        "cz": np.round(vectors[2], 12),
        "ra_err": objects.ra_err,
        "dec_err": objects.dec_err,
        "l": np.round(longitude, 6),
        "b": np.round(latitude, 6),
        "htmid": sky.htm_ids(vectors),
        "zoneid": zone,
        "specobjid": spectrum,
        "thingid": np.arange(1, len(number) + 1),
        "prim_target": target,
        "radius": np.round(objects.radius, 2),
        "axis_ratio": objects.axis_ratio,
        "angle": objects.angle,
        "frac_dev": objects.frac_dev,
        "redshift": objects.redshift,
        "source": objects.source,
        "identifier": objects.identifier,
        "name": objects.name,
        "v": np.round(objects.v, 3),
        "b_v": np.round(objects.b_v, 3),
        "v_i": np.round(objects.v_i, 3),
        "measured_b_v": objects.measured_b_v,
        "measured_v_i": objects.measured_v_i,
        "pmra": objects.pmra,
        "pmdec": objects.pmdec,
    }
    for band in photometry.BANDS:
        value, error = magnitudes.values[band], magnitudes.errors[band]
        columns |= {f"mag_{band}": value, f"err_{band}": error}
        columns |= {
            f"star_{band}": np.where(is_star, value, np.nan),
            f"star_err_{band}": np.where(is_star, error, np.nan),
            f"extinction_{band}": np.round(photometry.EXTINCTION[band] * reddening, 4),
        }
    photo = database.arrow(columns)
    return {
        "photo": photo,
        "spectra": database.arrow(spectra | {name: columns[name][spectra["row"]] for name in _OF_SPECTRA}),
        "plates": _plates(spectra, vectors),
    }


_OF_SPECTRA = ("objid", "ra", "dec", "cx", "cy", "cz", "htmid", "zoneid", "thingid", "prim_target")


def _spectra(objects: Objects) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray]]:
    """Identifier of each object's spectrum (0: none), and the columns of the spectra in the order of the objects."""
    has = np.flatnonzero(np.isfinite(objects.redshift))
    # Plates go from west to east, as far as their fibres reach.
    rank = np.empty(len(has), np.int64)
    rank[np.argsort(objects.ra[has], kind="stable")] = np.arange(len(has))
    plate = survey.FIRST_PLATE + rank // survey.FIBERS
    fiber = rank % survey.FIBERS + 1
    identifiers = survey.spectrum_id(plate, fiber)
    every = np.zeros(len(objects.ra), np.int64)
    every[has] = identifiers
    return every, {
        "row": has,
        "specobjid": identifiers,
        "plate": plate,
        "fiberid": fiber,
        "plateid": survey.spectrum_id(plate, np.zeros_like(plate)),
        "z": objects.redshift[has],
        "subclass": np.full(len(has), ""),
    }


def _plates(spectra: dict[str, npt.NDArray], vectors: Array) -> pa.Table:
    plate = np.unique(spectra["plate"])
    middle = np.stack([vectors[:, spectra["row"][spectra["plate"] == number]].mean(axis=1) for number in plate], 1)
    middle /= np.linalg.norm(middle, axis=0)
    ra, dec = sky.angles(middle)
    return database.arrow(
        {
            "plate": plate,
            "plateid": survey.spectrum_id(plate, np.zeros_like(plate)),
            "ra": ra,
            "dec": dec,
            "cx": middle[0],
            "cy": middle[1],
            "cz": middle[2],
            "htmid": sky.htm_ids(middle),
            "nobjects": np.array([np.sum(spectra["plate"] == number) for number in plate]),
        }
    )
