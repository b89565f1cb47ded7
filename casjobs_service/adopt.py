"""Contexts whose data stays where the operator has it: a DuckDB file, a directory of Parquet files, a server."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from casjobs_service.catalog import Catalog, Column, Sky
from casjobs_service.contexts import DUCKDB, Context, ContextError, Contexts, check_name, engine_of, now
from casjobs_service.draft import Draft, literal, quoted
from casjobs_service.engines import catalog_of
from casjobs_service.load import ZONE, ZONE_HEIGHT, sky_fault
from casjobs_service.units import standard_unit


def add(contexts: Contexts, name: str, url: str, *, password: str = "", **settings: Any) -> Context:
    """Make a context.

    Parameters
    ----------
    url
        Empty: the context keeps its data itself, to be loaded. ``postgresql://``, ``trino://`` or ``mssql://``: a
        server. Else the path of a DuckDB file or of a directory of Parquet files.

    Raises
    ------
    ContextError
        The server, the file or the directory cannot be used.
    """
    check_name(name)
    if not url:
        return contexts.create(name, **settings)
    if "://" in url and not url.startswith("duckdb://"):
        engine = engine_of(url)
        asked = Context(name, engine=engine, url=url)
        catalog = catalog_of(asked, password=password)
        return contexts.create(
            name, password=password, catalog=catalog, url=url, engine=engine, loaded=now(), **settings
        )
    path = Path(url.removeprefix("duckdb://")).expanduser().resolve()
    if path.is_file():
        return contexts.create(name, catalog=_read_file(name, path), data=str(path), loaded=now(), **settings)
    if not path.is_dir():
        raise ContextError(f"{path} is neither a DuckDB file nor a directory of Parquet files.")
    list(_tables(path))
    contexts.create(name, folder=str(path), **settings)
    try:
        return refresh(contexts, name)
    except BaseException:
        contexts.remove(name)
        raise


def refresh(contexts: Contexts, name: str, *, password: str | None = None) -> Context:
    """Look again at what a context contains that keeps its data elsewhere.

    Raises
    ------
    ContextError
        It keeps its data itself, or the server, the file or the directory cannot be used.
    """
    with contexts.lock(name):
        context = contexts.require(name)
        if context.engine != DUCKDB:
            catalog = catalog_of(context, password=password)
            return contexts.commit(replace(context, loaded=now()), catalog)
        if context.folder:
            number = contexts.next_generation(context)
            file = context.directory / f"data-{number}.duckdb"
            try:
                catalog = _make_views(context.name, file, Path(context.folder))
            except BaseException:
                file.unlink(missing_ok=True)
                raise
            return contexts.commit(replace(context, data=file.name, loaded=now()), catalog)
        if Path(context.data).is_absolute():
            return contexts.commit(replace(context, loaded=now()), _read_file(context.name, Path(context.data)))
    raise ContextError(f"The context {context.name} keeps its data itself: there is nothing to look for elsewhere.")


def _check_readable(path: Path) -> None:
    # The workers see the file alone, under the accounts of the users.
    status = path.stat()
    needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    if status.st_mode & needed != needed:
        raise ContextError(
            f"Queries run under other accounts, which cannot read {path}: chmod o+r{'x' if path.is_dir() else ''} it."
        )


def _read_file(name: str, path: Path) -> Catalog:
    _check_readable(path)
    connection = duckdb.connect()
    try:
        connection.execute(f"ATTACH {literal(str(path))} AS {quoted(name)} (READ_ONLY)")
        draft = Draft(connection, name)
        connection.execute(f"USE {quoted(name)}")
        catalog = draft.catalog(sizes=True)
        for table in catalog.tables:
            if table.sky is None and table.kind == "table":
                table.sky = _zoned(draft, table.name, table.columns)
        return catalog
    except duckdb.Error as error:
        raise ContextError(f"{path} cannot be opened: {str(error).splitlines()[0]}") from error
    finally:
        connection.close()


def _zoned(draft: Draft, table: str, columns: list[Column]) -> Sky | None:
    """The sky of a table that somebody else has made, if it has ra, dec and their zone."""
    names = {column.name.lower(): column.name for column in columns}
    if not {"ra", "dec", ZONE.lower()} <= names.keys():
        return None
    sky = Sky(names["ra"], names["dec"], names[ZONE.lower()], ZONE_HEIGHT)
    return None if sky_fault(draft, table, sky) else sky


def _tables(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Name, pattern of files, and a first file, of each table in a directory."""
    found = 0
    for path in sorted(folder.iterdir()):
        files = [path] if path.suffix.lower() in (".parquet", ".pq") else []
        pattern = str(path)
        if path.is_dir():
            files = sorted(path.rglob("*.parquet"))
            pattern = f"{path}/**/*.parquet"
        if not files:
            continue
        name = re.sub(r"\W", "_", path.stem if path.is_file() else path.name, flags=re.ASCII)
        for file in files:
            _check_readable(file)
        if any(letter in str(path) for letter in "*?["):
            raise ContextError(f"The name {path} has a letter that means several files: rename it.")
        found += 1
        yield name if not name[0].isdigit() else f"_{name}", pattern, files[0]
    if not found:
        raise ContextError(f"{folder} has no Parquet files, and no directories of them.")


def _make_views(name: str, file: Path, folder: Path) -> Catalog:
    """A DuckDB file of views on the Parquet files in a directory."""
    connection = duckdb.connect()
    try:
        connection.execute(f"ATTACH {literal(str(file))} AS {quoted(name)}")
        connection.execute(f"USE {quoted(name)}")
        draft = Draft(connection, name)
        rows: dict[str, int] = {}
        for table, pattern, first in _tables(folder):
            try:
                files = f"read_parquet({literal(pattern)}, union_by_name=true)"
                connection.execute(f"CREATE VIEW main.{quoted(table)} AS SELECT * FROM {files}")  # noqa: S608
                [(rows[table],)] = draft.run(f"SELECT count(*) FROM main.{quoted(table)}")  # noqa: S608
                schema = pq.read_schema(first)
            except (duckdb.Error, pa.ArrowException) as error:
                raise ContextError(f"{first} cannot be read: {str(error).splitlines()[0]}") from error
            columns = [_column(field) for field in schema]
            draft.describe(table, columns, sky=_zoned(draft, table, columns))
        catalog = draft.catalog()
        for view in catalog.tables:
            # For users it is a table; that the engine has a view there is our affair.
            view.kind, view.rows = "table", rows[view.name]
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
    file.chmod(0o644)
    return catalog


def _column(field: pa.Field) -> Column:
    about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return Column(
        field.name, "", standard_unit(about.get("unit", "")), about.get("ucd", ""), about.get("description", "")
    )
