"""Who may use SciDrive through the server, and how the drive's requests are answered."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from jupyter_client.jsonutil import json_default
from jupyter_server.auth.decorator import authorized
from jupyter_server.services.contents.handlers import (
    CheckpointsHandler,
    ContentsHandler,
    ModifyCheckpointsHandler,
)
from jupyter_server.utils import url_escape, url_path_join
from SciServer.server.problems import error_body
from SciServer.server.proxy import ProxyHandler, ServiceHandler
from SciServer.server.service import Service
from tornado import web

from jupyter_scidrive.contents import SciDriveContents

AUTH_RESOURCE = "scidrive"

CONTENTS = "sciserver/scidrive/contents"


class SciDriveProxy(ProxyHandler):
    """`rest/…`: SciDrive, the file service, links, uploads in parts."""

    auth_resource = AUTH_RESOURCE


class DriveHandler(ServiceHandler):
    """Base of the drive's handlers, which are Jupyter's own with other contents."""

    auth_resource = AUTH_RESOURCE

    def initialize(self, name: str, service: Service, contents: SciDriveContents) -> None:  # type: ignore[override]
        super().initialize(name, service)
        self._contents = contents

    @property
    def contents_manager(self) -> SciDriveContents:
        """Not the server's own."""
        return self._contents


class DriveContents(DriveHandler, ContentsHandler):
    """`contents/<path>`: files and folders."""

    def location_url(self, path: str) -> str:
        return url_path_join(self.base_url, CONTENTS, url_escape(path))

    async def _finish_error(self, code: int, message: str) -> None:
        """As the base's, which says it in a form that its own pages cannot read."""
        self.set_status(code)
        await self.finish(json.dumps(error_body(web.HTTPError(code, message.replace("%", "%%")), code)))


class DriveCheckpoints(DriveHandler, CheckpointsHandler):
    """`contents/<path>/checkpoints`."""

    @web.authenticated
    @authorized
    async def post(self, path: str = "") -> None:
        """As the base's; the checkpoint has its address here."""
        checkpoint: dict[str, Any] = await self.contents_manager.create_checkpoint(path)
        place = url_path_join(self.base_url, CONTENTS, url_escape(path), "checkpoints", checkpoint["id"])
        self.set_header("Location", place)
        self.set_status(HTTPStatus.CREATED)
        await self.finish(json.dumps(checkpoint, default=json_default))


class DriveCheckpoint(DriveHandler, ModifyCheckpointsHandler):
    """`contents/<path>/checkpoints/<id>`."""
