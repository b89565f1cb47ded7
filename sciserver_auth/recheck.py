"""Telling running servers that somebody's rights have changed, so that open notebooks of who has left are closed.

A single-user server believes the hub's answer about a token for five minutes, and asks about a WebSocket only when it
opens. The extension `sciserver_sign_on` in our base image asks again when it is told to; here is who tells it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
from jupyterhub import orm
from jupyterhub.httpclient import fetch
from jupyterhub.utils import url_path_join
from sqlalchemy import event
from sqlalchemy.orm import Session

from sciserver_auth.changes import EVERYBODY

PATH = "api/sign-on/recheck"
"""Below a server's address."""

TIMEOUT = 15.0
"""Seconds for one server to answer. It asks the hub who the caller is before it does."""

TOKEN_LIFETIME = 60
"""Seconds that a token for one such request lives, should the hub be killed before it is deleted."""

CONCURRENCY = 8
"""Requests at once. Each makes the server ask this hub several times."""


class Recheck:
    """Tells servers to ask the hub again: those of the owners whose rights changed, and those that they were using.

    All methods belong to the hub's event loop.

    Parameters
    ----------
    app
        The `jupyterhub.app.JupyterHub`, with its database open.
    """

    def __init__(self, app: Any) -> None:
        self.log = app.log
        self._app = app
        self._turns = asyncio.Semaphore(CONCURRENCY)
        self._tasks: dict[tuple[int, str], asyncio.Task[None]] = {}
        self._again: set[tuple[int, str]] = set()
        self._own: set[str] = set()
        # OAuth clients, which are servers or services, whose tokens are being deleted. Somebody who was given access
        # to another person's server has a token of that server.
        self._clients: set[str] = set()
        self._uncommitted: set[str] = set()
        event.listen(app.db, "before_flush", self._before_flush)
        event.listen(app.db, "after_commit", self._after_commit)

    def changed(self, owners: frozenset[str]) -> None:
        """Take note of changes: a callback for `sciserver_auth.changes.Changes.listen`.

        Parameters
        ----------
        owners
            As `Changes` names them.
        """
        owners -= self._own
        clients, self._clients = self._clients, set()
        for user, spawner in self._ready_servers():
            concerns = f"user:{user.name}" in owners or EVERYBODY in owners or spawner.oauth_client_id in clients
            if concerns:
                self._tell(user, spawner)

    def _ready_servers(self) -> Iterator[tuple[Any, Any]]:
        for user in list(self._app.users.values()):
            for spawner in list(user.spawners.values()):
                if spawner.ready:
                    yield user, spawner

    def _before_flush(self, session: Session, context: object, instances: object) -> None:
        for thing in session.deleted:
            if isinstance(thing, orm.APIToken) and thing.client_id and thing.session_id:
                self._uncommitted.add(thing.client_id)

    def _after_commit(self, session: Session) -> None:
        self._clients |= self._uncommitted
        self._uncommitted.clear()

    def _tell(self, user: Any, spawner: Any) -> None:
        """Have a server told soon: once for all that happens until it is its turn."""
        key = (user.id, spawner.name)
        if key in self._tasks:
            self._again.add(key)
            return
        self._tasks[key] = asyncio.ensure_future(self._tell_until_done(key, user, spawner))

    async def _tell_until_done(self, key: tuple[int, str], user: Any, spawner: Any) -> None:
        try:
            while True:
                async with self._turns:
                    self._again.discard(key)
                    if spawner.ready:
                        await self._post(user, spawner)
                if key not in self._again:
                    return
        except Exception:
            self.log.exception("%s was not told that rights have changed", spawner._log_name)
        finally:
            del self._tasks[key]

    async def _post(self, user: Any, spawner: Any) -> None:
        name = f"{user.name}/{spawner.name}"
        # JupyterHub takes the use of a token with such a note for no activity of the person.
        note = f"Server at {spawner.server.base_url} recheck"
        token = user.new_api_token(note=note, scopes=[f"access:servers!server={name}"], expires_in=TOKEN_LIFETIME)
        try:
            answer = await fetch(
                url_path_join(spawner.server.url, PATH),
                method="POST",
                headers={"Authorization": f"token {token}"},
                timeout=aiohttp.ClientTimeout(total=TIMEOUT),
                allow_redirects=False,
                raise_for_status=False,
            )
            async with answer:
                status = answer.status
        except (aiohttp.ClientError, OSError) as error:
            # It asks by itself within minutes, and has no connections to close when it is dead. A timeout is an
            # OSError too.
            self.log.warning("%s is not told that rights have changed: %s", spawner._log_name, error or "no answer")
        else:
            if status == 202:
                self.log.info("Told %s to ask again who is signed in", spawner._log_name)
            else:
                # 404: an image without the extension.
                self.log.warning("%s cannot be told that rights have changed: HTTP %i", spawner._log_name, status)
        finally:
            self._delete(f"user:{user.name}", token)

    def _delete(self, owner: str, token: str) -> None:
        """Delete our token; that this is a change of its owner's tokens must not lead here again, and again.

        `Changes` publishes each commit with a callback of its own in the event loop, which keeps the order of these:
        what comes between our two callbacks is our own commit and no other.
        """
        database = self._app.db
        # What others have left in the session is published on its own.
        database.commit()
        row = orm.APIToken.find(database, token)
        if row is None:
            return
        loop = asyncio.get_running_loop()
        loop.call_soon(self._own.add, owner)
        try:
            database.delete(row)
            database.commit()
        finally:
            loop.call_soon(self._own.discard, owner)
