"""Volumes and quotas in the contract's JSON (contract §5.1, §5.4)."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from scidrive_service.access import Action, Known, Person, spelled
from scidrive_service.models import Volume
from scidrive_service.paths import Path, encoded
from scidrive_service.policy import RootPolicy
from scidrive_service.store import Expiring
from scidrive_service.tree import Usage
from sciserver_spawner.volumes import WORKSPACE


def names(volume: Volume) -> Path:
    """How the paths of a volume's files begin."""
    return tuple(part for part in (volume.root, volume.owner, volume.name) if part)


def iso(moment: datetime.datetime) -> str:
    """A moment, UTC; the database's have no zone."""
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def root_volume(number: int, policy: RootPolicy, volumes: Iterable[Known], person: Person) -> dict[str, Any]:
    """One of ``rootVolumes``. Paths of this machine are nobody's business: containers' are given."""
    return {
        "id": number,
        "resourceUUID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"sciserver:root:{policy.name}")),
        "name": policy.name,
        "description": policy.description,
        "pathOnFileSystem": str(WORKSPACE / policy.name),
        "containsSharedVolumes": True,
        "allowedActions": ["create"] if policy.users_create else [],
        "userVolumes": [user_volume(each, person) for each in volumes if each.volume.root == policy.name],
    }


def user_volume(known: Known, person: Person) -> dict[str, Any]:
    """One of ``userVolumes``; with whom it is shared is told to those who may share it."""
    volume, actions = known.volume, known.actions(person)
    shares = known.shares if Action.GRANT in actions else ()
    return {
        "id": volume.id,
        "resourceUUID": volume.uuid,
        "name": volume.name,
        "description": volume.description,
        "relativePath": "/".join(names(volume)[1:]),
        "owner": volume.owner,
        "allowedActions": spelled(actions),
        "sharedWith": [
            {"id": str(share.id), "name": share.name, "type": share.kind, "allowedActions": share.actions.split(",")}
            for share in shares
        ],
        "owningResourceId": None,
    }


def data_volume(number: int, name: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """One of ``dataVolumes``."""
    return {
        "id": number,
        "resourceUUID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"sciserver:data:{name}")),
        "name": name,
        "displayName": texts.get("displayName", name),
        "description": texts.get("description", ""),
        "pathOnFileSystem": str(WORKSPACE / name),
        "url": texts.get("url", ""),
        "allowedActions": [str(Action.READ)],
        "sharedWith": [],
    }


def quotas(
    number: int,
    policy: RootPolicy,
    owner: str,
    held: Iterable[tuple[Volume, Usage]],
    enforced_together: bool,
    enforced_each: bool,
) -> list[dict[str, Any]]:
    """The part of ``api/usage`` for one root volume: all volumes of an owner together, and each of them.

    A quota of 0: no limit. ``enforced`` says who stops a container that writes too much: the file system
    (``project quota``), or nobody but the doors (``service only``).
    """
    held = list(held)
    total = Usage(sum(usage.bytes for _, usage in held), sum(usage.files for _, usage in held))
    place = {"rootVolumeId": number, "rootVolumeName": policy.name}
    limits = (policy.user_bytes, policy.user_files)
    rows = [{"type": "PER_USER", **place, "username": owner, **_quota(total, *limits, enforced_together)}]
    limits = (policy.volume_bytes, policy.volume_files)
    for volume, usage in held:
        which = {"userVolumeId": volume.id, "userVolumeName": volume.name}
        rows.append({"type": "PER_VOLUME", **place, **which, **_quota(usage, *limits, enforced_each)})
    return rows


def _quota(usage: Usage, bytes: int, files: int, is_enforced: bool) -> dict[str, Any]:
    return {
        "numberOfFilesUsed": usage.files,
        "numberOfFilesQuota": files,
        "numberOfBytesUsed": usage.bytes,
        "numberOfBytesQuota": bytes,
        "enforced": "project quota" if is_enforced else "service only",
    }


def expiring(volume: Volume, file: Expiring) -> dict[str, Any]:
    """One of ``api/expiring``."""
    path = names(volume) + file.path
    return {
        "path": "/".join(path),
        "href": encoded(path),
        "size": file.size,
        "created": iso(datetime.datetime.fromtimestamp(file.created, datetime.UTC)),
        "expires": iso(file.due),
    }
