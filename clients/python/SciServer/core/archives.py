"""Folders on their way as one tar archive (docs/reference/scidrive.md, "Many files at once").

The archive is made while it is sent, and taken apart while it comes: of its content one piece is kept at a time.
`tarfile` knows the form of headers. The archive itself is not left to it, because it would wait for the network.
"""

from __future__ import annotations

import io
import os
import secrets
import tarfile
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from SciServer.core import places, uploads
from SciServer.core.errors import SciServerError, ServiceError

BLOCK = tarfile.BLOCKSIZE

PIECE = 256 * 1024
"""Bytes that are gathered before they are sent."""

LONGEST_HEADER = 1024 * 1024
"""Bytes of what describes one member; a service that sends more is not what it should be."""

_EXTENSIONS = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
"""Members that describe the one after them."""

_TAKEN = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE}

_NO_ARCHIVE = "The answer is no archive as this service makes them. Check the addresses in sciscript.json."


def packed(files: list[tuple[Path, places.Path]], folders: list[places.Path]) -> Iterator[tuple[bytes, int, str]]:
    """An archive in pieces, with how many bytes of files are in each, and the last one's name.

    Parameters
    ----------
    files
        Where they are, and their names in the archive.

    Raises
    ------
    OSError, SciServerError
        A file is gone, or becomes shorter while it is read.
    """
    ready, count, name = bytearray(), 0, ""
    for data, counted, name in _members(files, folders):
        ready += data
        count += counted
        if len(ready) >= PIECE:
            yield bytes(ready), count, name
            ready, count = bytearray(), 0
    yield bytes(ready) + bytes(2 * BLOCK), count, name


def _members(files: list[tuple[Path, places.Path]], folders: list[places.Path]) -> Iterator[tuple[bytes, int, str]]:
    for folder in folders:
        info = tarfile.TarInfo(places.join(folder))
        info.type = tarfile.DIRTYPE
        yield _header(info), 0, info.name
    for path, names in files:
        body, info = uploads.of_file(path), tarfile.TarInfo(places.join(names))
        info.size, info.mtime = body.length or 0, int(path.stat().st_mtime)
        yield _header(info), 0, info.name
        for piece in body.pieces():
            yield piece, len(piece), info.name
        yield bytes(-info.size % BLOCK), 0, info.name


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


class Unpacking:
    """Takes an archive piece by piece, and makes its files and folders below a folder.

    A file appears under its name when it is whole, and replaces one that is there.

    Attributes
    ----------
    made
        Names of the files that are whole.
    name
        Of the file that is coming, or came last.
    unfinished
        Bytes that have come of a file that is not whole.
    has_ended
        The archive's end has come.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffer = bytearray()
        self._count = 0
        # Who gives up need not be the thread that writes.
        self._lock = threading.Lock()
        self.made: set[str] = set()
        self.name = ""
        self.unfinished = 0
        self.has_ended = False
        self._steps = self._run()
        next(self._steps)

    def feed(self, piece: bytes) -> int:
        """The next bytes of the archive; how many of them belong to files.

        Raises
        ------
        ServiceError
            It is no archive, or one whose members do not belong below the folder.
        OSError
            A file cannot be written here.
        """
        with self._lock:
            before = self._count
            self._steps.send(piece)
            return self._count - before

    def close(self) -> None:
        """Forget what is not whole."""
        with self._lock:
            self._steps.close()

    def _run(self) -> Generator[None, bytes, None]:
        while (header := (yield from self._header())) is not None:
            info = _member(header)
            target = self._folder.joinpath(*map(checked, info.name.split("/")))
            if info.isdir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                yield from self._file(info, target)
        self.has_ended = True
        self._buffer.clear()
        while True:
            yield  # what fills up the last block

    def _header(self) -> Generator[None, bytes, bytes | None]:
        """A member's header and those that belong to it; None at the end."""
        header = b""
        while True:
            block = yield from self._exactly(BLOCK)
            if not any(block) and not header:
                return None
            header += block
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except (tarfile.HeaderError, ValueError):
                raise ServiceError(_NO_ARCHIVE) from None
            if info.type in _TAKEN:
                return header
            if info.type not in _EXTENSIONS:
                raise ServiceError(f"The archive has {info.name!r}, which is neither a file nor a folder.")
            if not 0 <= info.size <= LONGEST_HEADER - len(header):
                raise ServiceError(_NO_ARCHIVE)
            header += yield from self._exactly(info.size + -info.size % BLOCK)

    def _file(self, info: tarfile.TarInfo, target: Path) -> Generator[None, bytes, None]:
        self.name = info.name
        part = beside(target)
        try:
            with part.open("xb") as file:
                yield from self._content(info.size, file)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        self.unfinished = 0
        self.made.add(info.name)
        yield from self._exactly(-info.size % BLOCK)

    def _content(self, size: int, file: BinaryIO) -> Generator[None, bytes, None]:
        while self.unfinished < size:
            if not self._buffer:
                self._buffer += yield
            piece = self._buffer[: size - self.unfinished]
            del self._buffer[: len(piece)]
            file.write(piece)
            self.unfinished += len(piece)
            self._count += len(piece)

    def _exactly(self, count: int) -> Generator[None, bytes, bytes]:
        while len(self._buffer) < count:
            self._buffer += yield
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found


def _member(header: bytes) -> tarfile.TarInfo:
    """What headers say. `tarfile` reads them all; the content it does not look for."""
    try:
        with tarfile.TarFile(fileobj=io.BytesIO(header), encoding="utf-8", errors="surrogateescape") as archive:
            info = archive.firstmember  # type: ignore[attr-defined]
    except (tarfile.TarError, ValueError):
        info = None
    if not isinstance(info, tarfile.TarInfo) or info.size < 0 or info.issparse():
        raise ServiceError(_NO_ARCHIVE)
    return info


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


def beside(target: Path) -> Path:
    """Where a file is until it is whole."""
    return target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
