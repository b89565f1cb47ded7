"""The pool of worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import uuid
from collections import deque
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import IO, Any

from traitlets import Bool, Float, Int
from traitlets.config import LoggingConfigurable

from casjobs_service.contexts import ContextSource
from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits
from casjobs_service.mydb import DIRECTORIES, UserFiles, UserSpace
from casjobs_service.worker import sandbox
from casjobs_service.worker.assignment import assignment_of
from casjobs_service.worker.locks import LockTable
from casjobs_service.worker.process import Closed, ForkServer, ForkServerGone, WorkerProcess
from casjobs_service.worker.resting import PATIENCE, Resting
from casjobs_service.worker.session import Session

__all__ = ["ContextSource", "UserSpace", "Workers"]

CLAIM_SECONDS = 5.0
"""How long a service that was killed may take to be gone."""

ATTEMPTS = 5
"""So many workers in turn may die before they are of use; then the fault is not theirs."""


class Workers(LoggingConfigurable):
    """Makes worker processes ready ahead of time and hands them out, each to one session at a time.

    Parameters
    ----------
    directory
        The service's directory of data (`deployment.casjobs_dir`).
    """

    program = "casjobs_service.worker.forkserver"
    """Module that is run to make workers; another one in tests."""

    warm = Int(4, help="Workers that wait, ready, for the next query.").tag(config=True)
    max_workers = Int(
        max(8, 4 * (os.cpu_count() or 1)),
        help="Queries that run at the same time, of all kinds. More wait, first come, first served.",
    ).tag(config=True)
    uid_base = Int(
        1_900_000_000,
        help="""Where the service runs as root, queries of a user run under the uid `uid_base` + the user's number.
        The default is in a range that no other software uses.""",
    ).tag(config=True)
    require_sandbox = Bool(
        True,
        help="""Refuse to start where the kernel offers neither a jail of mounts (for root) nor Landlock: queries could
        then read files of the machine, should they find a way around the checks of their text.""",
    ).tag(config=True)
    text_bytes = Int(1_000_000, help="Longest text of a query, bytes of UTF-8.").tag(config=True)
    client_seconds = Float(300.0, help="A client that takes nothing of its result for so many seconds loses it.").tag(
        config=True
    )
    kill_seconds = Float(
        0.5, help="Seconds after which a cancelled query that has not ended by itself is killed."
    ).tag(config=True)
    keep = Int(
        4,
        help="""Workers that stay for a while after a query, for the next one of the same user that may see the same
        databases; 0 for none. They count among `max_workers`, and leave when somebody else needs their place. None
        stay where Landlock locks queries in.""",
    ).tag(config=True)
    keep_seconds = Float(5.0, help="How long such a worker stays. Seconds.").tag(config=True)
    keep_sessions = Int(50, help="After so many queries, a worker is not used for another one.").tag(config=True)
    nice_warm = Int(10, help="Niceness of workers while they get ready, so that queries go first.").tag(config=True)

    def __init__(self, directory: Path, **traits: Any) -> None:
        super().__init__(**traits)
        self.directory = directory
        self.files = UserFiles(directory)
        self.locks = LockTable()
        self._lock_file: IO[bytes] | None = None
        self._forkserver: ForkServer | None = None
        self._forkserver_lock = asyncio.Lock()
        self._slots = asyncio.Semaphore(self.max_workers)
        self._idle: deque[WorkerProcess] = deque()
        self._resting = Resting(lambda session: self._spawn(self._clean(session)), self.locks, self.log)
        self._starting = 0
        self._young: set[WorkerProcess] = set()
        self._wanting: deque[asyncio.Future[WorkerProcess]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._failures = 0
        self._limits = Limits()
        self._oom_kills = oom_kills()

    async def start(self) -> None:
        """Sweep what a dead service has left, and make the first workers ready.

        Raises
        ------
        RuntimeError
            The sandbox cannot be made, or another service has the directory; the text says what to do.
        """
        for name in (*DIRECTORIES.values(), "sessions", "jail"):
            (self.directory / name).mkdir(mode=0o711, parents=True, exist_ok=True)
        await self._claim()
        try:
            await asyncio.to_thread(self._sweep)
            found = await self._protected()
        except BaseException:
            await self.stop()
            raise
        self.files.uid_base = self.uid_base if found["uid"] else None
        self._refill()

    async def stop(self) -> None:
        """End all sessions and workers."""
        self._stopping = True
        if self._forkserver is not None:
            await self._forkserver.stop()
        await self._resting.stop()
        for wish in self._wanting:
            wish.cancel()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._lock_file is not None:
            self._lock_file.close()

    def session(self, user: UserSpace, limits: Limits, contexts: Sequence[ContextSource]) -> Session:
        """A session for ``async with``, which waits for a free worker."""
        return Session(self, user, limits, contexts, self.directory / "sessions" / uuid.uuid4().hex)

    def protections(self) -> dict[str, Any]:
        """What stands between a query and the machine, for the operator."""
        return self._forkserver.protections if self._forkserver else sandbox.protections()

    def state(self) -> dict[str, int]:
        """Figures for the operator: workers that wait, that get ready, that are kept; sessions that wait for one."""
        return {
            "warm": len(self._idle),
            "starting": self._starting,
            "kept": len(self._resting),
            "waiting": len(self._wanting),
        }

    async def take(self, session: Session) -> WorkerProcess:
        """A worker for this session, locked into what the session may see."""
        try:
            assignment = assignment_of(self, session)
            return await self._kept(assignment) or await self._new(session, assignment)
        except OSError as error:
            self.log.error("A session cannot begin: %s", error)
            raise unavailable() from error

    async def _kept(self, assignment: dict[str, Any]) -> WorkerProcess | None:
        """A worker that has served the same before; it has its place already."""
        while (before := await self._resting.take(assignment)) is not None:
            usable = False
            try:
                async with asyncio.timeout(PATIENCE):
                    usable = await self._assigned(before.process, before.process.assignment)
            except TimeoutError:
                self.log.error("A worker that was kept does not answer")
            finally:
                if not usable:
                    self._spawn(self._clean(before))
            if usable:
                return before.process
        return None

    async def _new(self, session: Session, assignment: dict[str, Any]) -> WorkerProcess:
        """A worker that has served nobody."""
        if self._slots.locked():
            self._resting.end(max(0, len(self._resting) - 1))
        await self._slots.acquire()
        try:
            self.files.make_private(session.directory, session.user)
            self._limits = session.limits
            for _ in range(ATTEMPTS):
                worker = await self._ready_worker()
                if await self._assigned(worker, assignment):
                    return worker
            self.log.error("%s workers in turn could not be locked in", ATTEMPTS)
            raise unavailable()
        except BaseException:
            self._slots.release()
            await asyncio.to_thread(shutil.rmtree, session.directory, ignore_errors=True)
            raise

    async def _assigned(self, worker: WorkerProcess, assignment: dict[str, Any]) -> bool:
        """Whether the worker is locked in for this assignment now; it is killed otherwise."""
        assigned = False
        try:
            worker.send({"do": "assign", **assignment})
            # One that has died while it waited: there are others.
            with contextlib.suppress(Closed):
                message = await worker.receive()
                assigned = isinstance(message, dict) and message.get("event") == "assigned"
                if not assigned:
                    self.log.error("A worker could not be locked in: %s", message)
        finally:
            # Also if whoever wanted it has gone meanwhile: it can serve nobody else.
            if not assigned:
                worker.kill()
        worker.assignment = assignment
        worker.sessions += 1
        return assigned

    def give_back(self, session: Session) -> None:
        """The session is over: its locks are free, its directory is emptied, and its worker is kept or dies."""
        worker = session.process
        used_up = worker.ended.done() or worker.sessions >= self.keep_sessions
        # DuckDB ends the process when it is to open a database and may see the kernel's files, but not read them.
        able = self.protections()["files"] != sandbox.LANDLOCK
        # And nobody may have to wait for a place.
        if session.sound and able and not used_up and not self._stopping and not self._slots.locked():
            self._resting.add(session, self.keep_seconds)
            self._resting.end(self.keep)
        else:
            self._spawn(self._clean(session))

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has ended a process because memory ran out, since this was last asked."""
        before, self._oom_kills = self._oom_kills, oom_kills()
        return self._oom_kills != before

    async def _clean(self, session: Session) -> None:
        session.process.kill()
        await session.process.ended
        # Not before it is dead: until then it may still have the files open.
        self.locks.release(session)
        self._slots.release()
        await asyncio.to_thread(shutil.rmtree, session.directory, ignore_errors=True)

    async def _ready_worker(self) -> WorkerProcess:
        while self._idle:
            worker = self._idle.popleft()
            if not worker.ended.done():
                self._refill()
                return worker
        wish: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._wanting.append(wish)
        self._urge()
        self._refill()
        try:
            return await wish
        except asyncio.CancelledError:
            if wish in self._wanting:
                self._wanting.remove(wish)
            elif wish.done() and not wish.cancelled():
                self._offer(wish.result())
            raise

    def _urge(self) -> None:
        """Somebody waits: workers that get ready need not let queries go first any more."""
        if self._wanting:
            for worker in self._young:
                worker.urge()

    def _offer(self, worker: WorkerProcess) -> None:
        """A worker is ready: for who has waited longest, or for the next."""
        while self._wanting:
            wish = self._wanting.popleft()
            if not wish.done():
                wish.set_result(worker)
                return
        self._idle.append(worker)

    def _refill(self) -> None:
        # More at once than there are processors would only make each of them later.
        most = max(2, os.cpu_count() or 1)
        while (
            not self._stopping
            and self._starting < most
            and len(self._idle) + self._starting < self.warm + len(self._wanting)
        ):
            self._starting += 1
            self._spawn(self._start_worker())

    async def _start_worker(self) -> None:
        try:
            server = await self._server()
            urgent = bool(self._wanting)
            worker = await server.fork(
                {
                    "urgent": urgent,
                    "nice": 0 if urgent else self.nice_warm,
                    "jail": str(self.directory / "jail"),
                    "limits": self._limits.to_json(),
                }
            )
            worker.ended.add_done_callback(lambda _: self._forget(worker))
            self._young.add(worker)
            self._urge()
            try:
                await worker.receive()
            finally:
                self._young.discard(worker)
            self._failures = 0
            self._offer(worker)
        except (ForkServerGone, Closed):
            if not self._stopping:
                self._failures += 1
                self.log.error("A worker has died before it was ready; the next follows in a second")
                if self._failures >= ATTEMPTS:
                    for wish in self._wanting:
                        if not wish.done():
                            wish.set_exception(unavailable())
                    self._wanting.clear()
                await asyncio.sleep(1)
        finally:
            self._starting -= 1
            self._refill()

    def _forget(self, worker: WorkerProcess) -> None:
        """A worker has ended; if it was idle, another must be made ready."""
        with contextlib.suppress(ValueError):
            self._idle.remove(worker)
            self._refill()

    async def _server(self) -> ForkServer:
        async with self._forkserver_lock:
            if self._stopping:
                raise ForkServerGone
            if self._forkserver is None or self._forkserver.gone.done():
                if self._forkserver is not None:
                    self.log.error("The process that makes workers has ended; a new one is started")
                    await self._forkserver.stop()
                self._forkserver = await ForkServer.start(self.program, self.log)
            return self._forkserver

    async def _protected(self) -> dict[str, Any]:
        """Start the process that makes workers; what it locks them in with."""
        try:
            found = (await self._server()).protections
        except ForkServerGone:
            raise RuntimeError("The process that makes workers does not start; the log says why.") from None
        if self.require_sandbox and not (found["files"] and found["system_calls"]):
            raise RuntimeError(
                "Queries cannot be locked in. They need either root with CAP_SYS_ADMIN (to make mounts) or a kernel "
                "with Landlock (Linux 5.13 or newer, `landlock` among its security modules), and filters of system "
                "calls. Or set Workers.require_sandbox = False, where users may see all that this service may."
            )
        return found

    async def _claim(self) -> None:
        """Only one service may use the directory: it would sweep the other's sessions.

        A service that was killed has gone when the kernel says so; that may take a moment.
        """
        self._lock_file = (self.directory / "sessions.lock").open("wb")
        for _ in range(int(CLAIM_SECONDS * 10)):
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(0.1)
            else:
                return
        raise RuntimeError(f"Another CasJobs service uses {self.directory}. Stop it, or give this one another home.")

    def _sweep(self) -> None:
        for leftover in (self.directory / "sessions").iterdir():
            shutil.rmtree(leftover, ignore_errors=True)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def unavailable() -> QueryError:
    """No worker can be had."""
    return QueryError("Queries cannot be run at the moment. Please try again later.", Kind.UNAVAILABLE)


def oom_kills() -> int:
    """How many processes the kernel has ended on this machine because memory ran out."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
