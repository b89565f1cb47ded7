"""`Portal`: the options of the identity provider, and the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
from collections.abc import AsyncIterator
from typing import Any

from flask import Flask
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from traitlets import Bool, CaselessStrEnum, Integer, List, TraitError, Tuple, Unicode, validate

from sciserver_auth.portal.limits import Limits
from sciserver_auth.portal.server import WSGIApp, serving
from sciserver_auth.redaction import Redaction
from sciserver_common.deployment import Deployment
from sciserver_common.hub_auth import ServiceAuth
from sciserver_common.service_app import ServiceApplication

CLEANING_INTERVAL = 6 * 3600


class Portal(ServiceApplication):
    """The embedded identity provider: accounts, groups and sign-in.

    Its options live in the hub's configuration file, e.g. ``c.Portal.registration = False``.
    """

    name = Unicode("sciserver-portal")
    description = Unicode("Run the identity provider of a SciServer deployment in the foreground.")

    service = "portal"
    database_option = "database_url"

    identity_provider = Bool(
        True,
        help="""
        Whether the portal keeps accounts and signs people in.

        When off, the portal serves the token API and the client libraries' settings only: for deployments whose
        people sign in at another provider, see `SciServerAuthenticator.issuer`.
        """,
    ).tag(config=True)

    registration = Bool(
        True,
        help="""
        Whether people can make an account for themselves.

        When off, administrators create or invite users on the portal's pages, and ``sciserver user add`` does so on
        the command line.
        """,
    ).tag(config=True)

    site_name = Unicode(
        "SciServer",
        help="""Name of this site: in page titles, on the sign-in page and in mails.""",
    ).tag(config=True)

    database_url = Unicode(
        "",
        help="""
        SQLAlchemy URL of the database with accounts and groups.

        The default is an SQLite file in the deployment's ``portal`` directory. PostgreSQL, for instance::

            c.Portal.database_url = "postgresql://portal:password@db.example.org/portal"
        """,
    ).tag(config=True)

    admin_group = Unicode(
        "admin",
        help="""
        Group whose members manage users and groups in the portal. It always exists.

        Members are administrators of the hub as well if the name is in
        ``SciServerAuthenticator.admin_groups``.
        """,
    ).tag(config=True)

    minimum_password_length = Integer(
        8,
        min=8,
        help="""Smallest number of characters in a password; at least 8.""",
    ).tag(config=True)

    session_lifetime = Integer(
        14 * 24 * 3600,
        min=60,
        help="""
        Seconds that a browser stays signed in at the portal with "Remember me". Without it: until it is closed.
        """,
    ).tag(config=True)

    token_lifetime = Integer(
        8 * 3600,
        min=120,
        help="""
        Seconds that the tokens given to the hub are valid.

        Renewal must happen within this time: a longer pause means a new sign-in, which passes without a password
        while the browser's session at the portal lasts.
        """,
    ).tag(config=True)

    api_token_lifetime = Integer(
        24 * 3600,
        min=60,
        help="""
        Seconds that a token is valid which a client library gets for a name and a password.
        """,
    ).tag(config=True)

    limit_per_account_and_address = Tuple(
        Integer(min=0),
        Integer(min=1),
        default_value=(5, 300),
        help="""
        How many sign-ins with a password may fail at one account from one address, and within how many seconds.

        Further ones are refused with status 429 until the oldest failure is that long ago; a success forgets them.
        Zero failures: no limit. It holds for the token API, where programs sign in. The pages have `login_delay`.
        """,
    ).tag(config=True)

    limit_per_account = Tuple(
        Integer(min=0),
        Integer(min=1),
        default_value=(50, 900),
        help="""
        The same for one account from all addresses together. Much larger, since somebody else can use it up and lock
        the owner's programs out.
        """,
    ).tag(config=True)

    limit_per_address = Tuple(
        Integer(min=0),
        Integer(min=1),
        default_value=(100, 900),
        help="""
        The same for one address and all accounts. It counts the token API together with the pages for sign-in,
        registration and a forgotten password. Of IPv6, 64 bits are one address.
        """,
    ).tag(config=True)

    trusted_proxies = List(
        Unicode(),
        default_value=["127.0.0.0/8", "::1"],
        help="""
        Addresses and networks of the reverse proxies between the clients and the portal; only their
        ``X-Forwarded-For`` is believed. The deployment's own proxy always belongs to them.
        """,
    ).tag(config=True)

    login_delay = Bool(
        True,
        help="""
        Whether each wrong password makes the next attempt on the same account wait longer, up to ten minutes.
        """,
    ).tag(config=True)

    smtp_host = Unicode(
        "",
        help="""
        Mail server. Without one nothing is mailed: addresses are not confirmed, and a forgotten password is set anew
        by an administrator.
        """,
    ).tag(config=True)

    smtp_port = Integer(25, help="""TCP port of the mail server; 587 is usual with a login.""").tag(config=True)

    smtp_security = CaselessStrEnum(
        ["none", "starttls", "tls"],
        "none",
        help="""Encryption towards the mail server: ``none``, ``starttls`` (port 587) or ``tls`` (port 465).""",
    ).tag(config=True)

    smtp_login = Unicode("", help="""User name at the mail server; empty when it wants none.""").tag(config=True)

    smtp_password_file = Unicode("", help="""File that holds the password for `smtp_login`.""").tag(config=True)

    smtp_from = Unicode("", help="""Sender's address of the portal's mails, e.g. noreply@example.org.""").tag(
        config=True
    )

    @validate("trusted_proxies")
    def _check_trusted_proxies(self, proposal: Any) -> list[str]:
        for value in proposal["value"]:
            try:
                ipaddress.ip_network(value)
            except ValueError as error:
                raise TraitError(f"Portal.trusted_proxies: {error}. Use e.g. 192.0.2.7 or 192.0.2.0/24.") from error
        return list(proposal["value"])

    @validate("admin_group")
    def _check_admin_group(self, proposal: Any) -> str:
        if not proposal["value"].strip():
            raise TraitError("Portal.admin_group is empty: name a group, e.g. 'admin'.")
        return str(proposal["value"])

    def prepare(self, deployment: Deployment) -> Flask:
        """The identity provider on a database that is migrated and has what it needs.

        Raises
        ------
        PortalError
            An option cannot be used.
        """
        if deployment.public_url.startswith("http:"):
            # authlib refuses plain HTTP unless told; a loopback deployment has nothing else. Set before its import.
            os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
        from sciserver_auth.portal.provisioning import provision
        from sciserver_auth.portal.site import make_site

        site = make_site(self, deployment)
        provision(site, self, deployment)
        return site

    async def serve(self, deployment: Deployment) -> None:
        """Answer requests until the process is told to stop."""
        site = self.prepare(deployment) if self.identity_provider else None
        stop = self.listen_for_stop()
        async with contextlib.AsyncExitStack() as stack:
            hub = ServiceAuth.for_service(deployment, "portal", parent=self)
            await stack.enter_async_context(
                serving(deployment, self._pages(site, deployment), hub=hub, **self._settings(deployment))
            )
            hub.start()
            stack.push_async_callback(hub.stop)
            self.log.info(
                "Portal listens on %s, public address %s/",
                deployment.internal_url("portal"),
                deployment.service_url("portal"),
            )
            if site is not None:
                for handler in site.logger.handlers:
                    handler.addFilter(Redaction())
                database = make_url(site.config["CANAILLE_SQL"]["DATABASE_URI"])
                self.log.info("Accounts are in the %s database %s", database.get_backend_name(), database.database)
                await stack.enter_async_context(self._cleaning(site))
                await stack.enter_async_context(self._delivering(site, deployment))
            await self.stopped(stop)
        self.log.info("Portal stopped.")

    def _settings(self, deployment: Deployment) -> dict[str, Any]:
        """What the handlers need of the options."""
        proxies = [*self.trusted_proxies, deployment.internal_host or "127.0.0.1"]
        return {
            "api_token_lifetime": self.api_token_lifetime,
            "limits": Limits(self.limit_per_account_and_address, self.limit_per_account, self.limit_per_address),
            "trusted_proxies": [ipaddress.ip_network(proxy) for proxy in proxies],
        }

    @staticmethod
    def _pages(site: Flask | None, deployment: Deployment) -> WSGIApp | None:
        if site is None:
            return None
        from sciserver_auth.portal.site import PrefixMiddleware

        return PrefixMiddleware(site.wsgi_app, deployment)

    def _delivering(self, site: Flask, deployment: Deployment) -> contextlib.AbstractAsyncContextManager[None]:
        from sciserver_auth.portal.delivery import delivering

        return delivering(site, deployment, self.log)

    @contextlib.asynccontextmanager
    async def _cleaning(self, site: Flask) -> AsyncIterator[None]:
        """Remove what has expired, now and every few hours, while the context lasts."""
        from sciserver_auth.portal.provisioning import remove_expired

        async def clean() -> None:
            while True:
                try:
                    removed = await asyncio.to_thread(remove_expired, site, self.token_lifetime)
                    if removed:
                        self.log.info("Removed %d expired tokens and codes", removed)
                except SQLAlchemyError as error:
                    self.log.warning("Expired tokens could not be removed: %s", type(error).__name__)
                await asyncio.sleep(CLEANING_INTERVAL)

        task = asyncio.create_task(clean())
        try:
            yield
        finally:
            task.cancel()
