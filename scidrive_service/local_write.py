"""Writing and moving in a local tree."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable

from scidrive_service import checksums, kernel
from scidrive_service.errors import FileError, Kind
from scidrive_service.local_errors import meaning, told
from scidrive_service.local_place import Descriptor, Place, entry, hidden_name, locked, tagged
from scidrive_service.local_remove import discard
from scidrive_service.paths import Path, shown
from scidrive_service.tree import Data, Entry

Check = Callable[[Entry | None], None]


class LocalWriter:
    """A file without a name (O_TMPFILE) until it is committed: whatever ends the process, the kernel removes it.

    Where the file system has no such files it is one with a hidden name in the root, which `local_remove.sweep`
    removes if it is left behind.
    """

    def __init__(self, place: Place, path: Path, *, overwrite: bool, parents: bool, check: Check | None) -> None:
        self._place = place
        self._path = path
        self._overwrite = overwrite
        self._parents = parents
        self._check = check
        self._hash = hashlib.sha256()
        self._hidden: bytes | None = None
        self.modified: float | None = None
        with place.acting(), told(path):
            self._refuse_early()
            try:
                number = kernel.open_unnamed(place.root)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
                self._hidden = hidden_name()
                number = kernel.open_beneath(place.root, self._hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)

        self._file: Descriptor | None = Descriptor(number)

    def _refuse_early(self) -> None:
        """What can be known before the content comes; at commit it is looked at again."""
        try:
            seen = self._place.look(self._path)
        except FileNotFoundError:
            if not self._parents:
                os.close(self._place.folder(self._path[:-1]))
            return
        if seen.is_folder:
            raise OSError(errno.EISDIR, "")
        if not self._overwrite:
            raise FileExistsError(errno.EEXIST, "")

    def write(self, data: bytes | memoryview) -> None:
        file = self._opened()
        self._hash.update(data)
        with self._place.acting():
            rest = memoryview(data).cast("B")
            try:
                while rest:
                    rest = rest[os.write(file.number, rest) :]
            except OSError as error:
                self.abort()
                del file  # or the error's traceback would keep it, and its room on the disk
                raise meaning(error, self._path) from error

    def _opened(self) -> Descriptor:
        file = self._file
        if file is None:
            raise FileError("This upload was given up, or is over. Begin a new one.", Kind.UNAVAILABLE)
        return file

    def commit(self) -> Entry:
        file, name = self._opened(), os.fsencode(self._path[-1])
        try:
            with self._place.acting(), told(self._path):
                checksums.keep(file.number, self._hash.digest(), self.modified)
                folder = self._place.folder(self._path[:-1], make=self._parents)
                try:
                    with locked((folder, name)):
                        if self._check is not None:
                            self._check(self._present())
                        self._give_name(file.number, folder, name)
                finally:
                    os.close(folder)
                return entry(self._path, kernel.status(file.number), file.number)
        finally:
            self.abort()
            del file

    def _present(self) -> Entry | None:
        try:
            return self._place.look(self._path)
        except FileNotFoundError:
            return None

    def _give_name(self, fd: int, folder: int, name: bytes) -> None:
        root = self._place.root
        if self._hidden is None:
            try:
                return kernel.give_name(fd, folder, name)
            except FileExistsError:
                if not self._overwrite:
                    raise
            hidden = hidden_name()
            kernel.give_name(fd, root, hidden)
            self._hidden = hidden
        if self._overwrite:
            self._keep_mode(fd, folder, name)
            os.rename(self._hidden, name, src_dir_fd=root, dst_dir_fd=folder)
        else:
            rename_new(root, self._hidden, folder, name)
        self._hidden = None

    def _keep_mode(self, fd: int, folder: int, name: bytes) -> None:
        """Who replaces a program's text wants a program."""
        try:
            seen = kernel.status(folder, name)
        except FileNotFoundError:
            return
        if seen.is_file:
            os.fchmod(fd, seen.mode & 0o777)

    def abort(self) -> None:
        self._file = None
        hidden, self._hidden = self._hidden, None
        if hidden is not None:
            with self._place.acting(), contextlib.suppress(FileNotFoundError):  # swept, as if left behind
                discard(self._place.root, hidden)


def write_new(place: Place, path: Path, data: Data, modified: float | None) -> Entry | None:
    """A small file that is not there yet, in a folder that is: with the fewest calls of the system.

    Parameters
    ----------
    modified
        As of `tree.DatedWriter`.

    Returns
    -------
    Entry, optional
        None: it is not so simple, nothing was done, and a `LocalWriter` is needed.
    """
    name = os.fsencode(path[-1])
    with place.acting(), told(path):
        try:
            folder = place.open(path[:-1], kernel.PLACE)
        except OSError:
            return None
        try:
            if kernel.has(folder, name):
                return None
            file = kernel.open_unnamed(folder)
            try:
                return _write_new(file, folder, name, path, data, modified)
            finally:
                os.close(file)
        except OSError as error:
            if error.errno in {errno.EOPNOTSUPP, errno.EEXIST}:
                return None
            raise
        finally:
            os.close(folder)


def _write_new(file: int, folder: int, name: bytes, path: Path, data: Data, modified: float | None) -> Entry:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
    kept = checksums.keep(file, hashlib.sha256(data).digest(), modified)
    kernel.give_name(file, folder, name)  # and never replaces, whoever has made another one meanwhile
    return entry(path, kernel.status(file), file) if kept is None else tagged(path, *kept)


def rename_new(source: int, name: bytes, target: int, new_name: bytes) -> None:
    """Rename, and never replace.

    A file system without RENAME_NOREPLACE (NFS, for one) can do so with files, by a second name. With folders it
    refuses to replace only what has something in it; others of our process are kept off by `locked`.
    """
    try:
        return kernel.rename(source, name, target, new_name, kernel.RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
    if not kernel.status(source, name).is_folder:
        os.link(name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        os.unlink(name, dir_fd=source)
        return
    try:
        kernel.status(target, new_name)
    except FileNotFoundError:
        os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
    else:
        raise FileExistsError(errno.EEXIST, "")


def move(place: Place, source: Path, target: Path, *, overwrite: bool, parents: bool) -> Entry:
    """See `tree.Tree.move`. A link is moved, not what it leads to.

    A file replaces a file in one step. Where a folder is replaced, or replaces, the two change places in one step and
    the old one is removed under the source's name: the target's name has the one or the other at any time.
    """
    if len(target) > len(source) and target[: len(source)] == source:
        raise FileError(f"{shown(source)} cannot be moved into itself. Choose another folder.", Kind.NAME)
    name, new_name = os.fsencode(source[-1]), os.fsencode(target[-1])
    with told(source, Kind.MISSING):
        folder = place.folder(source[:-1])
    try:
        with told(source, Kind.MISSING):
            kernel.status(folder, name)
        with told(target):
            to = place.folder(target[:-1], make=parents)
            try:
                with locked((folder, name), (to, new_name)):
                    if overwrite:
                        _replace(place, folder, name, to, new_name)
                    else:
                        rename_new(folder, name, to, new_name)
                result = place.look_in(to, target[:-1], new_name, follow=True)
            finally:
                os.close(to)
    finally:
        os.close(folder)
    if result is None:
        raise FileError(f"{shown(target)} was moved on or removed at once by somebody else.", Kind.MISSING)
    return result


def _replace(place: Place, folder: int, name: bytes, to: int, new_name: bytes) -> None:
    try:
        return rename_new(folder, name, to, new_name)
    except FileExistsError:
        pass
    source, target = kernel.status(folder, name), kernel.status(to, new_name)
    if (source.device, source.inode) == (target.device, target.inode):
        here, there = kernel.status(folder), kernel.status(to)
        if (here.device, here.inode, name) != (there.device, there.inode, new_name):
            os.unlink(name, dir_fd=folder)  # two names of one file, which rename leaves as they are
    elif source.is_folder or target.is_folder:
        kernel.rename(folder, name, to, new_name, kernel.RENAME_EXCHANGE)
        discard(folder, name, place.root)
    else:
        os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=to)
