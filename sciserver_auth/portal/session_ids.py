"""The claim ``sid``: which session of the portal an identity token comes from (Back-Channel Logout 1.0 §2.1).

With it the hub can name the session that it wants ended here, when somebody ends one of their browsers from another.

Written for Canaille 0.3.6 and Authlib 1.9.
"""

from __future__ import annotations

import functools
import hashlib
import time
from typing import Any

from canaille.backends.sql.backend import SQLBackend
from canaille.oidc import provider
from flask import g
from sqlalchemy import Column, Float, String, Table, delete, insert, select

from sciserver_auth.portal import sessions
from sciserver_auth.portal.tables import TABLES

CODES = Table(
    "sciserver_code_session",
    TABLES,
    # SHA-256 of the authorization code, which is a credential.
    Column("code", String(64), primary_key=True),
    Column("sid", String(40), nullable=False),
    # Unix time, seconds.
    Column("at", Float(53), nullable=False, index=True),
)


def install() -> None:
    """Put the claim into identity tokens; without effect when that was done."""
    if hasattr(provider.OpenIDCode.get_authorization_code_claims, "__wrapped__"):
        return
    save_code = provider.AuthorizationCodeGrant.save_authorization_code
    code_claims = provider.OpenIDCode.get_authorization_code_claims

    @functools.wraps(save_code)
    def save_authorization_code(self: Any, code: str, request: Any) -> Any:
        saved = save_code(self, code, request)
        sid = getattr(g.session, "sciserver", {}).get(sessions.SID)
        if sid:
            now = time.time()
            with SQLBackend.engine.begin() as connection:
                connection.execute(delete(CODES).where(CODES.c.at < now - provider.AUTHORIZATION_CODE_LIFETIME))
                connection.execute(insert(CODES).values(code=_hash(code), sid=sid, at=now))
        return saved

    @functools.wraps(code_claims)
    def get_authorization_code_claims(self: Any, authorization_code: Any) -> dict[str, Any]:
        claims: dict[str, Any] = code_claims(self, authorization_code)
        wanted = select(CODES.c.sid).where(CODES.c.code == _hash(authorization_code.code))
        sid = SQLBackend.db_session.execute(wanted).scalar()
        return {**claims, "sid": sid} if sid else claims

    provider.AuthorizationCodeGrant.save_authorization_code = save_authorization_code
    provider.OpenIDCode.get_authorization_code_claims = get_authorization_code_claims


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
