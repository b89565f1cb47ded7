"""The connection to a service's metadata database, and what differs between the databases that it can be."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from sqlalchemy import create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session


class Database:
    """An engine of SQLAlchemy whose tables are up to date. Its methods block, in any thread.

    Parameters
    ----------
    url
        SQLAlchemy URL, e.g. ``sqlite:////…/casjobs.sqlite`` or ``postgresql://user@host/name``. Tables are made, or
        migrated, when it is opened.
    migrations
        Alembic's directory; its ``env.py`` finds the connection in the attributes of the configuration.
    lock
        Number of PostgreSQL's advisory lock: of services that start at once, one migrates.
    """

    def __init__(self, url: str, migrations: Path, lock: int) -> None:
        parsed = make_url(url)
        if parsed.drivername in {"postgresql", "postgres"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        # Without parameters: an error's text would hold somebody's query.
        self.engine = create_engine(parsed, hide_parameters=True, pool_pre_ping=True)
        self.sqlite = self.engine.dialect.name == "sqlite"
        if self.sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        # SQLite lets one write at a time and makes the others sleep in steps; they had better queue up here.
        self._writer: contextlib.AbstractContextManager[Any] = (
            threading.Lock() if self.sqlite else contextlib.nullcontext()
        )
        self._migrate(migrations, lock)

    def _migrate(self, migrations: Path, lock: int) -> None:
        config = alembic.config.Config()
        config.set_main_option("script_location", str(migrations))
        with self.engine.begin() as connection:
            if not self.sqlite:
                # Two services that start at once: one migrates, the other finds it done.
                connection.execute(select(func.pg_advisory_xact_lock(lock)))
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction."""
        with self._writer, Session(self.engine, expire_on_commit=False) as database, database.begin():
            yield database

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """Each statement by itself."""
        with Session(self._autocommit, expire_on_commit=False) as database:
            yield database


def _prepare_sqlite(connection: Any, record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = None  # the module's own idea of transactions starts them too late
        connection.execute("PRAGMA busy_timeout = 15000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Any) -> None:
    # A transaction that first reads cannot become a writing one when another has written in between. Those that only
    # read run without.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
