"""What everybody may ask, and addresses at which there is nothing."""

from __future__ import annotations

from tornado import web

from scidrive_service import openapi
from scidrive_service.handlers.base import Handler
from sciserver_common.handlers import anonymous


class Description(Handler):
    """The routes, for programs."""

    @anonymous
    async def get(self) -> None:
        self.set_header("Cache-Control", "public, max-age=300")
        self.answer(openapi.document(self.parts.deployment.service_url("scidrive")))

    @anonymous
    async def head(self) -> None:
        await self.get()


class NotFound(Handler):
    """Everything that is not there."""

    @anonymous
    async def get(self) -> None:
        raise web.HTTPError(404, "There is no such address: see /services/scidrive/openapi.json.")

    head = post = put = patch = delete = options = get
