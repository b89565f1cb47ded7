"""Files on their way between this machine and a place: whole or not at all, a few at once."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from SciServer.core import places
from SciServer.core.errors import SciServerError, TransferError
from SciServer.core.models import Progress
from SciServer.core.places import Entry, Place
from SciServer.core.rows import Report
from SciServer.core.uploads import of_file
from SciServer.core.wire import Call, Close, Open, Operation, Pull, Request, Together

TRIES = 4
"""Of one download, which goes on where it broke off."""

PARTIAL = 206


class Meter:
    """Counts what several transfers have moved, and tells it. They may be in several threads."""

    def __init__(self, progress: Report | None, total: int | None) -> None:
        self._progress = progress
        self._total = total
        self._bytes = 0
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def add(self, count: int, state: str, message: str) -> None:
        """So many bytes more; fewer, when a transfer begins again."""
        if self._progress is None:
            return
        with self._lock:
            self._bytes += count
            seconds = time.monotonic() - self._started
            fraction = min(1.0, self._bytes / self._total) if self._total else None
            self._progress(
                Progress(
                    state, seconds, bytes=self._bytes, total_bytes=self._total, fraction=fraction, message=message
                )
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
    part = local.with_name(f".{local.name[:200]}.{secrets.token_hex(4)}.part")
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


def download_all(place: Place, root: Entry, local: Path, progress: Report | None) -> Operation[None]:
    """Fetch a folder with everything in it."""
    wanted: list[tuple[Entry, Path]] = []
    folders = [(root, local)]
    while folders:
        folder, directory = folders.pop()
        directory.mkdir(parents=True, exist_ok=True)
        for entry in (yield from place.entries(places.split(folder.path))):
            target = directory / checked(entry.name)
            (folders if entry.is_folder else wanted).append((entry, target))
    meter = Meter(progress, sum(entry.size for entry, _ in wanted))
    yield Together([download(place, entry, target, meter) for entry, target in wanted])


def checked(name: str) -> str:
    """A name that a service has sent, as one of a file here.

    Raises
    ------
    SciServerError
        It would lead elsewhere.
    """
    if name in {"", ".", ".."} or any(letter in name for letter in ("/", os.sep, os.altsep or "/", "\0")):
        raise SciServerError(f"The service has a file of the name {name!r}, which cannot be stored here.")
    return name


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


def upload_all(
    place: Place, local: Path, target: places.Path, *, overwrite: bool, progress: Report | None
) -> Operation[None]:
    """Send a folder with everything in it. Links to folders are not followed."""
    files: list[tuple[Path, places.Path]] = []
    empty: list[places.Path] = []
    for directory, folders, names in os.walk(local, onerror=_fail):
        below = (*target, *Path(directory).relative_to(local).parts)
        files += [(Path(directory) / name, (*below, name)) for name in sorted(names)]
        if not names and not folders:
            empty.append(below)
    for folder in empty or ([] if files else [target]):
        yield from place.mkdir(folder)
    meter = Meter(progress, sum(path.stat().st_size for path, _ in files))
    yield Together([upload(place, path, to, overwrite=overwrite, meter=meter) for path, to in files])


def _fail(error: OSError) -> None:
    """What `os.walk` would pass over: a folder that cannot be read."""
    raise error
