"""Files that become tables: written to disk as they come, read by a worker when they are whole."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from pathlib import Path
from typing import Any, BinaryIO

from tornado.log import app_log

from casjobs_service.errors import Kind, QueryError
from casjobs_service.handlers.base import DROPPED, MEBIBYTE, Problem
from casjobs_service.handlers.databases import TablesHandler
from casjobs_service.limits import MEGABYTE
from casjobs_service.readers import FORMATS

TYPES = {
    "": "csv",
    "text/csv": "csv",
    "text/plain": "csv",
    "text/comma-separated-values": "csv",
    "application/csv": "csv",
    "application/octet-stream": "csv",
    # What curl says of --data-binary.
    "application/x-www-form-urlencoded": "csv",
    "application/x-votable+xml": "votable",
    "application/xml": "votable",
    "text/xml": "votable",
    "application/fits": "fits",
    "image/fits": "fits",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.apache.arrow.file": "arrow",
}
"""Format of a file by ``Content-Type``; clients send CSV without one."""

MODES = ("append", "create", "replace")
"""What to do when the table exists. Without one of them rows are added to it, or it is made."""

BUFFER = MEBIBYTE

SECONDS = 6 * 3600.0
"""How long a file may be on the way."""


class Upload(TablesHandler):
    """What a handler needs whose ``POST`` takes a file."""

    def initialize(self, **settings: Any) -> None:
        super().initialize(**settings)
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._buffer = bytearray()
        self._held = contextlib.ExitStack()
        self._failure: OSError | None = None

    async def prepared(self) -> None:
        if self.request.method != "POST":
            await super().prepared()
            return
        # Whatever can be refused is refused before the file is sent.
        limit = self.parts.upload_bytes
        if int(self.request.headers.get("Content-Length") or 0) > limit:
            raise self.too_long()
        self.own(self.path_kwargs["context"])
        self._format, self._mode = self._wanted_format(), self._wanted_mode()
        self._held.enter_context(self.parts.sending(self.user["name"]))
        connection: Any = self.request.connection
        connection.set_max_body_size(limit + DROPPED)
        connection.set_body_timeout(SECONDS)
        self._path = self.parts.uploads / secrets.token_hex(16)
        self._held.callback(self._path.unlink, missing_ok=True)
        self._file = await asyncio.to_thread(self._path.open, "xb", 0)

    def _wanted_format(self) -> str:
        if self.request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Problem(415, "Send the file as it is, without Content-Encoding.")
        name = (self.parameter("format") or "").strip().lower()
        media_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        found = name if name in FORMATS else None if name else TYPES.get(media_type)
        if found is None:
            raise Problem(
                415, f"There is no reader for {(name or media_type)[:80]!r}.", hint=f"There is: {', '.join(FORMATS)}."
            )
        return found

    def _wanted_mode(self) -> str:
        mode = (self.parameter("mode") or "").strip().lower()
        if mode not in {"", *MODES}:
            raise Problem(400, f"There is no mode {mode[:20]!r}.", hint=f"There is: {', '.join(MODES)}.")
        return mode

    def too_long(self) -> Problem:
        if self.request.method != "POST":
            return super().too_long()
        limit = self.parts.upload_bytes // MEGABYTE
        return Problem(413, f"The file is larger than {limit} MB.", hint="Send it in parts: their rows are added.")

    async def data_received(self, chunk: bytes) -> None:
        """Keep it."""
        if self._file is None or self._dropping:
            super().data_received(chunk)
            return
        self._length += len(chunk)
        if self._length > self.parts.upload_bytes:
            # What follows is read and dropped.
            self._buffer.clear()
            return
        self._buffer += chunk
        if len(self._buffer) >= BUFFER:
            await self._write()

    async def _write(self) -> None:
        data, self._buffer = self._buffer, bytearray()
        if self._file is None or self._failure is not None:
            return
        try:
            await asyncio.to_thread(self._file.write, data)
        except OSError as error:
            # Said when the whole file has come.
            self._failure = error

    async def make_table(self, database: str, table: str) -> dict[str, Any]:
        """Make the table from the file that has come.

        Raises
        ------
        Problem
            The file is too large.
        QueryError
            It cannot be read, or not be added to the table.
        """
        if self._length > self.parts.upload_bytes:
            raise self.too_long()
        await self._write()
        if self._file is None or self._path is None:
            raise RuntimeError("no file was opened")
        if self._failure is not None:
            app_log.error("An upload cannot be kept: %s", self._failure)
            raise QueryError("The service has no room for the file. Tell an administrator.", Kind.UNAVAILABLE)
        user = await self.space()
        mode = self._mode
        if not mode:
            mode = "append" if (await self.parts.own_catalog(user, database)).table(table) else "create"
        return await self.parts.upload(
            user,
            self._path,
            database=database,
            table=table,
            file_format=self._format,
            mode=mode,
            task_name=self.parameter("TaskName") or "",
        )

    def on_finish(self) -> None:
        self._release()

    def on_connection_close(self) -> None:
        # Gone before the whole file has come: nothing is made of it. Who goes later gets the table all the same.
        was_whole = self.request._body_future.done()
        super().on_connection_close()
        if not was_whole:
            self._release()

    def _release(self) -> None:
        if self._file is not None:
            self._file.close()
        self._held.close()
