"""What everybody may ask: whether the service answers, and what it can do."""

from __future__ import annotations

from tornado import web

from casjobs_service import openapi
from casjobs_service.handlers.base import Handler
from sciserver_common import __version__
from sciserver_common.handlers import anonymous


class Health(Handler):
    """Whether the service and its database answer, and what protects its workers."""

    @anonymous
    async def get(self) -> None:
        await self.parts.store.counts()
        self.answer({"status": "ok", "version": __version__, "protections": self.parts.workers.protections()})

    @anonymous
    async def head(self) -> None:
        await self.get()


class Description(Handler):
    """The routes, for programs."""

    @anonymous
    async def get(self) -> None:
        self.set_header("Cache-Control", "public, max-age=300")
        self.answer(openapi.document(self.parts.public_url))

    @anonymous
    async def head(self) -> None:
        await self.get()


class NotFound(Handler):
    """Everything that is not there."""

    @anonymous
    async def get(self) -> None:
        raise web.HTTPError(404, "There is no such address: see /services/casjobs/openapi.json.")

    head = post = put = patch = delete = options = get
