"""`CasJobs`: the options of the service, and the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from sqlalchemy.engine import make_url
from tornado import web
from tornado.httpserver import HTTPServer
from traitlets import Bool, Float, Integer, Unicode

from casjobs_service import pages
from casjobs_service.contexts import Contexts, ContextSource
from casjobs_service.handlers import routes
from casjobs_service.handlers.base import DROPPED
from casjobs_service.handlers.parts import Parts
from casjobs_service.handlers.public import NotFound
from casjobs_service.limits import MEGABYTE, Limits
from casjobs_service.queue import Scheduler
from casjobs_service.quick import Quick
from casjobs_service.store import Store
from casjobs_service.worker.pool import Workers
from sciserver_common.deployment import Deployment
from sciserver_common.handlers import auth_handlers
from sciserver_common.hub_auth import ServiceAuth
from sciserver_common.pages import routes as routes_of_page
from sciserver_common.secrets import secret
from sciserver_common.service_app import ServiceApplication, ServiceError, answered, sockets

SWEEP_SECONDS = 600.0

IDLE_SECONDS = 300
BODY_SECONDS = 60
"""After which a connection is closed on which nothing comes, and which a request's body may take."""


class CasJobs(ServiceApplication):
    """SQL on science databases, with a private database for everybody.

    Its options live in the hub's configuration file, e.g. ``c.CasJobs.quota = 2000``; those of its parts beside them,
    as ``c.Quick.…``, ``c.Scheduler.…`` and ``c.Workers.…``.
    """

    name = Unicode("sciserver-casjobs")
    description = Unicode("Run CasJobs of a SciServer deployment in the foreground.")
    classes = [Quick, Scheduler, Workers, ServiceAuth]

    service = "casjobs"
    # Nobody else enters the service's directory; below it, the workers of all users must find their way.
    umask = 0o022

    store_url = Unicode(
        "",
        help="""
        SQLAlchemy URL of the database with users, queries and the queue.

        The default is an SQLite file in the deployment's ``casjobs`` directory. PostgreSQL, for instance::

            c.CasJobs.store_url = "postgresql://casjobs:password@db.example.org/casjobs"
        """,
    ).tag(config=True)

    demo_data = Bool(
        True,
        help="""
        Whether `sciserver up` loads the demonstration data: OpenNGC, Hipparcos, and both in the shape of SDSS.
        """,
    ).tag(config=True)

    quota = Integer(500, min=1, help="""Size of everybody's MyDB in MB (10^6 bytes).""").tag(config=True)

    scratch_quota = Integer(
        5000,
        min=1,
        help="""Size of everybody's MyScratch in MB. Its tables are removed after `Scheduler.scratch_days`.""",
    ).tag(config=True)

    memory = Integer(
        2000,
        min=100,
        help="""
        Memory that the engine may use for one query, in MB; what is more goes to temporary files.

        Quick and long queries together may use this much times `Quick.running` + `Scheduler.running`.
        """,
    ).tag(config=True)

    temporary_files = Integer(4000, min=0, help="""Temporary files of one quick query, in MB.""").tag(config=True)

    long_temporary_files = Integer(20_000, min=0, help="""Temporary files of one long query, in MB.""").tag(
        config=True
    )

    quick_result = Integer(
        1000,
        min=1,
        help="""Largest result of a quick query in MB, before it gets its format. Larger ones are an error.""",
    ).tag(config=True)

    long_result = Integer(5000, min=1, help="""The same for a long query.""").tag(config=True)

    rows = Integer(0, min=0, help="""Most rows of a quick query's result; 0: no limit. More are an error.""").tag(
        config=True
    )

    threads = Integer(1, min=1, help="""Threads of the engine for one query.""").tag(config=True)

    upload_limit = Integer(1000, min=1, help="""Largest file that can be uploaded to MyDB, in MB.""").tag(config=True)

    upload_seconds = Float(600.0, min=1.0, help="""Time for making a table of an uploaded file. Seconds.""").tag(
        config=True
    )

    uploads_per_user = Integer(
        4, min=1, help="""How many files of one user may be on their way at the same time; more are refused."""
    ).tag(config=True)

    @property
    def quick_limits(self) -> Limits:
        """Of one quick query."""
        return Limits(
            memory=self.memory * MEGABYTE,
            temp=self.temporary_files * MEGABYTE,
            result=self.quick_result * MEGABYTE,
            rows=self.rows,
            quota=self.quota * MEGABYTE,
            scratch=self.scratch_quota * MEGABYTE,
            threads=self.threads,
        )

    @property
    def long_limits(self) -> Limits:
        """Of one long query."""
        return Limits(
            memory=self.memory * MEGABYTE,
            temp=self.long_temporary_files * MEGABYTE,
            result=self.long_result * MEGABYTE,
            quota=self.quota * MEGABYTE,
            scratch=self.scratch_quota * MEGABYTE,
            threads=self.threads,
        )

    def make_parts(self, deployment: Deployment) -> Parts:
        """The service's parts, not yet started."""
        directory = deployment.casjobs_dir
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        contexts = Contexts.of(deployment)

        def sources(groups: Sequence[str]) -> list[ContextSource]:
            return [context.source() for context in contexts.visible(groups)]

        store = Store(self.store_url or f"sqlite:///{directory}/casjobs.sqlite")
        workers = Workers(directory, parent=self)
        scheduler = Scheduler(store, workers, sources, directory, self.long_limits, parent=self)
        return Parts(
            public_url=deployment.service_url("casjobs"),
            contexts=contexts,
            store=store,
            workers=workers,
            scheduler=scheduler,
            quick=Quick(scheduler, self.quick_limits, parent=self),
            uploads=directory / "uploads",
            upload_bytes=self.upload_limit * MEGABYTE,
            upload_seconds=self.upload_seconds,
            uploads_per_user=self.uploads_per_user,
        )

    async def serve(self, deployment: Deployment) -> None:
        """Answer requests until the process is told to stop."""
        stop = self.listen_for_stop()
        async with contextlib.AsyncExitStack() as stack:
            parts = self.make_parts(deployment)
            stack.callback(parts.store.close)
            await asyncio.to_thread(parts.prepare)
            try:
                await parts.workers.start()
            except RuntimeError as error:
                raise ServiceError(str(error)) from error
            stack.push_async_callback(parts.workers.stop)
            await parts.scheduler.start()
            stack.push_async_callback(parts.scheduler.stop)
            sweeper = asyncio.create_task(_sweep(parts.contexts))
            stack.callback(sweeper.cancel)
            auth = ServiceAuth.for_service(deployment, "casjobs", parent=self)
            application = make_application(deployment, parts, auth)
            server = HTTPServer(
                application,
                max_body_size=DROPPED,
                body_timeout=BODY_SECONDS,
                idle_connection_timeout=IDLE_SECONDS,
            )
            stack.push_async_callback(server.close_all_connections)
            # Between the two: whoever waits for a query that was ended is told so.
            stack.push_async_callback(answered, application.settings["running"])
            stack.push_async_callback(parts.quick.stop)
            auth.start()
            stack.push_async_callback(auth.stop)
            # Not before everything works: until then, clients had better be refused than wait.
            server.add_sockets(sockets(deployment, self.service))
            stack.callback(server.stop)
            self.log.info(
                "CasJobs listens on %s, public address %s/",
                deployment.internal_url("casjobs"),
                deployment.service_url("casjobs"),
            )
            url = make_url(self.store_url or "sqlite://")
            self.log.info("Queries are recorded in the %s database %s", url.get_backend_name(), url.database or "")
            await self.stopped(stop)
        self.log.info("CasJobs stopped.")


async def _sweep(contexts: Contexts) -> None:
    """Remove, now and then, what a load has replaced."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        for context in contexts.all():
            await asyncio.to_thread(contexts.sweep, context.name)


def make_application(deployment: Deployment, parts: Parts, auth: ServiceAuth) -> web.Application:
    """The service's routes."""
    prefix = deployment.service_prefix("casjobs")
    return web.Application(
        [*routes.rules(prefix), *routes_of_page(prefix, pages.Page), *auth_handlers(auth)],
        default_handler_class=NotFound,
        parts=parts,
        running=set(),
        hub_auth=auth,
        cookie_secret=secret(deployment, "casjobs-cookie"),
        xsrf_cookies=True,
    )
