"""Tokens of the hub, checked by a service: the hub's answers are kept for as long as they are known to hold.

OAuth, cookies and XSRF are JupyterHub's. `sciserver_common.handlers` has Tornado handlers that build on this.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
from jupyterhub.httpclient import fetch
from jupyterhub.services.auth import HubOAuth
from jupyterhub.utils import make_ssl_context
from tornado import web
from traitlets import Float, Integer

from sciserver_common.credentials import credentials, is_token
from sciserver_common.deployment import Deployment
from sciserver_common.secrets import secret

# After a failure the hub is not asked again for this long: requests must not queue up behind its timeouts.
PAUSE_AFTER_FAILURE = 1.0

FIRST_RETRY = 0.1
LAST_RETRY = 3.0

# Made-up tokens are many questions. They must not take the connections that the report of changes needs.
QUESTIONS_AT_ONCE = 32


class HubUnavailable(web.HTTPError):
    """The hub does not answer, and what it said before is too old: 503."""

    def __init__(self) -> None:
        super().__init__(503, "The hub is not answering. Try again in a minute.")


@dataclass(slots=True)
class _Answer:
    """What the hub said about a token. `checked` is on the monotonic clock, `expires` on the wall clock."""

    model: dict[str, Any]
    owner: str
    checked: float
    expires: float


@dataclass(slots=True)
class _Check:
    """A question to the hub that is under way, and whose rights changed meanwhile."""

    task: asyncio.Task[dict[str, Any] | None]
    changed: set[str] = field(default_factory=set)
    reset: bool = False


class ServiceAuth(HubOAuth):
    """Checks tokens at the hub for one service, and remembers the answers.

    All methods belong to one event loop, the service's. `start` the watch over the hub's changes in it, so that
    answers are kept for minutes and a revoked token is refused within a second; without it every token is checked
    again after a few seconds.
    """

    cache_age = Float(
        300.0,
        min=0.0,
        config=True,
        help="""
        Seconds for which the hub's answer about a token is kept while the hub reports changes. Then it is asked again.
        """,
    )

    degraded_age = Float(
        5.0,
        min=0.0,
        config=True,
        help="""
        Seconds for which an answer is kept while the hub does not report changes: how long a revoked token may still
        be accepted then.
        """,
    )

    outage_age = Float(
        60.0,
        min=0.0,
        config=True,
        help="""
        Seconds after the hub's last word about a token for which it is still accepted while the hub does not answer.
        """,
    )

    refusal_age = Float(
        5.0,
        min=0.0,
        config=True,
        help="""
        Seconds for which a token that the hub does not know is refused without asking again.
        """,
    )

    cache_size = Integer(
        10_000,
        min=1,
        config=True,
        help="""
        How many tokens are remembered, of those accepted and of those refused. The oldest make room for new ones.
        """,
    )

    hub_timeout = Float(
        5.0,
        min=0.1,
        config=True,
        help="""
        Seconds within which the hub must answer about a token. Otherwise it counts as out of service.
        """,
    )

    watch_wait = Float(
        10.0,
        min=0.0,
        max=60.0,
        config=True,
        help="""
        Seconds for which one request for changes waits at the hub. A hub that goes silent without closing the
        connection is noticed after this and `hub_timeout`.
        """,
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Keys are SHA-256 of tokens. Both dictionaries are in order of insertion.
        self._answers: dict[bytes, _Answer] = {}
        self._refusals: dict[bytes, float] = {}
        self._checks: dict[bytes, _Check] = {}
        self._watcher: asyncio.Task[None] | None = None
        self._watching = False
        # Monotonic time of the last answer about changes that said that the rest still holds.
        self._confirmed = float("-inf")
        self._no_question_before = 0.0
        self._answering = True
        self._turns = asyncio.Semaphore(QUESTIONS_AT_ONCE)

    @classmethod
    def for_service(cls, deployment: Deployment, name: str, **options: Any) -> ServiceAuth:
        """The checks of the deployment's service `name`, as the hub's configuration declares it.

        `options` are traits; ``parent`` gives the application whose configuration applies.
        """
        settings = {
            "api_url": f"{deployment.internal_origin('hub')}/hub/api",
            "api_token": secret(deployment, f"{name}-service"),
            "base_url": deployment.service_prefix(name),
            "hub_prefix": "/hub/",
            "oauth_client_id": f"service-{name}",
            "access_scopes": {f"access:services!service={name}"},
        }
        return cls(**(settings | options))

    # -- watching for changes

    def start(self) -> None:
        """Watch the hub's changes from now on. Needs the scope ``custom:sciserver:sign-on:watch``."""
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Watch no more."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        self._watching = False

    @property
    def watching(self) -> bool:
        """Whether the hub reports changes at the moment."""
        return self._watching

    async def _watch(self) -> None:
        cursor, delay = "", FIRST_RETRY
        while True:
            query = urlencode({"after": cursor, "wait": f"{self.watch_wait:g}" if cursor else "0"})
            try:
                status, answer = await self._ask(
                    f"sign-on/changes?{query}", self.api_token, self.watch_wait + self.hub_timeout
                )
                if status != 200 or not isinstance(answer, dict):
                    # A hub that stops ends its answers without a word.
                    cursor = ""
                    raise _Unusable(f"status {status}" if status != 200 else "an empty answer")
                cursor, reset, changed = answer["cursor"], answer["reset"], set(answer["changed"])
            except Exception as error:
                # Whatever it is, the watch goes on.
                if self._watching or delay == FIRST_RETRY:
                    reason = error if isinstance(error, _Unusable) else type(error).__name__
                    self.log.warning("The hub does not report changes: %s", reason)
                self._watching = False
                await asyncio.sleep(delay)
                delay = min(2 * delay, LAST_RETRY)
                continue
            if reset:
                self._forget_all()
            elif changed:
                self._forget(changed)
            if not self._watching:
                self.log.info("The hub reports changes of tokens and rights")
            self._watching, delay = True, FIRST_RETRY
            self._confirmed = time.monotonic()
            self._no_question_before = 0.0

    def _forget(self, owners: set[str]) -> None:
        for key in [key for key, answer in self._answers.items() if answer.owner in owners]:
            del self._answers[key]
        for check in self._checks.values():
            check.changed |= owners

    def _forget_all(self) -> None:
        self._answers.clear()
        self._refusals.clear()
        for check in self._checks.values():
            check.reset = True

    def forget(self, token: str) -> None:
        """Ask the hub again about a token that this service has ended itself, without waiting for its report."""
        key = hashlib.sha256(token.encode()).digest()
        self._answers.pop(key, None)
        if (check := self._checks.get(key)) is not None:
            check.reset = True

    # -- what HubOAuth's callers use

    def get_token(self, handler: web.RequestHandler, in_cookie: bool = True) -> str | None:
        """The token of a request, from a header or the cookie; never from its address, which logs would keep."""
        given = credentials(handler.request.headers)
        if given is not None:
            return given.token
        cookie: str | None = self._get_token_cookie(handler) if in_cookie else None
        return cookie

    def user_for_token(
        self, token: str, use_cache: bool = True, session_id: str = "", *, sync: bool = True
    ) -> Awaitable[dict[str, Any] | None]:
        """`model`, as HubOAuth calls it."""
        if sync:
            raise RuntimeError("A check would block the event loop: await `model`, or pass sync=False")
        return self.model(token)

    async def _get_user(self, handler: Any) -> dict[str, Any] | None:
        # Once for each request, also when an error page asks again.
        if not hasattr(handler, "_cached_hub_user"):
            handler._cached_hub_user = None
            handler._cached_hub_user = await self._identify(handler)
        found: dict[str, Any] | None = handler._cached_hub_user
        return found

    async def _identify(self, handler: Any) -> dict[str, Any] | None:
        given = credentials(handler.request.headers)
        if given is None:
            # Cookie, with JupyterHub's rules for XSRF.
            by_cookie: dict[str, Any] | None = await self._get_user_cookie(handler)
            return by_cookie
        # A token that was sent on purpose decides: a cookie is no second chance.
        model = await self.model(given.token)
        if model is None or not given.fits(model["name"]):
            return None
        handler._token_authenticated = True
        return model

    def _get_xsrf_token_id(self, handler: web.RequestHandler) -> bytes:
        # It goes to the log, and JupyterHub's has the browser's session in clear.
        return hashlib.sha256(super()._get_xsrf_token_id(handler)).hexdigest().encode()

    # -- checking tokens

    def known(self, token: str) -> dict[str, Any] | None:
        """`model`, if the hub need not be asked; else None. Also for other threads than the event loop's."""
        answer = self._answers.get(hashlib.sha256(token.encode()).digest())
        if answer is None or time.time() >= answer.expires:
            return None
        age = time.monotonic() - answer.checked
        return dict(answer.model) if age <= (self.cache_age if self._watching else self.degraded_age) else None

    async def model(self, token: str) -> dict[str, Any] | None:
        """The hub's model of a token and its owner, or None for one that is not valid.

        Returns
        -------
        dict or None
            The hub's ``/api/user``, with ``kind`` ("user" or "service"), ``name``, ``scopes`` (expanded), ``groups``
            of a user, ``token_id``, and the token's own ``created``, ``expires_at`` (ISO 8601 in UTC, or None) and
            ``note``.

        Raises
        ------
        HubUnavailable
            The hub does not answer, and the token was not seen lately.
        """
        if not is_token(token):
            return None
        known = self.known(token)
        if known is not None:
            return known
        key = hashlib.sha256(token.encode()).digest()
        answer = self._answers.get(key)
        now = time.monotonic()
        if answer is not None:
            if time.time() >= answer.expires:
                # Maybe it was renewed: the hub knows.
                del self._answers[key]
                answer = None
        elif now - self._refusals.get(key, float("-inf")) <= self.refusal_age:
            return None
        try:
            return await self._check(key, token)
        except _Unusable as error:
            # While changes are reported, the hub confirms with each report all answers that it does not name.
            if answer is not None and self._answers.get(key) is answer:
                confirmed = max(answer.checked, self._confirmed)
                if time.monotonic() - confirmed <= self.outage_age and time.time() < answer.expires:
                    return dict(answer.model)
            raise HubUnavailable from error

    async def _check(self, key: bytes, token: str) -> dict[str, Any] | None:
        """Ask the hub; one question for all who want to know about the same token."""
        check = self._checks.get(key)
        if check is None:
            if time.monotonic() < self._no_question_before:
                raise _Unusable("no answer a moment ago")
            check = self._checks[key] = _Check(asyncio.create_task(self._ask_about(key, token)))
            check.task.add_done_callback(lambda task: self._end_check(key, task))
        # Whoever asked first may go away; the others still want the answer.
        model = await asyncio.shield(check.task)
        return None if model is None else dict(model)

    def _end_check(self, key: bytes, task: asyncio.Task[dict[str, Any] | None]) -> None:
        self._checks.pop(key, None)
        if not task.cancelled():
            # Seen by us, even if everybody who wanted to know has gone away.
            task.exception()

    async def _ask_about(self, key: bytes, token: str) -> dict[str, Any] | None:
        try:
            async with self._turns:
                status, model = await self._ask("sign-on/token", token, self.hub_timeout)
            if status not in {200, 403} or not isinstance(model, dict):
                raise _Unusable(f"status {status}")
        except _Unusable as error:
            if self._answering:
                self.log.warning("The hub cannot be asked about tokens: %s", error)
            self._answering = False
            self._no_question_before = time.monotonic() + PAUSE_AFTER_FAILURE
            raise
        self._answering = True
        check = self._checks[key]
        now = time.monotonic()
        self._answers.pop(key, None)
        if status == 403:
            if not check.reset:
                self._refusals.pop(key, None)
                _put(self._refusals, key, now, self.cache_size)
            return None
        # A credential of the browser, which no service needs.
        model.pop("session_id", None)
        owner = f"{model['kind']}:{model['name']}"
        # What changed while the answer was under way may not be in it: then it serves this once.
        if not check.reset and owner not in check.changed:
            _put(self._answers, key, _Answer(model, owner, now, _expiry(model)), self.cache_size)
        return model

    async def _ask(self, path: str, token: str, seconds: float) -> tuple[int, Any]:
        """Status and JSON of the hub's answer; raises `_Unusable` when there is none."""
        options: dict[str, Any] = {}
        if self.certfile or self.keyfile:
            options["ssl"] = make_ssl_context(self.keyfile, self.certfile, cafile=self.client_ca)
        try:
            response = await fetch(
                f"{self.api_url}/{path}",
                headers={"Authorization": f"token {token}"},
                timeout=aiohttp.ClientTimeout(total=seconds),
                raise_for_status=False,
                allow_redirects=False,
                **options,
            )
            async with response:
                return response.status, await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _Unusable(type(error).__name__) from error


class _Unusable(Exception):
    """No answer of the hub that can be used."""


def _put(cache: dict[bytes, Any], key: bytes, value: object, size: int) -> None:
    while len(cache) >= size:
        del cache[next(iter(cache))]
    cache[key] = value


def _expiry(model: dict[str, Any]) -> float:
    text = model.get("expires_at")
    return datetime.datetime.fromisoformat(text).timestamp() if text else float("inf")
