"""When sessions and tokens of the portal end before their time.

Canaille keeps sessions in signed cookies, and compares nothing but the account's lock. Here each account can have a
moment: what was issued before it is void. A new password sets it, and "sign out everywhere". And each session has an
id: after signing out it is remembered for as long as a copy of the cookie would be good.

The browser in which somebody changes the own password stays signed in at the portal. To ask again who has just typed
a new password would protect nobody, and Canaille would answer the change with an error page.

Written for Canaille 0.3.6 and Authlib 1.9.
"""

from __future__ import annotations

import datetime
import functools
import secrets
import time
from typing import Any

from canaille.app.session import USER_SESSION, UserSession
from canaille.backends.sql.backend import SQLBackend
from canaille.oidc import provider
from flask import Flask, Response, g, has_request_context, session
from sqlalchemy import Column, Connection, Float, String, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from sciserver_auth.portal.tables import TABLES

MOMENTS = Table(
    "sciserver_moment",
    TABLES,
    Column("user_id", String(36), primary_key=True),
    # Unix time, seconds.
    Column("at", Float(53), nullable=False),
)

ENDED = Table(
    "sciserver_ended_session",
    TABLES,
    Column("sid", String(40), primary_key=True),
    # Unix time, seconds: no cookie is older.
    Column("until", Float(53), nullable=False, index=True),
)

# In a session's entry of the cookie: its id, and since when it is as good as a new one.
SID = "sid"
RENEWED = "renewed"

# Seconds that a request may take with which a copy of the cookie is made.
MARGIN = 3600

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def end_before(connection: Connection, user_id: str, at: float) -> None:
    """Make void what was issued to an account before `at`, a Unix time in seconds."""
    row = _INSERT[connection.dialect.name](MOMENTS).values(user_id=user_id, at=at)
    connection.execute(row.on_conflict_do_update(index_elements=[MOMENTS.c.user_id], set_={"at": at}))


def forget(connection: Connection, user_id: str) -> None:
    """Remove what is noted about a deleted account; its id is never given again."""
    connection.execute(delete(MOMENTS).where(MOMENTS.c.user_id == user_id))


def is_current(user: Any, issued: datetime.datetime | None) -> bool:
    """Whether what was issued to `user` at that time still counts.

    The password's own date has whole seconds, rounded down: it is for changes that were made without us, as by a
    restored backup. The moment is exact, so a sign-in within the same second is told apart.
    """
    moment = SQLBackend.db_session.execute(select(MOMENTS.c.at).where(MOMENTS.c.user_id == user.id)).scalar()
    limits = [moment] if moment is not None else []
    if user.password_last_update is not None:
        limits.append(user.password_last_update.timestamp())
    if not limits:
        return True
    return issued is not None and issued.timestamp() >= max(limits)


def has_current_owner(token: Any) -> bool:
    """Whether the person of an access token, a refresh token or a code exists, is not locked, and it still counts."""
    user = token.subject
    # SQLite does not remove the tokens of a deleted account.
    if user is None:
        return token.subject_id is None
    return not user.locked and is_current(user, token.issue_date)


def watch_cookies(site: Flask) -> None:
    """Notice which sessions a request ends, in whatever way: signing out, a deletion, a new sign-in."""

    @site.before_request
    def remember_sessions() -> None:
        g.sciserver_sids = _sids()

    @site.after_request
    def end_copies(response: Response) -> Response:
        end(site, g.get("sciserver_sids", set()) - _sids())
        return response


def end(site: Flask, sids: set[str]) -> None:
    """End the sessions with these ids, wherever their cookies are."""
    if sids:
        now = time.time()
        until = now + site.permanent_session_lifetime.total_seconds() + MARGIN
        with SQLBackend.engine.begin() as connection:
            connection.execute(delete(ENDED).where(ENDED.c.until < now))
            row = _INSERT[connection.dialect.name](ENDED).on_conflict_do_nothing()
            connection.execute(row, [{"sid": sid, "until": until} for sid in sorted(sids)])


def _sids() -> set[str]:
    return {payload[SID] for payload in session.get(USER_SESSION, []) if payload.get(SID)}


def _has_ended(sid: str | None) -> bool:
    if not sid:
        return False
    return SQLBackend.db_session.execute(select(ENDED.c.sid).where(ENDED.c.sid == sid)).scalar() is not None


def install() -> None:
    """Put the checks into Canaille's classes; without effect when they are there."""
    if getattr(UserSession.deserialize, "_is_ours", False):
        return
    _check_sessions()
    _keep_own_session()
    _check_grant(provider.AuthorizationCodeGrant)
    _check_grant(provider.RefreshTokenGrant)
    _check_lookup(provider.BearerTokenValidator, "authenticate_token")
    _check_lookup(provider.IntrospectionEndpoint, "query_token")


def _check_sessions() -> None:
    upstream_serialize = UserSession.serialize
    upstream = UserSession.deserialize.__func__

    def serialize(self: UserSession) -> dict[str, Any]:
        # Canaille writes an entry anew when it uses it again, and knows its own fields only.
        ours = getattr(self, "sciserver", None) or {SID: secrets.token_urlsafe(16)}
        return {**upstream_serialize(self), **ours}

    def deserialize(cls: type[UserSession], payload: dict[str, Any]) -> UserSession | None:
        found: UserSession | None = upstream(cls, payload)
        if found is None:
            return None
        found.sciserver = {name: payload[name] for name in (SID, RENEWED) if payload.get(name)}
        since = found.last_login_datetime
        if payload.get(RENEWED):
            renewed = datetime.datetime.fromisoformat(payload[RENEWED])
            since = max(since or renewed, renewed)
        return found if is_current(found.user, since) and not _has_ended(payload.get(SID)) else None

    deserialize._is_ours = True  # type: ignore[attr-defined]
    UserSession.serialize = serialize
    UserSession.deserialize = classmethod(deserialize)


def _keep_own_session() -> None:
    upstream = SQLBackend.set_user_password

    @functools.wraps(upstream)
    def set_user_password(backend: SQLBackend, user: Any, password: str) -> None:
        upstream(backend, user, password)
        if not has_request_context() or not g.get("session") or g.session.user.id != user.id:
            return
        for payload in session.get(USER_SESSION, []):
            if payload.get("user") == user.id:
                # Not the time of the sign-in itself, which identity tokens repeat (``auth_time``).
                payload[RENEWED] = datetime.datetime.now(datetime.UTC).isoformat()
                session.modified = True

    SQLBackend.set_user_password = set_user_password


def _check_grant(grant: Any) -> None:
    upstream = grant.authenticate_user

    @functools.wraps(upstream)
    def authenticate_user(self: Any, credential: Any) -> Any:
        return upstream(self, credential) if has_current_owner(credential) else None

    grant.authenticate_user = authenticate_user


def _check_lookup(owner: Any, name: str) -> None:
    upstream = getattr(owner, name)

    @functools.wraps(upstream)
    def look_up(self: Any, *arguments: Any) -> Any:
        token = upstream(self, *arguments)
        return token if token is not None and has_current_owner(token) else None

    setattr(owner, name, look_up)
