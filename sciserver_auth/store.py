"""Browser sessions, identities at the provider and recent activity, in a database of their own.

JupyterHub's cookie names the user, not the session, so the hub alone cannot end one session of several. Here each
session is a row; a cookie without its row is worth nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from sqlalchemy import DateTime, LargeBinary, String, UniqueConstraint, create_engine, delete, event, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

MIGRATIONS = Path(__file__).parent / "migrations"

# How exact "last seen" is: not every request is worth a write.
SEEN_RESOLUTION = datetime.timedelta(seconds=60)

ACTIVITY_KEPT = datetime.timedelta(days=90)


def now() -> datetime.datetime:
    """UTC without a zone, as the columns hold it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    """Base of the tables; `migrations` must follow every change to them."""


class BrowserSession(Base):
    """Somebody who is signed in in one browser.

    Attributes
    ----------
    key
        Public name of the session, for pages and the REST API: twelve hexadecimal digits.
    session_hash
        SHA-256 of the hub's session id; the id itself is a credential.
    issuer, subject, provider_sid
        Who signed in, and the provider's own session where it says (``sid``, OpenID Connect Back-Channel Logout 1.0).
    id_token
        Encrypted; the hint when this session ends.
    """

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(12), unique=True)
    session_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user: Mapped[str] = mapped_column(String(255), index=True)
    issuer: Mapped[str] = mapped_column(String(1000), default="")
    subject: Mapped[str] = mapped_column(String(255), default="")
    provider_sid: Mapped[str] = mapped_column(String(255), default="", index=True)
    id_token: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    address: Mapped[str] = mapped_column(String(64), default="")
    browser: Mapped[str] = mapped_column(String(300), default="")
    created: Mapped[datetime.datetime] = mapped_column(DateTime, default=now)
    last_seen: Mapped[datetime.datetime] = mapped_column(DateTime, default=now)
    expires: Mapped[datetime.datetime] = mapped_column(DateTime, index=True)

    def has_id(self, session_id: str | None) -> bool:
        """Whether `session_id` is this session's."""
        return bool(session_id) and _hash(str(session_id)) == self.session_hash


class Identity(Base):
    """One account at a provider, and the hub's user that it signs in as."""

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(String(255), index=True)
    issuer: Mapped[str] = mapped_column(String(1000))
    subject: Mapped[str] = mapped_column(String(255))
    email: Mapped[str] = mapped_column(String(320), default="")
    linked: Mapped[datetime.datetime] = mapped_column(DateTime, default=now)


class OwnIssuer(Base):
    """The address under which the deployment's own portal was known when the hub started last: at most one row."""

    __tablename__ = "own_issuer"

    issuer: Mapped[str] = mapped_column(String(1000), primary_key=True)


class Activity(Base):
    """Something that happened to somebody's access; kept for 90 days."""

    __tablename__ = "activity"

    id: Mapped[int] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(String(255), index=True)
    at: Mapped[datetime.datetime] = mapped_column(DateTime, default=now, index=True)
    kind: Mapped[str] = mapped_column(String(40))
    address: Mapped[str] = mapped_column(String(64), default="")
    detail: Mapped[str] = mapped_column(String(300), default="")


class Store:
    """The database.

    One process uses it: the hub. What is looked up at each request is kept in memory.

    Parameters
    ----------
    url
        SQLAlchemy URL. Tables are made, or migrated, when the store is opened.
    lifetime
        Seconds until a session ends by itself.
    """

    def __init__(self, url: str, lifetime: float = 14 * 24 * 3600) -> None:
        self.lifetime = datetime.timedelta(seconds=lifetime)
        # Without parameters: an error's text would hold what is stored.
        self.engine = create_engine(url, hide_parameters=True, pool_pre_ping=True)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)
        self._migrate()
        self._session: Callable[[], Session] = sessionmaker(self.engine, expire_on_commit=False)
        self._known: dict[str, BrowserSession] = {}

    def _migrate(self) -> None:
        config = alembic.config.Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self.engine.begin() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    # -- sessions

    def open_session(self, user: str, session_id: str, **details: Any) -> BrowserSession:
        """Remember that `user` has signed in in the browser that holds `session_id`.

        `details` are columns of `BrowserSession`. A session of that id is replaced.
        """
        row = BrowserSession(
            key=secrets.token_hex(6),
            session_hash=_hash(session_id),
            user=user,
            expires=now() + self.lifetime,
            **{name: _cut(name, value) for name, value in details.items()},
        )
        with self._session() as database, database.begin():
            database.execute(delete(BrowserSession).where(BrowserSession.expires < now()))
            database.execute(delete(BrowserSession).where(BrowserSession.session_hash == row.session_hash))
            database.add(row)
        self._known = {hash_: known for hash_, known in self._known.items() if known.expires > now()}
        self._known[row.session_hash] = row
        return row

    def session(self, user: str, session_id: str | None) -> BrowserSession | None:
        """The session of `user` with that id, unless it has ended."""
        if not session_id:
            return None
        hash_ = _hash(session_id)
        row = self._known.get(hash_)
        if row is None:
            with self._session() as database:
                row = database.scalar(select(BrowserSession).where(BrowserSession.session_hash == hash_))
            if row is None:
                return None
            self._known[hash_] = row
        return row if row.user == user and row.expires > now() else None

    def seen(self, row: BrowserSession) -> None:
        """Note that the session is in use."""
        moment = now()
        if moment - row.last_seen > SEEN_RESOLUTION:
            row.last_seen = moment
            with self._session() as database, database.begin():
                stored = database.get(BrowserSession, row.id)
                if stored is not None:
                    stored.last_seen = moment

    def sessions(self, user: str) -> list[BrowserSession]:
        """The sessions of `user` that have not ended, the most recently used first."""
        wanted = select(BrowserSession).where(BrowserSession.user == user, BrowserSession.expires > now())
        with self._session() as database:
            return list(database.scalars(wanted.order_by(BrowserSession.last_seen.desc())))

    def find_sessions(self, issuer: str, *, subject: str = "", provider_sid: str = "") -> list[BrowserSession]:
        """Sessions that came from `issuer`: of one person there, or of one session there."""
        wanted = select(BrowserSession).where(BrowserSession.issuer == issuer)
        if subject:
            wanted = wanted.where(BrowserSession.subject == subject)
        if provider_sid:
            wanted = wanted.where(BrowserSession.provider_sid == provider_sid)
        with self._session() as database:
            return list(database.scalars(wanted))

    def end_session(self, row: BrowserSession) -> None:
        """Forget a session: its cookie is worth nothing from now on."""
        with self._session() as database, database.begin():
            database.execute(delete(BrowserSession).where(BrowserSession.id == row.id))
        self._known.pop(row.session_hash, None)

    # -- identities

    def identity(self, issuer: str, subject: str) -> Identity | None:
        """The link of one account at a provider."""
        with self._session() as database:
            return database.scalar(select(Identity).where(Identity.issuer == issuer, Identity.subject == subject))

    def identities(self, user: str) -> list[Identity]:
        """The links of one of the hub's users."""
        with self._session() as database:
            return list(database.scalars(select(Identity).where(Identity.user == user).order_by(Identity.id)))

    def link(self, user: str, issuer: str, subject: str, email: str = "") -> None:
        """Let an account at a provider sign in as `user`; a link that it had is replaced."""
        with self._session() as database, database.begin():
            database.execute(delete(Identity).where(Identity.issuer == issuer, Identity.subject == subject))
            database.add(Identity(user=user, issuer=issuer, subject=subject, email=_cut("email", email)))

    def unlink(self, user: str, identity_id: int) -> bool:
        """Remove one link of `user`; whether there was one."""
        with self._session() as database, database.begin():
            row = database.get(Identity, identity_id)
            if row is None or row.user != user:
                return False
            database.delete(row)
        return True

    def adopt_issuer(self, issuer: str) -> None:
        """Note the address of the deployment's own portal; links and sessions follow it when it has changed.

        The portal's issuer is made of the public address. With another port or host name it is still the same portal
        with the same accounts.
        """
        with self._session() as database, database.begin():
            before = database.scalar(select(OwnIssuer.issuer))
            if before == issuer:
                return
            if before is not None:
                # Somebody may have been linked by hand to the new address already.
                linked = select(Identity.subject).where(Identity.issuer == issuer)
                database.execute(delete(Identity).where(Identity.issuer == before, Identity.subject.in_(linked)))
                for table in (BrowserSession, Identity):
                    database.execute(update(table).where(table.issuer == before).values(issuer=issuer))
                database.execute(delete(OwnIssuer))
            database.add(OwnIssuer(issuer=issuer))
        self._known.clear()

    # -- activity

    def record(self, user: str, kind: str, *, address: str = "", detail: str = "") -> None:
        """Note something that happened to the access of `user`; `kind` is one of `KINDS`."""
        with self._session() as database, database.begin():
            database.add(
                Activity(user=user, kind=kind, address=_cut("address", address), detail=_cut("detail", detail))
            )
            database.execute(delete(Activity).where(Activity.at < now() - ACTIVITY_KEPT))

    def activity(self, user: str, limit: int = 50) -> list[Activity]:
        """What happened to the access of `user`, the latest first."""
        with self._session() as database:
            wanted = select(Activity).where(Activity.user == user).order_by(Activity.id.desc()).limit(limit)
            return list(database.scalars(wanted))

    def forget(self, user: str) -> None:
        """Remove everything about a user that the hub has deleted."""
        with self._session() as database, database.begin():
            for table in (BrowserSession, Identity, Activity):
                database.execute(delete(table).where(table.user == user))
        self._known = {hash_: row for hash_, row in self._known.items() if row.user != user}


KINDS = {
    "sign-in": "Signed in",
    "sign-in-refused": "Sign-in refused",
    "sign-out": "Signed out",
    "session-ended": "Session ended from another place",
    "signed-out-everywhere": "Signed out everywhere",
    "provider-sign-out": "Signed out by the sign-in service",
    "token-made": "Token made",
    "token-by-password": "Token made with name and password",
    "token-renewed": "Token renewed",
    "token-revoked": "Token revoked",
    "access-revoked": "All access revoked",
    "identity-linked": "Account linked",
    "identity-removed": "Link to an account removed",
}
"""Kinds of activity, and how pages name them."""


def _hash(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()


_LENGTHS = {"address": 64, "browser": 300, "detail": 300, "email": 320, "issuer": 1000, "provider_sid": 255}


def _cut(name: str, value: Any) -> Any:
    # What a browser or a provider sends has any length; PostgreSQL would refuse it.
    return value[: _LENGTHS[name]] if name in _LENGTHS else value


def _prepare_sqlite(connection: Any, record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA busy_timeout = 15000")
        connection.execute("PRAGMA journal_mode = WAL")
