"""Providers that behave as Keycloak, CILogon and Globus document it; real HTTP, in a thread of the tests.

What each publishes about itself is in `discovery/*.json`, after the providers' documentation and source, with the host
replaced. What it refuses, which claims it sends where, and when it gives refresh tokens is here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.httputil import url_concat
from tornado.testing import bind_unused_port

DISCOVERY = Path(__file__).parent / "discovery"
PROFILE = {"name", "given_name", "family_name"}


@dataclass(frozen=True)
class Shape:
    """How a provider differs from the others.

    Attributes
    ----------
    path
        Path of the issuer.
    scopes
        Claims that each scope releases. Claims that no scope names are sent to everybody (mappers of the client).
    unknown_scopes
        ``refuse`` with ``invalid_scope``, or ``ignore``.
    refresh
        When a refresh token is given: ``always``, or with an authorization parameter, ``(name, value)``.
    rotates
        Whether a refresh token is good for one use.
    renews_id_token
        Whether a renewal brings an identity token.
    algorithm
        Of the signature.
    lifetime
        Seconds of an access token.
    """

    path: str
    scopes: dict[str, set[str]]
    unknown_scopes: str
    refresh: str | tuple[str, str] = "always"
    rotates: bool = False
    renews_id_token: bool = True
    algorithm: str = "RS256"
    lifetime: int = 300


SHAPES = {
    # Scopes that are not assigned to the client are refused; direct access grants are the client's to allow.
    "keycloak": Shape(
        path="/realms/astro",
        scopes={
            "openid": set(),
            "profile": PROFILE | {"preferred_username"},
            "email": {"email", "email_verified"},
            "roles": set(),
            "offline_access": set(),
        },
        unknown_scopes="refuse",
    ),
    # Scopes are intersected with the registered ones; a missing attribute is a missing claim.
    "cilogon": Shape(
        path="",
        scopes={
            "openid": set(),
            "email": {"email"},
            "profile": PROFILE,
            "org.cilogon.userinfo": {
                "eppn",
                "eptid",
                "idp",
                "idp_name",
                "affiliation",
                "ou",
                "oidc",
                "acr",
                "isMemberOf",
            },
            "offline_access": set(),
        },
        unknown_scopes="ignore",
        rotates=True,
        lifetime=900,
    ),
    # Names are in `profile`; a renewal brings no identity token.
    "globus": Shape(
        path="",
        scopes={
            "openid": {"last_authentication"},
            "profile": {
                "name",
                "preferred_username",
                "organization",
                "identity_provider",
                "identity_provider_display_name",
            },
            "email": {"email"},
        },
        unknown_scopes="refuse",
        refresh=("access_type", "offline"),
        renews_id_token=False,
        algorithm="RS512",
        lifetime=172800,
    ),
}


@dataclass
class Grant:
    """What a code or a token stands for."""

    person: str
    scopes: list[str]
    session: str = ""
    redirect_uri: str = ""
    challenge: str = ""
    nonce: str = ""
    renewable: bool = False
    auth_time: int = field(default_factory=lambda: int(time.time()))


class ShapedProvider:
    """One provider, in a thread with an event loop of its own.

    Parameters
    ----------
    shape
        A key of `SHAPES`.
    redirect_uri, post_logout_redirect_uri
        What is registered for the client; anything else is refused.

    Attributes
    ----------
    people
        Claims by name; the password of each is the name backwards.
    discovery
        The published document; a test may change it.
    logged_out
        Post-logout addresses that browsers were sent to.
    refuse_passwords
        This client may not exchange passwords, although the provider publishes that it does.
    requests
        How often each endpoint was asked.
    """

    client_id = "sciserver"

    def __init__(self, shape: str, redirect_uri: str, post_logout_redirect_uri: str = "") -> None:
        self.shape = SHAPES[shape]
        self.redirect_uri = redirect_uri
        self.post_logout_redirect_uri = post_logout_redirect_uri
        self.client_secret = secrets.token_urlsafe(16)
        self.people: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, Grant] = {}
        self.access_tokens: dict[str, Grant] = {}
        self.refresh_tokens: dict[str, Grant] = {}
        self.sessions: dict[str, str] = {}
        self.logged_out: list[str] = []
        self.revoked: list[str] = []
        self.requests: dict[str, int] = {}
        self.lifetime = self.shape.lifetime
        self.refuse_passwords = False
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.socket, port = bind_unused_port(address="127.0.0.1")
        self.origin = f"http://127.0.0.1:{port}"
        self.issuer = self.origin + self.shape.path
        text = (DISCOVERY / f"{shape}.json").read_text()
        self.discovery: dict[str, Any] = json.loads(text.replace("{issuer}", self.issuer))
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = HTTPServer(web.Application(self._routes()))
        server.add_socket(self.socket)
        self._ready.set()
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def _routes(self) -> list[Any]:
        endpoints = {
            "authorization_endpoint": AuthorizeHandler,
            "token_endpoint": TokenHandler,
            "userinfo_endpoint": UserInfoHandler,
            "jwks_uri": KeysHandler,
            "revocation_endpoint": RevokeHandler,
            "end_session_endpoint": EndSessionHandler,
        }
        # From the published addresses, so that a test which hides one of them does not change the others.
        routes = [
            (self.discovery[name].removeprefix(self.origin), handler, {"provider": self})
            for name, handler in endpoints.items()
            if name in self.discovery
        ]
        well_known = f"{self.shape.path}/.well-known/openid-configuration"
        return [
            *routes,
            (well_known, DiscoveryHandler, {"provider": self}),
            ("/v2/web/logout", LogoutPageHandler, {"provider": self}),
            ("/logout", LogoutPageHandler, {"provider": self}),
        ]

    def claims(self, grant: Grant) -> dict[str, Any]:
        """What the granted scopes release about the person."""
        scoped = set().union(*self.shape.scopes.values())
        released = set().union(*(self.shape.scopes[scope] for scope in grant.scopes))
        person = self.people[grant.person]
        return {name: value for name, value in person.items() if name not in scoped or name in released}

    def tokens(self, grant: Grant, *, id_token: bool) -> dict[str, Any]:
        access_token = secrets.token_urlsafe(24)
        self.access_tokens[access_token] = grant
        answer: dict[str, Any] = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "scope": " ".join(grant.scopes),
        }
        if grant.renewable:
            answer["refresh_token"] = secrets.token_urlsafe(24)
            self.refresh_tokens[answer["refresh_token"]] = grant
        if id_token:
            answer["id_token"] = self._id_token(grant, access_token)
        return answer

    def _id_token(self, grant: Grant, access_token: str) -> str:
        algorithm = self.shape.algorithm
        digest = hashlib.new(f"sha{algorithm[2:]}", access_token.encode()).digest()
        now = int(time.time())
        claims = {
            **self.claims(grant),
            "iss": self.issuer,
            "aud": self.client_id,
            "iat": now,
            "exp": now + 300,
            "auth_time": grant.auth_time,
            "at_hash": base64.urlsafe_b64encode(digest[: len(digest) // 2]).decode().rstrip("="),
        }
        if grant.nonce:
            claims["nonce"] = grant.nonce
        if grant.session:
            claims["sid"] = grant.session
        return jwt.encode(claims, self.key, algorithm=algorithm, headers={"kid": "first"})


class Handler(web.RequestHandler):
    """What the endpoints share."""

    def initialize(self, provider: ShapedProvider) -> None:
        self.provider = provider

    def prepare(self) -> None:
        name = type(self).__name__.removesuffix("Handler").lower()
        self.provider.requests[name] = self.provider.requests.get(name, 0) + 1

    def log_request(self) -> None:
        pass

    def refuse(self, code: str, status: int = 400) -> None:
        self.set_status(status)
        self.finish({"error": code, "error_description": "as the provider puts it"})

    def client_is_known(self) -> bool:
        """Client authentication with a method that the provider publishes (Discovery 1.0 §3)."""
        methods = self.provider.discovery.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        header = self.request.headers.get("Authorization", "")
        if header.startswith("Basic ") and "client_secret_basic" in methods:
            given = base64.b64decode(header[6:]).decode().split(":", 1)
            given = [unquote(part) for part in given]
        elif "client_secret_post" in methods:
            given = [self.get_body_argument("client_id", ""), self.get_body_argument("client_secret", "")]
        else:
            return False
        return given == [self.provider.client_id, self.provider.client_secret]


class DiscoveryHandler(Handler):
    def get(self) -> None:
        self.write(self.provider.discovery)


class KeysHandler(Handler):
    def get(self) -> None:
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.provider.key.public_key()))
        self.write({"keys": [{**key, "kid": "first", "use": "sig", "alg": self.provider.shape.algorithm}]})


class AuthorizeHandler(Handler):
    """A page with a form for name and password, unless the browser has a session."""

    def get(self) -> None:
        if not self._request_is_good():
            return
        person = self.provider.sessions.get(self.get_cookie("provider-session", ""))
        if person and self.get_query_argument("prompt", "") != "login":
            self._send_back(person, self.get_cookie("provider-session", ""))
            return
        action = html.escape(self.request.uri)
        self.write(
            f'<title>Provider</title><form method="post" action="{action}">'
            '<input name="login"><input name="password" type="password"></form>'
        )

    def post(self) -> None:
        if not self._request_is_good():
            return
        person = self.get_body_argument("login")
        if person not in self.provider.people or self.get_body_argument("password") != person[::-1]:
            self.set_status(401)
            self.write("Wrong name or password")
            return
        session = secrets.token_hex(8)
        self.provider.sessions[session] = person
        self.set_cookie("provider-session", session, httponly=True)
        self._send_back(person, session)

    def _request_is_good(self) -> bool:
        wanted = {"client_id": self.provider.client_id, "redirect_uri": self.provider.redirect_uri}
        if any(self.get_query_argument(name, "") != value for name, value in wanted.items()):
            # RFC 6749 §4.1.2.1: never sent back to an address that is not registered.
            self.set_status(400)
            self.write("Invalid parameter: redirect_uri or client_id")
            return False
        problem = ""
        if self.get_query_argument("response_type", "") != "code":
            problem = "unsupported_response_type"
        elif self.get_query_argument("code_challenge_method", "") != "S256":
            problem = "invalid_request"
        elif self.provider.shape.unknown_scopes == "refuse" and set(self._asked()) - set(self.provider.shape.scopes):
            problem = "invalid_scope"
        if problem:
            self._redirect(error=problem)
        return not problem

    def _asked(self) -> list[str]:
        return self.get_query_argument("scope", "").split()

    def _redirect(self, **parameters: str) -> None:
        self.redirect(url_concat(self.provider.redirect_uri, parameters | {"state": self.get_query_argument("state")}))

    def _send_back(self, person: str, session: str) -> None:
        refresh = self.provider.shape.refresh
        code = secrets.token_urlsafe(16)
        self.provider.codes[code] = Grant(
            person=person,
            scopes=[scope for scope in self._asked() if scope in self.provider.shape.scopes],
            session=session,
            redirect_uri=self.get_query_argument("redirect_uri"),
            challenge=self.get_query_argument("code_challenge"),
            nonce=self.get_query_argument("nonce", ""),
            renewable=refresh == "always" or self.get_query_argument(refresh[0], "") == refresh[1],
        )
        self._redirect(code=code)


class TokenHandler(Handler):
    def post(self) -> None:
        provider = self.provider
        if not self.client_is_known():
            return self.refuse("invalid_client", 401)
        kind = self.get_body_argument("grant_type")
        # "web" is how CILogon's software names the code flow as well.
        if kind not in provider.discovery.get("grant_types_supported", ["authorization_code", "refresh_token"]):
            return self.refuse("unsupported_grant_type")
        if kind == "authorization_code":
            grant = provider.codes.pop(self.get_body_argument("code", ""), None)
            verifier = self.get_body_argument("code_verifier", "")
            digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
            if not grant or digest != grant.challenge or self.get_body_argument("redirect_uri") != grant.redirect_uri:
                return self.refuse("invalid_grant")
            return self.finish(provider.tokens(grant, id_token=True))
        if kind == "refresh_token":
            token = self.get_body_argument("refresh_token", "")
            grant = provider.refresh_tokens.get(token)
            if grant is None or grant.person not in provider.people:
                return self.refuse("invalid_grant")
            if provider.shape.rotates:
                del provider.refresh_tokens[token]
            return self.finish(provider.tokens(grant, id_token=provider.shape.renews_id_token))
        if kind == "password" and provider.refuse_passwords:
            return self.refuse("unauthorized_client")
        if kind == "password":
            person = self.get_body_argument("username")
            if person not in provider.people or self.get_body_argument("password") != person[::-1]:
                return self.refuse("invalid_grant", 401)
            asked = self.get_body_argument("scope", "").split()
            if set(asked) - set(provider.shape.scopes):
                return self.refuse("invalid_scope")
            return self.finish(provider.tokens(Grant(person, asked, renewable=True), id_token="openid" in asked))
        return self.refuse("unsupported_grant_type")


class UserInfoHandler(Handler):
    def get(self) -> None:
        grant = self.provider.access_tokens.get(self.request.headers.get("Authorization", "").removeprefix("Bearer "))
        if grant is None or grant.person not in self.provider.people:
            self.set_header("WWW-Authenticate", 'Bearer error="invalid_token"')
            return self.refuse("invalid_token", 401)
        return self.finish(self.provider.claims(grant))


class RevokeHandler(Handler):
    def post(self) -> None:
        if not self.client_is_known():
            return self.refuse("invalid_client", 401)
        token = self.get_body_argument("token")
        self.provider.revoked.append(token)
        self.provider.access_tokens.pop(token, None)
        self.provider.refresh_tokens.pop(token, None)
        return self.finish()


class EndSessionHandler(Handler):
    """RP-Initiated Logout 1.0: with a hint and a registered address, no question is asked."""

    def get(self) -> None:
        provider = self.provider
        hint = self.get_query_argument("id_token_hint", "")
        try:
            claims = jwt.decode(
                hint,
                provider.key.public_key(),
                algorithms=[provider.shape.algorithm],
                audience=provider.client_id,
                options={"verify_exp": False},
            )
        except jwt.PyJWTError:
            self.set_status(400)
            self.write("Do you want to sign out?")
            return
        target = self.get_query_argument("post_logout_redirect_uri", "")
        if target != provider.post_logout_redirect_uri:
            self.set_status(400)
            self.write("Invalid redirect uri")
            return
        for session, person in list(provider.sessions.items()):
            if session == claims.get("sid") or session == self.get_cookie("provider-session"):
                assert provider.people[person]["sub"] == claims["sub"]
                del provider.sessions[session]
        provider.logged_out.append(target)
        self.redirect(target)


class LogoutPageHandler(Handler):
    """A page of Globus' and CILogon's own that ends the session; Globus' offers a link back, none redirects."""

    def get(self) -> None:
        self.provider.sessions.pop(self.get_cookie("provider-session", ""), None)
        target = html.escape(self.get_query_argument("redirect_uri", ""))
        name = html.escape(self.get_query_argument("redirect_name", ""))
        self.write("You are signed out." + (f" <a href='{target}'>{name}</a>" if target else ""))


def authorize_url(provider: ShapedProvider, **parameters: str) -> str:
    """An authorization request as the hub would send it, to be changed by a test."""
    usual = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": provider.redirect_uri,
        "scope": "openid",
        "state": "s",
        "code_challenge": "c",
        "code_challenge_method": "S256",
    }
    return f"{provider.discovery['authorization_endpoint']}?{urlencode(usual | parameters)}"
