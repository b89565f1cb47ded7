"""Root volumes whose files are removed after a time: announced first, then removed.

The rule goes by the file's age since it was made there, which no program in a container can set. A file is removed
only after it was listed as expiring for as long as the policy promises: a service that was down, or an operator who
shortens the time, takes nobody's files without a warning.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator

from scidrive_service.errors import FileError, Kind
from scidrive_service.models import Volume, now
from scidrive_service.paths import Path
from scidrive_service.policy import RootPolicy
from scidrive_service.store import Expiring, Store
from scidrive_service.tree import Entry, Tree

log = logging.getLogger(__name__)


_MOST = 50_000
"""Warnings that are kept for one volume. Further files are announced, and live, until the first are gone."""

_AT_ONCE = 2_000


class _Changed(Exception):
    """The file is not the one that was announced."""


def announced(tree: Tree, volume: Volume, policy: RootPolicy, known: dict[Path, Expiring]) -> Iterator[Expiring]:
    """Files of a volume that the rule removes within the time of the warning, or has to remove already."""
    if policy.expires_after is None:
        return
    moment = now()
    for entry in tree.walk(()):
        if entry.is_folder:
            continue
        due = _moment(entry.created) + datetime.timedelta(hours=policy.expires_after)
        if due - datetime.timedelta(hours=policy.warn_before) > moment:
            continue
        before = known.get(entry.path)
        is_known = before is not None and before.created == entry.created
        since = before.since if before is not None and is_known else moment
        due = max(due, since + datetime.timedelta(hours=policy.warn_before))
        yield Expiring(volume.id, entry.path, entry.created, entry.size, due, since)


def sweep(tree: Tree, volume: Volume, policy: RootPolicy, store: Store) -> list[Expiring]:
    """Announce what is to be announced, and remove what was announced long enough ago.

    Folders stay, and links go themselves, never what they lead to.

    Returns
    -------
    list of Expiring
        What was removed.
    """
    known = {file.path: file for file in store.warned([volume.id])}
    moment, count = now(), len(known)
    removed: list[Expiring] = []
    fresh: list[Expiring] = []
    gone = dict.fromkeys(known)
    for file in announced(tree, volume, policy, known):
        gone.pop(file.path, None)
        if file.due <= moment:
            if _remove(tree, file):
                removed.append(file)
                gone[file.path] = None
        elif known.get(file.path) != file and (file.path in known or count < _MOST):
            count += file.path not in known
            fresh.append(file)
            if len(fresh) >= _AT_ONCE:
                store.warn(volume.id, fresh, [])
                fresh.clear()
    if fresh or gone:
        store.warn(volume.id, fresh, list(gone))
    for file in removed:
        store.remove_properties(volume.id, file.path)
    if removed:
        where = f"{volume.root}/{volume.owner}/{volume.name}"
        log.info("%s: %d files were removed, their time was over", where, len(removed))
    return removed


def _remove(tree: Tree, file: Expiring) -> bool:
    def verify(found: Entry) -> None:
        if (found.created, found.size) != (file.created, file.size) or found.is_folder:
            raise _Changed

    try:
        remove_if = getattr(tree, "remove_if", None)
        if remove_if is not None:
            remove_if(file.path, verify)
        else:
            verify(tree.stat(file.path))
            tree.remove(file.path)
    except _Changed:
        return False
    except FileError as error:
        if error.kind is not Kind.MISSING:
            log.warning("a file whose time is over cannot be removed: %s", error)
        return False
    return True


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)
