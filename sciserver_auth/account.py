"""The account page: who somebody is here, their tokens, where they are signed in, and what happened to their access.

The same page shows an administrator somebody else's access. What its buttons do is in `account_api`, or in the hub's
own REST interface where that has it already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from jupyterhub import orm
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.utils import url_path_join, utcnow
from tornado import web

from sciserver_auth import account_api
from sciserver_auth.account_tokens import is_of_server, is_personal, request_address
from sciserver_auth.account_words import (
    browser_words,
    issuer_words,
    kind_words,
    lifetime_words,
    scope_service,
    scope_words,
)
from sciserver_common.scopes import CASJOBS_QUERY, FILES_READ, JOBS_READ, USER_SCOPES

DAY = 86400
LIFETIMES = [DAY, 7 * DAY, 30 * DAY, 90 * DAY, 365 * DAY]
USUAL_LIFETIME = 30 * DAY

PRESELECTED = {CASJOBS_QUERY, FILES_READ, JOBS_READ}

# For programs that use the hub itself. The filter keeps a token of an administrator away from other people's.
HUB_SCOPES = ["read:users!user", "servers!user", "access:servers!user", "inherit"]


class AccountPageHandler(BaseHandler):
    """``/hub/account``: the own account."""

    async def prepare(self) -> None:
        request_address.set(self.request.remote_ip or "")
        await super().prepare()

    @web.authenticated
    async def get(self) -> None:
        await self.show(self.current_user)

    async def show(self, owner: Any) -> None:
        """Answer with the page about `owner`."""
        store = self.authenticator.store
        session = store.session(self.current_user.name, self.get_session_cookie())
        own = owner.name == self.current_user.name
        tokens = _alive(owner.api_tokens)
        self.set_header("Cache-Control", "no-store")
        self.finish(
            await self.render_template(
                "account.html",
                owner=owner,
                own=own,
                may_end=own or self.has_scope(f"tokens!user={owner.name}"),
                tokens=[_token_line(token) for token in tokens if is_personal(token)],
                applications=_applications(tokens),
                sessions=[
                    {"row": row, "browser": browser_words(row.browser), "current": session and row.key == session.key}
                    for row in store.sessions(owner.name)
                ],
                activity=[
                    {"row": line, "text": kind_words(line.kind), "detail": _detail(line.kind, line.detail)}
                    for line in store.activity(owner.name, account_api.USUAL_ACTIVITY)
                ],
                identities=[
                    {"row": row, "provider": issuer_words(row.issuer)} for row in store.identities(owner.name)
                ],
                own_issuer=self.authenticator.issuer,
                scope_groups=self._scope_groups(),
                lifetimes=self._lifetimes(),
                usual_lifetime=USUAL_LIFETIME,
            )
        )

    def _scope_groups(self) -> dict[str, list[dict[str, Any]]]:
        """What a new token can be given, under headings."""
        groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for scope in [scope for scope in USER_SCOPES if scope in self.expanded_scopes] + HUB_SCOPES:
            (words,) = scope_words([scope])
            groups[scope_service(scope)].append({"scope": scope, "text": words, "checked": scope in PRESELECTED})
        return dict(groups)

    def _lifetimes(self) -> list[tuple[int, str]]:
        """How long a token can last: seconds, and the words for them."""
        limit = self.settings["token_expires_in_max_seconds"]
        choices = [seconds for seconds in LIFETIMES if not limit or seconds <= limit]
        return [(seconds, lifetime_words(seconds)) for seconds in choices or [limit]]


class OtherAccountPageHandler(AccountPageHandler):
    """``/hub/account/NAME``: somebody else's access, for administrators."""

    @web.authenticated
    async def get(self, user_name: str) -> None:
        if user_name == self.current_user.name:
            self.redirect(url_path_join(self.hub.base_url, "account"))
            return
        await self._show_other(user_name)

    @needs_scope("admin:users")
    async def _show_other(self, user_name: str) -> None:
        owner = self.find_user(user_name)
        if owner is None or not self.has_scope(f"read:tokens!user={user_name}"):
            raise web.HTTPError(404)
        await self.show(owner)


class TokenPageHandler(BaseHandler):
    """``/hub/token``, where the hub's own page for tokens was."""

    def get(self) -> None:
        self.redirect(url_path_join(self.hub.base_url, "account") + "#tokens")


def _alive(tokens: Iterable[orm.APIToken]) -> list[orm.APIToken]:
    """Tokens that work, the most recently made first; the hub sweeps out the others now and then."""
    now = utcnow(with_tz=False)
    alive = [token for token in tokens if token.client_id and (token.expires_at is None or token.expires_at > now)]
    return sorted(alive, key=lambda token: token.id, reverse=True)


def _token_line(token: orm.APIToken) -> dict[str, Any]:
    return {
        "id": token.api_id,
        "note": token.note or "Without a name",
        "scopes": scope_words(token.scopes),
        "created": token.created,
        "last_activity": token.last_activity,
        "expires_at": token.expires_at,
    }


def _applications(tokens: list[orm.APIToken]) -> list[dict[str, Any]]:
    """Servers and services that hold tokens of a person, each with all of its tokens in one line."""
    clients: dict[tuple[str, str], list[orm.APIToken]] = defaultdict(list)
    for token in tokens:
        if is_of_server(token):
            clients["server", token.note].append(token)
        elif not is_personal(token):
            clients["page", token.client_id].append(token)
    lines = []
    for (kind, _), held in clients.items():
        client = held[0].oauth_client
        text = held[0].note if kind == "server" else client.description or client.identifier
        lines.append(
            {
                # The hub revokes all tokens of a page together, those inside of a server one by one.
                "ids": [token.api_id for token in (held if kind == "server" else held[:1])],
                "name": _application_name(text),
                "inside": kind == "server",
                "scopes": scope_words(sorted({scope for token in held for scope in token.scopes})),
                "created": min(token.created for token in held),
                "last_activity": max((token.last_activity for token in held if token.last_activity), default=None),
            }
        )
    return sorted(lines, key=lambda line: line["last_activity"] or datetime.min, reverse=True)


def _application_name(text: str) -> str:
    """A server's or service's name for people, out of what the hub writes: "Server at /user/ada/two/"."""
    if text.startswith("Server at /"):
        parts = text.removeprefix("Server at ").strip("/").split("/")
        name = parts[parts.index("user") + 2 :] if "user" in parts else []
        return f"Server “{name[0]}”" if name else "My server"
    return text


def _detail(kind: str, detail: str) -> str:
    """What a line of activity adds: sessions note the browser's whole header."""
    return browser_words(detail) if kind in {"session-ended", "sign-out", "provider-sign-out"} and detail else detail


default_handlers = [
    (r"/account", AccountPageHandler),
    (r"/account/([^/]+)", OtherAccountPageHandler),
    (r"/token", TokenPageHandler),
    *account_api.default_handlers,
]
