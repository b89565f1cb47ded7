"""The WSGI application: Canaille, our corrections to it, and the URL prefix it is served under.

Everything here that reaches into Canaille names the version it was written for: 0.3.6.
"""

from __future__ import annotations

import secrets
import sqlite3
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import canaille
import wtforms
from canaille.app.session import logout_all_users
from canaille.backends.sql.backend import SQLBackend
from canaille.core.endpoints import forms
from canaille.oidc import metadata, provider
from canaille.oidc.endpoints import well_known
from flask import Flask, Response, abort, redirect, request
from sqlalchemy import event
from sqlalchemy.engine import Engine

from sciserver_auth.names import PORTAL_NAME_RULE, is_portal_name
from sciserver_auth.portal import notices, session_ids, sessions, sign_out
from sciserver_auth.portal.settings import canaille_settings, forget_environment, public_host
from sciserver_auth.portal.tables import create_tables
from sciserver_common.deployment import Deployment

if TYPE_CHECKING:
    from sciserver_auth.portal.app import Portal

COOKIE = "sciserver-portal"

PASSWORD_TOKEN_LIFETIME = 120

StartResponse = Callable[..., Any]
WSGIApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def make_site(portal: Portal, deployment: Deployment) -> Flask:
    """Canaille, configured, on a migrated database.

    One per process: Canaille keeps its database connection in a class attribute.

    Raises
    ------
    PortalError
        An option cannot be used.
    sqlalchemy.exc.SQLAlchemyError
        The database cannot be reached or migrated.
    """
    forget_environment()
    settings = canaille_settings(portal, deployment)
    deployment.portal_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not event.contains(Engine, "connect", _prepare_sqlite):
        event.listen(Engine, "connect", _prepare_sqlite)
    _correct_issuer(deployment.service_url("portal"))
    _describe_logout(deployment.service_url("portal"))
    _restrict_names()
    sessions.install()
    session_ids.install()
    provider.EndSessionEndpoint.end_session = _end_all_sessions
    site = canaille.create_app(config=settings)
    _secure_cookies(site, deployment)
    _add_hooks(site, deployment)
    # Otherwise an error of the database writes tokens and password hashes into the log.
    SQLBackend.engine.hide_parameters = True
    create_tables(SQLBackend.engine)
    site.extensions["sciserver-watch"] = notices.Watch(SQLBackend.session_factory)
    sessions.watch_cookies(site)
    sign_out.add_route(site)
    site.config["OAUTH2_TOKEN_EXPIRES_IN"] = {
        "authorization_code": portal.token_lifetime,
        "refresh_token": portal.token_lifetime,
        # The hub asks with them who it is, and revokes them; upstream's default is ten days.
        "password": PASSWORD_TOKEN_LIFETIME,
    }
    site.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = f"{__name__}.make_access_token"
    # The server has read its settings already, in `create_app`.
    with site.app_context():
        provider.authorization.load_config(site.config)
    return site


def make_access_token(*arguments: Any, **keywords: Any) -> str:
    """A random access token.

    Upstream's are signed claims with times in whole seconds: two sign-ins of one person within a second give the same
    token, which the database refuses.
    """
    return secrets.token_urlsafe(32)


class PrefixMiddleware:
    """Serve an application under a URL prefix of one fixed public origin.

    The origin comes from the deployment, never from the request: containers can reach the portal's port without the
    proxy, and a mail with a link to the attacker's host would be one forged ``Host`` header away. For the same
    reason all forwarding headers are dropped.
    """

    def __init__(self, application: WSGIApp, deployment: Deployment) -> None:
        self.application = application
        self.prefix = deployment.service_prefix("portal").rstrip("/")
        self.scheme = urlsplit(deployment.public_url).scheme
        self.host = public_host(deployment)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == self.prefix:
            start_response("308 Permanent Redirect", [("Location", f"{self.scheme}://{self.host}{self.prefix}/")])
            return [b""]
        if not path.startswith(f"{self.prefix}/"):
            start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"The portal answers under {self.prefix}/ only.\n".encode()]
        for name in [name for name in environ if name.startswith("HTTP_X_FORWARDED") or name == "HTTP_FORWARDED"]:
            del environ[name]
        environ["SCRIPT_NAME"] = self.prefix
        environ["PATH_INFO"] = path[len(self.prefix) :]
        environ["HTTP_HOST"] = self.host
        environ["wsgi.url_scheme"] = self.scheme
        environ["SERVER_PORT"] = str(environ["SERVER_PORT"])
        environ["wsgi.errors"] = sys.stderr
        return _at_least_one(self.application(environ, self._own_cookies(start_response)))

    def _own_cookies(self, start_response: StartResponse) -> StartResponse:
        """Keep cookies that Canaille sets for the whole host (its login history) from the users' containers."""

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            scoped = [
                (name, value.replace("; Path=/;", f"; Path={self.prefix}/;").removesuffix("; Path=/"))
                if name.lower() == "set-cookie"
                else (name, value)
                for name, value in headers
            ]
            return start_response(status, scoped, *rest)

        return start


def _at_least_one(chunks: Iterable[bytes]) -> Iterable[bytes]:
    """Hypercorn sends the status with the first chunk: answers without a body (HEAD, 304) have none."""
    try:
        yield b""
        yield from chunks
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


def _prepare_sqlite(connection: Any, record: Any) -> None:
    """Make SQLite durable and patient: the operator's command writes while the portal runs."""
    if not isinstance(connection, sqlite3.Connection):
        return
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 15000")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _correct_issuer(issuer: str) -> None:
    """Canaille composes its issuer from the host alone; ours has a path (OpenID Connect Discovery 1.0 §4.1)."""

    def get_issuer() -> str:
        return issuer

    provider.get_issuer = get_issuer
    metadata.get_issuer = get_issuer


def _describe_logout(issuer: str) -> None:
    """Add what we have added to the discovery document (Back-Channel Logout 1.0 §2.1).

    Logout tokens name the person, never a session: each of them ends all sessions of an account.
    """

    def openid_configuration() -> dict[str, Any]:
        return {
            **metadata.openid_configuration(),
            "backchannel_logout_supported": True,
            "backchannel_logout_session_supported": False,
            sign_out.DISCOVERY_KEY: f"{issuer}{sign_out.PATH}",
        }

    well_known.openid_configuration = openid_configuration


def _end_all_sessions(endpoint: Any, end_session_request: Any) -> None:
    """Canaille would close one of several accounts, and the next sign-in would silently take another of them."""
    logout_all_users()


def check_user_name(form: Any, field: Any) -> None:
    """Validator of WTForms for user names."""
    if not is_portal_name(field.data or ""):
        raise wtforms.ValidationError(PORTAL_NAME_RULE)


def check_group_name(form: Any, field: Any) -> None:
    """Validator of WTForms for group names: they become the hub's groups, in URLs and lists."""
    name = field.data or ""
    if len(name) > 63 or name != name.strip() or not name.isprintable() or set(name) & set("/\\<>\"'"):
        raise wtforms.ValidationError(
            "A group name has at most 63 printable characters, no quotes, slashes or angle brackets, "
            "and no space at its ends."
        )


def _restrict_names() -> None:
    """Add our validators to Canaille's forms: registration, invitation, creation by an administrator, new groups."""
    restrictions = [
        (forms.PROFILE_FORM_FIELDS["user_name"], check_user_name),
        (forms.InvitationForm.user_name, check_user_name),
        (forms.CreateGroupForm.display_name, check_group_name),
    ]
    for field, check in restrictions:
        validators = field.kwargs["validators"]
        if check not in validators:
            # Before the others, so that a bad name is not looked up.
            validators.insert(1, check)
    forms.PROFILE_FORM_FIELDS["user_name"].kwargs["description"] = (
        "Lower-case letters, digits, dots, dashes, underscores; a letter first. It cannot be changed later."
    )
    forms.PROFILE_FORM_FIELDS["user_name"].kwargs["render_kw"].update(
        {"autocapitalize": "none", "spellcheck": "false", "maxlength": "63"}
    )


def _secure_cookies(site: Flask, deployment: Deployment) -> None:
    site.config.update(
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_PATH=deployment.service_prefix("portal"),
        SESSION_COOKIE_SECURE=deployment.public_url.startswith("https:"),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        # Otherwise every answer sets the cookie, static files too, and a late one would bring an older session back.
        SESSION_REFRESH_EACH_REQUEST=False,
    )


def _add_hooks(site: Flask, deployment: Deployment) -> None:
    hub_logout = f"{deployment.public_url}/hub/logout"

    @site.before_request
    def refuse_request_objects() -> None:
        """A request object by reference (OpenID Connect Core 1.0 §6.2) would have the portal fetch any URL."""
        if request.endpoint == "oidc.endpoints.authorize" and {"request", "request_uri"} & set(request.values):
            abort(400, "Request objects are not supported.")

    @site.after_request
    def leave_the_hub_too(response: Response) -> Response:
        """Signing out here means signing out of the platform: the hub's cookie goes as well."""
        if request.endpoint == "core.auth.logout" and response.headers.get("Location") == "/":
            return redirect(hub_logout)  # type: ignore[return-value]
        return response

    @site.after_request
    def no_promise_for_other_hosts(response: Response) -> Response:
        """Talisman's default header speaks for every subdomain, which is not a portal's to decide."""
        if "Strict-Transport-Security" in response.headers:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response

    @site.after_request
    def no_internals_in_answers(response: Response) -> Response:
        """Upstream answers the protocol's endpoints with the text of the exception."""
        if response.status_code == 500 and (request.blueprint or "").startswith("oidc"):
            response.set_data('{"error": "server_error"}')
        return response

    @site.teardown_appcontext
    def give_back_connection(error: BaseException | None) -> None:
        """Canaille rolls back after a normal answer only; a failed request would keep its transaction open."""
        SQLBackend.db_session.remove()
