"""Large files, as JupyterLab sends them: numbered pieces of one file, each a request of its own."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from SciServer.server.problems import Problem

from jupyter_scidrive.drive import Drive, Entry

LAST = -1
"""Number of the last piece; the others are counted from 1."""


@dataclass
class _Upload:
    number: str
    next_piece: int
    offset: int


class Uploads:
    """The uploads that are under way. The service keeps the pieces; the file appears with the last one, whole."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self._uploads: dict[str, _Upload] = {}

    async def add(self, path: str, piece: int, data: bytes) -> Entry | None:
        """Take a piece of the file that will be at `path`; the file, if it was the last one.

        Raises
        ------
        Problem
            409: the piece is not the next one. What has come so far is kept until the upload begins anew.
        """
        if piece == 1:
            await self._begin(path, data)
            return None
        upload = self._uploads.get(path)
        if upload is None or piece not in (LAST, upload.next_piece):
            raise Problem(
                HTTPStatus.CONFLICT,
                f"A piece of {path} is missing, maybe because this server was restarted: upload the file again.",
                "upload",
            )
        await self._drive.append(upload.number, upload.offset, data)
        upload.offset += len(data)
        upload.next_piece += 1
        if piece != LAST:
            return None
        del self._uploads[path]
        return await self._drive.commit(upload.number, path)

    async def _begin(self, path: str, data: bytes) -> None:
        left = self._uploads.pop(path, None)
        if left is not None:
            try:
                await self._drive.drop(left.number)
            except Problem:
                # The service removes it by itself after some time.
                pass
        self._uploads[path] = _Upload(await self._drive.begin(data), 2, len(data))
