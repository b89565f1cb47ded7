"""System calls of Linux that Python does not offer, and those that make files safe to serve.

Everything that a user names is resolved by `openat2`, which the kernel does in one step below a folder that is open:
no link, also one that is made while we look, leads out. Threads take the account of the containers for what they do to
files (`Acting`), so the kernel decides what that account may do, and what is made belongs to it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pathlib
import platform
import stat
import struct
import threading
from typing import NamedTuple

from scidrive_service.errors import FileError, Kind

_libc = ctypes.CDLL(None, use_errno=True)
_quick = ctypes.PyDLL(None, use_errno=True)
"""The same, with the interpreter's lock held: for calls that never wait, giving it away costs more than the call."""

_OPENAT2 = 437
"""The same number on all architectures."""

_SETGROUPS = {"x86_64": 116, "aarch64": 159}.get(platform.machine())

_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _CACHED = 0x01, 0x02, 0x04, 0x08, 0x20
_ALWAYS = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TRIES = 1000
"""openat2 gives up (EAGAIN) when something was renamed while it looked; a container that renames all the time wins one
try in some dozen."""

_AT_SYMLINK_NOFOLLOW, _AT_NO_AUTOMOUNT, _AT_EMPTY_PATH = 0x100, 0x800, 0x1000
_STATX_BASIC_AND_BIRTH = 0xFFF
_STATX_BIRTH = 0x800
_STATX = struct.Struct("=I 12x I 8x H 2x Q Q 16x 16x q I 4x q I 4x q I 4x 8x I I")
"""mask, links, mode, inode, size, birth, change, modification, and the device."""

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2

_CAP_SYS_RESOURCE = 24

FOLDER = os.O_RDONLY | os.O_DIRECTORY
PLACE = os.O_PATH | os.O_DIRECTORY
"""A folder to look below: needs no right to read it."""


class _How(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def _failed(name: str | bytes = "") -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), name)


def open_beneath(folder: int, path: bytes, flags: int, mode: int = 0, *, follow: bool = True) -> int:
    """Open what is below a folder, wherever links inside of it lead, and never what is not.

    Parameters
    ----------
    follow
        False: no part of the path may be a link.

    Raises
    ------
    OSError
        EXDEV: it leads out, or to another file system. ELOOP: too many links, or one where none may be.
    """
    resolve = _BENEATH | _NO_MAGICLINKS | _NO_XDEV | (0 if follow else _NO_SYMLINKS)
    flags |= os.O_CLOEXEC if flags & os.O_PATH else _ALWAYS
    if flags & os.O_PATH:
        # What the kernel knows by heart it says at once, and else it says that it would have to wait (Linux 5.12).
        how = _How(flags, mode, resolve | _CACHED)
        fd = _quick.syscall(_OPENAT2, folder, path, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return int(fd)
        if ctypes.get_errno() not in {errno.EAGAIN, errno.EINTR, errno.EINVAL}:
            raise _failed(path)
    how = _How(flags, mode, resolve)
    for _ in range(_TRIES):
        fd = _libc.syscall(_OPENAT2, folder, path, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return int(fd)
        if ctypes.get_errno() not in {errno.EAGAIN, errno.EINTR}:
            break
    raise _failed(path)


def reopen(fd: int, flags: int) -> int:
    """Open for reading or writing what was opened as a place (O_PATH) and looked at: it is the same file."""
    return os.open(f"/proc/self/fd/{fd}", flags | _ALWAYS)


def change_mode(fd: int, mode: int) -> None:
    """Like `os.fchmod`, also for what was opened as a place."""
    os.chmod(f"/proc/self/fd/{fd}", mode)  # noqa: PTH101 (not a path: the file that is open)


def open_unnamed(folder: int) -> int:
    """A file without a name on the folder's file system; see `give_name`.

    Raises
    ------
    OSError
        EOPNOTSUPP: the file system has none.
    """
    try:
        return open_beneath(folder, b".", os.O_TMPFILE | os.O_RDWR, 0o644)
    except OSError as error:
        if error.errno in {errno.EISDIR, errno.EINVAL, errno.ENOSYS}:
            error.errno = errno.EOPNOTSUPP
        raise


def give_name(fd: int, folder: int, name: bytes) -> None:
    """Give a file of `open_unnamed` its name. Raises FileExistsError rather than replace."""
    os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=folder, follow_symlinks=True)


def rename(source: int, name: bytes, target: int, new_name: bytes, flags: int = 0) -> None:
    """`renameat2`: with RENAME_NOREPLACE it raises FileExistsError, with RENAME_EXCHANGE both change places."""
    if _libc.renameat2(source, name, target, new_name, flags) != 0:
        raise _failed(name)


class Status(NamedTuple):
    """What `statx` says. Times are nanoseconds since 1970; `birth` is 0 where the file system does not keep it."""

    links: int
    mode: int
    inode: int
    size: int
    birth: int
    changed: int
    modified: int
    device: tuple[int, int]

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)


def status(folder: int, name: bytes = b"") -> Status:
    """Look at one name in a folder, a link itself and not what it leads to; without a name: at what is open."""
    buffer = ctypes.create_string_buffer(256)
    flags = _AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT | (0 if name else _AT_EMPTY_PATH)
    if _libc.statx(folder, name, flags, _STATX_BASIC_AND_BIRTH, buffer) != 0:
        raise _failed(name)
    mask, links, mode, inode, size, birth, birth_ns, change, change_ns, modified, modified_ns, major, minor = (
        _STATX.unpack_from(buffer)
    )
    return Status(
        links,
        mode,
        inode,
        size,
        birth * 1_000_000_000 + birth_ns if mask & _STATX_BIRTH else 0,
        change * 1_000_000_000 + change_ns,
        modified * 1_000_000_000 + modified_ns,
        (major, minor),
    )


def has(folder: int, name: bytes) -> bool:
    """Whether there is anything of that name in a folder, be it a link that leads nowhere."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


_thread = threading.local()


class Acting:
    """A context in which this thread, and it alone, uses files as an account (uid and gid); None changes nothing.

    The other groups of the process are left for good at a thread's first time, and so is the right to pass over quotas
    and reserves of the disk (CAP_SYS_RESOURCE), which changing the account does not take away.
    """

    __slots__ = ("_account", "_group", "_user")

    def __init__(self, account: int | None) -> None:
        self._account = account

    def __enter__(self) -> None:
        if self._account is None:
            return
        if not getattr(_thread, "is_ready", False):
            _leave_rights()
            _thread.is_ready = True
        self._group = _quick.setfsgid(self._account)
        self._user = _quick.setfsuid(self._account)

    def __exit__(self, *_: object) -> None:
        if self._account is not None:
            _quick.setfsuid(self._user)
            _quick.setfsgid(self._group)


class Resting:
    """A context within `Acting` in which this thread is the service again, whatever account it acts as."""

    __slots__ = ("_group", "_user")

    def __enter__(self) -> None:
        self._group = _quick.setfsgid(os.getegid())
        self._user = _quick.setfsuid(os.geteuid())

    def __exit__(self, *_: object) -> None:
        _quick.setfsuid(self._user)
        _quick.setfsgid(self._group)


def _leave_rights() -> None:
    if _SETGROUPS is not None:
        _libc.syscall(
            _SETGROUPS, 0, None
        )  # glibc's own would change all threads; without the right to: nothing to leave
    header = struct.pack("=Ii", 0x20080522, 0)
    sets = ctypes.create_string_buffer(24)
    if _libc.capget(header, sets) == 0:
        effective, *others = struct.unpack("=6I", sets.raw)
        if effective & 1 << _CAP_SYS_RESOURCE:
            _libc.capset(header, struct.pack("=6I", effective & ~(1 << _CAP_SYS_RESOURCE), *others))


def require(account: int | None) -> int | None:
    """Find out whether this kernel and this process can serve files.

    Parameters
    ----------
    account
        The one to use files as (uid and gid).

    Returns
    -------
    int, optional
        What to give to `Acting`: None if the process is that account anyway.

    Raises
    ------
    FileError
        UNAVAILABLE: what is missing, for the operator.
    """
    top = os.open("/", PLACE)
    try:
        os.close(open_beneath(top, b".", PLACE))
    except OSError as error:
        raise FileError(
            "Files can be served only by Linux 5.6 or newer, with openat2 allowed (a container's seccomp profile may "
            f"forbid it): it answers {error.strerror}. Upgrade the kernel or the container engine.",
            Kind.UNAVAILABLE,
        ) from error
    finally:
        os.close(top)
    if not pathlib.Path("/proc/self/fd").exists():
        raise FileError("Files can be served only where /proc is mounted. Mount it.", Kind.UNAVAILABLE)
    if account is None or os.geteuid() == account:
        return None
    with Acting(account):
        user = _quick.setfsuid(-1)  # changes nothing; there is no other way to ask
        group = _quick.setfsgid(-1)
    if (user, group) != (account, account):
        raise FileError(
            f"The service that keeps files must run as root, as the account {account}, or with CAP_SETUID and "
            "CAP_SETGID: files of containers belong to that account. Start it so.",
            Kind.UNAVAILABLE,
        )
    return account
