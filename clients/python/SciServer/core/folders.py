"""Folders on their way between this machine and a place: many files in one request, where the service can do that."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from SciServer.core import places, transfer
from SciServer.core.archives import Unpacking, checked, packed
from SciServer.core.errors import Failure, FolderError, SciServerError, ServiceError, TransferError
from SciServer.core.places import Entry, Place
from SciServer.core.rows import Report
from SciServer.core.transfer import Meter
from SciServer.core.wire import Call, Close, Open, Operation, Pull

ARCHIVE = 16 * 1024 * 1024
"""Bytes of files in one archive; larger ones are sent by themselves. A service that wants no more of a body reads some
of the rest before it closes, so that its answer is not lost: much longer ones would lose it."""

NO_ROUTE = frozenset({404, 405})
"""How a service answers that takes no archives. If it is a folder that is missing, single requests say so too."""

OF_ONE_FILE = frozenset({400, 403, 409})
"""After these, other files may fare better."""


Files = list[tuple[Path, places.Path]]


@dataclass
class _Found:
    """What is in a folder of this machine, each file with its name below the folder.

    Attributes
    ----------
    archives
        Files that go together; at least one list, which may be empty.
    large
        Files that go by themselves.
    """

    archives: list[Files] = field(default_factory=lambda: [[]])
    large: Files = field(default_factory=list)
    empty: list[places.Path] = field(default_factory=list)
    size: int = 0


def upload(
    place: Place, local: Path, target: places.Path, *, overwrite: bool, progress: Report | None
) -> Operation[None]:
    """Send a folder with everything in it.

    Raises
    ------
    FolderError
        Some files were not made.
    OSError, SciServerError
        Something in it cannot be read, or is no file. If it was so before, nothing has been sent.
    """
    found: _Found = yield Call(partial(_found, local))
    meter = Meter(progress, found.size)
    singly, made = found.large, 0
    failures: list[Failure] = []
    for number, files in enumerate(found.archives):
        empty = [] if number else found.empty
        try:
            made += yield from _pack(place, files, empty, target, meter, overwrite=overwrite)
        except FolderError as error:
            so_far = error.after(made, failures)
            if not so_far.is_complete:
                raise so_far from None
            made, failures = so_far.made, list(so_far.failures)
        except ServiceError as error:
            if number or error.status not in NO_ROUTE:
                raise
            singly = yield from _prepared(place, found, target)
            break
    for path, names in singly:
        try:
            yield from transfer.upload(place, path, (*target, *names), overwrite=overwrite, meter=meter)
            made += 1
        except ServiceError as error:
            if error.status not in OF_ONE_FILE:
                raise
            failures.append(Failure(places.join(names), error.message, error.status))
    if failures:
        raise FolderError.of(made, failures)


def _prepared(place: Place, found: _Found, target: places.Path) -> Operation[Files]:
    """Make the folders that no file brings with it; all files, which are to go one by one."""
    files = [*chain(*found.archives), *found.large]
    for folder in found.empty or ([] if files else [()]):
        yield from place.mkdir((*target, *folder))
    return files


def _found(local: Path) -> _Found:
    """Links to folders are not followed; those to files are as good as files."""
    found, together = _Found(), 0
    for directory, folders, names in os.walk(local, onerror=_fail):
        below = Path(directory).relative_to(local).parts
        for name in sorted(names):
            path = Path(directory) / name
            state = path.stat()
            if not stat.S_ISREG(state.st_mode):
                raise SciServerError(f"{path} is no file that could be sent.")
            found.size += state.st_size
            if state.st_size > ARCHIVE:
                found.large.append((path, (*below, name)))
                continue
            together += state.st_size
            if together > ARCHIVE:
                found.archives.append([])
                together = state.st_size
            found.archives[-1].append((path, (*below, name)))
        if below and not names and not folders:
            found.empty.append(below)
    return found


def _fail(error: OSError) -> None:
    """What `os.walk` would pass over: a folder that cannot be read."""
    raise error


def _pack(
    place: Place, files: Files, folders: list[places.Path], target: places.Path, meter: Meter, *, overwrite: bool
) -> Operation[int]:
    """Send an archive; how many files the service has made."""
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        # It may be sent again.
        meter.add(-sent, "sending", "")
        sent = 0
        for piece, count, name in packed(files, folders):
            yield piece
            sent += count
            meter.add(count, "sending", name)

    request = yield from place.archive(
        "PUT",
        target,
        params={"overwrite": str(overwrite)},
        headers={"Content-Type": "application/x-tar"},
        body=pieces,
        is_repeatable=overwrite,
    )
    try:
        return int((yield request).json()["files"])
    except ServiceError as error:
        if error.status in NO_ROUTE:
            meter.add(-sent, "sending", "")
        raise


def download(place: Place, root: Entry, local: Path, progress: Report | None) -> Operation[None]:
    """Fetch a folder with everything in it. If the archive breaks off, what is missing comes file by file.

    Raises
    ------
    ServiceError
        What comes is no archive, or has something in it that does not belong into the folder.
    OSError
        It cannot be written here.
    """
    meter = Meter(progress, None)
    local.mkdir(parents=True, exist_ok=True)
    unpacking = Unpacking(local)
    try:
        yield from _unpack(place, root, unpacking, meter)
    except TransferError:
        meter.add(-unpacking.unfinished, "receiving", unpacking.name)
    except ServiceError as error:
        if error.status not in NO_ROUTE:
            raise
    finally:
        unpacking.close()
    if not unpacking.has_ended:
        yield from _missing(place, root, local, unpacking.made, meter)


def _unpack(place: Place, root: Entry, unpacking: Unpacking, meter: Meter) -> Operation[None]:
    stream = yield Open((yield from place.archive("GET", places.split(root.path), is_repeatable=True)))
    try:
        while (piece := (yield Pull(stream))) is not None:
            count = yield Call(partial(unpacking.feed, piece))
            if count:
                meter.add(count, "receiving", unpacking.name)
    finally:
        yield Close(stream)


def _missing(place: Place, root: Entry, local: Path, made: set[str], meter: Meter) -> Operation[None]:
    """Fetch what was not made yet, file by file."""
    folders: list[places.Path] = [()]
    while folders:
        below = folders.pop()
        directory = local.joinpath(*below)
        directory.mkdir(parents=True, exist_ok=True)
        for entry in (yield from place.entries((*places.split(root.path), *below))):
            names = (*below, checked(entry.name))
            if entry.is_folder:
                folders.append(names)
            elif places.join(names) not in made:
                yield from transfer.download(place, entry, local.joinpath(*names), meter)
