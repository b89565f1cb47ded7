"""A session's events, for a reader that may stop waiting without ending the session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

from casjobs_service.plan import Action

Event = dict[str, Any] | bytes


def closing(events: AsyncIterator[Event]) -> contextlib.aclosing[AsyncGenerator[Event, None]]:
    """A session's events; the generator is closed with the block."""
    return contextlib.aclosing(cast(AsyncGenerator[Event, None], events))


class Feed:
    """Reads events one by one.

    Cancelling a wait on an asynchronous generator ends the generator. Here the next event is awaited by a task, and
    whoever waits for the task can leave it to another.
    """

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._events = events
        self._pending: asyncio.Task[Event | None] | None = None

    async def next(self, seconds: float | None = None) -> Event | None:
        """The next event; None after the last.

        Raises
        ------
        TimeoutError
            There was none in this time. It can be asked for again, by anybody.
        QueryError
            How the session ended.
        """
        if self._pending is None:
            self._pending = asyncio.ensure_future(anext(self._events, None))
        done, _ = await asyncio.wait({self._pending}, timeout=seconds)
        if not done:
            raise TimeoutError
        pending, self._pending = self._pending, None
        return pending.result()

    def close(self) -> None:
        """Nobody reads any more."""
        if self._pending is not None:
            self._pending.cancel()
            # An error that nobody waits for is not worth a line in the log.
            self._pending.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._pending = None


class Outcome:
    """What a session has done so far, as it goes into the job's record.

    Attributes
    ----------
    fields
        Columns of `Job`.
    results
        Events of the results.
    """

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.results: list[dict[str, Any]] = []
        self._rows = 0
        self._created: list[str] = []

    def note(self, event: Event) -> None:
        """Take notice of an event."""
        if isinstance(event, bytes):
            return
        match event["event"]:
            case "plan":
                self.fields["translated"] = [_sql(statement) for statement in event["statements"]]
                self.fields["statements"] = len(event["statements"])
            case "progress":
                self.fields |= {
                    "statement": event["statement"] + 1,
                    "statements": event["of"],
                    "fraction": event["fraction"],
                }
            case "statement":
                self._rows += event.get("rows") or 0
                self.fields["rows"] = self._rows
                if event.get("action") == Action.SELECT and self.results:
                    self.results[-1]["rows"] = event.get("rows")
                if event.get("action") == Action.INTO and event.get("table"):
                    self._created.append(str(event["table"]))
                    self.fields["created_table"] = ",".join(self._created)
            case "result":
                self.results.append(dict(event))


def _sql(statement: Any) -> str:
    """A statement as it runs; a note about one that does not run, as a remark."""
    if not isinstance(statement, dict):
        return str(statement)
    return str(statement["sql"]) or (f"-- {statement['note']}" if statement.get("note") else "")
