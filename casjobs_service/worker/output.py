"""What a script returns: formatted and sent, or kept in files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits
from casjobs_service.results import FORMATS, NO_COLUMNS, SpoolWriter, Stats, compressor, open_spool, writer
from casjobs_service.worker.link import Link

FIRST = 256 * 1024
"""Bytes that are kept back until the answer begins: what fails before can still be said with a status."""

SPOOL = "result-{}.arrow"
"""Name of a kept result in the session's directory, by its number from 1."""


class Output(Protocol):
    """Takes the results of a script, in order, and makes bytes of them."""

    def begin(self) -> Iterator[bytes]:
        """Before the first."""

    def result(self, index: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
        """One result, numbered from 1."""

    def end(self) -> Iterator[bytes]:
        """After the last."""


def measured(
    batches: Iterable[pa.RecordBatch], limits: Limits, check: Callable[[], None], stats: Stats
) -> Iterator[pa.RecordBatch]:
    """The same batches, counted; ends a result that is too large.

    Parameters
    ----------
    check
        Raises when the session was cancelled.
    stats
        Gets rows and bytes.
    """
    hint = "Select fewer rows or columns, or write them to a table with SELECT … INTO MyDB."
    for batch in batches:
        check()
        stats.rows += batch.num_rows
        stats.bytes += batch.nbytes
        if limits.rows and stats.rows > limits.rows:
            raise QueryError(
                f"The result has more than {limits.rows:,} rows, the most that are returned here.",
                Kind.LIMIT,
                hint=hint,
            )
        if limits.result and stats.bytes > limits.result:
            raise QueryError(
                f"The result is larger than {limits.result / 1e6:,.3g} MB, the most that one result may have "
                f"(after {stats.rows:,} rows).",
                Kind.LIMIT,
                hint=hint,
            )
        yield batch


class Formatted:
    """One file of a format.

    Parameters
    ----------
    wish
        ``format``, and ``result``: which one is meant (from 1) where the format holds only one.
    expected
        How many results there will be.
    """

    def __init__(self, wish: dict[str, Any], expected: int, directory: Path) -> None:
        name = wish.get("format") or "json-array"
        if name not in FORMATS:
            raise QueryError(f"There is no format {name}.", Kind.UNSUPPORTED, hint="One of: " + ", ".join(FORMATS))
        self._writer = writer(name)
        self._directory = directory
        self._wanted = wish.get("result")
        if self._wanted is not None and not 1 <= self._wanted <= expected:
            raise QueryError(f"There is no result {self._wanted}: the script returns {expected}.", Kind.DATA)
        if self._wanted is None and expected > 1 and not self._writer.many:
            raise QueryError(
                f"The script returns {expected} results, and a file of the format {name} holds one.",
                Kind.UNSUPPORTED,
                hint="Choose one with the parameter result=1 (2, 3 …), or ask for JSON, FITS or VOTable.",
            )

    @property
    def media_type(self) -> str:
        """Of the file."""
        return self._writer.media_type

    def begin(self) -> Iterator[bytes]:
        """See `Output`."""
        yield self._writer.begin()

    def result(self, index: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
        """See `Output`."""
        if self._wanted is not None and self._wanted != index:
            for _ in batches:
                pass
        elif self._writer.needs_spool:
            spool = self._directory / f"format-{index}.arrow"
            with SpoolWriter(spool, schema, 0) as file:
                for batch in batches:
                    file.write(batch)
            yield from self.spooled(spool)
            spool.unlink()
        else:
            yield from self._writer.table("", schema, batches, None)

    def spooled(self, file: Path) -> Iterator[bytes]:
        """A result that is in a spool."""
        schema, batches, stats = open_spool(file)
        yield from self._writer.table("", schema, batches, stats)

    def end(self) -> Iterator[bytes]:
        """See `Output`."""
        yield self._writer.end()


class Spooled:
    """Each result in a file of the session's directory, from which all formats can be made later."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def begin(self) -> Iterator[bytes]:
        """Nothing."""
        return iter(())

    def result(self, index: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
        """See `Output`."""
        with SpoolWriter(self._directory / SPOOL.format(index), schema, 0, durable=True) as file:
            for batch in batches:
                file.write(batch)
        return iter(())

    def end(self) -> Iterator[bytes]:
        """Nothing."""
        return iter(())


def send(link: Link, pieces: Iterable[bytes], media_type: str, encoding: str) -> None:
    """Send a file to the client while it is made.

    The event ``begin`` goes before the first byte.
    """
    kept: list[bytes] | None = []
    size = 0
    for piece in compressor(encoding)(pieces):
        if kept is None:
            link.send_data(piece)
            continue
        kept.append(piece)
        size += len(piece)
        if size > FIRST:
            _begin(link, kept, media_type, encoding)
            kept = None
    if kept is not None:
        _begin(link, kept, media_type, encoding)


def _begin(link: Link, kept: list[bytes], media_type: str, encoding: str) -> None:
    link.send({"event": "begin", "media_type": media_type, "encoding": encoding or "identity"})
    link.send_data(b"".join(kept))


__all__ = ["NO_COLUMNS", "SPOOL", "Formatted", "Output", "Spooled", "measured", "send"]
