"""The two ends of a sign-in at the hub: sending the browser to the provider, and receiving it back."""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from jupyterhub.handlers.base import SESSION_COOKIE_NAME
from oauthenticator.oauth2 import (
    OAuthCallbackHandler,
    OAuthLoginHandler,
    _deserialize_state,
    _serialize_state,
)
from tornado import web
from tornado.httputil import url_concat

from sciserver_auth import access
from sciserver_auth.oidc import OIDCError, ProviderUnavailable

if TYPE_CHECKING:
    from sciserver_auth.authenticator import SciServerAuthenticator

NOT_ANSWERING = "The sign-in service is not answering. It may still be starting: try again in a minute."
START_AGAIN = "This sign-in has expired, or another one was started in this browser. Please sign in again."

# Provider errors with a meaning for the person who signs in (RFC 6749 §4.1.2.1, OpenID Connect Core 1.0 §3.1.2.6).
PROVIDER_ERRORS = {
    "access_denied": "The sign-in was cancelled.",
    "login_required": "The sign-in service asks you to sign in again.",
    "temporarily_unavailable": NOT_ANSWERING,
}


def canonical_origin(authenticator: SciServerAuthenticator) -> str:
    """Scheme, host and port of the address that people should use; empty where it is not configured."""
    url = urlsplit(authenticator.oauth_callback_url)
    return f"{url.scheme}://{url.netloc}" if url.netloc else ""


class SciServerLoginHandler(OAuthLoginHandler):
    """Sends the browser to the provider's sign-in page."""

    authenticator: SciServerAuthenticator

    async def get(self) -> None:
        next_url = self._get_next_url()
        wants_account = bool(self.get_argument("create", ""))
        origin = canonical_origin(self.authenticator)
        if origin and not self._is_at(origin) and not self.get_argument("canonical", ""):
            # The cookie with the state must be set for the host that the provider sends the browser back to. The mark
            # ends the loop behind a proxy that changes the Host header.
            query = {"canonical": "1"} | ({"next": next_url} if next_url else {})
            query |= {"create": "1"} if wants_account else {}
            self.redirect(f"{origin}{self.hub.base_url}oauth_login?{urlencode(query)}")
            return
        try:
            metadata = await self.authenticator.provider.metadata()
        except OIDCError as error:
            self.log.error("Sign-in service: %s", error)
            raise web.HTTPError(503, NOT_ANSWERING) from None

        state_id = self._generate_state_id()
        state: dict[str, Any] = {"state_id": state_id, "next_url": next_url, "nonce": secrets.token_urlsafe(32)}
        parameters = {
            "response_type": "code",
            "client_id": self.authenticator.client_id,
            "redirect_uri": self.authenticator.get_callback_url(self),
            "scope": " ".join(self.authenticator.scope),
            "state": _serialize_state({"state_id": state_id}),
            "nonce": state["nonce"],
            **self.authenticator.extra_authorize_params,
        }
        # Initiating User Registration via OpenID Connect 1.0; a provider that does not know it is not asked.
        if wants_account and "create" in metadata.get("prompt_values_supported", []):
            parameters["prompt"] = "create"
        if self.authenticator.enable_pkce:
            state["code_verifier"], parameters["code_challenge"] = self._generate_pkce_params()
            parameters["code_challenge_method"] = "S256"
        self.set_state_cookie(_serialize_state(state))
        self.redirect(url_concat(metadata["authorization_endpoint"], parameters))

    def _is_at(self, origin: str) -> bool:
        # The scheme is left out: behind a TLS proxy the hub may see http.
        url = urlsplit(origin)
        usual = {"http": ":80", "https": ":443"}[url.scheme]
        return self.request.host.lower().removesuffix(usual) == url.netloc.lower().removesuffix(usual)

    def _get_next_url(self) -> str:
        """A path on this host, or nothing: what comes in `next` is not trusted."""
        next_url = super()._get_next_url() or ""
        return self._validate_next_url(next_url) if next_url else ""


class SciServerCallbackHandler(OAuthCallbackHandler):
    """Receives the browser from the provider."""

    authenticator: SciServerAuthenticator

    def _request_summary(self) -> str:
        # Tornado's line about a refused request: the hub's own log lines hide the code in the query, this would not.
        return f"{self.request.method} {self.request.path} ({self.request.remote_ip})"

    @property
    def nonce(self) -> str:
        """The value that the identity token of this sign-in must contain."""
        nonce: str = _deserialize_state(self.get_state_cookie()).get("nonce", "")
        return nonce

    def check_error(self) -> None:
        error = self.get_argument("error", "")
        if error:
            # The description is the sender's to choose, and anybody can send a browser here: it is not repeated.
            code = error if error.isidentifier() and len(error) < 64 else "an unknown error"
            self.log.warning("The provider refused a sign-in: %s", code)
            raise web.HTTPError(403, PROVIDER_ERRORS.get(error, "The sign-in service refused the sign-in."))

    def check_code(self) -> None:
        if not self.get_argument("code", ""):
            raise web.HTTPError(400, START_AGAIN)

    def check_state(self) -> None:
        expected = _deserialize_state(self.get_state_cookie()).get("state_id") if self.get_state_cookie() else None
        given = _state_id(self.get_argument("state", ""))
        if not expected or not given or not secrets.compare_digest(given, expected):
            self.log.warning("A sign-in came back without the state it was started with")
            raise web.HTTPError(400, START_AGAIN)

    def set_login_cookie(self, user: Any) -> None:
        """Begin a session under a new id, unless this browser is signed in as `user` already.

        An id that was in the browser before the sign-in may have been planted there (session fixation). A second
        sign-in of the same person goes on with the session: its open notebooks shall not be cut off.
        """
        store = self.authenticator.store
        before = self.get_current_user_cookie()
        row = store.session(before.name, self.get_session_cookie()) if before else None
        if row is None or before.name != user.name:
            if row is not None:
                access.end_session(self, before, row, "sign-out")
            self._session_id = uuid.uuid4().hex
            self._set_cookie(
                SESSION_COOKIE_NAME,
                self._session_id,
                encrypted=False,
                path=self.base_url,
                # As long as the session: without, it would end with the browser's window.
                expires_days=self.authenticator.session_lifetime / 86400,
                **({"domain": self.domain} if self.subdomain_host else {}),
            )
        super().set_login_cookie(user)

    async def login_user(self, data: Any = None) -> Any:
        """The user who has signed in, whose session the authenticator knows from now on."""
        user = await super().login_user(data)
        if user is not None:
            await self.authenticator.open_session(self, user)
        return user

    async def get(self) -> None:
        try:
            await super().get()
        except ProviderUnavailable as error:
            self.log.error("Sign-in service: %s", error)
            raise web.HTTPError(503, NOT_ANSWERING) from None
        except OIDCError as error:
            self.log.warning("Sign-in refused: %s", error)
            raise web.HTTPError(403, "The sign-in could not be confirmed. Please sign in again.") from None


def _state_id(state: str) -> str:
    # The upstream reader writes what it cannot read to the log; a value out of the URL does not belong there.
    try:
        decoded = _deserialize_state(state) if state.isascii() and len(state) < 512 else {}
    except (ValueError, TypeError):
        return ""
    value = decoded.get("state_id") if isinstance(decoded, dict) else None
    return value if isinstance(value, str) and value.isascii() else ""
