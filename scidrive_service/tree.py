"""What the doors need of a storage: files and folders below one root.

All methods block, and are called in threads. Implementations: `local.LocalTree`, directories of a file system, and
`objects.ObjectTree`, a bucket of an object store. They raise `FileError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from scidrive_service.paths import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or folder.

    Attributes
    ----------
    path
        From the volume's root.
    size
        Bytes; 0 for a folder.
    modified, created
        Seconds since 1970. `created` is the birth time where the storage knows it, else the change that is oldest.
    etag
        Of a file: a strong entity tag without quotes: ``sha256-<hex>`` of the content where that is known, else one
        that changes with every change of the file. Of a folder: empty.
    is_safe
        False for what is listed but never opened: links that are broken or lead out of the volume, pipes, devices.
    """

    path: Path
    is_folder: bool
    size: int
    modified: float
    created: float
    etag: str
    is_safe: bool = True

    @property
    def name(self) -> str:
        """Empty for the volume's root."""
        return self.path[-1] if self.path else ""


Data = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree takes: bytes and number of files; folders, links and the like are files of no bytes."""

    bytes: int
    files: int


class Reader(Protocol):
    """An open file. What was opened stays the same file, also if another one takes its name meanwhile."""

    entry: Entry

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; fewer only at the end of the file."""

    def close(self) -> None:
        """May be called twice."""


class Writer(Protocol):
    """A file on its way: it appears under its name, whole, at `commit`, or never."""

    def write(self, data: bytes | memoryview) -> None:
        """Append.

        Raises
        ------
        FileError
            FULL: the disk is full.
        """

    def commit(self) -> Entry:
        """Give the file its name.

        Raises
        ------
        FileError
            EXISTS, CHANGED: somebody else has made or changed the file meanwhile, and the request excludes that.
        """

    def abort(self) -> None:
        """Forget it; nothing after `commit`. May be called twice."""


@runtime_checkable
class DatedWriter(Writer, Protocol):
    """A writer that keeps the time at which the client last changed the file.

    Attributes
    ----------
    modified
        Seconds since 1970, to be set before `commit`; None: now.
    """

    modified: float | None


class Tree(Protocol):
    """Files and folders below one root."""

    def stat(self, path: Path) -> Entry:
        """Raises MISSING; links inside the volume are followed."""

    def list(self, path: Path) -> list[Entry]:
        """What is in a folder, in order of names; raises MISSING, NOT_A_FOLDER."""

    def open(self, path: Path) -> Reader:
        """Raises MISSING, NOT_A_FOLDER (it is one), UNSAFE, FORBIDDEN."""

    def create(
        self,
        path: Path,
        *,
        overwrite: bool = True,
        parents: bool = True,
        check: Callable[[Entry | None], None] | None = None,
    ) -> Writer:
        """Begin a file.

        Parameters
        ----------
        overwrite
            False: raises EXISTS if there is something, here or at commit.
        parents
            Folders that are missing are made; False: raises MISSING.
        check
            Called at commit with what is there then (None: nothing), while no other writer of ours can change it.
            It raises to refuse: for ``If-Match``.
        """

    def make_folder(self, path: Path, *, parents: bool = True) -> bool:
        """Whether it was made: False if it was there. Raises EXISTS if a file has its name."""

    def remove(self, path: Path) -> None:
        """A file, or a folder with all that is in it; a link, not what it leads to. Raises MISSING."""

    def move(self, source: Path, target: Path, *, overwrite: bool = True, parents: bool = True) -> Entry:
        """Rename inside the tree, atomically. Raises EXISTS, and NAME for a folder into itself."""

    def walk(self, path: Path) -> Iterator[Entry]:
        """Everything below a folder, parents before children; links are not followed."""

    def usage(self, path: Path = ()) -> Usage:
        """Counted now."""

    def free(self) -> int | None:
        """Bytes that the storage has left; None if it does not say."""

    def close(self) -> None:
        """Give back what is open."""
