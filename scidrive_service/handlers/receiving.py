"""Files on their way from a client: written in large pieces while the next ones come, and whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, ClassVar

from scidrive_service.handlers import content
from scidrive_service.handlers.base import Handler
from scidrive_service.handlers.problems import Problem
from scidrive_service.tree import Entry, Writer

SMALL = 256 * 1024
"""Bytes of a file that is kept until it is whole, and then written in one go."""

SECONDS = 24 * 3600.0
"""How long a file may be on the way."""

STALLED = 600.0
"""Seconds after which a client that sends nothing is given up."""

NO_LIMIT = 2**62


class Receiver(Handler):
    """What a handler needs that takes a file.

    Subclasses say with `begin` where it goes, and call `received` when it is there.

    Attributes
    ----------
    receives
        The methods that do.
    """

    receives: ClassVar[frozenset[str]] = frozenset({"PUT"})

    def initialize(self, **settings: Any) -> None:
        super().initialize(**settings)
        self._receiving = self.request.method in self.receives
        self._size: int | None = None
        self._is_small = False
        self._writer: Writer | None = None
        self._buffer = bytearray()
        self._room = 0
        self._pending: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._digests: list[content.Digest] = []
        self._held = contextlib.ExitStack()
        self._is_released = False
        self._moved = 0.0
        if self._receiving:
            self.body_limit = NO_LIMIT  # type: ignore[misc]

    def begin(self, size: int | None) -> Writer:
        """Where the file goes; called in a thread.

        Parameters
        ----------
        size
            As the client says; None if it does not.

        Raises
        ------
        FileError
            It cannot be: said before the file is sent, where that is possible.
        """
        raise NotImplementedError

    def write_new(self, data: bytearray) -> Entry | None:
        """Store a small file in one go, if it is not there yet; called in a thread.

        Returns
        -------
        Entry, optional
            None: nothing was done, and `begin` is asked.
        """
        return None

    async def prepared(self) -> None:
        await super().prepared()
        if not self._receiving:
            return
        headers = self.request.headers
        if headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
            raise Problem(415, "Send the file as it is, without Content-Encoding.")
        if "Content-Range" in headers:
            raise Problem(400, "A part of a file cannot be sent in this way: see api/uploads.")
        self._digests = content.digests(headers)
        connection: Any = self.request.connection
        connection.set_max_body_size(NO_LIMIT)
        connection.set_body_timeout(SECONDS)
        length = headers.get("Content-Length", "")
        self._size = int(length) if length.isdigit() else None
        if self._size is not None and self._size <= SMALL and "Expect" not in headers:
            self._is_small = True
            return
        self._watch()
        writer = await self.run(self._begin)
        if self._is_released:
            self.parts.later(writer.abort)
        self._writer = writer

    def _begin(self) -> Writer:
        writer = self.begin(self._size)
        return content.CheckedWriter(writer, self._digests) if self._digests else writer

    def _watch(self) -> None:
        """Close the connection of a client of which nothing is heard any more."""
        loop = asyncio.get_running_loop()
        self._moved = loop.time()

        async def watch() -> None:
            while not self.request._body_future.done():
                await asyncio.sleep(STALLED / 4)
                if loop.time() - self._moved > STALLED and (self._pending is None or self._pending.done()):
                    self.break_off()
                    return

        self._held.callback(asyncio.create_task(watch()).cancel)

    # -- what comes

    async def data_received(self, chunk: bytes) -> None:
        """Keep it; waits while the storage is slower than the client."""
        if not self._receiving or self._dropping:
            super().data_received(chunk)
            return
        self._length += len(chunk)
        if self._failure is not None or self._is_released:
            return
        self._buffer += chunk
        if self._is_small:
            return
        if not self._room:
            self._room = self.parts.traffic.take()
        if len(self._buffer) >= self._room:
            await self._pass_on()
            self._moved = asyncio.get_running_loop().time()

    async def _pass_on(self) -> None:
        """Have the buffer written while more comes; waits for the piece before it."""
        if self._pending is not None:
            try:
                await self._pending
            except Exception as error:
                self._fail(error)
                return
        if self._failure is None and not self._is_released:
            data, self._buffer = self._buffer, bytearray()
            room, self._room = self._room, 0
            self._pending = asyncio.ensure_future(self.run(self._write, data))
            self._pending.add_done_callback(lambda _: self.parts.traffic.give(room))
            # It may be that nobody asks.
            self._pending.add_done_callback(lambda future: future.cancelled() or future.exception())

    def _write(self, data: bytes | bytearray) -> None:
        if self._writer is None:
            raise RuntimeError("nothing was begun")
        if data:
            self._writer.write(memoryview(data))

    def _fail(self, error: Exception) -> None:
        """The rest is not wanted. The client is told when it has sent it, or when it goes on for too long."""
        self._failure = error
        self._buffer.clear()
        self._handle_request_exception(error)

    async def received(self) -> Entry:
        """The file under its name, when all of it has come.

        Raises
        ------
        FileError, Problem
            It cannot be, or is not what was promised; nothing has changed then.
        """
        try:
            if self._failure is not None:
                raise self._failure
            if self._is_small:
                return await self.parts.run_quick(self._store_whole)
            if self._pending is not None:
                await self._pending
            return await self.run(self._complete)
        finally:
            self._release()

    def _store_whole(self) -> Entry:
        entry = None if self._digests else self.write_new(self._buffer)
        if entry is not None:
            return entry
        self._writer = self._begin()
        return self._complete()

    def _complete(self) -> Entry:
        self._write(self._buffer)
        if self._writer is None:
            raise RuntimeError("nothing was begun")
        entry = self._writer.commit()
        # Else it would be given up at the end, which takes another way into a thread.
        self._writer = None
        return entry

    # -- the end

    def on_finish(self) -> None:
        self._release()

    def on_connection_close(self) -> None:
        was_whole = self.request._body_future.done()
        super().on_connection_close()
        if not was_whole:
            # Gone before the whole file has come: nothing appears. Who goes later gets the file all the same.
            self._release()

    def _release(self) -> None:
        if self._is_released:
            return
        self._is_released = True
        self._held.close()
        self._buffer = bytearray()
        self.parts.traffic.give(self._room)
        self._room = 0
        writer = self._writer
        if writer is None:
            return
        if self._pending is not None and not self._pending.done():
            self._pending.add_done_callback(lambda _: self.parts.later(writer.abort))
        else:
            self.parts.later(writer.abort)
