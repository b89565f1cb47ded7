"""Ending access: one browser's session, all of them, or everything a person holds.

Tokens that a page got in the name of a session (the hub's OAuth tokens) end with the session. Tokens that people made
end when they are revoked or expire, a server's token with the server.
"""

from __future__ import annotations

import asyncio
from typing import Any

from sciserver_auth.oidc import OIDCError
from sciserver_auth.store import BrowserSession


def end_session(handler: Any, user: Any, row: BrowserSession, kind: str) -> None:
    """End one session of `user`, with the tokens that servers and services hold in its name.

    Parameters
    ----------
    handler
        Any handler of the hub.
    kind
        What is written into the person's activity; a key of `store.KINDS`.
    """
    store = handler.authenticator.store
    store.end_session(row)
    for token in list(user.api_tokens):
        if row.has_id(token.session_id):
            handler.db.delete(token)
    handler.db.commit()
    store.record(user.name, kind, address=row.address, detail=row.browser)


async def end_session_there(handler: Any, user: Any, row: BrowserSession) -> None:
    """End the session of another browser of `user`, with the portal's session that it came from.

    Without the latter, that browser could sign in again without the password. Only the embedded portal can be told.
    """
    end_session(handler, user, row, "session-ended")
    if row.provider_sid:
        await _end_at_provider(handler, user, row.issuer, row.subject, row.provider_sid)


async def end_all_sessions(handler: Any, user: Any, kind: str) -> None:
    """Sign `user` out in every browser, here and at the provider.

    Afterwards a browser that was signed in asks for the password again, if the provider is the embedded portal. Others
    have no such endpoint: there, the provider's own session may let a browser in again.
    """
    authenticator = handler.authenticator
    for row in authenticator.store.sessions(user.name):
        authenticator.store.end_session(row)
    for token in list(user.api_tokens):
        if token.session_id:
            handler.db.delete(token)
    for code in list(user.orm_user.oauth_codes):
        handler.db.delete(code)
    handler.db.commit()
    authenticator.store.record(user.name, kind)
    await authenticator.drop_tokens(user)
    for identity in authenticator.store.identities(user.name):
        await _end_at_provider(handler, user, identity.issuer, identity.subject)


async def _end_at_provider(handler: Any, user: Any, issuer: str, subject: str, sid: str = "") -> None:
    if issuer != handler.authenticator.issuer:
        return
    try:
        await handler.authenticator.end_sessions_at_provider(subject, sid)
    except OIDCError as error:
        handler.log.error("The provider has not ended the sessions of %s: %s", user.name, error)


async def revoke_access(handler: Any, user: Any) -> None:
    """End everything that `user` could act with: sessions, tokens, running servers. Files are kept.

    Tokens go first, so that nothing can be done with them while the servers stop.
    """
    for token in list(user.api_tokens):
        handler.db.delete(token)
    handler.db.commit()
    await end_all_sessions(handler, user, "access-revoked")
    for name, spawner in list(user.spawners.items()):
        if spawner.pending == "stop":
            continue
        if spawner.pending and spawner._spawn_future:
            spawner._spawn_future.cancel()
            # The hub needs a moment to notice, as in its own handler for an interrupted start.
            await asyncio.sleep(1)
        if spawner.active and not spawner.pending:
            handler.log.warning("Stopping %s: access was revoked", spawner._log_name)
            await handler.stop_single_user(user, name)
