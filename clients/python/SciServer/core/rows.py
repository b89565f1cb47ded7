"""The rows of a result on their way: what `Result` and `AsyncResult` share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from SciServer.core import policy
from SciServer.core.arrow import Decoder
from SciServer.core.errors import ServiceError, TransferError
from SciServer.core.models import Column, Progress
from SciServer.core.wire import Close, Open, Operation, Pull, Request, Stream

if TYPE_CHECKING:
    import pyarrow as pa

Report = Callable[[Progress], None]


class Rows:
    """A stream of record batches.

    Attributes
    ----------
    limit
        Rows after which the stream is closed, so that the service stops.
    reason
        Asks the service why the stream has broken off.
    is_cut
        Whether there were more rows than `limit`: the service says so, or does not know limits and sends more.
    is_done
        Whether no more will come.
    """

    def __init__(
        self,
        stream: Stream,
        url: str,
        limit: int | None,
        progress: Report | None,
        reason: Callable[[], Operation[ServiceError | None]] | None = None,
    ) -> None:
        self.stream = stream
        self.url = url
        self.limit = limit
        self.progress = progress
        self.reason = reason
        self.decoder = Decoder()
        self.waiting: list[pa.RecordBatch] = []
        self.rows = self.bytes = 0
        self.is_cut = self.is_done = False
        self._started = time.monotonic()

    @property
    def schema(self) -> pa.Schema:
        """The columns; none if the query has no result."""
        import pyarrow as pa

        return self.decoder.schema if self.decoder.schema is not None else pa.schema([])

    @property
    def columns(self) -> list[Column]:
        """Names, types, units, UCDs and descriptions."""
        return [
            Column(field.name, str(field.type), *(text(field.metadata, key) for key in ("unit", "ucd", "description")))
            for field in self.schema
        ]

    def begin(self) -> Operation[Rows]:
        """Read until the columns are known."""
        while self.decoder.schema is None and not self.is_done:
            yield from self._pull()
        return self

    def next(self) -> Operation[pa.RecordBatch | None]:
        """The next batch; None after the last one."""
        while not self.waiting and not self.is_done:
            yield from self._pull()
        return self.waiting.pop(0) if self.waiting else None

    def table(self) -> Operation[pa.Table]:
        """All that `next` has not given, as one table."""
        import pyarrow as pa

        batches = []
        while (batch := (yield from self.next())) is not None:
            batches.append(batch)
        return pa.Table.from_batches(batches, self.schema)

    def close(self) -> Operation[None]:
        """Read no more: a query that still runs is cancelled."""
        self.is_done = True
        yield Close(self.stream)

    def _pull(self) -> Operation[None]:
        try:
            piece = yield Pull(self.stream)
            # A statement without a result has no stream at all.
            if piece is None and self.bytes and not self.decoder.is_complete:
                raise policy.torn(self.url)
        except TransferError as error:
            yield from self.close()
            known = (yield from self.reason()) if self.reason is not None else None
            raise known or error from None
        if piece is None:
            yield from self.close()
        else:
            self.bytes += len(piece)
            try:
                found = self.decoder.feed(piece)
            except ValueError:
                yield from self.close()
                raise ServiceError("The answer is no Arrow stream: is this the address of CasJobs?") from None
            self.is_cut = self.is_cut or self.decoder.is_cut
            for batch in found:
                yield from self._take(batch)
        if self.progress is not None:
            self._report(self.progress)

    def _take(self, batch: pa.RecordBatch) -> Operation[None]:
        if self.is_done:
            return
        left = None if self.limit is None else self.limit - self.rows
        if left is not None and batch.num_rows > left:
            self.is_cut = True
            batch = batch.slice(0, left)
            yield from self.close()
        self.rows += batch.num_rows
        if batch.num_rows:
            self.waiting.append(batch)

    def _report(self, progress: Report) -> None:
        state = "done" if self.is_done else "receiving"
        progress(Progress(state, time.monotonic() - self._started, rows=self.rows, bytes=self.bytes))


def opened(request: Request, limit: int | None, progress: Report | None) -> Operation[Rows]:
    """Send a request whose answer is an Arrow stream, and read until its columns are known."""
    stream = yield Open(request)
    return (yield from Rows(stream, request.url, limit, progress).begin())


def whole(stream: Stream) -> Operation[bytes]:
    """The rest of a stream, which is closed then."""
    pieces = []
    while (piece := (yield Pull(stream))) is not None:
        pieces.append(piece)
    yield Close(stream)
    return b"".join(pieces)


def text(metadata: dict[bytes, bytes] | None, key: str) -> str:
    """An entry of Arrow's metadata; empty if there is none."""
    return (metadata or {}).get(key.encode(), b"").decode("utf-8", "replace")
