"""Whose tokens or rights have changed: what services need to know to keep the hub's answers without asking again.

The hub's database tells: every change of a token, a group, a role or a share passes through its session. Services ask
for the owners of what has changed with a long poll, and forget what they know about those.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.apihandlers.users import SelfAPIHandler
from jupyterhub.utils import isoformat
from sqlalchemy import event, inspect
from sqlalchemy.orm import Session
from tornado import web

from sciserver_auth.account_tokens import request_address
from sciserver_common.scopes import SIGN_ON_WATCH

EVERYBODY = "*"
"""In place of an owner: the change may concern anybody."""

HISTORY = 10_000
"""How many changes are remembered. Who is further behind starts again."""

MAX_WAIT = 60.0
DEFAULT_WAIT = 25.0

# Rights hang on these. A statement that changes rows without loading them does not say whose: everybody's.
_WATCHED_TABLES = {
    "api_tokens",
    "group_role_map",
    "groups",
    "roles",
    "service_role_map",
    "services",
    "shares",
    "user_group_map",
    "user_role_map",
    "users",
}

_CURSOR = re.compile(r"[0-9a-f]{16}-[0-9]{1,15}")


class Changes:
    """The owners of tokens and rights that have changed, since this hub has started.

    Owners are ``user:NAME``, ``service:NAME``, or `EVERYBODY`. A new token is no change, nor is the use of one.

    All methods belong to the hub's event loop.

    Parameters
    ----------
    app
        The `jupyterhub.app.JupyterHub`. Its session, and no other, is listened to; if it has none yet, from the first
        call of a method.
    """

    def __init__(self, app: Any) -> None:
        self.log = app.log
        self._app = app
        # A cursor from before a restart must not be taken for one of ours.
        self._epoch = secrets.token_hex(8)
        self._position = 0
        self._history: deque[tuple[int, str]] = deque(maxlen=HISTORY)
        self._pending: set[str] = set()
        self._callbacks: list[Callable[[frozenset[str]], object]] = []
        self._news = asyncio.Event()
        self._closed = False
        self._session: Session | None = None
        self._listeners: dict[str, Callable[..., None]] = {
            "before_flush": self._before_flush,
            "do_orm_execute": self._before_statement,
            "after_commit": self._after_commit,
            "after_soft_rollback": self._after_rollback,
        }
        self._attach()

    def listen(self, callback: Callable[[frozenset[str]], object]) -> None:
        """Call `callback` with the owners soon after each commit that concerns somebody.

        It runs in the event loop, when the session can be used again. Its errors go to the log.
        """
        self._attach()
        self._callbacks.append(callback)

    async def wait(self, cursor: str, limit: float) -> dict[str, Any]:
        """What has changed since `cursor`; waits up to `limit` seconds until something has.

        Returns
        -------
        dict
            ``cursor``: for the next call. ``changed``: the owners, each once. ``reset``: true when what has changed
            cannot be told, for a cursor that is empty, unknown or too old, or because it may concern anybody. Then
            nothing that was known before holds.
        """
        self._attach()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit
        while True:
            news = self._news
            answer = self._since(cursor)
            left = deadline - loop.time()
            if answer["reset"] or answer["changed"] or left <= 0 or self._closed:
                return answer
            try:
                await asyncio.wait_for(news.wait(), left)
            except TimeoutError:
                pass

    def close(self) -> None:
        """Listen no more; whoever waits gets an answer."""
        if not self._closed:
            self._closed = True
            if self._session is not None:
                for name, listener in self._listeners.items():
                    event.remove(self._session, name, listener)
        self._news.set()

    # -- the history

    def _since(self, cursor: str) -> dict[str, Any]:
        epoch, _, position = cursor.partition("-")
        answer = {"cursor": f"{self._epoch}-{self._position}", "reset": True, "changed": []}
        if epoch != self._epoch or not position.isdecimal():
            return answer
        known = int(position)
        oldest = self._history[0][0] if self._history else 1
        if not oldest - 1 <= known <= self._position:
            return answer
        changed = set()
        for number, owner in reversed(self._history):
            if number <= known:
                break
            changed.add(owner)
        if EVERYBODY not in changed:
            answer |= {"reset": False, "changed": sorted(changed)}
        return answer

    def _publish(self, owners: frozenset[str]) -> None:
        for owner in owners:
            self._position += 1
            self._history.append((self._position, owner))
        news, self._news = self._news, asyncio.Event()
        news.set()
        for callback in self._callbacks:
            try:
                callback(owners)
            except Exception:
                self.log.exception("A change of rights could not be passed on")

    # -- the session

    def _attach(self) -> None:
        # Nothing is missed before: a first `wait` answers that all that was known is void.
        if self._session is None and not self._closed:
            self._session = getattr(self._app, "db", None)
            if self._session is not None:
                for name, listener in self._listeners.items():
                    event.listen(self._session, name, listener)

    def _before_flush(self, session: Session, context: object, instances: object) -> None:
        try:
            # Before anything is written: owners can still be looked up.
            for thing in session.deleted:
                self._pending.update(_owners_of_deleted(thing))
            for thing in session.dirty:
                self._pending.update(_owners_of_changed(thing))
            for thing in session.new:
                if isinstance(thing, orm.Share):
                    self._pending.update(_owners_of_share(thing))
        except Exception:
            self.log.exception("It cannot be told whose rights change")
            self._pending.add(EVERYBODY)

    def _before_statement(self, state: Any) -> None:
        if not state.is_select:
            table = getattr(getattr(state.statement, "table", None), "name", None)
            if table is None or table in _WATCHED_TABLES:
                self._pending.add(EVERYBODY)

    def _after_commit(self, session: Session) -> None:
        # The end of a savepoint is reported here as well; its changes are the outer transaction's.
        if session.in_nested_transaction() or not self._pending:
            return
        owners, self._pending = frozenset(self._pending), set()
        try:
            # The session cannot be used in here, but whoever listens may want to.
            asyncio.get_running_loop().call_soon(self._publish, owners)
        except RuntimeError:
            self._publish(owners)

    def _after_rollback(self, session: Session, transaction: Any) -> None:
        # After a savepoint only a part is undone. One name too many does no harm.
        if not transaction.nested:
            self._pending.clear()


def _name(owner: orm.User | orm.Service | None) -> set[str]:
    return set() if owner is None else {f"{owner.kind}:{owner.name}"}


def _names(owners: Iterable[orm.User | orm.Service | None]) -> set[str]:
    return set().union(*map(_name, owners))


def _owners_of_share(share: orm.Share) -> set[str]:
    """Who may use a server, and whose it is: open connections to it must be looked at."""
    members = share.group.users if share.group is not None else []
    return _names([share.owner, share.user, *members])


def _owners_of_deleted(thing: object) -> set[str]:
    if isinstance(thing, orm.APIToken):
        return _name(thing.owner)
    if isinstance(thing, orm.User | orm.Service):
        return _name(thing)
    if isinstance(thing, orm.Group):
        return _names(thing.users)
    if isinstance(thing, orm.Share):
        return _owners_of_share(thing)
    return {EVERYBODY} if isinstance(thing, orm.Role) else set()


def _owners_of_changed(thing: object) -> set[str]:
    def history(name: str) -> Any:
        return inspect(thing).attrs[name].history

    def changes(*names: str) -> bool:
        return any(history(name).has_changes() for name in names)

    if isinstance(thing, orm.APIToken):
        return _name(thing.owner) if changes("scopes", "expires_at") else set()
    if isinstance(thing, orm.User):
        if changes("name"):
            return _name(thing) | {f"user:{old}" for old in history("name").deleted}
        removed_token = bool(history("api_tokens").deleted)
        return _name(thing) if removed_token or changes("admin", "groups", "roles") else set()
    if isinstance(thing, orm.Service):
        removed_token = bool(history("api_tokens").deleted)
        return _name(thing) if removed_token or changes("admin", "roles") else set()
    if isinstance(thing, orm.Group):
        if changes("name", "roles"):
            return _names([*thing.users, *(history("users").deleted or [])])
        members = history("users")
        return _names([*(members.added or []), *(members.deleted or [])])
    if isinstance(thing, orm.Role):
        return {EVERYBODY} if changes("name", "scopes") else set()
    if isinstance(thing, orm.Share):
        return _owners_of_share(thing) if changes("_scopes", "expires_at") else set()
    return set()


class TokenHandler(SelfAPIHandler):
    """``GET /api/sign-on/token``: the hub's ``/api/user``, and what it leaves out about the calling token.

    ``created`` and ``expires_at`` are the token's (ISO 8601 in UTC, or null), not the person's, as is ``note``.

    ``DELETE`` revokes the calling token. It needs no scope: who holds a token may give it up.
    """

    # A browser's cookie is no token.
    _accept_cookie_auth = False

    def user_model(self, user: Any) -> dict[str, Any]:
        model: dict[str, Any] = super().user_model(user)
        return model | self._about_token()

    def service_model(self, service: Any) -> dict[str, Any]:
        model: dict[str, Any] = super().service_model(service)
        return model | self._about_token()

    def _about_token(self) -> dict[str, Any]:
        token = self.get_token()
        return {
            "created": isoformat(token.created),
            "expires_at": isoformat(token.expires_at),
            "note": token.note or None,
        }

    def delete(self) -> None:
        token = self.get_token()
        if token is None or token.user is None:
            raise web.HTTPError(403, "Only a person's token can be revoked here.")
        request_address.set(self.request.remote_ip or "")
        self.db.delete(token)
        self.db.commit()
        self.set_status(204)


class ChangesHandler(APIHandler):
    """``GET /api/sign-on/changes?after=CURSOR&wait=SECONDS``: see `Changes.wait`. For services with the scope."""

    _accept_cookie_auth = False
    _waiting: asyncio.Task[dict[str, Any]] | None = None

    async def get(self) -> None:
        if not self.has_scope(SIGN_ON_WATCH):
            raise web.HTTPError(403, f"This needs a token with the scope {SIGN_ON_WATCH}.")
        cursor = self._only("after", "")
        if cursor and not _CURSOR.fullmatch(cursor):
            raise web.HTTPError(400, "'after' is not a cursor: leave it out, or send the one of the last answer.")
        try:
            seconds = float(self._only("wait", str(DEFAULT_WAIT)))
        except ValueError:
            seconds = -1
        # Not a number ("nan") is in no range either.
        if not 0 <= seconds <= MAX_WAIT:
            raise web.HTTPError(400, f"'wait' is a number of seconds from 0 to {MAX_WAIT:g}.")
        self._waiting = asyncio.ensure_future(self.authenticator.changes.wait(cursor, seconds))
        try:
            answer = await self._waiting
        except asyncio.CancelledError:
            return
        self.write(answer)

    def _only(self, name: str, default: str) -> str:
        values = self.get_query_arguments(name)
        if len(values) > 1:
            raise web.HTTPError(400, f"'{name}' is there {len(values)} times: send it once.")
        return values[0] if values else default

    def on_connection_close(self) -> None:
        """The client has gone away: nobody waits any more."""
        super().on_connection_close()
        if self._waiting is not None:
            self._waiting.cancel()

    def _record_activity(self, obj: Any, timestamp: Any = None) -> bool:
        # A poll is no activity, and needs no write to the database.
        return False

    def _log(self) -> None:
        # One line for each poll would be most of the log, and their duration would spoil the hub's histogram.
        if self.get_status() >= 400:
            super()._log()


default_handlers: list[tuple[str, type[web.RequestHandler]]] = [
    (r"/api/sign-on/token", TokenHandler),
    (r"/api/sign-on/changes", ChangesHandler),
]
