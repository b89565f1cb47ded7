"""SciDrive's own REST interface (contract §4), as far as a file browser needs it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.client import responses
from typing import Any
from urllib.parse import quote, urlencode

from SciServer.server.addresses import AddressError
from SciServer.server.problems import Problem, problem_of
from SciServer.server.service import Service
from SciServer.server.upstream import Answer
from tornado.httputil import HTTPHeaders

_API = "vospace-2.0/1"

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Entry:
    """A file or a folder.

    Attributes
    ----------
    path
        From the drive's root, without a slash at either end; the root itself is empty.
    size
        Bytes.
    tag
        Its entity tag, where the service has told it.
    """

    path: str
    is_folder: bool
    size: int
    modified: datetime.datetime
    tag: str = ""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @classmethod
    def of(cls, value: Mapping[str, Any], tag: str = "") -> Entry:
        """As the service's `metadata` describes it."""
        try:
            # Microseconds: `modified` is to the second, too coarse to see that somebody else has written.
            modified = datetime.datetime.fromtimestamp(value["rev"] / 1_000_000, datetime.UTC)
            return cls(value["path"].strip("/"), bool(value["is_dir"]), int(value["bytes"]), modified, tag.strip('"'))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise _strange() from error


class Drive:
    """The SciDrive of the server's owner. Each method raises `Problem` if the service refuses or does not answer."""

    def __init__(self, service: Service) -> None:
        self.service = service

    # -- looking

    async def stat(self, path: str) -> Entry:
        """One file or folder."""
        return Entry.of(await self._json("GET", "metadata", path, {"list": "false"}))

    async def find(self, path: str) -> Entry | None:
        """As `stat`; None if nothing is there."""
        try:
            return await self.stat(path)
        except Problem as problem:
            # 409 and 403: above it is a file, or a link that leads out.
            if problem.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.FORBIDDEN}:
                return None
            raise

    async def look(self, path: str) -> tuple[Entry, list[Entry]]:
        """A file or folder, and what is in it."""
        found = await self._json("GET", "metadata", path)
        children = [Entry.of(child) for child in found.get("contents", ()) if _is_text(str(child.get("path")))]
        return Entry.of(found), children

    async def tag(self, path: str) -> str:
        """A file's entity tag: the digest of its content, or what changes with the file."""
        answer = await self._call("HEAD", f"files/sandbox/{quote(path)}")
        return answer.headers.get("ETag", "").strip('"')

    # -- content

    async def read(self, path: str) -> tuple[bytes, str]:
        """What is in a file, and its entity tag."""
        answer = await self._call("GET", f"files/sandbox/{quote(path)}")
        return answer.body, answer.headers.get("ETag", "").strip('"')

    async def write(self, path: str, data: bytes) -> Entry:
        """Make or replace a file; it appears whole or not at all."""
        answer = await self._call("PUT", f"files_put/sandbox/{quote(path)}", body=data)
        return Entry.of(_parsed(answer), answer.headers.get("ETag", ""))

    # -- uploads in parts

    async def begin(self, data: bytes) -> str:
        """Begin an upload with its first part; its number."""
        answer = await self._call("PUT", "chunked_upload", {"offset": 0}, data)
        return str(_parsed(answer).get("upload_id", ""))

    async def append(self, number: str, offset: int, data: bytes) -> None:
        """Add the part that begins at `offset`."""
        await self._call("PUT", "chunked_upload", {"upload_id": number, "offset": offset}, data)

    async def commit(self, number: str, path: str) -> Entry:
        """Make the file of the parts."""
        entry = Entry.of(await self._json("POST", "commit_chunked_upload", path, {"upload_id": number}))
        return replace(entry, tag=await self.tag(path))

    async def drop(self, number: str) -> None:
        """Forget an upload."""
        await self._request("DELETE", f"api/uploads/{quote(number, safe='')}")

    # -- changes

    async def make_folder(self, path: str) -> Entry:
        """Make a folder, and those above it."""
        return await self._change("create_folder", path=path)

    async def remove(self, path: str) -> None:
        """Remove a file, or a folder with everything in it."""
        await self._change("delete", path=path)

    async def move(self, source: str, target: str) -> Entry:
        """Rename or move; not over anything."""
        return await self._change("move", from_path=source, to_path=target)

    async def copy(self, source: str, target: str) -> Entry:
        """Copy a file, or a folder with everything in it; not over anything."""
        return await self._change("copy", from_path=source, to_path=target)

    async def _change(self, operation: str, **fields: str) -> Entry:
        answer = await self._call("POST", f"fileops/{operation}", body=urlencode(fields).encode(), kind=_FORM)
        return Entry.of(_parsed(answer))

    # -- requests

    async def _json(self, method: str, what: str, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return _parsed(await self._call(method, f"{what}/sandbox/{quote(path)}", query))

    async def _call(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: bytes = b"", kind: str = ""
    ) -> Answer:
        return await self._request(method, f"{_API}/{path}", query, body, kind)

    async def _request(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: bytes = b"", kind: str = ""
    ) -> Answer:
        service = self.service
        headers = HTTPHeaders({"Content-Type": kind or "application/octet-stream"} if body else {})
        with problem_of(service.title):
            try:
                target = service.address.target(path, urlencode(query or {}))
            except AddressError as error:
                raise Problem(HTTPStatus.BAD_REQUEST, str(error), "address") from error
            answer = await service.upstream.fetch(method, target, headers, body)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise service.refused()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise Problem(answer.status, _error(answer), "service")
        return answer


def _is_text(path: str) -> bool:
    """Whether a name can be said in an address by a page: JavaScript cannot write what is not Unicode."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parsed(answer: Answer) -> dict[str, Any]:
    try:
        value = json.loads(answer.body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _strange()
    return value


def _strange() -> Problem:
    text = "SciDrive's answer cannot be understood. Is the address right that this server has for it?"
    return Problem(HTTPStatus.BAD_GATEWAY, text, "service")


def _error(answer: Answer) -> str:
    """What the service says of an error."""
    try:
        return str(json.loads(answer.body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"SciDrive has refused: {responses.get(answer.status, answer.status)}."
