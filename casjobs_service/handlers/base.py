"""What all requests to CasJobs have in common: who asks, the body, the context in the address, errors."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tornado.log import app_log

from casjobs_service import negotiate
from casjobs_service.catalog import MYDB, MYSCRATCH, OWN, Catalog
from casjobs_service.contexts import Context, ContextError
from casjobs_service.errors import Kind, QueryError
from casjobs_service.handlers.parts import Parts
from casjobs_service.handlers.problems import description, headers_of, status_of
from casjobs_service.models import User
from casjobs_service.results import FORMATS
from sciserver_common.requests import DROPPED, MEBIBYTE, Problem, RequestHandler

__all__ = ["ADMIN", "DROPPED", "MEBIBYTE", "Handler", "Problem"]

ADMIN = "admin:users"
"""Scope of the hub by which a token is an administrator's, also here."""


class Handler(RequestHandler):
    """Base of the service's handlers."""

    expected_errors = (QueryError,)

    @property
    def parts(self) -> Parts:
        """The service's parts."""
        parts: Parts = self.settings["parts"]
        return parts

    # -- the body

    def json_body(self) -> dict[str, Any]:
        """The body, a JSON object whatever ``Content-Type`` says.

        Raises
        ------
        Problem
            400: it is something else.
        """
        try:
            value = json.loads(self.body())
            # A lone surrogate, written as \\udc00, can go nowhere from here.
            json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise Problem(400, 'The body is not JSON. Send an object such as {"Query": "select 1"}.') from error
        if not isinstance(value, dict):
            raise Problem(400, 'The body is not a JSON object. Send one such as {"Query": "select 1"}.')
        return value

    def form(self, *, default: str | None = None) -> negotiate.Form:
        """How the client wants a result.

        Raises
        ------
        Problem
            406: there is no such form.
        """
        media_types = {name: writer.media_type for name, writer in FORMATS.items()}
        try:
            return negotiate.choose(media_types, self.request.headers.get("Accept"), self.parameter("format"))
        except negotiate.NotAcceptable as error:
            if default is not None and not self.parameter("format"):
                return negotiate.Form(default, media_types[default])
            raise Problem(406, str(error)) from error

    # -- who asks, and for what

    @property
    def is_admin(self) -> bool:
        """An administrator of the hub, with a token that says so."""
        return self.has_scope(ADMIN)

    async def space(self) -> User:
        """The caller's own place; made at first use."""
        return await self.parts.store.user(self.user["name"])

    def database(self, name: str) -> Context | str:
        """A context that the caller may see, or ``MyDB`` or ``MyScratch``.

        Raises
        ------
        Problem
            404: there is none of this name.
        """
        name = name.strip().removeprefix("[").removesuffix("]")
        own = {MYDB.lower(): MYDB, MYSCRATCH.lower(): MYSCRATCH, f"{MYSCRATCH.lower()}:default": MYSCRATCH}
        if name.lower() in own:
            return own[name.lower()]
        context = self.parts.contexts.get(name)
        if context is None or not context.visible_to(self.groups):
            names = [*OWN, *(context.name for context in self.parts.contexts.visible(self.groups))]
            raise Problem(404, f"There is no context {name[:80]!r}.", hint=f"There is: {', '.join(names)}.")
        return context

    def database_name(self, name: str) -> str:
        """`database`, its name only."""
        found = self.database(name)
        return found if isinstance(found, str) else found.name

    async def catalog(self, context: Context) -> Catalog:
        """What a context contains.

        Raises
        ------
        QueryError
            It cannot be read.
        """
        try:
            catalog = await asyncio.to_thread(self.parts.contexts.catalog, context.name)
        except ContextError as error:
            app_log.error("%s", error)
            raise QueryError(
                f"The catalogue of {context.name} cannot be read. Tell an administrator.", Kind.UNAVAILABLE
            ) from error
        if catalog is None:
            raise Problem(404, f"There is no context {context.name!r} any more.")
        return catalog

    # -- errors

    def status_of(self, error: Exception) -> int:
        return status_of(error) if isinstance(error, QueryError) else super().status_of(error)

    def error_headers(self, error: BaseException | None, status: int) -> list[tuple[str, str]]:
        return headers_of(error, status)

    def describe(self, error: BaseException | None, status: int) -> dict[str, Any]:
        """See `problems.description`."""
        return description(error, status, self.request_id)
