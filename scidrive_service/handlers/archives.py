"""Folders as archives, made while they are sent: of any size, at constant memory."""

from __future__ import annotations

import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Literal

from scidrive_service.errors import FileError, Kind
from scidrive_service.handlers import content
from scidrive_service.handlers.base import Handler
from scidrive_service.paths import Path
from scidrive_service.tree import Reader, Tree
from sciserver_common.requests import MEBIBYTE

PIECE = MEBIBYTE // 4

_FIRST = (1980, 1, 1, 0, 0, 0)


class _Sink:
    """Where `zipfile` writes: it keeps no more than was not yet taken."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def flush(self) -> None:
        """Nothing: all is here."""

    def take(self) -> bytes:
        data, self.data = bytes(self.data), bytearray()
        return data


def zipped(tree: Tree, path: Path) -> Iterator[bytes]:
    """A ZIP archive. What cannot be read is left out: links out of the volume, pipes, what was just removed."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:  # type: ignore[call-overload]
        for entry in tree.walk(path):
            name = "/".join(entry.path[len(path) :]).encode(errors="replace").decode()
            info = zipfile.ZipInfo(name + "/" * entry.is_folder, _date(entry.modified))
            info.external_attr = (0o40755 if entry.is_folder else 0o100644) << 16
            if entry.is_folder:
                archive.writestr(info, b"")
            elif entry.is_safe:
                try:
                    reader = tree.open(entry.path)
                except FileError:
                    continue
                try:
                    with archive.open(info, "w", force_zip64=reader.entry.size > 2**31) as target:
                        offset = 0
                        while data := reader.read(offset, min(PIECE, reader.entry.size - offset)):
                            offset += len(data)
                            target.write(data)
                            if len(sink.data) >= PIECE:
                                yield sink.take()
                finally:
                    reader.close()
            if len(sink.data) >= PIECE:
                yield sink.take()
    yield sink.take()


def _date(seconds: float) -> tuple[int, int, int, int, int, int]:
    try:
        date = time.gmtime(seconds)[:6]
    except (OverflowError, ValueError, OSError):
        return _FIRST
    # What ZIP can say.
    return date if _FIRST[0] <= date[0] <= 2107 else _FIRST


def tarred(tree: Tree, path: Path) -> Iterator[bytes]:
    """A tar archive (pax). What cannot be read is left out, as of ZIP archives.

    Raises
    ------
    FileError
        UNAVAILABLE: a file became shorter while it was read, so that the archive cannot go on.
    """
    ready = bytearray()
    for entry in tree.walk(path):
        info = tarfile.TarInfo("/".join(entry.path[len(path) :]))
        info.mtime, info.mode = int(entry.modified), 0o644
        if entry.is_folder:
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            ready += info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        elif entry.is_safe:
            try:
                reader = tree.open(entry.path)
            except FileError:
                continue
            try:
                info.size = reader.entry.size
                ready += info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
                for data in _content(reader):
                    ready += data
                    if len(ready) >= PIECE:
                        yield bytes(ready)
                        ready.clear()
                ready += bytes(-info.size % tarfile.BLOCKSIZE)
            finally:
                reader.close()
        if len(ready) >= PIECE:
            yield bytes(ready)
            ready.clear()
    yield bytes(ready) + bytes(2 * tarfile.BLOCKSIZE)


def _content(reader: Reader) -> Iterator[bytes]:
    offset, size = 0, reader.entry.size
    while offset < size:
        data = reader.read(offset, min(PIECE, size - offset))
        if not data:
            raise FileError("A file became shorter while it was read.", Kind.UNAVAILABLE)
        offset += len(data)
        yield data


KINDS = {"zip": (zipped, "application/zip"), "tar": (tarred, "application/x-tar")}


async def send(
    handler: Handler, place: Callable[[], tuple[Tree, Path]], name: Path, kind: Literal["zip", "tar"] = "zip"
) -> None:
    """Answer with a folder's archive.

    Parameters
    ----------
    place
        Finds the folder; called in a thread.
    name
        Of the archive, without extension; empty: nothing better is known.

    Raises
    ------
    FileError
        MISSING, NOT_A_FOLDER.
    """

    def begin() -> Iterator[bytes]:
        tree, path = place()
        if not tree.stat(path).is_folder:
            raise FileError("It is a file, not a folder: get it by itself, not as an archive.", Kind.NOT_A_FOLDER)
        return pieces(tree, path)

    pieces, media_type = KINDS[kind]
    archive = await handler.run(begin)
    for header, value in content.HEADERS.items():
        handler.set_header(header, value)
    handler.set_header("Content-Type", media_type)
    handler.set_header("Content-Disposition", content.disposition(f"{name[-1] if name else 'files'}.{kind}"))
    if handler.request.method == "HEAD":
        # How long it will be nobody knows.
        await handler.flush()
        await handler.finish()
        return
    try:
        while data := await handler.run(next, archive, b""):
            handler.write(data)
            await handler.flush()
        await handler.finish()
    finally:
        handler.parts.later(archive.close)  # type: ignore[attr-defined]
