"""REST beside the hub's own for users: sessions, identities, activity, renewing tokens, revoking all access.

Rights are the hub's: `read:tokens` to see somebody's access, `tokens` to end parts of it, `admin:users` to revoke all
of it. As everywhere in the hub's API, people without rights on a user get 403 or 404 and learn nothing about who
exists, and requests with cookies need the XSRF token.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.apihandlers.users import UserTokenAPIHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.utils import isoformat, utcnow
from tornado import web

from sciserver_auth import access
from sciserver_auth.account_tokens import is_of_server, is_personal, request_address
from sciserver_auth.account_words import browser_words, kind_words
from sciserver_auth.store import Activity, BrowserSession, Identity, Store

SHORTEST_RENEWAL = 60

# For hubs without `token_expires_in_max_seconds`: a date must still come out of it.
LONGEST_RENEWAL = 10 * 365 * 86400

MOST_ACTIVITY = 200
USUAL_ACTIVITY = 50


class AccountAPIHandler(APIHandler):
    """What the handlers below share."""

    async def prepare(self) -> None:
        request_address.set(self.request.remote_ip or "")
        await super().prepare()

    @property
    def store(self) -> Store:
        store: Store = self.authenticator.store
        return store

    def known_user(self, name: str) -> Any:
        """The hub's user of that name; 404 otherwise."""
        user = self.find_user(name)
        if user is None:
            raise web.HTTPError(404, f"No such user: {name}")
        return user

    def json_object(self) -> dict[str, Any]:
        """The request's body, which must be a JSON object; 400 otherwise."""
        body = self.get_json_body()
        if not isinstance(body, dict):
            raise web.HTTPError(400, "The body must be a JSON object")
        return body

    def session_model(self, row: BrowserSession) -> dict[str, Any]:
        """A session; `current` says whether this request is part of it."""
        by_token = getattr(self, "_token_authenticated", False)
        own = None if by_token else self.store.session(row.user, self.get_session_cookie())
        return {
            "key": row.key,
            "user": row.user,
            "browser": browser_words(row.browser),
            "user_agent": row.browser,
            "address": row.address,
            "created": isoformat(row.created),
            "last_seen": isoformat(row.last_seen),
            "expires": isoformat(row.expires),
            "current": own is not None and own.key == row.key,
        }


class SessionListAPIHandler(AccountAPIHandler):
    """``/api/users/:name/sessions``: where somebody is signed in."""

    @needs_scope("read:tokens")
    def get(self, user_name: str) -> None:
        user = self.known_user(user_name)
        self.write(json.dumps({"sessions": [self.session_model(row) for row in self.store.sessions(user.name)]}))

    @needs_scope("tokens")
    async def delete(self, user_name: str) -> None:
        """Sign out everywhere. Tokens are kept: they were made to outlive a browser's session."""
        user = self.known_user(user_name)
        await access.end_all_sessions(self, user, "signed-out-everywhere")
        self.set_status(204)


class SessionAPIHandler(AccountAPIHandler):
    """``/api/users/:name/sessions/:key``: one of them."""

    @needs_scope("tokens")
    async def delete(self, user_name: str, key: str) -> None:
        user = self.known_user(user_name)
        row = next((row for row in self.store.sessions(user.name) if row.key == key), None)
        if row is None:
            raise web.HTTPError(404, f"No such session of {user.name}: it has ended already")
        await access.end_session_there(self, user, row)
        self.set_status(204)


class TokenRenewalAPIHandler(AccountAPIHandler):
    """``/api/users/:name/tokens/:id/renew``: a new date of expiry for a token that people keep somewhere."""

    find_token_by_id = UserTokenAPIHandler.find_token_by_id

    @needs_scope("tokens")
    def post(self, user_name: str, token_id: str) -> None:
        user = self.known_user(user_name)
        lifetime = self._lifetime()
        token: orm.APIToken = self.find_token_by_id(user, token_id)
        if token.expires_at is not None and token.expires_at <= utcnow(with_tz=False):
            # Still in the database until the hub's next sweep, but dead: it must not come back to life.
            raise web.HTTPError(404, f"No such token {token_id} for user {user.name}")
        if not is_personal(token):
            owner = (
                "a server; start the server again" if is_of_server(token) else "an application; sign in there again"
            )
            raise web.HTTPError(400, f"This token cannot be renewed: it belongs to {owner} for a new one")
        token.expires_at = utcnow(with_tz=False) + timedelta(seconds=lifetime)
        self.db.commit()
        self.store.record(user.name, "token-renewed", address=self.request.remote_ip, detail=token.note or "")
        self.write(json.dumps(self.token_model(token)))

    def _lifetime(self) -> int:
        lifetime = self.json_object().get("expires_in")
        limit = self.settings["token_expires_in_max_seconds"] or LONGEST_RENEWAL
        if isinstance(lifetime, bool) or not isinstance(lifetime, int):
            raise web.HTTPError(400, "expires_in must be a number of seconds, without a fraction")
        if not SHORTEST_RENEWAL <= lifetime <= limit:
            raise web.HTTPError(400, f"expires_in must be from {SHORTEST_RENEWAL} to {limit} seconds")
        return lifetime


class ActivityAPIHandler(AccountAPIHandler):
    """``/api/users/:name/activity-log?limit=N``: what happened to somebody's access, the latest first."""

    @needs_scope("read:tokens")
    def get(self, user_name: str) -> None:
        user = self.known_user(user_name)
        try:
            limit = int(self.get_argument("limit", str(USUAL_ACTIVITY)))
        except ValueError:
            limit = 0
        if not 1 <= limit <= MOST_ACTIVITY:
            raise web.HTTPError(400, f"limit must be a number from 1 to {MOST_ACTIVITY}")
        lines = [activity_model(line) for line in self.store.activity(user.name, limit)]
        self.write(json.dumps({"activity": lines}))


class RevokeAPIHandler(AccountAPIHandler):
    """``/api/users/:name/revoke``: end all access that somebody has now.

    It does not lock the account: who may sign in is the provider's to say.
    """

    @needs_scope("admin:users")
    async def post(self, user_name: str) -> None:
        user = self.known_user(user_name)
        self.log.warning("%s revokes all access of %s", self.current_user.name, user.name)
        await access.revoke_access(self, user)
        self.set_status(204)


class IdentityListAPIHandler(AccountAPIHandler):
    """``/api/users/:name/identities``: the accounts at providers that sign in as this user."""

    @needs_scope("admin:users", "read:tokens")
    def get(self, user_name: str) -> None:
        user = self.known_user(user_name)
        self.write(json.dumps({"identities": [identity_model(row) for row in self.store.identities(user.name)]}))

    @needs_scope("admin:users")
    def post(self, user_name: str) -> None:
        user = self.known_user(user_name)
        if not self.has_scope(f"tokens!user={user.name}"):
            # `admin:users` alone gives no access in somebody's name; a link would.
            raise web.HTTPError(403, "Who is linked can sign in as this user: the scope 'tokens' is needed as well")
        body = self.json_object()
        issuer, subject = self._text(body, "issuer", 1000), self._text(body, "subject", 255)
        email = self._text(body, "email", 320) if body.get("email") else ""
        if not issuer.startswith(("https://", "http://")):
            raise web.HTTPError(400, "issuer must be the provider's address, as its discovery document spells it")
        known = self.store.identity(issuer, subject)
        if known is not None and known.user != user.name:
            raise web.HTTPError(409, "This account signs in as another user: remove that link first")
        if known is None:
            self.store.link(user.name, issuer, subject, email)
            _record_link(self, user, "identity-linked", issuer)
            known = self.store.identity(issuer, subject)
            self.set_status(201)
        self.write(json.dumps(identity_model(known)))

    def _text(self, body: dict[str, Any], name: str, length: int) -> str:
        value = body.get(name)
        if not isinstance(value, str) or not 1 <= len(value.strip()) <= length:
            raise web.HTTPError(400, f"{name} must be a text of at most {length} characters")
        return value.strip()


class IdentityAPIHandler(AccountAPIHandler):
    """``/api/users/:name/identities/:id``: one of them."""

    @needs_scope("admin:users")
    def delete(self, user_name: str, identity_id: str) -> None:
        user = self.known_user(user_name)
        row = next((row for row in self.store.identities(user.name) if str(row.id) == identity_id), None)
        if row is None:
            raise web.HTTPError(404, f"No such identity of {user.name}")
        self.store.unlink(user.name, row.id)
        _record_link(self, user, "identity-removed", row.issuer)
        # Whoever came in through it is put out, or the removal would take effect at some later sign-in only.
        for session in self.store.find_sessions(row.issuer, subject=row.subject):
            if session.user == user.name:
                access.end_session(self, user, session, "session-ended")
        self.set_status(204)


def _record_link(handler: AccountAPIHandler, user: Any, kind: str, issuer: str) -> None:
    detail = f"{issuer} (by {handler.current_user.name})"
    handler.store.record(user.name, kind, address=handler.request.remote_ip, detail=detail)


def activity_model(line: Activity) -> dict[str, Any]:
    """A line of activity; `text` is for people, `kind` for programs."""
    return {
        "at": isoformat(line.at),
        "kind": line.kind,
        "text": kind_words(line.kind),
        "address": line.address,
        "detail": line.detail,
    }


def identity_model(row: Identity | None) -> dict[str, Any]:
    """An account at a provider."""
    if row is None:
        raise web.HTTPError(404, "This identity was removed meanwhile")
    return {
        "id": row.id,
        "user": row.user,
        "issuer": row.issuer,
        "subject": row.subject,
        "email": row.email,
        "linked": isoformat(row.linked),
    }


default_handlers = [
    (r"/api/users/([^/]+)/sessions", SessionListAPIHandler),
    (r"/api/users/([^/]+)/sessions/([^/]+)", SessionAPIHandler),
    (r"/api/users/([^/]+)/tokens/([^/]+)/renew", TokenRenewalAPIHandler),
    (r"/api/users/([^/]+)/activity-log", ActivityAPIHandler),
    (r"/api/users/([^/]+)/revoke", RevokeAPIHandler),
    (r"/api/users/([^/]+)/identities", IdentityListAPIHandler),
    (r"/api/users/([^/]+)/identities/([^/]+)", IdentityAPIHandler),
]
