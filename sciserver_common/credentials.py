"""The token that a request carries in its headers.

``X-Auth-Token: TOKEN`` is what SciServer's client libraries send (contract §0.2). ``Authorization`` may be ``Bearer
TOKEN`` (RFC 6750), ``token TOKEN`` (JupyterHub) or ``Basic`` with the token as password (RFC 7617), for clients such
as WebDAV ones that know nothing else.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from tornado import web
from tornado.httputil import HTTPHeaders

# What the hub takes for a token: at most 64 characters (JupyterHub 6.1), here without the one that separates the
# values of a header.
_TOKEN = re.compile(r"[\x21-\x2b\x2d-\x7e]{8,64}")

_ANY_NAME = {"", "token"}


class AmbiguousCredentials(web.HTTPError):
    """A request names two different tokens, so it cannot be told who sends it: 400."""

    def __init__(self) -> None:
        super().__init__(400, "The request carries two different tokens: send one of them.")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token out of a request's headers.

    Attributes
    ----------
    token
        As it was sent; empty where a header makes no sense.
    user
        The user name that came with it (Basic); empty if none did.
    """

    token: str
    user: str = ""

    def fits(self, owner: str) -> bool:
        """Whether the token of `owner` may come with this user name: the owner's, or a mere placeholder."""
        return self.user in _ANY_NAME or self.user == owner


def is_token(text: str) -> bool:
    """Whether `text` could be a token of the hub."""
    return _TOKEN.fullmatch(text) is not None


def credentials(headers: HTTPHeaders) -> Credentials | None:
    """The token in a request's headers; None if there is none, an empty token if there is something else.

    Raises
    ------
    AmbiguousCredentials
        There are two, and they differ.
    """
    found = [Credentials(value.strip()) for value in headers.get_list("X-Auth-Token") if value.strip()]
    found += [_authorization(value.strip()) for value in headers.get_list("Authorization") if value.strip()]
    if not found:
        return None
    if len({given.token for given in found}) > 1 or len({given.user for given in found} - _ANY_NAME) > 1:
        raise AmbiguousCredentials
    # Of one token that is there twice, the place with a name says more.
    return max(found, key=lambda given: given.user not in _ANY_NAME)


def _authorization(value: str) -> Credentials:
    scheme, _, rest = value.partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer" | "token":
            return Credentials(rest)
        case "basic":
            try:
                user, colon, password = base64.b64decode(rest, validate=True).decode().partition(":")
            except (binascii.Error, ValueError):
                return Credentials("")
            return Credentials(password, user) if colon else Credentials("")
    return Credentials("")
