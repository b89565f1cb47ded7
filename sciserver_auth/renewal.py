"""Staying signed in: the provider's tokens are renewed before they expire, once for all requests that wait."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from weakref import WeakValueDictionary

from tornado import web
from traitlets import Integer, TraitError, default, validate

from sciserver_auth.account_tokens import request_address
from sciserver_auth.oidc import InvalidToken, OIDCError, ProviderRefused, ProviderUnavailable
from sciserver_auth.provider_client import ProviderClient

# After a failure nobody asks the provider again for this long: requests must not queue up behind its timeouts.
PAUSE_AFTER_FAILURE = 15.0

# Refusals of this client as such, whoever the token belongs to (RFC 6749 §5.2).
OUR_FAULTS = {"invalid_client", "unauthorized_client", "unsupported_grant_type"}

# `auth_refresh_age` that makes the hub ask at every request.
EVERY_REQUEST = -1


class TokenRenewal(ProviderClient):
    """Decides at each request whether the user is still signed in."""

    refresh_interval = Integer(
        900,
        min=0,
        config=True,
        help="""
        Seconds after which the tokens of an active user are renewed even though they are still valid, so that a
        change of groups or a locked account takes effect. 0 renews only when they are about to expire.
        """,
    )

    refresh_margin = Integer(
        60, min=0, config=True, help="""Seconds before their expiry from which tokens are renewed."""
    )

    outage_grace = Integer(
        4 * 3600,
        min=0,
        config=True,
        help="""
        Seconds after the expiry of their tokens that users stay signed in while the provider does not answer.
        """,
    )

    @default("enable_auth_state")
    def _default_enable_auth_state(self) -> bool:
        return True

    @default("auth_refresh_age")
    def _default_auth_refresh_age(self) -> int:
        return EVERY_REQUEST

    @validate("auth_refresh_age")
    def _check_auth_refresh_age(self, proposal: Any) -> int:
        # With a pause between two looks, a session that was ended would live on for as long.
        if proposal["value"] != EVERY_REQUEST:
            raise TraitError(
                "auth_refresh_age cannot be changed here: sessions are checked at every request. "
                "To renew tokens at other times, set refresh_interval."
            )
        return EVERY_REQUEST

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._no_attempt_before = 0.0
        self._look_again: dict[str, float] = {}
        self._refused: set[str] = set()

    def forget_renewal(self, name: str) -> None:
        """Look at the stored tokens at the next request: they have changed."""
        self._look_again.pop(name, None)
        self._refused.discard(name)

    def has_session(self, user: Any, handler: Any) -> bool:
        """Whether the browser that sends this request is signed in as `user`."""
        raise NotImplementedError

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> bool | dict[str, Any]:
        """Whether `user` is still signed in, with new tokens where the old ones are old.

        The hub asks at every request. Mostly the answer is in memory: nothing is read or decrypted.

        Returns
        -------
        bool or dict
            True: nothing to change. False: a new sign-in is needed. A dictionary: what `authenticate` returns.
        """
        if handler is not None:
            request_address.set(handler.request.remote_ip or "")
        if not self.enable_auth_state:
            return True
        by_cookie = getattr(handler, "_jupyterhub_user", None) is user and not getattr(
            handler, "_token_authenticated", False
        )
        if by_cookie:
            # JupyterHub 6.1.1 reads this of every request that it refuses, but sets it only where it took a token.
            handler._token_authenticated = False
        if by_cookie and not self.has_session(user, handler):
            return False
        answer = self._remembered(user, by_cookie)
        if answer is not None:
            return answer
        async with self._locks.setdefault(user.name, asyncio.Lock()):
            # Whoever waited finds what the first has decided.
            answer = self._remembered(user, by_cookie)
            if answer is not None:
                return answer
            # Read inside the lock, for the same reason.
            state = await user.get_auth_state()
            if self.refresh_user_hook is not None:
                refreshed: bool | dict[str, Any] | None = await self._call_refresh_user_hook(user, state)
                if refreshed is not None:
                    return refreshed
            if not state or "expires_at" not in state:
                # Somebody who only ever used the token API, or has signed out.
                self._refused.add(user.name)
                return self._stale(by_cookie)
            due = self._due(state)
            if time.time() < due:
                self._look_again[user.name] = due
                return True
            return await self._renew_or_tolerate(user, state, by_cookie)

    def _remembered(self, user: Any, by_cookie: bool) -> bool | None:
        if user.name in self._refused:
            return self._stale(by_cookie)
        return True if time.time() < self._look_again.get(user.name, 0.0) else None

    def _stale(self, by_cookie: bool) -> bool:
        """The answer where only a new sign-in could help.

        A browser is sent to it. A token is not: servers and scripts outlive the sign-in that they come from, and are
        ended by revocation. `auth_refresh_strict` ends them as well.
        """
        return not by_cookie and not self.auth_refresh_strict

    def _due(self, state: dict[str, Any]) -> float:
        due: float = state["expires_at"] - self.refresh_margin
        if self.refresh_interval:
            due = min(due, state["obtained_at"] + self.refresh_interval)
        return due

    async def _renew_or_tolerate(self, user: Any, state: dict[str, Any], by_cookie: bool) -> bool | dict[str, Any]:
        if time.monotonic() < self._no_attempt_before:
            return self._tolerate(user, state)
        try:
            model = await self._renew(user, state)
        except ProviderUnavailable as error:
            self._no_attempt_before = time.monotonic() + PAUSE_AFTER_FAILURE
            self.log.warning("Sign-in service: %s", error)
            return self._tolerate(user, state)
        except ProviderRefused as error:
            if self._is_our_fault(error):
                # No reason to throw everybody out at once.
                self._no_attempt_before = time.monotonic() + PAUSE_AFTER_FAILURE
                self.log.error("The provider refuses the hub's renewals: %s", error)
                return self._tolerate(user, state)
            # The person's account or session: expired, revoked, locked, deleted. Providers disagree on the code.
            self.log.info("%s must sign in again: %s", user.name, error)
            model = None
        except (OIDCError, web.HTTPError) as error:
            self.log.warning("The renewal for %s is not valid: %s", user.name, error)
            model = None
        if model is None:
            self._refused.add(user.name)
            return self._stale(by_cookie)
        # Stored before the lock is given up. The hub stores it as well, but only after this returns, and the
        # next one in the queue would use up a refresh token that is good for one use.
        await user.save_auth_state(model["auth_state"])
        self._look_again[user.name] = self._due(model["auth_state"])
        return model

    def _tolerate(self, user: Any, state: dict[str, Any]) -> bool:
        """During an outage: valid until the expiry of the tokens and a while longer."""
        stays = time.time() < state["expires_at"] + self.outage_grace
        if not stays:
            self.log.warning("%s must sign in again: the tokens expired too long ago", user.name)
        return bool(stays)

    @staticmethod
    def _is_our_fault(error: ProviderRefused) -> bool:
        """Whether the provider refuses the hub rather than the person."""
        return error.code in OUR_FAULTS if error.code else error.status not in {400, 401, 403}

    async def _renew(self, user: Any, state: dict[str, Any]) -> dict[str, Any] | None:
        if state["id_claims"]["iss"] != self.issuer:
            # From before a change of the provider: the old one's tokens are none of the new one's business.
            return None
        refresh_token = state.get("refresh_token")
        if refresh_token:
            token_info = await self.get_token_info(None, self.build_refresh_token_request_params(refresh_token))
            token_info["refresh_token"] = token_info.get("refresh_token") or refresh_token
        elif time.time() < state["expires_at"]:
            token_info = {name: state[name] for name in ("access_token", "token_type", "expires_at")}
            token_info["obtained_at"] = time.time()
        else:
            return None
        # A renewal need not bring an identity token; if it does, it is about the same person (Core 1.0 §12.2).
        old_claims = state["id_claims"]
        token_info["id_claims_are_new"] = "id_claims" in token_info
        token_info.setdefault("id_claims", old_claims)
        token_info["id_token"] = token_info.get("id_token") or state.get("id_token")
        token_info["scope"] = token_info.get("scope") or state.get("scope") or ""
        if any(token_info["id_claims"].get(name) != old_claims[name] for name in ("iss", "sub")):
            raise InvalidToken("the renewed identity token is about somebody else")
        model: dict[str, Any] = await self._token_to_auth_model(token_info)
        if model["name"] != user.name:
            raise InvalidToken("the person's user name has changed")
        # The hub does this at a sign-in only.
        if not (self.check_blocked_users(user.name, model) and await self.check_allowed(user.name, model)):
            raise InvalidToken("the person may not come in any more")
        return model
