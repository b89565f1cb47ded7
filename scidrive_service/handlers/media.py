"""Addresses that anybody can open who has them, until they expire: ``media/<id>/<name>``."""

from __future__ import annotations

from tornado import web

from scidrive_service.files import OpenVolume
from scidrive_service.handlers import archives
from scidrive_service.handlers.downloads import Download
from scidrive_service.paths import Path
from scidrive_service.tree import Reader
from sciserver_common.handlers import anonymous


class Linked(Download):
    """What the id in the address opens, whatever the name says; of a folder, also a file below it."""

    def _request_summary(self) -> str:
        # Whoever reads the log shall not be able to read the file.
        return f"{self.request.method} {self.hub_auth.base_url}media/… ({self.request.remote_ip})"

    @anonymous
    async def get(self, number: str, path: str | None) -> None:
        """The file; of a folder, a ZIP archive."""
        below = self.path(path)[1:]

        def place() -> tuple[OpenVolume, Path]:
            volume, inner = self.files.open_link(number)
            return volume, (*inner, *below)

        volume, inner = await self.run(place)
        self.set_header("X-Robots-Tag", "noindex")
        if (await self.run(volume.stat, inner)).is_folder:
            await archives.send(self, lambda: (volume, inner), inner[-1:])
            return

        def opened() -> Reader:
            return volume.open(inner)

        await self.send_file(opened)

    @anonymous
    async def head(self, number: str, path: str | None) -> None:
        """As GET, without the content."""
        await self.get(number, path)

    async def prepared(self) -> None:
        await super().prepared()
        if self.request.method not in {"GET", "HEAD"}:
            raise web.HTTPError(405)
