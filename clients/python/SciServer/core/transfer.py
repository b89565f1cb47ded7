"""Single files on their way between this machine and a place: whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from SciServer.core import places
from SciServer.core.archives import beside
from SciServer.core.errors import TransferError
from SciServer.core.models import Progress
from SciServer.core.places import Entry, Place
from SciServer.core.rows import Report
from SciServer.core.uploads import of_file
from SciServer.core.wire import Call, Close, Open, Operation, Pull, Request

TRIES = 4
"""Of one download, which goes on where it broke off."""

PARTIAL = 206


class Meter:
    """Counts what one or several transfers have moved, and tells it."""

    def __init__(self, progress: Report | None, total: int | None) -> None:
        self._progress = progress
        self._total = total
        self._bytes = 0
        self._started = time.monotonic()

    def add(self, count: int, state: str, message: str) -> None:
        """So many bytes more; fewer, when a transfer begins again."""
        if self._progress is None:
            return
        self._bytes += count
        seconds = time.monotonic() - self._started
        fraction = min(1.0, self._bytes / self._total) if self._total else None
        self._progress(
            Progress(state, seconds, bytes=self._bytes, total_bytes=self._total, fraction=fraction, message=message)
        )


def download(place: Place, entry: Entry, local: Path, meter: Meter) -> Operation[None]:
    """Fetch a file.

    It appears under its name when it is whole. What breaks off goes on where it was, if the file has not changed.

    Raises
    ------
    TransferError
        It broke off too often.
    OSError
        It cannot be written here.
    """
    request = yield from place.reading(places.split(entry.path))
    yield from fetch(request, local, entry.path, meter)


def fetch(request: Request, local: Path, name: str, meter: Meter | None = None) -> Operation[None]:
    """Store what a request's answer is.

    Parameters
    ----------
    name
        For progress.
    """
    part = beside(local)
    try:
        with part.open("xb") as file:
            yield from _fetch(request, file, name, meter or Meter(None, None))
        yield Call(partial(os.replace, part, local))
    finally:
        part.unlink(missing_ok=True)


def _fetch(request: Request, file: BinaryIO, name: str, meter: Meter) -> Operation[None]:
    tag, position = "", 0
    for left in range(TRIES - 1, -1, -1):
        headers = {"Range": f"bytes={position}-", "If-Range": tag} if tag and position else {}
        stream = yield Open(replace(request, headers=headers))
        if stream.status != PARTIAL and position:
            # It has changed, or begins anew.
            meter.add(-position, "receiving", name)
            position = 0
            file.seek(0)
            file.truncate()
        tag = stream.headers.get("ETag", "")
        try:
            while (piece := (yield Pull(stream))) is not None:
                yield Call(partial(file.write, piece))
                position += len(piece)
                meter.add(len(piece), "receiving", name)
            return
        except TransferError:
            if not left:
                raise
        finally:
            yield Close(stream)


def upload(place: Place, local: Path, target: places.Path, *, overwrite: bool, meter: Meter) -> Operation[None]:
    """Send a file; it appears under its name when it is whole.

    Raises
    ------
    ServiceError
        409: there is one, and `overwrite` is false. 507: a quota is full.
    """
    body, name = of_file(local), places.join(target)
    request = yield from place.writing(target, overwrite=overwrite)

    def pieces() -> Iterator[bytes]:
        for piece in body.pieces():
            yield piece
            meter.add(len(piece), "sending", name)

    yield replace(request, body=pieces, length=body.length, is_repeatable=overwrite)
