"""Locks a worker into what its session may see.

For root: a root directory of its own (mount namespace) with the session's files in it, an empty network, the uid of
the user. For others: Landlock. For both: a filter of system calls, no capabilities, limits of the kernel. What the
machine does not offer is left out, and said by `protections`.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casjobs_service.limits import GIGABYTE, MEGABYTE, Limits
from casjobs_service.mydb import DIRECTORIES
from casjobs_service.worker import kernel, landlock, seccomp

MOUNTS, LANDLOCK = "mounts", "landlock"
"""How files are kept apart."""

HEADROOM = 1 * GIGABYTE
"""Memory beside the engine's own limit: libraries that format, the translator, the engine's own small structures."""
SLACK = 64 * MEGABYTE
"""By how much a database may outgrow its quota while something is removed from it or committed, bytes."""
OPEN_FILES = 1024
PROCESSES = 1024
"""Threads of all queries of one user."""
SECONDS = 60
"""Processor time beside what the query's wall time allows."""


FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
"""Of all mounts in the jail."""


@dataclass(frozen=True)
class View:
    """What a session sees.

    Attributes
    ----------
    writable, readable
        Name in the jail to path on this machine.
    in_place
        To be read, at the same path as on this machine.
    """

    writable: Mapping[str, Path]
    readable: Mapping[str, Path]
    in_place: tuple[Path, ...] = field(default=())

    def inside(self, name: str, mode: str) -> Path:
        """Where the worker finds it."""
        return Path("/", name) if mode == MOUNTS else {**self.readable, **self.writable}[name]


def prepare() -> None:
    """What all workers share: no network, and mounts that the rest of the machine does not see. For root."""
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)


class Sandbox:
    """Locks this process in, in two steps: what does not depend on the session is done before it is known.

    Parameters
    ----------
    mode
        `MOUNTS`, `LANDLOCK`, or empty: files are not kept apart.
    jail
        An empty directory, on which the jail is mounted.
    """

    def __init__(self, mode: str, jail: Path) -> None:
        self.mode = mode
        self._jail = jail
        if mode == MOUNTS:
            # While there is one thread: all that follow are in it, and can gain nothing.
            kernel.unshare(kernel.CLONE_NEWNS)
            kernel.drop_bounding_set()
            kernel.mount("jail", str(jail), "tmpfs", FLAGS, "size=1m,mode=0755")
            for name in (*DIRECTORIES.values(), "session", "contexts"):
                (jail / name).mkdir(mode=0o755)
        self._filter = seccomp.Filter(os.getpid()) if seccomp.supported() else None

    def close(self, view: View, limits: Limits, *, uid: int | None, nice: int) -> None:
        """Lock this process in, for good.

        With mounts, all its threads: they have its root, lose their capabilities with the change of uid, and get the
        filter. Otherwise there must be one.

        Parameters
        ----------
        uid
            Of the user; None: stay who we are.
        nice
            Niceness of the process.
        """
        threads = [int(thread) for thread in os.listdir("/proc/self/task")]  # noqa: PTH208
        if len(threads) > 1 and self.mode != MOUNTS:
            raise RuntimeError(f"{len(threads)} threads before the sandbox is closed")
        base = _memory()
        _quiet()
        if self.mode == MOUNTS:
            _mount(view, self._jail)
        for thread in threads:
            _set_nice(thread, nice)
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            # The change has cleared it.
            kernel.die_with_parent(signal.SIGKILL)
        kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        if self.mode and landlock.version():
            landlock.restrict(
                [*(view.inside(name, self.mode) for name in view.readable), *view.in_place],
                [view.inside(name, self.mode) for name in view.writable],
            )
        _limit(limits, base, processes=uid is not None)
        os.umask(0o077)
        if self._filter is not None:
            self._filter.close()


def _quiet() -> None:
    """Nothing but the session's socket is open, and what libraries print goes nowhere."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _mount(view: View, jail: Path) -> None:
    root = str(jail)
    for names, more in ((view.writable, 0), (view.readable, kernel.MS_RDONLY)):
        for name, path in names.items():
            _bind(path, jail / name, FLAGS | more)
    for path in view.in_place:
        _bind(path, jail / path.relative_to("/"), FLAGS | kernel.MS_RDONLY)
    kernel.mount("", root, "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | FLAGS)
    # Not pivot_root, which must take the old tree away: that waits for all processors, 100 ms on a busy machine.
    # Nobody leaves a changed root without an open directory outside, or the capability that goes next; and Landlock
    # holds too.
    os.chroot(root)
    os.chdir("/")


def _bind(path: Path, target: Path, flags: int) -> None:
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if path.is_dir():
        target.mkdir(mode=0o755, exist_ok=True)
    else:
        target.touch()
    kernel.mount(str(path), str(target), "", kernel.MS_BIND)
    kernel.mount("", str(target), "", kernel.MS_REMOUNT | kernel.MS_BIND | flags)


def _set_nice(thread: int, nice: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, thread, nice)
    except PermissionError:
        # Only root can be less nice than before.
        pass


def _memory(process: int | str = "self") -> tuple[int, int]:
    """Address space and private memory of a process, bytes."""
    found = {}
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key in ("VmSize", "VmData"):
            found[key] = int(value.split()[0]) * 1024
    return found["VmSize"], found["VmData"]


def _limit(limits: Limits, base: tuple[int, int], *, processes: bool) -> None:
    size, data = base
    memory = limits.memory + HEADROOM
    # The wall clock is the service's business; this is for a worker that nobody watches any more.
    seconds = int(limits.seconds * limits.threads) + SECONDS
    file = max(limits.temp, limits.quota, limits.scratch, limits.result) + SLACK
    for kind, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, seconds, seconds + 5),
        (resource.RLIMIT_DATA, data + memory, data + memory),
        # Engines reserve more than they use.
        (resource.RLIMIT_AS, size + 4 * memory, size + 4 * memory),
        (resource.RLIMIT_FSIZE, file, file),
        (resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
        *([(resource.RLIMIT_NPROC, PROCESSES, PROCESSES)] if processes else []),
    ):
        _, most = resource.getrlimit(kind)
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(kind, (soft, hard))
    # A write beyond the limit is an error of the call, which the engine reports, not the end of the process.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def room(pid: int, limits: Limits) -> bool:
    """Whether a worker that has served a query could serve another one with the same limits.

    The kernel counts for the whole life of a process, and what it has set cannot be raised. So a worker is used again
    only while it has used little of what is set beside a query's own share.
    """
    most = {}
    # Not prlimit(2): root without CAP_SYS_RESOURCE may not ask it about others.
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith(("Max cpu time", "Max data size")):
            most[line[4:7]] = float(line.split()[3].replace("unlimited", "inf"))
    # utime and stime; the name before may have spaces.
    used = sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return (
        most["cpu"] - used / os.sysconf("SC_CLK_TCK") >= int(limits.seconds * limits.threads) + SECONDS / 2
        and most["dat"] - _memory(pid)[1] >= limits.memory + HEADROOM * 3 // 4
    )


def open_files() -> int:
    """How many files this process has open, without pipes and devices."""
    most = min(OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    poll = select.poll()
    for descriptor in range(most):
        poll.register(descriptor, 0)
    closed = {descriptor for descriptor, _ in poll.poll(0)}
    return sum(stat.S_ISREG(os.fstat(descriptor).st_mode) for descriptor in set(range(most)) - closed)


def probe() -> dict[str, Any]:
    """What this process may do, found out by trying in children; see `protections`."""
    mounts = os.geteuid() == 0 and _works(_try_mounts)
    version = landlock.version()
    return {
        "files": MOUNTS if mounts else LANDLOCK if version else "",
        "uid": mounts,
        "network": "namespace" if mounts else "",
        "system_calls": seccomp.supported() and _works(_try_seccomp),
        "landlock": version,
    }


def _try_mounts() -> None:
    prepare()
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("jail", "/", "tmpfs", FLAGS, "size=1m")


def _try_seccomp() -> None:
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.Filter(os.getpid()).close()


def _works(attempt: Callable[[], None]) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            attempt()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def protections() -> dict[str, Any]:
    """What stands between a query and this machine.

    Returns
    -------
    dict
        ``files``: ``mounts``, ``landlock`` or empty; ``uid``: queries run under an uid of the user; ``network``:
        ``namespace`` or empty; ``system_calls``: filtered, which also excludes the network; ``landlock``: version of
        the kernel's interface, 0 without; it is used beside mounts too, for all threads but those that are started
        while the worker gets ready.
    """
    answer = subprocess.run([sys.executable, "-m", __name__], capture_output=True, check=True, timeout=30)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(probe()))
