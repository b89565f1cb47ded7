"""How fast results become files: each of our writers, and the best libraries for the same format.

Method
------
One table in memory: rows of int64, 2 float64, 5 float32, int16 and a text (object class), as DuckDB hands it over in
batches of 50,000 rows. All sides use one thread and write the whole file to memory or, where a library can only write
files, to a temporary file system in memory. Sides take turns, and the order changes with each round; the figure is
the median of the rounds. Our writers begin from the same batches as the libraries do, whose widths and NULLs were
counted before; *spool + fits* is with that, from DuckDB's batches to the file.

astropy writes VOTables of 20,000 rows, because it would need minutes for more; figures are rows per second.
"""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import argparse
import importlib.metadata
import io
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.io.votable
import duckdb
import fitsio
import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from astropy.table import Table

from casjobs_service.results import SpoolWriter, Stats, open_spool, writer

OURS = "ours"
BATCH = 50_000
SLOW_ROWS = 20_000
"""Rows for writers that are slower than 100,000 rows per second."""

MEMORY = Path("/dev/shm")  # a file system in memory, if there is one

QUERY = """
    SELECT (1237645876861272064 + i * 977)::BIGINT AS objID, random() * 360 AS ra, random() * 180 - 90 AS "dec",
        {magnitudes}, (i % 7)::SMALLINT AS type,
        CASE WHEN i % 3 = 0 THEN 'GALAXY' WHEN i % 3 = 1 THEN 'STAR' ELSE 'QSO ' || i END AS class
    FROM range({rows}) AS numbers(i)
""".replace("{magnitudes}", ", ".join(f"(random() * 10 + 14)::FLOAT AS {band}" for band in "ugriz"))

FORMATS = ("csv", "json-array", "ndjson", "arrow", "parquet", "fits", "votable", "votable-td")

VOTABLE_GOAL = 50.0
"""Times astropy's writer."""


@dataclass
class Data:
    """The rows, in each library's own form where that is made before the clock starts."""

    connection: duckdb.DuckDBPyConnection
    schema: pa.Schema
    batches: list[pa.RecordBatch]
    spool: Path
    directory: Path

    @property
    def table(self) -> pa.Table:
        """All rows, in one piece for libraries that want it."""
        return pa.Table.from_batches(self.batches, self.schema)


@dataclass
class Side:
    """One way to make a file: returns the rows and bytes written."""

    format: str
    name: str
    run: Callable[[], tuple[int, int]]


def make_data(rows: int, directory: Path) -> Data:
    """The table, and its spool."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.execute("CREATE TABLE objects AS " + QUERY.replace("{rows}", str(rows)))
    reader = connection.table("objects").to_arrow_reader(BATCH)
    schema, batches = reader.schema, list(reader)
    spool = directory / "spool"
    _spool(spool, schema, batches)
    return Data(connection, schema, batches, spool, directory)


def _spool(path: Path, schema: pa.Schema, batches: Sequence[pa.RecordBatch]) -> int:
    with SpoolWriter(path, schema, 0) as target:
        for batch in batches:
            target.write(batch)
    return path.stat().st_size


def _ours(data: Data, format: str) -> tuple[int, int]:
    return _written(format, data.schema, data.batches, open_spool(data.spool)[2])


def _written(format: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], stats: Stats) -> tuple[int, int]:
    source, target = writer(format), io.BytesIO()
    target.write(source.begin())
    target.writelines(source.table("objects", schema, batches, stats))
    target.write(source.end())
    return stats.rows, target.tell()


def _spooled(data: Data, format: str) -> tuple[int, int]:
    path = data.directory / "second"
    _spool(path, data.schema, data.batches)
    return _written(format, *open_spool(path))


def sides(data: Data) -> list[Side]:
    """All that is compared."""
    table = data.table
    frame = pl.DataFrame(table)
    rows = table.num_rows
    few = table.slice(0, SLOW_ROWS)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    columns["class"] = columns["class"].astype("S")
    records = np.rec.fromarrays(list(columns.values()), names=table.column_names)
    astropy_table = Table(records)
    file = data.directory / "file"

    def memory(write: Callable[[io.BytesIO], Any]) -> Callable[[], tuple[int, int]]:
        def run() -> tuple[int, int]:
            target = io.BytesIO()
            write(target)
            return rows, target.tell()

        return run

    def copy(options: str) -> Callable[[], tuple[int, int]]:
        def run() -> tuple[int, int]:
            data.connection.execute(f"COPY objects TO '{file}' ({options})")
            return rows, file.stat().st_size

        return run

    def orjson_rows() -> tuple[int, int]:
        size = 0
        for batch in data.batches:
            lists = [column.to_numpy(zero_copy_only=False).tolist() for column in batch.columns]
            size += len(orjson.dumps(list(zip(*lists, strict=True))))
        return rows, size

    def pyarrow_stream() -> tuple[int, int]:
        target = io.BytesIO()
        with pa.ipc.new_stream(target, data.schema) as stream:
            for batch in data.batches:
                stream.write_batch(batch)
        return rows, target.tell()

    def write_fitsio() -> tuple[int, int]:
        with fitsio.FITS(str(file), "rw", clobber=True) as target:
            target.write(records)
        return rows, file.stat().st_size

    def write_votable(format: str) -> Callable[[], tuple[int, int]]:
        small = Table.from_pandas(few.to_pandas())

        def run() -> tuple[int, int]:
            target = io.BytesIO()
            votable = astropy.io.votable.from_table(small)
            votable.to_xml(target, tabledata_format=format)
            return len(small), target.tell()

        return run

    def polars_batches() -> tuple[int, int]:
        target = io.BytesIO()
        for batch in data.batches:
            pl.DataFrame(batch).write_csv(target)
        return rows, target.tell()

    others = [
        Side("csv", "polars, per batch", polars_batches),
        Side("csv", "polars, whole", memory(frame.write_csv)),
        Side("csv", "pyarrow", memory(lambda target: pyarrow.csv.write_csv(table, target))),
        Side("csv", "DuckDB COPY", copy("FORMAT csv")),
        Side("json-array", "orjson, rows", orjson_rows),
        Side("ndjson", "polars", memory(frame.write_ndjson)),
        Side("ndjson", "DuckDB COPY", copy("FORMAT json")),
        Side("arrow", "pyarrow", pyarrow_stream),
        Side(
            "parquet", "pyarrow", memory(lambda target: pyarrow.parquet.write_table(table, target, compression="zstd"))
        ),
        Side("parquet", "DuckDB COPY", copy("FORMAT parquet, COMPRESSION zstd")),
        Side("fits", "astropy", memory(lambda target: astropy_table.write(target, format="fits"))),
        Side("fits", "fitsio", write_fitsio),
        Side("votable", "astropy", write_votable("binary2")),
        Side("votable-td", "astropy", write_votable("tabledata")),
    ]
    ours = [Side(format, OURS, lambda format=format: _ours(data, format)) for format in FORMATS]  # type: ignore[misc]
    ours.append(Side("fits", "spool + fits", lambda: _spooled(data, "fits")))
    return ours + others


def measure(rows: int, rounds: int) -> dict[str, Any]:
    """All figures."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    warnings.simplefilter("ignore")
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="results-benchmark-", dir=place) as directory:
        compared = sides(make_data(rows, Path(directory)))
        taken: dict[tuple[str, str], list[float]] = {(side.format, side.name): [] for side in compared}
        sizes = {}
        for turn in range(rounds):
            start = turn * len(compared) // rounds
            for side in compared[start:] + compared[:start]:
                began = time.perf_counter()
                written, size = side.run()
                seconds = time.perf_counter() - began
                taken[side.format, side.name].append(seconds / written)
                sizes[side.format, side.name] = size / written
            print(f"formats: round {turn + 1}/{rounds}", file=sys.stderr, flush=True)
    figures = [
        {
            "format": format,
            "writer": name,
            "rows_per_second": 1 / statistics.median(values),
            "bytes_per_row": sizes[format, name],
        }
        for (format, name), values in taken.items()
    ]
    packages = ("duckdb", "polars", "pyarrow", "astropy", "fitsio", "orjson")
    return {
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "rows": rows,
        "rounds": rounds,
        "writers": figures,
    }


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """How many times faster ours is than the fastest other writer of each format."""
    found = {}
    for format in FORMATS:
        speeds = {row["writer"]: row["rows_per_second"] for row in figures["writers"] if row["format"] == format}
        others = [speed for name, speed in speeds.items() if name not in (OURS, "spool + fits")]
        found[format] = speeds[OURS] / max(others)
    return found


def goals(figures: dict[str, Any]) -> list[str]:
    """What was aimed at, and whether it was reached."""
    speeds = {(row["format"], row["writer"]): row["rows_per_second"] for row in figures["writers"]}
    csv = speeds["csv", OURS] / speeds["csv", "DuckDB COPY"]
    votable = min(speeds[name, OURS] / speeds[name, "astropy"] for name in ("votable", "votable-td"))
    return [
        f"Goal {'reached' if csv >= 1 else 'MISSED'}: CSV at least as fast as DuckDB's own writer: {csv:.1f} times.",
        f"Goal {'reached' if votable >= VOTABLE_GOAL else 'MISSED'}: VOTable at least {VOTABLE_GOAL:g} times as fast"
        f" as astropy's writer: {votable:.0f} times.",
    ]


def print_table(figures: dict[str, Any]) -> None:
    """For people."""
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    print(f"{figures['rows']:,} rows of 10 columns, one thread, median of {figures['rounds']}. {versions}.")
    print(f"\n{'Format':<12}{'writer':<20}{'Mrow/s':>8}{'bytes/row':>11}{'ours / it':>11}")
    ours = {row["format"]: row["rows_per_second"] for row in figures["writers"] if row["writer"] == OURS}
    for row in sorted(figures["writers"], key=lambda row: FORMATS.index(row["format"])):
        ratio = f"{ours[row['format']] / row['rows_per_second']:>11.2f}" if row["writer"] != OURS else ""
        speed = row["rows_per_second"] / 1e6
        print(f"{row['format']:<12}{row['writer']:<20}{speed:>8.3f}{row['bytes_per_row']:>11.1f}{ratio}")
    print("\n" + "\n".join(goals(figures)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 whether or not the goals are reached."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (default: 1,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each side runs (default: 3)")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON instead of a table")
    chosen = parser.parse_args(arguments)
    figures = measure(chosen.rows, chosen.rounds)
    if chosen.json:
        print(json.dumps({**figures, "ratios": ratios(figures)}, indent=2))
    else:
        print_table(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
