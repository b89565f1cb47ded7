"""Waiting until a server answers, at most a twentieth of a second late, and seeing at once when it dies.

JupyterHub polls with randomised steps of up to five seconds (`exponential_backoff`), which is late by more than a
second on average, and a container that died is only noticed when ``http_timeout`` is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

POLL_INTERVAL = 0.05
"""Seconds between two attempts to connect."""

SLOW_AFTER = 15.0
"""Seconds after which attempts become rarer: a server this slow is not noticed to be a quarter second later."""

DEATH_CHECK_INTERVAL = 0.4
"""Seconds between two questions to the engine whether the container still runs."""


class ServerDied(Exception):
    """The container stopped before its server answered."""


async def wait_ready(
    host: str, port: int, path: str, *, limit: float, is_running: Callable[[], Awaitable[bool]]
) -> None:
    """Return when ``http://host:port/path`` gives an HTTP answer.

    Parameters
    ----------
    limit
        Seconds to wait in all.
    is_running
        Asks whether the container still runs; True also when that cannot be known now.

    Raises
    ------
    ServerDied
        The container stopped first.
    TimeoutError
        No answer in time.
    """
    watcher = asyncio.create_task(_watch_for_death(is_running))
    answer = asyncio.create_task(_wait_for_answer(host, port, path))
    try:
        done, _ = await asyncio.wait({watcher, answer}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise TimeoutError
        # Both may have ended: a server that answered counts, whatever the watcher saw.
        (answer if answer in done else watcher).result()
    finally:
        for task in (watcher, answer):
            task.cancel()
        await asyncio.gather(watcher, answer, return_exceptions=True)


async def _watch_for_death(is_running: Callable[[], Awaitable[bool]]) -> None:
    while True:
        await asyncio.sleep(DEATH_CHECK_INTERVAL)
        if not await is_running():
            raise ServerDied


async def _wait_for_answer(host: str, port: int, path: str) -> None:
    start = time.monotonic()
    while not await _answers(host, port, path):
        slow = time.monotonic() - start > SLOW_AFTER
        await asyncio.sleep(POLL_INTERVAL * 5 if slow else POLL_INTERVAL)


async def _answers(host: str, port: int, path: str) -> bool:
    """Whether one request gets a status line.

    Jupyter Server listens before it is ready and answers what waits in the backlog as soon as it is: a connection
    that is accepted is therefore worth waiting for, and no time is lost between ready and noticed.
    """
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                status_line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
    parts = status_line.split()
    # 5xx: the server is up but not well yet (the hub's own check treats it the same way).
    return len(parts) >= 2 and parts[0].startswith(b"HTTP/") and parts[1].isdigit() and int(parts[1]) < 500
