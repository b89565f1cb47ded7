"""A volume as one person may use it: every door's files come through here."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping

from scidrive_service import copying
from scidrive_service.access import Action, Person
from scidrive_service.counted import Account, CountedWriter, NewFolders, held, held_or_nothing, write_new
from scidrive_service.errors import FileError, Kind
from scidrive_service.paths import Path, shown
from scidrive_service.store import Store
from scidrive_service.tree import Data, Entry, Reader, Tree, Usage, Writer


class OpenVolume:
    """A `tree.Tree` that asks what the person may do, and counts what they write.

    Attributes
    ----------
    root, owner, name
        What it is called; `root` and `owner` of a data volume are empty, and `name` of somebody's SciDrive.
    id
        Of the volume's row; 0 for a data volume.
    person
        Who uses it.
    actions
        What they may do.
    """

    def __init__(
        self,
        tree: Tree,
        person: Person,
        actions: frozenset[Action],
        *,
        name: str,
        account: Account | None = None,
        store: Store | None = None,
    ) -> None:
        self.tree, self.account, self._store = tree, account, store
        self.person, self.actions, self.name = person, actions, name
        self.root = account.volume.root if account else ""
        self.owner = account.volume.owner if account else ""
        self.id = account.volume.id if account else 0

    def need(self, *actions: Action) -> None:
        """Raise FileError FORBIDDEN unless the person may do all that."""
        if lacking := [str(action) for action in actions if action not in self.actions]:
            where = "/".join(part for part in (self.root, self.owner, self.name) if part)
            if not self.owner:
                raise FileError(f"{where} can only be read: it is a data volume. Copy what you need.", Kind.FORBIDDEN)
            raise FileError(
                f"You may not {' or '.join(lacking)} in {where}. Ask {self.owner}, its owner, to allow it.",
                Kind.FORBIDDEN,
            )

    # -- reading

    def stat(self, path: Path) -> Entry:
        """See `tree.Tree.stat`."""
        self.need(Action.READ)
        return self.tree.stat(path)

    def search(self, path: Path, pattern: str, limit: int) -> list[Entry]:
        """Files and folders below a folder by their names, in any case; at most so many.

        Parameters
        ----------
        pattern
            With ``*``, ``?`` and ``[…]``; without: what the name contains.
        """
        self.need(Action.READ)
        pattern = pattern.casefold()
        if not any(character in pattern for character in "*?["):
            pattern = f"*{pattern}*"
        found: list[Entry] = []
        for entry in self.tree.walk(path):
            if len(found) >= limit:
                break
            if entry.is_safe and fnmatch.fnmatchcase(entry.name.casefold(), pattern):
                found.append(entry)
        return found

    def list(self, path: Path) -> list[Entry]:
        """See `tree.Tree.list`."""
        self.need(Action.READ)
        return self.tree.list(path)

    def open(self, path: Path) -> Reader:
        """See `tree.Tree.open`."""
        self.need(Action.READ)
        return self.tree.open(path)

    def walk(self, path: Path) -> Iterator[Entry]:
        """See `tree.Tree.walk`."""
        self.need(Action.READ)
        return self._walk(path)

    def _walk(self, path: Path) -> Iterator[Entry]:
        yield from self.tree.walk(path)  # and keeps the tree from being closed meanwhile

    def usage(self, path: Path = ()) -> Usage:
        """See `tree.Tree.usage`; of the whole volume a count that may be a minute old."""
        self.need(Action.READ)
        if not path and self.account is not None:
            return self.account.quotas.used(self.account.volume)
        return self.tree.usage(path)

    def free(self) -> int | None:
        """Bytes that still fit, by quota and by disk; None: nobody knows."""
        return self.room()[1]

    def room(self) -> tuple[int | None, int | None]:
        """Bytes that are used, and that still fit."""
        free = self.tree.free()
        if self.account is None:
            return None, free
        used, left = self.account.quotas.room(self.account.volume, self.account.policy)
        limits = [number for number in (left, free) if number is not None]
        return used, min(limits, default=None)

    # -- writing

    def create(
        self,
        path: Path,
        *,
        overwrite: bool = True,
        parents: bool = True,
        check: Callable[[Entry | None], None] | None = None,
        size: int | None = None,
    ) -> Writer:
        """See `tree.Tree.create`.

        Parameters
        ----------
        size
            What the file will have, if the client says so: what does not fit is refused before it is sent.

        Raises
        ------
        FileError
            FULL: the quota, here or while it is written.
        """
        account = self._writing(Action.WRITE)
        self._below(path)
        return CountedWriter(self.tree, account, path, overwrite=overwrite, parents=parents, check=check, size=size)

    def write_new(self, path: Path, data: Data, modified: float | None = None) -> Entry | None:
        """A small file that is not there yet, whole, in a folder that is there; None: `create` is needed."""
        account = self._writing(Action.WRITE)
        self._below(path)
        return write_new(self.tree, account, path, data, modified)

    def make_folder(self, path: Path, *, parents: bool = True) -> bool:
        """See `tree.Tree.make_folder`."""
        account = self._writing(Action.WRITE)
        with (
            NewFolders(self.tree, account, path) as folders,
            account.reserve(0, folders.count) as reservation,
            account.changing(),
        ):
            is_made = self.tree.make_folder(path, parents=parents)
            reservation.settle(0, folders.count)
        return is_made

    def remove(self, path: Path) -> None:
        """See `tree.Tree.remove`; the properties go with it."""
        account = self._writing(Action.DELETE)
        self._below(path)
        with account.changing():
            freed = held(self.tree, path)
            self.tree.remove(path)
            account.gone(freed)
        if self._store is not None:
            self._store.remove_properties(self.id, path)

    def move(self, source: Path, target: Path, *, overwrite: bool = True, parents: bool = True) -> Entry:
        """See `tree.Tree.move`; the properties go with it."""
        account = self._writing(Action.WRITE, Action.DELETE)
        self._below(source)
        self._below(target)
        with (
            NewFolders(self.tree, account, target[:-1] if parents else ()) as folders,
            account.reserve(0, folders.count) as reservation,
            account.changing(),
        ):
            replaced = held_or_nothing(self.tree, target) if source != target else Usage(0, 0)
            entry = self.tree.move(source, target, overwrite=overwrite, parents=parents)
            reservation.settle(0, folders.count)
            account.gone(replaced)
        if self._store is not None and source != target:
            self._store.move_properties(self.id, source, self.id, target)
        return entry

    def copy(self, source: Path, target: OpenVolume, to: Path, *, overwrite: bool) -> Entry:
        """Copy a file or a folder to a place here or in another volume; see `copying.copy`."""
        entry = copying.copy(self, source, target, to, overwrite=overwrite)
        if target._store is not None:
            target._store.move_properties(self.id, source, target.id, to, copy=True)
        return entry

    def move_to(self, source: Path, target: OpenVolume, to: Path, *, overwrite: bool) -> Entry:
        """Move a file or a folder: a rename within the volume, else a copy, whose source is removed at the end."""
        if target.id == self.id and self.id:
            return self.move(source, to, overwrite=overwrite)
        self.need(Action.DELETE)
        self._below(source)
        before = copying.inventory(self.tree, source, target.tree)
        entry = self.copy(source, target, to, overwrite=overwrite)
        if copying.inventory(self.tree, source, target.tree) != before:
            raise FileError(
                f"{shown(source)} was changed while it was copied, so it is not removed: both are there now. Compare "
                "them.",
                Kind.CHANGED,
            )
        self.remove(source)
        return entry

    def close(self) -> None:
        """Nothing: what is open is shared by all who use the volume."""

    # -- properties

    def properties_in(self, path: Path, *, deep: bool) -> dict[Path, Mapping[str, str]]:
        """WebDAV properties of a file or folder by its path, with `deep` also of what is in the folder."""
        self.need(Action.READ)
        return {} if self._store is None else dict(self._store.properties(self.id, path, deep=deep))

    def set_properties(self, path: Path, changes: Mapping[str, str | None]) -> None:
        """Set properties, or with None remove them; all or none."""
        self._writing(Action.WRITE)
        self.tree.stat(path)
        if self._store is not None:
            self._store.set_properties(self.id, path, changes)

    # --

    @property
    def counted(self) -> Account:
        """Where what is written is counted."""
        if self.account is None:  # not reached: nobody has the right to write to data volumes
            raise FileError("This volume can only be read.", Kind.FORBIDDEN)
        return self.account

    def _writing(self, *actions: Action) -> Account:
        self.need(*actions)
        return self.counted

    @staticmethod
    def _below(path: Path) -> None:
        if not path:
            raise FileError(
                "This cannot be done with the volume itself: give the path of something in it.", Kind.FORBIDDEN
            )
