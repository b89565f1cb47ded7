"""Who asks, and what they may do with a volume."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from scidrive_service.errors import FileError, Kind
from scidrive_service.models import Share, Volume
from sciserver_spawner.volumes import UserVolume, VolumeError


class Action(enum.StrEnum):
    """What may be done with a volume, in the contract's words.

    WRITE makes and replaces files, which is as good as removing what was in them; in containers, whose kernel knows no
    difference, it also removes and renames.
    """

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    GRANT = "grant"


ALL = frozenset(Action)


@dataclass(frozen=True)
class Person:
    """Who asks.

    Attributes
    ----------
    name
        At the hub.
    groups
        At the hub.
    is_admin
        Administrators of the hub have no rights to others' files: operators reach the storage otherwise.
    """

    name: str
    groups: frozenset[str] = frozenset()
    is_admin: bool = False


@dataclass(frozen=True)
class Known:
    """A volume that is there, and with whom it is shared."""

    volume: Volume
    shares: tuple[Share, ...]

    def actions(self, person: Person) -> frozenset[Action]:
        """What a person may do; nothing: they are not to know that it is there."""
        if person.name == self.volume.owner:
            return ALL
        return frozenset(
            Action(action)
            for share in self.shares
            if (share.kind == "USER" and share.name == person.name)
            or (share.kind == "GROUP" and share.name in person.groups)
            for action in share.actions.split(",")
        )


def check_names(root: str, owner: str, name: str) -> None:
    """Raise FileError NAME if these cannot be a volume's; an empty name is SciDrive's."""
    try:
        UserVolume(root, owner, name or owner)
    except VolumeError as error:
        raise FileError(str(error), Kind.NAME) from error


def missing(root: str, owner: str, name: str) -> FileError:
    """What anybody hears who may not know of a volume, whether there is one or not."""
    where = "/".join(part for part in (root, owner, name) if part)
    return FileError(
        f"There is no volume {where}, or it is not shared with you. The list of volumes says which you can use.",
        Kind.MISSING,
    )


def is_name(name: str) -> bool:
    """Whether a volume, its owner or a root volume can be called so."""
    try:
        UserVolume(name, name, name)
    except VolumeError:
        return False
    return True


def sharees(items: object) -> dict[tuple[str, str], frozenset[Action]]:
    """Whom to share with, from the contract's JSON.

    Raises
    ------
    FileError
        NAME: it is not of that form; nothing has been changed.
    """
    form = 'A list like [{"name": "bob", "type": "USER", "allowedActions": ["read"]}] is needed'
    if not isinstance(items, list):
        raise FileError(f"{form}.", Kind.NAME)
    found: dict[tuple[str, str], frozenset[Action]] = {}
    for item in items:
        if not isinstance(item, dict):
            raise FileError(f"{form}.", Kind.NAME)
        kind = item.get("type", "USER")
        if kind not in ("USER", "GROUP"):
            raise FileError(f'{form}: "type" is "USER" or "GROUP".', Kind.NAME)
        name = item.get("name")
        if not isinstance(name, str) or not _is_sharee(kind, name):
            what = "user" if kind == "USER" else "group"
            raise FileError(f'{form}: "name" is not the name of a {what}.', Kind.NAME)
        actions = item.get("allowedActions")
        if not isinstance(actions, list) or not all(isinstance(action, str) for action in actions):
            raise FileError(f'{form}: "allowedActions" is a list; an empty one ends the share.', Kind.NAME)
        try:
            found[kind, name] = frozenset(Action(action.lower()) for action in actions)
        except ValueError as error:
            words = ", ".join(Action)
            raise FileError(f'{form}: "allowedActions" are of {words}.', Kind.NAME) from error
    return found


def _is_sharee(kind: str, name: str) -> bool:
    """Whether somebody, or a group, can be called so; nobody here knows all that there are."""
    if kind == "USER":
        return is_name(name)
    return 0 < len(name) <= 255 and name.isprintable() and name == name.strip()


def spelled(actions: Iterable[Action]) -> list[str]:
    """The contract's names, in its order."""
    return [str(action) for action in Action if action in set(actions)]
