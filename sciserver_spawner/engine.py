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
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env

UNREACHABLE = (requests.exceptions.ConnectionError, requests.exceptions.Timeout, ConnectionError, TimeoutError)
"""What docker-py raises when the engine does not answer (as opposed to answering with an error)."""


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
        """Turns to boot a container: `limit` at a time, or one per CPU of the engine's machine when it is 0."""
        if self._boot_slots is None:
            slots = asyncio.Semaphore(limit or int((await self.call("info"))["NCPU"]))
            # Another start may have got here during the await; the first one's counts.
            self._boot_slots = self._boot_slots or slots
        return self._boot_slots


def _unwrap(function: Callable[[], Any]) -> Any:
    """Run `function`; a client that could not be made says so as a connection error.

    docker-py wraps the failure of its first request (version negotiation) in a plain DockerException.
    """
    try:
        return function()
    except APIError:
        raise
    except DockerException as error:
        raise ConnectionError(str(error)) from error


_engines: dict[str, Engine] = {}


def engine_at(url: str) -> Engine:
    """The one Engine object of this process for `url`."""
    if url not in _engines:
        _engines[url] = Engine(url)
    return _engines[url]
