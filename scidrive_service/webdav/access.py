"""Who sends a request to the WebDAV door, and whether they may."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
from typing import Any

from tornado.httputil import HTTPHeaders

from sciserver_common.credentials import AmbiguousCredentials, Credentials, credentials
from sciserver_common.handlers import RETRY_AFTER
from sciserver_common.hub_auth import HubUnavailable, ServiceAuth
from sciserver_common.scopes import FILES_READ, FILES_WRITE

READING = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND"})
"""Methods that change nothing; all others need a token that may write."""

CHALLENGE = 'Basic realm="SciServer: your name, and a token as password", charset="UTF-8"'

HUB_SECONDS = 30.0


class Refused(Exception):
    """The request is answered with this, whatever it wants.

    Attributes
    ----------
    status
        HTTP status.
    headers
        Of the answer.
    """

    def __init__(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


class Access:
    """Finds out whose token a request carries. Cookies are never looked at.

    Parameters
    ----------
    auth
        Checks tokens, in the event loop.
    loop
        The one in which `auth` runs; requests come in other threads.
    """

    def __init__(self, auth: ServiceAuth, loop: asyncio.AbstractEventLoop) -> None:
        self._auth = auth
        self._loop = loop
        # The same scopes come with each request of a token, and the answer depends on nothing else.
        self._allowed = functools.lru_cache(1024)(self._allow)

    def __call__(self, environ: dict[str, Any]) -> dict[str, Any]:
        """The hub's model of the token and its owner.

        Raises
        ------
        Refused
            There is no valid token, it may not do this, or the hub does not answer.
        """
        # A browser that knows the password sends it along with whatever a page of somebody else's makes it send.
        if environ.get("HTTP_SEC_FETCH_MODE", "navigate") != "navigate":
            raise Refused(403, "This address is for WebDAV clients, and not for scripts of pages.")
        given = _given(environ.get("HTTP_AUTHORIZATION"), environ.get("HTTP_X_AUTH_TOKEN"))
        if given is None:
            text = "Sign in with your name and a token of yours as the password."
            raise Refused(401, text, ("WWW-Authenticate", CHALLENGE))
        model = self._model(given.token)
        if model is None or not given.fits(model["name"]):
            raise Refused(401, "The token is not valid.", ("WWW-Authenticate", CHALLENGE))
        if model["kind"] != "user":
            raise Refused(403, "This needs the token of a person.")
        scope = FILES_READ if environ["REQUEST_METHOD"] in READING else FILES_WRITE
        if not self.allows(model, scope):
            raise Refused(403, f"This needs a token with the scope {scope}.")
        return model

    def allows(self, model: dict[str, Any], scope: str) -> bool:
        """Whether a token may do this."""
        return self._allowed(scope, tuple(model["scopes"]))

    def _allow(self, scope: str, scopes: tuple[str, ...]) -> bool:
        return bool(self._auth.check_scopes({scope}, {"scopes": scopes}))

    def _model(self, token: str) -> dict[str, Any] | None:
        # Nearly always known already: then there is no need to wait for the event loop.
        known = self._auth.known(token)
        if known is not None:
            return known
        question = asyncio.run_coroutine_threadsafe(self._auth.model(token), self._loop)
        try:
            return question.result(HUB_SECONDS)
        except (HubUnavailable, concurrent.futures.TimeoutError, concurrent.futures.CancelledError) as error:
            question.cancel()
            text = "Tokens cannot be checked now. Try again in a moment."
            raise Refused(503, text, ("Retry-After", str(RETRY_AFTER))) from error


@functools.lru_cache(1024)
def _given(authorization: str | None, x_auth_token: str | None) -> Credentials | None:
    """Credentials in these headers: the same ones come with each request of a client."""
    headers = {"Authorization": authorization, "X-Auth-Token": x_auth_token}
    try:
        return credentials(HTTPHeaders({name: value for name, value in headers.items() if value is not None}))
    except AmbiguousCredentials as error:
        raise Refused(400, str(error.log_message)) from error
