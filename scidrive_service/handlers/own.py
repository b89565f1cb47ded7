"""Our own interface, beside those of the client libraries: ``api/…``.

Paths in its answers are percent-encoded, as in addresses, and begin with root volume, owner and volume, or with a data
volume.
"""

from __future__ import annotations

import datetime
from typing import Any

from scidrive_service import answers, paths
from scidrive_service.files import Action, OpenVolume, Person
from scidrive_service.handlers.base import Handler
from scidrive_service.handlers.listing import iso
from scidrive_service.handlers.problems import Problem
from scidrive_service.paths import Path
from scidrive_service.tree import Entry
from sciserver_common.handlers import needs
from sciserver_common.scopes import FILES_READ, FILES_SHARE, SIGN_ON_WATCH

FOUND = 500
"""Entries of one search."""


def place(volume: OpenVolume, path: Path) -> str:
    """A file's path in this interface."""
    return paths.encoded((*(part for part in (volume.root, volume.owner, volume.name) if part), *path))


def described(volume: OpenVolume, entry: Entry) -> dict[str, Any]:
    """A file or folder."""
    return {
        "path": place(volume, entry.path),
        "name": entry.name,
        "isFolder": entry.is_folder,
        "size": entry.size,
        "lastModified": iso(entry.modified),
        "creationTime": iso(entry.created),
    }


class Search(Handler):
    """``api/search``: files and folders by name, below a folder."""

    ends_with_client = True

    @needs(FILES_READ)
    async def get(self) -> None:
        """``pattern``: with ``*`` and ``?``, or a part of the name, in any case of letters."""
        wanted, pattern = self.path_parameter("path") or (), (self.parameter("pattern") or "").strip()
        limit = self.number("limit", FOUND, lowest=1, highest=FOUND)
        if not pattern:
            raise Problem(400, "The parameter pattern is missing.")

        def look(person: Person) -> list[dict[str, Any]]:
            volume, path = self.files.service_path(person, wanted, Action.READ)
            found = volume.search(path, pattern, limit + 1)
            # Where they are, from the folder that was asked about.
            return [described(volume, entry) | {"above": entry.path[len(path) : -1]} for entry in found]

        found = await self.run_long(look, self.person)
        self.answer({"entries": found[:limit], "more": len(found) > limit})


class Expiring(Handler):
    """``api/expiring``: files that will be removed soon, by the rule of their root volume."""

    @needs(FILES_READ)
    async def get(self) -> None:
        self.answer({"files": await self.run_long(self.files.expiring, self.person)})


class Links(Handler):
    """``api/links``: addresses that open a file or folder for everybody who has them."""

    @needs(FILES_READ)
    async def get(self) -> None:
        """Those that are open. Their addresses are known to whoever made them, and not kept."""
        self.answer({"links": await self.run(self.files.links, self.person)})

    @needs(FILES_SHARE)
    async def post(self) -> None:
        """Make one: ``{"path": …, "seconds": …}``."""
        body = self.json_object()
        wanted = paths.parse(self.text(body.get("path"), "path", longest=20_000), encoded=True)
        longest = self.parts.longest_link_days * 86_400
        seconds = body.get("seconds", self.parts.link_hours * 3600)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds <= longest:
            raise Problem(400, f"seconds must be a number from 1 to {longest:.0f}.")

        def make(person: Person) -> tuple[str, datetime.datetime]:
            volume, path = self.files.service_path(person, wanted, Action.READ)
            volume.stat(path)
            return self.files.make_link(person, volume, path, seconds)

        number, expires = await self.run(make, self.person)
        name = paths.encoded(wanted[-1:])
        self.answer({"url": f"{self.base_url}/media/{number}/{name}", "expires": answers.iso(expires)})


class Link(Handler):
    """``api/links/{link}``: one of them."""

    @needs(FILES_SHARE)
    async def delete(self, link: str) -> None:
        """Close it."""
        await self.run(self.files.revoke_link, self.person, link)
        self.answer({"status": "success"})


class Mounts(Handler):
    """``api/mounts``: which volumes somebody's containers get; for the service's own token, which the spawner has."""

    @needs(SIGN_ON_WATCH, services=True)
    async def get(self) -> None:
        """``user`` and, as often as need be, ``group``."""
        if self.user["kind"] != "service" or self.user["name"] != "scidrive":
            raise Problem(403, "This is for the spawner only.")
        name, groups = self.parameter("user"), self.get_query_arguments("group")
        if not name:
            raise Problem(400, "The parameter user is missing.")
        found = await self.run(self.files.mounts, name, groups)
        self.answer(
            {
                "mounts": [
                    {"root": mount.root, "owner": mount.owner, "volume": mount.volume, "mode": mount.mode}
                    for mount in found
                ]
            }
        )
