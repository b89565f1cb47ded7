"""Tables out of files that people bring: CSV, Parquet, FITS, VOTable, Arrow.

Each reader gives an Arrow schema, with units, UCDs and descriptions as metadata of the fields, and record batches one
after another: what is in memory does not grow with the number of rows.

The files are not to be trusted. Nothing is fetched that a file names, nothing is believed that it says about sizes,
and everything is imported with this module, so that it also works where no file of the installation can be opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from casjobs_service.errors import Kind, QueryError
from casjobs_service.readers_csv import open_csv
from casjobs_service.readers_fits import open_fits
from casjobs_service.readers_votable import open_votable
from casjobs_service.reading import BATCH_ROWS, checked_names

FORMATS = ("csv", "parquet", "fits", "votable", "arrow")

_ENDINGS = {
    "csv": "csv",
    "tsv": "csv",
    "txt": "csv",
    "parquet": "parquet",
    "pq": "parquet",
    "fits": "fits",
    "fit": "fits",
    "fts": "fits",
    "vot": "votable",
    "votable": "votable",
    "xml": "votable",
    "arrow": "arrow",
    "arrows": "arrow",
    "feather": "arrow",
    "ipc": "arrow",
}


@dataclass
class Reading:
    """An open table.

    Attributes
    ----------
    schema
        Metadata of the fields: ``unit``, ``ucd``, ``description``. Metadata of the schema: ``name``,
        ``description`` of the table.
    batches
        Can be read once.
    rows
        As the file says it; None if it does not.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    rows: int | None = None

    def reader(self) -> pa.RecordBatchReader:
        """`batches` as what DuckDB and drivers take."""
        return pa.RecordBatchReader.from_batches(self.schema, self.batches)


def format_of(name: str) -> str:
    """The format of a file by the end of its name; empty if that says nothing."""
    return _ENDINGS.get(name.lower().rpartition(".")[2], "")


@contextmanager
def open_table(path: Path, format: str, *, memory: int = 500_000_000) -> Iterator[Reading]:
    """Open the (first) table of a file.

    Parameters
    ----------
    format
        One of `FORMATS`.
    memory
        Bytes that reading CSV may take at most.

    Raises
    ------
    QueryError
        The file is not what it should be; for CSV with the line.
    """
    try:
        if format == "csv":
            with open_csv(path, memory) as (schema, batches, rows):
                yield Reading(checked_names(schema), batches, rows)
        elif format == "fits":
            yield Reading(*open_fits(path))
        elif format == "votable":
            with open_votable(path) as (schema, batches):
                yield Reading(schema, batches)
        elif format == "parquet":
            with pq.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
                yield _plain(file.schema_arrow, file.iter_batches(BATCH_ROWS), file.metadata.num_rows)
        elif format == "arrow":
            with _arrow(path) as file:
                yield file
        else:
            raise QueryError(
                f"Tables of the format {format} cannot be read.", hint=f"Use one of {', '.join(FORMATS)}."
            )
    except (pa.ArrowException, OSError) as error:
        # Of the libraries' own texts some name the file, and none helps who has made it with a program.
        raise QueryError(f"The file is damaged, or is not {format}.", Kind.DATA) from error


@contextmanager
def _arrow(path: Path) -> Iterator[Reading]:
    with path.open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
    with pa.OSFile(str(path)) as source:
        if is_file:
            with pa.ipc.open_file(source) as reader:
                batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
                yield _plain(reader.schema, batches, None)
        else:
            with pa.ipc.open_stream(source) as stream:
                yield _plain(stream.schema, iter(stream), None)


def _plain(schema: pa.Schema, batches: Iterator[pa.RecordBatch], rows: int | None) -> Reading:
    """With types that a database column can have."""
    target = checked_names(
        pa.schema(
            [pa.field(field.name, _plain_type(field), metadata=_about(field)) for field in schema]
        ).with_metadata(
            {key: value for key, value in (schema.metadata or {}).items() if key in (b"name", b"description")}
        )
    )

    def converted() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            # Offsets that point outside of a damaged batch would be read as they are.
            batch.validate(full=True)
            columns = [column.cast(field.type) for column, field in zip(batch.columns, target, strict=True)]
            yield pa.RecordBatch.from_arrays(columns, schema=target)

    return Reading(target, converted(), rows)


def _about(field: pa.Field) -> dict[bytes, bytes]:
    return {key: value for key, value in (field.metadata or {}).items() if key in (b"unit", b"ucd", b"description")}


def _plain_type(field: pa.Field) -> pa.DataType:
    type = field.type
    if isinstance(type, pa.BaseExtensionType):
        type = type.storage_type
    if pa.types.is_dictionary(type):
        type = type.value_type
    if pa.types.is_float16(type):
        return pa.float32()
    if pa.types.is_null(type):
        return pa.string()
    if pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type):
        return pa.list_(_plain_type(type.value_field))
    if pa.types.is_nested(type) or pa.types.is_duration(type) or pa.types.is_interval(type):
        raise QueryError(
            f"The column {field.name} is of the type {type}, which tables cannot hold.",
            Kind.UNSUPPORTED,
            hint="Take it apart into several columns, or leave it out.",
        )
    if pa.types.is_large_string(type) or pa.types.is_string_view(type):
        return pa.string()
    if pa.types.is_large_binary(type) or pa.types.is_binary_view(type) or pa.types.is_fixed_size_binary(type):
        return pa.binary()
    return type
