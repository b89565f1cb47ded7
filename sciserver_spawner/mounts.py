"""Which volumes a person's container gets beside the default ones: SciDrive's service knows, and is asked."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import aiohttp

from sciserver_spawner.volumes import SCIDRIVE, UserVolume, VolumeError

Mode = Literal["rw", "ro"]

_LARGEST_ANSWER = 2**22

MOST = 200
"""Mounts of one container: the engine takes milliseconds for each."""


@dataclass(frozen=True)
class Mount:
    """A volume, and whether the container may write to it."""

    volume: UserVolume
    mode: Mode


class MountsUnknown(Exception):
    """The service gave no answer that can be used; the text is for the log."""


async def ask(url: str, token: str, user: str, groups: Iterable[str], limit: float) -> tuple[list[Mount], list[str]]:
    """Ask the service for a person's volumes, and for those shared with the person or the person's groups.

    Parameters
    ----------
    url
        Of the service's answer, e.g. ``http://172.18.0.1:8084/services/scidrive/api/mounts``.
    token
        The service's own: no person may ask for another one's volumes.
    limit
        Seconds to wait in all.

    Returns
    -------
    (list of Mount, list of str)
        The mounts, and what of the answer was left out, for the log.

    Raises
    ------
    MountsUnknown
        No answer within `limit`, or not one that can be used.
    """
    query = [("user", user), *(("group", group) for group in groups)]
    headers = {"Authorization": f"token {token}"}
    try:
        async with (
            asyncio.timeout(limit),
            aiohttp.ClientSession() as session,
            session.get(url, params=query, headers=headers, allow_redirects=False) as response,
        ):
            body = await _body(response)
            if response.status != 200:
                raise MountsUnknown(f"it answered {response.status}")
    except TimeoutError:
        raise MountsUnknown(f"no answer within {limit:g} seconds") from None
    except (aiohttp.ClientError, OSError) as error:
        raise MountsUnknown(str(error) or type(error).__name__) from error
    return read(body)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _LARGEST_ANSWER:
            raise MountsUnknown(f"its answer has more than {_LARGEST_ANSWER} bytes")
    return bytes(body)


def read(body: bytes) -> tuple[list[Mount], list[str]]:
    """Mounts of the service's answer, and what was left out of it.

    An entry that cannot be used is left out; the others are mounted. Directories and mount points follow from the
    three names, never from a path that the answer gives.

    Raises
    ------
    MountsUnknown
        It is not such an answer.
    """
    try:
        entries = json.loads(body)["mounts"]
        if not isinstance(entries, list):
            raise TypeError("“mounts” is not a list")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise MountsUnknown(f"its answer cannot be read ({type(error).__name__})") from error
    mounts: dict[UserVolume, Mount] = {}
    left_out = []
    for entry in entries:
        try:
            mount = _mount(entry)
        except VolumeError:
            left_out.append(f"{entry!r:.200} (names that cannot be mounted)")
            continue
        if mount.volume not in mounts and len(mounts) >= MOST:
            left_out.append(f"{entry!r:.200} (more than {MOST} volumes)")
        # Named twice: the lesser right holds.
        elif mount.volume not in mounts or mount.mode == "ro":
            mounts[mount.volume] = mount
    return list(mounts.values()), left_out


def _mount(entry: Any) -> Mount:
    match entry:
        # SciDrive has one volume for each person: the directory with the person's name.
        case {"root": "SciDrive", "owner": str(owner), "mode": "rw" | "ro" as mode}:
            volume = UserVolume(SCIDRIVE, owner)
        case {"root": str(root), "owner": str(owner), "volume": str(name), "mode": "rw" | "ro" as mode}:
            volume = UserVolume(root, owner, name)
        case _:
            raise VolumeError("Not a mount.")
    return Mount(volume, cast(Mode, mode))


def existing(mounts: Iterable[Mount], volumes_root: Path) -> list[Mount]:
    """Those mounts whose directory is there: for a missing one the engine would make a directory of root's.

    A link in the place of a directory is not followed.
    """
    return [mount for mount in mounts if _is_directory(volumes_root, mount.volume.host_path(volumes_root))]


def _is_directory(root: Path, path: Path) -> bool:
    try:
        for part in [path, *path.parents]:
            if part == root:
                return True
            if not stat.S_ISDIR(os.lstat(part).st_mode):
                return False
    except OSError:
        pass
    return False
