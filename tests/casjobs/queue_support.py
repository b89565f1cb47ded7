"""The parts of a service that run queries, with real workers; in this process, or in one that can be killed.

``python -m tests.casjobs.queue_support DIRECTORY URL TRAITS`` serves the long queue until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Self

from casjobs_service.limits import Limits
from casjobs_service.models import Job, User
from casjobs_service.queue import Scheduler
from casjobs_service.quick import Quick
from casjobs_service.store import Store
from casjobs_service.worker.pool import Workers

ROOT = Path(__file__).parents[2]


def cross_join(tables: int) -> str:
    """A query whose time is known roughly: 7 tables 0.3 s, 8 tables 2 s, 13 tables days."""
    names = [f"t{number}" for number in range(tables)]
    digits = ", ".join(f"({digit})" for digit in range(10))
    total = " + ".join(f"{name}.x" for name in names)
    join = ", ".join(f"digits {name}" for name in names)
    return " ".join(["with digits as (select * from (values", digits, ") v(x)) select sum(", total, ") s from", join])


def large() -> str:
    """A query that returns 16 MB of numbers that cannot be compressed."""
    phase = "t0.x + 10 * (t1.x + 10 * (t2.x + 10 * (t3.x + 10 * (t4.x + 10 * t5.x))))"
    head, tail = cross_join(6).split("select sum(")
    return f"{head} select sin({phase}) a, cos({phase}) b {tail[tail.index('from') :]}"


RUNAWAY = cross_join(13)
SECONDS = cross_join(8)


class Service:
    """A store, workers, the long queue and quick queries.

    Parameters
    ----------
    scheduler, quick, workers
        Traits of the parts.
    """

    def __init__(
        self,
        directory: Path,
        url: str = "",
        *,
        scheduler: dict[str, Any] | None = None,
        quick: dict[str, Any] | None = None,
        workers: dict[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self.directory = directory
        self.store = Store(url or f"sqlite:///{directory}/casjobs.sqlite")
        self.workers = Workers(directory, **{"warm": 2, **(workers or {})})
        limits = limits or Limits(memory=500_000_000)
        self.scheduler = Scheduler(self.store, self.workers, lambda groups: [], directory, limits, **(scheduler or {}))
        self.quick = Quick(self.scheduler, limits, **(quick or {}))

    async def __aenter__(self) -> Self:
        await self.workers.start()
        await self.scheduler.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.quick.stop()
        await self.scheduler.stop()
        await self.workers.stop()
        self.store.close()

    async def submit(self, user: User, query: str, **more: Any) -> Job:
        """A long job."""
        return await self.scheduler.submit(user, query=query, context="MyDB", **more)

    async def until(self, job: Job, wanted: Callable[[Job], bool], seconds: float = 60) -> Job:
        """The job as soon as it is as `wanted`."""
        async with asyncio.timeout(seconds):
            while not wanted(job):
                job = await self.scheduler.wait(job, 0.2)
        return job

    async def ended(self, job: Job) -> Job:
        """The job at its end."""
        return await self.until(job, lambda job: job.ended)

    async def ask(self, user: User, query: str, **more: Any) -> tuple[bytes, list[dict[str, Any]]]:
        """A quick query: its CSV and its events."""
        output: list[bytes] = []
        events: list[dict[str, Any]] = []
        more = {"context": "MyDB", "output": {"format": "csv"}, **more}
        async with aclosing(self.quick.run_quick(user, query=query, **more)) as stream:
            async for event in stream:
                (output if isinstance(event, bytes) else events).append(event)  # type: ignore[arg-type]
        return b"".join(output), events

    def worker(self, job_id: int) -> int:
        """The process that runs a job."""
        run: Any = self.scheduler.live[job_id]
        pid: int = run._session.process.pid
        return pid


@asynccontextmanager
async def service(directory: Path, url: str = "", **parts: Any) -> AsyncIterator[Service]:
    """A running service."""
    async with Service(directory, url, **parts) as running:
        yield running


async def eventually(condition: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
    """What `condition` returns, as soon as it is true."""
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
    return found


async def worker_of(parts: Service, job: Job) -> int:
    """The process that runs a job, as soon as there is one."""

    async def found() -> int | None:
        try:
            return parts.worker(job.id)
        except (KeyError, AttributeError):
            return None

    pid: int = await eventually(found)
    return pid


async def is_dead(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        # A zombie is dead.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class ServiceProcess:
    """A service that can be killed.

    Parameters
    ----------
    disk
        Bytes of a file system of its own for `directory`, which nobody else sees; 0 for none.
    """

    def __init__(self, directory: Path, url: str, *, disk: int = 0, **traits: Any) -> None:
        self._command = [sys.executable, "-m", "tests.casjobs.queue_support", str(directory), url, json.dumps(traits)]
        if disk:
            directory.mkdir()
            mount = f'mount -t tmpfs -o size={disk} none {directory} && exec "$0" "$@"'
            become, stay = ["unshare", "--mount"], []
            if os.geteuid():
                become += ["--map-root-user"]
                stay = ["unshare", "--user", "--map-user", "1000"]
            self._command = [*become, "sh", "-c", mount, *stay, *self._command]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        self._process = subprocess.Popen(self._command, cwd=ROOT)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it by a signal."""
        assert self._process is not None
        os.kill(self._process.pid, number)
        self._process.wait(30)
        self._process = None

    def close(self) -> None:
        """End it, if it has not ended."""
        if self._process is not None:
            self.kill()


async def _serve(directory: Path, url: str, traits: dict[str, Any]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with service(directory, url, scheduler=traits):
        await stop.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])))
