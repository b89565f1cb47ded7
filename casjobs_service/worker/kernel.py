"""System calls that Python has no functions for."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Any

MACHINE = platform.machine()

SECCOMP = {"x86_64": 317, "aarch64": 277}
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
"""The same on all machines."""

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522

# Loaded here: nothing can be looked up once the sandbox is closed.
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: Any) -> int:
    """Any system call, by number.

    Raises
    ------
    OSError
        It failed.
    """
    longs = [argument if not isinstance(argument, int) else ctypes.c_long(argument) for argument in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *longs), f"system call {number}")


def unshare(flags: int) -> None:
    """Namespaces of one's own."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """As mount(2)."""
    _checked(
        _libc.mount(
            source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None
        ),
        "mount",
    )


def prctl(option: int, *values: int) -> None:
    """As prctl(2)."""
    longs = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    _checked(_libc.prctl(option, *longs), f"prctl {option}")


def trim() -> None:
    """Give memory that is free back to the system."""
    if hasattr(_libc, "malloc_trim"):  # not in musl
        _libc.malloc_trim(0)


def die_with_parent(signal: int) -> None:
    """The kernel sends this process `signal` when the thread that forked it ends.

    Must be said again after a change of uid, which clears it.
    """
    prctl(PR_SET_PDEATHSIG, signal)


def drop_bounding_set() -> None:
    """No capability can be gained again. Needs CAP_SETPCAP."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            # The kernel knows fewer.
            if capability == 0:
                raise
            return


def drop_capabilities() -> None:
    """None is left to this thread."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
