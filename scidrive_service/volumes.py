"""Which volumes there are, and who may do what with them.

Directories say which volumes exist: the spawner makes some, operators make, remove and restore some. The metadata
database knows what directories cannot say. A directory without a row gets one. A row without a directory is not shown
to anybody, and kept: its storage may only be unmounted.
"""

from __future__ import annotations

import datetime
import functools
import logging
import os
import pathlib
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from scidrive_service.access import Known, Person, check_names, is_name
from scidrive_service.errors import FileError, Kind
from scidrive_service.models import Volume
from scidrive_service.paths import HIDDEN
from scidrive_service.policy import RootPolicy
from scidrive_service.store import Store
from sciserver_spawner.volumes import USER_ID

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mount:
    """What a container of somebody gets to see of volumes.

    Attributes
    ----------
    path
        Directory, from the deployment's volumes.
    mode
        ``rw`` or ``ro``.
    """

    root: str
    owner: str
    volume: str
    path: str
    mode: str


@functools.lru_cache(4096)
def _directory(volumes: pathlib.Path, root: str, owner: str, name: str) -> pathlib.Path:
    # Asked for with every request, and joining paths takes its time.
    return volumes / root / owner / name if name else volumes / root / owner


class Registry:
    """The volumes of a deployment.

    Parameters
    ----------
    directory
        Where they are: ``<root>/<owner>/<volume>``.
    account
        uid and gid that new ones belong to; None: this process's own.
    seconds
        What the database says is believed so long; changes that come through here are seen at once.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        policies: Mapping[str, RootPolicy],
        store: Store,
        *,
        account: int | None = USER_ID,
        seconds: float = 5.0,
    ) -> None:
        self.directory, self.policies, self.store = directory, policies, store
        self._account, self._seconds = account, seconds
        self._known: dict[tuple[str, str, str], tuple[float, Known]] = {}
        self._families: dict[tuple[str, str], tuple[float, list[Volume]]] = {}
        self._changes = 0
        self._lock = threading.Lock()
        self.changing = threading.RLock()
        """Volumes are made, renamed and removed one at a time."""

    def path(self, root: str, owner: str, name: str) -> pathlib.Path:
        """The directory of a volume; the names must have been checked."""
        return _directory(self.directory, root, owner, name)

    def find(self, root: str, owner: str, name: str) -> Known | None:
        """The volume, if it is there."""
        policy = self.policies.get(root)
        if policy is None or policy.is_drive != (not name):
            return None
        try:
            check_names(root, owner, name)
        except FileError:
            return None
        key = (root, owner, name)
        if not _is_there(self.path(*key)):
            return None
        with self._lock:
            until, known = self._known.get(key, (0.0, None))
            changes = self._changes
        if known is not None and until > time.monotonic():
            return known
        volume = self.store.volume(*key) or self._adopt(*key)
        if volume is None:
            return None
        known = Known(volume, tuple(self.store.shares([volume.id])[volume.id]))
        with self._lock:
            if len(self._known) > 10_000:
                self._known.clear()
            if changes == self._changes:  # else it may be what was before the change
                self._known[key] = (time.monotonic() + self._seconds, known)
        return known

    def believed(self, root: str, owner: str, name: str) -> Known | None:
        """What `find` would say, if it need not ask the database, and the directory is there."""
        until, known = self._known.get((root, owner, name), (0.0, None))
        return known if until > time.monotonic() else None

    def family(self, volume: Volume) -> list[Volume]:
        """All volumes of the same owner and root volume that are there."""
        key = (volume.root, volume.owner)
        with self._lock:
            until, family = self._families.get(key, (0.0, []))
            changes = self._changes
        if until > time.monotonic():
            return family
        family = self.owned(volume.owner, volume.root)
        with self._lock:
            if len(self._families) > 10_000:
                self._families.clear()
            if changes == self._changes:
                self._families[key] = (time.monotonic() + self._seconds, family)
        return family

    def owned(self, owner: str, root: str | None = None) -> list[Volume]:
        """Somebody's volumes, in order of root and name."""
        rows = {(row.root, row.name): row for row in self.store.volumes(owner=owner, root=root)}
        found = []
        for policy in self.policies.values():
            if root not in {None, policy.name}:
                continue
            for name in self._names(policy, owner):
                row = rows.get((policy.name, name)) or self._adopt(policy.name, owner, name)
                if row is not None:
                    found.append(row)
        return found

    def everything(self, root: str) -> list[Volume]:
        """All volumes of a root volume that are there, whoever owns them."""
        try:
            owners = sorted(entry.name for entry in (self.directory / root).iterdir())
        except FileNotFoundError:
            return []
        return [volume for owner in owners if is_name(owner) for volume in self.owned(owner, root)]

    def shared_with(self, person: Person) -> list[Known]:
        """Volumes of others that somebody may do something with."""
        found = (
            self.find(row.root, row.owner, row.name) for row in self.store.shared_with(person.name, person.groups)
        )
        return [known for known in found if known is not None and known.actions(person)]

    def _names(self, policy: RootPolicy, owner: str) -> list[str]:
        if not is_name(owner):
            return []
        home = self.directory / policy.name / owner
        if policy.is_drive:
            return [""] if _is_there(home) else []
        try:
            return sorted(entry.name for entry in home.iterdir() if is_name(entry.name) and entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _silent(home, error) from error

    def _adopt(self, root: str, owner: str, name: str) -> Volume | None:
        with self.changing:
            if not _is_there(self.path(root, owner, name)):  # it was just being removed
                return None
            log.info("volume %s/%s/%s: its directory was made by others", root, owner, name)
            return self.store.add_volume(root, owner, name)

    # -- changes

    def make(self, root: str, owner: str, name: str, description: str = "") -> bool:
        """Make a volume with its directory; False if it was there.

        Raises
        ------
        FileError
            NAME: no directory can have that name. UNAVAILABLE: the storage cannot be written.
        """
        check_names(root, owner, name)
        path = self.path(root, owner, name)
        with self.changing:
            if _is_there(path):
                return False
            old = self.store.volume(root, owner, name)
            if old is not None:
                # Somebody has removed the directory. Whom the old volume was shared with must not see the new one:
                # its owner may be another person with a name that was free again.
                log.warning("volume %s/%s/%s is made anew: its directory was gone, its shares end", root, owner, name)
                self.store.remove_volume(old.id)
            self._make_directory(path)
            self.store.add_volume(root, owner, name, description)
            self.changed(root, owner, name)
        return True

    def _make_directory(self, path: pathlib.Path) -> None:
        """As the spawner does: the parents stay the operator's, so users can fill a volume but not replace it."""
        made = path.with_name(f"{HIDDEN}{secrets.token_hex(8)}")
        try:
            for parent in reversed([parent for parent in path.parents if parent.is_relative_to(self.directory)]):
                parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            made.mkdir(mode=0o700)
            try:
                if self._account is not None:
                    os.chown(made, self._account, self._account)
                made.rename(path)
            except BaseException:
                made.rmdir()
                raise
        except FileExistsError:
            return  # the spawner was faster
        except OSError as error:
            if path.is_dir():
                return
            log.error("%s cannot be made: %s", path, error)
            raise FileError(
                f"The volume {path.name} cannot be made ({error.strerror}). Try again; if it stays so, tell the "
                "operators.",
                Kind.UNAVAILABLE,
            ) from error

    def rename(self, known: Known, name: str) -> None:
        """Give a volume another name; shares and links stay.

        Raises
        ------
        FileError
            NAME, EXISTS.
        """
        volume = known.volume
        check_names(volume.root, volume.owner, name)
        source, target = (self.path(volume.root, volume.owner, each) for each in (volume.name, name))
        with self.changing:
            if target.exists():
                raise FileError(f"You have a volume {name} already. Choose another name.", Kind.EXISTS)
            left = self.store.volume(volume.root, volume.owner, name)
            if left is not None:  # its directory is gone
                self.store.remove_volume(left.id)
            # The row first: a directory that is found under its old name gets a new row, without shares. The other
            # way round, a service that is killed here would show the shares of one volume on another.
            self.store.change_volume(volume.id, name=name)
            try:
                source.rename(target)
            except OSError as error:
                self.store.change_volume(volume.id, name=volume.name)
                log.error("%s cannot be renamed: %s", source, error)
                raise FileError("The volume cannot be renamed now. Try again.", Kind.UNAVAILABLE) from error
            self.changed(volume.root, volume.owner, volume.name)
            self.changed(volume.root, volume.owner, name)

    def remove(self, known: Known) -> None:
        """Remove a volume and everything that belongs to it."""
        volume = known.volume
        path = self.path(volume.root, volume.owner, volume.name)
        gone = path.with_name(f"{HIDDEN}{secrets.token_hex(8)}")
        with self.changing:
            # The row first: if the service is killed now, the files are still the owner's, and nobody else's.
            self.store.remove_volume(volume.id)
            self.changed(volume.root, volume.owner, volume.name)
            try:
                path.rename(gone)
            except FileNotFoundError:
                return
            except OSError as error:
                log.error("%s cannot be removed: %s", path, error)
                raise FileError("The volume's files cannot be removed now. Try again.", Kind.UNAVAILABLE) from error
        _discard(gone)

    def set_aside(self, owner: str) -> list[pathlib.Path]:
        """Forget a user whom the hub has deleted, before somebody else gets the name.

        Their rows, shares and links are removed, and their directories get names that no user can have, for the
        operator to keep or remove.
        """
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        aside = []
        with self.changing:
            for volume in self.store.forget(owner):
                self.changed(volume.root, volume.owner, volume.name)
            for policy in self.policies.values():
                home = self.directory / policy.name / owner
                if is_name(owner) and home.is_dir():
                    aside.append(home.rename(home.with_name(f"{owner}~{stamp}")))
        with self._lock:
            self._changes += 1
            self._known.clear()  # what was shared with them
            self._families.clear()
        return aside

    def sweep(self) -> None:
        """Remove what is left of volumes that were removed when the service ended, and report what is lost."""
        for row in self.store.volumes():
            if row.root in self.policies and not _is_there(self.path(row.root, row.owner, row.name)):
                name = "/".join(part for part in (row.root, row.owner, row.name) if part)
                log.warning("volume %s has no directory: mount or restore it; made anew, its shares end", name)
        for policy in self.policies.values():
            for pattern in (f"{HIDDEN}*", f"*/{HIDDEN}*") if not policy.is_drive else (f"{HIDDEN}*",):
                for left in (self.directory / policy.name).glob(pattern):
                    _discard(left)

    def changed(self, root: str, owner: str, name: str) -> None:
        """What is known of a volume is to be read again."""
        with self._lock:
            self._changes += 1
            self._known.pop((root, owner, name), None)
            self._families.pop((root, owner), None)


def _is_there(path: pathlib.Path) -> bool:
    """Whether there is a directory. Raises UNAVAILABLE if that cannot be found out: it must not look removed."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # with each request, and a Path takes twice the time
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _silent(path, error) from error


def _silent(path: pathlib.Path, error: OSError) -> FileError:
    log.error("%s: %s", path, error)
    return FileError("The storage does not answer. Try again in a minute.", Kind.UNAVAILABLE)


def _discard(path: pathlib.Path) -> None:
    """Remove a directory that users have filled; what cannot be removed now is tried again by `Registry.sweep`.

    `shutil.rmtree` opens every folder by itself, never through a link that a container makes meanwhile.
    """
    try:
        shutil.rmtree(path)
    except (OSError, RecursionError) as error:
        log.warning("%s is not removed yet: %s", path, error)
