"""All files of a deployment, for one person at a time: what the doors call.

Everything blocks, and is called in threads. What cannot be done raises `FileError`.
"""

from __future__ import annotations

import collections
import datetime
import logging
import pathlib
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scidrive_service import expiry, links
from scidrive_service.counted import Account
from scidrive_service.errors import FileError, Kind
from scidrive_service.local import LocalTree
from scidrive_service.models import Volume
from scidrive_service.open_volume import OpenVolume
from scidrive_service.paths import Path, encoded
from scidrive_service.policy import DRIVE, RootPolicy
from scidrive_service.quota import Quotas
from scidrive_service.store import Expiring, Store
from scidrive_service.tree import Tree, Usage
from scidrive_service.volumes import (
    Action,
    Known,
    Mount,
    Person,
    Registry,
    is_name,
    missing,
    sharees,
    spelled,
)
from sciserver_common.deployment import Deployment
from sciserver_spawner.volumes import USER_ID, WORKSPACE

__all__ = ["Action", "Files", "Mount", "OpenVolume", "Person"]

log = logging.getLogger(__name__)

_TREES = 512
"""Volumes that are kept open: one file descriptor each."""

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
        self._account, self._drive_tree = account, drive_tree
        self.registry = Registry(deployment.volumes_dir, self.policies, store, account=account)
        self.quotas = Quotas(lambda volume: self._tree(volume).usage(), self.registry.family, count_seconds)
        self._trees: collections.OrderedDict[object, tuple[tuple[int, int], Tree]] = collections.OrderedDict()
        self._groups: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()

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
        known = self._known(person, root, owner, name)
        opened = self._open(person, known)
        opened.need(*actions)
        return opened

    def data_volume(self, person: Person, name: str) -> OpenVolume:
        """A data volume, which everybody reads."""
        if not is_name(name) or name in self.policies or not (self._data_dir / name).is_dir():
            raise missing("", "", name)
        path = self._data_dir / name
        tree = self._kept(("data", name), path, lambda: LocalTree(path, read_only=True, account=self._account))
        return OpenVolume(tree, person, _READ_ONLY, name=name)

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
        self._seen(person)
        known = self.registry.find(root, owner, name)
        if known is None and owner == person.name and root in self.policies:
            policy = self.policies[root]
            if name in policy.default_volumes or (policy.is_drive and not name):
                self.registry.make(root, owner, name)
                known = self.registry.find(root, owner, name)
        if known is None or not known.actions(person):
            raise missing(root, owner, name)
        return known

    def _open(self, person: Person, known: Known) -> OpenVolume:
        volume = known.volume
        account = Account(self.quotas, volume, self.policies[volume.root])
        tree = self._tree(volume)
        return OpenVolume(tree, person, known.actions(person), name=volume.name, account=account, store=self.store)

    def _tree(self, volume: Volume) -> Tree:
        path = self.registry.path(volume.root, volume.owner, volume.name)
        drive_tree = self._drive_tree
        if volume.root == DRIVE and drive_tree is not None:
            return self._kept(volume.id, path, lambda: drive_tree(volume.owner))
        return self._kept(volume.id, path, lambda: LocalTree(path, account=self._account))

    def _kept(self, key: object, path: pathlib.Path, make: Callable[[], Tree]) -> Tree:
        """A tree, open already if it was used before and the directory is still the same one."""
        try:
            status = path.stat()
        except OSError as error:
            raise FileError("The volume is not there any more. Look at the list of volumes.", Kind.MISSING) from error
        identity = (status.st_dev, status.st_ino)
        with self._lock:
            before, tree = self._trees.get(key, (None, None))
            if tree is not None and before == identity:
                self._trees.move_to_end(key)
                return tree
        tree = make()
        # Not closed when it is dropped: others may be using it. It closes itself when nobody does any more.
        with self._lock:
            self._trees[key] = identity, tree
            while len(self._trees) > _TREES:
                self._trees.popitem(last=False)
        return tree

    # -- the contract's volumes

    def root_names(self, person: Person) -> set[str]:
        """Names that a path can begin with, before ``owner/volume``."""
        return {policy.name for policy in self.policies.values() if not policy.is_drive}

    def listing(self, person: Person) -> dict[str, Any]:
        """The contract's answer to ``api/volumes/``, without what names this service (contract §5.1).

        The default volumes are made if they are missing.
        """
        self._seen(person)
        for policy in self.policies.values():
            for name in policy.default_volumes:
                self.registry.make(policy.name, person.name, name)
        own = self.registry.owned(person.name)
        shares = self.store.shares([volume.id for volume in own])
        known = [Known(volume, tuple(shares[volume.id])) for volume in own] + self.registry.shared_with(person)
        return {
            "rootVolumes": [
                {
                    "id": number,
                    "resourceUUID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"sciserver:root:{policy.name}")),
                    "name": policy.name,
                    "description": policy.description,
                    "pathOnFileSystem": str(WORKSPACE / policy.name),
                    "containsSharedVolumes": True,
                    "allowedActions": ["create"] if policy.users_create else [],
                    "userVolumes": [_described(each, person) for each in known if each.volume.root == policy.name],
                }
                for number, policy in enumerate(self.policies.values(), 1)
                if not policy.is_drive
            ],
            "dataVolumes": [self._described_data(number, name) for number, name in enumerate(self._data_names(), 1)],
        }

    def _data_names(self) -> list[str]:
        try:
            found = sorted(entry.name for entry in self._data_dir.iterdir() if entry.is_dir())
        except FileNotFoundError:
            return []
        return [name for name in found if is_name(name) and name not in self.policies]

    def _described_data(self, number: int, name: str) -> dict[str, Any]:
        texts = self._data_texts.get(name, {})
        return {
            "id": number,
            "resourceUUID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"sciserver:data:{name}")),
            "name": name,
            "displayName": texts.get("displayName", name),
            "description": texts.get("description", ""),
            "pathOnFileSystem": str(WORKSPACE / name),
            "url": texts.get("url", ""),
            "allowedActions": [str(Action.READ)],
            "sharedWith": [],
        }

    def volume_info(self, person: Person, root: str, owner: str, name: str) -> dict[str, Any]:
        """One volume, as it is in the listing."""
        known = self._known(person, root, owner, name)
        return {"rootVolume": root, **_described(known, person)}

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
        if owner != person.name:
            raise FileError(f"You can make volumes of your own only: {root}/{person.name}/{name}.", Kind.FORBIDDEN)
        if not policy.users_create and name not in policy.default_volumes:
            raise FileError(f"Volumes in {root} are made by the operators. Ask them.", Kind.FORBIDDEN)
        if not self.registry.make(root, owner, name, description) and not quiet:
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
        self._groups.pop(name, None)
        return self.registry.set_aside(name)

    def _dropped(self, volume: Volume) -> None:
        self.quotas.forget(volume)
        with self._lock:
            self._trees.pop(volume.id, None)

    def _seen(self, person: Person) -> None:
        """Somebody who leaves a group loses what links they have made through it."""
        if self._groups.get(person.name) != person.groups:
            self.store.set_groups(person.name, person.groups)
            self._groups[person.name] = person.groups

    # -- quotas

    def usage(self, person: Person) -> list[dict[str, Any]]:
        """What somebody's volumes hold and may hold (contract ``api/usage``); a quota of 0: no limit.

        ``enforced`` says who stops a container that writes too much: the file system, or nobody but the doors.
        """
        answer: list[dict[str, Any]] = []
        for number, policy in enumerate(self.policies.values(), 1):
            own = self.registry.owned(person.name, policy.name)
            held = [(volume, self.quotas.used(volume)) for volume in own]
            total = Usage(sum(usage.bytes for _, usage in held), sum(usage.files for _, usage in held))
            place = {"rootVolumeId": number, "rootVolumeName": policy.name}
            limits = (policy.user_bytes, policy.user_files)
            answer.append(
                {"type": "PER_USER", **place, "username": person.name, **_quota(total, *limits), **self._enforced(own)}
            )
            limits = (policy.volume_bytes, policy.volume_files)
            answer += [
                {
                    "type": "PER_VOLUME",
                    **place,
                    "userVolumeId": volume.id,
                    "userVolumeName": volume.name,
                    **_quota(usage, *limits),
                    **self._enforced([volume]),
                }
                for volume, usage in held
            ]
        return answer

    def drive_quota(self, person: Person) -> tuple[int, int]:
        """Bytes that the person's SciDrive holds, and that it can hold: by its quota, or as long as the disk has room."""
        used, left = self.drive(person).room()
        return used or 0, (used or 0) + (left or 0)

    def _enforced(self, volumes: Iterable[Volume]) -> dict[str, str]:
        return {"enforced": "service only"}

    # -- files that expire

    def expiring(self, person: Person) -> list[dict[str, Any]]:
        """Files of somebody's volumes that will be removed by rule, the next to go first."""
        answer = []
        for policy in self.policies.values():
            if policy.expires_after is None:
                continue
            for volume in self.registry.owned(person.name, policy.name):
                known = {file.path: file for file in self.store.warned([volume.id])}
                answer += [(file, volume) for file in expiry.announced(self._tree(volume), volume, policy, known)]
        answer.sort(key=lambda item: (item[0].due, item[0].path))
        return [
            {
                "path": "/".join(_names(volume) + file.path),
                "href": encoded(_names(volume) + file.path),
                "size": file.size,
                "created": _iso(datetime.datetime.fromtimestamp(file.created, datetime.UTC)),
                "expires": _iso(file.due.replace(tzinfo=datetime.UTC)),
            }
            for file, volume in answer
        ]

    def sweep(self) -> list[Expiring]:
        """Announce and remove files by their root volumes' rules, and tidy up after services that were killed.

        Called now and then. A volume that cannot be read now does not keep the others from it.
        """
        removed = []
        self.registry.sweep()
        for policy in self.policies.values():
            for volume in self.registry.everything(policy.name):
                try:
                    tree = self._tree(volume)
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
            self.registry.make(DRIVE, name, "")
        own = [Known(volume, ()) for volume in self.registry.owned(name)]
        found = []
        for known in [*own, *self.registry.shared_with(person)]:
            volume, actions = known.volume, known.actions(person)
            if volume.root == DRIVE and self._drive_tree is not None:
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

        It is told once. It ends earlier with its volume, when its maker may no longer read there, and by `end_links`.
        """
        volume.stat(path)
        if not volume.id:
            raise FileError("Links can be made to files in user volumes only.", Kind.FORBIDDEN)
        link_id, expires = links.new_id(), links.expiry(seconds)
        digest = links.digest(link_id)
        assert digest is not None  # noqa: S101 - it was just made
        self.store.add_link(digest, volume.id, path, person.name, person.groups, expires.replace(tzinfo=None))
        return link_id, expires

    def open_link(self, link_id: str) -> tuple[OpenVolume, Path]:
        """The volume of a link, read only, and the path of the file or folder in it.

        Whoever reads below the folder must not go above the path.

        Raises
        ------
        FileError
            MISSING: it has ended, or there is none.
        """
        gone = FileError("This link has ended, or there is none. Ask who gave it to you for a new one.", Kind.MISSING)
        digest = links.digest(link_id)
        found = self.store.link(digest) if digest is not None else None
        if found is None:
            raise gone
        link, volume, path = found
        maker = Person(link.maker, frozenset(link.groups))
        known = self.registry.find(volume.root, volume.owner, volume.name)
        if known is None or known.volume.id != volume.id or Action.READ not in known.actions(maker):
            raise gone
        account = Account(self.quotas, volume, self.policies[volume.root])
        opened = OpenVolume(self._tree(volume), maker, _READ_ONLY, name=volume.name, account=account)
        return opened, path

    def links(self, person: Person) -> list[dict[str, Any]]:
        """The person's links that have not ended, the latest first; their addresses are not kept."""
        return [
            {
                "id": link.digest,
                "path": encoded(_names(volume) + path),
                "created": _iso(link.created.replace(tzinfo=datetime.UTC)),
                "expires": _iso(link.expires.replace(tzinfo=datetime.UTC)),
            }
            for link, volume, path in self.store.links(person.name)
        ]

    def revoke_link(self, person: Person, link_id: str) -> None:
        """End a link of the person's, by the id in its address or the one in `links`. Raises MISSING."""
        digest = links.digest(link_id) or link_id
        if not self.store.remove_link(digest, person.name):
            raise FileError("There is no such link of yours; it may have ended by itself.", Kind.MISSING)


def _names(volume: Volume) -> Path:
    """How paths in a volume begin."""
    return tuple(part for part in (volume.root, volume.owner, volume.name) if part)


def _described(known: Known, person: Person) -> dict[str, Any]:
    volume, actions = known.volume, known.actions(person)
    shares = known.shares if Action.GRANT in actions else ()
    return {
        "id": volume.id,
        "resourceUUID": volume.uuid,
        "name": volume.name,
        "description": volume.description,
        "relativePath": f"{volume.owner}/{volume.name}",
        "owner": volume.owner,
        "allowedActions": spelled(actions),
        "sharedWith": [
            {"id": str(share.id), "name": share.name, "type": share.kind, "allowedActions": share.actions.split(",")}
            for share in shares
        ],
        "owningResourceId": None,
    }


def _quota(usage: Usage, bytes: int, files: int) -> dict[str, int]:
    return {
        "numberOfFilesUsed": usage.files,
        "numberOfFilesQuota": files,
        "numberOfBytesUsed": usage.bytes,
        "numberOfBytesQuota": bytes,
    }


def _iso(moment: datetime.datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
