"""The next generation of a context's data, while it is made."""

from __future__ import annotations

import errno
import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from casjobs_service import duckdb_catalog
from casjobs_service.catalog import Catalog, Column, Sky, Table
from casjobs_service.contexts import DUCKDB, ContextError, Contexts, now

_FICLONE = 0x40049409


class Draft:
    """A DuckDB connection in which the context's database is attached for writing, and is the one in use.

    Attributes
    ----------
    database
        The context's name.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, database: str) -> None:
        self.connection = connection
        self.database = database

    def run(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement and give its rows."""
        return list(self.connection.execute(sql, parameters).fetchall())

    def table(self, name: str) -> Table | None:
        """What is known of a table or view, in any case of letters."""
        return self.catalog().table(name)

    def catalog(self, *, sizes: bool = False) -> Catalog:
        """What the database contains now; with the bytes of each table on disk if wanted."""
        return duckdb_catalog.read_catalog(self.run, self.database, sizes=sizes)

    def drop(self, name: str) -> None:
        """Remove a table or view, so that its place in the file can be used again."""
        table = self.table(name)
        if table is None:
            raise ContextError(f"The context {self.database} has no table {name}.")
        self.run(f"DROP {'VIEW' if table.kind == 'view' else 'TABLE'} main.{quoted(table.name)}")
        self.run("CHECKPOINT")

    def describe(self, name: str, columns: list[Column], *, description: str = "", sky: Sky | None = None) -> None:
        """Write down what is known of a table or view and of its columns."""
        table = self.table(name)
        if table is None:
            raise ContextError(f"The context {self.database} has no table {name}.")
        known = {column.name for column in table.columns}
        for statement in duckdb_catalog.comment_statements(
            self.database,
            table.name,
            [column for column in columns if column.name in known],
            description=description,
            created=table.date or now(),
            sky=sky,
        ):
            self.run(
                statement.replace("COMMENT ON TABLE", "COMMENT ON VIEW", 1) if table.kind == "view" else statement
            )


@contextmanager
def edit(contexts: Contexts, name: str, *, threads: int | None = None) -> Iterator[Draft]:
    """Change a context's data: all of it is seen at once at the end, and nothing if it fails.

    The work is done in a copy of the file, so there must be room for one.

    Raises
    ------
    ContextError
        There is no such context, its data is not ours to change, somebody else is changing it, or the disk is full.
    """
    with contexts.lock(name):
        context = contexts.require(name)
        if context.engine != DUCKDB or context.folder or Path(context.data).is_absolute():
            raise ContextError(
                f"The data of the context {context.name} is not kept here, so it is not loaded here: change it where "
                f"it is, then run `sciserver context refresh {context.name}`."
            )
        number = contexts.next_generation(context)
        file = context.directory / f"data-{number}.duckdb"
        temporary = context.directory / f".temporary-{number}"
        try:
            _copy(context.directory / context.data, file)
            config: dict[str, Any] = {"temp_directory": str(temporary)}
            if threads is not None:
                config["threads"] = threads
            connection = duckdb.connect(config=config)
            try:
                connection.execute(f"ATTACH {literal(str(file))} AS {quoted(context.name)}")
                connection.execute(f"USE {quoted(context.name)}")
                connection.execute("SET TimeZone = 'UTC'")
                # How far a statement is can be asked; the bar itself would be among the command's results.
                connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
                draft = Draft(connection, context.name)
                yield draft
                connection.execute("CHECKPOINT")
                catalog = draft.catalog(sizes=True)
            finally:
                connection.close()
            file.chmod(0o644)
            contexts.commit(replace(context, data=file.name, loaded=now()), catalog)
        except BaseException as error:
            for left in (file, file.with_name(f"{file.name}.wal")):
                left.unlink(missing_ok=True)
            if isinstance(error, duckdb.OutOfMemoryException | duckdb.IOException | OSError) and is_full(error):
                raise ContextError(f"The disk of {context.directory} is full. Nothing was changed.") from error
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _copy(old: Path, new: Path) -> None:
    with old.open("rb") as source, new.open("xb") as target:
        try:
            # Costs nothing where the file system can share blocks (XFS, Btrfs).
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
            return
        except OSError:
            pass
    if shutil.disk_usage(new.parent).free < old.stat().st_size:
        raise OSError(errno.ENOSPC, "no room for a copy")
    shutil.copyfile(old, new)


def is_full(error: BaseException) -> bool:
    """Whether there was no room on the disk."""
    return getattr(error, "errno", None) == errno.ENOSPC or any(
        words in str(error) for words in ("No space left", "max_temp_directory_size")
    )


def quoted(name: str) -> str:
    """A name as DuckDB reads it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string in SQL."""
    return "'" + text.replace("'", "''") + "'"
