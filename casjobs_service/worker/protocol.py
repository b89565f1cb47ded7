"""Frames between the service and a worker: one byte of type, four of length (big-endian), then the payload.

Type ``J`` is a JSON object, ``D`` is output for the client. A socket pair carries both directions. When the client
is slow the socket fills and the worker waits: nobody buffers a result.
"""

from __future__ import annotations

import asyncio
import os
import struct
from typing import Any

import orjson

HEADER = struct.Struct("!cI")
CHUNK = 1 << 20
"""Longest payload of data that a worker sends at once, bytes."""
LONGEST = 64 << 20
"""A frame that says to be longer than this is not one of ours."""


class Closed(Exception):
    """The other end is gone."""


def encode(message: dict[str, Any]) -> bytes:
    """A message as a frame."""
    # Named tuples, such as columns, become arrays.
    payload = orjson.dumps(message, default=list)
    return HEADER.pack(b"J", len(payload)) + payload


class Channel:
    """The worker's end; blocking.

    Plain reads and writes on the descriptor: the sandbox then needs none of the socket system calls.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, message: dict[str, Any]) -> None:
        """Send a message."""
        self._write([encode(message)])

    def send_data(self, data: bytes | memoryview) -> None:
        """Send output, in frames of at most `CHUNK` bytes."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), CHUNK):
            part = view[start : start + CHUNK]
            self._write([HEADER.pack(b"D", len(part)), part])

    def receive(self) -> dict[str, Any]:
        """Wait for the next message.

        Raises
        ------
        Closed
            The service is gone, or has closed the session.
        """
        _, length = HEADER.unpack(self._read(HEADER.size))
        message: dict[str, Any] = orjson.loads(self._read(length))
        return message

    def _read(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            part = os.read(self._descriptor, length - len(parts))
            if not part:
                raise Closed
            parts += part
        return bytes(parts)

    def _write(self, parts: list[Any]) -> None:
        try:
            while parts:
                written = os.writev(self._descriptor, parts)
                while parts and written >= len(parts[0]):
                    written -= len(parts.pop(0))
                if parts:
                    parts[0] = memoryview(parts[0])[written:]
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error


async def receive(stream: asyncio.StreamReader) -> dict[str, Any] | bytes:
    """The service's end: the next message or piece of output.

    Raises
    ------
    Closed
        The worker is gone.
    """
    try:
        kind, length = HEADER.unpack(await stream.readexactly(HEADER.size))
        # A worker runs users' queries: nothing that it sends is believed.
        if kind not in (b"J", b"D") or length > LONGEST:
            raise Closed
        payload = await stream.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise Closed from error
    if kind == b"D":
        return payload
    try:
        message = orjson.loads(payload)
    except ValueError as error:
        raise Closed from error
    if not isinstance(message, dict):
        raise Closed
    return message
