"""Workers that have served a query, and stay a few seconds for the next one of the same user.

To make a worker costs far more than most queries. One that has ended a query well closes its database and opens a new,
empty one; the sandbox stays as it was closed. Whoever wants a worker for exactly the same (user, files, limits) gets
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casjobs_service.worker import sandbox
from casjobs_service.worker.assignment import same
from casjobs_service.worker.locks import LockTable
from casjobs_service.worker.process import Closed

if TYPE_CHECKING:
    from casjobs_service.worker.session import Session

PATIENCE = 2.0
"""Seconds for a worker to open its new database; most need a hundredth of that."""


@dataclass(eq=False)
class Rested:
    """A worker that gets ready for another session, or is.

    Attributes
    ----------
    session
        The one that it has served.
    ready
        Whether it can be used.
    """

    session: Session
    ready: asyncio.Task[bool]
    timer: asyncio.TimerHandle | None = None


class Resting:
    """Those workers.

    Parameters
    ----------
    dispose
        Ends the worker of a session that is over, and removes what it leaves.
    log
        For what must not happen.
    """

    def __init__(self, dispose: Callable[[Session], None], locks: LockTable, log: Any) -> None:
        self._dispose = dispose
        self._locks = locks
        self._log = log
        self._all: list[Rested] = []
        self._tasks: set[asyncio.Task[bool]] = set()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, session: Session, seconds: float) -> None:
        """Keep the worker of a session that is over for so long."""
        rested = Rested(session, asyncio.ensure_future(self._rest(session)))
        self._all.append(rested)
        self._tasks.add(rested.ready)
        rested.ready.add_done_callback(self._tasks.discard)
        session.process.ended.add_done_callback(lambda _: self._drop(rested))
        rested.ready.add_done_callback(lambda _: self._rested(rested, seconds))

    async def take(self, assignment: dict[str, Any]) -> Session | None:
        """The session whose worker is locked in for this assignment, and has an empty directory; None: there is none.

        It is the caller's now, who uses the worker or disposes of it.
        """
        while found := [each for each in self._all if same(each.session.process.assignment, assignment)]:
            # One that gets ready is nearer to it than one that has not begun.
            rested = next((each for each in found if each.ready.done()), found[0])
            self._remove(rested)
            usable = False
            try:
                usable = await asyncio.shield(rested.ready) and not rested.session.process.ended.done()
            finally:
                if not usable:
                    self._dispose(rested.session)
            if usable:
                return rested.session
        return None

    def end(self, most: int) -> None:
        """Keep no more than `most`; the oldest go."""
        while len(self._all) > most:
            self._drop(self._all[0])

    async def stop(self) -> None:
        """Keep none."""
        self.end(0)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _rest(self, session: Session) -> bool:
        process = session.process
        try:
            async with asyncio.timeout(PATIENCE):
                process.send({"do": "rest"})
                message = await process.receive()
            if not isinstance(message, dict) or message.get("event") != "rested":
                self._log.error("A worker cannot be kept: %s", message)
                return False
            # It has closed them.
            self._locks.release(session)
            if not sandbox.room(process.pid, session.limits):
                return False
            await asyncio.to_thread(_empty, session.directory)
        except Exception as error:
            # Many of them, where it has been killed meanwhile.
            if not (isinstance(error, Closed) or process.ended.done()):
                self._log.error("A worker cannot be kept: %r", error)
            return False
        return True

    def _rested(self, rested: Rested, seconds: float) -> None:
        if rested not in self._all:
            return
        if rested.ready.cancelled() or not rested.ready.result():
            self._drop(rested)
        else:
            loop = asyncio.get_running_loop()
            rested.timer = loop.call_later(seconds, self._drop, rested)

    def _drop(self, rested: Rested) -> None:
        """End it, unless somebody has taken it."""
        if self._remove(rested):
            self._dispose(rested.session)

    def _remove(self, rested: Rested) -> bool:
        if rested.timer is not None:
            rested.timer.cancel()
        with contextlib.suppress(ValueError):
            self._all.remove(rested)
            return True
        return False


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
