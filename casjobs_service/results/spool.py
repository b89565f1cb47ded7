"""A result in a file: from it every format is made, as often as asked for, also by another process.

The file is an Arrow IPC stream (compressed by LZ4) with a trailer::

    stream | statistics as JSON | length of stream, length of statistics (8 bytes each, little endian) | magic

Readers of Arrow streams stop at the stream's end, so that they can read it as it is. A file whose writer died, or
that lost its end, has no trailer that fits, and is refused. IPC's *file* format has an end of its own, but no place
for what is counted while writing, and refuses columns whose dictionary changes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import orjson
import pyarrow as pa

from casjobs_service.errors import Kind, QueryError
from casjobs_service.results.cut import is_mark, mark
from casjobs_service.results.stats import Stats

_MAGIC = b"CJspool1"
_TRAILER = struct.Struct("<QQ8s")
_MEGABYTE = 1_000_000


class SpoolError(Exception):
    """The file is no complete spool; the text names no path."""


class SpoolWriter:
    """Writes a spool.

    Parameters
    ----------
    path
        A new file; one that exists is overwritten.
    schema
        With the metadata of the result (`casjobs_service.results.metadata`).
    limit_bytes
        Largest size of the result as Arrow arrays; 0 is unlimited.
    durable
        Wait until the file is on the disk before `close` returns.
    """

    def __init__(self, path: Path, schema: pa.Schema, limit_bytes: int, *, durable: bool = False) -> None:
        self._schema = schema
        self._limit = limit_bytes
        self._durable = durable
        self._stats = Stats.of(schema)
        self._file = path.open("wb")
        options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        try:
            self._stream = pa.ipc.new_stream(self._file, schema, options=options)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> SpoolWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows.

        Raises
        ------
        QueryError
            The result is larger than the limit. What is written so far is no spool.
        OSError
            The disk is full, or a limit of the process.
        """
        if not batch.num_rows:
            self._stats.cut = self._stats.cut or is_mark(batch)
            return
        self._stats.add(batch)
        if self._limit and self._stats.bytes > self._limit:
            raise QueryError(
                f"The result is larger than {_size(self._limit)}, the most that one result may have "
                f"(after {self._stats.rows:,} rows).",
                Kind.LIMIT,
                hint="Select fewer columns or rows, or write it to a table with SELECT … INTO MyDB.",
            )
        self._stream.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))

    def close(self) -> Stats:
        """End the file; only now it is a spool."""
        if not self._file.closed:
            self._stream.close()
            length = self._file.tell()
            statistics = orjson.dumps(self._stats.to_json())
            if self._durable:
                # The trailer must not reach the disk before what it vouches for.
                self._file.flush()
                os.fdatasync(self._file.fileno())
            self._file.write(statistics + _TRAILER.pack(length, len(statistics), _MAGIC))
            self._file.flush()
            if self._durable:
                os.fsync(self._file.fileno())
            self._file.close()
        return self._stats

    def abandon(self) -> None:
        """Close the file as it is: it is no spool, and for the caller to remove."""
        self._file.close()


class SpoolBatches:
    """Batches of a spool. Each iteration reads the file again, one batch at a time."""

    def __init__(self, path: Path, stats: Stats) -> None:
        self._path = path
        self._stats = stats

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        with pa.OSFile(str(self._path), "rb") as file, pa.ipc.open_stream(file, options=_reading()) as stream:
            yield from stream
            if self._stats.cut:
                yield mark(stream.schema)


def open_spool(path: Path) -> tuple[pa.Schema, SpoolBatches, Stats]:
    """Schema, batches and statistics of a spool.

    Raises
    ------
    SpoolError
        The file is incomplete, or something else.
    FileNotFoundError
        It does not exist.
    """
    stats = _statistics(path)
    try:
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file, options=_reading()) as stream:
            return stream.schema, SpoolBatches(path, stats), stats
    except pa.ArrowInvalid:
        raise SpoolError("The file is no Arrow stream.") from None


def _reading() -> pa.ipc.IpcReadOptions:
    return pa.ipc.IpcReadOptions(use_threads=False)


def _statistics(path: Path) -> Stats:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < _TRAILER.size:
            raise SpoolError("The result's file is incomplete.")
        file.seek(size - _TRAILER.size)
        length, statistics, magic = _TRAILER.unpack(file.read(_TRAILER.size))
        if magic != _MAGIC or length + statistics + _TRAILER.size != size:
            raise SpoolError("The result's file is incomplete.")
        file.seek(length)
        return Stats.from_json(orjson.loads(file.read(statistics)))


def _size(number: int) -> str:
    return f"{number / 1e9:.3g} GB" if number >= 1000 * _MEGABYTE else f"{number / _MEGABYTE:.3g} MB"
