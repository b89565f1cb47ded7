"""One checkpoint for each file, where Jupyter keeps them on disk too: beside the file, in a hidden folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from jupyter_server.services.contents.checkpoints import AsyncCheckpoints
from SciServer.server.problems import Problem
from tornado import web

if TYPE_CHECKING:
    from jupyter_scidrive.contents import SciDriveContents
    from jupyter_scidrive.drive import Drive, Entry

FOLDER = ".ipynb_checkpoints"
ID = "checkpoint"


class SciDriveCheckpoints(AsyncCheckpoints):
    """Checkpoints as copies at the service."""

    @property
    def drive(self) -> Drive:
        """The parent's."""
        contents: Any = self.parent
        drive: Drive = contents.drive
        return drive

    async def create_checkpoint(self, contents_mgr: SciDriveContents, path: str) -> dict[str, Any]:
        """Copy the file to its checkpoint."""
        place = place_of(path)
        await self._clear(place)
        await self.drive.copy(path.strip("/"), place)
        return _model(await self.drive.stat(place))

    async def restore_checkpoint(self, contents_mgr: SciDriveContents, checkpoint_id: str, path: str) -> None:
        """Give the file the checkpoint's content; it changes at once or not at all."""
        data, _ = await self.drive.read(self._known(checkpoint_id, path))
        await self.drive.write(path.strip("/"), data)

    async def rename_checkpoint(self, checkpoint_id: str, old_path: str, new_path: str) -> None:
        """Follow the file."""
        place = place_of(new_path)
        await self._clear(place)
        with _may_be_gone():
            await self.drive.move(self._known(checkpoint_id, old_path), place)

    async def delete_checkpoint(self, checkpoint_id: str, path: str) -> None:
        """Remove it."""
        await self.drive.remove(self._known(checkpoint_id, path))

    async def delete_all_checkpoints(self, path: str) -> None:
        """Remove what there is, when the file itself is deleted."""
        await self._clear(place_of(path))

    async def list_checkpoints(self, path: str) -> list[dict[str, Any]]:
        """None, or the one."""
        entry = await self.drive.find(place_of(path))
        return [] if entry is None else [_model(entry)]

    async def _clear(self, place: str) -> None:
        if await self.drive.find(place) is not None:
            with _may_be_gone():
                await self.drive.remove(place)

    @staticmethod
    def _known(checkpoint_id: str, path: str) -> str:
        if checkpoint_id != ID:
            raise web.HTTPError(HTTPStatus.NOT_FOUND, "There is no such checkpoint.")
        return place_of(path)


@contextmanager
def _may_be_gone() -> Iterator[None]:
    """JupyterLab renames a file while it makes a checkpoint of it: the one before may go between two requests."""
    try:
        yield
    except Problem as problem:
        if problem.status_code != HTTPStatus.NOT_FOUND:
            raise


def place_of(path: str) -> str:
    """Where a file's checkpoint is."""
    file = PurePosixPath(path.strip("/"))
    return str(file.parent / FOLDER / f"{file.stem}-{ID}{file.suffix}")


def _model(entry: Entry) -> dict[str, Any]:
    return {"id": ID, "last_modified": entry.modified}
