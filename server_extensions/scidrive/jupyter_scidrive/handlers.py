"""Who may use SciDrive through the server."""

from __future__ import annotations

from SciServer.server.proxy import ProxyHandler


class SciDriveProxy(ProxyHandler):
    """`rest/…`: SciDrive, the file service, links, uploads in parts."""

    auth_resource = "scidrive"
