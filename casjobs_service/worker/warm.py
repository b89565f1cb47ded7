"""Makes a worker ready for its first query, so that the query does not wait for what every process does once."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from casjobs_service.catalog import MYDB, Catalog
from casjobs_service.dialect import ENGINE_SETTINGS, translate
from casjobs_service.limits import Limits
from casjobs_service.results import Stats, writer
from casjobs_service.worker.engine import Engine, known_before
from casjobs_service.worker.script import DIALECT

FORMATS = ("json-array", "csv", "arrow")
"""What most clients ask for."""


class _Empty:
    """Databases with nothing in them."""

    def catalog(self, name: str) -> Catalog | None:
        """MyDB, whatever is asked for."""
        return Catalog(MYDB)

    def names(self) -> list[str]:
        """None."""
        return []


def warm(engine: Engine, limits: Limits, *, formats: bool) -> None:
    """Do once what queries do.

    Parameters
    ----------
    limits
        Of the session before, which the next one probably has too.
    formats
        Also write results; polars starts threads of its own then.
    """
    engine.preset(known_before(limits, ENGINE_SETTINGS[DIALECT]))
    for statement in translate("SELECT 1 AS a, 'b' AS b, 1.5 AS c", _Empty(), MYDB):
        with engine.stream(statement.sql) as reader:
            schema, batches = reader.schema, list(reader)
    if formats:
        for name in FORMATS:
            _write(name, schema, batches)


def _write(name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    format = writer(name)
    for _ in format.table("", schema, batches, Stats.of(schema)):
        pass
