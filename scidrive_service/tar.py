"""Tar archives (POSIX.1-2017, pax and ustar; GNU's long names), read as they come: at constant memory.

`tarfile` pulls, and keeps extended headers of any size in memory; here the archive is pushed, and comes from somebody
whom nobody trusts. A member's header is still `tarfile`'s to understand.
"""

from __future__ import annotations

import os
import re
import tarfile
from dataclasses import dataclass
from typing import Protocol

from scidrive_service.errors import FileError, Kind

BLOCK = tarfile.BLOCKSIZE

LONGEST_EXTENSION = 64 * 1024
"""Bytes of an extended header, which has names and times of one member."""

_RECORD = re.compile(rb"([1-9][0-9]{0,8}) ([^=]+)=")

_SIZE, _TIME = re.compile(rb"[0-9]{1,18}"), re.compile(rb"-?[0-9]{1,18}(\.[0-9]*)?")

_MARK = bytes(BLOCK)
"""Two of these end an archive; some programs write one only."""

_LONG_NAME, _LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
_EXTENSIONS = {tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE, _LONG_NAME, _LONG_LINK}
_SPARSE_CONTINUES, _EXTENSION_CONTINUES = 482, 504
"""Where GNU's old form of sparse files says that another block follows, in the header and in such a block."""

_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}
_TAKEN = {*_FILES, tarfile.DIRTYPE}
_NAMED = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True)
class Member:
    """One file or folder, as the archive has it.

    Attributes
    ----------
    name
        As it is written, with whatever bytes; surrogate escapes stand for those that are not UTF-8.
    size
        Bytes of content that follow.
    modified
        Seconds since 1970.
    refusal
        What it is, if it is neither a file nor a folder: "a device".
    """

    name: str
    size: int
    modified: float
    is_folder: bool
    refusal: str | None


class Sink(Protocol):
    """Where members go."""

    def begin(self, member: Member) -> None:
        """The next one."""

    def data(self, piece: memoryview) -> None:
        """More of its content."""

    def end(self) -> None:
        """Its content is complete."""


class TarReader:
    """Takes an archive piece by piece.

    Attributes
    ----------
    name
        Of the member that is coming, or came last; empty: none yet.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._block = bytearray()
        self._left = self._padding = 0
        self._extension: tuple[bytes, bytearray] | None = None
        self._pax: dict[bytes, bytes] = {}
        self._long_name: bytes | None = None
        self._sparse: Member | None = None
        self._has_ended = False
        self.name = ""

    def feed(self, data: memoryview) -> None:
        """The next bytes of the archive.

        Raises
        ------
        FileError
            NAME: it is no tar archive, or one that cannot be read.
        """
        while data:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                self._left -= len(piece)
                if self._extension is not None:
                    self._extension[1].extend(piece)
                else:
                    self._sink.data(piece)
                if not self._left:
                    self._content_ended()
            elif self._padding:
                skipped = min(self._padding, len(data))
                self._padding -= skipped
                data = data[skipped:]
            else:
                needed = BLOCK - len(self._block)
                self._block += data[:needed]
                data = data[needed:]
                if len(self._block) == BLOCK:
                    block, self._block = bytes(self._block), bytearray()
                    self._take(block)

    def close(self) -> None:
        """All has come.

        Raises
        ------
        FileError
            NAME: the end is missing.
        """
        if not self._has_ended or self._block:
            where = f" It breaks off at {self.name!r}." if self.name else ""
            raise FileError(f"The archive has no end: was it cut, or is it no tar archive?{where}", Kind.NAME)

    # --

    def _take(self, block: bytes) -> None:
        """A block that is no content."""
        if self._sparse is not None:
            if not block[_EXTENSION_CONTINUES]:
                member, self._sparse = self._sparse, None
                self._begin(member)
        elif block == _MARK:
            if self._pax or self._long_name is not None:
                raise FileError("The archive ends where it announced another file.", Kind.NAME)
            self._has_ended = True
        elif self._has_ended:
            raise FileError("Something follows the archive's end. Send one archive at a time.", Kind.NAME)
        else:
            self._header(block)

    def _header(self, block: bytes) -> None:
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            where = f"after {self.name!r}" if self.name else "at its begin"
            raise FileError(f"This is no tar archive, or it is damaged {where}.", Kind.NAME) from error
        if info.size < 0:
            raise FileError(f"The archive is damaged: {info.name!r} has a size below nothing.", Kind.NAME)
        if info.type in _EXTENSIONS:
            if info.size > LONGEST_EXTENSION:
                raise FileError(f"A header in the archive is longer than {LONGEST_EXTENSION} bytes.", Kind.NAME)
            self._extension = (info.type, bytearray())
            self._expect(info.size)
            return
        member = self._member(info)
        if info.type == tarfile.GNUTYPE_SPARSE and block[_SPARSE_CONTINUES]:
            self._sparse = member
        else:
            self._begin(member)

    def _member(self, info: tarfile.TarInfo) -> Member:
        """What a header and those before it say."""
        pax, self._pax = self._pax, {}
        long_name, self._long_name = self._long_name, None
        name, size, modified = info.name, info.size, float(info.mtime)
        if long_name is not None:
            name = os.fsdecode(long_name.rstrip(b"\0"))
        if b"path" in pax:
            name = os.fsdecode(pax[b"path"])
        if (b"size" in pax and not _SIZE.fullmatch(pax[b"size"])) or not _TIME.fullmatch(pax.get(b"mtime", b"0")):
            raise FileError(f"The archive is damaged: a header of {name!r} cannot be read.", Kind.NAME)
        size, modified = int(pax.get(b"size", size)), float(pax.get(b"mtime", modified))
        refusal = _NAMED.get(info.type, "neither a file nor a folder") if info.type not in _TAKEN else None
        if any(key.startswith(b"GNU.sparse.") for key in pax):
            refusal = _NAMED[tarfile.GNUTYPE_SPARSE]
        return Member(name, size if _has_content(info.type) else 0, modified, info.type == tarfile.DIRTYPE, refusal)

    def _begin(self, member: Member) -> None:
        self.name = member.name
        self._sink.begin(member)
        self._expect(member.size)

    def _expect(self, size: int) -> None:
        self._left, self._padding = size, -size % BLOCK
        if not size:
            self._content_ended()

    def _content_ended(self) -> None:
        extension, self._extension = self._extension, None
        if extension is None:
            self._sink.end()
        elif extension[0] == _LONG_NAME:
            self._long_name = bytes(extension[1])
        elif extension[0] != _LONG_LINK:
            records = _records(bytes(extension[1]))
            if extension[0] != tarfile.XGLTYPE:
                self._pax = records
            elif any(key in {b"path", b"size"} or key.startswith(b"GNU.sparse.") for key in records):
                raise FileError("A header of the archive gives all files one name or size.", Kind.NAME)


def _has_content(kind: bytes) -> bool:
    """Links and folders have none, whatever their headers say of a size; of kinds that nobody knows it is believed."""
    return kind in _FILES or kind == tarfile.GNUTYPE_SPARSE or kind not in tarfile.SUPPORTED_TYPES


def _records(data: bytes) -> dict[bytes, bytes]:
    """Of an extended header: ``<length> <key>=<value>`` and a newline each.

    Raises
    ------
    FileError
        NAME: they are of another form.
    """
    records, position = {}, 0
    data = data.rstrip(b"\0")
    while position < len(data):
        found = _RECORD.match(data, position)
        end = position + int(found.group(1)) if found else 0
        if found is None or not found.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            raise FileError("An extended header of the archive cannot be read.", Kind.NAME)
        records[found.group(2)] = data[found.end() : end - 1]
        position = end
    return records
