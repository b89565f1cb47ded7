"""The tree that WebDAV clients see: their SciDrive, root volumes with owners and volumes, and data volumes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from scidrive_service.errors import FileError, Kind
from scidrive_service.paths import Path, encoded
from scidrive_service.policy import DRIVE
from scidrive_service.tree import Entry

if TYPE_CHECKING:
    from scidrive_service.files import Files, OpenVolume, Person


@dataclass(frozen=True)
class Place:
    """What an address means to the person who asks.

    Attributes
    ----------
    path
        From the door's root.
    volume
        None above the volumes, where folders only say what there is.
    inner
        From the volume's root.
    members
        Names in a folder above the volumes.
    """

    path: Path
    volume: OpenVolume | None = None
    inner: Path = ()
    members: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The same for everybody who sees this file, and for no other: for locks."""
        if self.volume is None:
            return "/" + encoded(self.path)
        parts = (self.volume.root, self.volume.owner, self.volume.name)
        return "/" + encoded((":".join(part or "" for part in parts), *self.inner))

    @property
    def parent(self) -> Place:
        """The folder of a file or folder inside a volume."""
        return dataclasses.replace(self, path=self.path[:-1], inner=self.inner[:-1])

    def member(self, name: str) -> Place:
        """Something in a folder inside a volume."""
        return dataclasses.replace(self, path=(*self.path, name), inner=(*self.inner, name))

    @property
    def inside(self) -> OpenVolume:
        """The volume, for a change inside of it.

        Raises
        ------
        FileError
            FORBIDDEN: this is a volume itself, or above the volumes.
        """
        if self.volume is None or not self.inner:
            raise FileError(
                "Volumes are made, renamed and removed on the page and with the file service, not by WebDAV.",
                Kind.FORBIDDEN,
            )
        return self.volume

    def entry(self) -> Entry | None:
        """The file or folder, None if there is none."""
        if self.volume is None:
            return Entry(self.path, is_folder=True, size=0, modified=0, created=0, etag="")
        try:
            return self.volume.stat(self.inner)
        except FileError as error:
            # Below a file, there is nothing.
            if error.kind in {Kind.MISSING, Kind.NOT_A_FOLDER}:
                return None
            raise


class Places:
    """Finds places.

    Parameters
    ----------
    prefix
        The door's address, without a slash at its end.
    """

    def __init__(self, files: Files, prefix: str) -> None:
        self._files = files
        self.prefix = prefix

    def href(self, path: Path, *, is_folder: bool) -> str:
        """The address in answers."""
        return f"{self.prefix}/{encoded(path)}" + ("/" if is_folder and path else "")

    def find(self, person: Person, path: Path) -> Place:
        """What is meant by a path.

        Raises
        ------
        FileError
            MISSING: no such volume, as far as this person may know.
        """
        if path and path[0] == DRIVE:
            return Place(path, self._files.drive(person), path[1:])
        if len(path) < 3:
            found = self._above(person, path)
            if found is not None:
                return found
        volume, inner = self._files.service_path(person, path)
        return Place(path, volume, inner)

    def _above(self, person: Person, path: Path) -> Place | None:
        listing = self._files.listing(person)
        roots = {root["name"]: root["userVolumes"] for root in listing["rootVolumes"] if root["name"] != DRIVE}
        if not path:
            names = [DRIVE, *roots, *(volume["name"] for volume in listing["dataVolumes"])]
            return Place(path, members=tuple(dict.fromkeys(names)))
        if path[0] not in roots:
            return None
        volumes = [(volume["owner"], volume["name"]) for volume in roots[path[0]]]
        if len(path) == 1:
            return Place(path, members=tuple(dict.fromkeys(owner for owner, _ in volumes)))
        names = [name for owner, name in volumes if owner == path[1]]
        if not names:
            raise FileError("There is no volume here that you may see.", Kind.MISSING)
        return Place(path, members=tuple(names))

    @staticmethod
    def path_of(key: str) -> Path:
        """The path by which the owner of a lock sees what it is on; the opposite of `Place.key`."""
        volume, *inner = (unquote(name, errors="surrogateescape") for name in key.strip("/").split("/"))
        root, owner, name = volume.split(":", 2)
        if root == DRIVE:
            return (DRIVE, *inner)
        return tuple(part for part in (root, owner, name) if part) + tuple(inner)
