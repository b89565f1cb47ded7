"""`SciServerAuthenticator`: the hub's sign-in through an OpenID Connect provider.

Everything is oauthenticator's except discovery, the verified identity token, the renewal of tokens, sessions that can
be ended one by one, and the link between accounts at the provider and the hub's users.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.crypto import decrypt, encrypt
from tornado import web
from traitlets import CaselessStrEnum, Integer, TraitError, Unicode, default

from sciserver_auth import account, backchannel, changes, password
from sciserver_auth.account_tokens import record_tokens
from sciserver_auth.claims import without_unverified_email
from sciserver_auth.handlers import SciServerCallbackHandler, SciServerLoginHandler
from sciserver_auth.logout import SciServerLogoutHandler
from sciserver_auth.mapping import ClaimsMapping
from sciserver_auth.recheck import Recheck
from sciserver_auth.store import BrowserSession, Identity, Store


class SciServerAuthenticator(ClaimsMapping):
    """Sign-in through OpenID Connect: the embedded portal, or any other provider by configuration."""

    login_handler = SciServerLoginHandler
    callback_handler = SciServerCallbackHandler
    logout_handler = SciServerLogoutHandler

    store_url = Unicode(
        "sqlite:///sign-on.sqlite",
        config=True,
        help="""
        SQLAlchemy URL of the database with sessions, links between accounts, and recent activity.

        PostgreSQL works as well (``postgresql+psycopg://hub:password@db.example.org/hub``); it may be the hub's own
        database.
        """,
    )

    session_lifetime = Integer(
        14 * 24 * 3600,
        min=300,
        config=True,
        help="""
        Seconds after which a browser must sign in again, however active it was.
        """,
    )

    link_existing_users = CaselessStrEnum(
        ["never", "verified_email", "name"],
        "never",
        config=True,
        help="""
        What happens when an account that the hub has not seen before arrives under the name of an existing user who
        belongs to another account, as after a change of the provider.

        ``never``: it is refused, until an administrator links the account. ``verified_email``: it becomes that user
        if the provider vouches for the mail address and the address is the same. ``name``: it becomes that user. Use
        the last only while you trust that both providers give names to the same people.
        """,
    )

    login_service = Unicode("SciServer", config=True, help="""Name on the hub's sign-in button.""")

    @default("reconcile_auth_state_hook")
    def _default_reconcile_auth_state_hook(self) -> Any:
        return keep_browser_tokens

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.link_existing_users == "name" and len(self.strip_domains) > 1:
            # ada@one.edu and ada@two.edu would be one user, with one person's files.
            raise TraitError('link_existing_users = "name" needs names of one origin: use one of strip_domains only')
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """Sessions, links and activity; opened, and migrated, at first use."""
        if self._store is None:
            self._store = Store(self.store_url, self.session_lifetime)
        return self._store

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """The hub's additional routes; they come before its own."""
        if self.is_embedded:
            self.store.adopt_issuer(self.issuer)
        self.changes = changes.Changes(app)
        self.changes.listen(Recheck(app).changed)
        record_tokens(self.store, app.db)
        modules = (account, backchannel, changes, password)
        return [*super().get_handlers(app), *(route for module in modules for route in module.default_handlers)]

    def delete_user(self, user: Any) -> None:
        """Called by the hub when it deletes a user."""
        self.store.forget(user.name)
        self.forget_renewal(user.name)
        super().delete_user(user)

    # Who somebody is.

    def build_auth_state_dict(self, token_info: dict[str, Any], user_info: dict[str, Any]) -> dict[str, Any]:
        """What is kept, encrypted, for the renewal and the logout."""
        state: dict[str, Any] = super().build_auth_state_dict(token_info, user_info)
        # Each token once: oauthenticator keeps the provider's answer beside the tokens taken out of it.
        del state["token_response"]
        for name in ("token_type", "id_claims", "obtained_at", "expires_at"):
            state[name] = token_info[name]
        if token_info.get("by_password"):
            # Used up as soon as they have proved the password; see `password`.
            state["by_password"] = True
        return state

    async def update_auth_model(self, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Add the name that pages and shared notebooks show; take the hub's name of a linked account."""
        state = auth_model["auth_state"]
        identity = self.store.identity(state["id_claims"]["iss"], state["id_claims"]["sub"])
        if identity is not None and identity.user != auth_model["name"]:
            auth_model["name"] = identity.user
            auth_model["admin"] = True if identity.user in self.admin_users else None
        auth_model = await super().update_auth_model(auth_model)
        shown = state[self.user_auth_state_key].get("name")
        if not isinstance(shown, str) or not shown.strip():
            shown = auth_model["name"]
        auth_model["user_info"] = {"name": auth_model["name"], "display_name": shown.strip()[:200]}
        return auth_model

    async def run_post_auth_hook(self, handler: Any, auth_model: dict[str, Any]) -> dict[str, Any]:
        """After all lists have allowed the person: tie the account to the hub's user.

        Raises
        ------
        tornado.web.HTTPError
            403: the name belongs to another account.
        """
        auth_model = await super().run_post_auth_hook(handler, auth_model)
        await self._link(handler, auth_model)
        return auth_model

    async def _link(self, handler: Any, auth_model: dict[str, Any]) -> None:
        """Keep a name's files from a second person who was given the same name.

        A name can be taken again after its account was deleted at the provider, or at another provider. The subject
        identifier cannot (OpenID Connect Core 1.0 §2).
        """
        state = auth_model["auth_state"]
        issuer, subject = state["id_claims"]["iss"], state["id_claims"]["sub"]
        claims = state[self.user_auth_state_key]
        email = claims.get("email") if isinstance(claims.get("email"), str) else ""
        name = auth_model["name"]
        known = self.store.identity(issuer, subject)
        if known is not None and known.user == name and known.email == email:
            return
        others = self.store.identities(name) or await self._last_account(handler, name)
        same = any((other.issuer, other.subject) == (issuer, subject) for other in others)
        if others and not same:
            # At one provider, another subject is another person, to whom the name was given again.
            if any(other.issuer == issuer for other in others) or not self._may_link(claims, email, others):
                # What an administrator needs for a link, if both are the same person.
                self.log.error("%s is another account (%r) than before: sign-in refused", name, subject[:255])
                self.store.record(name, "sign-in-refused", detail=f"another account, {subject} of {issuer}")
                raise web.HTTPError(
                    403,
                    f"The name {name} belongs to another account, whose files are here. If that account is yours "
                    "too, ask an administrator to link this one to it. Otherwise choose another name.",
                )
            self.store.record(name, "identity-linked", detail=issuer)
        self.store.link(name, issuer, subject, email or "")

    async def _last_account(self, handler: Any, name: str) -> list[Identity]:
        """Who signed in last as a user without links, which may have been removed or lost with the database."""
        user = handler.find_user(name)
        state = (await user.get_auth_state() or {}) if user is not None else {}
        claims = state.get("id_claims") or {}
        if not claims.get("iss") or not claims.get("sub"):
            return []
        email = (state.get(self.user_auth_state_key) or {}).get("email")
        last = Identity(user=name, issuer=claims["iss"], subject=claims["sub"])
        last.email = email if isinstance(email, str) else ""
        return [last]

    def _may_link(self, claims: dict[str, Any], email: str | None, others: list[Any]) -> bool:
        if self.link_existing_users == "name":
            return True
        verified = without_unverified_email(claims, vouched=self.provider_verifies_email)
        if self.link_existing_users != "verified_email" or not email or "email" not in verified:
            return False
        return any(other.email.lower() == email.lower() for other in others)

    # Sessions.

    def has_session(self, user: Any, handler: Any) -> bool:
        """Whether the browser that sends this request is signed in as `user`."""
        row = self.store.session(user.name, handler.get_session_cookie())
        if row is None:
            return False
        self.store.seen(row)
        return True

    async def open_session(self, handler: Any, user: Any) -> None:
        """Remember a sign-in that has just succeeded in the browser that sends this request."""
        self.forget_renewal(user.name)
        state = await user.get_auth_state() or {}
        claims = state.get("id_claims") or {}
        id_token = state.get("id_token") or ""
        self.store.open_session(
            user.name,
            handler.get_session_cookie(),
            issuer=claims.get("iss", ""),
            subject=claims.get("sub", ""),
            provider_sid=claims.get("sid", "") if isinstance(claims.get("sid", ""), str) else "",
            id_token=await encrypt({"id_token": id_token}) if id_token else b"",
            address=handler.request.remote_ip or "",
            browser=handler.request.headers.get("User-Agent", ""),
        )
        self.store.record(user.name, "sign-in", address=handler.request.remote_ip or "")

    async def id_token_of(self, row: BrowserSession) -> str:
        """The identity token that a session began with; empty where it is not there or cannot be decrypted."""
        if not row.id_token:
            return ""
        try:
            return str((await decrypt(row.id_token))["id_token"])
        except Exception as error:  # whatever a changed key or a damaged value gives
            self.log.warning("The identity token of a session cannot be decrypted: %s", type(error).__name__)
            return ""

    async def drop_tokens(self, user: Any) -> None:
        """Give up the provider's tokens of a person who has signed out in the last browser."""
        state = await user.get_auth_state() or {}
        if "access_token" in state:
            kept = {name: state[name] for name in ("id_claims", self.user_auth_state_key) if name in state}
            await user.save_auth_state(kept)
            if state.get("id_claims", {}).get("iss") == self.issuer:
                await self.revoke_at_provider(state)
        self.forget_renewal(user.name)


def keep_browser_tokens(
    authenticator: SciServerAuthenticator, auth_model: dict[str, Any], existing: dict[str, Any] | None
) -> dict[str, Any] | None:
    """A sign-in with name and password proves who somebody is, but leaves a browser's tokens as they are."""
    new: dict[str, Any] | None = auth_model.get("auth_state")
    if not new or not new.get("by_password"):
        return new
    return existing or {name: new[name] for name in ("id_claims", authenticator.user_auth_state_key)}
