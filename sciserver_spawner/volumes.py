"""Users' directories on the storage, and where containers see them (DESIGN §5, contract §5).

A user volume is the directory ``<volumes>/<root volume>/<owner>/<volume>``, mounted at the same place under the
workspace. SciDrive is a root volume with one volume for each user, ``<volumes>/SciDrive/<owner>``. A data volume is a
directory that everybody reads and nobody writes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # SciDrive makes volumes as well, without an engine
    import docker

WORKSPACE = PurePosixPath("/home/idies/workspace")

USER_ID = 1000
"""uid and gid of `idies`, the account of every container (reference: SciServer's image contract)."""

SCIDRIVE = "SciDrive"
"""Root volume of everybody's SciDrive."""

_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}")


class VolumeError(Exception):
    """A volume cannot be made or mounted; the text is for the user."""


@dataclass(frozen=True)
class UserVolume:
    """A user's volume: kind of storage (`root`, e.g. ``Storage``), user, and name within it.

    Without a name it is the user's directory itself: everybody's SciDrive.
    """

    root: str
    owner: str
    name: str | None = None

    def __post_init__(self) -> None:
        for part in self.parts:
            if not _OWNER.fullmatch(part) or ".." in part:
                raise VolumeError(
                    f"{part!r} cannot be the name of a directory for files. Allowed are letters, digits and . _ @ + - "
                    "(63 at most, the first a letter or digit, no two dots in a row). Ask the operator for another "
                    "user name."
                )

    def host_path(self, volumes_root: Path) -> Path:
        """The directory on the storage."""
        return volumes_root.joinpath(*self.parts)

    @property
    def mount_point(self) -> str:
        """The directory inside a container."""
        return str(WORKSPACE.joinpath(*self.parts))

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the directories from the storage's root down."""
        return (self.root, self.owner) if self.name is None else (self.root, self.owner, self.name)

    def __str__(self) -> str:
        return "/".join(self.parts)


def data_volumes(data_root: Path, reserved: set[str]) -> dict[str, str]:
    """Every directory in `data_root`, with its mount point: ``{host path: path in the container}``.

    `reserved` names are left out: a data volume called as a root volume would hide the users' own.
    """
    if not data_root.is_dir():
        return {}
    return {
        str(entry): str(WORKSPACE / entry.name)
        for entry in sorted(data_root.iterdir())
        if entry.is_dir() and _OWNER.fullmatch(entry.name) and entry.name not in reserved
    }


def make(volumes: list[UserVolume], volumes_root: Path) -> list[UserVolume]:
    """Create the directories that are missing, owned by the containers' account and closed to others.

    The parents stay the operator's: a user can fill a volume but not replace it, e.g. by a symbolic link.

    Returns
    -------
    list of UserVolume
        Those whose owner this process may not set (it does not run as root): see `make_through_engine`.

    Raises
    ------
    VolumeError
        The storage cannot be written.
    """
    left = []
    for volume in volumes:
        path = volume.host_path(volumes_root)
        try:
            for parent in [*path.parents][len(volume.parts) - 2 :: -1]:
                parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_ready(path):
                continue
            path.mkdir(mode=0o700, exist_ok=True)
            os.chown(path, USER_ID, USER_ID)
        except PermissionError:
            left.append(volume)
        except OSError as error:
            raise VolumeError(
                f"Your storage {volume} cannot be made ({error.strerror}). Tell the operator."
            ) from error
    return left


def _is_ready(path: Path) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return status.st_uid == USER_ID


def make_through_engine(client: docker.APIClient, image: str, volumes: list[UserVolume], volumes_root: Path) -> None:
    """Create the directories by a short-lived container, for a hub that does not run as root.

    The container has no network and, of all rights of root, only those to create and give away directories.
    """
    targets = [f"/volumes/{volume}" for volume in volumes]
    container = client.create_container(
        image=image,
        user="0:0",
        entrypoint=["install", "-d", "-m", "0700", "-o", str(USER_ID), "-g", str(USER_ID), "--"],
        command=targets,
        host_config=client.create_host_config(
            binds={str(volumes_root): {"bind": "/volumes", "mode": "rw"}},
            network_mode="none",
            cap_drop=["ALL"],
            cap_add=["CHOWN", "DAC_OVERRIDE", "FOWNER"],
            security_opt=["no-new-privileges"],
        ),
    )
    try:
        client.start(container)
        if client.wait(container)["StatusCode"] != 0:
            output = client.logs(container).decode(errors="replace").strip()
            raise VolumeError(f"Your storage cannot be made ({output}). Tell the operator.")
    finally:
        client.remove_container(container, force=True)
