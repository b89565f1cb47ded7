"""Uploads that can go on after a break: ``api/uploads``, the protocol tus 1.0 with its extensions creation,
termination and expiration; and SciDrive's ``chunked_upload`` (contract §4.7).

The parts are kept apart from all volumes until the last one has come. Then the file appears, whole.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import Any

from scidrive_service import paths
from scidrive_service.errors import FileError, Kind
from scidrive_service.files import Action, Person
from scidrive_service.handlers import conditions, content
from scidrive_service.handlers.base import Handler
from scidrive_service.handlers.dropbox import DropboxHandler, dated, metadata
from scidrive_service.handlers.problems import Problem
from scidrive_service.handlers.receiving import Receiver
from scidrive_service.paths import Path
from scidrive_service.tree import Entry, Writer
from scidrive_service.uploads import OffsetError, Upload, Uploads
from sciserver_common.handlers import anonymous, needs
from sciserver_common.scopes import FILES_READ, FILES_WRITE

VERSION = "1.0.0"
PART = "application/offset+octet-stream"


class Part:
    """What comes is added to an upload. It stays when the client goes: that is what uploads in parts are for."""

    def __init__(self, uploads: Uploads, upload: str, owner: str, offset: int, length: int | None) -> None:
        self._uploads, self._upload, self._owner = uploads, upload, owner
        self._length = length
        self.offset = offset

    def write(self, data: bytes | memoryview) -> None:
        if self._length is not None and self.offset + len(data) > self._length:
            raise FileError(f"The upload was to have {self._length} bytes: this is more.", Kind.TOO_LARGE)
        self.offset = self._uploads.append(self._upload, self._owner, self.offset, data)

    def commit(self) -> Any:
        """Nothing: all is there."""

    def abort(self) -> None:
        """Nothing: it stays."""


class TusHandler(Handler):
    """Base of this interface."""

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Tus-Resumable", VERSION)

    async def prepared(self) -> None:
        if self.request.headers.get("Tus-Resumable", VERSION) != VERSION:
            raise Problem(412, f"Only version {VERSION} of tus is spoken here.")
        await super().prepared()

    def error_headers(self, error: BaseException | None, status: int) -> list[tuple[str, str]]:
        return [*super().error_headers(error, status), ("Tus-Version", VERSION)]

    @property
    def address(self) -> str:
        """Of all uploads, for ``Location``."""
        return f"{self.base_url}/api/uploads"

    def length(self, header: str) -> int | None:
        """A header that is a number of bytes; None if it is not there."""
        text = self.request.headers.get(header, "").strip()
        if not text:
            return None
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise Problem(400, f"{header} is not a number of bytes.")
        return int(text)

    def told(self, upload: Upload) -> None:
        """Headers that say how far an upload has come."""
        self.set_header("Upload-Offset", upload.offset)
        self.set_header("Upload-Expires", conditions.http_date(upload.expires))
        if upload.note.get("length") is None:
            self.set_header("Upload-Defer-Length", "1")
        else:
            self.set_header("Upload-Length", upload.note["length"])

    def finished(self, person: Person, upload: Upload, wanted: Path, overwrite: bool) -> Entry:
        """The file that an upload becomes; called in a thread."""
        volume, path = self.files.service_path(person, wanted, Action.WRITE)
        writer: Writer = volume.create(path, overwrite=overwrite, size=upload.offset)
        try:
            digests = content.digests(upload.note.get("digests") or {})
            if digests:
                writer = content.CheckedWriter(writer, digests)
        except BaseException:
            writer.abort()
            raise
        return self.parts.uploads.finish(upload.id, person.name, writer)

    def describe(self, error: BaseException | None, status: int) -> dict[str, Any]:
        if isinstance(error, OffsetError):
            self.set_header("Upload-Offset", error.offset)
            return super().describe(error, status) | {"offset": error.offset}
        return super().describe(error, status)

    def status_of(self, error: Exception) -> int:
        # What tus says of a wrong offset.
        return 409 if isinstance(error, OffsetError) else super().status_of(error)


class Beginning(TusHandler):
    """``api/uploads``: what is under way, and the beginning of another one."""

    @anonymous
    async def options(self) -> None:
        """What of tus there is."""
        self.set_header("Tus-Version", VERSION)
        self.set_header("Tus-Extension", "creation,creation-defer-length,termination,expiration")
        self.set_status(204)
        self.clear_header("Content-Type")
        await self.finish()

    @needs(FILES_READ)
    async def get(self) -> None:
        """Your uploads that are not finished."""
        found = await self.run(self.parts.uploads.unfinished, self.person.name)
        self.answer(
            [
                {
                    "id": upload.id,
                    "offset": upload.offset,
                    "length": upload.note.get("length"),
                    "path": upload.note.get("path"),
                    "expires": conditions.http_date(upload.expires),
                }
                for upload in found
            ]
        )

    @needs(FILES_WRITE)
    async def post(self) -> None:
        """Begin one. ``Upload-Metadata`` has the ``path`` at which the file appears, and maybe ``overwrite``."""
        length = self.length("Upload-Length")
        headers = self.request.headers
        if length is None and "Tus-Resumable" in headers and headers.get("Upload-Defer-Length") != "1":
            raise Problem(400, "Say with Upload-Length how many bytes it will have, or Upload-Defer-Length: 1.")
        noted = self._metadata()
        wanted = paths.parse(noted.get("path", ""))
        overwrite = self.truth("overwrite", noted.get("overwrite", "true"))
        promised = {name: headers[name] for name in ("Content-MD5", "Digest", "Repr-Digest") if name in headers}
        content.digests(promised)

        def begin(person: Person) -> str:
            if wanted:
                # Refused now rather than when everything was sent.
                volume, path = self.files.service_path(person, wanted, Action.WRITE)
                volume.create(path, overwrite=overwrite, size=length).abort()
            note = {
                "length": length,
                "path": paths.encoded(wanted) or None,
                "overwrite": overwrite,
                "digests": promised,
            }
            return self.parts.uploads.begin(person.name, note)

        person = self.person
        number = await self.run(begin, person)
        self.set_header("Location", f"{self.address}/{number}")
        upload = await self.run(self.parts.uploads.status, number, person.name)
        if length == 0 and wanted:
            entry = await self.run_long(self.finished, person, upload, wanted, overwrite)
            self.set_header("ETag", conditions.entity_tag(entry))
        self.told(upload)
        self.answer({"id": number, "url": f"{self.address}/{number}"}, 201)

    def _metadata(self) -> dict[str, str]:
        """``Upload-Metadata``: names, each with a value in base64."""
        found = {}
        for item in self.request.headers.get("Upload-Metadata", "").split(","):
            name, _, value = item.strip().partition(" ")
            try:
                found[name] = os.fsdecode(base64.b64decode(value.strip(), validate=True))
            except (binascii.Error, ValueError) as error:
                raise Problem(400, f"Upload-Metadata: {name[:40]!r} is not in base64.") from error
        return found


class Continuation(TusHandler, Receiver):
    """``api/uploads/{upload}``: one of them."""

    receives = frozenset({"PATCH"})

    @needs(FILES_READ)
    async def head(self, upload: str) -> None:
        """How far it has come."""
        self.told(await self.run(self.parts.uploads.status, upload, self.person.name))
        await self.finish()

    @needs(FILES_READ)
    async def get(self, upload: str) -> None:
        """As HEAD, and as JSON."""
        found = await self.run(self.parts.uploads.status, upload, self.person.name)
        self.told(found)
        self.answer({"id": found.id, "offset": found.offset, "length": found.note.get("length")})

    def offset(self) -> int:
        """Where the part begins."""
        offset = self.length("Upload-Offset")
        if offset is None:
            raise Problem(400, "Say with Upload-Offset where the part begins.")
        return offset

    async def prepared(self) -> None:
        if self.request.method in self.receives:
            media_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if media_type != PART:
                raise Problem(415, f"Send the part as {PART}.")
            if content.digests(self.request.headers):
                raise Problem(400, "Send the digest of the whole file, with POST: parts are not checked.")
            self.offset()
        await super().prepared()

    def begin(self, size: int | None) -> Writer:
        number, name = self.path_kwargs["upload"], self.person.name
        offset = self.offset()
        found = self.parts.uploads.status(number, name)
        if found.offset != offset:
            raise OffsetError(
                f"The upload has come to {found.offset}, not to {offset}. Go on there.",
                Kind.CHANGED,
                offset=found.offset,
            )
        length = found.note.get("length")
        if length is not None and size is not None and offset + size > length:
            raise FileError(f"The upload was to have {length} bytes: this is more.", Kind.TOO_LARGE)
        return Part(self.parts.uploads, number, name, offset, length)

    @needs(FILES_WRITE)
    async def patch(self, upload: str) -> None:
        """Add a part. With the last one the file appears, if it is known where."""
        await self.received()
        person = self.person
        found = await self.run(self.parts.uploads.status, upload, person.name)
        self.told(found)
        if found.note.get("path") and found.offset == found.note.get("length"):
            wanted = paths.parse(found.note["path"], encoded=True)
            entry = await self.run_long(self.finished, person, found, wanted, bool(found.note.get("overwrite", True)))
            self.set_header("ETag", conditions.entity_tag(entry))
        self.set_status(204)
        self.clear_header("Content-Type")
        await self.finish()

    @needs(FILES_WRITE)
    async def post(self, upload: str) -> None:
        """Make the file of what has come: ``{"path": …, "overwrite": …}``, or as it was said at the beginning."""
        body, person = self.json_object(), self.person
        found = await self.run(self.parts.uploads.status, upload, person.name)
        text = body.get("path", found.note.get("path"))
        if text is None:
            raise Problem(400, "Say with path where the file shall be.")
        wanted = paths.parse(self.text(text, "path", longest=20_000), encoded=True)
        overwrite = self.truth("overwrite", body.get("overwrite", found.note.get("overwrite", True)))
        length = found.note.get("length")
        if length is not None and found.offset < length:
            raise OffsetError(
                f"The upload has come to {found.offset} of {length}. Go on there.", Kind.CHANGED, offset=found.offset
            )
        entry = await self.run_long(self.finished, person, found, wanted, overwrite)
        self.set_header("ETag", conditions.entity_tag(entry))
        self.answer({"path": paths.encoded(wanted), "size": entry.size, "etag": entry.etag})

    @needs(FILES_WRITE)
    async def delete(self, upload: str) -> None:
        """Forget it."""
        await self.run(self.parts.uploads.drop, upload, self.person.name)
        self.set_status(204)
        self.clear_header("Content-Type")
        await self.finish()


# -- SciDrive's


class ChunkedUpload(DropboxHandler, Receiver):
    """``chunked_upload``: a part of a file; without ``upload_id`` the first one."""

    @needs(FILES_WRITE)
    async def put(self) -> None:
        await self.received()
        await self._tell(200)

    def begin(self, size: int | None) -> Writer:
        name, uploads = self.person.name, self.parts.uploads
        offset = self.number("offset", 0, lowest=0, highest=10**18)
        number = self.parameter("upload_id")
        if number:
            self._number = number
            found = uploads.status(number, name)
            if found.offset != offset:
                raise OffsetError("The part does not begin where the upload is.", Kind.CHANGED, offset=found.offset)
        elif offset:
            raise OffsetError("The first part begins at 0.", Kind.CHANGED)
        else:
            self._number = uploads.begin(name)
        return Part(uploads, self._number, name, offset, None)

    async def _tell(self, status: int) -> None:
        found = await self.run(self.parts.uploads.status, self._number, self.person.name)
        self.answer({"upload_id": found.id, "offset": found.offset, "expires": dated(found.expires)}, status)

    def describe(self, error: BaseException | None, status: int) -> dict[str, Any]:
        answer = super().describe(error, status)
        if isinstance(error, OffsetError):
            return answer | {"upload_id": self.parameter("upload_id"), "offset": error.offset}
        return answer

    def status_of(self, error: Exception) -> int:
        # Dropbox's clients go on at the offset of the answer.
        return 400 if isinstance(error, OffsetError) else super().status_of(error)


class CommitChunkedUpload(DropboxHandler):
    """``commit_chunked_upload/{root}/{path}``: the file that the parts make."""

    @needs(FILES_WRITE)
    async def post(self, root: str, path: str | None) -> None:
        """``upload_id``, and maybe ``overwrite``."""
        name, wanted, number = self.root(root), self.path(path), self.form("upload_id")
        if not number:
            raise Problem(400, "The parameter upload_id is missing.")
        overwrite = self.truth("overwrite", self.form("overwrite") or "true")

        def finish(person: Person) -> Entry:
            size = self.parts.uploads.status(number, person.name).offset
            writer = self.files.drive(person).create(wanted, overwrite=overwrite, size=size)
            return self.parts.uploads.finish(number, person.name, writer)

        entry = await self.run_long(finish, self.person)
        self.answer(metadata(entry, wanted, name))
