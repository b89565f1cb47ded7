"""Who may use CasJobs through the server."""

from __future__ import annotations

from SciServer.server.proxy import ProxyHandler


class CasJobsProxy(ProxyHandler):
    """`rest/…`: queries, tables, jobs."""

    auth_resource = "casjobs"
