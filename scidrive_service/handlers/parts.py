"""What the handlers work with."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from scidrive_service.files import Files
from scidrive_service.turns import Turns
from scidrive_service.uploads import Uploads
from sciserver_common.deployment import Deployment
from sciserver_common.requests import MEBIBYTE

_P = ParamSpec("_P")
_T = TypeVar("_T")

BUFFERS = 16 * MEBIBYTE
"""What the pieces of all transfers together may take in memory, but for `LEAST` of each."""

LEAST, MOST = 64 * 1024, MEBIBYTE
"""Bytes of one piece of a transfer. Large pieces cost the least; many transfers at once get smaller ones."""


LONG_ONES, LONG_EACH = 8, 3
"""Copies of folders, searches and the like that are worked on at the same time: of all people, and of one."""


@dataclass
class Traffic:
    """The pieces of transfers that are in memory.

    Attributes
    ----------
    held
        Bytes that they take.
    """

    held: int = 0

    def take(self, most: int = MOST) -> int:
        """Room for a piece: how many bytes it may have. It is given back with `give`.

        A quarter of what is left: clients that take nothing hold on to what they have, and others need some, too.
        """
        size = min(most, max(LEAST, min(MOST, (BUFFERS - self.held) // 4)))
        self.held += size
        return size

    def give(self, size: int) -> None:
        """The piece is no longer in memory."""
        self.held -= size


@dataclass
class Parts:
    """The service's parts.

    Attributes
    ----------
    threads
        Where all work with files is done that soon ends.
    service_name, service_id, service_description
        Of the file service, as the client libraries list it.
    link_hours
        For which a link from ``media`` opens its file.
    longest_link_days
        For which other links may.
    """

    deployment: Deployment
    files: Files
    uploads: Uploads
    threads: ThreadPoolExecutor
    service_name: str
    service_id: str
    service_description: str
    link_hours: float
    longest_link_days: float
    traffic: Traffic = field(default_factory=Traffic)
    long_threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(LONG_ONES, thread_name_prefix="long")
    )
    _turns: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    _quick: Turns = field(default_factory=Turns)

    async def run(self, function: Callable[_P, _T], *arguments: _P.args, **keywords: _P.kwargs) -> _T:
        """Call a function that blocks, in a thread."""
        call = functools.partial(function, *arguments, **keywords)
        return await asyncio.get_running_loop().run_in_executor(self.threads, call)

    async def run_quick(self, function: Callable[[], _T]) -> _T:
        """As `run`, for what is done at once if nothing is in its way: a small file."""

        def alone() -> _T:
            turn = self._quick.take()
            try:
                return function()
            finally:
                turn.release()

        return await self.run(alone)

    async def run_long(self, name: str, function: Callable[[], _T]) -> _T:
        """As `run`, for what may take minutes: in one of few other threads, so that transfers do not wait for it.

        Parameters
        ----------
        name
            Who wants it. Of one person, `LONG_EACH` are worked on at the same time; more wait for their turn.
        """
        turn = self._turns.setdefault(name, asyncio.Semaphore(LONG_EACH))
        async with turn:
            return await asyncio.get_running_loop().run_in_executor(self.long_threads, function)

    def later(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call it in a thread, soon; nobody waits for it."""
        self.threads.submit(function, *arguments)
