"""The worker's DuckDB: one connection in memory, to which databases are attached while they are needed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from casjobs_service.limits import Limits
from casjobs_service.parameters import Parameter

BATCH = 50_000
"""Rows of a batch."""

LOCK_SECONDS = 5.0
"""How long another process may still have a file open for which we hold the lock: one that is being killed."""

WARM_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    # The sandbox can only be closed around a single thread; queries get theirs afterwards.
    "threads": 1,
    "async_threads": 0,
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "allow_unredacted_secrets": False,
    "python_enable_replacements": False,
    "enable_external_file_cache": False,
}

SUFFIXES = ("", ".wal", ".wal.checkpoint", ".wal.recovery")
"""Of a database's file, and of those that DuckDB makes beside it."""


def quoted(name: str) -> str:
    """As an identifier of DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """As a string of DuckDB."""
    return "'" + text.replace("'", "''") + "'"


def known_before(limits: Limits, settings: Mapping[str, str]) -> dict[str, str]:
    """Settings that one session often has as the one before had them, for `Engine.preset`."""
    return {
        **{name: literal(value) for name, value in settings.items()},
        "memory_limit": literal(f"{limits.memory} bytes"),
        "max_temp_directory_size": literal(f"{limits.temp} bytes"),
    }


class Engine:
    """DuckDB with the limits of a session.

    Temporary tables, variables and macros belong to a connection, so that a script has only this one.

    Attributes
    ----------
    attached
        Databases that are open; whether they can be written.
    """

    def __init__(self) -> None:
        self._settings: dict[str, str] | None = None
        self._connect()

    def _connect(self) -> None:
        self._connection = duckdb.connect(":memory:", config=WARM_SETTINGS)
        # Progress is only counted where a bar would be shown.
        self._connection.execute("SET enable_progress_bar_print = false; SET enable_progress_bar = true")
        # The first query of a connection is ten times slower than the second.
        self._connection.sql("SELECT 1").to_arrow_reader(BATCH).read_all()
        self._prelude: set[str] = set()
        self._set: dict[str, str] = {"threads": "1", "allowed_directories": "[]"}
        self.attached: dict[str, bool] = {}

    def configure(
        self,
        limits: Limits,
        temporary: Path,
        files: Iterable[Path],
        folders: Iterable[Path],
        settings: Mapping[str, str],
    ) -> None:
        """Set the limits, and lock the configuration: the last thing that can be set.

        Parameters
        ----------
        temporary
            Directory for temporary files.
        files
            Databases that may be attached.
        folders
            Directories whose files their views may read.
        settings
            What the statements count on, name to value. Others than before mean a new connection, and the loss of
            temporary tables.
        """
        if self._settings == settings:
            return
        if self._settings is not None:
            self.renew()
        self.arrange(limits, temporary, files, folders, settings)
        self._settings = dict(settings)
        self.preset({"enable_external_access": "false", "lock_configuration": "true"})

    def arrange(
        self,
        limits: Limits,
        temporary: Path,
        files: Iterable[Path],
        folders: Iterable[Path],
        settings: Mapping[str, str],
    ) -> None:
        """Set all that `configure` will ask for, and lock nothing yet."""
        paths = ", ".join(literal(f"{file}{suffix}") for file in files for suffix in SUFFIXES)
        directories = ", ".join(literal(str(folder)) for folder in folders)
        values = {
            **known_before(limits, settings),
            "temp_directory": literal(str(temporary)),
            "threads": str(limits.threads),
            "allowed_paths": f"[{paths}]",
            "allowed_directories": f"[{directories}]",
        }
        for name in self._set.keys() - values.keys():
            self._connection.execute(f"RESET {name}")
            del self._set[name]
        self.preset(values)

    def renew(self) -> None:
        """Close the database and all that is attached to it, and open another one, in which nothing is set yet."""
        self._connection.close()
        self._settings = None
        self._connect()

    def preset(self, values: Mapping[str, str]) -> None:
        """Set what is not so already: each costs a fifth of a millisecond.

        Parameters
        ----------
        values
            Name to value, as SQL.
        """
        changed = {name: value for name, value in values.items() if self._set.get(name) != value}
        if changed:
            self._connection.execute("; ".join(f"SET {name} = {value}" for name, value in changed.items()))
            self._set.update(changed)

    def interrupt(self) -> None:
        """End what is running; from another thread."""
        self._connection.interrupt()

    def progress(self) -> float | None:
        """Done part of what is running, 0 to 1, from another thread; None where DuckDB cannot say."""
        percent = self._connection.query_progress()
        return percent / 100 if 0 <= percent <= 100 else None

    def prepare(self, prelude: list[str]) -> None:
        """Run what statements need before, once."""
        for text in prelude:
            if text not in self._prelude:
                self._connection.execute(text)
                self._prelude.add(text)

    def execute(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement; its rows."""
        rows: list[tuple[Any, ...]] = self._connection.execute(sql, parameters).fetchall()
        return rows

    def bind(self, parameters: Mapping[str, Parameter]) -> None:
        """Make the values of parameters variables of the connection, by name."""
        for name, parameter in parameters.items():
            self._connection.execute(f"SET VARIABLE {quoted(name)} = $1", [parameter.value])

    def stream(self, sql: str) -> pa.RecordBatchReader:
        """Run a SELECT; its rows as they are computed."""
        return self._connection.sql(sql).to_arrow_reader(BATCH)

    @contextlib.contextmanager
    def arrow(self, name: str, rows: pa.RecordBatchReader | pa.Table) -> Iterator[None]:
        """Rows as the view `name` for a while."""
        self._connection.register(name, rows)
        try:
            yield
        finally:
            self._connection.unregister(name)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            # What has failed has often rolled back already.
            with contextlib.suppress(duckdb.Error):
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def attach(self, database: str, file: Path, *, write: bool = False) -> None:
        """Open a file as `database`."""
        mode = "" if write else " (READ_ONLY)"
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                self._connection.execute(f"ATTACH {literal(str(file))} AS {quoted(database)}{mode}")
            except duckdb.IOException as error:
                if "lock" not in str(error).lower() or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                self.attached[database] = write
                return

    def detach(self, database: str) -> None:
        """Close its file, which writes down what is still in its log."""
        del self.attached[database]
        self._connection.execute(f"DETACH {quoted(database)}")
