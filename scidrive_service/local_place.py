"""The root of a local tree, how paths below it are resolved, and what is seen there."""

from __future__ import annotations

import errno
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scidrive_service import checksums, kernel, paths
from scidrive_service.errors import FileError, Kind
from scidrive_service.paths import Path
from scidrive_service.tree import Entry

_HIDDEN = os.fsencode(paths.HIDDEN)

_LAST_SECOND = 253402300799.0
"""Of the year 9999."""


def joined(path: Path) -> bytes:
    """For the kernel; the root is ``.``."""
    return os.fsencode("/".join(path)) or b"."


def hidden_name() -> bytes:
    """A new name for what nobody is to see."""
    return _HIDDEN + secrets.token_hex(12).encode()


def is_hidden(name: bytes) -> bool:
    return name.startswith(_HIDDEN)


def names(folder: int) -> list[bytes]:
    """What is in a folder that was opened for reading just now."""
    return [os.fsencode(name) for name in os.listdir(folder)]


def entry(path: Path, seen: kernel.Status, where: int | bytes, *, follow: bool = True) -> Entry:
    """What the doors show of a file or folder; `where` as for `checksums.tag`."""
    return tagged(path, seen, checksums.tag(seen, where, follow=follow) if seen.is_file else "")


def tagged(path: Path, seen: kernel.Status, tag: str) -> Entry:
    """The same, of a file whose entity tag is known."""
    is_file, is_folder = seen.is_file, seen.is_folder
    return Entry(
        path,
        is_folder,
        seen.size if is_file else 0,
        _sane(seen.modified),
        _sane(seen.birth or min(seen.modified, seen.changed)),
        tag,
        is_file or is_folder,
    )


def _sane(nanoseconds: int) -> float:
    """Seconds that dates can be made of: a container can give a file any time, also in the year 292277026596."""
    return min(max(nanoseconds / 1e9, 0.0), _LAST_SECOND)


class Descriptor:
    """Closes what is open when nobody needs it any more, and not earlier.

    The number is soon another file's, of another volume perhaps. So whoever uses it in a thread has this in a variable
    meanwhile: a request may be given up while its thread still reads or writes.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tree is.

    Attributes
    ----------
    root
        Its folder, open as a place (O_PATH).
    account
        The one to use files as; None: the process's own. Callers enter `kernel.Acting` with it.
    keeper
        What keeps `root` open.
    """

    root: int
    account: int | None
    keeper: Descriptor | None = None

    @classmethod
    def kept(cls, root: int, account: int | None) -> Place:
        """A place that stays open as long as anybody has it: trees, and also writers that have outlived their tree."""
        return cls(root, account, Descriptor(root))

    def acting(self) -> kernel.Acting:
        return kernel.Acting(self.account)

    def open(self, path: Path, flags: int) -> int:
        """Open what is there; links inside the root are followed."""
        return kernel.open_beneath(self.root, joined(path), flags)

    def folder(self, path: Path, *, make: bool = False) -> int:
        """A folder as a place, made with its parents if need be."""
        try:
            return self.open(path, kernel.PLACE)
        except FileNotFoundError:
            if not make:
                raise
        self.make(path)
        return self.open(path, kernel.PLACE)

    def make(self, path: Path) -> bool:
        """Make a folder and the parents that are missing; whether the last one was made by this."""
        depth = len(path) - 1
        while depth > 0 and not self._has(path[:depth]):
            depth -= 1
        is_made = False
        for end in range(depth, len(path)):
            parent = self.open(path[:end], kernel.PLACE)
            try:
                os.mkdir(os.fsencode(path[end]), 0o755, dir_fd=parent)
                is_made = True
            except FileExistsError:
                is_made = False
            finally:
                os.close(parent)
        return is_made

    def _has(self, path: Path) -> bool:
        try:
            os.close(self.open(path, kernel.PLACE))
        except FileNotFoundError:
            return False
        return True

    def look(self, path: Path) -> Entry:
        """What is at a path: what a link leads to, or the link itself if that is broken or outside."""
        try:
            fd = self.open(path, os.O_PATH)
        except OSError as error:
            if not path or error.errno not in {errno.ENOENT, errno.ELOOP, errno.EXDEV}:
                raise
            link = self._link(path)
            if link is None:
                raise
            return link
        try:
            return entry(path, kernel.status(fd), b"/proc/self/fd/%d" % fd)
        finally:
            os.close(fd)

    def _link(self, path: Path) -> Entry | None:
        try:
            fd = self.open(path, os.O_PATH | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            seen = kernel.status(fd)
        except OSError:
            return None
        finally:
            os.close(fd)
        return entry(path, seen, b"") if seen.is_link else None

    def look_in(self, folder: int, path: Path, name: bytes, *, follow: bool) -> Entry | None:
        """What a folder has under a name; None if it is gone by now.

        Parameters
        ----------
        path
            The folder's.
        follow
            Show what a link leads to, if that is below the root.
        """
        path = (*path, os.fsdecode(name))
        try:
            seen = kernel.status(folder, name)
        except FileNotFoundError:
            return None
        if seen.is_link and follow:
            try:
                return self.look(path)
            except OSError:
                pass  # changed while we look, or through a folder that may not be searched: shown as the link
        return entry(path, seen, b"/proc/self/fd/%d/%b" % (folder, name), follow=False)


def check(path: Path) -> None:
    """Raise FileError for names that no request may give: the doors have parsed the path, others may not have."""
    for name in path:
        paths.check(name)


def needs_name(path: Path) -> None:
    """Raise FileError for the root where something below it is needed."""
    check(path)
    if not path:
        raise FileError(
            "This cannot be done with the volume itself: give the path of something in it.", Kind.FORBIDDEN
        )


_LOCKS = [threading.Lock() for _ in range(256)]
"""For names: a fixed number, so that nothing has to be tidied up. Two names may share one, which costs a little
waiting and nothing else; whoever needs several takes them in order."""


@contextmanager
def locked(*where: tuple[int, bytes]) -> Iterator[None]:
    """Keep other writers of ours off some names, each given as its folder, open, and name."""
    numbers = set()
    for folder, name in where:
        seen = kernel.status(folder)
        numbers.add(hash((seen.device, seen.inode, name)) % len(_LOCKS))
    taken: list[threading.Lock] = []
    try:
        for number in sorted(numbers):
            _LOCKS[number].acquire()
            taken.append(_LOCKS[number])
        yield
    finally:
        for lock in taken:
            lock.release()
