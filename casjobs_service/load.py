"""Loading files into a context: one call for one table, sorted so that searches by position read little of it.

A table with positions is sorted by zone of declination and then by right ascension. DuckDB knows the least and the
greatest value of each column in each group of 122 880 rows, so a search reads the few groups around its position,
without an index. The zone is kept in the column `ZONE`, which joins by position need as well.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from casjobs_service.catalog import Column, Sky, Table
from casjobs_service.contexts import ContextError, Contexts
from casjobs_service.draft import Draft, edit, is_full, literal, quoted
from casjobs_service.errors import QueryError
from casjobs_service.readers import format_of, open_table
from casjobs_service.readers_csv import plan_csv
from casjobs_service.units import standard_unit

ZONE = "zoneID"
ZONE_HEIGHT = 30 / 3600
"""Degrees; SDSS's own."""

Progress = Callable[[str], None]

_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_NAMES = (
    ("ra", "dec"),
    ("raj2000", "dej2000"),
    ("raj2000", "decj2000"),
    ("ra_icrs", "de_icrs"),
    ("ra_icrs", "dec_icrs"),
    ("_raj2000", "_dej2000"),
    ("radeg", "dedeg"),
    ("radeg", "decdeg"),
    ("ra_deg", "dec_deg"),
    ("ramean", "decmean"),
    ("s_ra", "s_dec"),
    ("alpha_j2000", "delta_j2000"),
    ("ra_j2000", "dec_j2000"),
)
_FLOATING = ("DOUBLE", "FLOAT", "DECIMAL")
# The engine has types without sign, T-SQL knows only those with one.
_SIGNED = {"UTINYINT": "SMALLINT", "TINYINT": "SMALLINT", "USMALLINT": "INTEGER", "UINTEGER": "BIGINT"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `load_table` has done."""

    table: str
    rows: int
    seconds: float
    sky: Sky | None


@dataclass(frozen=True)
class _Source:
    """Rows in the draft's connection: `sql` gives them, `columns` says what they are."""

    sql: str
    columns: list[Column]
    description: str = ""


def load_table(
    contexts: Contexts,
    context: str,
    table: str,
    files: Sequence[Path],
    *,
    progress: Progress = lambda text: None,
    **options: Any,
) -> Loaded:
    """Load files as one table of a context; see `load_into` for the options.

    Raises
    ------
    ContextError
        It cannot be done; nothing was changed.
    """
    with edit(contexts, context) as draft:
        return load_into(draft, table, files, progress=progress, **options)


def load_into(
    draft: Draft,
    table: str,
    files: Sequence[Path],
    *,
    format: str = "",
    mode: str = "create",
    ra: str = "",
    dec: str = "",
    zone_sort: bool = True,
    units: Mapping[str, str] | None = None,
    description: str = "",
    progress: Progress = lambda text: None,
) -> Loaded:
    """Load files as one table of a database that is being changed.

    Parameters
    ----------
    files
        With the same columns.
    format
        One of `casjobs_service.readers.FORMATS`; without, the files' names say it.
    mode
        ``create``, ``replace`` or ``append``.
    ra, dec
        Columns with the position in degrees; without, UCDs and usual names say it.
    zone_sort
        Sort by position if there is one.
    units
        By column, in place of the files'.
    progress
        Called with what is being done.

    Raises
    ------
    ContextError
        It cannot be done.
    """
    begin = time.monotonic()
    if not _TABLE_NAME.fullmatch(table):
        raise ContextError(f"{table!r} cannot be the name of a table: use a letter, then letters, digits and _.")
    before = draft.table(table)
    _check_mode(draft, table, before, mode)
    try:
        with _open(draft, files, format, progress) as source:
            columns = _with_units(source.columns, units or {})
            sky = _find_sky(columns, ra, dec) if zone_sort or ra or dec else None
            if mode == "append" and before is not None:
                sky = before.sky
                columns = _check_same(before, columns)
            elif mode == "replace" and before is not None:
                draft.drop(table)
            progress(f"Writing {table}" + (f", sorted by zone and {sky.ra}" if sky and zone_sort else ""))
            with _reported(draft, progress):
                sky = _write(draft, before if mode == "append" else None, table, source, columns, sky, zone_sort)
    except QueryError as error:
        raise ContextError(str(error)) from error
    except duckdb.Error as error:
        if is_full(error):
            raise
        raise ContextError(f"The table could not be written: {str(error).splitlines()[0]}") from error
    name = before.name if before is not None and mode == "append" else table
    is_new_zone = sky is not None and sky.zone == ZONE and all(column.name != ZONE for column in columns)
    if sky is not None and (fault := sky_fault(draft, name, sky)):
        if ra or dec:
            raise ContextError(f"{fault} Nothing was changed.")
        progress(f"{fault} So {table} is not searched by position.")
        if is_new_zone:
            draft.run(f"ALTER TABLE main.{quoted(table)} DROP COLUMN {quoted(ZONE)}")
        sky, is_new_zone = None, False
    text = description or source.description or (before.description if before else "")
    zone = [Column(ZONE, "INTEGER", description=f"floor((dec + 90) / {ZONE_HEIGHT * 3600:g} arcsec)")]
    draft.describe(name, [*columns, *(zone if is_new_zone else [])], description=text, sky=sky)
    [(rows,)] = draft.run(f"SELECT count(*) FROM main.{quoted(name)}")  # noqa: S608 - our own names
    return Loaded(name, rows, time.monotonic() - begin, sky)


def _check_mode(draft: Draft, table: str, before: Table | None, mode: str) -> None:
    if before is not None and mode == "create":
        raise ContextError(
            f"The context {draft.database} has a table {before.name} already: use --replace, or --append to add rows."
        )
    if before is not None and before.kind == "view":
        raise ContextError(f"{draft.database}.{before.name} is a view: choose another name.")
    if before is None and mode == "append":
        raise ContextError(f"The context {draft.database} has no table {table} to append to.")


@contextmanager
def _open(draft: Draft, files: Sequence[Path], format: str, progress: Progress) -> Iterator[_Source]:
    formats = {format or format_of(file.name) for file in files}
    if len(formats) != 1 or "" in formats:
        raise ContextError("The names of the files do not say which format they have: name it with --format.")
    for file in files:
        if not file.is_file():
            raise ContextError(f"There is no file {file}.")
    (format,) = formats
    progress(f"Reading {len(files)} {'file' if len(files) == 1 else 'files'} ({format})")
    if format == "csv":
        # Two readings of the file: the connection of the draft uses all processors for both.
        plan = plan_csv(draft.connection, files)
        inside = draft.connection.sql(plan.sql)
        names = ", ".join(f"c{number} AS {quoted(name)}" for number, name in enumerate(plan.names))
        yield _Source(
            f"SELECT {names} FROM ({plan.sql})",  # noqa: S608 - names in quotes, from a catalogue or of ours
            [Column(name, str(type)) for name, type in zip(plan.names, inside.types, strict=True)],
        )
        return
    with ExitStack() as stack:
        first = stack.enter_context(open_table(files[0], format))
        description = (first.schema.metadata or {}).get(b"description", b"").decode()
        abouts = [
            {key.decode(): value.decode() for key, value in (field.metadata or {}).items()} for field in first.schema
        ]
        if format == "parquet":
            # As the engine reads it: in parallel, and only the columns' metadata is ours.
            paths = ", ".join(literal(str(file)) for file in files)
            sql = f"SELECT * FROM read_parquet([{paths}], union_by_name=true, hive_partitioning=false)"  # noqa: S608
        else:
            batches = _chained(first.schema, first.batches, files[1:], format)
            draft.connection.register("loading", pa.RecordBatchReader.from_batches(first.schema, batches))
            stack.callback(draft.connection.unregister, "loading")
            sql = "SELECT * FROM loading"
        relation = draft.run(f"DESCRIBE {sql}")
        yield _Source(
            sql,
            [
                Column(row[0], str(row[1]), **{key: about.get(key, "") for key in ("unit", "ucd", "description")})
                for row, about in zip(relation, [*abouts, *({} for _ in relation[len(abouts) :])], strict=True)
            ],
            description,
        )


def _chained(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], files: Sequence[Path], format: str
) -> Iterator[pa.RecordBatch]:
    yield from batches
    for file in files:
        with open_table(file, format) as reading:
            if set(reading.schema.names) != set(schema.names):
                raise ContextError(f"{file.name} has other columns than the first file.")
            for batch in reading.batches:
                columns = [batch.column(field.name).cast(field.type) for field in schema]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _with_units(columns: list[Column], units: Mapping[str, str]) -> list[Column]:
    named = {name.lower(): unit for name, unit in units.items()}
    if unknown := named.keys() - {column.name.lower() for column in columns}:
        raise ContextError(f"There is no column {min(unknown)} to give a unit.")
    return [
        column._replace(unit=standard_unit(named.get(column.name.lower(), column.unit)), type=_type(column.type))
        for column in columns
    ]


def _type(type: str) -> str:
    return _SIGNED.get(type, type)


def _check_same(before: Table, columns: list[Column]) -> list[Column]:
    own = {ZONE.lower()} if before.sky and before.sky.zone == ZONE else set()
    theirs = {column.name.lower() for column in columns} - own
    ours = {column.name.lower() for column in before.columns} - own
    if theirs != ours:
        missing, more = sorted(ours - theirs), sorted(theirs - ours)
        raise ContextError(
            f"The columns differ from those of {before.name}: "
            + "; ".join(
                f"{what} {', '.join(names)}"
                for what, names in (("missing", missing), ("not in the table", more))
                if names
            )
            + "."
        )
    return [column for column in before.columns if column.name.lower() not in own]


def _find_sky(columns: list[Column], ra: str, dec: str) -> Sky | None:
    by_name = {column.name.lower(): column for column in columns}
    if ra or dec:
        if not (ra and dec):
            raise ContextError("Name both columns of the position: --ra and --dec.")
        for name in (ra, dec):
            column = by_name.get(name.lower())
            if column is None:
                raise ContextError(f"There is no column {name}.")
            if not column.type.startswith(_FLOATING):
                raise ContextError(f"The column {column.name} is {column.type}, and a position is in degrees.")
        return _sky(by_name, ra, dec)
    for suffix in (";meta.main", ""):
        found = [
            [column.name for column in columns if column.ucd.lower().replace(" ", "") == f"pos.eq.{axis}{suffix}"]
            for axis in ("ra", "dec")
        ]
        if all(len(names) == 1 for names in found) and _is_degrees(by_name, found[0][0], found[1][0]):
            return _sky(by_name, found[0][0], found[1][0])
    for names in _NAMES:
        if _is_degrees(by_name, *names):
            return _sky(by_name, *names)
    return None


def _is_degrees(columns: Mapping[str, Column], *names: str) -> bool:
    found = [columns.get(name.lower()) for name in names]
    return all(
        column is not None and column.type.startswith(_FLOATING) and column.unit in ("", "deg") for column in found
    )


def _sky(columns: Mapping[str, Column], ra: str, dec: str) -> Sky:
    return Sky(columns[ra.lower()].name, columns[dec.lower()].name, zone_height=ZONE_HEIGHT)


def _write(
    draft: Draft,
    append_to: Table | None,
    table: str,
    source: _Source,
    columns: list[Column],
    sky: Sky | None,
    zone_sort: bool,
) -> Sky | None:
    """Make the table, or add to it; returns the sky with its zone."""
    values = ", ".join(f"CAST({quoted(column.name)} AS {column.type}) AS {quoted(column.name)}" for column in columns)
    rows = f"SELECT {values} FROM ({source.sql})"  # noqa: S608 - names in quotes, from a catalogue or of ours
    if append_to is not None:
        target = f"main.{quoted(append_to.name)}"
        if sky is None or not sky.zone:
            draft.run(f"INSERT INTO {target} BY NAME {rows}")
            return sky
        old = f"SELECT * {f'EXCLUDE ({quoted(ZONE)})' if sky.zone == ZONE else ''} FROM {target}"  # noqa: S608
        draft.run(f"CREATE TABLE main.loaded_rows AS {_sorted(f'{old} UNION ALL BY NAME {rows}', columns, sky)}")
        draft.run(f"DROP TABLE {target}")
        draft.run(f"ALTER TABLE main.loaded_rows RENAME TO {quoted(append_to.name)}")
        return sky
    target = f"main.{quoted(table)}"
    if sky is None or not zone_sort:
        draft.run(f"CREATE TABLE {target} AS {rows}")
        return sky
    zone = next((column.name for column in columns if column.name.lower() == ZONE.lower()), ZONE)
    sky = replace(sky, zone=zone)
    draft.run(f"CREATE TABLE {target} AS {_sorted(rows, columns, sky)}")
    return sky


def zone_of(sky: Sky) -> str:
    """SQL for the zone of a row."""
    dec = quoted(sky.dec)
    # NaN has no zone, and no whole number either.
    return (
        f"CASE WHEN isfinite(CAST({dec} AS DOUBLE)) "
        f"THEN CAST(floor((CAST({dec} AS DOUBLE) + 90.0) / CAST({sky.zone_height!r} AS DOUBLE)) AS INTEGER) END"
    )


def _sorted(rows: str, columns: list[Column], sky: Sky) -> str:
    has_zone = any(column.name == sky.zone for column in columns)
    more = "" if has_zone else f", {zone_of(sky)} AS {quoted(sky.zone)}"
    return f"SELECT *{more} FROM ({rows}) ORDER BY {quoted(sky.zone)}, {quoted(sky.ra)}"  # noqa: S608 - our own names


def sky_fault(draft: Draft, table: str, sky: Sky) -> str:
    """Why a table's columns are not what searches by position expect; empty if they are."""
    ra, dec = (f"CAST({quoted(name)} AS DOUBLE)" for name in (sky.ra, sky.dec))
    wrong = f"{quoted(sky.zone)} IS DISTINCT FROM {zone_of(sky)}" if sky.zone else "false"
    bounds = ", ".join(f"{bound}({axis}) FILTER (isfinite({axis}))" for axis in (ra, dec) for bound in ("min", "max"))
    [(first, last, south, north, mistaken)] = draft.run(
        f"SELECT {bounds}, count(*) FILTER ({wrong}) FROM main.{quoted(table)}"  # noqa: S608 - our own names
    )
    if first is not None and not 0 <= first <= last <= 360:
        return f"The column {sky.ra} goes from {first:g} to {last:g}, and right ascension from 0 to 360 degrees."
    if south is not None and not -90 <= south <= north <= 90:
        return f"The column {sky.dec} goes from {south:g} to {north:g}, and declination from -90 to 90 degrees."
    if mistaken:
        return f"The column {sky.zone} is not the zone of {sky.zone_height * 3600:g} arc seconds of {sky.dec}."
    return ""


@contextmanager
def _reported(draft: Draft, progress: Progress) -> Iterator[None]:
    """Say every few seconds how far the running statement is."""
    ended = threading.Event()

    def watch() -> None:
        said = 0.0
        while not ended.wait(2):
            percent = draft.connection.query_progress()
            # -1: the engine cannot tell.
            if percent - said >= 5:
                said = percent
                progress(f"{percent:.0f} %")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
