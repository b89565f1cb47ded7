"""Which address is answered by which handler."""

from __future__ import annotations

import re

from tornado import web

from casjobs_service.handlers import contexts, jobs, public, queries, tables, users
from casjobs_service.handlers.base import Handler

ROUTES: list[tuple[str, type[Handler]]] = [
    ("/health", public.Health),
    ("/openapi.json", public.Description),
    ("/RestApi/users/{user}", users.User),
    ("/RestApi/limits", users.Limits),
    ("/RestApi/queues", users.Queues),
    ("/RestApi/contexts", contexts.Contexts),
    ("/RestApi/contexts/{context}", contexts.Context),
    ("/RestApi/contexts/{context}/Functions", contexts.Functions),
    ("/RestApi/contexts/{context}/Tables", tables.Tables),
    ("/RestApi/contexts/{context}/Tables/{table}", tables.Table),
    ("/RestApi/contexts/{context}/Tables/{table}/sample", tables.Sample),
    ("/RestApi/contexts/{context}/Tables/{table}/data", tables.Data),
    ("/RestApi/contexts/{context}/query", queries.Query),
    ("/RestApi/contexts/{context}/explain", queries.Explain),
    ("/RestApi/contexts/{context}/jobs", jobs.Submission),
    ("/RestApi/jobs", jobs.Jobs),
    ("/RestApi/jobs/{job}", jobs.Job),
    ("/RestApi/jobs/{job}/results/{result}", jobs.Result),
    ("/RestApi/jobs/{job}/resubmit", jobs.Resubmission),
]
"""Paths below the service's prefix, as the OpenAPI document has them."""


def rules(prefix: str) -> list[tuple[str, type[web.RequestHandler]]]:
    """For Tornado; `prefix` is the service's, with both slashes."""
    return [(pattern(prefix + path), handler) for path, handler in ROUTES]


def pattern(path: str) -> str:
    """Regular expression for a path with ``{name}`` in it.

    Any case, and slashes may be doubled or follow at the end: clients put addresses together from pieces and differ in
    their spelling, and a redirect would lose the body.
    """
    path = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
    return "(?i)" + re.sub("/+", "/+", path) + "/*"
