"""The file service's volumes (contract §5): discovery, making, sharing, usage."""

from __future__ import annotations

from typing import Any

from scidrive_service.errors import FileError, Kind
from scidrive_service.handlers.base import Handler
from scidrive_service.handlers.problems import Problem
from sciserver_common import __version__
from sciserver_common.handlers import anonymous, needs
from sciserver_common.scopes import FILES_READ, FILES_SHARE, FILES_WRITE


def service(handler: Handler) -> dict[str, Any]:
    """The file service, as clients find it: the address ends with a slash, or they cannot use it."""
    return {
        "identifier": handler.parts.service_id,
        "name": handler.parts.service_name,
        "description": handler.parts.service_description,
        "apiEndpoint": f"{handler.base_url}/fileservice/",
    }


class FileServices(Handler):
    """``storem/fileservices``: the one there is."""

    @needs(FILES_READ)
    async def get(self) -> None:
        self.answer([service(self)])


class Volumes(Handler):
    """``api/volumes/``: all volumes that somebody may see; the default ones are made at the first look."""

    @needs(FILES_READ)
    async def get(self) -> None:
        self.answer(service(self) | await self.run(self.files.listing, self.person))


class Volume(Handler):
    """``api/volume/{root}/{owner}/{volume}``."""

    @needs(FILES_READ)
    async def get(self, root: str, owner: str, volume: str) -> None:
        """One volume, as in the list."""
        self.answer(await self.run(self.files.volume_info, self.person, root, owner, volume))

    @needs(FILES_WRITE)
    async def put(self, root: str, owner: str, volume: str) -> None:
        """Make it."""
        quiet = self.flag("quiet", False)
        description = self._description(self.json_object()) or ""
        await self.run(self.files.create_volume, self.person, root, owner, volume, quiet, description)
        self.answer({"status": "success"})

    @needs(FILES_WRITE)
    async def patch(self, root: str, owner: str, volume: str) -> None:
        """Give it another name or description."""
        body = self.json_object()
        name = body.get("name")
        if name is not None:
            name = self.text(name, "name", longest=255)
        await self.run(self.files.describe_volume, self.person, root, owner, volume, name, self._description(body))
        self.answer(await self.run(self.files.volume_info, self.person, root, owner, name or volume))

    def _description(self, body: dict[str, Any]) -> str | None:
        value = body.get("description")
        return None if value is None else self.text(value, "description")

    @needs(FILES_WRITE)
    async def delete(self, root: str, owner: str, volume: str) -> None:
        """Remove it, with everything in it."""
        quiet = self.flag("quiet", False)
        await self.run_long(self.files.delete_volume, self.person, root, owner, volume, quiet)
        self.answer({"status": "success"})


class Share(Handler):
    """``api/share/{root}/{owner}/{volume}``: who else may use it."""

    @needs(FILES_SHARE)
    async def patch(self, root: str, owner: str, volume: str) -> None:
        """Change what those in the body may do; others keep what they may."""
        body = self.json_body()
        # One person alone is no list in some clients.
        sharees = [body] if isinstance(body, dict) else body
        if not isinstance(sharees, list) or not all(isinstance(each, dict) for each in sharees):
            raise Problem(
                400,
                "The body is no list of people.",
                hint='Send [{"name": "bob", "type": "USER", "allowedActions": ["read"]}].',
            )
        await self.run(self.files.share, self.person, root, owner, volume, sharees)
        self.answer({"status": "success"})


class Usage(Handler):
    """``api/usage``: how much there is, and how much there may be."""

    @needs(FILES_READ)
    async def get(self) -> None:
        self.answer(await self.run_long(self.files.usage, self.person))


class Ping(Handler):
    """``api/ping``: whether somebody is there."""

    @anonymous
    async def get(self) -> None:
        self.answer({"status": "ok"})

    @anonymous
    async def head(self) -> None:
        await self.get()


class Health(Handler):
    """``health``: whether the storage and the record of volumes answer."""

    @anonymous
    async def get(self) -> None:
        try:
            await self.run(self.files.check)
        except OSError as error:
            raise FileError("The storage does not answer.", Kind.UNAVAILABLE) from error
        self.answer({"status": "ok", "version": __version__})

    @anonymous
    async def head(self) -> None:
        await self.get()
