"""`SciServerAuthenticator`: the hub's sign-in through an OpenID Connect provider.

Everything is oauthenticator's except discovery, the verified identity token, the renewal of tokens and the logout.
"""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any
from urllib.parse import quote
from weakref import WeakValueDictionary

from oauthenticator.oauth2 import OAuthenticator
from tornado import web
from traitlets import Integer, List, Unicode, default

from sciserver_auth.handlers import SciServerCallbackHandler, SciServerLoginHandler
from sciserver_auth.logout import SciServerLogoutHandler
from sciserver_auth.names import is_hub_name
from sciserver_auth.oidc import (
    SIGNING_ALGORITHMS,
    InvalidToken,
    OIDCError,
    Provider,
    ProviderRefused,
    ProviderUnavailable,
)

# Where the provider does not say how long its tokens last (RFC 6749 §5.1 only recommends it).
ASSUMED_LIFETIME = 3600

# After a failure nobody asks the provider again for this long: requests must not queue up behind its timeouts.
PAUSE_AFTER_FAILURE = 15.0

# Refusals of this client as such, whoever the token belongs to (RFC 6749 §5.2).
OUR_FAULTS = {"invalid_client", "unauthorized_client", "unsupported_grant_type"}

# Protocol claims that say nothing about the person.
_TECHNICAL_CLAIMS = {"iss", "aud", "exp", "iat", "nbf", "nonce", "at_hash", "c_hash", "azp", "auth_time", "acr", "amr"}


class SciServerAuthenticator(OAuthenticator):
    """Sign-in through OpenID Connect: the embedded portal, or any other provider by configuration."""

    login_handler = SciServerLoginHandler
    callback_handler = SciServerCallbackHandler
    logout_handler = SciServerLogoutHandler

    issuer = Unicode(
        "",
        config=True,
        help="""
        The provider's issuer URL, exactly as its discovery document spells it.

        Endpoints and keys are found at ``<issuer>/.well-known/openid-configuration``, at the first sign-in. The
        embedded portal's is ``<public URL>/services/portal``.
        """,
    )

    backchannel_url = Unicode(
        "",
        config=True,
        help="""
        Where the hub itself reaches what is below `issuer`, if not there.

        Browsers are still sent to the public address. For the embedded portal, which the hub reaches without the
        proxy::

            c.SciServerAuthenticator.backchannel_url = "http://172.18.0.1:8082/services/portal"
        """,
    )

    signing_algorithms = List(
        Unicode(),
        list(SIGNING_ALGORITHMS),
        config=True,
        help="""
        Algorithms accepted in the signature of an identity token. Symmetric ones and ``none`` are always refused.
        """,
    )

    clock_leeway = Integer(60, min=0, config=True, help="""Seconds that the provider's clock and ours may be apart.""")

    groups_claim = Unicode(
        "groups",
        config=True,
        help="""
        Claim with the names of the person's groups; they become the hub's groups at each sign-in and renewal.
        """,
    )

    refresh_interval = Integer(
        900,
        min=0,
        config=True,
        help="""
        Seconds after which the tokens of an active user are renewed even though they are still valid, so that a
        change of groups or a locked account takes effect. 0 renews only when they are about to expire.
        """,
    )

    refresh_margin = Integer(
        60, min=0, config=True, help="""Seconds before their expiry from which tokens are renewed."""
    )

    outage_grace = Integer(
        4 * 3600,
        min=0,
        config=True,
        help="""
        Seconds after the expiry of their tokens that users stay signed in while the provider does not answer.
        """,
    )

    login_service = Unicode("SciServer", config=True, help="""Name on the hub's sign-in button.""")

    user_auth_state_key = "user_claims"

    @default("scope")
    def _default_scope(self) -> list[str]:
        return ["openid", "profile", "email", "groups"]

    @default("username_claim")
    def _default_username_claim(self) -> str:
        return "preferred_username"

    @default("client_id")
    def _default_client_id(self) -> str:
        return "jupyterhub"

    @default("enable_auth_state")
    def _default_enable_auth_state(self) -> bool:
        return True

    @default("manage_groups")
    def _default_manage_groups(self) -> bool:
        return True

    @default("admin_groups")
    def _default_admin_groups(self) -> set[str]:
        return {"admin"}

    @default("allow_all")
    def _default_allow_all(self) -> bool:
        # Whoever has an account may come in, unless the site says who: then its lists decide.
        return not (self.allowed_users or self.allowed_groups or self.allowed_scopes or self.allow_existing_users)

    @default("reconcile_auth_state_hook")
    def _default_reconcile_auth_state_hook(self) -> Any:
        return keep_to_one_person

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._provider: Provider | None = None
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._no_attempt_before = 0.0

    @property
    def provider(self) -> Provider:
        """The provider, made at first use: an `asyncio.Lock` inside belongs to the hub's event loop.

        Raises
        ------
        OIDCError
            No issuer is configured.
        """
        if self._provider is None:
            if not self.issuer:
                raise OIDCError("SciServerAuthenticator.issuer is not configured")
            self._provider = Provider(
                issuer=self.issuer,
                client_id=self.client_id,
                backchannel=self.backchannel_url,
                http_client=lambda: self.http_client,
                request_options={"validate_cert": self.validate_server_cert, **self.http_request_kwargs},
                algorithms=[name for name in self.signing_algorithms if name in SIGNING_ALGORITHMS],
                leeway=self.clock_leeway,
            )
        return self._provider

    # Signing in. `authenticate` is oauthenticator's; it calls the following in this order.

    async def get_token_info(self, handler: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Exchange a code or a refresh token for tokens, and verify the identity token among them.

        Raises
        ------
        ProviderUnavailable, ProviderRefused
            The exchange failed.
        InvalidToken
            The identity token is missing or does not prove who signed in.
        """
        signing_in = params["grant_type"] == "authorization_code"
        metadata = await self.provider.metadata()
        form = {name: str(value) for name, value in params.items() if value is not None}
        headers = {}
        if self._uses_basic(metadata):
            form.pop("client_secret", None)
            form.pop("client_id", None)
            # RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
            credentials = f"{quote(self.client_id, safe='')}:{quote(self.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        token_info = await self.provider.fetch(
            self.provider.internal(metadata["token_endpoint"]), headers=headers, form=form
        )
        if not isinstance(token_info.get("access_token"), str):
            raise InvalidToken("the provider's answer has no access token")
        token_info.setdefault("token_type", "Bearer")
        id_token = token_info.get("id_token")
        if id_token:
            token_info["id_claims"] = await self.provider.verify(
                id_token,
                nonce=handler.nonce if signing_in else None,
                access_token=token_info["access_token"],
            )
        elif signing_in:
            raise InvalidToken("the provider's answer has no identity token: is the scope 'openid' requested?")
        now = time.time()
        try:
            lifetime = float(token_info.get("expires_in") or ASSUMED_LIFETIME)
        except (TypeError, ValueError):
            lifetime = ASSUMED_LIFETIME
        token_info["obtained_at"] = now
        token_info["expires_at"] = now + lifetime
        return token_info

    def _uses_basic(self, metadata: dict[str, Any]) -> bool:
        # Discovery 1.0 §3: without the list, basic is what a provider supports.
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return self.basic_auth or "client_secret_basic" in methods

    async def token_to_user(self, token_info: dict[str, Any]) -> dict[str, Any]:
        """Claims about the person: the identity token's, and over them what the provider says now.

        Raises
        ------
        ProviderUnavailable, ProviderRefused
            The claims cannot be fetched.
        InvalidToken
            They are about somebody else.
        """
        id_claims = token_info["id_claims"]
        claims = {name: value for name, value in id_claims.items() if name not in _TECHNICAL_CLAIMS}
        metadata = await self.provider.metadata()
        endpoint = metadata.get("userinfo_endpoint")
        if endpoint:
            answer = await self.provider.fetch(
                self.provider.internal(endpoint),
                headers={"Authorization": f"Bearer {token_info['access_token']}"},
            )
            # OpenID Connect Core 1.0 §5.3.2: otherwise the answer must not be used.
            if answer.get("sub") != id_claims["sub"]:
                raise InvalidToken("the provider answered with another person's claims")
            if not token_info.get("id_claims_are_new", True):
                # A person who has left the last group has no such claim any more; the old token's must not live on.
                claims.pop(self.groups_claim, None)
            claims.update(answer)
        return claims

    def user_info_to_username(self, user_info: dict[str, Any]) -> str:
        """The hub's name for the person.

        Raises
        ------
        tornado.web.HTTPError
            The provider gives none, or one that cannot be the name of a directory and a container.
        """
        claim = self.username_claim
        name = claim(user_info) if callable(claim) else user_info.get(claim)
        if not isinstance(name, str) or not name:
            self.log.error("The provider sends no claim %r", claim if isinstance(claim, str) else "(callable)")
            raise web.HTTPError(403, "The sign-in service has told us no user name for you. Ask an administrator.")
        if not is_hub_name(self.normalize_username(name)):
            self.log.warning("A user name that the provider sent is not usable here: %r", name[:80])
            raise web.HTTPError(
                403,
                "Your user name cannot be used here: it must start with a letter and consist of letters, digits and "
                "the characters . _ - @ + only, at most 63 in all. Ask an administrator.",
            )
        return name

    def build_auth_state_dict(self, token_info: dict[str, Any], user_info: dict[str, Any]) -> dict[str, Any]:
        """What is kept, encrypted, for the renewal and the logout."""
        state: dict[str, Any] = super().build_auth_state_dict(token_info, user_info)
        # Each token once: oauthenticator keeps the provider's answer beside the tokens taken out of it.
        del state["token_response"]
        for name in ("token_type", "id_claims", "obtained_at", "expires_at"):
            state[name] = token_info[name]
        return state

    async def get_user_groups(self, auth_state: dict[str, Any]) -> set[str]:
        """Groups out of the claim; a person in no group is no error."""
        groups = auth_state[self.user_auth_state_key].get(self.groups_claim) or []
        if isinstance(groups, str):
            groups = [groups]
        return {group for group in groups if isinstance(group, str) and group} if isinstance(groups, list) else set()

    async def update_auth_model(self, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Add the name that pages and shared notebooks show."""
        claims = auth_model["auth_state"][self.user_auth_state_key]
        shown = claims.get("name")
        if not isinstance(shown, str) or not shown.strip():
            shown = auth_model["name"]
        auth_model["user_info"] = {"name": auth_model["name"], "display_name": shown.strip()[:200]}
        return auth_model

    # Staying signed in.

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> bool | dict[str, Any]:
        """Whether `user` is still signed in, with new tokens where the old ones are old.

        Returns
        -------
        bool or dict
            True: nothing to change. False: a new sign-in is needed. A dictionary: what `authenticate` returns.
        """
        if not self.enable_auth_state:
            return True
        lock = self._locks.setdefault(user.name, asyncio.Lock())
        async with lock:
            # Read inside the lock: whoever waited finds what the first has stored.
            state = await user.get_auth_state()
            if self.refresh_user_hook is not None:
                refreshed: bool | dict[str, Any] | None = await self._call_refresh_user_hook(user, state)
                if refreshed is not None:
                    return refreshed
            if not state or "expires_at" not in state:
                return False
            now = time.time()
            due = state["expires_at"] - self.refresh_margin
            if self.refresh_interval:
                due = min(due, state["obtained_at"] + self.refresh_interval)
            if now < due:
                return True
            if time.monotonic() < self._no_attempt_before:
                return self._tolerate(user, state)
            try:
                model = await self._renew(user, state)
            except ProviderUnavailable as error:
                self._no_attempt_before = time.monotonic() + PAUSE_AFTER_FAILURE
                self.log.warning("Sign-in service: %s", error)
                return self._tolerate(user, state)
            except ProviderRefused as error:
                return self._after_refusal(user, state, error)
            except (OIDCError, web.HTTPError) as error:
                self.log.warning("The renewal for %s is not valid: %s", user.name, error)
                return False
            if model is None:
                return False
            # Stored before the lock is given up. The hub stores it as well, but only after this returns, and the
            # next one in the queue would use up a refresh token that is good for one use.
            await user.save_auth_state(model["auth_state"])
            return model

    def _tolerate(self, user: Any, state: dict[str, Any]) -> bool:
        """During an outage: valid until the expiry of the tokens and a while longer."""
        stays = time.time() < state["expires_at"] + self.outage_grace
        if not stays:
            self.log.warning("%s must sign in again: the tokens expired too long ago", user.name)
        return bool(stays)

    def _after_refusal(self, user: Any, state: dict[str, Any], error: ProviderRefused) -> bool:
        ours = error.code in OUR_FAULTS if error.code else error.status not in {400, 401, 403}
        if not ours:
            # The person's account or session: expired, revoked, locked, deleted. Providers disagree on the code.
            self.log.info("%s must sign in again: %s", user.name, error)
            return False
        # Our own configuration is wrong, which is no reason to throw everybody out at once.
        self._no_attempt_before = time.monotonic() + PAUSE_AFTER_FAILURE
        self.log.error("The provider refuses the hub's renewals: %s", error)
        return self._tolerate(user, state)

    async def _renew(self, user: Any, state: dict[str, Any]) -> dict[str, Any] | None:
        refresh_token = state.get("refresh_token")
        if refresh_token:
            token_info = await self.get_token_info(None, self.build_refresh_token_request_params(refresh_token))
            token_info["refresh_token"] = token_info.get("refresh_token") or refresh_token
        elif time.time() < state["expires_at"]:
            token_info = {name: state[name] for name in ("access_token", "token_type", "expires_at")}
            token_info["obtained_at"] = time.time()
        else:
            return None
        # A renewal need not bring an identity token; if it does, it is about the same person (Core 1.0 §12.2).
        old_claims = state["id_claims"]
        token_info["id_claims_are_new"] = "id_claims" in token_info
        token_info.setdefault("id_claims", old_claims)
        token_info["id_token"] = token_info.get("id_token") or state.get("id_token")
        token_info["scope"] = token_info.get("scope") or state.get("scope") or ""
        if any(token_info["id_claims"].get(name) != old_claims[name] for name in ("iss", "sub")):
            raise InvalidToken("the renewed identity token is about somebody else")
        model: dict[str, Any] = await self._token_to_auth_model(token_info)
        if model["name"] != user.name:
            raise InvalidToken("the person's user name has changed")
        return model


def keep_to_one_person(
    authenticator: SciServerAuthenticator, auth_model: dict[str, Any], existing: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Keep a name's files from a second person who was given the same name.

    A name can be taken again after its account was deleted at the provider. The subject identifier cannot (OpenID
    Connect Core 1.0 §2), so a change of it under one name and one issuer is a different person.

    Raises
    ------
    tornado.web.HTTPError
        The hub knows the name as somebody else's.
    """
    new: dict[str, Any] | None = auth_model.get("auth_state")
    known = (existing or {}).get("id_claims") or {}
    arriving = (new or {}).get("id_claims") or {}
    if known.get("iss") == arriving.get("iss") and known.get("sub") != arriving.get("sub"):
        authenticator.log.error("%s is another person than before: sign-in refused", auth_model["name"])
        raise web.HTTPError(
            403,
            f"The name {auth_model['name']} belonged to another account, whose files are still here. Ask an "
            "administrator to remove that user from the hub, or choose another name.",
        )
    return new
