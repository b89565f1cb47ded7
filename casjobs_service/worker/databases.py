"""The databases of a session: which there are, what is in them, and when their files are open."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from casjobs_service.catalog import OWN, Catalog
from casjobs_service.duckdb_catalog import read_catalog
from casjobs_service.errors import Kind, QueryError
from casjobs_service.mydb import DIRECTORIES
from casjobs_service.worker.engine import Engine
from casjobs_service.worker.link import Link

READ, WRITE = "read", "write"


@dataclass(frozen=True, slots=True)
class Place:
    """A context as the worker sees it."""

    name: str
    engine: str
    data: Path | None
    catalog: Path


class SessionDatabases:
    """What the translator asks about databases (`casjobs_service.dialect.Databases`), and what opens them.

    A context is attached when it is first used, and stays. The user's own files are open only while a statement uses
    them and the service has granted it: other sessions of the same user want them too.
    """

    def __init__(self, engine: Engine, link: Link, places: Iterable[Place], own: Mapping[str, Path]) -> None:
        self._engine = engine
        self._link = link
        self._places = {place.name.lower(): place for place in places}
        self._own = own
        self._spelling = {name.lower(): name for name in own}
        self._catalogs: dict[str, Catalog] = {}
        self._held: dict[str, str] = {}

    def names(self) -> list[str]:
        """All that the user may see."""
        return [*self._spelling.values(), *(place.name for place in self._places.values())]

    def catalog(self, name: str) -> Catalog | None:
        """By name, in any case; read when it is first asked for."""
        key = name.lower()
        if key in self._catalogs:
            return self._catalogs[key]
        if key in self._spelling:
            database = self._spelling[key]
            if not self.exists(database):
                # Most users of other databases have none: no need to ask for it.
                return Catalog(database)
            with self.using({database: READ}, keep=True):
                self._catalogs[key] = self._read(database)
        elif key in self._places:
            catalog = Catalog.load(self._places[key].catalog)
            catalog.database = self._places[key].name
            self._catalogs[key] = catalog
        return self._catalogs.get(key)

    def begin(self) -> None:
        """For another session with the same databases: forget what another one may have changed meanwhile."""
        for name in self._spelling:
            self._catalogs.pop(name, None)

    def forget(self, database: str) -> None:
        """What is known of it may no longer be so."""
        self._catalogs.pop(database.lower(), None)

    def exists(self, database: str) -> bool:
        """Whether this database of the user has a file yet."""
        return self.file(database).exists()

    def file(self, database: str) -> Path:
        """Of a database of the user."""
        return self._own[database] / f"{DIRECTORIES[database]}.duckdb"

    @contextlib.contextmanager
    def using(self, wishes: Mapping[str, str], *, keep: bool = False) -> Iterator[None]:
        """Have these databases open, for ``read`` or ``write``.

        Parameters
        ----------
        keep
            Leave the user's own open for what comes next, which will ask again.
        """
        for name in wishes:
            if name not in OWN and name not in self._engine.attached:
                place = self._places[name.lower()]
                if place.data is None:
                    raise QueryError(f"{name} is not in this engine.", Kind.INTERNAL)
                self._engine.attach(name, place.data)
        own = {name: mode for name, mode in wishes.items() if name in OWN}
        if any(self._held.get(name) not in (mode, WRITE) for name, mode in own.items()):
            # Never wait for one file with another in hand.
            self.release()
            self._link.ask({"event": "ask", "ask": "locks", "files": own})
            self._held = dict(own)
            for name, mode in own.items():
                if mode == WRITE or self.exists(name):
                    self._engine.attach(name, self.file(name), write=mode == WRITE)
        try:
            yield
        finally:
            if not keep:
                self.release()

    def release(self) -> None:
        """Close the user's own databases, and let others have them."""
        held, self._held = self._held, {}
        try:
            for name in held:
                if name in self._engine.attached:
                    self._engine.detach(name)
        finally:
            if held:
                self._link.send({"event": "release", "files": list(held)})

    def _read(self, database: str) -> Catalog:
        if database not in self._engine.attached:
            return Catalog(database)
        return read_catalog(self._engine.execute, database)
