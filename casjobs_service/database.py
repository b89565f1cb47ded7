"""The metadata database seen from the event loop: threads, errors for users, text that fits."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from casjobs_service.errors import Kind, QueryError
from sciserver_common import database

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


class Database(database.Database):
    """The metadata database, with threads of its own.

    Parameters
    ----------
    url
        SQLAlchemy URL, e.g. ``sqlite:////…/casjobs.sqlite`` or ``postgresql://user@host/name``.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, MIGRATIONS, lock=0x43415331)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="casjobs-store")

    def close(self) -> None:
        """Finish what runs, and close the connections."""
        self._threads.shutdown()
        super().close()


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
