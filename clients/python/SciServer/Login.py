"""The name that the oldest notebooks have for `SciServer.Authentication`: ``import SciServer.Login as login``."""

from __future__ import annotations

from SciServer.LoginPortal import KeystoneUser as KeystoneUser
from SciServer.LoginPortal import getKeystoneToken as getKeystoneToken
from SciServer.LoginPortal import getKeystoneUserWithToken as getKeystoneUserWithToken
from SciServer.LoginPortal import getToken as getToken
from SciServer.LoginPortal import identArgIdentifier as identArgIdentifier
from SciServer.LoginPortal import login as login
from SciServer.LoginPortal import setKeystoneToken as setKeystoneToken
from SciServer.LoginPortal import setToken as setToken
