"""The tokens that people make for themselves: which they are, and a line of activity when one comes or goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jupyterhub import orm
from jupyterhub.utils import utcnow
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from tornado.log import app_log

from sciserver_auth.store import Store

# How the hub writes the notes of the tokens that it puts into servers (jupyterhub.user.User.spawn).
_SERVER_NOTES = ("Server at /", "retrieved from spawner ")

request_address: ContextVar[str] = ContextVar("request_address", default="")
"""Where the current request comes from. Tokens come and go in the hub's own handlers, which tell nobody."""

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)

_PENDING = "sciserver_token_activity"


@contextmanager
def unrecorded() -> Iterator[None]:
    """Tokens come and go without a line of activity: whoever uses this writes one that says more."""
    before = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(before)


def is_personal(token: orm.APIToken) -> bool:
    """Whether a person made this token: neither a server's nor one of a service's sign-in (OAuth)."""
    return token.client_id == "jupyterhub" and token.user_id is not None and not is_of_server(token)


def is_of_server(token: orm.APIToken) -> bool:
    """Whether the hub put this token into a server.

    The note is all that tells it. Somebody may write such a note as well: that token is then shown among the
    servers' tokens, where it can be revoked like any other.
    """
    return token.client_id == "jupyterhub" and (token.note or "").startswith(_SERVER_NOTES)


def record_tokens(store: Store, database: Any) -> None:
    """Write a line of activity for each token of a person that is made or deleted in the hub's database.

    Tokens are made and deleted by the hub's own handlers in many places, so this listens to its database session
    rather than to them. Lines are written after the commit: what is rolled back did not happen.

    Parameters
    ----------
    database
        The hub's SQLAlchemy session.
    """

    def collect(session: Any, context: Any) -> None:
        pending = session.info.setdefault(_PENDING, [])
        if _quiet.get():
            return
        now = utcnow(with_tz=False)
        for kind, objects in (("token-made", session.new), ("token-revoked", session.deleted)):
            for token in objects:
                if not isinstance(token, orm.APIToken) or token.user is None or token.user in session.deleted:
                    continue
                # The hub sweeps out expired tokens from time to time: nobody revoked them.
                ended = token.expires_at is not None and token.expires_at.replace(tzinfo=None) <= now
                if not ended and is_personal(token):
                    pending.append((token.user.name, kind, token.note or ""))

    def write(session: Any) -> None:
        for user, kind, note in session.info.pop(_PENDING, []):
            try:
                store.record(user, kind, address=request_address.get(), detail=note)
            except SQLAlchemyError:
                # The token is made or gone already: the request must not fail for a line about it.
                app_log.exception("Activity of %s is not recorded: %s", user, kind)

    def forget(session: Any) -> None:
        session.info.pop(_PENDING, None)

    event.listen(database, "after_flush", collect)
    event.listen(database, "after_commit", write)
    event.listen(database, "after_rollback", forget)
