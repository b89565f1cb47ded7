"""The hub as a client of its OpenID Connect provider: options, the exchange of codes and passwords, claims."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from oauthenticator.oauth2 import OAuthenticator
from traitlets import Integer, List, Unicode, default

from sciserver_auth.oidc import SIGNING_ALGORITHMS, InvalidToken, OIDCError, Provider

# Where the provider does not say how long its tokens last (RFC 6749 §5.1 only recommends it).
ASSUMED_LIFETIME = 3600

# Protocol claims that say nothing about the person.
_TECHNICAL_CLAIMS = {"iss", "aud", "exp", "iat", "nbf", "nonce", "at_hash", "c_hash", "azp", "auth_time", "acr", "amr"}


@dataclass(frozen=True)
class PasswordSignIn:
    """A name and a password that our own, rate-limited handler has received.

    The hub's REST API hands whatever a stranger sends to `authenticate`; only this type is taken for a password there.
    """

    name: str
    password: str = field(repr=False)


class PasswordsNotSupported(OIDCError):
    """The provider does not exchange passwords for tokens, which most public ones do not."""


class ProviderClient(OAuthenticator):
    """What the hub asks of its provider."""

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

    @default("scope")
    def _default_scope(self) -> list[str]:
        return ["openid", "profile", "email", "groups"]

    @default("client_id")
    def _default_client_id(self) -> str:
        return "jupyterhub"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._provider: Provider | None = None

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

    def build_access_tokens_request_params(self, handler: Any, data: Any) -> dict[str, Any]:
        """Parameters of the token request: for the code that the browser brought, or for a password.

        RFC 6749 §4.1.3, §4.3.2. The latter is deprecated (RFC 9700 §2.4), but SciServer's client libraries know
        nothing else (contract §2.1).
        """
        if not isinstance(data, PasswordSignIn):
            params: dict[str, Any] = super().build_access_tokens_request_params(handler, None)
            return params
        return {
            "grant_type": "password",
            "username": data.name,
            "password": data.password,
            "scope": " ".join(name for name in self.scope if name != "offline_access"),
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }

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
        # Discovery 1.0 §3: without the list, these two are what a provider supports.
        grants = metadata.get("grant_types_supported", ["authorization_code", "implicit"])
        if params["grant_type"] == "password" and "password" not in grants:
            raise PasswordsNotSupported("the provider does not exchange passwords for tokens")
        form = {name: str(value) for name, value in params.items() if value is not None}
        headers = self._client_authentication(metadata)
        if headers:
            form.pop("client_secret", None)
            form.pop("client_id", None)
        token_info = await self.provider.fetch(
            self.provider.internal(metadata["token_endpoint"]), headers=headers, form=form
        )
        if not isinstance(token_info.get("access_token"), str):
            raise InvalidToken("the provider's answer has no access token")
        token_info.setdefault("token_type", "Bearer")
        token_info["by_password"] = params["grant_type"] == "password"
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

    def _client_authentication(self, metadata: dict[str, Any]) -> dict[str, str]:
        """Headers that prove which client asks; empty where the proof belongs into the form."""
        # Discovery 1.0 §3: without the list, basic is what a provider supports.
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if not (self.basic_auth or "client_secret_basic" in methods):
            return {}
        # RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
        credentials = f"{quote(self.client_id, safe='')}:{quote(self.client_secret, safe='')}"
        return {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}

    async def token_to_user(self, token_info: dict[str, Any]) -> dict[str, Any]:
        """Claims about the person: the identity token's, and over them what the provider says now.

        Raises
        ------
        ProviderUnavailable, ProviderRefused
            The claims cannot be fetched.
        InvalidToken
            They are about somebody else.
        """
        id_claims = token_info.get("id_claims", {})
        claims = {name: value for name, value in id_claims.items() if name not in _TECHNICAL_CLAIMS}
        metadata = await self.provider.metadata()
        endpoint = metadata.get("userinfo_endpoint")
        if endpoint:
            answer = await self.provider.fetch(
                self.provider.internal(endpoint),
                headers={"Authorization": f"Bearer {token_info['access_token']}"},
            )
            if not id_claims and isinstance(answer.get("sub"), str) and answer["sub"]:
                # After a password there may be no identity token; the access token came straight from the provider.
                id_claims = token_info["id_claims"] = {"iss": self.issuer, "sub": answer["sub"]}
            # OpenID Connect Core 1.0 §5.3.2: otherwise the answer must not be used.
            if not id_claims or answer.get("sub") != id_claims["sub"]:
                raise InvalidToken("the provider answered with another person's claims")
            if not token_info.get("id_claims_are_new", True):
                claims = self.still_good(claims)
            claims.update(answer)
        if "id_claims" not in token_info:
            raise InvalidToken("the provider does not say who has signed in")
        return claims

    def still_good(self, old_claims: dict[str, Any]) -> dict[str, Any]:
        """What may be used of an old identity token when the provider's present answer lacks it."""
        raise NotImplementedError

    # Leaving.

    async def revoke_at_provider(self, tokens: dict[str, Any]) -> None:
        """Tell the provider that tokens are not needed any more (RFC 7009); nothing happens when it cannot be told."""
        try:
            metadata = await self.provider.metadata()
            endpoint = metadata.get("revocation_endpoint")
            for kind in ("refresh_token", "access_token"):
                if endpoint and tokens.get(kind):
                    headers = self._client_authentication(metadata)
                    form = {"token": tokens[kind], "token_type_hint": kind}
                    if not headers:
                        form |= {"client_id": self.client_id, "client_secret": self.client_secret}
                    await self.provider.send(self.provider.internal(endpoint), headers=headers, form=form)
        except OIDCError as error:
            self.log.warning("The provider could not be told that tokens are not used any more: %s", error)

    async def end_sessions_at_provider(self, subject: str, sid: str = "") -> None:
        """Have the embedded portal forget all its sessions of one person, or the one that `sid` names.

        Other providers have no such endpoint.

        Raises
        ------
        ProviderUnavailable, ProviderRefused
            It did not, so browsers elsewhere may still come in without a password.
        """
        metadata = await self.provider.metadata()
        endpoint = metadata.get("sciserver_end_sessions_endpoint")
        if endpoint:
            headers = self._client_authentication(metadata)
            form = {"sub": subject} | ({"sid": sid} if sid else {})
            await self.provider.send(self.provider.internal(endpoint), headers=headers, form=form)
