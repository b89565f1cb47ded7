"""Back-channel logout: the provider tells the hub that somebody's session, or account, has ended.

OpenID Connect Back-Channel Logout 1.0, and beside it two events of OpenID RISC Profile 1.0.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

from jupyterhub.handlers.base import BaseHandler
from tornado import web

from sciserver_auth import access, events
from sciserver_auth.oidc import InvalidToken, OIDCError
from sciserver_auth.store import BrowserSession

# Everything that the person could act with ends, not only sessions.
ACCOUNT_EVENTS = {events.ACCOUNT_DISABLED, events.ACCOUNT_PURGED}

# What a logout token can be at most; ours has about 1,000 characters.
LONGEST_TOKEN = 20_000

ACTIVITY = "provider-sign-out"


class BackchannelLogoutHandler(BaseHandler):
    """POST with the form field ``logout_token``; the token's signature is what authorises the request.

    Answers 200, 400 for a token that must not be sent again, 503 and 500 for one that should.
    """

    _accept_cookie_auth = False

    def check_xsrf_cookie(self) -> None:
        """Nothing to check: the provider has no cookie of ours, and a browser's would have no effect here."""

    def set_default_headers(self) -> None:
        super().set_default_headers()
        # §2.8
        self.set_header("Cache-Control", "no-store")

    async def post(self) -> None:
        tokens = self.get_body_arguments("logout_token")
        if len(tokens) != 1 or len(tokens[0]) > LONGEST_TOKEN:
            self._refuse(400, "invalid_request", "Send one logout token in the form field logout_token.")
            return
        try:
            provider = self.authenticator.provider
            # The keys' address is in the provider's description of itself.
            await provider.metadata()
        except OIDCError as error:
            self._come_again(error)
            return
        try:
            claims = await provider.verify_logout(tokens[0])
        except InvalidToken as error:
            self.log.warning("Back-channel logout refused: %s", error)
            self._refuse(400, "invalid_request", f"{str(error)[:1].upper()}{str(error)[1:]}.")
            return
        except OIDCError as error:
            self._come_again(error)
            return
        try:
            await self._sign_out(claims)
        except BaseException:
            # It has not had its whole effect: the provider may send it again.
            provider.forget_logout(claims)
            raise
        self.finish()

    async def _sign_out(self, claims: dict[str, Any]) -> None:
        store = self.authenticator.store
        issuer, subject, sid = claims["iss"], claims.get("sub", ""), claims.get("sid", "")
        rows = store.find_sessions(issuer, subject=subject, provider_sid=sid)
        moment = _moment(claims)
        for row in rows:
            if moment is None or row.created <= moment:
                self._end(row)
        identity = store.identity(issuer, subject) if subject else None
        if identity is not None and not ACCOUNT_EVENTS.isdisjoint(claims["events"]):
            user = self.find_user(identity.user)
            if user is not None:
                self.log.warning("The provider has closed the account of %s: all access ends", user.name)
                await access.revoke_access(self, user)

    def _end(self, row: BrowserSession) -> None:
        user = self.find_user(row.user)
        if user is None:
            self.authenticator.store.end_session(row)
        else:
            self.log.info("The provider has signed %s out", user.name)
            access.end_session(self, user, row, ACTIVITY)

    def _come_again(self, error: OIDCError) -> None:
        self.log.error("Back-channel logout: the provider's keys cannot be had: %s", error)
        self.set_header("Retry-After", "10")
        self._refuse(503, "temporarily_unavailable", "The provider's keys cannot be fetched at the moment.")

    def _refuse(self, status: int, error: str, description: str) -> None:
        """§2.8: an error as in RFC 6749 §5.2."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"error": error, "error_description": description}))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        known = isinstance(error, web.HTTPError) and status_code < 500
        words = error.log_message if known and error is not None else "The logout was not carried out. Try again."
        self._refuse(status_code, "invalid_request" if known else "server_error", words or "")


def _moment(claims: dict[str, Any]) -> datetime.datetime | None:
    """When it happened (``toe``, RFC 8417 §2.2), in UTC without a zone; None where the provider does not say.

    Whoever signs in again before the message arrives, because the hub was away, must not be thrown out by it.
    """
    moment = claims.get("toe")
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        return None
    try:
        return datetime.datetime.fromtimestamp(moment, datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        return None


default_handlers = [(r"/backchannel-logout", BackchannelLogoutHandler)]
