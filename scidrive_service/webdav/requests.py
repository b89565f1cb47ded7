"""A request at the WebDAV door, and its answer."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from scidrive_service.errors import FileError, Kind
from scidrive_service.paths import Path, parse
from scidrive_service.webdav.access import Refused
from scidrive_service.webdav.bodies import Body, FileBody
from scidrive_service.webdav.places import Place

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from scidrive_service.files import Person

LARGEST_XML = 1024 * 1024
"""Bytes of a body that is XML."""

_CONDITIONS = {
    name: "HTTP_" + name.upper().replace("-", "_")
    for name in ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range")
}

DEEPEST_XML = 100
"""Elements inside each other: what writes XML calls itself for each."""


@dataclass
class Answer:
    """Status, headers and body."""

    status: int
    body: bytes | Iterable[bytes] | FileBody = b""
    headers: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def text(cls, status: int, text: str, *headers: tuple[str, str]) -> Answer:
        """A sentence."""
        return cls(
            status, f"{text}\n".encode("utf-8", "replace"), [("Content-Type", "text/plain; charset=utf-8"), *headers]
        )

    @classmethod
    def xml(cls, status: int, body: bytes | Iterable[bytes]) -> Answer:
        """A document."""
        return cls(status, body, [("Content-Type", "application/xml; charset=utf-8")])


@dataclass
class Request:
    """A request of somebody who is known.

    Attributes
    ----------
    address
        Path of the request, as it was sent.
    place
        What it is about.
    """

    environ: dict[str, Any]
    person: Person
    address: str
    place: Place

    @property
    def method(self) -> str:
        return str(self.environ["REQUEST_METHOD"])

    @property
    def body(self) -> Body:
        body: Body = self.environ["wsgi.input"]
        return body

    def header(self, name: str) -> str | None:
        """Value of a header."""
        value: str | None = self.environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value

    @functools.cached_property
    def conditions(self) -> dict[str, str]:
        """Headers that make the request depend on the state of a file, and those of ranges."""
        return {name: self.environ[key] for name, key in _CONDITIONS.items() if key in self.environ}

    @property
    def is_folders_address(self) -> bool:
        """Whether the address ends with a slash."""
        return self.address.endswith("/")

    def no_body(self) -> None:
        """Refuse a body that would mean something in an extension of the protocol (RFC 4918, 8.4)."""
        if not self.body.is_complete:
            raise Refused(415, f"{self.method} takes no body here.")

    def depth(self, *allowed: str, default: str) -> str:
        """The header ``Depth``.

        Raises
        ------
        Refused
            It has another value than this method may have.
        """
        depth = (self.header("Depth") or default).strip().lower()
        if depth not in allowed:
            raise Refused(400, f"{self.method} takes the Depth {' or '.join(allowed)} only.")
        return depth

    @property
    def overwrite(self) -> bool:
        """The header ``Overwrite``."""
        value = (self.header("Overwrite") or "T").strip().upper()
        if value not in {"T", "F"}:
            raise Refused(400, "Overwrite is T or F.")
        return value == "T"

    def xml(self) -> tuple[Element | None, bytes]:
        """The body's XML, parsed and as it is; None if there is no body.

        Raises
        ------
        Refused
            It is not XML, too large or too deep, or has a document type: clients need none, attackers do.
        """
        data = bytearray()
        while not self.body.is_complete:
            data += self.body.read()
            if len(data) > LARGEST_XML:
                raise Refused(413, f"The XML is longer than {LARGEST_XML} bytes.")
        if not data.strip():
            return None, b""
        try:
            root = ElementTree.fromstring(bytes(data), forbid_dtd=True)
        except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError) as error:
            raise Refused(400, "The body is not XML, or has a document type.") from error
        layer = [root]
        for _ in range(DEEPEST_XML):
            layer = [child for element in layer for child in element]
            if not layer:
                return root, bytes(data)
        raise Refused(400, "The XML is nested too deeply.")


def path_of(address: str, prefix: str) -> Path:
    """The path that an address names; the address comes as WSGI has it, a character for each byte.

    Raises
    ------
    FileError
        MISSING: it is not below the door's own address. NAME: it has names that cannot be.
    """
    raw = address.encode("latin-1")
    names = [name for name in raw.split(b"/") if name]
    start = _names(prefix)
    if names[: len(start)] != start:
        raise FileError("There is nothing at this address.", Kind.MISSING)
    return parse(os.fsdecode(unquote_to_bytes(b"/".join(names[len(start) :]))))


@functools.lru_cache(16)
def _names(prefix: str) -> list[bytes]:
    return [name.encode() for name in prefix.split("/") if name]


def destination(request: Request, prefix: str, hosts: Iterable[str]) -> Path:
    """Where a COPY or MOVE goes.

    Parameters
    ----------
    hosts
        By which this server is known.

    Raises
    ------
    Refused
        502: to another server. 400: it says nothing that can be understood.
    """
    value = request.header("Destination")
    if not value:
        raise Refused(400, "Say where to with the header Destination.")
    try:
        parts = urlsplit(value.strip())
    except ValueError as error:
        raise Refused(400, "The header Destination is no address.") from error
    # Behind proxies, which may end TLS, the scheme says nothing.
    if parts.netloc and parts.netloc.lower() not in hosts:
        raise Refused(502, "Files cannot be copied or moved to other servers from here.")
    if not parts.path.startswith("/") or parts.query or parts.fragment:
        raise Refused(400, "The header Destination is no address of a file.")
    return path_of(parts.path, prefix)
