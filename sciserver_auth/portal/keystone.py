"""The token API of SciServer's client libraries, a small part of OpenStack's Keystone (contract §2).

A token of this API is a token of the hub. The hub makes it and says what it is worth; nothing is stored here.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
from jupyterhub.httpclient import fetch
from tornado.web import RequestHandler

from sciserver_auth.portal.handlers import Handler, Problem, log
from sciserver_auth.portal.limits import LimitReachedError, Limits
from sciserver_common.credentials import AmbiguousCredentials, credentials
from sciserver_common.hub_auth import HubUnavailable, ServiceAuth
from sciserver_common.scopes import SIGN_ON_PASSWORD

# Seconds that a refusal takes at least, from the start of the request. Longer than any check of a password on a
# machine that is not overloaded, so that the time does not tell whether the name is known.
REFUSAL_TIME = 1.0

# Seconds. The hub asks the provider in turn.
CONNECT_TIMEOUT = 5
SIGN_IN_TIMEOUT = 30
REVOKE_TIMEOUT = 10

RETRY_AFTER = "10"

LONGEST_NAME = 255
# passlib, and so the portal's own accounts, take no more.
LONGEST_PASSWORD = 4096

DOMAIN = {"id": "default", "name": "Default"}

BODY = '{"auth": {"identity": {"password": {"user": {"name": "<user name>", "password": "<password>"}}}}}'
WRONG = "The user name or the password is wrong."
NOT_VALID = "The token is not valid: it is unknown, expired or revoked."
NO_HUB = "The sign-in service is not answering. Try again in a minute."


class TokenAPI(Handler):
    """Base of the routes: errors in Keystone's form, nothing for caches."""

    @property
    def hub(self) -> ServiceAuth:
        return self.settings["hub"]

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/json")

    def write_error(self, status_code: int, **keywords: Any) -> None:
        text = self.error_text(status_code, keywords.get("exc_info"))
        self.finish(json.dumps({"error": {"code": status_code, "title": self._reason, "message": text}}))

    def header_token(self, *names: str) -> str:
        """The token in the first of these headers that is there; "" for none."""
        for name in names:
            if value := self.request.headers.get(name, "").strip():
                return value
        return ""

    async def find(self, token: str) -> dict[str, Any]:
        """The hub's model of a person's token.

        Raises
        ------
        Problem
            404: there is no such token. 503: the hub does not answer.
        """
        try:
            model = await self.hub.model(token)
        except HubUnavailable as error:
            raise Problem(503, NO_HUB, {"Retry-After": RETRY_AFTER}) from error
        # A service's token is nobody's here: no person stands behind it.
        if model is None or model["kind"] != "user":
            raise Problem(404, NOT_VALID)
        return model

    def unauthorized(self, text: str) -> Problem:
        uri = self.settings["public_url"] + "/keystone/v3"
        return Problem(401, text, {"WWW-Authenticate": f'Keystone uri="{uri}"'})

    async def revoke(self, token: str) -> None:
        """Have the hub forget a person's token."""
        await self.find(token)
        address = {"X-Forwarded-For": self.client_address}
        status, _ = await ask_hub(self.hub, "DELETE", "sign-on/token", token, REVOKE_TIMEOUT, headers=address)
        if status not in {204, 403}:
            raise Problem(503, NO_HUB, {"Retry-After": RETRY_AFTER})
        # 403: it has ended a moment ago.
        self.hub.forget(token)
        self.set_status(204)
        self.finish()


class Tokens(TokenAPI):
    """``/keystone/v3/tokens``: sign in; or look at, or revoke, the token in ``X-Subject-Token``."""

    async def post(self) -> None:
        started = time.monotonic()
        name, password = name_and_password(self.body())
        limits: Limits = self.settings["limits"]
        try:
            async with limits.attempt(name, self.client_address) as attempt:
                token = await self.token_for(name, password)
                attempt.succeeded = token is not None
        except LimitReachedError as error:
            log.info("Sign-in with a password from %s: too many failures", self.client_address)
            raise Problem(429, str(error), {"Retry-After": str(error.seconds)}) from error
        if token is None:
            log.info("Sign-in with a password from %s was refused", self.client_address)
            await asyncio.sleep(started + REFUSAL_TIME - time.monotonic())
            raise self.unauthorized(WRONG)
        self.set_header("X-Subject-Token", token)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        await self.finish(token)

    async def token_for(self, name: str, password: str) -> str | None:
        """A token for who has proved to be `name`, or None."""
        if not is_possible(name, password):
            return None
        if await self.is_own_token(name, password):
            return password
        question = {
            "name": name,
            "password": password,
            "expires_in": self.settings["api_token_lifetime"],
            "address": self.client_address,
        }
        status, answer = await ask_hub(
            self.hub, "POST", "sign-on/password", self.hub.api_token, SIGN_IN_TIMEOUT, question
        )
        if status == 200:
            return str(answer["token"])
        if status == 401:
            return None
        if status == 403 and await self.may_ask():
            raise Problem(403, str(answer.get("message") or "You may not sign in here."))
        raise Problem(503, NO_HUB, {"Retry-After": RETRY_AFTER})

    async def is_own_token(self, name: str, password: str) -> bool:
        """Whether the password is a token that this person has made.

        It is how people whose provider takes no passwords from programs sign in with the client libraries. Only what
        looks like one of the hub's own tokens is tried: passwords are not sent around.
        """
        if len(password) != 32 or set(password) - set("0123456789abcdef"):
            return False
        try:
            model = await self.find(password)
        except Problem as problem:
            if problem.status_code == 503:
                raise
            return False
        return bool(model["name"] == name.strip().lower())

    async def may_ask(self) -> bool:
        """Whether a 403 of the hub is about the person, and not about the portal itself."""
        try:
            own = await self.hub.model(self.hub.api_token)
        except HubUnavailable:
            return False
        if own is None or SIGN_ON_PASSWORD not in own["scopes"]:
            log.error(
                "The hub does not accept the portal's own token, or not for sign-in: see c.JupyterHub.load_roles"
            )
            return False
        return True

    def subject(self) -> str:
        token = self.header_token("X-Subject-Token", "X-Auth-Token")
        if not token:
            raise self.unauthorized("Send the token in the header X-Subject-Token.")
        return token

    async def get(self) -> None:
        token = self.subject()
        self.finish(json.dumps(token_v3(await self.find(token))))

    head = get

    async def delete(self) -> None:
        await self.revoke(self.subject())


class Token(TokenAPI):
    """``/keystone/v3/tokens/{token}``: as the client libraries ask, without any header."""

    async def get(self, token: str) -> None:
        self.finish(json.dumps(token_v3(await self.find(token))))

    head = get

    async def delete(self, token: str) -> None:
        await self.revoke(token)


class TokenV2(TokenAPI):
    """``/keystone/v2.0/tokens/{token}``: the same in the older form (contract §2.3)."""

    async def get(self, token: str) -> None:
        self.finish(json.dumps(token_v2(await self.find(token), token)))

    head = get


class User(TokenAPI):
    """``/keystone/v3/users/{id}``: oneself."""

    async def get(self, user_id: str) -> None:
        try:
            given = credentials(self.request.headers)
        except AmbiguousCredentials as error:
            raise Problem(400, "There are two different tokens in the request.") from error
        if given is None:
            raise self.unauthorized("Send your token in the header X-Auth-Token.")
        try:
            model = await self.find(given.token)
        except Problem as problem:
            raise (self.unauthorized(NOT_VALID) if problem.status_code == 404 else problem) from problem
        if user_id != model["name"] or not given.fits(model["name"]):
            raise Problem(403, "You can ask about yourself only.")
        user = {"id": model["name"], "name": model["name"], "domain_id": DOMAIN["id"], "enabled": True}
        self.finish(json.dumps({"user": user}))

    head = get


class NoSuchRoute(TokenAPI):
    """Whatever else of Keystone somebody asks for."""

    async def answer(self) -> None:
        raise Problem(404, "There is no such address. The routes are described in /services/portal/openapi.json.")

    # Not in `prepare`, see `server.NotFound`.
    get = head = post = put = patch = delete = options = answer


ROUTES: list[tuple[str, type[RequestHandler]]] = [
    ("/keystone/v3/tokens", Tokens),
    ("/keystone/v3/tokens/{token}", Token),
    ("/keystone/v3/users/{user_id}", User),
    ("/keystone/v2.0/tokens/{token}", TokenV2),
]


def name_and_password(body: bytes) -> tuple[str, str]:
    """Out of the body of a sign-in (contract §2.1); what else Keystone knows, such as domains, is not looked at.

    Raises
    ------
    Problem
        400: it has another form.
    """
    try:
        identity = json.loads(body)["auth"]["identity"]
        if "password" not in identity.get("methods", ["password"]) or "password" not in identity:
            raise Problem(400, f"Only the method 'password' is there: send {BODY}")
        user = identity["password"]["user"]
        name, password = user["name"], user["password"]
        if not (isinstance(name, str) and isinstance(password, str)):
            raise TypeError
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise Problem(400, f"The body cannot be understood: send JSON such as {BODY}") from error
    return name, password


def is_possible(name: str, password: str) -> bool:
    """Whether there can be such a name and password; others are not worth a question, and some cannot be asked."""
    try:
        (name + password).encode()
    except UnicodeEncodeError:
        return False
    return (
        bool(name.strip() and password)
        and name.isprintable()
        and len(name) <= LONGEST_NAME
        and len(password) <= LONGEST_PASSWORD
    )


def token_v3(model: dict[str, Any]) -> dict[str, Any]:
    """Keystone's description of a token (Identity API v3, "Validate and show information for token").

    ``id`` is the name, which never changes here, as text: clients concatenate it (contract §2.2). ``expires_at`` is
    None for a token without end.
    """
    return {
        "token": {
            "methods": ["password"],
            "user": {"id": model["name"], "name": model["name"], "domain": DOMAIN},
            "issued_at": model["created"],
            "expires_at": model["expires_at"],
            "roles": roles(model),
        }
    }


def token_v2(model: dict[str, Any], token: str) -> dict[str, Any]:
    """The same in the form of the Identity API v2.0."""
    name = model["name"]
    names = [{"name": role["name"]} for role in roles(model)]
    return {
        "access": {
            "token": {"id": token, "issued_at": model["created"], "expires": model["expires_at"]},
            "user": {"id": name, "name": name, "username": name, "roles": names, "roles_links": []},
            "serviceCatalog": [],
        }
    }


def roles(model: dict[str, Any]) -> list[dict[str, str]]:
    """What the token's holder may do, as roles: everybody is a user.

    An administrator's token without the right to manage users is an ordinary one: whoever decides by roles must not
    take it for more than the hub does.
    """
    names = ["user", "admin"] if "admin:users" in model["scopes"] else ["user"]
    return [{"id": name, "name": name} for name in names]


async def ask_hub(
    hub: ServiceAuth,
    method: str,
    path: str,
    token: str,
    seconds: float,
    body: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the hub's answer; status 503 when there is none that can be used."""

    async def ask() -> tuple[int, dict[str, Any]]:
        response = await fetch(
            f"{hub.api_url}/{path}",
            method=method,
            headers={"Authorization": f"token {token}"} | (headers or {}),
            json=body,
            timeout=aiohttp.ClientTimeout(total=seconds, connect=CONNECT_TIMEOUT),
            raise_for_status=False,
            allow_redirects=False,
        )
        async with response:
            answer = json.loads(await response.read() or b"{}")
            return response.status, answer if isinstance(answer, dict) else {}

    try:
        try:
            return await ask()
        except aiohttp.ServerDisconnectedError:
            # An idle connection to a hub that has restarted since.
            return await ask()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        log.warning("The hub does not answer a question about a sign-in: %s", type(error).__name__)
        return 503, {}
