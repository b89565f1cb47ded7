"""One session: a worker that serves one user's script, seen from the service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from casjobs_service.catalog import OWN
from casjobs_service.contexts import DUCKDB, ContextSource
from casjobs_service.engines import explain_remote, run_remote
from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits
from casjobs_service.mydb import UserSpace
from casjobs_service.worker.process import Closed, WorkerProcess

if TYPE_CHECKING:
    from casjobs_service.worker.pool import Workers


class WorkerLost(QueryError):
    """The worker died without saying why: killed from outside, or by a fault of the engine. Another may succeed."""


class Session:
    """A worker of one's own, from ``async with workers.session(…) as session``.

    Attributes
    ----------
    directory
        Working directory of the session; the worker sees it, and what is in it goes with the session.
    """

    def __init__(
        self, workers: Workers, user: UserSpace, limits: Limits, contexts: Sequence[ContextSource], directory: Path
    ) -> None:
        self._workers = workers
        self.user = user
        self.limits = limits
        self.contexts = {context.name: context for context in contexts}
        self.directory = directory
        self._spoilt = False
        self._process: WorkerProcess | None = None
        self._left = limits.seconds
        self._reason: QueryError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._waiting = False

    async def __aenter__(self) -> Self:
        self._process = await self._workers.take(self)
        self.directory = Path(self._process.assignment["session"])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in list(self._tasks):
            self._spoilt = True
            task.cancel()
        self._workers.give_back(self)

    @property
    def sound(self) -> bool:
        """Whether nothing but requests that have ended well has happened to the worker."""
        return not self._spoilt and self._idle.is_set()

    @property
    def process(self) -> WorkerProcess:
        """The worker."""
        if self._process is None:
            raise RuntimeError("the session has not begun")
        return self._process

    async def run(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any] | bytes]:
        """Have the worker do something; yields its events and its output.

        The session's time runs while the worker works, not while the caller holds what it was given.

        Raises
        ------
        QueryError
            How it ended, if not with the event ``done``.
        """
        if self._reason is not None:
            raise self._reason
        self._idle.clear()
        done = False
        try:
            self.process.send({"do": "run", "request": request})
            while True:
                message = await self._next()
                if isinstance(message, dict):
                    match message.get("event"):
                        case "done":
                            done = True
                        case "error":
                            raise self._reason or QueryError.from_json(message["error"])
                        case "ask":
                            self._spawn(self._answer(message))
                            continue
                        case "release":
                            self._workers.locks.release(self, self._lock_names(message["files"]))
                            continue
                        case "log":
                            self._workers.log.warning(
                                "Query of user %s: %s", self.user.id, str(message["text"])[:4000]
                            )
                            continue
                patience = asyncio.get_running_loop().call_later(self._workers.client_seconds, self._client_is_gone)
                try:
                    yield message
                finally:
                    patience.cancel()
                if isinstance(message, dict) and message.get("event") == "done":
                    return
        finally:
            self._spoilt = self._spoilt or not done
            self._idle.set()

    def renice(self, nice: int) -> None:
        """Set the niceness of the worker."""
        # Not everybody may set it back.
        self._spoilt = True
        self.process.renice(nice)

    async def cancel(self, kind: Kind, message: str) -> None:
        """End the session; `run` raises this reason, unless it has ended before. Takes less than a second."""
        self._spoilt = True
        if self._reason is None:
            self._reason = QueryError(message, kind)
            for task in self._tasks - {asyncio.current_task()}:
                task.cancel()
            self.process.send({"do": "cancel", "error": self._reason.to_json()})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._workers.kill_seconds):
                await self._idle.wait()
                return
        self.process.kill()
        await self.process.ended

    async def _next(self) -> dict[str, Any] | bytes:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        alarm = loop.call_later(max(self._left, 0), self._time_is_over)
        try:
            return await self.process.receive()
        except Closed:
            raise await self._death() from None
        finally:
            alarm.cancel()
            self._left -= loop.time() - begun

    def _time_is_over(self) -> None:
        waited = " It waited for another of your queries to finish with the same database." if self._waiting else ""
        text = f"The query has used up its time of {self.limits.seconds:g} seconds.{waited}"
        self._spawn(self.cancel(Kind.TIMEOUT, text + " Use the long queue, or read fewer rows."))

    def _client_is_gone(self) -> None:
        seconds = self._workers.client_seconds
        self._spawn(self.cancel(Kind.CANCELLED, f"Nobody took the result for {seconds:g} seconds."))

    async def _death(self) -> QueryError:
        """Why the worker has ended."""
        self.process.kill()
        status = await self.process.ended
        if self._reason is not None:
            return self._reason
        if status is not None and os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU:
                return QueryError("The query has used up its processor time.", Kind.TIMEOUT)
            if number == signal.SIGKILL and self._workers.ran_out_of_memory():
                return QueryError(
                    "The server had no memory left, and the query was ended. Read fewer rows or columns.", Kind.LIMIT
                )
            self._workers.log.error("A worker of user %s was ended by signal %s", self.user.id, number)
        else:
            self._workers.log.error("A worker of user %s has ended with status %s", self.user.id, status)
        return WorkerLost("The engine has failed while it ran the query. Please try again.", Kind.INTERNAL)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: dict[str, Any]) -> None:
        """What the worker cannot do itself."""
        answer: dict[str, Any] = {"do": "answer"}
        try:
            match message.get("ask"):
                case "locks":
                    self._waiting = True
                    wishes = {self._lock_names([file])[0]: str(mode) for file, mode in message["files"].items()}
                    await self._workers.locks.acquire(self, wishes)
                    self._waiting = False
                case "remote":
                    answer["file"] = await self._remote(message)
                case "explain":
                    found = await explain_remote(
                        self._context(message), str(message["sql"]), self.limits, message["parameters"]
                    )
                    answer |= {"plan": found.text, "rows": found.rows}
                case _:
                    raise QueryError("This cannot be done.", Kind.INTERNAL)
        except QueryError as error:
            answer["error"] = error.to_json()
        except Exception:
            # Also what only a worker that does not keep to the rules can ask.
            self._workers.log.exception("What a worker of user %s asked", self.user.id)
            answer["error"] = QueryError("The service has failed to run the query.", Kind.INTERNAL).to_json()
        self.process.send(answer)

    async def _remote(self, message: dict[str, Any]) -> str:
        """Have another engine run a statement; the name of the file with its rows."""
        # The worker is not trusted with paths.
        uploads = {str(name): self.directory / Path(str(file)).name for name, file in message["uploads"].items()}
        target = self.directory / f"remote-{uuid.uuid4().hex}.arrow"
        await run_remote(
            self._context(message),
            str(message["sql"]),
            uploads,
            target,
            self.limits,
            message["parameters"],
            most=int(message["most"]),
        )
        return target.name

    def _context(self, message: dict[str, Any]) -> ContextSource:
        context = self.contexts.get(str(message["context"]))
        if context is None or context.engine == DUCKDB:
            raise QueryError("There is no such context.", Kind.INTERNAL)
        return context

    def _lock_names(self, files: Sequence[str]) -> list[str]:
        # Only names of the user's own files, whatever the worker says.
        return [f"{self.user.id}/{file}" for file in files if file in OWN]
