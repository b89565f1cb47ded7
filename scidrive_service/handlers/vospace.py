"""SciDrive's nodes, as VOSpace has them (contract §4.1, §4.6): ``vospace-2.0/nodes/…``.

Bodies are XML. None is parsed: the path is in the address, and all else is the kind of node, which is looked for as
text. So there are no entities to expand, and the client's wrong namespace does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

from scidrive_service import paths
from scidrive_service.errors import FileError, Kind
from scidrive_service.files import Person
from scidrive_service.handlers.base import Handler
from scidrive_service.handlers.listing import iso
from scidrive_service.handlers.problems import Problem
from scidrive_service.paths import Path
from scidrive_service.tree import Entry
from sciserver_common.handlers import needs
from sciserver_common.scopes import FILES_READ, FILES_WRITE

_KIND = re.compile(rb"""[\s:]type\s*=\s*["'](?:[\w.-]+:)?(\w+Node)["']""")

FOLDER, FILES = "ContainerNode", {"DataNode", "UnstructuredDataNode", "StructuredDataNode"}

_PROPERTY = "ivo://ivoa.net/vospace/core#"


class Node(Handler):
    """One file or folder."""

    @needs(FILES_WRITE)
    async def put(self, path: str | None) -> None:
        """Make a folder; with another kind of node in the body, an empty file."""
        wanted, body = self.path(path), self.body()
        found = _KIND.search(body)
        kind = found.group(1).decode() if found else FOLDER
        if kind != FOLDER and kind not in FILES:
            raise Problem(400, "Only ContainerNode and DataNode can be made.")

        def make(person: Person) -> Entry:
            drive = self.files.drive(person)
            if not wanted:
                raise FileError("The root is there already.", Kind.EXISTS)
            if not drive.stat(wanted[:-1]).is_folder:
                raise FileError("What is above it is a file, not a folder.", Kind.NOT_A_FOLDER)
            if kind != FOLDER:
                return drive.create(wanted, overwrite=False, parents=False).commit()
            if not drive.make_folder(wanted, parents=False):
                raise FileError("There is a folder of that name already.", Kind.EXISTS)
            return drive.stat(wanted)

        entry = await self.run(make, self.person)
        self.set_status(201)
        self._answer(entry, wanted, ())

    @needs(FILES_READ)
    async def get(self, path: str | None) -> None:
        """It, and what is in it."""
        wanted = self.path(path)
        limit = self.number("limit", 1_000, lowest=0, highest=10_000)

        def look(person: Person) -> tuple[Entry, list[Entry]]:
            drive = self.files.drive(person)
            entry = drive.stat(wanted)
            return entry, drive.list(wanted)[:limit] if entry.is_folder else []

        entry, children = await self.run(look, self.person)
        self._answer(entry, wanted, children)

    @needs(FILES_WRITE)
    async def delete(self, path: str | None) -> None:
        """Remove it, with all that is in it. The client sends a body, which says nothing more."""
        wanted = self.path(path)
        if not wanted:
            raise Problem(403, "SciDrive itself cannot be removed.")
        await self.run_long(lambda person: self.files.drive(person).remove(wanted), self.person)
        self.set_status(204)
        self.clear_header("Content-Type")
        await self.finish()

    def _answer(self, entry: Entry, path: Path, children: Iterable[Entry]) -> None:
        host = urlsplit(self.parts.deployment.public_url).netloc
        self.set_header("Content-Type", "application/xml")
        self.finish(
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            + _node(
                entry,
                path,
                host,
                ' xmlns:vos="http://www.ivoa.net/xml/VOSpace/v2.0"'
                ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"',
                [_node(child, (*path, child.name), host) for child in children],
            )
        )


def _node(entry: Entry, path: Path, host: str, namespaces: str = "", children: list[str] | None = None) -> str:
    kind = FOLDER if entry.is_folder else "DataNode"
    address = quoteattr(f"vos://{host}!vospace/{paths.encoded(path)}")
    properties = [("length", str(entry.size)), ("date", iso(entry.modified)), ("etag", entry.etag)]
    listed = "".join(
        f'<vos:property uri="{_PROPERTY}{name}" readOnly="true">{value}</vos:property>'
        for name, value in properties
        if value
    )
    inside = f"<vos:nodes>{''.join(children or ())}</vos:nodes>" if entry.is_folder else ""
    return (
        f'<vos:node{namespaces} xsi:type="vos:{kind}" uri={address}><vos:properties>{listed}</vos:properties>'
        f"<vos:accepts/><vos:provides/><vos:capabilities/>{inside}</vos:node>"
    )
