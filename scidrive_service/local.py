"""Files in a directory of this machine: a user's volume, SciDrive, or a data volume."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator

from scidrive_service import kernel, local_remove, local_stage, local_walk, local_write
from scidrive_service.errors import FileError, Kind
from scidrive_service.local_errors import told
from scidrive_service.local_place import Descriptor, Place, check, entry, is_hidden, names, needs_name
from scidrive_service.paths import Path, shown
from scidrive_service.tree import Data, Entry, Reader, Usage, Writer


class LocalReader:
    """An open file."""

    def __init__(self, fd: int, path: Path, seen: kernel.Status) -> None:
        self._file: Descriptor | None = Descriptor(fd)
        self.entry: Entry = entry(path, seen, fd)

    def fileno(self) -> int:
        """For `os.sendfile` and the like."""
        return self._opened().number

    def _opened(self) -> Descriptor:
        file = self._file
        if file is None:
            raise FileError("The file is closed already. Open it again.", Kind.UNAVAILABLE)
        return file

    def read(self, offset: int, length: int) -> bytes:
        file = self._opened()
        with told(self.entry.path):
            data = os.pread(file.number, length, offset)
            while 0 < len(data) < length:  # one read gives 2 GiB at most, and network file systems give less
                more = os.pread(file.number, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
            return data

    def close(self) -> None:
        self._file = None


class LocalTree:
    """A `tree.Tree` in a directory.

    Parameters
    ----------
    root
        The directory; it must exist.
    read_only
        Whatever would change something raises FORBIDDEN.
    account
        Files are used as this account (uid and gid), and new ones belong to it. None: the process's own.

    Notes
    -----
    Links are followed as long as they lead below the root, and not by an absolute path: in a container that begins
    elsewhere. Files with several names (hard links) are files like others: a container can give a second name only to
    what it sees, and a mount is as far as the kernel lets a hard link go, so that both names are in the same volume.

    Raises
    ------
    FileError
        UNAVAILABLE: this kernel, or the rights of this process, do not suffice. MISSING: there is no such directory.
    """

    def __init__(self, root: pathlib.Path, *, read_only: bool = False, account: int | None = 1000) -> None:
        account = kernel.require(account)
        self._is_read_only = read_only
        with told(()):
            self._place = Place.kept(os.open(root, kernel.PLACE | os.O_CLOEXEC), account)

    def stat(self, path: Path) -> Entry:
        check(path)
        with self._place.acting(), told(path, Kind.MISSING):
            return self._place.look(path)

    def list(self, path: Path) -> list[Entry]:
        check(path)
        with self._place.acting(), told(path):
            fd = self._place.open(path, kernel.FOLDER)
            try:
                found = sorted(name for name in names(fd) if not is_hidden(name))
                entries = [self._place.look_in(fd, path, name, follow=True) for name in found]
            finally:
                os.close(fd)
        return [entry for entry in entries if entry is not None]

    def open(self, path: Path) -> Reader:
        """A pipe or device is looked at but never opened, which would already do something to it."""
        check(path)
        with self._place.acting(), told(path, Kind.MISSING):
            place = self._place.open(path, os.O_PATH)
            try:
                seen = kernel.status(place)
                if seen.is_folder:
                    raise FileError(f"{shown(path)} is a folder: give the name of a file.", Kind.NOT_A_FOLDER)
                if not seen.is_file:
                    raise FileError(
                        f"{shown(path)} is a device, a pipe or a socket: only files are served.", Kind.UNSAFE
                    )
                fd = kernel.reopen(place, os.O_RDONLY)
            finally:
                os.close(place)
            return LocalReader(fd, path, seen)

    def create(
        self, path: Path, *, overwrite: bool = True, parents: bool = True, check: local_write.Check | None = None
    ) -> Writer:
        """A link of that name is replaced, and not what it leads to."""
        self._may_write(path)
        return local_write.LocalWriter(self._place, path, overwrite=overwrite, parents=parents, check=check)

    def write_new(self, path: Path, data: Data, modified: float | None = None) -> Entry | None:
        """A small new file in one go; None: that cannot be, and `create` is needed. See `local_write.write_new`."""
        self._may_write(path)
        return local_write.write_new(self._place, path, data, modified)

    def make_folder(self, path: Path, *, parents: bool = True) -> bool:
        if not path:
            return False
        self._may_write(path)
        with self._place.acting(), told(path):
            if not parents:
                os.close(self._place.folder(path[:-1]))
            is_made = self._place.make(path)
            if not is_made and not self._place.look(path).is_folder:
                raise FileError(f"{shown(path)} is a file. Choose another name for the folder.", Kind.EXISTS)
            return is_made

    def remove(self, path: Path) -> None:
        self._may_write(path)
        with self._place.acting():
            local_remove.remove(self._place, path)

    def move(self, source: Path, target: Path, *, overwrite: bool = True, parents: bool = True) -> Entry:
        self._may_write(source)
        self._may_write(target)
        with self._place.acting():
            return local_write.move(self._place, source, target, overwrite=overwrite, parents=parents)

    def walk(self, path: Path) -> Iterator[Entry]:
        check(path)
        return local_walk.walk(self._place, path)

    def below(self, path: Path) -> LocalTree:
        """The tree of one folder, to be read: no link in it leads out of the folder."""
        check(path)
        with self._place.acting(), told(path):
            tree = LocalTree.__new__(LocalTree)
            tree._is_read_only = True
            tree._place = Place.kept(self._place.open(path, kernel.PLACE), self._place.account)
        return tree

    def usage(self, path: Path = ()) -> Usage:
        check(path)
        return local_walk.usage(self._place, path)

    def free(self) -> int | None:
        with told(()):
            seen = os.statvfs(f"/proc/self/fd/{self._place.root}")
        return seen.f_bavail * seen.f_frsize

    def held(self, path: Path) -> Usage | None:
        """What removing a name gives back: of a link its own, of a file with several names nothing. None: a folder."""
        needs_name(path)
        return local_stage.held(self._place, path)

    def inner_link(self, path: Path, top: Path) -> str | None:
        """Where a link leads, as it is written, if that is below `top`, which the link is below, too; else None."""
        check(path)
        return local_stage.inner_link(self._place, path, top)

    def remove_if(self, path: Path, verify: Callable[[Entry], None]) -> None:
        """Remove a file unless `verify`, which gets the very one, raises."""
        self._may_write(path)
        local_stage.remove_if(self._place, path, verify)

    def stage(self) -> StagedTree:
        """A folder to fill out of sight."""
        self._may_write(("staged",))
        return StagedTree(self._place)

    def clear(self) -> None:
        """Remove everything in it, before the directory itself is removed."""
        self._may_write(("everything",))
        with self._place.acting():
            local_remove.clear(self._place)

    def sweep(self, seconds: float = 86_400.0) -> int:
        """Remove what processes that were killed so long ago have left behind (hidden names); how many there were."""
        self._may_write(("hidden",))
        with self._place.acting():
            return local_remove.sweep(self._place, seconds)

    def close(self) -> None:
        """Its readers and writers go on."""
        self._place = Place(-1, self._place.account)

    def _may_write(self, path: Path) -> None:
        needs_name(path)
        if self._is_read_only:
            raise FileError("This volume can only be read. Copy what you need to one of your own.", Kind.FORBIDDEN)


class StagedTree(LocalTree):
    """A hidden folder of a tree, which gets a name in it when all is there."""

    def __init__(self, parent: Place) -> None:
        self._is_read_only = False
        self._stage = local_stage.Stage(parent)
        self._place = self._stage.place

    def make_link(self, path: Path, target: str) -> None:
        """Make a symbolic link."""
        self._may_write(path)
        local_stage.make_link(self._place, path, target)

    def publish(self, path: Path, target: Path, *, overwrite: bool, parents: bool = True) -> Entry:
        """Give what is here at a path, or with ``()`` the folder itself, a name in the tree that it is of."""
        return self._stage.publish(path, target, overwrite=overwrite, parents=parents)

    def close(self) -> None:
        """Remove what was not published."""
        self._stage.drop()
