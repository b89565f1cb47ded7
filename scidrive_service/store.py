"""The metadata database: volumes, whom they are shared with, links, properties and warnings.

Its methods block, and are called in threads. They raise `FileError` UNAVAILABLE when the database does not work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import hashlib
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path as Directory
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import unquote_to_bytes

from sqlalchemy import delete, or_, select, update
from sqlalchemy.exc import IntegrityError, InterfaceError, InternalError, OperationalError

from scidrive_service.errors import FileError, Kind
from scidrive_service.models import Link, Project, Property, Share, Volume, Warned, now
from scidrive_service.paths import Path, encoded
from sciserver_common.database import Database

MIGRATIONS = Directory(__file__).parent / "migrations"

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _guarded(method: Callable[Concatenate[Store, _P], _R]) -> Callable[Concatenate[Store, _P], _R]:
    """Say it in the user's words when the database does not work."""

    @functools.wraps(method)
    def call(self: Store, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return method(self, *args, **kwargs)
        except (OperationalError, InterfaceError, InternalError) as error:
            log.error("%s: %s", method.__name__, error.orig)
            raise FileError(
                "The list of volumes cannot be read or written now. Try again in a minute; if it goes on, tell the "
                "operators: its disk may be full.",
                Kind.UNAVAILABLE,
            ) from error

    return call


@dataclasses.dataclass(frozen=True, slots=True)
class Expiring:
    """A file that its root volume's rule will remove."""

    volume_id: int
    path: Path
    created: float
    size: int
    due: datetime.datetime
    since: datetime.datetime


def text(value: str) -> str:
    """Text that every database takes: what people send can hold zeros and halves of surrogate pairs."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


class Store(Database):
    """The database.

    Parameters
    ----------
    url
        SQLAlchemy URL, e.g. ``sqlite:////…/scidrive.sqlite`` or ``postgresql://user@host/name``. Tables are made, or
        migrated, when it is opened.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, MIGRATIONS, lock=0x53434452)
        self._without_properties: set[int] = set()

    @_guarded
    def check(self) -> None:
        """Raise FileError if the database does not answer."""
        with self.reading() as database:
            database.execute(select(1))

    # -- volumes

    @_guarded
    def volume(self, root: str, owner: str, name: str) -> Volume | None:
        """The row of a volume."""
        wanted = select(Volume).where(Volume.root == root, Volume.owner == owner, Volume.name == name)
        with self.reading() as database:
            return database.scalar(wanted)

    @_guarded
    def volumes(self, *, owner: str | None = None, root: str | None = None) -> list[Volume]:
        """All rows, in order of root, owner and name."""
        wanted = select(Volume).order_by(Volume.root, Volume.owner, Volume.name)
        if owner is not None:
            wanted = wanted.where(Volume.owner == owner)
        if root is not None:
            wanted = wanted.where(Volume.root == root)
        with self.reading() as database:
            return list(database.scalars(wanted))

    @_guarded
    def add_volume(self, root: str, owner: str, name: str, description: str = "") -> Volume:
        """The row, made if there is none."""
        try:
            with self.writing() as database:
                volume = Volume(root=root, owner=owner, name=name, description=text(description))
                database.add(volume)
            return volume
        except IntegrityError:  # another request was faster
            found = self.volume(root, owner, name)
            if found is None:
                raise
            return found

    @_guarded
    def change_volume(self, volume_id: int, **fields: str) -> None:
        """Another name or description.

        Raises
        ------
        FileError
            EXISTS: the owner has a volume of that name.
        """
        values = {name: text(value) for name, value in fields.items()}
        try:
            with self.writing() as database:
                database.execute(update(Volume).where(Volume.id == volume_id).values(**values))
        except IntegrityError as error:
            raise FileError("There is a volume of that name.", Kind.EXISTS) from error

    @_guarded
    def remove_volume(self, volume_id: int) -> None:
        """The row, and with it shares, links, properties and warnings."""
        with self.writing() as database:
            database.execute(delete(Volume).where(Volume.id == volume_id))

    # -- shares

    @_guarded
    def shares(self, volume_ids: Collection[int]) -> dict[int, list[Share]]:
        """Of each of these volumes, in order of kind and name."""
        found: dict[int, list[Share]] = {volume_id: [] for volume_id in volume_ids}
        with self.reading() as database:
            for some in _in_parts(list(found)):
                rows = select(Share).where(Share.volume_id.in_(some)).order_by(Share.kind.desc(), Share.name)
                for share in database.scalars(rows):
                    found[share.volume_id].append(share)
        return found

    @_guarded
    def shared_with(self, user: str, groups: Iterable[str]) -> list[Volume]:
        """Volumes of others that a user may do something with, in order of root, owner and name."""
        mine = or_(
            (Share.kind == "USER") & (Share.name == user),
            (Share.kind == "GROUP") & Share.name.in_(sorted(groups)),
        )
        wanted = (
            select(Volume)
            .where(Volume.id.in_(select(Share.volume_id).where(mine)), Volume.owner != user)
            .order_by(Volume.root, Volume.owner, Volume.name)
        )
        with self.reading() as database:
            return list(database.scalars(wanted))

    @_guarded
    def share(self, volume_id: int, sharees: Mapping[tuple[str, str], str]) -> None:
        """Give each ``(kind, name)`` these actions and no others; no actions: the share ends. All or nothing."""
        with self.writing() as database:
            if not self.sqlite:  # two who share one volume with one user at once
                database.execute(select(Volume.id).where(Volume.id == volume_id).with_for_update())
            for (kind, name), actions in sharees.items():
                theirs = (Share.volume_id == volume_id, Share.kind == kind, Share.name == name)
                database.execute(delete(Share).where(*theirs))
                if actions:
                    database.add(Share(volume_id=volume_id, kind=kind, name=name, actions=actions))

    @_guarded
    def forget(self, user: str) -> list[Volume]:
        """Everything about a user who is gone: volumes' rows, shares with them, links of theirs.

        Returns
        -------
        The volumes; their directories are still there.
        """
        with self.writing() as database:
            volumes = list(database.scalars(select(Volume).where(Volume.owner == user)))
            database.execute(delete(Volume).where(Volume.owner == user))
            database.execute(delete(Share).where(Share.kind == "USER", Share.name == user))
            database.execute(delete(Link).where(Link.maker == user))
            database.execute(delete(Project).where(Project.scope.startswith(f"{user}/", autoescape=True)))
        return volumes

    # -- links

    @_guarded
    def add_link(
        self, digest: str, volume_id: int, path: Path, maker: str, groups: Iterable[str], expires: datetime.datetime
    ) -> None:
        """Note a link; the ones that have expired are forgotten."""
        with self.writing() as database:
            database.execute(delete(Link).where(Link.expires < now()))
            database.add(
                Link(
                    digest=digest,
                    volume_id=volume_id,
                    path=encoded(path),
                    maker=maker,
                    groups=sorted(groups),
                    expires=expires,
                )
            )

    @_guarded
    def link(self, digest: str) -> tuple[Link, Volume, Path] | None:
        """A link that has not expired, its volume and path."""
        wanted = (
            select(Link, Volume)
            .join(Volume, Volume.id == Link.volume_id)
            .where(Link.digest == digest, Link.expires > now())
        )
        with self.reading() as database:
            found = database.execute(wanted).one_or_none()
        return None if found is None else (found[0], found[1], _decoded(found[0].path))

    @_guarded
    def links(self, maker: str) -> list[tuple[Link, Volume, Path]]:
        """Somebody's links that have not expired, the latest first."""
        wanted = (
            select(Link, Volume)
            .join(Volume, Volume.id == Link.volume_id)
            .where(Link.maker == maker, Link.expires > now())
            .order_by(Link.created.desc(), Link.digest)
        )
        with self.reading() as database:
            return [(row[0], row[1], _decoded(row[0].path)) for row in database.execute(wanted)]

    @_guarded
    def remove_link(self, digest: str, maker: str) -> bool:
        """Whether there was one of theirs."""
        gone = delete(Link).where(Link.digest == digest, Link.maker == maker).returning(Link.digest)
        with self.writing() as database:
            return bool(database.execute(gone).all())

    @_guarded
    def set_groups(self, maker: str, groups: Iterable[str]) -> None:
        """Somebody is in these groups now: their links are worth no more than they may do."""
        with self.writing() as database:
            database.execute(update(Link).where(Link.maker == maker).values(groups=sorted(groups)))

    # -- properties

    @_guarded
    def properties(self, volume_id: int, path: Path, *, deep: bool = False) -> dict[Path, dict[str, str]]:
        """Of one file or folder, by its path; with `deep` also of what is in the folder."""
        if volume_id in self._without_properties:
            return {}
        found: dict[Path, dict[str, str]] = {}
        wanted = select(Property).where(Property.volume_id == volume_id)
        wanted = wanted.where(_below(path) if deep else Property.path == encoded(path))
        with self.reading() as database:
            for row in database.scalars(wanted):
                place = _decoded(row.path)
                if len(place) <= len(path) + 1:
                    found.setdefault(place, {})[row.name] = row.value
        if not found:
            self._look_for_properties(volume_id)
        return found

    @_guarded
    def set_properties(self, volume_id: int, path: Path, values: Mapping[str, str | None]) -> None:
        """Set, or with None remove, properties of one file or folder, all or none of them."""
        self._without_properties.discard(volume_id)
        with self.writing() as database:
            for name, value in values.items():
                name = text(name)
                key = _key(path, name)
                database.execute(delete(Property).where(Property.volume_id == volume_id, Property.key == key))
                if value is not None:
                    database.add(
                        Property(volume_id=volume_id, path=encoded(path), key=key, name=name, value=text(value))
                    )

    @_guarded
    def remove_properties(self, volume_id: int, path: Path) -> None:
        """Of a file, or a folder and all below it."""
        if volume_id in self._without_properties:
            return
        with self._properties_changing(volume_id) as database:
            database.execute(delete(Property).where(Property.volume_id == volume_id, _below(path)))

    @_guarded
    def move_properties(self, volume_id: int, path: Path, to_id: int, to: Path, *, copy: bool = False) -> None:
        """Let the properties of a file or folder, and all below, follow it; what was at the target is gone."""
        if volume_id in self._without_properties and to_id in self._without_properties:
            return
        self._without_properties.discard(to_id)
        with self._properties_changing(to_id) as database:
            wanted = select(Property).where(Property.volume_id == volume_id, _below(path))
            moved = [(to + _decoded(row.path)[len(path) :], row.name, row.value) for row in database.scalars(wanted)]
            database.execute(delete(Property).where(Property.volume_id == to_id, _below(to)))
            if not copy:
                database.execute(delete(Property).where(Property.volume_id == volume_id, _below(path)))
            for place, name, value in moved:
                database.add(
                    Property(volume_id=to_id, path=encoded(place), key=_key(place, name), name=name, value=value)
                )

    def _look_for_properties(self, volume_id: int) -> None:
        """Most volumes never have properties; not to look for them at every file makes many small ones faster."""
        with self.reading() as database:
            if database.scalar(select(Property.id).where(Property.volume_id == volume_id).limit(1)) is None:
                self._without_properties.add(volume_id)

    @contextlib.contextmanager
    def _properties_changing(self, volume_id: int) -> Iterator[Any]:
        with self.writing() as database:
            if not self.sqlite:
                database.execute(select(Volume.id).where(Volume.id == volume_id).with_for_update())
            yield database
        self._look_for_properties(volume_id)

    # -- expiry

    @_guarded
    def warned(self, volume_ids: Collection[int]) -> list[Expiring]:
        """Files of these volumes that have been listed as expiring, the next to go first."""
        found: list[Expiring] = []
        with self.reading() as database:
            for some in _in_parts(list(volume_ids)):
                for row in database.scalars(select(Warned).where(Warned.volume_id.in_(some))):
                    path = _decoded(row.path)
                    found.append(Expiring(row.volume_id, path, row.created, row.size, row.due, row.since))
        return sorted(found, key=lambda file: (file.due, file.path))

    @_guarded
    def warn(self, volume_id: int, files: Collection[Expiring], gone: Collection[Path]) -> None:
        """List files, or list them anew, and strike those that are gone."""
        with self.writing() as database:
            for some in _in_parts([*gone, *(file.path for file in files)]):
                keys = [_key(path) for path in some]
                database.execute(delete(Warned).where(Warned.volume_id == volume_id, Warned.key.in_(keys)))
            database.add_all(
                Warned(
                    volume_id=volume_id,
                    key=_key(file.path),
                    path=encoded(file.path),
                    created=file.created,
                    size=file.size,
                    due=file.due,
                    since=file.since,
                )
                for file in files
            )

    # -- project quotas

    @_guarded
    def project(self, scope: str) -> int:
        """The number of what is counted together; given at first use, and never twice."""
        wanted = select(Project.id).where(Project.scope == scope)
        with self.reading() as database:
            found = database.scalar(wanted)
        if found is not None:
            return found
        try:
            with self.writing() as database:
                project = Project(scope=scope)
                database.add(project)
            return project.id
        except IntegrityError:
            with self.reading() as database:
                return database.scalars(wanted).one()


def _decoded(path: str) -> Path:
    """The opposite of `paths.encoded`, for paths that were checked when they came in."""
    return tuple(os.fsdecode(unquote_to_bytes(name)) for name in path.split("/") if name)


def _key(*parts: Path | str) -> str:
    """Digest of paths and names; a slash ends a path's name, and no name has a zero in it."""
    texts = [encoded(part) if isinstance(part, tuple) else part for part in parts]
    return hashlib.sha256("\x00".join(texts).encode()).hexdigest()


def _below(path: Path) -> Any:
    """A path itself and everything below it."""
    if not path:
        return Property.volume_id.is_not(None)
    here = encoded(path)
    return or_(Property.path == here, Property.path.startswith(f"{here}/", autoescape=True))


_M = TypeVar("_M")


def _in_parts(items: list[_M]) -> Iterator[list[_M]]:
    """Databases take a limited number of parameters in a statement."""
    for start in range(0, len(items), 500):
        yield items[start : start + 500]
