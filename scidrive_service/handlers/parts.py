"""What the handlers work with."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from scidrive_service.files import Files
from scidrive_service.uploads import Uploads
from sciserver_common.deployment import Deployment
from sciserver_common.requests import MEBIBYTE

_P = ParamSpec("_P")
_T = TypeVar("_T")

BUFFERS = 24 * MEBIBYTE
"""What the contents of all transfers together may take in memory, more or less."""

LEAST, MOST = 128 * 1024, MEBIBYTE
"""Bytes of one piece of a transfer. Large pieces cost the least; many transfers at once get smaller ones."""


@dataclass
class Traffic:
    """The transfers that are under way, which share `BUFFERS`."""

    running: int = 0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Count a transfer."""
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    @property
    def piece(self) -> int:
        """How many bytes to handle at once; two such pieces of each transfer are in memory."""
        return max(LEAST, min(MOST, BUFFERS // (2 * max(1, self.running))))


@dataclass
class Parts:
    """The service's parts.

    Attributes
    ----------
    threads
        Where all work with files is done.
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

    async def run(self, function: Callable[_P, _T], *arguments: _P.args, **keywords: _P.kwargs) -> _T:
        """Call a function that blocks, in a thread."""
        call = functools.partial(function, *arguments, **keywords)
        return await asyncio.get_running_loop().run_in_executor(self.threads, call)

    def later(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call it in a thread, soon; nobody waits for it."""
        self.threads.submit(function, *arguments)
