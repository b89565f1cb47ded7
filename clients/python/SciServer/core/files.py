"""What can be done with files, in volumes and in SciDrive alike: ``files`` and ``scidrive`` of both clients."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from SciServer.core import folders, transfer
from SciServer.core.archives import checked
from SciServer.core.errors import SciServerError
from SciServer.core.places import Entry, FileService, Place, SciDrive, Usage, Volume, split
from SciServer.core.remote import Remote
from SciServer.core.rows import Report
from SciServer.core.transfer import Meter
from SciServer.core.wire import Operation


class In(Protocol):
    """A group of methods that knows its place."""

    @property
    def place(self) -> Place: ...


class InVolumes(Protocol):
    """The one whose place is the file service."""

    @property
    def place(self) -> FileService: ...


class InSciDrive(Protocol):
    """The one whose place is SciDrive."""

    @property
    def place(self) -> SciDrive: ...


@dataclass(frozen=True)
class Link:
    """An address that opens a file for everybody who has it: treat it as a password.

    Attributes
    ----------
    expires
        UTC.
    """

    url: str
    expires: datetime.datetime | None


def listing(api: In, path: str = "") -> Operation[list[Entry]]:
    """What is in a folder: folders first, then files, by name."""
    found = yield from api.place.entries(split(path))
    return sorted(found, key=lambda entry: (not entry.is_folder, entry.name))


def stat(api: In, path: str) -> Operation[Entry]:
    """A file or folder.

    Raises
    ------
    ServiceError
        404: there is none.
    """
    return (yield from api.place.stat(split(path)))


def read(api: In, path: str) -> Operation[bytes]:
    """The whole content of a file."""
    content: bytes = (yield (yield from api.place.reading(split(path)))).body
    return content


def remote(api: In, path: str) -> Operation[Remote]:
    """Open a file for reading in parts, as they are wanted."""
    return (yield from Remote.opened((yield from api.place.reading(split(path)))))


def get(
    api: In,
    path: str,
    local: str | os.PathLike[str] = ".",
    *,
    recursive: bool = False,
    progress: Report | None = None,
) -> Operation[Path]:
    """Fetch a file, or a folder, to this machine.

    Each file appears under its name when it is whole, and replaces one that is there. A folder comes as one archive;
    what the service cannot read in it is left out.

    Parameters
    ----------
    local
        Its name here; if it is a directory, it keeps its own name in there.
    recursive
        Needed for a folder.
    progress
        Called when bytes arrive; how many there will be is not known of a folder.

    Returns
    -------
    Path
        Where it is now.
    """
    entry = yield from api.place.stat(split(path))
    target = Path(local)
    if target.is_dir():
        target = target / checked(entry.name)
    if not entry.is_folder:
        yield from transfer.download(api.place, entry, target, Meter(progress, entry.size))
    elif not recursive:
        raise SciServerError(f"{path} is a folder: say recursive=True to fetch everything in it.")
    else:
        yield from folders.download(api.place, entry, target, progress)
    return target


def put(
    api: In,
    local: str | os.PathLike[str],
    path: str,
    *,
    recursive: bool = False,
    overwrite: bool = False,
    progress: Report | None = None,
) -> Operation[None]:
    """Send a file, or a folder, from this machine.

    Each file appears under its name when it is whole. Folders above are made. A folder is sent as one archive for each
    16 MiB, files above that by themselves. Links to folders are not followed.

    Parameters
    ----------
    path
        Its name there; with a slash at the end, the folder that it goes into.
    recursive
        Needed for a folder.
    overwrite
        Whether files that are there are replaced. Else they are an error (409).
    progress
        Called when bytes have gone.

    Raises
    ------
    FolderError
        Some files of a folder were not made; all others that could be were.
    """
    source = Path(local)
    target = split(path)
    if path.endswith("/") or not target:
        target = (*target, source.resolve().name)
    if not source.is_dir():
        meter = Meter(progress, source.stat().st_size)
        yield from transfer.upload(api.place, source, target, overwrite=overwrite, meter=meter)
    elif not recursive:
        raise SciServerError(f"{source} is a folder: say recursive=True to send everything in it.")
    else:
        yield from folders.upload(api.place, source, target, overwrite=overwrite, progress=progress)


def mkdir(api: In, path: str) -> Operation[None]:
    """Make a folder, and those above it. One that is there is no error."""
    yield from api.place.mkdir(split(path))


def remove(api: In, path: str, recursive: bool = False) -> Operation[None]:
    """Remove a file; with `recursive` also a folder, with everything in it."""
    entry = yield from api.place.stat(split(path))
    if entry.is_folder and not recursive:
        raise SciServerError(f"{path} is a folder: say recursive=True to remove it with everything in it.")
    yield from api.place.remove(split(path))


def move(api: In, source: str, target: str) -> Operation[None]:
    """Move or rename; there must be nothing at `target` yet."""
    yield from api.place.carry(split(source), split(target), is_copy=False)


def copy(api: In, source: str, target: str) -> Operation[None]:
    """Copy a file, or a folder with everything in it; there must be nothing at `target` yet."""
    yield from api.place.carry(split(source), split(target), is_copy=True)


def usage(api: In) -> Operation[list[Usage]]:
    """What you use, and may use."""
    return (yield from api.place.usage())


def volumes(api: InVolumes) -> Operation[list[Volume]]:
    """The volumes that you may use. Your own default ones are made at the first call."""
    return (yield from api.place.volumes())


def share(
    api: InVolumes, volume: str, name: str, actions: str | Sequence[str] = ("read",), *, group: bool = False
) -> Operation[None]:
    """Let somebody use a volume.

    Parameters
    ----------
    volume
        ``Storage/ada/shared``.
    name
        A user's, or with `group` a group's.
    actions
        Out of ``read``, ``write``, ``delete`` and ``grant``. None of them ends the sharing.
    """
    wanted = [actions] if isinstance(actions, str) else list(actions)
    yield from api.place.share(split(volume), name, wanted, "GROUP" if group else "USER")


def link(api: InSciDrive, path: str, seconds: float | None = None) -> Operation[Link]:
    """An address that opens a file, or a folder as a ZIP archive, for everybody who has it.

    Parameters
    ----------
    seconds
        How long; by default some hours.
    """
    return Link(*(yield from api.place.link(split(path), seconds)))


def unlink(api: InSciDrive, found: Link | str) -> Operation[None]:
    """Close a link before its time."""
    url = found.url if isinstance(found, Link) else found
    names = split(urlsplit(url).path)
    if "media" not in names[:-1]:
        raise SciServerError("This is no link that SciDrive has made.")
    yield from api.place.unlink(names[names.index("media") + 1])
