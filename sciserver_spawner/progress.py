"""The steps of one start, kept so that a page opened late still sees them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypedDict


class Event(TypedDict):
    """One line of the start page: `progress` in percent (0 to 100) and a text."""

    progress: int
    message: str


class Progress:
    """Events of one start. Any number of readers; each gets every event from the beginning."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._changed = asyncio.Event()
        self._finished = False

    @property
    def finished(self) -> bool:
        """Whether the start is over; its events can still be read."""
        return self._finished

    def step(self, percent: int, message: str) -> None:
        """Add an event; a repeated message only moves the bar (pulls report many times a second)."""
        if self._events and self._events[-1] == {"progress": percent, "message": message}:
            return
        self._events.append({"progress": percent, "message": message})
        self._wake()

    def finish(self) -> None:
        """No more events: readers end."""
        self._finished = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[Event]:
        sent = 0
        while True:
            # No await between reading the state and taking the event to wait for: nothing is missed.
            changed, finished = self._changed, self._finished
            while sent < len(self._events):
                yield self._events[sent]
                sent += 1
            if finished:
                return
            if sent == len(self._events):
                await changed.wait()
