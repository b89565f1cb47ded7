"""An OpenID Connect provider seen from its client: discovery, signing keys, identity tokens, logout tokens.

Everything here is asked for at first use and kept: a hub starts, and keeps its users, while the provider is down.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import jwt
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from sciserver_auth import events

# Asymmetric ones only. "none" is no signature, and with HS* a provider's public key could be passed off as the secret.
SIGNING_ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)

DISCOVERY_ATTEMPTS = 3
DISCOVERY_AGE = 3600.0
KEYS_MIN_INTERVAL = 30.0
KEYS_AGE = 3600.0

# Back-Channel Logout 1.0 §2.4 recommends the first one; providers older than it send the second, or none.
LOGOUT_TYPES = {"logout+jwt", "jwt"}

# Logout tokens that are remembered, so that none is taken twice.
LOGOUTS_KEPT = 10_000

_ID_TOKEN = "the identity token"  # noqa: S105 - words for messages
_LOGOUT_TOKEN = "the logout token"  # noqa: S105


class OIDCError(Exception):
    """Base of this module's errors; the text never contains a token."""


class ProviderUnavailable(OIDCError):
    """The provider does not answer, or answers that it cannot at the moment."""


class ProviderRefused(OIDCError):
    """The provider has understood the request and refuses it.

    Attributes
    ----------
    code
        The error's code in the provider's answer, e.g. ``invalid_grant`` (RFC 6749 §5.2); may be empty.
    status
        The HTTP status.
    """

    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code
        super().__init__(f"the provider answered {status} {code}".rstrip())


class InvalidToken(OIDCError):
    """An identity token does not prove what it should."""


@dataclass
class Provider:
    """One identity provider.

    Parameters
    ----------
    issuer
        The provider's public identifier, a URL without a trailing slash unless the provider has it so.
    client_id
        Audience that identity tokens must be meant for.
    backchannel
        Where this process reaches what is below `issuer`, if not there. Endpoints elsewhere stay as they are.
    http_client
        Returns the client to fetch with.
    request_options
        More arguments for each request, e.g. ``validate_cert``.
    algorithms
        Signature algorithms that are accepted.
    leeway
        Seconds that the clocks may be apart.
    """

    issuer: str
    client_id: str
    backchannel: str = ""
    http_client: Callable[[], AsyncHTTPClient] = AsyncHTTPClient
    request_options: dict[str, Any] = field(default_factory=dict)
    algorithms: Collection[str] = SIGNING_ALGORITHMS
    leeway: float = 60.0

    _metadata: dict[str, Any] | None = None
    _metadata_time: float = 0.0
    _keys: list[jwt.PyJWK] = field(default_factory=list)
    _keys_time: float = float("-inf")
    _seen_logouts: dict[str, float] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def metadata(self) -> dict[str, Any]:
        """The provider's description of itself (OpenID Connect Discovery 1.0 §4).

        An old one is kept for as long as no new one can be had.

        Raises
        ------
        ProviderUnavailable
            There is none yet and the provider does not answer.
        ProviderRefused, InvalidToken
            What answers is not the configured issuer.
        """
        if self._metadata is not None and time.monotonic() - self._metadata_time < DISCOVERY_AGE:
            return self._metadata
        async with self._lock:
            if self._metadata is not None and time.monotonic() - self._metadata_time < DISCOVERY_AGE:
                return self._metadata
            try:
                self._metadata = await self._discover()
            except OIDCError:
                if self._metadata is None:
                    raise
            # Also after a failure: one attempt an hour is enough as long as the old document serves.
            self._metadata_time = time.monotonic()
            return self._metadata

    async def _discover(self) -> dict[str, Any]:
        url = self.internal(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        document = await _patiently(lambda: self.fetch(url))
        # §4.3: a mismatch means that another party answers under this address.
        if document.get("issuer") != self.issuer:
            raise InvalidToken(f"{url} describes another issuer than {self.issuer}")
        missing = {"authorization_endpoint", "token_endpoint", "jwks_uri"} - set(document)
        if missing:
            raise InvalidToken(f"{url} lacks {', '.join(sorted(missing))}")
        return document

    def internal(self, url: str) -> str:
        """The address at which this process reaches `url`, an endpoint of the provider."""
        if self.backchannel and url.startswith(f"{self.issuer.rstrip('/')}/"):
            return self.backchannel.rstrip("/") + url[len(self.issuer.rstrip("/")) :]
        return url

    async def fetch(
        self, url: str, *, headers: dict[str, str] | None = None, form: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """GET `url`, or POST a form to it, and read a JSON object.

        Raises
        ------
        ProviderUnavailable, ProviderRefused
            As `send`; also unavailable where the answer is something else.
        """
        document = await self.send(url, headers=headers, form=form)
        if document is None:
            raise ProviderUnavailable(f"{_address(url)}: the answer is not a JSON object")
        return document

    async def send(
        self, url: str, *, headers: dict[str, str] | None = None, form: dict[str, str] | None = None
    ) -> dict[str, Any] | None:
        """As `fetch`, where the answer may be empty; None where it is not a JSON object.

        Raises
        ------
        ProviderUnavailable
            No connection, no answer in time, or a status that passes (429, 5xx).
        ProviderRefused
            Another status than 2xx.
        """
        request = HTTPRequest(
            url,
            method="GET" if form is None else "POST",
            headers={"Accept": "application/json", "User-Agent": "JupyterHub", **(headers or {})},
            body=None if form is None else urlencode(form),
            **{"connect_timeout": 5, "request_timeout": 10, "follow_redirects": False, **self.request_options},
        )
        try:
            response = await self.http_client().fetch(request, raise_error=False)
        except (HTTPClientError, OSError, TimeoutError) as error:
            raise ProviderUnavailable(f"{_address(url)}: {type(error).__name__}") from None
        if response.code == 429 or response.code >= 500:
            raise ProviderUnavailable(f"{_address(url)}: HTTP {response.code}")
        document = _json_object(response)
        if not 200 <= response.code < 300:
            code = document.get("error") if document is not None else ""
            # Attacker-chosen text has no place in a log line: codes of RFC 6749 are short words.
            raise ProviderRefused(response.code, code if isinstance(code, str) and code.isidentifier() else "")
        return document

    async def verify(self, id_token: str, *, nonce: str | None = None, access_token: str = "") -> dict[str, Any]:
        """Check an identity token and return its claims (OpenID Connect Core 1.0 §3.1.3.7).

        Parameters
        ----------
        id_token
            The token.
        nonce
            What the token must repeat; None where none was sent, as in a renewal (§12.2).
        access_token
            Compared with ``at_hash`` where the token has it (§3.1.3.8).

        Raises
        ------
        InvalidToken
            The signature, issuer, audience, times, nonce or hash are not right.
        ProviderUnavailable
            The signing keys cannot be fetched.
        """
        claims, algorithm = await self._decode(id_token, _ID_TOKEN, require=["iss", "sub", "aud", "exp", "iat"])
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise InvalidToken("the identity token names no subject")
        audience = claims["aud"]
        party = claims.get("azp")
        if (isinstance(audience, list) and len(audience) > 1 and party is None) or party not in {None, self.client_id}:
            raise InvalidToken("the identity token was issued to another client")
        if nonce is not None and not _same(claims.get("nonce"), nonce):
            raise InvalidToken("the identity token belongs to another sign-in")
        if "at_hash" in claims and access_token:
            digest = jwt.get_algorithm_by_name(algorithm).compute_hash_digest(access_token.encode())
            if not _same(claims["at_hash"], jwt.utils.base64url_encode(digest[: len(digest) // 2]).decode()):
                raise InvalidToken("the access token is not the one that the identity token was issued with")
        return claims

    async def verify_logout(self, logout_token: str) -> dict[str, Any]:
        """Check a logout token and return its claims (OpenID Connect Back-Channel Logout 1.0 §2.6).

        A token is accepted once: a second time it raises, until `forget_logout` is called or it has expired.

        Raises
        ------
        InvalidToken
            It is not a logout token, is not meant for this client, names nobody, or was seen before.
        ProviderUnavailable
            The signing keys cannot be fetched.
        """
        claims, _ = await self._decode(
            logout_token, _LOGOUT_TOKEN, require=["iss", "aud", "exp", "iat", "jti", "events"], types=LOGOUT_TYPES
        )
        announced = claims["events"]
        if not isinstance(announced, dict) or not isinstance(announced.get(events.LOGOUT), dict):
            raise InvalidToken("the token announces no logout")
        # §2.4: what an identity token of ours always has, so that one cannot pass for the other.
        if "nonce" in claims:
            raise InvalidToken("the logout token has a nonce")
        named = [claims[name] for name in ("sub", "sid") if name in claims]
        if not named or not all(isinstance(value, str) and value for value in named):
            raise InvalidToken("the logout token names neither a person nor a session")
        self._accept_once(claims)
        return claims

    def forget_logout(self, claims: dict[str, Any]) -> None:
        """Let the provider send a logout token again, since it has had no effect yet."""
        self._seen_logouts.pop(claims["jti"], None)

    def _accept_once(self, claims: dict[str, Any]) -> None:
        now = time.time()
        if self._seen_logouts.get(claims["jti"], 0.0) > now:
            raise InvalidToken("the logout token was used before")
        if len(self._seen_logouts) >= LOGOUTS_KEPT:
            self._seen_logouts = {jti: end for jti, end in self._seen_logouts.items() if end > now}
        while len(self._seen_logouts) >= LOGOUTS_KEPT:
            # Only the provider can fill this. What an old token could do a second time is little: sign somebody out.
            del self._seen_logouts[next(iter(self._seen_logouts))]
        self._seen_logouts[claims["jti"]] = float(claims["exp"]) + self.leeway

    async def _decode(
        self, token: str, what: str, *, require: list[str], types: Collection[str] | None = None
    ) -> tuple[dict[str, Any], str]:
        """Claims of a token that the provider has signed for this client, and the algorithm."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError) as error:
            raise InvalidToken(f"{what} cannot be read ({type(error).__name__})") from None
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self.algorithms:
            raise InvalidToken(f"{what}'s signature algorithm is not accepted")
        if types is not None and str(header.get("typ", "JWT")).lower().removeprefix("application/") not in types:
            raise InvalidToken(f"{what} is of another kind")
        kid = header.get("kid")
        key = await self._signing_key(kid if isinstance(kid, str) else None, algorithm, what)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self.client_id,
                issuer=self.issuer,
                leeway=self.leeway,
                options={"require": require},
            )
        except (jwt.PyJWTError, TypeError, ValueError, OverflowError) as error:
            raise InvalidToken(f"{what} is not valid ({type(error).__name__})") from None
        return claims, algorithm

    async def _signing_key(self, kid: str | None, algorithm: str, what: str) -> jwt.PyJWK:
        key = self._find_key(kid, algorithm)
        if key is None or self._keys_age() > KEYS_AGE:
            async with self._lock:
                key = self._find_key(kid, algorithm)
                # Once for all that waited, and not more often for a key that is unknown: forged tokens would make us
                # flood the provider.
                if self._keys_age() > (KEYS_MIN_INTERVAL if key is None else KEYS_AGE):
                    try:
                        self._keys = await self._fetch_keys()
                    except OIDCError:
                        if key is None:
                            raise
                    else:
                        key = self._find_key(kid, algorithm)
                    self._keys_time = time.monotonic()
        if key is None:
            raise InvalidToken(f"{what}'s key is not one of the provider's")
        return key

    def _keys_age(self) -> float:
        return time.monotonic() - self._keys_time

    async def _fetch_keys(self) -> list[jwt.PyJWK]:
        # `metadata` takes the lock that is held here; tokens arrive after discovery, so the document is there.
        document = self._metadata or await self._discover()
        self._metadata = document
        answer = await self.fetch(self.internal(document["jwks_uri"]))
        keys = []
        for entry in answer.get("keys") or []:
            # A set may hold keys for encryption and kinds that this library does not know (RFC 7517 §5).
            if isinstance(entry, dict) and entry.get("use", "sig") == "sig" and entry.get("kty") != "oct":
                try:
                    keys.append(jwt.PyJWK(entry))
                except jwt.PyJWTError:
                    continue
        return keys

    def _find_key(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        kinds = {"R": "RSA", "P": "RSA", "E": "OKP" if algorithm == "EdDSA" else "EC"}
        fitting = [key for key in self._keys if key.key_type == kinds[algorithm[0]]]
        if kid is not None:
            return next((key for key in fitting if key.key_id == kid), None)
        return fitting[0] if len(fitting) == 1 else None


async def _patiently(fetch: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Try a few times within about two seconds: the provider starts together with the hub."""
    for attempt in range(1, DISCOVERY_ATTEMPTS):
        try:
            return await fetch()
        except ProviderUnavailable:
            await asyncio.sleep(0.5 * attempt)
    return await fetch()


def _json_object(response: HTTPResponse) -> dict[str, Any] | None:
    try:
        document = json.loads(response.body or b"")
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _same(given: object, expected: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())


def _address(url: str) -> str:
    """A URL for a log line: without its query."""
    return url.split("?", 1)[0]
