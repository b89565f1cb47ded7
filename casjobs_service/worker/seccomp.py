"""The system calls that a worker may make; all others fail.

A list of what is allowed, not of what is refused: a new kernel's new calls are refused too. There is no socket, no
program, no process, no mount, no signal to others, no link, no memory that can be executed.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterator

from casjobs_service.worker import kernel

# Name: (x86_64, aarch64), from the kernel's headers; None where a machine has no such call.
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # files
    "read": (0, 63),
    "write": (1, 64),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "preadv": (295, 69),
    "pwritev": (296, 70),
    "lseek": (8, 62),
    "openat": (257, 56),
    "open": (2, None),
    "close": (3, 57),
    "close_range": (436, 436),
    "fstat": (5, 80),
    "stat": (4, None),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "getdents": (78, None),
    "getdents64": (217, 61),
    "fcntl": (72, 25),
    "flock": (73, 32),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "sync_file_range": (277, 84),
    "ftruncate": (77, 46),
    "truncate": (76, 45),
    "fallocate": (285, 47),
    "fadvise64": (221, 223),
    "dup": (32, 23),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    # memory; mmap and mprotect are below
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "mincore": (27, 232),
    "membarrier": (324, 283),
    # threads, signals to oneself, waiting
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "futex": (202, 98),
    "futex_waitv": (449, 449),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "getrandom": (318, 278),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "eventfd2": (290, 19),
    "pipe2": (293, 59),
    # about oneself
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "times": (100, 153),
    "sysinfo": (99, 179),
    "uname": (63, 160),
    "getcpu": (309, 168),
}

CLONE_THREAD = 0x10000
PROT_EXEC = 4
PR_SET_NAME, PR_GET_NAME, PR_SET_VMA = 15, 16, 0x53564D41
TCGETS, FIONCLEX, FIOCLEX = 0x5401, 0x5450, 0x5451

# Calls of which the arguments decide: name: (x86_64, aarch64), position of the argument, test, values.
EQUAL, ANY_BIT, NO_BIT = "equal", "any bit", "no bit"
_CONDITIONAL: tuple[tuple[tuple[int, int], int, str, tuple[int, ...]], ...] = (
    ((56, 220), 0, ANY_BIT, (CLONE_THREAD,)),  # clone: threads, not processes
    ((9, 222), 2, NO_BIT, (PROT_EXEC,)),  # mmap
    ((10, 226), 2, NO_BIT, (PROT_EXEC,)),  # mprotect
    ((157, 167), 0, EQUAL, (PR_SET_NAME, PR_GET_NAME, PR_SET_VMA)),  # prctl: names of threads and memory
    ((302, 261), 0, EQUAL, (0,)),  # prlimit64: one's own
    ((16, 29), 1, EQUAL, (TCGETS, FIONCLEX, FIOCLEX)),  # ioctl: what Python asks of every file
)
_TGKILL = (234, 131)
_CLONE3 = 435
_NEW = 424
"""Calls from this number on are the same on all machines, and newer than what libraries fall back to."""

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NR, _ARCH, _ARGUMENTS = 0, 4, 16
_SET_MODE_FILTER, _TSYNC, _SPEC_ALLOW = 1, 1, 4


def supported() -> bool:
    """Whether this machine's calls are known here."""
    return kernel.MACHINE in _AUDIT_ARCH


def program(pid: int) -> bytes:
    """The filter for the process `pid`, as instructions of the kernel's BPF."""
    column = list(_AUDIT_ARCH).index(kernel.MACHINE)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in _instructions(column, pid))


def _instructions(column: int, pid: int) -> Iterator[tuple[int, int, int, int]]:
    allow = (_RETURN, 0, 0, _ALLOW)
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    yield (_LOAD, 0, 0, _ARCH)
    yield (_JUMP_EQUAL, 1, 0, list(_AUDIT_ARCH.values())[column])
    yield (_RETURN, 0, 0, _KILL)
    yield (_LOAD, 0, 0, _NR)
    for numbers in ALLOWED.values():
        number = numbers[column]
        if number is not None:
            yield (_JUMP_EQUAL, 0, 1, number)
            yield allow
    tests = (*_CONDITIONAL, (_TGKILL, 0, EQUAL, (pid,)))
    for calls, position, test, values in tests:
        # Little endian: the low half comes first. These arguments are ints for the kernel, whatever the high half is;
        # of mmap's and clone's flags only bits of the low half are asked about.
        body = [(_LOAD, 0, 0, _ARGUMENTS + 8 * position)]
        for value in values:
            match test:
                case "equal":
                    body += [(_JUMP_EQUAL, 0, 1, value), allow]
                case "any bit":
                    body += [(_JUMP_SET, 0, 1, value), allow]
                case "no bit":
                    body += [(_JUMP_SET, 1, 0, value), allow]
        body.append(refuse)
        yield (_JUMP_EQUAL, 0, len(body), calls[column])
        yield from body
    # Libraries then use what was there before.
    yield (_JUMP_GREATER_EQUAL, 0, 3, _NEW)
    yield (_JUMP_GREATER_EQUAL, 1, 0, _X32)
    yield (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
    yield (_RETURN, 0, 0, _KILL)
    yield refuse


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


class Filter:
    """The filter for the process `pid`, made before it is needed."""

    def __init__(self, pid: int) -> None:
        self.load(program(pid))

    def load(self, code: bytes) -> None:
        """Take these instructions."""
        self._code = ctypes.create_string_buffer(code, len(code))
        self._program = _Program(len(code) // 8, ctypes.addressof(self._code))

    def close(self) -> None:
        """Install it in all threads of this process; it cannot be taken away again."""
        number = kernel.SECCOMP[kernel.MACHINE]
        kernel.syscall(number, _SET_MODE_FILTER, _TSYNC | _SPEC_ALLOW, ctypes.byref(self._program))
