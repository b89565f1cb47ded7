"""GET, HEAD and PUT: bytes in and out."""

from __future__ import annotations

import functools
import re

from scidrive_service.errors import FileError, Kind
from scidrive_service.handlers import conditions, content
from scidrive_service.open_volume import OpenVolume
from scidrive_service.tree import DatedWriter, Entry, Writer
from scidrive_service.webdav.access import Refused
from scidrive_service.webdav.bodies import BUFFER, SMALL, Body, FileBody
from scidrive_service.webdav.locks import Locks
from scidrive_service.webdav.places import Place
from scidrive_service.webdav.requests import Answer, Request

_SECONDS = re.compile(r"[0-9]{1,11}(\.[0-9]{1,9})?")

_LATEST = 9e9
"""In the year 2255: nanoseconds since 1970 fit into 64 bits."""

FOLDER = "This is a folder. Open its address with a WebDAV client: a file manager, rclone, davfs2."


def media_type(name: str) -> str:
    """By the endings of the name; what is sent is never looked at, and the headers keep browsers from guessing."""
    return _type_of(".".join(["x", *name.rsplit(".", 2)[1:]]))


_type_of = functools.lru_cache(1024)(content.media_type)


def get(request: Request) -> Answer:
    """GET and HEAD."""
    place = request.place
    if place.volume is None or not place.inner:
        return Answer.text(200, FOLDER)
    try:
        reader = place.volume.open(place.inner)
    except FileError as error:
        if error.kind is Kind.NOT_A_FOLDER and (entry := place.entry()) is not None and entry.is_folder:
            return Answer.text(200, FOLDER)
        raise
    try:
        body = FileBody(reader)
        answer = _file(request, reader.entry, body if request.method == "GET" else None)
        if answer.body is not body:
            reader.close()
        return answer
    except BaseException:
        reader.close()
        raise


def _file(request: Request, entry: Entry, body: FileBody | None) -> Answer:
    headers = [*_validators(entry), ("Accept-Ranges", "bytes")]
    if conditions.is_current(request.conditions, entry):
        return Answer(304, headers=headers)
    headers += [
        ("Content-Type", media_type(entry.name)),
        # Never as a page: whatever is in it, it would run with the rights of whoever looks at it.
        ("Content-Disposition", "attachment"),
    ]
    start, stop, status = 0, entry.size, 200
    if request.method == "GET" and (wanted := conditions.part(request.conditions, entry)) is not None:
        (start, stop), status = wanted, 206
        headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{entry.size}"))
    headers.append(("Content-Length", str(stop - start)))
    if body is None:
        return Answer(status, headers=headers)
    body.take(start, stop - start)
    return Answer(status, body, headers)


def put(request: Request, locks: Locks) -> Answer:
    """PUT: the file appears, whole, when the last byte has come, or it does not."""
    place = request.place
    if request.header("Content-Range") is not None:
        raise Refused(400, "A part of a file cannot be put here. Use the chunked uploads of the REST interface.")
    if (request.header("Content-Encoding") or "identity").lower() != "identity":
        raise Refused(415, "Files are kept as they are sent: send them without a Content-Encoding.")
    if place.volume is None or not place.inner:
        raise Refused(405, "A file cannot be put in the place of a folder.", ("Allow", "OPTIONS, PROPFIND"))
    if request.is_folders_address:
        raise Refused(409, "The address of a file does not end with a slash.")
    demand = conditions.of_write(request.conditions)
    if demand is not None or request.header("If") is not None or locks.any:
        before = place.entry()
        locks.check_if(request, place, before)
        if before is None:
            locks.require_member(request, place)
        if demand is not None:
            demand(before)
    modified = _modified(request)
    with locks.writing(request, place):
        try:
            entry, is_new = _store(request, place.volume, demand, modified)
        except FileError as error:
            raise _of_place(place, error) from error
    headers = [*_validators(entry), ("Content-Length", "0")]
    if modified is not None:
        headers.append(("X-OC-MTime", "accepted"))
    return Answer(201 if is_new else 204, headers=headers)


def _store(
    request: Request, volume: OpenVolume, demand: conditions.Check | None, modified: float | None
) -> tuple[Entry, bool]:
    """Write the file; whether it is new."""
    body, path, data = request.body, request.place.inner, b""
    if demand is None and body.length is not None and body.length <= SMALL:
        data = body.read(body.length)
        entry = volume.write_new(path, data, modified)
        if entry is not None:
            return entry, True
    there: list[Entry | None] = []

    def check(entry: Entry | None) -> None:
        there.append(entry)
        if demand is not None:
            demand(entry)

    writer = volume.create(path, parents=False, check=check, size=body.length)
    try:
        if data:
            writer.write(data)
        _copy(body, writer)
        if modified is not None and isinstance(writer, DatedWriter):
            writer.modified = modified
        return writer.commit(), not any(there)
    except BaseException:
        writer.abort()
        raise


def _modified(request: Request) -> float | None:
    """When the file was changed at the client's: ownCloud's header, by which rclone and others tell what is new."""
    text = request.header("X-OC-Mtime") or ""
    return min(float(text), _LATEST) if _SECONDS.fullmatch(text) else None


def _validators(entry: Entry) -> list[tuple[str, str]]:
    return [("ETag", conditions.entity_tag(entry)), ("Last-Modified", conditions.http_date(entry.modified))]


def _copy(body: Body, writer: Writer) -> None:
    if body.is_complete:
        return
    buffer = memoryview(bytearray(min(BUFFER, body.length or BUFFER)))
    while count := body.readinto(buffer):
        writer.write(buffer[:count])


def _of_place(place: Place, error: FileError) -> FileError | Refused:
    """What WebDAV says when a file cannot be there (RFC 4918, 9.7)."""
    if error.kind not in {Kind.MISSING, Kind.NOT_A_FOLDER, Kind.EXISTS}:
        return error
    there = place.entry()
    if there is not None and there.is_folder:
        return Refused(405, "There is a folder of that name.", ("Allow", "OPTIONS, PROPFIND, DELETE, COPY, MOVE"))
    return Refused(409, "The folder for it is not there: make it first.")
