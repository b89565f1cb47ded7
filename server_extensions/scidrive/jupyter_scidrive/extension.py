"""The extension: `sciserver/scidrive/rest/…` is SciDrive's REST interface, `sciserver/scidrive/contents` a drive."""

from __future__ import annotations

from jupyter_scidrive.handlers import SciDriveProxy
from SciServer.server.extension import ServiceExtension

REST = "sciserver/scidrive/rest"


class SciDriveExtension(ServiceExtension):
    """Opens SciDrive to the page in the browser."""

    name = "jupyter_scidrive"
    title = "SciDrive"
    setting = "SciDriveHost"

    def initialize_handlers(self) -> None:
        """Add the routes."""
        self.handlers.append((rf"/{REST}(?:/.*)?", SciDriveProxy, {"service": self.make_service(), "route": REST}))
