"""The storage of each volume, open as long as it is used."""

from __future__ import annotations

import collections
import logging
import os
import pathlib
import threading
from collections.abc import Callable

from scidrive_service.errors import FileError, Kind
from scidrive_service.local import LocalTree
from scidrive_service.models import Volume
from scidrive_service.policy import DRIVE
from scidrive_service.tree import Tree
from scidrive_service.volumes import Registry

log = logging.getLogger(__name__)

_MOST = 512
"""Volumes that are kept open: one file descriptor each."""


class Trees:
    """Opens volumes.

    Parameters
    ----------
    data_dir
        Where the data volumes are.
    account
        uid and gid that files are used as; None: this process's own.
    drive
        Where somebody's SciDrive is, by the owner's name; None: in a directory, as the other volumes.
    """

    def __init__(
        self,
        registry: Registry,
        data_dir: pathlib.Path,
        account: int | None,
        drive: Callable[[str], Tree] | None,
    ) -> None:
        self._registry, self._data_dir, self._account, self._drive = registry, data_dir, account, drive
        self._kept: collections.OrderedDict[object, tuple[tuple[int, int], Tree]] = collections.OrderedDict()
        self._lock = threading.Lock()

    def of(self, volume: Volume) -> Tree:
        """A user's volume. Raises MISSING if its directory is gone."""
        path = self._registry.path(volume.root, volume.owner, volume.name)
        drive = self._drive
        if self.is_elsewhere(volume) and drive is not None:
            return self._keep(volume.id, path, lambda: drive(volume.owner))
        return self._keep(volume.id, path, lambda: LocalTree(path, account=self._account))

    def of_data(self, name: str) -> Tree:
        """A data volume, by a name that has been checked. Raises MISSING."""
        path = self._data_dir / name
        return self._keep(("data", name), path, lambda: LocalTree(path, read_only=True, account=self._account))

    def is_elsewhere(self, volume: Volume) -> bool:
        """Whether the files are not in the volume's directory, but in an object store."""
        return volume.root == DRIVE and self._drive is not None

    def drop(self, volume: Volume) -> None:
        """The volume is gone."""
        with self._lock:
            self._kept.pop(volume.id, None)

    def _keep(self, key: object, path: pathlib.Path, make: Callable[[], Tree]) -> Tree:
        """A tree, open already if it was used before and the directory is still the same one."""
        try:
            status = os.stat(path)  # with each request, and a Path takes twice the time
        except FileNotFoundError as error:
            raise FileError("The volume is not there any more. Look at the list of volumes.", Kind.MISSING) from error
        except OSError as error:
            log.error("%s: %s", path, error)
            raise FileError("The storage does not answer. Try again in a minute.", Kind.UNAVAILABLE) from error
        identity = (status.st_dev, status.st_ino)
        with self._lock:
            before, tree = self._kept.get(key, (None, None))
            if tree is not None and before == identity:
                self._kept.move_to_end(key)
                return tree
        tree = make()
        with self._lock:
            self._kept[key] = identity, tree
            while len(self._kept) > _MOST:
                # Not closed: others may be using it. It closes itself when nobody does any more.
                self._kept.popitem(last=False)
        return tree
