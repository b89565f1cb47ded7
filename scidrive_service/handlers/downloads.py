"""Files on their way to a client: whole or in part, in pieces that are read while the one before is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tornado.iostream import StreamClosedError

from scidrive_service.errors import FileError, Kind
from scidrive_service.handlers import conditions, content
from scidrive_service.handlers.base import Handler
from scidrive_service.tree import Entry, Reader

SMALL = 256 * 1024
"""Bytes of a file that is read where it is opened: one way into a thread and back."""

STALLED = 600.0
"""Seconds after which a client that takes nothing is given up."""


class Download(Handler):
    """What a handler needs that answers with a file."""

    def error_headers(self, error: BaseException | None, status: int) -> list[tuple[str, str]]:
        headers = super().error_headers(error, status)
        if isinstance(error, FileError) and error.kind is Kind.RANGE:
            headers.append(("Content-Range", f"bytes */{self._full_size}"))
        return headers

    def file_headers(self, entry: Entry) -> None:
        """Headers of an answer with a file's content, or of one that says it has not changed."""
        for name, value in content.HEADERS.items():
            self.set_header(name, value)
        self.set_header("ETag", conditions.entity_tag(entry))
        self.set_header("Last-Modified", conditions.http_date(entry.modified))
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("Content-Type", content.content_type(entry.name))
        self.set_header("Content-Disposition", content.disposition(entry.name))
        if digest := content.repr_digest(entry.etag):
            self.set_header("Repr-Digest", digest)

    async def send_file(self, opened: Callable[[], Reader]) -> None:
        """Answer with a file, as the request's headers want it.

        Parameters
        ----------
        opened
            Opens it; called in a thread.

        Raises
        ------
        FileError
            As `opened`, and CHANGED or RANGE.
        """

        def begin() -> tuple[Reader, bytes | None]:
            reader = opened()
            try:
                data = None if reader.entry.size > SMALL or is_head else _whole(reader)
            except BaseException:
                reader.close()
                raise
            if data is not None or is_head:
                reader.close()
            return reader, data

        is_head = self.request.method == "HEAD"
        reader, data = await self.parts.run_quick(begin)
        entry = reader.entry
        try:
            if conditions.is_current(self.request.headers, entry):
                self.file_headers(entry)
                self.set_status(304)
                await self.finish()
                return
            self._full_size = entry.size
            part = None if is_head else conditions.part(self.request.headers, entry)
            self.file_headers(entry)
            start, stop = part or (0, entry.size)
            if part is not None:
                self.set_status(206)
                self.set_header("Content-Range", f"bytes {start}-{stop - 1}/{entry.size}")
            self.set_header("Content-Length", stop - start)
            if is_head:
                await self.finish()
            elif data is not None:
                await self.finish(data[start:stop])
            else:
                await self._stream(reader, start, stop)
                await self.finish()
        finally:
            if data is None and not is_head:
                self.parts.later(reader.close)

    async def _stream(self, reader: Reader, start: int, stop: int) -> None:
        traffic = self.parts.traffic
        held = 0

        def read(offset: int) -> asyncio.Future[bytes]:
            nonlocal held
            length = traffic.take(stop - offset)
            held += length
            return asyncio.ensure_future(self.run(reader.read, offset, length))

        position, coming = start, read(start)
        try:
            while position < stop:
                data = await coming
                if not data:
                    # A container has cut it. What was promised cannot be sent: the client must notice.
                    raise FileError("The file became shorter while it was read.", Kind.UNAVAILABLE)
                length = held
                position += len(data)
                if position < stop:
                    coming = read(position)
                self.write(data)
                del data
                await asyncio.wait_for(asyncio.shield(self.flush()), STALLED)
                traffic.give(length)
                held -= length
        except TimeoutError:
            self.break_off()
            raise StreamClosedError from None
        finally:
            # It reads from what is closed next.
            await asyncio.wait([coming])
            traffic.give(held)


def _whole(reader: Reader) -> bytes:
    data = reader.read(0, reader.entry.size)
    if len(data) < reader.entry.size:
        raise FileError("The file is changing at the moment: try again.", Kind.UNAVAILABLE)
    return data
