"""Signing in with name and password (contract §2)."""

from __future__ import annotations

from typing import Any

from SciServer.core.errors import NotSignedInError, ServiceError
from SciServer.core.tokens import Token
from SciServer.core.wire import Api, Operation, Request, json_body


def login(api: Api, user: str, password: Token, *, task: str = "") -> Operation[Token]:
    """A token for a name and a password, which is wrapped so that no traceback shows it.

    Raises
    ------
    NotSignedInError
        They are wrong.
    """
    params = {"TaskName": task} if task else {}
    request = Request(
        "POST", api.settings.authentication_url, params=params, auth="none", **json_body(_identity(user, password))
    )
    try:
        answer = yield request
    except NotSignedInError as error:
        # The service's words: there is no token yet that it could have refused.
        raise NotSignedInError(
            "The user name or the password is wrong.", status=error.status, request_id=error.request_id
        ) from None
    token = answer.headers.get("X-Subject-Token", "")
    if not token:
        raise ServiceError("The sign-in service has sent no token: is AuthenticationURL in sciscript.json right?")
    return Token(token)


def _identity(user: str, password: Token) -> dict[str, Any]:
    return {"auth": {"identity": {"password": {"user": {"name": user, "password": password.reveal()}}}}}


def whoami(api: Api, token: Token, *, task: str = "") -> Operation[dict[str, Any]]:
    """Name and id of the person whose token it is.

    It goes in a header; SciScript-Python put it into the address, which logs keep.

    Raises
    ------
    ServiceError
        404: it is not valid.
    """
    params = {"TaskName": task} if task else {}
    url = api.settings.authentication_url
    answer = yield Request("GET", url, params=params, token=token, is_repeatable=True)
    user: dict[str, Any] = answer.json()["token"]["user"]
    return user
