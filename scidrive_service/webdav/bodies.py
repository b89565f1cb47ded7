"""Bodies of requests, and of answers that are files: bounded memory, no faith in clients.

cheroot's own readers take a whole chunk, or all that a refused request still has to send, into memory. Ours do not.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from scidrive_service.tree import Reader

BUFFER = 256 * 1024
"""Bytes that one request moves at once: enough that Python's share of a large transfer is small."""

SMALL = 64 * 1024
"""Bytes of a body that is soon here, and written in one go; and of a file that is sent with its headers: the proxy has
half the work then."""

LONGEST_LINE = 4096
"""Of a chunk's size and extensions, and of a trailer."""

SLOWEST = 1024
"""Bytes in a second, averaged over `WINDOW`; who is slower would keep a thread for ever."""

WINDOW = 60.0
"""Seconds."""

DROPPED = 64 * 1024 * 1024
"""A client that is still sending when we answer and close gets a reset connection instead of the answer. So what
nobody wants is read and dropped, up to this many bytes and for `DROPPING_SECONDS`."""

DROPPING_SECONDS = 20.0


class Torn(OSError):
    """The client has gone, or sends something else than it announced, before the body's end."""


class Pace:
    """Ends a transfer that has become too slow to be one."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._moved = 0

    def moved(self, count: int) -> None:
        """So many bytes more.

        Raises
        ------
        TimeoutError
            There were too few for too long.
        """
        self._moved += count
        if (seconds := time.monotonic() - self._since) > WINDOW:
            if self._moved < SLOWEST * seconds:
                raise TimeoutError("timed out")
            self._since, self._moved = time.monotonic(), 0


class Body:
    """The body of a request, read in order.

    Parameters
    ----------
    length
        Bytes; None: in chunks (RFC 9112).

    Attributes
    ----------
    waiting
        To be entered, once, while it is waited for what has not come yet.
    """

    def __init__(self, stream: io.BufferedReader, length: int | None) -> None:
        self._stream = stream
        self._is_chunked = length is None
        self._left = length or 0
        self._began = False
        self._pace = Pace()
        self.waiting: AbstractContextManager[None] | None = None
        self.length = length
        self.is_complete = length == 0

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer; fewer bytes only at the end.

        Raises
        ------
        Torn
            The rest will not come.
        TimeoutError
            It comes too slowly.
        """
        waiting, self.waiting = self.waiting, None
        with waiting or contextlib.nullcontext():
            return self._fill(buffer)

    def _fill(self, buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer) and not self.is_complete:
            if self._is_chunked and not self._left:
                self._next_chunk()
                continue
            count = self._stream.readinto1(buffer[filled : filled + self._left])
            if not count:
                raise Torn("The body ended too early.")
            self._pace.moved(count)
            filled += count
            self._left -= count
            if not self._left and not self._is_chunked:
                self.is_complete = True
        return filled

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, as WSGI has it; never more than `BUFFER` at once."""
        buffer = bytearray(BUFFER if size < 0 else min(size, BUFFER))
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def drop(self) -> None:
        """Read what is left and forget it, within limits; it may not be complete afterwards."""
        buffer = memoryview(bytearray(64 * 1024))
        deadline, left = time.monotonic() + DROPPING_SECONDS, DROPPED
        try:
            while not self.is_complete and left > 0 and time.monotonic() < deadline:
                left -= self.readinto(buffer)
        except OSError:
            return

    def _next_chunk(self) -> None:
        if self._began and self._line():
            raise Torn("A chunk is longer than it says.")
        self._began = True
        size = self._line().partition(b";")[0].strip()
        # Python's int() takes signs, underscores and spaces as well, and a proxy may not: then they would disagree.
        if not size or len(size) > 15 or size.strip(b"0123456789abcdefABCDEF"):
            raise Torn("A chunk does not say how long it is.")
        self._left = int(size, 16)
        if not self._left:
            while self._line():  # trailers, which nobody wants
                pass
            self.is_complete = True

    def _line(self) -> bytes:
        line = self._stream.readline(LONGEST_LINE)
        if not line.endswith(b"\r\n"):
            raise Torn("A line of the body has no end.")
        return line[:-2]


class FileBody:
    """A file, or part of it, as the body of an answer."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._start, self.length = 0, reader.entry.size
        self._end: Callable[[], None] | None = None

    def take(self, start: int, length: int) -> None:
        """Send this part only."""
        self._start, self.length = start, length

    def __iter__(self) -> Iterator[bytes]:
        start, end = self._start, self._start + self.length
        while start < end:
            data = self._reader.read(start, min(BUFFER, end - start))
            if not data:
                # Cut by its owner in a container. The announced length cannot be met: the client must notice.
                raise Torn("The file has become shorter.")
            start += len(data)
            yield data

    def send(self, client: socket.socket) -> None:
        """Let the kernel send it, where the storage is files of this machine."""
        number = getattr(self._reader, "fileno", None)
        if number is None:
            pace = Pace()
            for data in self:
                client.sendall(data)
                pace.moved(len(data))
            return
        source, offset, left, pace = number(), self._start, self.length, Pace()
        ready = select.poll()
        ready.register(client, select.POLLOUT)
        seconds = client.gettimeout()
        while left:
            try:
                sent = os.sendfile(client.fileno(), source, offset, min(left, 2**30))
            except BlockingIOError:
                if not ready.poll(None if seconds is None else seconds * 1000):
                    raise TimeoutError("timed out") from None
                continue
            if not sent:
                raise Torn("The file has become shorter.")
            pace.moved(sent)
            offset += sent
            left -= sent

    def then(self, end: Callable[[], None]) -> None:
        """To be called at the end."""
        self._end = end

    def close(self) -> None:
        self._reader.close()
        if self._end is not None:
            self._end()
