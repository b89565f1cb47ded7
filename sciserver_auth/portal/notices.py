"""Tell the hub what happened to accounts: a transactional outbox.

What ends somebody's access is written down in the same transaction that changes the account, by whichever process
changes it. The running portal delivers it as a logout token (OpenID Connect Back-Channel Logout 1.0) until the hub
has taken it. Neither a kill of the portal nor a hub that is away loses a notice; one may arrive twice.

Written for Canaille 0.3.6.
"""

from __future__ import annotations

import datetime
import time
from typing import Any

from canaille.app import models
from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    String,
    Table,
    delete,
    event,
    insert,
    inspect,
    select,
)
from sqlalchemy.orm import Session, sessionmaker

from sciserver_auth.portal import sessions
from sciserver_auth.portal.provisioning import HUB_CLIENT_ID
from sciserver_auth.portal.tables import TABLES

LOCKED = "locked"
DELETED = "deleted"
PASSWORD = "password"  # noqa: S105 - a kind of notice
SIGNED_OUT = "signed out"

RECEIVERS = (HUB_CLIENT_ID,)
"""Clients that take logout tokens; `sciserver_auth.portal.delivery` knows where."""

NOTICES = Table(
    "sciserver_notice",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("client_id", String(255), nullable=False),
    # The account's id: it is the subject of identity tokens, and outlives the account here.
    Column("subject", String(36), nullable=False, index=True),
    Column("kind", String(20), nullable=False),
    # Unix times in seconds: when it happened, and when to try (again).
    Column("at", Float(53), nullable=False),
    Column("due", Float(53), nullable=False, index=True),
    Column("attempts", Integer, nullable=False, default=0),
)

_NEW_PASSWORD = "_sciserver_new_password"  # noqa: S105 - the name of an attribute
NOTICED = "sciserver noticed"
"""Key in a database session's `info`: the transaction has written a notice."""


def record(connection: Connection, subject: str, kind: str, at: float) -> None:
    """Note for each client that something happened, or will happen, to an account at the Unix time `at`."""
    for client_id in RECEIVERS:
        connection.execute(insert(NOTICES).values(client_id=client_id, subject=subject, kind=kind, at=at, due=at))


class Watch:
    """Sees every change of an account that goes through the database session of Canaille.

    Parameters
    ----------
    factory
        Makes those sessions.
    """

    def __init__(self, factory: sessionmaker[Session]) -> None:
        event.listen(factory, "before_flush", self._before_flush)
        event.listen(factory, "after_commit", self._after_commit)
        if not event.contains(models.User.password, "set", _mark):
            event.listen(models.User.password, "set", _mark)
        self.bell: Any = lambda: None
        """Called, in any thread, when a notice was committed in this process."""

    def _before_flush(self, session: Session, context: Any, instances: Any) -> None:
        noticed = False
        for user in [user for user in session.deleted if isinstance(user, models.User)]:
            connection = session.connection()
            _cancel_pending(connection, user.id)
            sessions.forget(connection, user.id)
            record(connection, user.id, DELETED, time.time())
            noticed = True
        for user in [user for user in session.dirty if isinstance(user, models.User)]:
            noticed |= _notice(session, user)
        if noticed:
            session.info[NOTICED] = True

    def _after_commit(self, session: Session) -> None:
        if session.info.pop(NOTICED, False):
            self.bell()


def _mark(user: Any, value: Any, old: Any, initiator: Any) -> None:
    """Remember that a password was set: a hash alone also changes when it is only made stronger, at a sign-in."""
    setattr(user, _NEW_PASSWORD, True)


def _notice(session: Session, user: Any) -> bool:
    """Write down what a change of `user`, which is about to be stored, means; whether it means anything."""
    new_password = user.__dict__.pop(_NEW_PASSWORD, False)
    if not new_password and not inspect(user).attrs.lock_date.history.has_changes():
        return False
    connection = session.connection()
    columns = models.User.__table__.c
    before = connection.execute(
        select(columns.password.is_not(None), columns.lock_date).where(columns.id == user.id)
    ).one_or_none()
    if before is None:
        return False
    had_password, old_lock = before
    now = time.time()
    noticed = False
    # With the first password of an account there is nothing that it could end.
    if new_password and had_password:
        sessions.end_before(connection, user.id, now)
        record(connection, user.id, PASSWORD, now)
        noticed = True
    old, new = _unix_time(old_lock), _unix_time(user.lock_date)
    if old != new:
        _cancel_pending(connection, user.id)
        # A lock may be set for a day in the future: the notice waits for it.
        if new is not None and not (old is not None and old <= now and new <= now):
            record(connection, user.id, LOCKED, max(new, now))
            noticed = True
    return noticed


def _unix_time(moment: datetime.datetime | None) -> float | None:
    return None if moment is None else moment.astimezone(datetime.UTC).timestamp()


def _cancel_pending(connection: Connection, subject: str) -> None:
    """Forget locks that lie in the future."""
    connection.execute(
        delete(NOTICES).where(NOTICES.c.subject == subject, NOTICES.c.kind == LOCKED, NOTICES.c.at > time.time())
    )
