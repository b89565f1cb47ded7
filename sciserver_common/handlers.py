"""Tornado handlers of our services: each method says what a request must be allowed to do, or nobody may call it.

::

    class Tables(ServiceHandler):
        @needs(scopes.CASJOBS_QUERY)
        async def get(self) -> None:
            self.write({"tables": await tables_of(self.current_user["name"])})

    auth = ServiceAuth.for_service(deployment, "casjobs")
    app = web.Application([(auth.base_url + "tables", Tables), *auth_handlers(auth)], hub_auth=auth, cookie_secret=…)
    auth.start()
"""

from __future__ import annotations

import http
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado import web
from tornado.escape import xhtml_escape
from tornado.log import app_log

from sciserver_common.credentials import Credentials, credentials
from sciserver_common.hub_auth import HubUnavailable, ServiceAuth

_Method = TypeVar("_Method", bound=Callable[..., Any])

RETRY_AFTER = 5
"""Seconds after which a client should try again while the hub does not answer."""


@dataclass(frozen=True)
class Rule:
    """Who may call a method.

    Attributes
    ----------
    scopes
        What the token must carry, all of it.
    is_open
        Anybody may call it.
    services
        Tokens of services may call it as well; they belong to no person.
    """

    scopes: tuple[str, ...] = ()
    is_open: bool = False
    services: bool = False


def _ruled(rule: Rule) -> Callable[[_Method], _Method]:
    def mark(method: _Method) -> _Method:
        method.access_rule = rule  # type: ignore[attr-defined]
        return method

    return mark


def needs(scope: str, *more: str, services: bool = False) -> Callable[[_Method], _Method]:
    """Open a handler's method to tokens that carry every one of these scopes.

    Tokens of services are refused unless `services` is set: a service may have the name of a person.
    """
    return _ruled(Rule((scope, *more), services=services))


def signed_in(method: _Method) -> _Method:
    """Open a handler's method to every valid token of a person, whatever it may do."""
    return _ruled(Rule())(method)


def anonymous(method: _Method) -> _Method:
    """Open a handler's method to everybody. `current_user` is then the person who is signed in, or None.

    A token that is sent in a header and is not valid is refused all the same.
    """
    return _ruled(Rule(is_open=True))(method)


class Refused(web.HTTPError):
    """An error whose answer has headers of its own."""

    def __init__(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        super().__init__(status, text)
        self.headers = headers


class ServiceMixin(HubOAuthenticated):
    """What makes a Tornado handler one of a service: it knows who is calling, and refuses who may not.

    The application's setting ``hub_auth`` is a `ServiceAuth`. Subclasses do not override `prepare`, which decides, but
    `prepared`, which comes after it. `current_user` is what `ServiceAuth.model` returns.
    """

    hub_auth_class = ServiceAuth

    is_page: ClassVar[bool] = False
    """Whether browsers come here by themselves: they are sent to sign in, and see errors as pages."""

    challenges: ClassVar[tuple[str, ...]] = ()
    """Schemes of ``WWW-Authenticate`` beside Bearer: "Basic" for clients that send a password only when asked."""

    current_user: dict[str, Any] | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if getattr(cls, "prepare", None) is not ServiceMixin.prepare:
            raise TypeError(f"{cls.__name__} has another prepare(), which would let everybody in: use prepared()")

    @property
    def hub_auth(self) -> ServiceAuth:
        auth: ServiceAuth = self.settings["hub_auth"]
        return auth

    def get_current_user(self) -> dict[str, Any] | None:
        """Who was found by `prepare`; nobody before it."""
        return getattr(self, "_cached_hub_user", None)

    async def prepare(self) -> None:
        """Find out who is calling, and refuse the request if its method is not for them."""
        method = getattr(self, self.request.method.lower(), None)
        if getattr(method, "__func__", None) is web.RequestHandler._unimplemented_method:
            raise web.HTTPError(405)
        rule = getattr(method, "access_rule", None)
        if not isinstance(rule, Rule):
            app_log.error("%s.%s has no access rule", type(self).__name__, self.request.method.lower())
            raise web.HTTPError(403, "Nobody may do this here.")
        given = credentials(self.request.headers)
        caller = await self.hub_auth.get_user(self, sync=False)
        if caller is None and (given is not None or not rule.is_open):
            if given is None and self._is_navigation():
                self.redirect(self.get_login_url())
                return
            raise self._refusal_of_unknown(given)
        if caller is not None and caller["kind"] != "user" and not rule.services:
            if not rule.is_open:
                raise web.HTTPError(403, "This needs the token of a person.")
            caller = None
        self._check_scopes(rule, caller)
        self.current_user = caller
        await self.prepared()

    async def prepared(self) -> None:
        """Called when the request may go on."""

    def _refusal_of_unknown(self, given: Credentials | None) -> web.HTTPError:
        if given is None and self.hub_auth.get_token(self):
            # There is a cookie. If it was left aside because another site might have sent the request, say so.
            self.hub_auth.check_xsrf_cookie(self)
        bearer = 'Bearer realm="SciServer"' + (', error="invalid_token"' if given is not None else "")
        others = [f'{scheme} realm="SciServer"' for scheme in self.challenges]
        text = "Sign in, or send a token." if given is None else "The token is not valid."
        return Refused(401, text, *(("WWW-Authenticate", challenge) for challenge in [bearer, *others]))

    def _check_scopes(self, rule: Rule, caller: dict[str, Any] | None) -> None:
        for scope in rule.scopes:
            if caller is None or not self.hub_auth.check_scopes({scope}, caller):
                challenge = f'error="insufficient_scope", scope="{" ".join(rule.scopes)}"'
                raise Refused(
                    403,
                    f"This needs a token with the scope {scope}.",
                    ("WWW-Authenticate", f'Bearer realm="SciServer", {challenge}'),
                )

    def _is_navigation(self) -> bool:
        headers = self.request.headers
        return (
            self.is_page
            and self.request.method == "GET"
            and "text/html" in headers.get("Accept", "")
            and headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
        )

    def check_xsrf_cookie(self) -> None:
        """Done with the cookie that it protects; Tornado asks for it before it is known who is calling."""
        if hasattr(self, "_cached_hub_user"):
            super().check_xsrf_cookie()

    # -- errors

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Errors as JSON, ``{"status": "error", "error": TEXT}``; as a page to browsers that came for one."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        text = http.HTTPStatus(status_code).phrase
        if isinstance(error, web.HTTPError) and status_code != 500:
            text = error.get_message() or text
        if isinstance(error, Refused):
            for name, value in error.headers:
                self.add_header(name, value)
        if isinstance(error, HubUnavailable):
            self.set_header("Retry-After", str(RETRY_AFTER))
        if self._is_navigation():
            self.set_header("Content-Type", "text/html; charset=UTF-8")
            self.finish(f"<!doctype html><title>{status_code}</title><p>{xhtml_escape(text)}</p>")
        else:
            self.finish({"status": "error", "error": text})

    def _request_summary(self) -> str:
        # Of Tornado's log lines: without the query, where the sign-in has its code.
        return f"{self.request.method} {self.request.path} ({self.request.remote_ip})"

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """As Tornado's, without the request's address."""
        if isinstance(value, web.HTTPError):
            super().log_exception(typ, value, tb)
        else:
            app_log.error("Uncaught exception %s", self._request_summary(), exc_info=(typ, value, tb))


class ServiceHandler(ServiceMixin, web.RequestHandler):
    """Base of a service's handlers."""


class CallbackHandler(ServiceMixin, HubOAuthCallbackHandler):
    """Where the hub sends a browser back to after its sign-in for the service."""

    is_page = True

    @anonymous
    async def get(self) -> None:
        """Exchange the code for a token, and keep it in the cookie."""
        await super().get()


def auth_handlers(auth: ServiceAuth) -> list[tuple[str, type[web.RequestHandler]]]:
    """Routes of the sign-in, for a service's application."""
    return [(f"{auth.base_url}oauth_callback", CallbackHandler)]
