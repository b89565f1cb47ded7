"""Files that are read where they are, in parts."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

from SciServer.core.errors import ServiceError
from SciServer.core.wire import Answer, Operation, Request

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from SciServer.core.asynchronous import AsyncDriver
    from SciServer.core.blocking import BlockingDriver

PART = 4 * 1024 * 1024
"""Bytes that are fetched at once."""


class Remote:
    """A file of a service, as it was when it was opened.

    Attributes
    ----------
    size
        Bytes.
    """

    def __init__(self, request: Request, size: int, tag: str) -> None:
        self._request = request
        self.size = size
        self._tag = tag

    @classmethod
    def opened(cls, request: Request) -> Operation[Remote]:
        """The file whose content `request` asks for."""
        answer: Answer
        try:
            answer = yield replace(request, method="HEAD")
        except ServiceError as error:
            # Answers to HEAD have no text that says what is wrong.
            if error.status is not None:
                yield replace(request, headers={"Range": "bytes=0-0"})
            raise
        return cls(request, int(answer.headers["Content-Length"]), answer.headers.get("ETag", ""))

    def read_at(self, position: int, size: int) -> Operation[bytes]:
        """Bytes from `position`, at most `size`.

        Raises
        ------
        ServiceError
            412: the file has changed since it was opened.
        """
        stop = min(position + size, self.size)
        if position >= stop:
            return b""
        headers = {"Range": f"bytes={position}-{stop - 1}"} | ({"If-Match": self._tag} if self._tag else {})
        try:
            answer: Answer = yield replace(self._request, headers=headers)
        except ServiceError as error:
            if error.status == 412:
                raise ServiceError("The file has changed since it was opened: open it again.", status=412) from None
            raise
        return answer.body


class _Raw(io.RawIOBase):
    """Positions and ranges, for `io.BufferedReader`."""

    def __init__(self, remote: Remote, driver: BlockingDriver) -> None:
        self._remote = remote
        self._driver = driver
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._remote.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readall(self) -> bytes:
        # The inherited one asks for 8 KiB at a time.
        data = self._driver.run(self._remote.read_at(self._position, self._remote.size))
        self._position += len(data)
        return data

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._driver.run(self._remote.read_at(self._position, len(view)))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def blocking(remote: Remote, driver: BlockingDriver) -> BinaryIO:
    """A file object, for `pandas.read_csv`, `astropy.io.fits.open` and the like."""
    return cast(BinaryIO, io.BufferedReader(_Raw(remote, driver), PART))


class AsyncFile:
    """A file that is read with coroutines."""

    def __init__(self, remote: Remote, driver: AsyncDriver) -> None:
        self._remote = remote
        self._driver = driver
        self._position = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return self._remote.size

    def seek(self, position: int) -> None:
        """Where the next `read` begins."""
        self._position = position

    async def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`; all that are left if it is negative; none at the end."""
        wanted = self._remote.size if size < 0 else size
        data = await self._driver.run(self._remote.read_at(self._position, wanted))
        self._position += len(data)
        return data
