"""SciDrive as Jupyter's contents: what the file browser, editors and notebooks of JupyterLab ask of a drive."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Any

from jupyter_server.services.contents.manager import AsyncContentsManager, copy_pat
from SciServer.server.problems import Problem
from traitlets import Integer, default

from jupyter_scidrive import models
from jupyter_scidrive.checkpoints import SciDriveCheckpoints
from jupyter_scidrive.drive import Drive, Entry
from jupyter_scidrive.models import Model
from jupyter_scidrive.uploads import Uploads

MEBIBYTE = 1024 * 1024


class SciDriveContents(AsyncContentsManager):
    """Files of SciDrive, by the names and rules of `jupyter_server`'s contents managers.

    Parameters
    ----------
    drive
        Where they are.
    """

    open_limit = Integer(
        128 * MEBIBYTE,
        help="""Largest file in bytes that is opened in the browser.

        It is in the server's memory several times on its way. Larger files can be downloaded, and read by programs.
        """,
    ).tag(config=True)

    def __init__(self, drive: Drive, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.drive = drive
        self._uploads = Uploads(drive)

    @default("checkpoints_class")
    def _default_checkpoints_class(self) -> type:
        return SciDriveCheckpoints

    def emit(self, data: dict[str, Any]) -> None:
        """Nothing: who listens to Jupyter's events would take the paths for those of the server's own files."""

    # -- what is there

    async def exists(self, path: str) -> bool:
        return await self.drive.find(path.strip("/")) is not None

    async def dir_exists(self, path: str) -> bool:
        entry = await self.drive.find(path.strip("/"))
        return entry is not None and entry.is_folder

    async def file_exists(self, path: str) -> bool:
        entry = await self.drive.find(path.strip("/"))
        return entry is not None and not entry.is_folder

    async def is_hidden(self, path: str) -> bool:
        """Whether a name in the path begins with a dot."""
        return any(name.startswith(".") for name in path.split("/"))

    async def get(
        self,
        path: str,
        content: bool = True,
        type: str | None = None,
        format: str | None = None,
        require_hash: bool = False,
    ) -> Model:
        """A file or folder; see `AsyncContentsManager.get`. The hash is the service's entity tag."""
        path = path.strip("/")
        entry, children = await self.drive.look(path) if content else (await self.drive.stat(path), [])
        kind = models.kind_of(entry, type)
        if kind == "directory":
            model = models.bare(entry, kind)
            if content:
                model |= {"format": "json", "content": [model async for model in self._listed(children)]}
            return model
        if not content:
            return models.bare(replace(entry, tag=await self.drive.tag(path)) if require_hash else entry, kind)
        if entry.size > self.open_limit:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{entry.name} is too large to be opened here: download it, or read it in a notebook.",
                "too-large",
            )
        data, tag = await self.drive.read(path)
        model = models.bare(replace(entry, tag=tag), kind)
        return self._notebook(model, data) if kind == "notebook" else models.with_text(model, data, format)

    async def _listed(self, children: list[Entry]) -> Any:
        for child in children:
            if self.should_list(child.name) and (self.allow_hidden or not child.name.startswith(".")):
                yield models.bare(child, models.kind_of(child, None))

    def _notebook(self, model: Model, data: bytes) -> Model:
        problems: dict[str, Any] = {}
        book = models.notebook(data, model["path"], problems)
        self.mark_trusted_cells(book, model["path"])
        model |= {"content": book, "format": "json"}
        self.validate_notebook_model(model, problems)
        return model

    # -- changes

    async def save(self, model: Model, path: str = "") -> Model:
        """Make or replace what is at `path`; see `AsyncContentsManager.save`. Files may come in pieces (``chunk``)."""
        path, chunk = path.strip("/"), model.get("chunk")
        if chunk in (None, 1):
            self.run_pre_save_hooks(model=model, path=path)
        kind = model.get("type")
        if kind not in {"directory", "notebook", "file"}:
            raise Problem(HTTPStatus.BAD_REQUEST, "The type must be directory, notebook or file.", "contents")
        await self._refuse_hidden(path)
        if kind == "directory":
            return models.bare(await self._folder(path), kind)
        if "content" not in model:
            raise Problem(HTTPStatus.BAD_REQUEST, "The content is missing.", "contents")
        if chunk is not None:
            return await self._piece(path, model, chunk)
        problems: dict[str, Any] = {}
        data = models.data_of(model, problems)
        if kind == "notebook":
            self.check_and_sign(models.node(model), path)
        saved = models.bare(await self.drive.write(path, data), kind)
        if kind == "notebook":
            self.validate_notebook_model(model, problems)
            saved |= {name: model[name] for name in ("message",) if name in model}
        return saved

    async def _folder(self, path: str) -> Entry:
        try:
            return await self.drive.make_folder(path)
        except Problem as problem:
            there = await self.drive.find(path) if problem.status_code == HTTPStatus.CONFLICT else None
            if there is None or not there.is_folder:
                raise
            return there

    async def _piece(self, path: str, model: Model, chunk: Any) -> Model:
        if model["type"] != "file" or not isinstance(chunk, int):
            raise Problem(HTTPStatus.BAD_REQUEST, "Only files come in pieces, which have numbers.", "contents")
        entry = await self._uploads.add(path, chunk, models.data_of(model, {}))
        # Nothing is at the path yet, but the client wants a model.
        return models.bare(entry or models.coming(path), "file")

    async def delete_file(self, path: str) -> None:
        """Remove a file, or a folder with everything in it; there is no trash."""
        await self._refuse_hidden(path)
        await self.drive.remove(path.strip("/"))

    async def rename_file(self, old_path: str, new_path: str) -> None:
        """Rename or move; 409 if something is there."""
        await self._refuse_hidden(old_path, new_path)
        await self.drive.move(old_path.strip("/"), new_path.strip("/"))

    async def copy(self, from_path: str, to_path: str | None = None) -> Model:
        """Copy at the service, folders too; see `AsyncContentsManager.copy` for the new name."""
        source = from_path.strip("/")
        folder, _, name = source.rpartition("/")
        target = folder if to_path is None else to_path.strip("/")
        if await self.dir_exists(target):
            name = await self.increment_filename(copy_pat.sub(".", name), target, insert="-Copy")
            target = f"{target}/{name}".strip("/")
        await self._refuse_hidden(source, target)
        entry = await self.drive.copy(source, target)
        return models.bare(entry, models.kind_of(entry, None))

    async def _refuse_hidden(self, *paths: str) -> None:
        for path in paths:
            if not self.allow_hidden and await self.is_hidden(path):
                raise Problem(
                    HTTPStatus.BAD_REQUEST, f"{path}: names that begin with a dot are hidden here.", "hidden"
                )
