"""A Docker Engine that can go away: its socket, passed on until the test says stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from pathlib import Path

_DEFAULT = "unix:///var/run/docker.sock"


class EngineRelay:
    """Passes the connections to `path` on to the engine of the environment.

    Runs its event loop in a thread, so that tests which block in a browser do not block the engine.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="engine-relay", daemon=True)
        self._thread.start()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Address for ``SciServerSpawner.engine_url``."""
        return f"unix://{self.path}"

    def start(self) -> None:
        """Listen: the engine is there."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        """Cut every connection and refuse new ones: the engine is gone."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()

    def close(self) -> None:
        """End for good."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def _stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            engine_reader, engine_writer = await _connect()
            await asyncio.gather(self._pass_on(reader, engine_writer), self._pass_on(engine_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


async def _connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = os.environ.get("DOCKER_HOST") or _DEFAULT
    scheme, _, address = url.partition("://")
    if scheme == "unix":
        return await asyncio.open_unix_connection(address)
    host, _, port = address.partition(":")
    return await asyncio.open_connection(host, int(port or 2375))
