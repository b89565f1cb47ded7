"""The connection to the metadata database, and what differs between the databases that it can be."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import alembic.command
import alembic.config
from sqlalchemy import create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.orm import Session

from casjobs_service.errors import Kind, QueryError

MIGRATIONS = Path(__file__).parent / "migrations"

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_R = TypeVar("_R")
_D = TypeVar("_D", bound="Database")


class StoreError(QueryError):
    """The metadata database did not do what it was asked; nothing can be said about the job."""

    def __init__(self) -> None:
        super().__init__(
            "The list of queries cannot be read or written now, so nothing was run.",
            Kind.UNAVAILABLE,
            hint="Try again in a minute. If it goes on, tell the operators: its disk may be full.",
        )


def threaded(
    method: Callable[Concatenate[_D, _P], _R],
) -> Callable[Concatenate[_D, _P], Coroutine[Any, Any, _R]]:
    """Run a method in the store's own threads: databases answer when they like, the event loop must not wait."""

    @functools.wraps(method)
    async def call(self: _D, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        def run() -> _R:
            try:
                return method(self, *args, **kwargs)
            except (OperationalError, InterfaceError, InternalError) as error:
                log.error("%s: %s", method.__name__, error.orig)
                raise StoreError from error

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    return call


class Database:
    """An engine of SQLAlchemy with threads of its own.

    Parameters
    ----------
    url
        SQLAlchemy URL, e.g. ``sqlite:////…/casjobs.sqlite`` or ``postgresql://user@host/name``. Tables are made, or
        migrated, when it is opened.
    """

    def __init__(self, url: str) -> None:
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
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="casjobs-store")
        self._migrate()

    def _migrate(self) -> None:
        config = alembic.config.Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self.engine.begin() as connection:
            if not self.sqlite:
                # Two services that start at once: one migrates, the other finds it done.
                connection.execute(select(func.pg_advisory_xact_lock(0x43415331)))
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")

    def close(self) -> None:
        """Finish what runs, and close the connections."""
        self._threads.shutdown()
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


_LENGTHS = {"context": 255, "dialect": 20, "task_name": 255, "output_type": 40, "params": 1000, "into": 255}


def storable(name: str, value: Any) -> Any:
    """Text that every database takes: what people send can hold zeros, halves of surrogate pairs, and be long."""
    if not isinstance(value, str):
        return value
    text = value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return text[: _LENGTHS.get(name)] if name in _LENGTHS else text


def clean(fields: dict[str, Any]) -> dict[str, Any]:
    """The same for all columns of a row."""
    return {name: storable(name, value) for name, value in fields.items()}


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
