"""Name and password for a token: the hub's half of the Keystone-style token API (contract §2.1).

Only the portal may ask, which limits how often passwords are tried; the provider checks them.
"""

from __future__ import annotations

import json

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.orm import APIToken
from jupyterhub.utils import isoformat
from tornado import web

from sciserver_auth.account_tokens import unrecorded
from sciserver_auth.oidc import OIDCError, ProviderRefused, ProviderUnavailable
from sciserver_auth.provider_client import PasswordSignIn, PasswordsNotSupported
from sciserver_common.scopes import SIGN_ON_PASSWORD, TOKEN_API_SCOPES

DEFAULT_LIFETIME = 24 * 3600
NOTE = "Signed in with name and password"

# RFC 6749 §5.2; some providers answer a wrong password with 401 and codes of their own.
_NO_PASSWORDS = {"unsupported_grant_type", "unauthorized_client", "invalid_client"}


class PasswordHandler(APIHandler):
    """POST ``{"name", "password"}``, optionally ``expires_in`` (seconds) and ``address`` (of whom is asking)."""

    async def post(self) -> None:
        # Not `needs_scope`: it knows only scopes that exist at import, and custom ones come with the configuration.
        if not self.has_scope(SIGN_ON_PASSWORD):
            raise web.HTTPError(403, f"This needs the scope {SIGN_ON_PASSWORD}.")
        body = self.get_json_body()
        if not isinstance(body, dict) or not all(isinstance(body.get(key), str) for key in ("name", "password")):
            raise web.HTTPError(400, 'Send {"name": "…", "password": "…"}.')
        lifetime = body.get("expires_in", DEFAULT_LIFETIME)
        if not isinstance(lifetime, int) or lifetime < 1:
            raise web.HTTPError(400, "expires_in must be a positive number of seconds.")
        address = body.get("address") if isinstance(body.get("address"), str) else ""
        try:
            model = await self.authenticate(PasswordSignIn(body["name"], body["password"]))
        except PasswordsNotSupported:
            raise web.HTTPError(403, self._no_passwords()) from None
        except ProviderRefused as error:
            if error.code in _NO_PASSWORDS:
                self.log.warning("The provider does not take passwords from the hub: %s", error)
                raise web.HTTPError(403, self._no_passwords()) from None
            raise web.HTTPError(401, "The name or the password is wrong.") from None
        except ProviderUnavailable as error:
            self.log.error("Sign-in service: %s", error)
            raise web.HTTPError(503, "The sign-in service is not answering. Try again in a minute.") from None
        except OIDCError as error:
            self.log.warning("Sign-in with a password refused: %s", error)
            raise web.HTTPError(403, "The sign-in could not be confirmed.") from None
        if model is None:
            raise web.HTTPError(403, self.authenticator.custom_403_message)
        tokens = model["auth_state"]
        user = await self.auth_to_user(model)
        # They have proved the password; nobody needs them any more.
        await self.authenticator.revoke_at_provider(tokens)
        with unrecorded():
            token = user.new_api_token(note=NOTE, expires_in=lifetime, scopes=TOKEN_API_SCOPES)
        stored = APIToken.find(self.db, token)
        self.authenticator.store.record(user.name, "token-by-password", address=address or "")
        self.set_header("Cache-Control", "no-store")
        self.finish(
            json.dumps(
                {
                    "token": token,
                    "user": user.name,
                    "created": isoformat(stored.created),
                    "expires_at": isoformat(stored.expires_at),
                }
            )
        )

    def _no_passwords(self) -> str:
        return (
            "The sign-in service of this deployment does not take passwords from programs. Sign in with a browser, "
            "make a token on your account page, and use it in place of the password."
        )


default_handlers = [(r"/api/sign-on/password", PasswordHandler)]
