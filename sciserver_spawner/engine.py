"""The door to one Docker Engine: blocking calls in lanes of threads, so that the hub's event loop never waits.

DockerSpawner sends every call of every user through one thread: a pull of minutes or a ten-second ``docker stop``
holds up all other users. Here each kind of work has threads and a time limit of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env

UNREACHABLE = (requests.exceptions.ConnectionError, requests.exceptions.Timeout, ConnectionError, TimeoutError)
"""What docker-py raises when the engine does not answer (as opposed to answering with an error)."""

SWEEP_INTERVAL = 15.0
"""Seconds between two attempts to remove containers that could not be removed at once."""


@dataclass(frozen=True)
class Lane:
    """Threads for one kind of call, and how long the engine may take to answer one (seconds)."""

    threads: int
    timeout: float | None


LANES = {
    "control": Lane(threads=8, timeout=60),
    # Polling must not queue behind creations, and must give up soon: its answer may be "unknown".
    "watch": Lane(threads=4, timeout=10),
    "stop": Lane(threads=4, timeout=60),
    "pull": Lane(threads=2, timeout=None),
}

_LANE_OF_METHOD = {
    "inspect_container": "watch",
    "inspect_image": "watch",
    "logs": "watch",
    "stop": "stop",
    "kill": "stop",
    "remove_container": "stop",
    "pull": "pull",
}


class Engine:
    """One Docker Engine, shared by all spawners of a hub; it lives as long as the process.

    Parameters
    ----------
    url
        ``unix:///run/docker.sock``, ``tcp://node:2376``; empty for what the environment (``DOCKER_HOST``) says.
    tls
        docker-py's TLS settings, for ``tcp`` engines.
    """

    def __init__(self, url: str = "", tls: docker.tls.TLSConfig | None = None) -> None:
        self.url = url
        self._tls = tls
        self._executors = {
            name: ThreadPoolExecutor(lane.threads, thread_name_prefix=f"engine-{name}") for name, lane in LANES.items()
        }
        # A requests session is not promised to be safe between threads: each thread keeps its own.
        self._local = threading.local()
        self._version: str | None = None
        self._boot_slots: asyncio.Semaphore | None = None
        self._leftovers: set[str] = set()
        self._sweeper: asyncio.Task[None] | None = None

    def client(self, lane: str = "control") -> docker.APIClient:
        """This thread's client, with the time limit of `lane`."""
        clients = self._local.__dict__.setdefault("clients", {})
        if lane not in clients:
            kwargs: dict[str, Any] = kwargs_from_env()
            if self.url:
                kwargs["base_url"] = self.url
            if self._tls:
                kwargs["tls"] = self._tls
            # Negotiated once: "auto" costs a round trip for each new client.
            client = docker.APIClient(version=self._version or "auto", timeout=LANES[lane].timeout, **kwargs)
            self._version = client.api_version
            clients[lane] = client
        return clients[lane]

    async def run(self, function: Callable[[docker.APIClient], Any], lane: str = "control") -> Any:
        """Await ``function(client)`` in a thread of `lane`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executors[lane], lambda: _unwrap(lambda: function(self.client(lane))))

    async def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Await docker-py's low-level `method` in the lane for its kind of work.

        Raises
        ------
        docker.errors.APIError
            The engine answered with an error.
        One of `UNREACHABLE`
            The engine did not answer.
        """
        lane = _LANE_OF_METHOD.get(method, "control")
        return await self.run(lambda client: getattr(client, method)(*args, **kwargs), lane)

    async def boot_slots(self, limit: int) -> asyncio.Semaphore:
        """Turns to boot a container: `limit` at a time, or one more than the engine has CPUs when it is 0."""
        if self._boot_slots is None:
            slots = asyncio.Semaphore(limit or int((await self.call("info"))["NCPU"]) + 1)
            # Another start may have got here during the await; the first one's counts.
            self._boot_slots = self._boot_slots or slots
        return self._boot_slots

    def remove_later(self, container: str) -> None:
        """Remove a container that nobody waits for, as soon as the engine does it.

        `container` is an id: a new container of the same name is not meant. What a hub that ends leaves undone, the
        server's next start does.
        """
        self._leftovers.add(container)
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep())

    async def _sweep(self) -> None:
        while self._leftovers:
            # One after the other: an engine that hangs costs the lane one thread, however many are left.
            for container in list(self._leftovers):
                try:
                    await self.call("remove_container", container, force=True, v=True)
                except APIError as error:
                    if error.status_code not in {404, 409}:
                        continue
                except UNREACHABLE:
                    break
                self._leftovers.discard(container)
            if self._leftovers:
                await asyncio.sleep(SWEEP_INTERVAL)


def _unwrap(function: Callable[[], Any]) -> Any:
    """Run `function`; an engine that does not answer is always one of `UNREACHABLE`.

    docker-py wraps the failure of its first request (version negotiation) in a plain DockerException, and lets the
    transport's own errors through where the engine goes away in the middle of an answer.
    """
    try:
        return function()
    except APIError:
        raise
    except (urllib3.exceptions.HTTPError, requests.exceptions.ChunkedEncodingError) as error:
        raise ConnectionError(str(error)) from error
    except DockerException as error:
        # Its subclasses are about our arguments, e.g. a site option that docker-py does not know.
        if type(error) is not DockerException:
            raise
        raise ConnectionError(str(error)) from error


_engines: dict[str, Engine] = {}


def engine_at(url: str) -> Engine:
    """The one Engine object of this process for `url`."""
    if url not in _engines:
        _engines[url] = Engine(url)
    return _engines[url]
