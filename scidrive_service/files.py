"""All files of a deployment, for one person at a time: what the doors call.

Everything blocks, and is called in threads. What cannot be done raises `FileError`.
"""

from __future__ import annotations

import datetime
import heapq
import itertools
import logging
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scidrive_service import answers, expiry
from scidrive_service.access import Action, Known, Person, is_name, missing, sharees, spelled
from scidrive_service.counted import Account
from scidrive_service.errors import FileError, Kind
from scidrive_service.links import Links
from scidrive_service.models import Volume
from scidrive_service.open_volume import OpenVolume
from scidrive_service.opened import Opened
from scidrive_service.paths import Path
from scidrive_service.policy import DRIVE, RootPolicy
from scidrive_service.projects import Projects, is_together
from scidrive_service.quota import Quotas
from scidrive_service.store import Expiring, Store
from scidrive_service.tree import Tree
from scidrive_service.trees import Trees
from scidrive_service.volumes import Mount, Registry
from sciserver_common.deployment import Deployment
from sciserver_spawner.volumes import USER_ID

__all__ = ["Action", "Files", "Mount", "OpenVolume", "Person"]

log = logging.getLogger(__name__)

_MOST_EXPIRING = 5_000
"""Files in one answer."""

_READ_ONLY = frozenset({Action.READ})


class Files:
    """The facade.

    Parameters
    ----------
    policies
        Root volumes by name; see `policy.policies`.
    drive_tree
        Where somebody's SciDrive is, by the owner's name, if it is not a directory: an object store.
    account
        uid and gid of the containers, to which files belong; None: this process's own.
    data_volumes
        What to say of data volumes: ``{name: {"description": …, "displayName": …, "url": …}}``, all optional.
    count_seconds
        How old a count of what a volume holds may be.
    """

    def __init__(
        self,
        deployment: Deployment,
        policies: Mapping[str, RootPolicy],
        store: Store,
        *,
        drive_tree: Callable[[str], Tree] | None = None,
        account: int | None = USER_ID,
        data_volumes: Mapping[str, Mapping[str, str]] | None = None,
        count_seconds: float = 60.0,
    ) -> None:
        self.store, self.policies = store, dict(policies)
        self._data_dir, self._data_texts = deployment.data_dir, data_volumes or {}
        self.registry = Registry(deployment.volumes_dir, self.policies, store, account=account)
        self._trees = Trees(self.registry, self._data_dir, account, drive_tree)
        self.quotas = Quotas(lambda volume: self._trees.of(volume).usage(), self.registry.family, count_seconds)
        self._projects = Projects(store, deployment.id)
        self._links = Links(self.registry, store)
        self._opened = Opened(self.registry, self._trees)

    def close(self) -> None:
        """Stop counting. The store stays open."""
        self.quotas.close()

    def check(self) -> None:
        """Raise FileError, or OSError, if the storage or the database does not answer."""
        next(self.registry.directory.iterdir(), None)
        self.store.check()

    # -- volumes to work in

    def volume(self, person: Person, root: str, owner: str, name: str, *actions: Action) -> OpenVolume:
        """A user's volume.

        Raises
        ------
        FileError
            MISSING: there is none, or the person may not know of it. FORBIDDEN: they may not do that.
        """
        self._links.seen(person)
        opened = self._opened.find(person, root, owner, name)
        if opened is None:
            known = self._known(person, root, owner, name)
            opened = self._open(person, known)
            self._opened.keep(person, known, opened)
        opened.need(*actions)
        return opened

    def data_volume(self, person: Person, name: str) -> OpenVolume:
        """A data volume, which everybody reads."""
        if not is_name(name) or name in self.policies or not (self._data_dir / name).is_dir():
            raise missing("", "", name)
        return OpenVolume(self._trees.of_data(name), person, _READ_ONLY, name=name)

    def drive(self, person: Person) -> OpenVolume:
        """The person's own SciDrive, made at first use."""
        return self.volume(person, DRIVE, person.name, "")

    def service_path(self, person: Person, path: Path, *actions: Action) -> tuple[OpenVolume, Path]:
        """The volume that a path of the file service begins with, and the rest of the path (contract §5.2).

        A path is ``root/owner/volume/…``, ``SciDrive/owner/…`` or ``data volume/…``.

        Raises
        ------
        FileError
            MISSING, FORBIDDEN, as `volume`. NAME: it ends above the volumes.
        """
        if not path:
            raise FileError("Give a path that begins with a volume.", Kind.NAME)
        policy = self.policies.get(path[0])
        if policy is None:
            volume = self.data_volume(person, path[0])
            volume.need(*actions)
            return volume, path[1:]
        length = 2 if policy.is_drive else 3
        if len(path) < length:
            form = f"{policy.name}/owner" + ("" if policy.is_drive else "/volume")
            raise FileError(f"A path in {policy.name} begins with {form}.", Kind.NAME)
        root, owner, name = (*path[:length], "")[:3]
        return self.volume(person, root, owner, name, *actions), path[length:]

    def _known(self, person: Person, root: str, owner: str, name: str) -> Known:
        """A volume that the person may know of; their own default ones are made."""
        self._links.seen(person)
        known = self.registry.find(root, owner, name)
        if known is None and owner == person.name and root in self.policies:
            policy = self.policies[root]
            if name in policy.default_volumes or (policy.is_drive and not name):
                self._make(root, owner, name)
                known = self.registry.find(root, owner, name)
        if known is None or not known.actions(person):
            raise missing(root, owner, name)
        return known

    def _open(self, person: Person, known: Known) -> OpenVolume:
        volume = known.volume
        account = Account(self.quotas, volume, self.policies[volume.root])
        tree = self._trees.of(volume)
        return OpenVolume(tree, person, known.actions(person), name=volume.name, account=account, store=self.store)

    def _make(self, root: str, owner: str, name: str, description: str = "") -> bool:
        if not self.registry.make(root, owner, name, description):
            return False
        known = self.registry.find(root, owner, name)
        if known is not None:
            self._protect(known.volume)
        return True

    def _protect(self, volume: Volume) -> None:
        if not self._trees.is_elsewhere(volume):
            path = self.registry.path(volume.root, volume.owner, volume.name)
            self._projects.protect(path, volume, self.policies[volume.root])

    # -- the contract's volumes

    def root_names(self, person: Person) -> set[str]:
        """Names that a path can begin with, before ``owner/volume``."""
        return {policy.name for policy in self.policies.values() if not policy.is_drive}

    def listing(self, person: Person) -> dict[str, Any]:
        """The contract's answer to ``api/volumes/``, without what names this service (contract §5.1).

        The default volumes are made if they are missing.
        """
        self._links.seen(person)
        for policy in self.policies.values():
            for name in policy.default_volumes:
                self._make(policy.name, person.name, name)
        own = self.registry.owned(person.name)
        shares = self.store.shares([volume.id for volume in own])
        known = [Known(volume, tuple(shares[volume.id])) for volume in own] + self.registry.shared_with(person)
        return {
            "rootVolumes": [
                answers.root_volume(number, policy, known, person)
                for number, policy in enumerate(self.policies.values(), 1)
                if not policy.is_drive
            ],
            "dataVolumes": [
                answers.data_volume(number, name, self._data_texts.get(name, {}))
                for number, name in enumerate(self._data_names(), 1)
            ],
        }

    def _data_names(self) -> list[str]:
        try:
            found = sorted(entry.name for entry in self._data_dir.iterdir() if entry.is_dir())
        except FileNotFoundError:
            return []
        return [name for name in found if is_name(name) and name not in self.policies]

    def volume_info(self, person: Person, root: str, owner: str, name: str) -> dict[str, Any]:
        """One volume, as it is in the listing."""
        known = self._known(person, root, owner, name)
        return {"rootVolume": root, **answers.user_volume(known, person)}

    def create_volume(
        self, person: Person, root: str, owner: str, name: str, quiet: bool, description: str = ""
    ) -> None:
        """Make a volume.

        Parameters
        ----------
        quiet
            Nothing is wrong if it is there already.

        Raises
        ------
        FileError
            EXISTS, NAME. FORBIDDEN: not the person's own, or users make none there. MISSING: no such root volume.
        """
        policy = self.policies.get(root)
        if policy is None or policy.is_drive:
            roots = ", ".join(sorted(self.root_names(person)))
            raise FileError(f"There is no root volume {root}. There are {roots}.", Kind.MISSING)
        if not name:
            raise FileError("A volume needs a name.", Kind.NAME)
        if owner != person.name:
            raise FileError(f"You can make volumes of your own only: {root}/{person.name}/{name}.", Kind.FORBIDDEN)
        if not policy.users_create and name not in policy.default_volumes:
            raise FileError(f"Volumes in {root} are made by the operators. Ask them.", Kind.FORBIDDEN)
        if not self._make(root, owner, name, description) and not quiet:
            raise FileError(f"There is a volume {root}/{owner}/{name} already. Choose another name.", Kind.EXISTS)

    def delete_volume(self, person: Person, root: str, owner: str, name: str, quiet: bool) -> None:
        """Remove a volume with its files, shares, links and properties; its owner may.

        Parameters
        ----------
        quiet
            Nothing is wrong if it is not there, or not for this person.
        """
        try:
            known = self._known_now(person, root, owner, name)
        except FileError as error:
            if quiet and error.kind is Kind.MISSING:
                return
            raise
        self._must_own(person, known, "remove")
        if self.policies[root].is_drive:
            raise FileError("SciDrive itself cannot be removed: remove what is in it.", Kind.FORBIDDEN)
        self.registry.remove(known)
        self._dropped(known.volume)

    def _known_now(self, person: Person, root: str, owner: str, name: str) -> Known:
        """As `_known`, and makes nothing."""
        known = self.registry.find(root, owner, name)
        if known is None or not known.actions(person):
            raise missing(root, owner, name)
        return known

    def describe_volume(
        self,
        person: Person,
        root: str,
        owner: str,
        name: str,
        new_name: str | None = None,
        description: str | None = None,
    ) -> None:
        """Give a volume another name or description, or both; its owner may.

        Containers that run see it under its old name until they are started again.
        """
        known = self._known(person, root, owner, name)
        self._must_own(person, known, "rename or describe")
        if new_name is not None and new_name != name:
            if self.policies[root].is_drive:
                raise FileError("SciDrive cannot be renamed.", Kind.FORBIDDEN)
            if not new_name:
                raise FileError("A volume needs a name.", Kind.NAME)
            self.registry.rename(known, new_name)
        if description is not None:
            self.store.change_volume(known.volume.id, description=description)
            self.registry.changed(root, owner, new_name or name)

    def share(self, person: Person, root: str, owner: str, name: str, items: object) -> None:
        """Share a volume with users and groups, or end that, for those that are listed (contract shareUserVolume).

        Nobody can give away what they may not do themselves, nor change what somebody has who may do more.
        """
        known = self._known(person, root, owner, name)
        mine = known.actions(person)
        self._open(person, known).need(Action.GRANT)
        wanted = sharees(items)
        theirs = {(share.kind, share.name): share.actions.split(",") for share in known.shares}
        for (kind, sharee), actions in wanted.items():
            if kind == "USER" and sharee == owner:
                raise FileError(f"{owner} owns this volume: it cannot be shared with them.", Kind.NAME)
            if not (actions | {Action(action) for action in theirs.get((kind, sharee), ())}) <= mine:
                words = ", ".join(spelled(mine))
                raise FileError(f"You can give, or take, only what you may do yourself: {words}.", Kind.FORBIDDEN)
        self.store.share(known.volume.id, {key: ",".join(spelled(actions)) for key, actions in wanted.items()})
        self.registry.changed(root, owner, name)

    def _must_own(self, person: Person, known: Known, what: str) -> None:
        if person.name != known.volume.owner:
            raise FileError(f"Only its owner, {known.volume.owner}, can {what} a volume.", Kind.FORBIDDEN)

    def forget(self, name: str) -> list[pathlib.Path]:
        """What an operator does when the hub has deleted a user, before another person gets the name.

        Returns
        -------
        list of pathlib.Path
            Where their directories are now, to be kept or removed.
        """
        for volume in self.store.volumes(owner=name):
            self._dropped(volume)
        return self.registry.set_aside(name)

    def _dropped(self, volume: Volume) -> None:
        self.quotas.forget(volume)
        self._trees.drop(volume)
        self._opened.clear()

    # -- quotas

    def usage(self, person: Person) -> list[dict[str, Any]]:
        """What somebody's volumes hold and may hold (contract ``api/usage``); see `answers.quotas`."""
        rows = []
        for number, policy in enumerate(self.policies.values(), 1):
            own = self.registry.owned(person.name, policy.name)
            held = [(volume, self.quotas.used(volume)) for volume in own]
            is_protected = bool(own) and all(
                self._projects.is_protected(self.registry.path(policy.name, person.name, each.name), each, policy)
                for each in own
                if not self._trees.is_elsewhere(each)
            )
            together = is_together(policy)
            rows += answers.quotas(
                number, policy, person.name, held, is_protected and together, is_protected and not together
            )
        return rows

    def drive_quota(self, person: Person) -> tuple[int, int]:
        """Bytes that the person's SciDrive holds, and may hold: by its quota, or as far as the disk has room."""
        used, left = self.drive(person).room()
        return used or 0, (used or 0) + (left or 0)

    # -- files that expire

    def expiring(self, person: Person) -> list[dict[str, Any]]:
        """Files of somebody's volumes that will be removed by rule, the next to go first; 5,000 at most."""
        found: list[tuple[Expiring, Volume]] = []
        for policy in self.policies.values():
            if policy.expires_after is None:
                continue
            for volume in self.registry.owned(person.name, policy.name):
                known = {file.path: file for file in self.store.warned([volume.id])}
                files = expiry.announced(self._trees.of(volume), volume, policy, known)
                both = itertools.chain(found, ((file, volume) for file in files))
                found = heapq.nsmallest(_MOST_EXPIRING, both, key=lambda item: (item[0].due, item[0].path))
        return [answers.expiring(volume, file) for file, volume in found]

    def sweep(self) -> list[Expiring]:
        """Announce and remove files by their root volumes' rules, and tidy up after services that were killed.

        Called now and then. A volume that cannot be read now does not keep the others from it.
        """
        removed = []
        self.registry.sweep()
        for policy in self.policies.values():
            for volume in self.registry.everything(policy.name):
                try:
                    self._protect(volume)
                    tree = self._trees.of(volume)
                    tidy = getattr(tree, "sweep", None)
                    if tidy is not None:
                        tidy()
                    if policy.expires_after is not None:
                        gone = expiry.sweep(tree, volume, policy, self.store)
                        if gone:
                            self.quotas.unclear(volume)
                        removed += gone
                except FileError as error:
                    log.warning("%s/%s/%s is not swept: %s", volume.root, volume.owner, volume.name, error)
        return removed

    # -- for containers

    def mounts(self, name: str, groups: Iterable[str]) -> list[Mount]:
        """What a container of somebody gets to see: their own volumes, SciDrive, and what is shared with them.

        The own default volumes are made. A share that ends is seen until the container is started again.
        """
        person = Person(name, frozenset(groups))
        self.listing(person)
        if DRIVE in self.policies:
            self._make(DRIVE, name, "")
        own = [Known(volume, ()) for volume in self.registry.owned(name)]
        found = []
        for known in [*own, *self.registry.shared_with(person)]:
            volume, actions = known.volume, known.actions(person)
            if self._trees.is_elsewhere(volume):
                continue  # not a directory
            if Action.READ in actions:
                path = str(self.registry.path(volume.root, volume.owner, volume.name))
                relative = str(pathlib.Path(path).relative_to(self.registry.directory))
                mode = "rw" if Action.WRITE in actions else "ro"
                found.append(Mount(volume.root, volume.owner, volume.name, relative, mode))
        return found

    # -- links

    def make_link(
        self, person: Person, volume: OpenVolume, path: Path, seconds: float
    ) -> tuple[str, datetime.datetime]:
        """An address for a file or folder that needs no token: its id, and when it ends.

        It is told once. It ends earlier with its volume, by `revoke_link`, and when its maker may no longer read.
        """
        volume.stat(path)
        if not volume.id:
            raise FileError("Links can be made to files in user volumes only.", Kind.FORBIDDEN)
        return self._links.make(person, volume.id, path, seconds)

    def open_link(self, link_id: str) -> tuple[OpenVolume, Path]:
        """The volume of a link, read only, and the path of the file or folder in it. Raises MISSING, see `Links.find`.

        Whoever reads below the folder must not go above the path.
        """
        known, maker, path = self._links.find(link_id)
        volume = known.volume
        account = Account(self.quotas, volume, self.policies[volume.root])
        return OpenVolume(self._trees.of(volume), maker, _READ_ONLY, name=volume.name, account=account), path

    def links(self, person: Person) -> list[dict[str, Any]]:
        """The person's links; see `Links.of`."""
        return self._links.of(person)

    def revoke_link(self, person: Person, link_id: str) -> None:
        """End a link of the person's; see `Links.revoke`."""
        self._links.revoke(person, link_id)
