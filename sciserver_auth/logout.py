"""Signing out of the hub and of the provider in one step (OpenID Connect RP-Initiated Logout 1.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oauthenticator.oauth2 import OAuthLogoutHandler
from tornado.httputil import url_concat

from sciserver_auth import access
from sciserver_auth.handlers import canonical_origin
from sciserver_auth.oidc import OIDCError

if TYPE_CHECKING:
    from sciserver_auth.authenticator import SciServerAuthenticator


class SciServerLogoutHandler(OAuthLogoutHandler):
    """Ends the hub's session, then sends the browser to the provider to end the session there.

    Otherwise the next click on "Sign in" would let anybody at this browser in again without a password.
    """

    authenticator: SciServerAuthenticator
    _id_token: str = ""

    async def default_handle_logout(self) -> None:
        user: Any = self.current_user
        row = self.authenticator.store.session(user.name, self.get_session_cookie()) if user else None
        if row is not None and row.issuer == self.authenticator.issuer:
            self._id_token = await self.authenticator.id_token_of(row)
        await super().default_handle_logout()
        if row is not None:
            access.end_session(self, user, row, "sign-out")
            if not self.authenticator.store.sessions(user.name):
                await self.authenticator.drop_tokens(user)

    async def render_logout_page(self) -> None:
        url = await self._provider_logout_url()
        if url:
            self.redirect(url)
        else:
            await super().render_logout_page()

    async def _provider_logout_url(self) -> str:
        # Without the hint the provider would ask for a confirmation, of somebody who may not even have a session.
        if not self._id_token or self.authenticator.logout_redirect_url:
            return ""
        try:
            metadata = await self.authenticator.provider.metadata()
        except OIDCError as error:
            self.log.warning("The provider's session stays: %s", error)
            return ""
        endpoint = metadata.get("end_session_endpoint")
        if not endpoint:
            return ""
        origin = canonical_origin(self.authenticator) or f"{self.request.protocol}://{self.request.host}"
        return url_concat(
            endpoint,
            {
                "id_token_hint": self._id_token,
                "client_id": self.authenticator.client_id,
                "post_logout_redirect_uri": f"{origin}{self.hub.base_url}login",
            },
        )
