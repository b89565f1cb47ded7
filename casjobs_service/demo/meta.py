"""Tables in which `SkyDemo` describes itself, as SDSS's databases do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from casjobs_service.catalog import Column
from casjobs_service.demo import sources
from casjobs_service.demo.schema import Definition, Field
from casjobs_service.dialect.functions import catalog_functions
from casjobs_service.dialect.functions_constants import sdss_constants

_PHYSICS = (
    ("arcmin_per_degree", 60.0, "arcmin", "Arc minutes of a degree"),
    ("c", 299792.458, "km.s**-1", "Speed of light"),
    ("pixel", 0.396, "arcsec", "Size of a pixel of SDSS's camera"),
    ("zone_height", 1 / 120, "deg", "Height of a zone of declination"),
)


def constant_views(definitions: dict[str, Definition]) -> dict[str, Definition]:
    """A view of `DataConstants` for each field, e.g. ``PhotoFlags``: names, values, descriptions."""
    columns = {one.column.name: one.column for one in definitions["DataConstants"].fields}
    known = {name.lower() for name in definitions}
    views: dict[str, Definition] = {}
    for field, name, _, description in sdss_constants():
        # A row with an empty name describes the field.
        if name or field.lower() in known:
            continue
        views[field] = Definition(
            field,
            "view",
            "DataConstants",
            f"field = '{field}' and name <> ''",
            f"{description}: names, values and descriptions.",
            [Field(columns[key], key, True) for key in ("name", "value", "description")],
        )
    return views


def relations(definitions: dict[str, Definition]) -> dict[str, pa.Table]:
    """Rows of the tables in ``schema/meta.txt``."""
    every = definitions.values()
    functions = catalog_functions()
    return {
        "dbobjects": _table(
            ("name", "kind", "description"),
            [(one.name, "U" if one.kind == "table" else "V", one.description) for one in every]
            + [(function.name, "F", function.description) for function in functions],
        ),
        "dbcolumns": _table(
            ("tablename", "name", "unit", "ucd", "description", "rank"),
            [
                (one.name, column.name, column.unit, column.ucd, column.description, rank)
                for one in every
                for rank, column in enumerate(_columns(one))
            ],
        ),
        "dbviewcols": _table(
            ("name", "viewname", "parent"),
            [
                (name, one.name, one.base)
                for one in every
                if one.kind == "view"
                for name in (["*"] if one.whole else [column.name for column in _columns(one)])
            ],
        ),
        "constants": _table(("field", "name", "value", "description"), sdss_constants()),
        "physics": _table(("name", "value", "unit", "description"), _PHYSICS),
        "site": _table(
            ("name", "value", "comment"),
            [
                ("DB Type", "SkyDemo", "Contents of the database"),
                ("DB Version", "demo", "Version of the schema"),
                ("zoneHeight", "0.00833333333333333", "Height of a zone in degrees"),
            ],
        ),
        "databases": _table(
            ("dbname", "description"), [("SkyDemo", "Real stars and galaxies in the shape of SDSS's database")]
        ),
        "versions": _table(
            ("event", "version", "description", "when"),
            [
                (name, version, "Package with a catalogue", f"{datetime.now(UTC):%Y-%m-%d}")
                for name, version in sources.package_versions().items()
            ],
        ),
    }


def _columns(definition: Definition) -> list[Column]:
    return [one.column for one in definition.fields]


def _table(names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    return pa.table(dict(zip(names, map(pa.array, zip(*rows, strict=True)), strict=True)))
