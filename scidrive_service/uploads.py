"""Uploads in parts: what has come is kept until the rest comes, also when the service ends in between.

An upload is two files in the service's own directory: its content so far, whose length is how far it has come, and a
small JSON file that says whose it is, written once and whole. Nothing else has to survive.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import pathlib
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from scidrive_service.errors import FileError, Kind
from scidrive_service.tree import Entry, Writer

_ID = re.compile(r"[A-Za-z0-9_-]{32}")
_CHUNK = 1 << 20


@dataclass
class OffsetError(FileError):
    """A part that does not belong where the upload is.

    Attributes
    ----------
    offset
        Where it is: the next part begins there.
    """

    offset: int = 0


@dataclass(frozen=True)
class Upload:
    """How far an upload has come. Times are seconds since 1970.

    `note` is what `Uploads.begin` was given.
    """

    id: str
    offset: int
    started: float
    expires: float
    note: dict[str, Any] = field(default_factory=dict)


class Uploads:
    """Uploads in parts, of all users.

    Parameters
    ----------
    directory
        The service's own; made if need be.
    days
        An upload that no part came for is removed after so many days.
    bytes_each, number_each
        What one user's uploads may take together; they do not count for any quota before they are finished.
    """

    def __init__(
        self, directory: pathlib.Path, days: float, *, bytes_each: int | None = None, number_each: int = 100
    ) -> None:
        self._directory = directory
        self._seconds = days * 86_400
        self._bytes_each = bytes_each
        self._number_each = number_each
        with _told():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def begin(self, owner: str, note: dict[str, Any] | None = None) -> str:
        """Begin one.

        Parameters
        ----------
        note
            What the door wants to know when it goes on; JSON.

        Returns
        -------
        str
            Its id, which cannot be guessed.

        Raises
        ------
        FileError
            FULL: the user has too many that are not finished.
        """
        folder = self._folder(owner)
        with _told():
            folder.mkdir(mode=0o700, exist_ok=True)
            if sum(1 for _ in folder.glob("*.data")) >= self._number_each:
                raise FileError(
                    f"You have {self._number_each} uploads that are not finished. Finish or drop some of them.",
                    Kind.FULL,
                )
            id = secrets.token_urlsafe(24)
            about = folder / f"{id}.json"
            draft = about.with_suffix(".new")
            draft.write_text(json.dumps({"owner": owner, "started": time.time(), "note": note or {}}))
            draft.rename(about)
            os.close(os.open(about.with_suffix(".data"), os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return id

    def append(self, id: str, owner: str, offset: int, data: bytes | memoryview) -> int:
        """Add a part.

        Returns
        -------
        int
            The new offset.

        Raises
        ------
        OffsetError
            CHANGED: the upload is not at that offset. The same part, sent twice, is refused so, and nothing is lost.
        FileError
            MISSING: there is no such upload of that user. FULL: of the disk, or of what unfinished uploads may take.
        """
        with _told(), self._opened(id, owner) as fd:
            size = os.fstat(fd).st_size
            if size != offset:
                raise OffsetError(
                    f"The upload has come to {size}, not to {offset}. Go on there.", Kind.CHANGED, offset=size
                )
            data = memoryview(data).cast("B")
            if self._bytes_each is not None and self.used(owner) + len(data) > self._bytes_each:
                raise FileError(
                    f"Your uploads that are not finished may take {self._bytes_each} bytes. Finish or drop some.",
                    Kind.FULL,
                )
            while data:
                count = os.pwrite(fd, data, offset)
                offset += count
                data = data[count:]
            return offset

    def status(self, id: str, owner: str) -> Upload:
        """Raises FileError MISSING."""
        about = self._about(id, owner)
        with _told():
            seen = about.with_suffix(".data").stat()
            known = self._read(about)
        if not known:
            raise _missing()
        return Upload(
            id, seen.st_size, float(known["started"]), seen.st_mtime + self._seconds, dict(known.get("note") or {})
        )

    def unfinished(self, owner: str) -> list[Upload]:
        """All of a user, the oldest first."""
        found = []
        for data in self._folder(owner).glob("*.data"):
            try:
                found.append(self.status(data.stem, owner))
            except FileError:  # finished or dropped meanwhile
                continue
        return sorted(found, key=lambda upload: upload.started)

    def used(self, owner: str) -> int:
        """Bytes that a user's uploads take."""
        total = 0
        for data in self._folder(owner).glob("*.data"):
            try:
                total += data.stat().st_size
            except FileNotFoundError:
                continue
        return total

    def finish(self, id: str, owner: str, writer: Writer) -> Entry:
        """Copy the content into a file, commit that, and forget the upload.

        Where this fails the file is aborted and the upload stays: it can be finished again, also elsewhere. Where the
        process is killed after the commit it stays as well, and is swept.

        Raises
        ------
        FileError
            As of `append`, and what the writer raises.
        """
        try:
            with _told(), self._opened(id, owner) as fd:
                offset = 0
                while data := os.pread(fd, _CHUNK, offset):
                    writer.write(data)
                    offset += len(data)
                entry = writer.commit()
                self._forget(self._about(id, owner))
                return entry
        finally:
            writer.abort()

    def drop(self, id: str, owner: str) -> None:
        """Forget an upload. Raises FileError MISSING."""
        with _told(), self._opened(id, owner):
            self._forget(self._about(id, owner))

    def sweep(self) -> int:
        """Remove uploads that no part came for in so many days, and what killed processes left; how many they were."""
        before = time.time() - self._seconds
        count = 0
        for file in self._directory.glob("*/*"):
            try:
                if file.stat().st_mtime < before and (
                    file.suffix != ".json" or not file.with_suffix(".data").exists()
                ):
                    file.unlink()
                    if file.suffix == ".data":
                        file.with_suffix(".json").unlink(missing_ok=True)
                        count += 1
            except FileNotFoundError:
                continue
        return count

    def _folder(self, owner: str) -> pathlib.Path:
        return self._directory / hashlib.sha256(owner.encode()).hexdigest()[:32]

    def _about(self, id: str, owner: str) -> pathlib.Path:
        """The JSON file of a user's upload."""
        about = self._folder(owner) / f"{id}.json"
        if not _ID.fullmatch(id) or self._read(about).get("owner") != owner:
            raise _missing()
        return about

    @staticmethod
    def _read(about: pathlib.Path) -> dict[str, Any]:
        try:
            return dict(json.loads(about.read_text()))
        except FileNotFoundError:
            return {}

    @staticmethod
    def _forget(about: pathlib.Path) -> None:
        about.with_suffix(".data").unlink(missing_ok=True)
        about.unlink(missing_ok=True)

    @contextmanager
    def _opened(self, id: str, owner: str) -> Iterator[int]:
        """The content, with every other request for it kept waiting."""
        data = self._about(id, owner).with_suffix(".data")
        try:
            fd = os.open(data, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise _missing() from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink == 0:  # finished or dropped while this waited
                raise _missing()
            yield fd
        finally:
            os.close(fd)


def _missing() -> FileError:
    return FileError("There is no such upload: it is finished, dropped or too old. Begin a new one.", Kind.MISSING)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise FileError("The service's disk is full. Tell the operator, and go on later.", Kind.FULL) from error
        if error.errno == errno.ENOENT:
            raise _missing() from error
        raise FileError("The service's disk does not answer. Try again later.", Kind.UNAVAILABLE) from error
