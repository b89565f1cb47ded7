"""Headers that make a request depend on the state of a file, and ranges (RFC 9110)."""

from __future__ import annotations

import email.utils
import re

from scidrive_service.errors import FileError, Kind
from scidrive_service.tree import Entry
from scidrive_service.webdav.requests import Request

_TAG = re.compile(r'\s*(W/)?"([^"]*)"\s*(?:,|$)')
_RANGE = re.compile(r"bytes=\s*([0-9]*)-([0-9]*)\s*", re.IGNORECASE)


def _tags(value: str, *, weak: bool) -> set[str]:
    """Tags in a header; `weak`: also those that are only good for reading."""
    return {tag for prefix, tag in _TAG.findall(value) if weak or not prefix}


def _seconds(value: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() if value else None
    except (ValueError, TypeError, OverflowError):
        return None


def unchanged(request: Request, entry: Entry) -> bool:
    """Whether a reader has this file already: 304.

    Raises
    ------
    FileError
        CHANGED: the reader wants another one.
    """
    require(request, entry)
    none_match = request.header("If-None-Match")
    if none_match is not None:
        return none_match.strip() == "*" or entry.etag in _tags(none_match, weak=True)
    since = _seconds(request.header("If-Modified-Since"))
    return since is not None and int(entry.modified) <= since


def require(request: Request, entry: Entry | None) -> None:
    """Evaluate what holds for reading and writing; `entry` is what is there.

    Raises
    ------
    FileError
        CHANGED.
    """
    match, before = request.header("If-Match"), _seconds(request.header("If-Unmodified-Since"))
    if match is not None:
        holds = entry is not None and (match.strip() == "*" or entry.etag in _tags(match, weak=False))
    else:
        holds = before is None or entry is None or int(entry.modified) <= before
    if not holds:
        raise FileError("The file is not the one that the request speaks of: it has been changed.", Kind.CHANGED)


def require_for_writing(request: Request, entry: Entry | None) -> None:
    """`require`, and ``If-None-Match``.

    Raises
    ------
    FileError
        CHANGED.
    """
    require(request, entry)
    none_match = request.header("If-None-Match")
    if none_match is None or entry is None:
        return
    if none_match.strip() == "*" or entry.etag in _tags(none_match, weak=True):
        raise FileError("There is a file already, which the request does not want to replace.", Kind.CHANGED)


def part(request: Request, entry: Entry) -> tuple[int, int] | None:
    """First byte and length of the part of a file that is asked for; None: all of it.

    Several parts at once are not served; the standard lets a server send the whole file then.

    Raises
    ------
    FileError
        RANGE: the file has no such part.
    """
    found = _RANGE.fullmatch(request.header("Range") or "")
    if found is None or found.groups() == ("", ""):
        return None
    condition = request.header("If-Range")
    if condition is not None:
        tags = _tags(condition, weak=False)
        if not (entry.etag in tags if tags else _seconds(condition) == int(entry.modified)):
            return None
    first, last = found.groups()
    if not first:
        length = min(int(last), entry.size)
        start = entry.size - length
    else:
        start = int(first)
        end = min(int(last), entry.size - 1) if last else entry.size - 1
        if last and int(last) < start:
            return None
        length = end - start + 1
    if length <= 0:
        raise FileError(f"The file has {entry.size} bytes, and not that part.", Kind.RANGE)
    return start, length
