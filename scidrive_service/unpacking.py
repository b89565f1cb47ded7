"""Many files in one upload: a tar archive, of which each file is made as if it had been uploaded by itself."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scidrive_service.errors import FileError, Kind
from scidrive_service.paths import Path, parse, shown
from scidrive_service.tar import Member, TarReader
from scidrive_service.tree import DatedWriter, Entry, Writer

if TYPE_CHECKING:
    from scidrive_service.open_volume import OpenVolume

SMALL = 256 * 1024
"""Bytes of a file that is kept until it is whole, and then written in one go."""

MEMBERS = 1_000_000
"""In one archive."""

FAILURES = 200
"""After so many nothing more is tried: what is told of them has its place in memory."""

PIECE = 256 * 1024
"""Bytes that are uncompressed at once."""

_INPUT = 16 * 1024

RATIO, BEFORE = 200, 256 * 1024 * 1024
"""An archive may be so many times as large as it is compressed, if it is larger than `BEFORE` bytes. Real data do not
come near it; what is made to fill disks does."""

_SHOWN = 500
"""Characters of a name in the report."""

_LATEST = 9e9
"""In the year 2255: nanoseconds since 1970 fit into 64 bits."""

_FINAL = {Kind.FULL, Kind.UNAVAILABLE}
"""After these the files that follow would fare no better."""


@dataclass
class Report:
    """What became of an archive.

    Attributes
    ----------
    files, folders, bytes
        What was made, or is there as the archive has it.
    failed
        What was not, and why: ``path``, ``error``, ``status``.
    last
        The last one that was looked at, as the archive names it. All up to it were made, but for those in `failed`.
    is_complete
        The archive was read to its end.
    """

    files: int = 0
    folders: int = 0
    bytes: int = 0
    failed: list[dict[str, Any]] = field(default_factory=list)
    last: str = ""
    is_complete: bool = False

    def answer(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "files": self.files,
            "folders": self.folders,
            "bytes": self.bytes,
            "failed": self.failed,
            "last": self.last,
            "isComplete": self.is_complete,
        }


class NotAllMade(FileError):
    """Something of an archive was not made.

    Attributes
    ----------
    report
        What was, and what was not.
    """

    def __init__(self, message: str, kind: Kind, report: Report) -> None:
        super().__init__(message, kind)
        self.report = report


class Unpacking:
    """Takes an archive piece by piece, like a `tree.Writer`.

    Each file appears whole or not at all, with a hash, counted and checked as a single upload is. If the archive
    breaks off, what was whole by then stays.

    Parameters
    ----------
    folder
        Where it goes; made if it is missing.
    overwrite
        False: files that are there already stay, and are reported.
    """

    def __init__(self, volume: OpenVolume, folder: Path, *, overwrite: bool) -> None:
        self._volume, self._folder, self._overwrite = volume, folder, overwrite
        self._reader = TarReader(self)
        self._plain: Gunzip | bool | None = None
        self._path: Path = ()
        self._member: Member | None = None
        self._buffer = bytearray()
        self._writer: Writer | None = None
        self._count = 0
        self.report = Report()
        if folder:
            volume.make_folder(folder)

    # -- as a writer

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes of the archive.

        Raises
        ------
        NotAllMade
            It cannot be read, or nothing more can be made. All that is whole stays.
        """
        try:
            piece = memoryview(data).cast("B")
            if not piece:
                return
            if self._plain is None:
                self._plain = Gunzip() if piece[0] == 0x1F else True
            if isinstance(self._plain, Gunzip):
                for part in self._plain.pieces(piece):
                    self._reader.feed(part)
            else:
                self._reader.feed(piece)
        except FileError as error:
            self.abort()
            raise self._told(error) from error

    def commit(self) -> Entry:
        """All has come: the folder.

        Raises
        ------
        NotAllMade
            Something was not made; all else was.
        """
        try:
            if isinstance(self._plain, Gunzip):
                self._plain.close()
            self._reader.close()
        except FileError as error:
            self.abort()
            raise self._told(error) from error
        self.report.is_complete = True
        if self.report.failed:
            number = len(self.report.failed)
            text = f"{number} of {self._count} in the archive were not made: see failed. All others were."
            raise NotAllMade(text, Kind.EXISTS, self.report)
        return self._volume.stat(self._folder)

    def abort(self) -> None:
        """What is not whole is forgotten."""
        writer, self._writer = self._writer, None
        self._member, self._buffer = None, bytearray()
        if writer is not None:
            writer.abort()

    def _told(self, error: FileError) -> FileError:
        if isinstance(error, NotAllMade):
            return error
        return NotAllMade(f"{error.message} What came before it was made.", error.kind, self.report)

    # -- as the sink of the archive's members

    def begin(self, member: Member) -> None:
        """See `tar.Sink`."""
        self._count += 1
        self.report.last = shown((member.name[:_SHOWN],))
        if self._count > MEMBERS:
            text = f"An archive may have {MEMBERS:,} files and folders. Send the rest in another one."
            raise FileError(text, Kind.TOO_LARGE)
        self._member = None
        try:
            if member.refusal is not None:
                text = f"This is {member.refusal}. Only files and folders are taken."
                raise FileError(text, Kind.UNSAFE)
            self._path = self._folder + _inside(member.name)
            if member.is_folder:
                if self._path:
                    self._volume.make_folder(self._path)
                self.report.folders += 1
                return
            if self._path == self._folder:
                raise FileError("A file in the archive has no name.", Kind.NAME)
            if member.size > SMALL:
                self._writer = self._volume.create(self._path, overwrite=self._overwrite, size=member.size)
            self._member = member
        except FileError as error:
            self._failed(error)

    def data(self, piece: memoryview) -> None:
        """See `tar.Sink`."""
        if self._member is None:
            return
        if self._writer is None:
            self._buffer += piece
            return
        try:
            self._writer.write(piece)
        except FileError as error:
            self._failed(error)

    def end(self) -> None:
        """See `tar.Sink`."""
        member = self._member
        if member is None:
            return
        try:
            self._store(member)
        except FileError as error:
            self._failed(error)
        else:
            self.report.files += 1
            self.report.bytes += member.size
        self.abort()

    def _store(self, member: Member) -> None:
        modified = min(member.modified, _LATEST) if math.isfinite(member.modified) and member.modified >= 0 else None
        writer = self._writer
        if writer is None:
            if self._volume.write_new(self._path, self._buffer, modified) is not None:
                return
            writer = self._writer = self._volume.create(self._path, overwrite=self._overwrite, size=member.size)
            writer.write(memoryview(self._buffer))
        if modified is not None and isinstance(writer, DatedWriter):
            writer.modified = modified
        writer.commit()

    def _failed(self, error: FileError) -> None:
        self.abort()
        self.report.failed.append({"path": self.report.last, "error": error.message, "status": error.status})
        if error.kind in _FINAL:
            raise error
        if len(self.report.failed) >= FAILURES:
            raise FileError(f"{FAILURES} files could not be made, so no more were tried.", Kind.NAME)


def _inside(name: str) -> Path:
    """The path that a member's name means; programs begin names with ``./``.

    Raises
    ------
    FileError
        NAME: it leads elsewhere, or cannot be.
    """
    if name.startswith("/"):
        raise FileError("The name is absolute. Make the archive with names that are relative.", Kind.NAME)
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return parse("" if name == "." else name)


class Gunzip:
    """Uncompresses gzip (RFC 1952) piece by piece; members one after the other are one stream."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self._came = self._went = 0

    def pieces(self, data: memoryview) -> Iterator[memoryview]:
        """What comes out, in pieces of `PIECE` bytes at most.

        Raises
        ------
        FileError
            NAME: it is not gzip. TOO_LARGE: it is made to become very large.
        """
        # In small pieces, because what an output that is full leaves over is copied each time.
        for start in range(0, len(data), _INPUT):
            yield from self._pieces(data[start : start + _INPUT])

    def _pieces(self, data: memoryview) -> Iterator[memoryview]:
        self._came += len(data)
        rest: bytes | memoryview = data
        while rest:
            if self._stream.eof:
                self._stream = zlib.decompressobj(wbits=31)
            try:
                piece = self._stream.decompress(rest, PIECE)
            except zlib.error as error:
                raise FileError(
                    "The archive is neither plain tar nor tar in gzip, or is damaged.", Kind.NAME
                ) from error
            rest = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            self._went += len(piece)
            if self._went > max(BEFORE, RATIO * self._came):
                text = f"The archive is more than {RATIO} times as large as it is compressed. Send it plain."
                raise FileError(text, Kind.TOO_LARGE)
            if piece:
                yield memoryview(piece)

    def close(self) -> None:
        """Raise FileError NAME if the end is missing."""
        if not self._stream.eof:
            raise FileError("The compressed archive has no end: was it cut?", Kind.NAME)
