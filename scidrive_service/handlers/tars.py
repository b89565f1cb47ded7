"""Many files in one request: ``api/archive/<path>``, a folder as a tar archive."""

from __future__ import annotations

from typing import Any

from scidrive_service.files import Action
from scidrive_service.handlers import archives
from scidrive_service.handlers.problems import Problem
from scidrive_service.handlers.receiving import Receiver
from scidrive_service.tree import Writer
from scidrive_service.unpacking import NotAllMade, Report, Unpacking
from sciserver_common.handlers import needs
from sciserver_common.scopes import FILES_READ, FILES_WRITE


class Archive(Receiver):
    """A folder with all that is in it, down or up."""

    report = Report()

    @needs(FILES_READ)
    async def get(self, path: str | None) -> None:
        """The folder."""
        person, wanted = self.person, self.path(path)
        await archives.send(self, lambda: self.files.service_path(person, wanted, Action.READ), wanted[-1:], "tar")

    @needs(FILES_WRITE)
    async def put(self, path: str | None) -> None:
        """Make the archive's files and folders in the folder, each as if it were uploaded by itself."""
        await self.received()
        self.answer({"status": "success", **self.report.answer()})

    def begin(self, size: int | None) -> Writer:
        if self._digests:
            text = "The digest of an archive cannot be checked before its files are made. Send it without one."
            raise Problem(400, text)
        volume, folder = self.files.service_path(self.person, self.path(self.path_kwargs["path"]), Action.WRITE)
        unpacking = Unpacking(volume, folder, overwrite=self.flag("overwrite", True))
        self.report = unpacking.report
        return unpacking

    def describe(self, error: BaseException | None, status: int) -> dict[str, Any]:
        told = super().describe(error, status)
        return {**told, **error.report.answer()} if isinstance(error, NotAllMade) else told
