"""Project quotas of ext4 and XFS: the kernel stops containers, too, where the file system can.

Every file below a volume carries the number of a project, new ones inherit it, and the file system counts and limits
what a project has. That needs a file system with project quotas switched on (``mkfs.ext4 -O quota,project`` or
``tune2fs -O quota,project``, XFS as it is; mounted with ``prjquota``), Linux 5.14 and a service that runs as root.

It is a guard against filling the disk, and none against malice: Linux lets the owner of a file take it out of its
project, unless the container has a user namespace of its own.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import pathlib
import struct
from collections.abc import Iterator

from scidrive_service import kernel
from scidrive_service.local_place import names
from scidrive_service.models import Volume
from scidrive_service.policy import RootPolicy
from scidrive_service.store import Store

log = logging.getLogger(__name__)

_BASE, _EACH, _DEPLOYMENTS = 1_000_000_000, 100_000, 30_000
"""Our projects' numbers begin here, away from those that administrators choose in /etc/projid, with so many for each
deployment: two of them may be on one file system."""

_libc = ctypes.CDLL(None, use_errno=True)
_QUOTACTL_FD = 443
"""The same number on all architectures."""

_PROJECT = 2
_SETQUOTA, _GETQUOTA, _GETSTATE = 0x800008, 0x800007, 0x5808
_LIMITS = struct.Struct("=8Q I 4x")
"""Blocks of 1 KiB (hard, soft), bytes used, files (hard, soft, used), two times; and which of these are meant."""
_BLOCK_LIMITS, _FILE_LIMITS = 1, 4
_IS_ENFORCED = 1 << 5

_FSGETXATTR, _FSSETXATTR = 0x801C581F, 0x401C5820
_ATTRIBUTES = struct.Struct("=5I 8s")
_INHERIT = 0x200

_SLACK = 1.1
"""The file system counts blocks and what is about to be replaced, the doors count content: they refuse first."""


class Projects:
    """Gives volumes their projects.

    Parameters
    ----------
    store
        Keeps the projects' numbers.
    deployment
        Its id, hexadecimal digits.
    """

    def __init__(self, store: Store, deployment: str) -> None:
        self._store = store
        self._base = _BASE + int(deployment, 16) % _DEPLOYMENTS * _EACH
        self._limits: dict[int, tuple[int, int]] = {}

    def protect(self, path: pathlib.Path, volume: Volume, policy: RootPolicy) -> bool:
        """Put a volume's files into its project, and limit that; whether the file system does so.

        What is in the project already is left alone, so it can be called again and again. Volumes without limits have
        no project.
        """
        limits = _limits(policy)
        if limits is None:
            return False
        try:
            root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            if not is_enforced(root):
                return False
            project = self._number(volume, policy)
            if project_of(root) != project:
                # Files that would be over the limit could not be put into the project.
                set_limits(root, project, 0, 0)
                self._limits.pop(project, None)
                _give_all(root, project)
                log.info("volume %s/%s/%s has project quota %d", volume.root, volume.owner, volume.name, project)
            if self._limits.get(project) != limits:
                set_limits(root, project, *limits)
                self._limits[project] = limits
            return True
        except OSError as error:
            log.warning("%s has no project quota: %s", path, error)
            return False
        finally:
            os.close(root)

    def is_protected(self, path: pathlib.Path, volume: Volume, policy: RootPolicy) -> bool:
        """Whether the file system limits what containers put into this volume."""
        try:
            root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return (
                _limits(policy) is not None and is_enforced(root) and project_of(root) == self._number(volume, policy)
            )
        except OSError:
            return False
        finally:
            os.close(root)

    def _number(self, volume: Volume, policy: RootPolicy) -> int:
        """One project for all volumes of an owner, if they are limited together."""
        scope = f"{volume.owner}/{volume.root}"
        number = self._store.project(scope if is_together(policy) else f"{scope}/{volume.id}")
        return self._base + number % _EACH


def is_together(policy: RootPolicy) -> bool:
    """Whether the project is for all volumes of an owner; else there is one for each volume.

    A file has one project: where there are limits for both, the file system enforces the ones for all volumes.
    """
    return bool(policy.user_bytes or policy.user_files)


def _limits(policy: RootPolicy) -> tuple[int, int] | None:
    if is_together(policy):
        bytes, files = policy.user_bytes, policy.user_files
    else:
        bytes, files = policy.volume_bytes, policy.volume_files
    return (int(bytes * _SLACK), int(files * _SLACK)) if bytes or files else None


def is_enforced(folder: int) -> bool:
    """Whether the file system of an open folder limits projects."""
    state = ctypes.create_string_buffer(256)
    state[0] = b"\x01"  # version of the structure
    try:
        _quotactl(folder, _GETSTATE, 0, state)
    except OSError as error:
        expected = {errno.ENOSYS, errno.ESRCH, errno.EPERM, errno.EINVAL, errno.ENOTBLK, errno.EOPNOTSUPP}
        if error.errno not in {*expected, errno.ENODEV, errno.ENOTTY}:
            log.warning("project quotas cannot be looked for: %s", error)
        return False
    flags = struct.unpack_from("=H", state, 2)[0]
    return bool(flags & _IS_ENFORCED)


def set_limits(folder: int, project: int, bytes: int, files: int) -> None:
    """Limit a project on the file system of an open folder; 0: no limit."""
    limits = _LIMITS.pack(-(-bytes // 1024), 0, 0, files, 0, 0, 0, 0, _BLOCK_LIMITS | _FILE_LIMITS)
    _quotactl(folder, _SETQUOTA, project, ctypes.create_string_buffer(limits, _LIMITS.size))


def used(folder: int, project: int) -> tuple[int, int]:
    """Bytes of blocks and number of files of a project, as the file system counts."""
    answer = ctypes.create_string_buffer(_LIMITS.size)
    _quotactl(folder, _GETQUOTA, project, answer)
    _, _, space, _, _, files, *_ = _LIMITS.unpack(answer.raw)
    return space, files


def project_of(file: int) -> int:
    """The project of an open file or folder."""
    _, _, _, project, _, _ = _attributes(file)
    return int(project)


def give(file: int, project: int, *, inherit: bool) -> None:
    """Put an open file or folder into a project."""
    flags, extent, extents, _, copied, rest = _attributes(file)
    flags = flags | _INHERIT if inherit else flags & ~_INHERIT
    fcntl.ioctl(file, _FSSETXATTR, _ATTRIBUTES.pack(flags, extent, extents, project, copied, rest))


def _attributes(file: int) -> tuple[int, int, int, int, int, bytes]:
    found: tuple[int, int, int, int, int, bytes] = _ATTRIBUTES.unpack(
        fcntl.ioctl(file, _FSGETXATTR, bytes(_ATTRIBUTES.size))
    )
    return found


def _quotactl(folder: int, command: int, number: int, data: ctypes.Array[ctypes.c_char]) -> None:
    if _libc.syscall(_QUOTACTL_FD, folder, command << 8 | _PROJECT, number, data) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _give_all(root: int, project: int) -> None:
    """Put everything below a folder into a project: folders before what is in them, so that what is made meanwhile
    inherits it, and the root at the end, so that a service that is killed does it again."""
    for file, is_folder in _files(root):
        if project_of(file) != project:
            give(file, project, inherit=is_folder)
    give(root, project, inherit=True)
    for name in names(root):  # made there meanwhile
        opened = _open(root, name)
        if opened is not None:
            try:
                if project_of(opened) != project:
                    give(opened, project, inherit=kernel.status(opened).is_folder)
            finally:
                os.close(opened)


def _files(root: int) -> Iterator[tuple[int, bool]]:
    """All files and folders below one, open; links, pipes and devices have no project."""
    waiting = [b"."]
    while waiting:
        below = waiting.pop()
        try:
            folder = kernel.open_beneath(root, below, kernel.FOLDER, follow=False)
        except OSError:
            continue  # gone meanwhile, or too deep for a path: its files are not limited
        try:
            for name in names(folder):
                file = _open(folder, name)
                if file is None:
                    continue
                try:
                    is_folder = kernel.status(file).is_folder
                    yield file, is_folder
                finally:
                    os.close(file)
                if is_folder:
                    waiting.append(below + b"/" + name)
        finally:
            os.close(folder)


def _open(folder: int, name: bytes) -> int | None:
    """A file or folder for asking about it; a pipe or device is never opened."""
    try:
        seen = kernel.status(folder, name)
        if not (seen.is_file or seen.is_folder):
            return None
        file = kernel.open_beneath(folder, name, os.O_RDONLY, follow=False)
        seen = kernel.status(file)
    except OSError:
        return None
    if seen.is_file or seen.is_folder:
        return file
    os.close(file)
    return None
