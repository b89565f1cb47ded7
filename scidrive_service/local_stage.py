"""Folders that are filled out of sight, and files that are removed only if they are the right ones."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from scidrive_service import kernel, local_remove, local_write
from scidrive_service.errors import Kind
from scidrive_service.local_errors import meaning, told
from scidrive_service.local_place import Place, hidden_name
from scidrive_service.paths import Path
from scidrive_service.tree import Entry, Usage


class Stage:
    """A hidden folder in the root of a tree, until it gets a name or is dropped.

    If the process is killed, `local_remove.sweep` removes it later.

    Attributes
    ----------
    place
        The folder, for a tree in it.
    """

    def __init__(self, parent: Place) -> None:
        self._parent = parent
        self._name = hidden_name()
        self._is_dropped = False
        with parent.acting(), told(()):
            os.mkdir(self._name, 0o755, dir_fd=parent.root)
            self.place = Place.kept(
                kernel.open_beneath(parent.root, self._name, kernel.PLACE, follow=False), parent.account
            )

    def publish(self, path: Path, target: Path, *, overwrite: bool, parents: bool) -> Entry:
        """Give the folder, or what is at a path in it, its name in one step; see `tree.Tree.move`."""
        source = (os.fsdecode(self._name), *path)
        with self._parent.acting():
            return local_write.move(self._parent, source, target, overwrite=overwrite, parents=parents)

    def drop(self) -> None:
        """Remove what has not been published. May be called twice."""
        if self._is_dropped:
            return
        self._is_dropped = True
        with self._parent.acting():
            try:
                local_remove.discard(self._parent.root, self._name)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise meaning(error, ()) from error


def held(place: Place, path: Path) -> Usage | None:
    """What removing a name gives back, a link itself and not what it leads to; None for a folder.

    Raises
    ------
    FileError
        MISSING.
    """
    with place.acting(), told(path, Kind.MISSING):
        folder = place.folder(path[:-1])
        try:
            seen = kernel.status(folder, os.fsencode(path[-1]))
        finally:
            os.close(folder)
    if seen.is_folder:
        return None
    if seen.links > 1:
        return Usage(0, 0)
    return Usage(seen.size if seen.is_file else 0, 1)


def inner_link(place: Place, path: Path, top: Path) -> str | None:
    """Where a link leads, as it is written, if that is below a folder it is itself in; else None."""
    with place.acting(), told(path, Kind.MISSING):
        folder = place.folder(path[:-1])
        try:
            target = os.readlink(os.fsencode(path[-1]), dir_fd=folder)
        except OSError as error:
            if error.errno == errno.EINVAL:  # not a link
                return None
            raise
        finally:
            os.close(folder)
    if target.startswith(b"/"):
        return None
    depth = len(path) - len(top) - 1
    for name in target.split(b"/"):
        depth += {b"": 0, b".": 0, b"..": -1}.get(name, 1)
        if depth < 0:
            return None
    return os.fsdecode(target)


def make_link(place: Place, path: Path, target: str) -> None:
    """Make a link; what it leads to is looked at when it is followed."""
    with place.acting(), told(path):
        folder = place.folder(path[:-1], make=True)
        try:
            os.symlink(os.fsencode(target), os.fsencode(path[-1]), dir_fd=folder)
        finally:
            os.close(folder)


def remove_if(place: Place, path: Path, check: Callable[[Entry], None]) -> None:
    """Remove a file, unless `check` raises: nobody can put another one in its place between the two.

    Raises
    ------
    FileError
        What `check` raises; the file has its name again then. MISSING.
    """
    name, hidden = os.fsencode(path[-1]), hidden_name()
    with place.acting(), told(path, Kind.MISSING):
        folder = place.folder(path[:-1])
        try:
            os.rename(name, hidden, src_dir_fd=folder, dst_dir_fd=place.root)
            try:
                found = place.look_in(place.root, (), hidden, follow=False)
                if found is None:
                    raise FileNotFoundError
                check(found)
            except BaseException:
                local_write.rename_new(place.root, hidden, folder, name)
                raise
            local_remove.discard(place.root, hidden)
        finally:
            os.close(folder)
