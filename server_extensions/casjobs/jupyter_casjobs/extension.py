"""The extension: `sciserver/casjobs/rest/…` is CasJobs' REST interface."""

from __future__ import annotations

from SciServer.server.extension import ServiceExtension

from jupyter_casjobs.handlers import CasJobsProxy

REST = "sciserver/casjobs/rest"


class CasJobsExtension(ServiceExtension):
    """Opens CasJobs to the page in the browser."""

    name = "jupyter_casjobs"
    title = "CasJobs"
    setting = "CasJobsRESTUri"

    def initialize_handlers(self) -> None:
        """Add the route."""
        self.handlers.append((rf"/{REST}(?:/.*)?", CasJobsProxy, {"service": self.make_service(), "route": REST}))
