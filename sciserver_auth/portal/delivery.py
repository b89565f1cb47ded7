"""Deliver the notices of the outbox to the hub, as logout tokens.

OpenID Connect Back-Channel Logout 1.0 §2.4, §2.5; beside its event, those of RISC Profile 1.0 for a locked and for a
deleted account.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

from canaille.backends.sql.backend import SQLBackend
from flask import Flask
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import Row, delete, func, select, update
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from sciserver_auth import events
from sciserver_auth.portal.notices import DELETED, LOCKED, NOTICES, Watch
from sciserver_auth.portal.provisioning import HUB_CLIENT_ID
from sciserver_auth.portal.settings import signing_key
from sciserver_common.deployment import Deployment

# Seconds. Another process, such as the operator's command, cannot ring our bell.
POLL = 2.0

# The hub answers after it has stopped the servers of a locked account.
REQUEST_TIMEOUT = 90.0

# The spec recommends two minutes at most; each attempt has a token of its own.
TOKEN_LIFETIME = 120

LONGEST_PAUSE = 10.0
KEPT = 90 * 24 * 3600.0
AT_ONCE = 8

ACCOUNT_EVENTS = {LOCKED: events.ACCOUNT_DISABLED, DELETED: events.ACCOUNT_PURGED}

TAKEN = {200, 204}
REFUSED = 400
# About a minute. A hub that does not know our new key yet fetches keys again only half a minute after the last time.
MOST_REFUSALS = 10


class Delivery:
    """Sends notices to the clients and removes those that were taken."""

    def __init__(self, deployment: Deployment, log: logging.Logger) -> None:
        self.log = log
        self.issuer = deployment.service_url("portal")
        self.addresses = {HUB_CLIENT_ID: f"{deployment.internal_origin('hub')}/hub/backchannel-logout"}
        jwk = signing_key(deployment)
        self.key = RSAKey.import_key(jwk)
        self.header = {"typ": "logout+jwt", "alg": "RS256", "kid": jwk["kid"]}
        self._silent: set[str] = set()
        # Of its own, so that slow answers to notices take no connection from others in this process.
        self.client = AsyncHTTPClient(force_instance=True, max_clients=AT_ONCE)

    def token(self, client_id: str, subject: str, kind: str, at: float) -> str:
        """A signed logout token about one account, for one client."""
        announced: dict[str, Any] = {events.LOGOUT: {}}
        if kind in ACCOUNT_EVENTS:
            announced[ACCOUNT_EVENTS[kind]] = {"subject": {"format": "iss_sub", "iss": self.issuer, "sub": subject}}
        issued = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": subject,
            "aud": client_id,
            "iat": issued,
            "exp": issued + TOKEN_LIFETIME,
            "jti": secrets.token_hex(16),
            "toe": at,
            "events": announced,
        }
        return jwt.encode(self.header, claims, self.key)

    async def send_due(self) -> bool:
        """Send what is due, the oldest of each account; whether there may be more to send at once."""
        rows = await asyncio.to_thread(_due)
        taken = await asyncio.gather(*(self._send(row) for row in rows))
        if rows:
            await asyncio.to_thread(_settle, list(zip(rows, taken, strict=True)))
        return any(taken)

    async def _send(self, row: Row[Any]) -> bool:
        """Whether the notice is settled: taken, or refused for good."""
        address = self.addresses.get(row.client_id)
        if address is None:
            return True
        request = HTTPRequest(
            address,
            method="POST",
            body=urlencode({"logout_token": self.token(row.client_id, row.subject, row.kind, row.at)}),
            connect_timeout=5,
            request_timeout=REQUEST_TIMEOUT,
            follow_redirects=False,
        )
        try:
            status = (await self.client.fetch(request, raise_error=False)).code
            problem = f"HTTP {status}"
        except (HTTPClientError, OSError, ValueError) as error:
            status, problem = 0, type(error).__name__
        if status in TAKEN:
            self._silent.discard(row.client_id)
            self.log.info("%s was told about account %s: %s", row.client_id, row.subject, row.kind)
            return True
        if status == REFUSED and row.attempts >= MOST_REFUSALS:
            self.log.error("%s refuses the notice about account %s: %s", row.client_id, row.subject, row.kind)
            return True
        if row.at < time.time() - KEPT:
            self.log.error("%s has not taken the notice about account %s: given up", row.client_id, row.subject)
            return True
        if row.client_id not in self._silent:
            # Once for each outage, which may be long.
            self._silent.add(row.client_id)
            self.log.warning("%s does not take notices (%s): trying again until it does", row.client_id, problem)
        return False


def _due() -> list[Row[Any]]:
    now = time.time()
    # The order matters for one account; different ones do not wait for each other.
    first = select(func.min(NOTICES.c.id)).where(NOTICES.c.at <= now).group_by(NOTICES.c.client_id, NOTICES.c.subject)
    wanted = select(NOTICES).where(NOTICES.c.due <= now, NOTICES.c.id.in_(first)).order_by(NOTICES.c.id)
    with SQLBackend.engine.begin() as connection:
        return list(connection.execute(wanted.limit(AT_ONCE)))


def _settle(results: list[tuple[Row[Any], bool]]) -> None:
    now = time.time()
    with SQLBackend.engine.begin() as connection:
        for row, settled in results:
            if settled:
                connection.execute(delete(NOTICES).where(NOTICES.c.id == row.id))
            else:
                pause = min(0.5 * 2 ** min(row.attempts, 10), LONGEST_PAUSE)
                again = update(NOTICES).where(NOTICES.c.id == row.id)
                connection.execute(again.values(attempts=row.attempts + 1, due=now + pause))


@contextlib.asynccontextmanager
async def delivering(site: Flask, deployment: Deployment, log: logging.Logger) -> AsyncIterator[None]:
    """Deliver notices while the context lasts."""
    delivery = Delivery(deployment, log)
    watch: Watch = site.extensions["sciserver-watch"]
    loop = asyncio.get_running_loop()
    bell = asyncio.Event()

    def ring() -> None:
        with contextlib.suppress(RuntimeError):  # a request's thread may outlive the loop
            loop.call_soon_threadsafe(bell.set)

    async def deliver() -> None:
        failing = False
        while True:
            bell.clear()
            more = False
            try:
                more = await delivery.send_due()
                failing = False
            except Exception as error:  # whatever it is, the next notice must not be lost to it
                if not failing:
                    log.error("Notices cannot be delivered at the moment: %s", type(error).__name__)
                failing = True
            if not more:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(bell.wait(), POLL)

    watch.bell = ring
    task = asyncio.create_task(deliver())
    try:
        yield
    finally:
        watch.bell = lambda: None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        delivery.client.close()
