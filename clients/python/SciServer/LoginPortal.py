"""Deprecated names of the functions in `SciServer.Authentication` (contract §1)."""

from __future__ import annotations

from SciServer import Authentication
from SciServer.Authentication import KeystoneUser as KeystoneUser
from SciServer.Authentication import getKeystoneToken as getKeystoneToken
from SciServer.Authentication import getKeystoneUserWithToken as getKeystoneUserWithToken
from SciServer.Authentication import getToken as getToken
from SciServer.Authentication import identArgIdentifier as identArgIdentifier
from SciServer.Authentication import setKeystoneToken as setKeystoneToken
from SciServer.Authentication import setToken as setToken


def login(UserName: str | None = None, Password: str | None = None) -> str:
    """See `SciServer.Authentication.login`."""
    return Authentication.login(UserName, Password)
