"""CSV: the header's names exactly, and types that every value of the file has agreed to.

The file is read twice. First, each value of each column says what it could be; then the values are read as the
narrowest type that all of them are:

- BIGINT: whole numbers in their usual form. ``007`` is text, and so is then its column; longer numbers are
  ``DECIMAL(38,0)``.
- DOUBLE: other decimal numbers, also ``1e-5``, ``nan``, ``inf``.
- BOOLEAN: ``true`` and ``false``. DATE, TIMESTAMP, TIMESTAMP WITH TIME ZONE: ISO 8601.
- VARCHAR: anything else, e.g. sexagesimal coordinates.

An empty field is NULL. In columns that are not text, so are ``""``, ``null`` and ``\\N``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import duckdb
import pyarrow as pa

from casjobs_service.errors import Kind, QueryError
from casjobs_service.reading import BATCH_ROWS, MOST_COLUMNS, checked_names

_LONGEST_LINE = 16 << 20
_DELIMITERS = ",\t;|"

# One bit for each thing that a value can be.
_INTEGER, _LONG, _DOUBLE, _BOOLEAN, _DATE, _TIMESTAMP, _ZONED, _TEXT = (1 << bit for bit in range(8))

# A value in its usual form is what its number is written as: this is many times faster than a regular expression.
_CLASS = """
    CASE WHEN {c} IS NULL OR {c} = '' OR lower({c}) IN ('null', '\\n') THEN 0
         WHEN CAST(try_cast({c} AS BIGINT) AS VARCHAR) = {c} THEN 1
         WHEN length({c}) < 40 AND regexp_full_match({c}, '[+-]?(0|[1-9][0-9]*)') THEN
              CASE WHEN try_cast({c} AS BIGINT) IS NOT NULL THEN 1
                   WHEN length(ltrim({c}, '+-')) <= 38 THEN 2 ELSE 128 END
         WHEN try_cast({c} AS DOUBLE) IS NOT NULL AND NOT regexp_matches({c}, '^\\s*[+-]?0[0-9]+\\s*$|_') THEN 4
         WHEN length({c}) < 10 AND lower({c}) IN ('true', 'false') THEN 8
         WHEN length({c}) < 40 AND regexp_full_match({c}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}.*') THEN
              CASE WHEN length({c}) = 10 AND try_cast({c} AS DATE) IS NOT NULL THEN 16
                   WHEN regexp_full_match({c}, '.{{10}}[ T][0-9:.]+')
                        AND try_cast({c} AS TIMESTAMP) IS NOT NULL THEN 32
                   WHEN regexp_full_match({c}, '.{{10}}[ T][0-9:.]+ ?(Z|[+-][0-9:]+)')
                        AND try_cast({c} AS TIMESTAMP WITH TIME ZONE) IS NOT NULL THEN 64
                   ELSE 128 END
         ELSE 128 END
"""


@dataclass(frozen=True)
class CsvPlan:
    """How DuckDB reads CSV files once the types are known.

    Attributes
    ----------
    sql
        SELECT that gives the columns in their types, named ``c0``, ``c1``, ...
    names
        The header's.
    """

    sql: str
    names: list[str]
    rows: int


def plan_csv(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> CsvPlan:
    """Look at every value of files with the same header.

    Raises
    ------
    QueryError
        One of them is not CSV; names the line, and the file if there are several.
    """
    names, delimiter, skip = header = _header(paths[0])
    for path in paths[1:]:
        if _header(path) != header:
            raise QueryError(f"The header of {path.name} differs from that of {paths[0].name}.", Kind.DATA)
    # Lower-case c with a number: whatever the header says, these are names without quotes.
    inside = [f"c{number}" for number in range(len(names))]
    files = ", ".join(_literal(str(path)) for path in paths)
    source = (
        f"read_csv([{files}], columns={{{', '.join(f'{name}: VARCHAR' for name in inside)}}}, "
        f"auto_detect=false, header=false, skip={skip}, delim={_literal(delimiter)}, quote='\"', escape='\"', "
        "nullstr='', allow_quoted_nulls=false, strict_mode=true, compression='none', "
        f"max_line_size={_LONGEST_LINE})"
    )
    seen = ", ".join(f"bit_or({_CLASS.format(c=name)})" for name in inside)
    try:
        [(rows, *found)] = connection.execute(f"SELECT count(*), {seen} FROM {source}").fetchall()  # noqa: S608
    except duckdb.OutOfMemoryException as error:
        raise QueryError("Reading the CSV file needs more memory than there is.", Kind.LIMIT) from error
    except duckdb.Error as error:
        # DuckDB counts rows; a person looks for a line.
        raise _fault(paths, len(names), delimiter) from error
    wanted = ", ".join(_cast(name, _type(kinds or 0)) for name, kinds in zip(inside, found, strict=True))
    return CsvPlan(f"SELECT {wanted} FROM {source}", names, rows)  # noqa: S608 - our own names


@contextmanager
def open_csv(path: Path, memory: int) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch], int]]:
    """Schema, batches and number of rows of a CSV file with a header line.

    Raises
    ------
    QueryError
        It is not CSV; names the line.
    """
    connection = duckdb.connect(config={"memory_limit": f"{memory}B"})
    try:
        connection.execute("SET TimeZone = 'UTC'")
        # It would be written on standard output, between the results of a command.
        connection.execute("SET enable_progress_bar = false")
        plan = plan_csv(connection, [path])
        reader = connection.sql(plan.sql).to_arrow_reader(BATCH_ROWS)
        schema = checked_names(
            pa.schema([(name, field.type) for name, field in zip(plan.names, reader.schema, strict=True)])
        )
        batches = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader)
        yield schema, batches, plan.rows
    finally:
        connection.close()


def _type(found: int) -> str:
    numbers = _INTEGER | _LONG | _DOUBLE
    for alone, type in (
        (_INTEGER, "BIGINT"),
        (_INTEGER | _LONG, "DECIMAL(38,0)"),
        (numbers & ~_LONG, "DOUBLE"),
        (_BOOLEAN, "BOOLEAN"),
        (_DATE, "DATE"),
        (_DATE | _TIMESTAMP, "TIMESTAMP"),
        (_ZONED, "TIMESTAMP WITH TIME ZONE"),
    ):
        if found and not found & ~alone:
            return type
    # Of long whole numbers a DOUBLE would lose digits.
    return "VARCHAR"


def _cast(name: str, type: str) -> str:
    if type == "VARCHAR":
        return name
    value = f"CASE WHEN {name} = '' OR lower({name}) IN ('null', '\\n') THEN NULL ELSE {name} END"
    return f"CAST({value} AS {type}) AS {name}"


def _lines(path: Path) -> TextIO:
    # A sign at the start of the file that says UTF-8 is not part of the first name.
    return path.open(encoding="utf-8-sig", newline="")


def _header(path: Path) -> tuple[list[str], str, int]:
    """Names, delimiter, and how many rows come before the first of data."""
    with path.open("rb") as raw:
        start = raw.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise QueryError("The file is in UTF-16.", Kind.DATA, hint="Save it as UTF-8.")
    try:
        with _lines(path) as file:
            skipped = 0
            line = file.readline(_LONGEST_LINE)
            if re.fullmatch(r"#Table\d*\s*", line):
                # SkyServer's own line before the header.
                skipped += 1
                line = file.readline(_LONGEST_LINE)
            if not line.strip():
                raise QueryError("The file is empty: its first line must have the names of the columns.", Kind.DATA)
            delimiter = max(_DELIMITERS, key=lambda mark: _outside_quotes(line).count(mark))
            file.seek(0)
            for _ in range(skipped):
                file.readline()
            rows = csv.reader(iter(file.readline, ""), delimiter=delimiter, strict=True)
            names = next(rows)
    except UnicodeDecodeError as error:
        # Files are read in pieces: the fault need not be in the first line.
        raise _no_utf8(path) from error
    except csv.Error as error:
        raise QueryError("Line 1 has a quotation mark that is not closed.", Kind.DATA) from error
    if names[0].startswith("# "):
        # How numpy and tools for astronomy begin a header.
        names = [name.strip() for name in (names[0][2:], *names[1:])]
    if names[-1] == "" and len(names) > 1:
        raise QueryError("The header line ends with a delimiter: the last column has no name.", Kind.DATA)
    # pandas writes an index without a name.
    names = [name or f"Column{number}" for number, name in enumerate(names, 1)]
    if len(names) > MOST_COLUMNS:
        raise QueryError(f"The file has {len(names)} columns, and a table can have {MOST_COLUMNS}.", Kind.DATA)
    # Rows, as DuckDB counts: a name can have a line break.
    return names, delimiter, skipped + 1


def _outside_quotes(line: str) -> str:
    return re.sub(r'"[^"]*"', "", line)


def _fault(paths: Sequence[Path], columns: int, delimiter: str) -> QueryError:
    for path in paths:
        if fault := _find_fault(path, columns, delimiter):
            if len(paths) > 1:
                fault.message = f"{path.name}: {fault.message}"
            return fault
    return QueryError("The file cannot be read as CSV.", Kind.DATA)


def _find_fault(path: Path, columns: int, delimiter: str) -> QueryError | None:
    before = csv.field_size_limit(_LONGEST_LINE)
    line = 1
    try:
        with _lines(path) as file:
            rows = csv.reader(file, delimiter=delimiter, strict=True)
            for row in rows:
                if row and len(row) != columns and not row[0].startswith("#"):
                    return QueryError(
                        f"Line {line} has {len(row)} fields, and the header has {columns}.",
                        Kind.DATA,
                        hint="Fields that contain the delimiter must be in quotation marks.",
                    )
                line = rows.line_num + 1
    except UnicodeDecodeError:
        return _no_utf8(path)
    except csv.Error:
        return QueryError(
            f"Line {line} has a quotation mark that is not closed, or text after a closing one, or is too long.",
            Kind.DATA,
        )
    finally:
        csv.field_size_limit(before)
    return None


def _no_utf8(path: Path) -> QueryError:
    line = 0
    with path.open("rb") as file:
        for text in file:
            line += 1
            try:
                text.decode()
            except UnicodeDecodeError:
                break
    return QueryError(f"Line {line} is not UTF-8 text.", Kind.DATA, hint="Save the file as UTF-8.")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
