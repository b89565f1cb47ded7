"""Discovery, keys and identity tokens against a provider that speaks real HTTP."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.utils import base64url_encode
from oidc_server import CLIENT_ID, OIDCServer

from sciserver_auth import oidc
from sciserver_auth.names import is_hub_name, is_portal_name
from sciserver_auth.oidc import InvalidToken, Provider, ProviderUnavailable


@pytest.fixture
async def provider(server: OIDCServer) -> Provider:
    provider = Provider(issuer=server.issuer, client_id=CLIENT_ID)
    await provider.metadata()
    return provider


async def test_good_token(server: OIDCServer, provider: Provider) -> None:
    claims = await provider.verify(server.id_token(nonce="n"), nonce="n")
    assert claims["sub"] == "1234"
    await provider.verify(server.id_token(nonce="n"), nonce="n")
    assert server.requests == {"discovery": 1, "jwks": 1}


def _now(seconds: int) -> int:
    return int(time.time()) + seconds


BAD_TOKENS: dict[str, Callable[[OIDCServer], str]] = {
    "wrong audience": lambda s: s.id_token(nonce="n", aud="other"),
    "several audiences without party": lambda s: s.id_token(nonce="n", aud=[CLIENT_ID, "other"]),
    "issued to another": lambda s: s.id_token(nonce="n", azp="other"),
    "wrong issuer": lambda s: s.id_token(nonce="n", iss="http://evil.example"),
    "expired": lambda s: s.id_token(nonce="n", exp=_now(-120)),
    "from the future": lambda s: s.id_token(nonce="n", iat=_now(120)),
    "without expiry": lambda s: s.id_token(nonce="n", exp=None),
    "without subject": lambda s: s.id_token(nonce="n", sub=None),
    "empty subject": lambda s: s.id_token(nonce="n", sub=""),
    "wrong nonce": lambda s: s.id_token(nonce="other"),
    "no nonce": lambda s: s.id_token(),
    "nonce of another type": lambda s: s.id_token(nonce=["n"]),
    "unsigned": lambda s: jwt.encode({"sub": "1234", "nonce": "n"}, None, algorithm="none"),
    "forged key": lambda s: s.id_token(nonce="n", key=rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    "other kind of key": lambda s: s.id_token(nonce="n", key=ec.generate_private_key(ec.SECP256R1()), alg="ES256"),
    "public key as secret": lambda s: _signed_with_public_key(s),
    "wrong hash of the access token": lambda s: s.id_token(nonce="n", at_hash="AAAA"),
    "garbage": lambda s: "not.a.token",
    "empty": lambda s: "",
    "tampered": lambda s: s.id_token(nonce="n")[:-10] + "AAAAAAAAAA",
}


def _signed_with_public_key(server: OIDCServer) -> str:
    # By hand, since the library would not do it.
    public = server.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    payload = server.id_token(nonce="n").split(".")[1]
    header = base64url_encode(json.dumps({"alg": "HS256", "typ": "JWT", "kid": server.kid}).encode()).decode()
    signed = f"{header}.{payload}"
    return f"{signed}.{base64url_encode(hmac.digest(public, signed.encode(), 'sha256')).decode()}"


@pytest.mark.parametrize("kind", BAD_TOKENS)
async def test_bad_token(server: OIDCServer, provider: Provider, kind: str) -> None:
    token = BAD_TOKENS[kind](server)
    with pytest.raises(InvalidToken) as caught:
        await provider.verify(token, nonce="n", access_token="an access token")
    assert not token or token not in str(caught.value)


async def test_clock_may_be_a_little_off(server: OIDCServer, provider: Provider) -> None:
    await provider.verify(server.id_token(iat=_now(30), exp=_now(330)))
    await provider.verify(server.id_token(exp=_now(-30)))


async def test_changed_key_is_fetched_and_forgeries_do_not_flood(
    server: OIDCServer, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await provider.verify(server.id_token())
    server.rotate_key()
    with pytest.raises(InvalidToken):
        # Fetched a moment ago.
        await provider.verify(server.id_token())
    assert server.requests["jwks"] == 1
    monkeypatch.setattr(oidc, "KEYS_MIN_INTERVAL", 0.0)
    await provider.verify(server.id_token())
    assert server.requests["jwks"] == 2
    monkeypatch.undo()
    for number in range(20):
        with pytest.raises(InvalidToken):
            await provider.verify(server.id_token(kid=f"made up {number}"))
    assert server.requests["jwks"] == 2
    # Without a name for the key, the only fitting one is meant.
    await provider.verify(server.id_token(kid=None))


async def test_discovery_of_another_issuer_is_refused(server: OIDCServer) -> None:
    server.issuer = "http://evil.example"
    with pytest.raises(InvalidToken, match="another issuer"):
        await Provider(issuer=server.url, client_id=CLIENT_ID).metadata()


async def test_discovery_waits_for_a_provider_that_starts(server: OIDCServer) -> None:
    provider = Provider(issuer=server.issuer, client_id=CLIENT_ID)
    server.down = True
    with pytest.raises(ProviderUnavailable):
        await provider.metadata()
    assert server.requests["discovery"] == oidc.DISCOVERY_ATTEMPTS
    server.down = False
    assert (await provider.metadata())["issuer"] == server.issuer


async def test_backchannel_replaces_the_issuers_base_only(server: OIDCServer) -> None:
    server.issuer = "https://public.example/services/portal"
    provider = Provider(issuer=server.issuer, client_id=CLIENT_ID, backchannel=server.url)
    document = await provider.metadata()
    assert document["authorization_endpoint"] == "https://public.example/services/portal/authorize"
    assert provider.internal(document["token_endpoint"]) == f"{server.url}/token"
    assert provider.internal("https://public.example/services/portal-evil/x").startswith("https://public.example/")
    await provider.verify(server.id_token())


@pytest.mark.parametrize(
    ("name", "portal", "hub"),
    [
        ("ada", True, True),
        ("ada@x.org", False, True),
        ("Ada", False, False),
        ("a/b", False, False),
        ("a..b", False, False),
        ("ada.", False, False),
        ("", False, False),
        ("ada\n", False, False),
        ("a" * 63, True, True),
        ("a" * 64, False, False),
    ],
)
def test_names(name: str, portal: bool, hub: bool) -> None:
    assert is_portal_name(name) is portal
    assert is_hub_name(name) is hub


def test_no_symmetric_algorithm_can_be_configured() -> None:
    assert not {"none", "HS256", "HS384", "HS512"} & set(oidc.SIGNING_ALGORITHMS)
