"""Writing with a quota: room is reserved before data is written, and what became of it is counted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType

from scidrive_service import kernel
from scidrive_service.errors import FileError, Kind
from scidrive_service.models import Volume
from scidrive_service.paths import Path
from scidrive_service.policy import RootPolicy
from scidrive_service.quota import Quotas, Reservation
from scidrive_service.tree import Data, DatedWriter, Entry, Tree, Usage, Writer

Check = Callable[[Entry | None], None]

_STEP = 8 << 20
"""Bytes that are reserved at once for a file whose size is not known."""


@dataclass(frozen=True)
class Account:
    """Where a volume's files are counted."""

    quotas: Quotas
    volume: Volume
    policy: RootPolicy

    def reserve(self, bytes: int, files: int) -> Reservation:
        return self.quotas.reserve(self.volume, self.policy, bytes, files)

    def reserve_new(self, bytes: int) -> Reservation | None:
        """Room for one file more, which comes at once; None if it does not fit, as far as is known."""
        return self.quotas.reserve_new(self.volume, self.policy, bytes)

    def changing(self) -> AbstractContextManager[None]:
        return self.quotas.changing(self.volume)

    def changed(self, bytes: int, files: int) -> None:
        self.quotas.changed(self.volume, bytes, files)

    def unclear(self) -> None:
        self.quotas.unclear(self.volume)

    def gone(self, held: Usage | None) -> None:
        """A file was removed or replaced that held so much; None: a folder, which nobody has measured."""
        if held is None:
            self.unclear()
        else:
            self.changed(-held.bytes, -held.files)


def held(tree: Tree, path: Path) -> Usage | None:
    """What removing a file gives back; None for a folder. Raises MISSING."""
    ask = getattr(tree, "held", None)
    if ask is not None:
        found: Usage | None = ask(path)
        return found
    entry = tree.stat(path)
    return None if entry.is_folder else Usage(entry.size, 1)


def held_or_nothing(tree: Tree, path: Path) -> Usage | None:
    """The same; no bytes and no file if there is nothing."""
    try:
        return held(tree, path)
    except FileError as error:
        if error.kind in {Kind.MISSING, Kind.NOT_A_FOLDER}:
            return Usage(0, 0)
        raise


def _held_or_none(tree: Tree, path: Path) -> Usage | None:
    try:
        return held(tree, path)
    except FileError as error:
        if error.kind is Kind.MISSING:  # a container was faster
            return None
        raise


class NewFolders:
    """Folders that a write makes on its way, as a context: each is counted by one of the writes that need it.

    Attributes
    ----------
    count
        How many this one has to count.
    """

    def __init__(self, tree: Tree, account: Account, path: Path) -> None:
        self._account = account
        self._claimed = self._claim(missing_folders(tree, path))
        if self._claimed:  # and nobody has made them before they were claimed
            missing = set(missing_folders(tree, path))
            made = [folder for folder in self._claimed if folder not in missing]
            account.quotas.unclaim(account.volume, made, are_made=True)
            self._claimed = [folder for folder in self._claimed if folder in missing]
        self.count = len(self._claimed)

    def _claim(self, folders: list[Path]) -> list[Path]:
        return self._account.quotas.claim(self._account.volume, folders) if folders else []

    def done(self, *, are_made: bool) -> None:
        """The write has ended. May be called twice."""
        claimed, self._claimed = self._claimed, []
        if claimed:
            self._account.quotas.unclaim(self._account.volume, claimed, are_made=are_made)

    def __enter__(self) -> NewFolders:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done(are_made=kind is None)


def missing_folders(tree: Tree, path: Path) -> list[Path]:
    """Which folders must be made for this one to be there."""
    for depth in range(len(path), 0, -1):
        try:
            tree.stat(path[:depth])
        except FileError as error:
            if error.kind is Kind.MISSING:
                continue
        return [path[:end] for end in range(depth + 1, len(path) + 1)]
    return [path[:end] for end in range(1, len(path) + 1)]


def write_new(tree: Tree, account: Account, path: Path, data: Data, modified: float | None) -> Entry | None:
    """A small file that is not there yet, in one go, where the storage can do that.

    Returns
    -------
    Entry, optional
        None: nothing was done, and it is for a `CountedWriter`, which also says why, if it cannot be.
    """
    write: Callable[[Path, Data, float | None], Entry | None] | None = getattr(tree, "write_new", None)
    reservation = account.reserve_new(len(data)) if write is not None else None
    if write is None or reservation is None:
        return None
    with reservation:
        entry = write(path, data, modified)
        if entry is not None:
            reservation.settle(len(data), 1)
    return entry


class CountedWriter:
    """A `tree.Writer` for a file that is counted.

    Replacing a file needs only what the new one has more: its room is credited, and looked at again at commit, because
    another writer may have been faster.

    Parameters
    ----------
    size
        What the file will have, if that is known: so it is refused before it is sent.
    """

    def __init__(
        self,
        tree: Tree,
        account: Account,
        path: Path,
        *,
        overwrite: bool,
        parents: bool,
        check: Check | None,
        size: int | None,
    ) -> None:
        self._tree, self._account, self._path, self._check = tree, account, path, check
        self._written = 0
        self.modified: float | None = None
        self._replaced: Usage | None = None
        self._credit, self._files = 0, 1
        free = tree.free() if size else None
        if size and free is not None and size > free:
            raise FileError("The disk has no room for the file. Remove what is no longer needed.", Kind.FULL)
        try:
            self._credit = (held(tree, path) or Usage(0, 0)).bytes
            self._files = 0
        except FileError as error:
            if error.kind is not Kind.MISSING:
                raise
        self._folders = NewFolders(tree, account, path[:-1] if parents and self._files else ())
        self._files += self._folders.count
        try:
            self._reservation = account.reserve(max((size or 0) - self._credit, 0), self._files)
            self._inner: Writer = tree.create(path, overwrite=overwrite, parents=parents, check=self._verify)
        except BaseException:
            self._end(are_made=False)
            raise

    def write(self, data: bytes | memoryview) -> None:
        """Append; see `tree.Writer.write`."""
        self._written += memoryview(data).nbytes
        needed = self._written - self._credit
        if needed > self._reservation.bytes:
            try:
                self._grow(needed)
            except FileError:
                self.abort()
                raise
        self._inner.write(data)

    def _grow(self, needed: int) -> None:
        try:
            self._reservation.fit(needed + _STEP, self._files, insist=False)
        except FileError:
            self._reservation.fit(needed, self._files)

    def _verify(self, there: Entry | None) -> None:
        """Called at commit, while no other writer of ours can change what is there."""
        if self._check is not None:
            self._check(there)
        self._replaced = None
        with kernel.Resting():  # what is left to say is about all volumes of the owner
            if there is not None:
                self._replaced = _held_or_none(self._tree, self._path)
            replaced = self._replaced or Usage(0, 0)
            self._files = 1 - replaced.files + self._folders.count
            self._reservation.fit(self._written - replaced.bytes, self._files)

    def commit(self) -> Entry:
        """Give the file its name; see `tree.Writer.commit`."""
        self._reservation.finishing()
        if self.modified is not None and isinstance(self._inner, DatedWriter):
            self._inner.modified = self.modified
        try:
            entry = self._inner.commit()
        except BaseException:
            self.abort()
            raise
        replaced = self._replaced or Usage(0, 0)
        self._reservation.settle(self._written - replaced.bytes, self._files)
        self._end(are_made=True)
        return entry

    def abort(self) -> None:
        """Forget it, and give back what was reserved."""
        try:
            self._inner.abort()
        finally:
            self._end(are_made=False)

    def _end(self, *, are_made: bool) -> None:
        if hasattr(self, "_folders"):
            self._folders.done(are_made=are_made)
        if hasattr(self, "_reservation"):
            self._reservation.release()

    def __del__(self) -> None:
        # A door that loses a writer must not keep its user's room until the service ends.
        self._end(are_made=False)
