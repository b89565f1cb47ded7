"""Signing in, with the functions of SciScript-Python 2.2 (contract §2).

Inside a container the platform signs you in: nothing here needs to be called. Two things of 2.2 are not done, because
they show the token to others. It is not appended to ``sys.argv``, where error reports find it, though `getToken` still
reads ``--ident=`` there. And when a service is asked whose token it is, it goes in a header and not in the address.
"""

from __future__ import annotations

import getpass
import warnings
from dataclasses import dataclass, field

from SciServer import Config, _legacy
from SciServer.core import portal, tokens
from SciServer.core.tokens import Token


@dataclass
class KeystoneUser:
    """Who somebody is.

    Attributes
    ----------
    id, userName
        On this platform the same.
    token
        The one that was asked about; it is not shown.
    """

    id: str
    userName: str
    token: str = field(repr=False)


_known: dict[str, KeystoneUser] = {}


def getKeystoneUserWithToken(token: str) -> KeystoneUser:
    """Who the token belongs to; asked once for each token.

    Raises
    ------
    ServiceError
        404: the token is not valid.
    """
    if token not in _known:
        name = _legacy.task("Authentication.getKeystoneUserWithToken")
        user = _legacy.run(portal.whoami(_legacy.client(), Token(token), task=name))
        _known[token] = KeystoneUser(id=str(user["id"]), userName=str(user["name"]), token=token)
    return _known[token]


def login(UserName: str | None = None, Password: str | None = None) -> str:
    """Sign in with name and password; asked for if they are not given. A personal access token is a password too.

    Returns
    -------
    str
        The token, which is used from now on. Do not print it. Inside a container, the platform's own is used all the
        same.

    Raises
    ------
    NotSignedInError
        They are wrong.
    """
    name = UserName if UserName is not None else input("Your user name at SciServer: ")
    password = Token(
        Password if Password is not None else getpass.getpass("Your password, or a personal access token: ")
    )
    # Tracebacks may show variables.
    del Password
    task = _legacy.task("Authentication.Login")
    token: str = _legacy.run(portal.login(_legacy.client(), name, password, task=task)).reveal()
    tokens.remember(token)
    return token


def getToken() -> str | None:
    """The token to use now; None, with a warning, if there is none.

    Inside a container it is read from the platform's file each time, because it is renewed there. Elsewhere it is what
    `login` or `setToken` have set, then what ``--ident=`` on the command line or the environment variable
    ``SCISERVER_TOKEN`` say.
    """
    found = tokens.find(Config.KeystoneTokenPath)
    if found is None and Config.isSciServerComputeEnvironment():
        warnings.warn(f"There is no token in the file {Config.KeystoneTokenPath}.", stacklevel=2)
    elif found is None:
        warnings.warn("Authentication token is not defined: sign in with Authentication.login().", stacklevel=2)
    return None if found is None else found.reveal()


def setToken(token: str) -> None:
    """Use this token from now on. Inside a container it only warns: the platform's own is used there."""
    if Config.isSciServerComputeEnvironment():
        warnings.warn("Inside a container the platform's own token is used: setToken does nothing.", stacklevel=2)
    elif not token:
        warnings.warn("The token is empty: setToken does nothing.", stacklevel=2)
    else:
        tokens.remember(token)


def getKeystoneToken() -> str | None:
    """Deprecated name of `getToken`."""
    warnings.warn("getKeystoneToken is deprecated: use SciServer.Authentication.getToken.", stacklevel=2)
    return getToken()


def setKeystoneToken(token: str) -> None:
    """Deprecated name of `setToken`."""
    warnings.warn("setKeystoneToken is deprecated: use SciServer.Authentication.setToken.", stacklevel=2)
    setToken(token)


def identArgIdentifier() -> str:
    """How the argument on the command line begins that a token follows."""
    return tokens.IDENT
