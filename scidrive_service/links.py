"""Capability URLs: who has the address reads the file, without a token, for a while."""

from __future__ import annotations

import datetime
import hashlib
import re
import secrets
from typing import Any

from scidrive_service import answers
from scidrive_service.access import Action, Known, Person
from scidrive_service.errors import FileError, Kind
from scidrive_service.paths import Path, encoded
from scidrive_service.store import Store
from scidrive_service.volumes import Registry

_ID = re.compile(r"[A-Za-z0-9_-]{43}")
"""256 random bits, so nobody guesses one, however many there are."""


def _digest(link_id: str) -> str:
    return hashlib.sha256(link_id.encode()).hexdigest()


class Links:
    """The links of a deployment: made by people, opened by anybody."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry, self._store = registry, store
        self._groups: dict[str, frozenset[str]] = {}

    def seen(self, person: Person) -> None:
        """Somebody uses the service: if they have left groups since, their links are worth less."""
        if self._groups.get(person.name) != person.groups:
            self._store.set_groups(person.name, person.groups)
            self._groups[person.name] = person.groups

    def make(self, person: Person, volume_id: int, path: Path, seconds: float) -> tuple[str, datetime.datetime]:
        """A new one: its id, which is told once and kept as its digest only, and when it ends."""
        link_id = secrets.token_urlsafe(32)
        expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        self._store.add_link(
            _digest(link_id), volume_id, path, person.name, person.groups, expires.replace(tzinfo=None)
        )
        return link_id, expires

    def find(self, link_id: str) -> tuple[Known, Person, Path]:
        """The volume and path of a link, and its maker.

        Raises
        ------
        FileError
            MISSING: it has ended by its time, with its volume, or because its maker may no longer read there; or there
            is none.
        """
        found = self._store.link(_digest(link_id)) if _ID.fullmatch(link_id) else None
        if found is not None:
            link, volume, path = found
            maker = Person(link.maker, frozenset(link.groups))
            known = self._registry.find(volume.root, volume.owner, volume.name)
            if known is not None and known.volume.id == volume.id and Action.READ in known.actions(maker):
                return known, maker, path
        raise FileError("This link has ended, or there is none. Ask who gave it to you for a new one.", Kind.MISSING)

    def of(self, person: Person) -> list[dict[str, Any]]:
        """The person's links that have not ended, the latest first; their addresses are not kept."""
        return [
            {
                "id": link.digest,
                "path": encoded(answers.names(volume) + path),
                "created": answers.iso(link.created),
                "expires": answers.iso(link.expires),
            }
            for link, volume, path in self._store.links(person.name)
        ]

    def revoke(self, person: Person, link_id: str) -> None:
        """End a link of the person's, by the id in its address or the one in `of`. Raises MISSING."""
        digest = _digest(link_id) if _ID.fullmatch(link_id) else link_id
        if not self._store.remove_link(digest, person.name):
            raise FileError("There is no such link of yours; it may have ended by itself.", Kind.MISSING)
