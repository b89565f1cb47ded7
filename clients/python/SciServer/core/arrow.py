"""Arrow IPC streams, decoded as their bytes arrive.

The format is Apache Arrow's `Encapsulated message format
<https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format>`_. pyarrow reads from something that
it pulls bytes out of, and waits; here bytes are pushed in as they come, and pyarrow is asked only when a message is
whole.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

CUT = b"casjobs.cut"
"""Metadata of a last batch, without rows, behind which there were more than the limit of the request."""

_CONTINUATION = 0xFFFFFFFF
_RECORD_BATCH = 3
"""`MessageHeader` of Arrow's Message.fbs."""


class Decoder:
    """Takes bytes, gives record batches.

    Attributes
    ----------
    schema
        None until it has come.
    is_complete
        Whether the stream has ended as it should.
    is_cut
        Whether the service has left out rows.
    """

    def __init__(self) -> None:
        self.schema: pa.Schema | None = None
        self.is_complete = False
        self.is_cut = False
        self._buffer = bytearray()
        self._source = _Source()
        self._reader: Any = None
        # Bytes without which nothing can be done.
        self._needed = 8

    def feed(self, data: bytes) -> list[pa.RecordBatch]:
        """The batches that are whole with these bytes.

        Raises
        ------
        ValueError
            This is no Arrow stream.
        """
        self._buffer += data
        batches = []
        while len(self._buffer) >= self._needed and not self.is_complete:
            header = self._header()
            if header is None:
                continue
            kind, size = header
            if len(self._buffer) < size:
                self._needed = size
                break
            batches += self._message(kind, size)
        return batches

    def _header(self) -> tuple[int, int] | None:
        """Kind and size of the next message; None if more, or nothing more, is needed for it."""
        mark, length = struct.unpack_from("<II", self._buffer)
        if mark != _CONTINUATION:
            raise ValueError("this is no Arrow stream")
        if length == 0:
            self.is_complete = True
            return None
        if len(self._buffer) < 8 + length:
            self._needed = 8 + length
            return None
        kind, body = _message_fields(self._buffer[8 : 8 + length])
        return kind, 8 + length + body

    def _message(self, kind: int, size: int) -> list[pa.RecordBatch]:
        import pyarrow as pa

        self._source.add(bytes(memoryview(self._buffer)[:size]))
        del self._buffer[:size]
        self._needed = 8
        try:
            if self._reader is None:
                self._reader = pa.ipc.open_stream(pa.PythonFile(self._source, mode="r"))
                self.schema = self._reader.schema
            elif kind == _RECORD_BATCH:
                # Dictionaries before it wait in the source until now.
                batch, metadata = self._reader.read_next_batch_with_custom_metadata()
                self.is_cut = self.is_cut or CUT in (metadata or {})
                return [batch]
        except pa.ArrowInvalid as error:
            raise ValueError(f"this is no Arrow stream: {error}") from None
        return []


class _Source:
    """A file with the messages that are whole; pyarrow takes them out without copying."""

    closed = False

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()

    def add(self, piece: bytes) -> None:
        self._pieces.append(memoryview(piece))

    def read(self, size: int = -1) -> memoryview | bytes:
        if not self._pieces or size == 0:
            return b""
        piece = self._pieces.popleft()
        if 0 <= size < len(piece):
            self._pieces.appendleft(piece[size:])
            piece = piece[:size]
        return piece

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self._pieces.clear()


def _message_fields(message: bytes | bytearray) -> tuple[int, int]:
    """Kind of a message and bytes of its body, from its flatbuffer (Message.fbs: fields 1 and 3)."""
    try:
        (table,) = struct.unpack_from("<I", message, 0)
        (back,) = struct.unpack_from("<i", message, table)
        vtable = table - back
        (size,) = struct.unpack_from("<H", message, vtable)

        def offset(field: int) -> int:
            place = 4 + 2 * field
            return int(struct.unpack_from("<H", message, vtable + place)[0]) if place < size else 0

        kind = struct.unpack_from("<B", message, table + offset(1))[0] if offset(1) else 0
        body = struct.unpack_from("<q", message, table + offset(3))[0] if offset(3) else 0
    except struct.error:
        raise ValueError("this is no Arrow stream") from None
    if body < 0:
        raise ValueError("this is no Arrow stream")
    return int(kind), int(body)
