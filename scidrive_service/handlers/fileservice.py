"""The file service's files and folders (contract §5): ``fileservice/api/…``."""

from __future__ import annotations

import base64
import http
import json
from typing import Any

from scidrive_service.errors import FileError, Kind
from scidrive_service.files import Action, OpenVolume, Person
from scidrive_service.handlers import archives, conditions
from scidrive_service.handlers.base import Handler
from scidrive_service.handlers.downloads import Download
from scidrive_service.handlers.listing import Listing
from scidrive_service.handlers.problems import Problem
from scidrive_service.handlers.receiving import Receiver
from scidrive_service.paths import Path, parse
from scidrive_service.tree import Entry, Reader, Writer
from sciserver_common.handlers import needs
from sciserver_common.requests import MEBIBYTE
from sciserver_common.scopes import FILES_READ, FILES_WRITE

MANY = 100
"""Files in one answer of ``multiple-file``."""

LARGEST = 4 * MEBIBYTE
"""Bytes of one of them."""


class File(Download, Receiver):
    """``api/file/<path>``: one file."""

    @needs(FILES_READ)
    async def get(self, path: str | None) -> None:
        """Its content; a folder as a ZIP archive with ``?format=zip``."""
        if (self.parameter("format") or "").lower() == "zip":
            person, wanted = self.person, self.path(path)
            await archives.send(self, lambda: self.files.service_path(person, wanted, Action.READ), wanted[-1:])
            return
        await self.send_file(self._opener(path))

    @needs(FILES_READ)
    async def head(self, path: str | None) -> None:
        """As GET, without the content."""
        await self.send_file(self._opener(path))

    def _opener(self, path: str | None) -> Any:
        person, wanted = self.person, self.path(path)

        def opened() -> Reader:
            volume, inner = self.files.service_path(person, wanted, Action.READ)
            return volume.open(inner)

        return opened

    @needs(FILES_WRITE)
    async def put(self, path: str | None) -> None:
        """Make or replace it. Folders above it are made."""
        entry = await self.received()
        self.set_header("ETag", conditions.entity_tag(entry))
        self.answer({"status": "success", "path": "/".join(self.path(path)), **described(entry)})

    def write_new(self, data: bytearray) -> Entry | None:
        if conditions.of_write(self.request.headers) is not None:
            return None
        volume, path = self._target()
        return volume.write_new(path, data)

    def begin(self, size: int | None) -> Writer:
        volume, path = self._target()
        return volume.create(
            path, overwrite=self.flag("quiet", True), check=conditions.of_write(self.request.headers), size=size
        )

    def _target(self) -> tuple[OpenVolume, Path]:
        return self.files.service_path(self.person, self.path(self.path_kwargs["path"]), Action.WRITE)


def described(entry: Entry) -> dict[str, Any]:
    """A file, as answers to uploads tell of it."""
    return {"name": entry.name, "size": entry.size, "etag": entry.etag}


class Folder(Handler):
    """``api/folder/<path>``."""

    @needs(FILES_WRITE)
    async def put(self, path: str | None) -> None:
        """Make it, and those above it."""
        quiet, wanted = self.flag("quiet", False), self.path(path)

        def make(person: Person) -> None:
            volume, inner = self.files.service_path(person, wanted, Action.WRITE)
            if not volume.make_folder(inner) and not quiet:
                raise FileError("There is a folder of that name already.", Kind.EXISTS)

        await self.run(make, self.person)
        self.answer({"status": "success", "path": "/".join(wanted)})


class Tree(Handler):
    """``api/jsontree/<path>``: what is in a folder."""

    ends_with_client = True

    @needs(FILES_READ)
    async def get(self, path: str | None) -> None:
        """``level`` says how deep, ``options`` is a pattern of names."""
        wanted, level = self.path(path), self.number("level", 2, lowest=0, highest=1000)
        pattern = self.parameter("options") or ""

        def listed(person: Person) -> str:
            volume, inner = self.files.service_path(person, wanted, Action.READ)
            return Listing(volume, pattern).write(inner, wanted[-1], level)

        root = await self.run_long(listed, self.person)
        self.finish(f'{{"queryPath":{json.dumps("/".join(wanted))},"root":{root}}}')


class Data(Handler):
    """``api/data/<path>``: a file or a folder with all that is in it."""

    @needs(FILES_WRITE)
    async def put(self, path: str | None) -> None:
        """Copy it, or move it with ``doCopy=False``."""
        replace, is_copy = self.flag("replaceExisting", False), self.flag("doCopy", True)
        source, body = self.path(path), self.json_object()
        self._is_our_service(body.get("destinationFileService"))

        def carry(person: Person) -> Path:
            target = self._destination(person, body)
            wanted = (Action.READ,) if is_copy else (Action.READ, Action.DELETE)
            volume, inner = self.files.service_path(person, source, *wanted)
            other, to = self.files.service_path(person, target, Action.WRITE)
            (volume.copy if is_copy else volume.move_to)(inner, other, to, overwrite=replace)
            return target

        target = await self.run_long(carry, self.person)
        self.answer({"status": "success", "path": "/".join(target)})

    def _is_our_service(self, wanted: Any) -> None:
        # The client sends the whole description of the service when the source's was given by its name.
        name = wanted.get("name") if isinstance(wanted, dict) else wanted
        known = {None, "", self.parts.service_name, self.parts.service_id, f"{self.base_url}/fileservice/"}
        if not isinstance(name, str | None) or name not in known:
            raise Problem(404, "There is no such file service.", hint=f"There is: {self.parts.service_name}.")

    def _destination(self, person: Person, body: dict[str, Any]) -> Path:
        """Where it goes. The client chooses the body's shape by the source, whatever it is (contract §5.3)."""
        values = {}
        for key in ("RootVolume", "OwnerName", "UserVolume", "DataVolume", "Path"):
            value = body.get(f"destination{key}")
            if value is not None and not isinstance(value, str):
                raise Problem(400, f"destination{key} must be a text.")
            values[key] = value or ""
        inner = parse(values["Path"])
        if values["RootVolume"] and values["OwnerName"]:
            # Somebody's SciDrive has no third name.
            return (*parse("/".join(values[key] for key in ("RootVolume", "OwnerName", "UserVolume"))), *inner)
        name = values["DataVolume"] or values["RootVolume"]
        if not name:
            raise Problem(400, "The destination is missing: send destinationRootVolume and the like.")
        if name in self.files.root_names(person):
            raise Problem(
                400,
                "Of the destination only the root volume came, not the owner and the volume: SciScript-Python cannot "
                "copy from a data volume to a user volume.",
                hint="Download the file and upload it.",
            )
        return (*parse(name), *inner)

    @needs(FILES_WRITE)
    async def delete(self, path: str | None) -> None:
        """Remove it."""
        quiet, wanted = self.flag("quiet", False), self.path(path)

        def remove(person: Person) -> None:
            volume, inner = self.files.service_path(person, wanted, Action.DELETE)
            try:
                volume.remove(inner)
            except FileError as error:
                if error.kind is not Kind.MISSING or not quiet:
                    raise

        await self.run_long(remove, self.person)
        self.answer({"status": "success"})


class MultipleFiles(Handler):
    """``api/multiple-file/``: several small files in one answer, in base64."""

    ends_with_client = True

    @needs(FILES_READ)
    async def post(self) -> None:
        """The body: ``[{"filePath": …, "etag": …, "maxSize": …}, …]``."""
        items = self.json_body()
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Problem(400, 'The body is no list of objects such as {"filePath": "…"}.')
        if len(items) > MANY:
            raise Problem(400, f"At most {MANY} files can be asked for at once.")
        person = self.person
        # One file in memory at a time, not all of them.
        self.write('{"statusCode":"OK","fileDataResponse":[')
        for number, item in enumerate(items):
            answer = await self.run(self._one, person, item)
            self.write("," * bool(number) + json.dumps(answer))
            await self.flush()
        await self.finish("]}")

    def _one(self, person: Person, item: dict[str, Any]) -> dict[str, Any]:
        name = item.get("filePath")
        largest = item.get("maxSize")
        limit = min(LARGEST, largest if isinstance(largest, int) and largest > 0 else LARGEST)
        answer = {"filePath": name, "statusCode": "OK", "data": None, "error": None}
        try:
            if not isinstance(name, str):
                raise FileError("filePath is missing.", Kind.NAME)
            volume, path = self.files.service_path(person, parse(name), Action.READ)
            reader = volume.open(path)
            try:
                if item.get("etag") and str(item["etag"]).strip('"') == reader.entry.etag:
                    return answer | {"statusCode": http.HTTPStatus.NOT_MODIFIED.name}
                if reader.entry.size > limit:
                    raise FileError("The file is too large for this.", Kind.TOO_LARGE)
                data = reader.read(0, limit)
                return answer | {"data": base64.b64encode(data).decode(), "etag": conditions.entity_tag(reader.entry)}
            finally:
                reader.close()
        except FileError as error:
            return answer | {"statusCode": http.HTTPStatus(error.status).name, "error": str(error)}
