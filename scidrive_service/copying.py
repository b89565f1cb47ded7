"""Copies between volumes, on whatever storage: whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from scidrive_service.access import Action
from scidrive_service.counted import Account, NewFolders, held_or_nothing
from scidrive_service.errors import FileError, Kind
from scidrive_service.paths import Path, shown
from scidrive_service.quota import Reservation
from scidrive_service.tree import Entry, Tree, Usage

if TYPE_CHECKING:
    from scidrive_service.open_volume import OpenVolume

_BUFFER = 1 << 20


class Staged(Tree, Protocol):
    """A folder that is filled out of sight; see `local.StagedTree`."""

    def publish(self, path: Path, target: Path, *, overwrite: bool, parents: bool = True) -> Entry: ...


def copy(source: OpenVolume, path: Path, target: OpenVolume, to: Path, *, overwrite: bool) -> Entry:
    """Copy a file or a folder.

    A file appears at once. A folder is filled out of sight and then gets its name, where the storage can rename
    folders; an object store cannot, there the files appear one after the other. Room for all of it is reserved before
    the first byte is written. A link in a folder is copied if it leads to something in the folder; what no door serves
    (other links, pipes, devices) is left out.

    Parameters
    ----------
    overwrite
        What is at the target is replaced, folders as a whole. False: raises EXISTS.

    Raises
    ------
    FileError
        MISSING, FORBIDDEN, UNSAFE, EXISTS, FULL. NAME: onto itself, into itself, or onto what it is in.
    """
    source.need(Action.READ)
    target.need(Action.WRITE)
    if not to:
        raise FileError("The copy needs a name: give the path of the new file or folder.", Kind.NAME)
    if source.tree is target.tree and (to[: len(path)] == path or path[: len(to)] == to):
        raise FileError(f"{shown(path)} cannot be copied onto or into itself. Choose another folder.", Kind.NAME)
    entry = source.tree.stat(path)
    if not entry.is_safe:
        raise FileError(f"{shown(path)} is a link that leads nowhere, a pipe or a device: not copied.", Kind.UNSAFE)
    there = _present(target.tree, to)
    if there is not None and not overwrite:
        raise FileError(f"{shown(to)} exists. Choose another name, or allow to replace it.", Kind.EXISTS)
    if there is not None and there.is_folder:
        target.need(Action.DELETE)
    if not entry.is_folder and (there is None or not there.is_folder):
        return _copy_file(source.tree, path, target, to, overwrite=overwrite)
    plan = _plan(source.tree, path, entry)
    with (
        NewFolders(target.tree, target.counted, to[:-1]) as folders,
        target.counted.reserve(plan.bytes, plan.files + folders.count) as reservation,
    ):
        if hasattr(target.tree, "stage"):
            return _copy_staged(source.tree, entry, target, to, reservation, folders, overwrite=overwrite)
        return _copy_plainly(source.tree, entry, target, to, there, reservation, folders)


def inventory(tree: Tree, path: Path, into: Tree) -> bytes:
    """A digest of all that a move must find again before it removes the source, however much that is.

    Raises
    ------
    FileError
        UNSAFE: there is something that a copy would leave out.
    """
    entry = tree.stat(path)
    digest = hashlib.sha256()
    for below in tree.walk(path) if entry.is_folder else (entry,):
        if not below.is_safe and _inner_link(tree, below.path, path, into) is None:
            raise FileError(
                f"{shown(below.path)} is a link out of its folder, a pipe, a device, or closed, so it cannot be moved "
                "to another volume. Copy the rest, or move it in a container.",
                Kind.UNSAFE,
            )
        digest.update(repr((below.path, below.is_folder, below.size, below.etag)).encode())
    return digest.digest()


def _present(tree: Tree, path: Path) -> Entry | None:
    try:
        return tree.stat(path)
    except FileError as error:
        if error.kind is Kind.MISSING:
            return None
        raise


def _plan(tree: Tree, path: Path, entry: Entry) -> Usage:
    """What the copy will hold: a file with several names becomes several files."""
    if not entry.is_folder:
        return Usage(entry.size, 1)
    size, count = 0, 1
    for below in tree.walk(path):
        if below.is_folder and not below.is_safe:
            raise FileError(f"{shown(below.path)} cannot be read, so its folder cannot be copied.", Kind.FORBIDDEN)
        size += below.size if below.is_safe else 0
        count += 1
    return Usage(size, count)


def _inner_link(tree: Tree, path: Path, top: Path, into: Tree) -> str | None:
    """Where a link leads that stays the same link in a copy of a folder, on a storage that has links."""
    ask = getattr(tree, "inner_link", None)
    found: str | None = ask(path, top) if ask is not None and hasattr(into, "stage") else None
    return found


def _copy_file(tree: Tree, path: Path, target: OpenVolume, to: Path, *, overwrite: bool) -> Entry:
    reader = tree.open(path)
    try:
        writer = target.create(to, overwrite=overwrite, size=reader.entry.size)
        try:
            offset = 0
            while data := reader.read(offset, _BUFFER):
                writer.write(data)
                offset += len(data)
            return writer.commit()
        finally:
            writer.abort()
    finally:
        reader.close()


@dataclass
class _Filling:
    """What of a copy is there already, and counted."""

    account: Account
    reservation: Reservation
    bytes: int = 0
    files: int = 0

    def fill(self, tree: Tree, entry: Entry, into: Tree, at: Path) -> None:
        """Copy a file or folder to a path of another tree."""
        if not entry.is_folder:
            return self._file(tree, entry.path, into, at)
        if at:
            self._folder(into, at)
        for item in tree.walk(entry.path):
            place = at + item.path[len(entry.path) :]
            if item.is_folder:
                self._folder(into, place)
            elif item.is_safe:
                self._file(tree, item.path, into, place)
            elif (link := _inner_link(tree, item.path, entry.path, into)) is not None:
                self._need(0)
                with self.account.changing():
                    into.make_link(place, link)  # type: ignore[attr-defined]
                    self._count(0)

    def stage(self, tree: Tree, *, is_copy: bool) -> Staged:
        """A folder out of sight, which may be the copy's own."""
        with self.account.changing():
            stage: Staged = tree.stage()  # type: ignore[attr-defined]
            if is_copy:
                self._count(0)
            return stage

    def _folder(self, into: Tree, at: Path) -> None:
        self._need(0)
        with self.account.changing():
            into.make_folder(at)
            self._count(0)

    def _file(self, tree: Tree, path: Path, into: Tree, at: Path) -> None:
        try:
            reader = tree.open(path)
        except FileError as error:
            if error.kind is Kind.MISSING:  # removed while the rest was copied
                return
            raise
        try:
            writer = into.create(at)
            try:
                offset = 0
                while data := reader.read(offset, _BUFFER):
                    offset += len(data)
                    self._need(offset)
                    writer.write(data)
                self._need(offset)
                with self.account.changing():
                    writer.commit()
                    self._count(offset)
            finally:
                writer.abort()
        finally:
            reader.close()

    def _need(self, size: int) -> None:
        """Room for the next piece: what is copied may have grown since it was planned."""
        held = self.reservation
        held.fit(max(held.bytes, size), max(held.files, 1))

    def _count(self, size: int) -> None:
        self.reservation.use(size, 1)
        self.bytes += size
        self.files += 1


def _copy_staged(
    tree: Tree,
    entry: Entry,
    target: OpenVolume,
    to: Path,
    reservation: Reservation,
    folders: NewFolders,
    *,
    overwrite: bool,
) -> Entry:
    account, filling = target.counted, _Filling(target.counted, reservation)
    stage = filling.stage(target.tree, is_copy=entry.is_folder)
    at: Path = () if entry.is_folder else ("file",)
    try:
        filling.fill(tree, entry, stage, at)
        with account.changing():
            replaced = held_or_nothing(target.tree, to)
            made = stage.publish(at, to, overwrite=overwrite)
            reservation.settle(0, folders.count)
            account.gone(replaced)
    except BaseException:
        with account.changing():
            stage.close()
            account.changed(-filling.bytes, -filling.files)
        raise
    stage.close()
    return made


def _copy_plainly(
    tree: Tree,
    entry: Entry,
    target: OpenVolume,
    to: Path,
    there: Entry | None,
    reservation: Reservation,
    folders: NewFolders,
) -> Entry:
    account, filling = target.counted, _Filling(target.counted, reservation)
    if there is not None:
        with account.changing():
            replaced = held_or_nothing(target.tree, to)
            target.tree.remove(to)
            account.gone(replaced)
    try:
        filling.fill(tree, entry, target.tree, to)
    except BaseException:
        with account.changing(), contextlib.suppress(FileError):
            target.tree.remove(to)
            account.changed(-filling.bytes, -filling.files)
        raise
    reservation.settle(0, folders.count)
    return target.tree.stat(to)
