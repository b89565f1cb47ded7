"""The extension: `sciserver/scidrive/rest/…` is SciDrive's REST interface, `sciserver/scidrive/contents` a drive."""

from __future__ import annotations

from jupyter_server.base.handlers import path_regex
from SciServer.server.extension import ServiceExtension

from jupyter_scidrive.contents import SciDriveContents
from jupyter_scidrive.drive import Drive
from jupyter_scidrive.handlers import CONTENTS, DriveCheckpoint, DriveCheckpoints, DriveContents, SciDriveProxy

REST = "sciserver/scidrive/rest"


class SciDriveExtension(ServiceExtension):
    """Opens SciDrive to the page in the browser."""

    name = "jupyter_scidrive"
    title = "SciDrive"
    setting = "SciDriveHost"

    classes = [*ServiceExtension.classes, SciDriveContents]

    def initialize_handlers(self) -> None:
        """Add the routes."""
        service = self.make_service()
        contents = SciDriveContents(Drive(service), parent=self.serverapp, log=self.log)
        drive = {"service": service, "contents": contents}
        path = rf"/{CONTENTS}{path_regex}"
        self.handlers += [
            (rf"/{REST}(?:/.*)?", SciDriveProxy, {"service": service, "route": REST}),
            (rf"{path}/checkpoints", DriveCheckpoints, drive),
            (rf"{path}/checkpoints/(?P<checkpoint_id>[\w-]+)", DriveCheckpoint, drive),
            (path, DriveContents, drive),
        ]
