"""PROPFIND: what there is in a folder, and what is known about it.

The answer is written while it is sent, so that folders with many files need little memory. Depth ``infinity`` is
refused, as RFC 4918 allows: nobody can say how much that would be.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from scidrive_service.errors import FileError, Kind
from scidrive_service.handlers.conditions import http_date
from scidrive_service.paths import Path
from scidrive_service.tree import Entry
from scidrive_service.webdav.access import Refused
from scidrive_service.webdav.locks import Locks
from scidrive_service.webdav.places import Place, Places
from scidrive_service.webdav.requests import Answer, Request
from scidrive_service.webdav.transfers import media_type

_DAV = "{DAV:}"

LIVE = (
    "creationdate",
    "displayname",
    "getcontentlength",
    "getcontenttype",
    "getetag",
    "getlastmodified",
    "resourcetype",
    "lockdiscovery",
    "supportedlock",
)
"""Properties of RFC 4918 that we have."""

QUOTA = ("quota-available-bytes", "quota-used-bytes")
"""Of RFC 4331, which wants them only where they are asked for by name: they may cost something."""

_SUPPORTED = "".join(
    f"<D:lockentry><D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
    for scope in ("exclusive", "shared")
)

_NO_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold, however it is written."""

_INFINITE = b'<?xml version="1.0" encoding="utf-8"?>\n<D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>'

PIECE = 64 * 1024


@dataclass(frozen=True)
class Wanted:
    """What a client wants to know.

    Attributes
    ----------
    kind
        ``prop``, ``allprop`` or ``propname``.
    names
        ``{namespace}name``; with ``allprop``, beside all others.
    """

    kind: str
    names: tuple[str, ...] = ()

    @property
    def has_dead(self) -> bool:
        """Whether properties that clients have set may be among it."""
        return self.kind != "prop" or any(not name.startswith(_DAV) for name in self.names)


def find(request: Request, places: Places, locks: Locks) -> Answer:
    """PROPFIND."""
    wanted = _wanted(request)
    depth = request.depth("0", "1", "infinity", default="infinity")
    entry = request.place.entry()
    if entry is None:
        raise FileError("There is no such file.", Kind.MISSING)
    if not entry.is_safe:
        raise FileError("This is no file or folder that can be served.", Kind.UNSAFE)
    locks.check_if(request, request.place, entry)
    if depth == "infinity" and entry.is_folder:
        return Answer.xml(403, _INFINITE)
    members = _members(request, places) if entry.is_folder and depth == "1" else []
    writer = _Writer(request, places, locks, wanted)
    pieces = _pieces(writer.all(request.place, entry, members))
    begin = list(itertools.islice(pieces, 2))
    # What is short is sent with its length, which costs less.
    return Answer.xml(207, begin[0] if len(begin) == 1 else itertools.chain(begin, pieces))


def _wanted(request: Request) -> Wanted:
    root, _ = request.xml()
    if root is None:
        return Wanted("allprop")
    if root.tag != f"{_DAV}propfind":
        raise Refused(400, "The body is no propfind.")
    kinds = [child for child in root if child.tag in {f"{_DAV}prop", f"{_DAV}allprop", f"{_DAV}propname"}]
    if len(kinds) != 1:
        raise Refused(400, "A propfind has one of prop, allprop and propname.")
    kind = kinds[0].tag.removeprefix(_DAV)
    names = kinds[0] if kind == "prop" else [name for child in root.iter(f"{_DAV}include") for name in child]
    return Wanted(kind, tuple(dict.fromkeys(name.tag for name in names)))


def _members(request: Request, places: Places) -> list[tuple[Place, Entry]]:
    """What is in a folder, without links that lead nowhere, pipes and the like: a client would stumble on them."""
    place = request.place
    if place.volume is not None:
        return [(place.member(entry.name), entry) for entry in place.volume.list(place.inner) if entry.is_safe]
    found = []
    for name in place.members:
        try:
            member = places.find(request.person, (*place.path, name))
            entry = member.entry()
        except FileError:  # gone meanwhile, or its disk is: the others are there
            continue
        if entry is not None:
            found.append((member, entry))
    return found


def _pieces(texts: Iterable[str]) -> Iterator[bytes]:
    piece, size = [], 0
    for text in texts:
        piece.append(text)
        size += len(text)
        if size > PIECE:
            yield "".join(piece).encode()
            piece, size = [], 0
    yield "".join(piece).encode()


class _Writer:
    """Writes the answer's XML."""

    def __init__(self, request: Request, places: Places, locks: Locks, wanted: Wanted) -> None:
        self._person = request.person
        self._places = places
        self._locks = locks
        self._wanted = wanted

    def all(self, place: Place, entry: Entry, members: list[tuple[Place, Entry]]) -> Iterator[str]:
        """The whole document."""
        notes: Mapping[Path, Mapping[str, str]] = {}
        if self._wanted.has_dead and place.volume is not None:
            notes = place.volume.properties_in(place.inner, deep=bool(members))
        yield '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">'
        for where, what in [(place, entry), *members]:
            yield self._response(where, what, notes.get(where.inner, {}) if where.volume is place.volume else {})
        yield "</D:multistatus>\n"

    def _response(self, place: Place, entry: Entry, notes: Mapping[str, str]) -> str:
        found, missing = [], []
        for name in self._names(entry, notes):
            if self._wanted.kind == "propname":
                found.append(_element(name, None))
                continue
            value = self._value(name, place, entry, notes)
            if value is None:
                missing.append(_element(name, None))
            elif name.startswith(_DAV):
                found.append(_element(name, value))
            else:
                found.append(value)
        href = self._places.href(place.path, is_folder=entry.is_folder)
        answer = f"<D:response><D:href>{escape(href)}</D:href>"
        if found or not missing:
            answer += _propstat(found, "200 OK")
        if missing:
            answer += _propstat(missing, "404 Not Found")
        return answer + "</D:response>\n"

    def _names(self, entry: Entry, notes: Mapping[str, str]) -> Iterable[str]:
        if self._wanted.kind == "prop":
            return self._wanted.names
        names = [_DAV + name for name in LIVE if not (entry.is_folder and name.startswith(("getcont", "getetag")))]
        if self._wanted.kind == "propname" and entry.is_folder:
            names += [_DAV + name for name in QUOTA]
        return dict.fromkeys([*names, *notes, *self._wanted.names])

    def _value(self, name: str, place: Place, entry: Entry, notes: Mapping[str, str]) -> str | None:
        """The value as XML; None if there is no such property."""
        if not name.startswith(_DAV):
            return notes.get(name)
        live = name.removeprefix(_DAV)
        is_virtual = place.volume is None
        match live:
            case "resourcetype":
                return "<D:collection/>" if entry.is_folder else ""
            case "displayname":
                return escape(_NO_TEXT.sub("\ufffd", place.path[-1] if place.path else "SciServer"))
            case "getlastmodified" if not is_virtual:
                return http_date(entry.modified)
            case "creationdate" if not is_virtual:
                moment = datetime.datetime.fromtimestamp(entry.created, datetime.UTC)
                return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
            case "getcontentlength" if not entry.is_folder:
                return str(entry.size)
            case "getcontenttype" if not entry.is_folder:
                return media_type(entry.name)
            case "getetag" if not entry.is_folder:
                return escape(f'"{entry.etag}"')
            case "supportedlock":
                return "" if is_virtual else _SUPPORTED
            case "lockdiscovery":
                return _inner(self._locks.discovery(place, self._person.name))
            case "quota-available-bytes" | "quota-used-bytes" if entry.is_folder and place.volume is not None:
                used, available = place.volume.room()
                number = used if live == "quota-used-bytes" else available
                return None if number is None else str(number)
        return None


def _inner(element: ElementTree.Element) -> str:
    return "".join(ElementTree.tostring(child, encoding="unicode") for child in element)


def _element(name: str, value: str | None) -> str:
    """An element; None: an empty one."""
    if name.startswith(_DAV):
        local = "D:" + name.removeprefix(_DAV)
        return f"<{local}>{value}</{local}>" if value else f"<{local}/>"
    namespace, _, local = name.rpartition("}")
    if not namespace:
        return f"<{local}/>"
    return f"<x:{local} xmlns:x={quoteattr(namespace[1:])}/>"


def _propstat(elements: list[str], status: str) -> str:
    return f"<D:propstat><D:prop>{''.join(elements)}</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>"
