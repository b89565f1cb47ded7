"""Addresses that anybody can open who has them, until they expire: ``media/<id>/<name>``."""

from __future__ import annotations

from scidrive_service.errors import FileError, Kind
from scidrive_service.handlers import archives
from scidrive_service.handlers.downloads import Download
from scidrive_service.local import LocalTree
from scidrive_service.paths import Path
from scidrive_service.tree import Tree
from sciserver_common.handlers import anonymous


class Linked(Download):
    """What the id in the address opens, whatever the name says; of a folder, also a file below it."""

    def _request_summary(self) -> str:
        # Whoever reads the log shall not be able to read the file.
        return f"{self.request.method} {self.hub_auth.base_url}media/… ({self.request.remote_ip})"

    @anonymous
    async def get(self, link: str, path: str | None) -> None:
        """The file; of a folder, a ZIP archive."""
        below = self.path(path)[1:]
        tree, inner, name = await self.run(self._place, link, below)
        self.set_header("X-Robots-Tag", "noindex")
        if name is not None:
            await archives.send(self, lambda: (tree, inner), name)
        else:
            await self.send_file(lambda: tree.open(inner))

    def _place(self, link: str, below: Path) -> tuple[Tree, Path, Path | None]:
        """Where it is, and if it is a folder, its name."""
        volume, path = self.files.open_link(link)
        if not volume.stat(path).is_folder:
            if below:
                raise FileError("The link leads to a file: there is nothing below it.", Kind.MISSING)
            return volume, path, None
        tree: Tree = volume
        inner = (*path, *below)
        if isinstance(volume.tree, LocalTree):
            # What is shared is the folder: a link in it that leads to other places of the volume leads nowhere.
            tree, inner = volume.tree.below(path), below
        return tree, inner, (*path, *below)[-1:] if tree.stat(inner).is_folder else None

    @anonymous
    async def head(self, link: str, path: str | None) -> None:
        """As GET, without the content."""
        await self.get(link, path)
