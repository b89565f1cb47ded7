"""Conditional requests and ranges (RFC 9110): the headers' side; nothing here knows of Tornado or of storage."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable, Mapping
from email.utils import formatdate, parsedate_to_datetime

from scidrive_service.errors import FileError, Kind
from scidrive_service.tree import Entry

_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)')
_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.ASCII | re.IGNORECASE)

Check = Callable[[Entry | None], None]
"""What `Tree.create` calls with what is there when the new file gets its name."""


def entity_tag(entry: Entry) -> str:
    """``ETag`` of a file."""
    return f'"{entry.etag}"'


def http_date(seconds: float) -> str:
    """Seconds since 1970 as in headers."""
    return _http_date(int(seconds))


@functools.lru_cache(256)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _seconds(text: str) -> float | None:
    """A date of a header; None if it is none, and then the header does not count."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=date.tzinfo or datetime.UTC).timestamp()


def _names(header: str, entry: Entry | None, *, weak: bool) -> bool:
    """Whether ``If-Match`` or ``If-None-Match`` names what is there."""
    if entry is None:
        return False
    if header.strip() == "*":
        return True
    position = 0
    while found := _TAG.match(header, position):
        if found.group(2) == entry.etag and entry.etag and (weak or not found.group(1)):
            return True
        position = found.end()
    return False


def is_current(headers: Mapping[str, str], entry: Entry) -> bool:
    """Whether the client has this file already (304).

    Raises
    ------
    FileError
        CHANGED: it wants another one than there is.
    """
    _demand(headers, entry)
    if (tags := headers.get("If-None-Match")) is not None:
        return _names(tags, entry, weak=True)
    since = _seconds(headers.get("If-Modified-Since", ""))
    return since is not None and int(entry.modified) <= since


def _demand(headers: Mapping[str, str], entry: Entry | None) -> None:
    if (tags := headers.get("If-Match")) is not None:
        fits = _names(tags, entry, weak=False)
    elif (since := _seconds(headers.get("If-Unmodified-Since", ""))) is not None:
        fits = entry is not None and int(entry.modified) <= since
    else:
        return
    if not fits:
        raise FileError("The file is not the one that the request speaks of: it was changed or removed.", Kind.CHANGED)


def of_write(headers: Mapping[str, str]) -> Check | None:
    """What a write demands of the file that it replaces; None if nothing."""
    if not any(name in headers for name in ("If-Match", "If-None-Match", "If-Unmodified-Since")):
        return None

    def check(entry: Entry | None) -> None:
        _demand(headers, entry)
        tags = headers.get("If-None-Match")
        if tags is not None and _names(tags, entry, weak=True):
            raise FileError("There is a file of that name already.", Kind.CHANGED)

    return check


def part(headers: Mapping[str, str], entry: Entry) -> tuple[int, int] | None:
    """First byte, and the one after the last, of the part that is wanted; None for all.

    One range only. Requests for several get the whole file, as RFC 9110 (14.2) allows.

    Raises
    ------
    FileError
        RANGE: there is no such part.
    """
    if_range = headers.get("If-Range")
    if if_range is not None and not _same(if_range, entry):
        return None
    found = _RANGE.fullmatch(headers.get("Range", ""))
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, entry.size - int(last)), entry.size
    else:
        start, stop = int(first), min(int(last) + 1, entry.size) if last else entry.size
        if last and int(last) < start:
            return None
    if start >= entry.size or start >= stop:
        raise FileError(f"The file has {entry.size} bytes: there is no such part.", Kind.RANGE)
    return start, stop


def _same(if_range: str, entry: Entry) -> bool:
    if '"' in if_range:
        return _names(if_range, entry, weak=False)
    since = _seconds(if_range)
    return since is not None and int(entry.modified) == since
