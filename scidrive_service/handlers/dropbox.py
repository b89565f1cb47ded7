"""SciDrive's Dropbox-style part (contract §4.2 to §4.5, §4.7): ``vospace-2.0/1/…``.

There is one tree for each user, whichever root the address names: ``sandbox`` and ``dropbox`` are the same.
"""

from __future__ import annotations

import datetime
import email.utils
import hashlib
import os
from typing import Any
from urllib.parse import parse_qs

from scidrive_service import paths
from scidrive_service.errors import FileError, Kind
from scidrive_service.files import Person
from scidrive_service.handlers import conditions, content, problems
from scidrive_service.handlers.base import Handler
from scidrive_service.handlers.downloads import Download
from scidrive_service.handlers.problems import Problem
from scidrive_service.handlers.receiving import Receiver
from scidrive_service.paths import Path
from scidrive_service.tree import Entry, Writer
from sciserver_common.handlers import needs
from sciserver_common.scopes import FILES_READ, FILES_SHARE, FILES_WRITE

ROOTS = ("sandbox", "dropbox")

LONGEST_LIST = 25_000
"""Files and folders in one answer."""


def dated(seconds: float) -> str:
    """Seconds since 1970 as Dropbox writes them."""
    try:
        date = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        date = datetime.datetime.fromtimestamp(0, datetime.UTC)
    return email.utils.format_datetime(date)


def human(size: int) -> str:
    """Bytes as people read them."""
    if size < 1024:
        return "1 byte" if size == 1 else f"{size} bytes"
    power = min((size.bit_length() - 1) // 10, 5)
    return f"{size / 1024**power:.1f} {('KB', 'MB', 'GB', 'TB', 'PB')[power - 1]}"


def metadata(entry: Entry, path: Path, root: str) -> dict[str, Any]:
    """A file or folder as Dropbox describes it (contract §4.4)."""
    icon = "folder_public" if entry.is_folder else "table" if content.is_table(entry.name) else "file"
    return {
        "size": human(entry.size),
        "bytes": entry.size,
        # Of the change; JavaScript's numbers hold it exactly.
        "rev": int(entry.modified * 1_000_000),
        "thumb_exists": False,
        "modified": dated(entry.modified),
        "path": "/" + "/".join(path),
        "is_dir": entry.is_folder,
        "icon": icon,
        "root": root,
        "mime_type": "inode/directory" if entry.is_folder else content.media_type(entry.name),
    }


def with_contents(entry: Entry, path: Path, root: str, children: list[Entry]) -> dict[str, Any]:
    """A folder with what is in it."""
    state = hashlib.sha256()
    for child in children:
        state.update(os.fsencode(child.name) + f"\0{child.etag}{child.modified}{child.is_folder}\n".encode())
    return metadata(entry, path, root) | {
        "hash": state.hexdigest()[:32],
        "items": len(children),
        "contents": [metadata(child, (*path, child.name), root) for child in children],
    }


class DropboxHandler(Handler):
    """Base of this part: other errors, and parameters that may stand in a form."""

    def describe(self, error: BaseException | None, status: int) -> dict[str, Any]:
        return problems.dropbox(problems.text_of(error, status))

    def root(self, root: str) -> str:
        """The root's name, which is known."""
        if root.lower() not in ROOTS:
            raise Problem(404, f"There is no such root: use {' or '.join(ROOTS)}.")
        return root.lower()

    def form(self, name: str) -> str | None:
        """A parameter, of the address or of a form in the body; may be a path."""
        values = self.request.query_arguments.get(name)
        if values:
            return os.fsdecode(values[-1])
        if not self.request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            return None
        try:
            fields = parse_qs(self.body().decode(), errors="surrogateescape", max_num_fields=100)
        except ValueError as error:
            raise Problem(400, "The form in the body cannot be read.") from error
        return fields[name][-1] if name in fields else None

    def form_path(self, name: str) -> Path:
        """A parameter that is a path, and must be there."""
        text = self.form(name)
        if text is None:
            raise Problem(400, f"The parameter {name} is missing.")
        return self.path(text)


class Metadata(DropboxHandler):
    """``metadata/{root}/{path}``: a file, or a folder with what is in it."""

    @needs(FILES_READ)
    async def get(self, root: str, path: str | None) -> None:
        """``list=False`` leaves out what is in it; with the ``hash`` of an earlier answer, 304 if it is the same."""
        name, wanted, is_list = self.root(root), self.path(path), self.flag("list", True)

        def look(person: Person) -> dict[str, Any]:
            drive = self.files.drive(person)
            entry = drive.stat(wanted)
            if not entry.is_folder or not is_list:
                return metadata(entry, wanted, name)
            children = drive.list(wanted)
            if len(children) > LONGEST_LIST:
                raise FileError(f"More than {LONGEST_LIST} files are in the folder.", Kind.TOO_LARGE)
            return with_contents(entry, wanted, name, children)

        found = await self.run(look, self.person)
        if found.get("hash") and found["hash"] == self.parameter("hash"):
            self.set_status(304)
            await self.finish()
            return
        self.answer(found)


class FilesPut(DropboxHandler, Receiver):
    """``files_put/{root}/{path}``: upload a file."""

    @needs(FILES_WRITE)
    async def put(self, root: str, path: str | None) -> None:
        """Make or replace it. Folders above it are made."""
        entry = await self.received()
        self.set_header("ETag", conditions.entity_tag(entry))
        self.answer(metadata(entry, self.path(path), self.root(root)))

    def begin(self, size: int | None) -> Writer:
        self.root(self.path_kwargs["root"])
        return self.files.drive(self.person).create(
            self.path(self.path_kwargs["path"]),
            overwrite=self.flag("overwrite", True),
            check=conditions.of_write(self.request.headers),
            size=size,
        )


class Files(DropboxHandler, Download):
    """``files/{root}/{path}``: download a file."""

    @needs(FILES_READ)
    async def get(self, root: str, path: str | None) -> None:
        self.root(root)
        person, wanted = self.person, self.path(path)
        await self.send_file(lambda: self.files.drive(person).open(wanted))

    @needs(FILES_READ)
    async def head(self, root: str, path: str | None) -> None:
        await self.get(root, path)


class Media(DropboxHandler):
    """``media/{root}/{path}``: an address that anybody can open for some hours.

    It needs no more than reading: whoever may read a file can hand on what is in it. Also of a folder, which the
    address opens as an archive.
    """

    @needs(FILES_READ)
    async def get(self, root: str, path: str | None) -> None:
        await self.link(root, path, self.parts.link_hours * 3600)

    @needs(FILES_READ)
    async def post(self, root: str, path: str | None) -> None:
        await self.get(root, path)

    async def link(self, root: str, path: str | None, seconds: float) -> None:
        """Answer with a link."""
        self.root(root)
        wanted = self.path(path)

        def make(person: Person) -> tuple[str, datetime.datetime]:
            drive = self.files.drive(person)
            drive.stat(wanted)
            return self.files.make_link(person, drive, wanted, seconds)

        number, expires = await self.run(make, self.person)
        name = paths.encoded(wanted[-1:]) or "SciDrive"
        moment = expires.replace(tzinfo=expires.tzinfo or datetime.UTC)
        self.answer({"url": f"{self.base_url}/media/{number}/{name}", "expires": dated(moment.timestamp())})


class Shares(Media):
    """``shares/{root}/{path}``: an address that anybody can open, for long."""

    @needs(FILES_SHARE)
    async def get(self, root: str, path: str | None) -> None:
        await self.link(root, path, self.parts.longest_link_days * 86_400)

    @needs(FILES_SHARE)
    async def post(self, root: str, path: str | None) -> None:
        await self.get(root, path)


class FileOperation(DropboxHandler):
    """``fileops/{operation}``."""

    @needs(FILES_WRITE)
    async def post(self, operation: str) -> None:
        """``copy`` and ``move`` with ``from_path`` and ``to_path``; ``create_folder`` and ``delete`` with ``path``."""
        name = self.root(self.form("root") or ROOTS[0])
        act = {
            "copy": self._copy,
            "move": self._move,
            "create_folder": self._create_folder,
            "delete": self._delete,
        }.get(operation)
        if act is None:
            raise Problem(404, "There is no such operation: use copy, move, create_folder or delete.")
        path, entry = await self.run_long(act, self.person)
        answer = metadata(entry, path, name)
        self.answer(answer | {"is_deleted": True} if operation == "delete" else answer)

    @needs(FILES_WRITE)
    async def put(self, operation: str) -> None:
        await self.post(operation)

    def _copy(self, person: Person) -> tuple[Path, Entry]:
        source, target = self.form_path("from_path"), self.form_path("to_path")
        drive = self.files.drive(person)
        return target, drive.copy(source, drive, target, overwrite=False)

    def _move(self, person: Person) -> tuple[Path, Entry]:
        source, target = self.form_path("from_path"), self.form_path("to_path")
        return target, self.files.drive(person).move(source, target, overwrite=False)

    def _create_folder(self, person: Person) -> tuple[Path, Entry]:
        path, drive = self.form_path("path"), self.files.drive(person)
        if not drive.make_folder(path):
            raise FileError("There is a folder of that name already.", Kind.EXISTS)
        return path, drive.stat(path)

    def _delete(self, person: Person) -> tuple[Path, Entry]:
        path, drive = self.form_path("path"), self.files.drive(person)
        if not path:
            raise FileError("SciDrive itself cannot be removed.", Kind.FORBIDDEN)
        entry = drive.stat(path)
        drive.remove(path)
        return path, entry


class Account(DropboxHandler):
    """``account/info``: who somebody is, and how much they have."""

    @needs(FILES_READ)
    async def get(self) -> None:
        used, quota = await self.run(self.files.drive_quota, self.person)
        name = self.person.name
        self.answer(
            {
                "uid": name,
                "display_name": name,
                "referral_link": "",
                "country": "",
                "quota_info": {"normal": used, "shared": 0, "quota": quota},
            }
        )


class Search(DropboxHandler):
    """``search/{root}/{path}``: files and folders by a part of their names."""

    ends_with_client = True

    @needs(FILES_READ)
    async def get(self, root: str, path: str | None) -> None:
        """``query``: words that must all be in the name, in any case of letters."""
        name, wanted = self.root(root), self.path(path)
        query = (self.form("query") or "").strip()
        limit = self.number("file_limit", 1000, lowest=1, highest=1000)
        if not query:
            raise Problem(400, "The parameter query is missing.")

        def look(person: Person) -> list[dict[str, Any]]:
            drive = self.files.drive(person)
            return [metadata(entry, entry.path, name) for entry in drive.search(wanted, query, limit)]

        self.answer(await self.run_long(look, self.person))

    @needs(FILES_READ)
    async def post(self, root: str, path: str | None) -> None:
        await self.get(root, path)
