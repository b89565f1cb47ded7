"""A small OpenID Connect provider that can be told to misbehave; it speaks real HTTP."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

CLIENT_ID = "jupyterhub"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"


class OIDCServer:
    """One provider with one user; counts what it is asked."""

    def __init__(self) -> None:
        self.socket, port = bind_unused_port(address="127.0.0.1")
        self.url = f"http://127.0.0.1:{port}/realm"
        self.issuer = self.url
        self.lifetime = 3600
        self.down = False
        self.keys_down = False
        self.refusal: str | None = None
        self.claims: dict[str, Any] = {
            "sub": "1234",
            "preferred_username": "Ada",
            "name": "Ada L.",
            "groups": ["stars"],
        }
        self.requests: dict[str, int] = {}
        self.refresh_token = secrets.token_urlsafe(12)
        self.access_token = secrets.token_urlsafe(12)
        self.basic_seen: list[str] = []
        self.code = ""
        self.nonce: str | None = None
        self.rotate_key()
        application = web.Application(
            [
                (r"/realm/\.well-known/openid-configuration", _Handler, {"server": self, "name": "discovery"}),
                (r"/realm/(?:authorize)", _Handler, {"server": self, "name": "authorize"}),
                (r"/realm/(?:jwks)", _Handler, {"server": self, "name": "jwks"}),
                (r"/realm/(?:token)", _Handler, {"server": self, "name": "token"}),
                (r"/realm/(?:userinfo)", _Handler, {"server": self, "name": "userinfo"}),
            ]
        )
        self.http = HTTPServer(application)
        self.http.add_socket(self.socket)

    async def close(self) -> None:
        self.http.stop()
        await self.http.close_all_connections()

    def rotate_key(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.kid = secrets.token_hex(4)

    def id_token(self, *, key: Any = None, alg: str = "RS256", kid: str | None = "", **changes: Any) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, **self.claims, **changes}
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": self.kid if kid == "" else kid} if kid is not None else {}
        return jwt.encode(claims, self.key if key is None else key, algorithm=alg, headers=headers)

    def logout_token(
        self,
        *,
        key: Any = None,
        alg: str = "RS256",
        kid: str | None = "",
        typ: str | None = "logout+jwt",
        **changes: Any,
    ) -> str:
        """A logout token about the user; None takes a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": self.claims["sub"],
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_hex(8),
            "events": {LOGOUT_EVENT: {}},
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": kid or self.kid, "typ": typ}
        return jwt.encode(claims, self.key if key is None else key, algorithm="RS256", headers=headers)

    def discovery(self, request: web.RequestHandler) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
        }

    def authorize(self, request: web.RequestHandler) -> None:
        """Sign the user in at once: there is one, and no page."""
        self.code = secrets.token_urlsafe(12)
        self.nonce = request.get_query_argument("nonce", None)
        answer = {"code": self.code, "state": request.get_query_argument("state")}
        request.redirect(f"{request.get_query_argument('redirect_uri')}?{urlencode(answer)}")

    def jwks(self, request: web.RequestHandler) -> dict[str, Any] | None:
        if self.keys_down:
            request.set_status(503)
            return None
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        unusable = {"kty": "XYZ", "kid": "new kind"}
        return {"keys": [unusable, {**public, "kid": self.kid, "use": "sig", "alg": "RS256"}]}

    def token(self, request: web.RequestHandler) -> dict[str, Any] | None:
        if request.get_body_argument("code", ""):
            return self.first_tokens(request)
        if self.refusal or request.get_body_argument("refresh_token") != self.refresh_token:
            request.set_status(401 if self.refusal == "invalid_client" else 400)
            return {"error": self.refusal or "invalid_grant"}
        self.refresh_token = secrets.token_urlsafe(12)
        self.access_token = secrets.token_urlsafe(12)
        return {
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "token_type": "Bearer",
            "expires_in": self.lifetime,
        }

    def first_tokens(self, request: web.RequestHandler) -> dict[str, Any]:
        if not self.code or request.get_body_argument("code") != self.code:
            request.set_status(400)
            return {"error": "invalid_grant"}
        self.code = ""
        self.refresh_token = secrets.token_urlsafe(12)
        self.access_token = secrets.token_urlsafe(12)
        return {
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "id_token": self.id_token(nonce=self.nonce),
            "token_type": "Bearer",
            "expires_in": self.lifetime,
        }

    def userinfo(self, request: web.RequestHandler) -> dict[str, Any]:
        if request.request.headers.get("Authorization") != f"Bearer {self.access_token}":
            request.set_status(401)
            return {"error": "invalid_token"}
        return self.claims


class _Handler(web.RequestHandler):
    def initialize(self, server: OIDCServer, name: str) -> None:
        self.server, self.name = server, name

    async def get(self) -> None:
        self.server.requests[self.name] = self.server.requests.get(self.name, 0) + 1
        if self.server.down:
            self.set_status(503)
            return
        answer = getattr(self.server, self.name)(self)
        if answer is not None:
            self.write(answer)

    post = get
