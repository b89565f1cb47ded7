"""`SciDrive`: the options of the service, and the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from tornado import web
from tornado.httpserver import HTTPServer
from traitlets import Dict, Float, Integer, Unicode

from scidrive_service import pages, policy, webdav
from scidrive_service.errors import FileError
from scidrive_service.files import Files, Person
from scidrive_service.handlers import routes
from scidrive_service.handlers.base import ADMIN
from scidrive_service.handlers.parts import Parts
from scidrive_service.handlers.public import NotFound
from scidrive_service.store import Store
from scidrive_service.tree import Tree
from scidrive_service.uploads import Uploads
from sciserver_common.deployment import Deployment
from sciserver_common.handlers import auth_handlers
from sciserver_common.hub_auth import ServiceAuth
from sciserver_common.pages import routes as routes_of_page
from sciserver_common.requests import DROPPED
from sciserver_common.secrets import secret
from sciserver_common.service_app import ServiceApplication, address, answered, cannot_listen, sockets

IDLE_SECONDS = 300
BODY_SECONDS = 60
"""After which a connection is closed on which nothing comes, and which a request's body may take. Uploads of files
have limits of their own."""

CHUNK = 128 * 1024
"""Bytes that are taken from a connection at once."""

ARENAS, LARGE = 1, 8 * 1024 * 1024
"""Of the C library's memory: one heap for all threads, or the pieces of transfers leave holes in the heap of each; and
pieces stay in it for the next ones, where to get them from the system anew would double what an upload costs."""


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


class SciDrive(ServiceApplication):
    """Files of people: SciDrive, the file service and WebDAV, over one storage.

    Its options live in the hub's configuration file, e.g. ``c.SciDrive.link_hours = 24``.
    """

    name = Unicode("sciserver-scidrive")
    description = Unicode("Run SciDrive and the file service of a SciServer deployment in the foreground.")
    classes = [ServiceAuth]

    service = "scidrive"
    refusals = (*ServiceApplication.refusals, policy.PolicyError, FileError)
    umask = 0o022
    loggers = (*ServiceApplication.loggers, "scidrive_service", "scidrive")

    store_url = Unicode(
        "",
        help="""
        SQLAlchemy URL of the database with what is known of volumes beside their directories: shares, links, and the
        like.

        The default is an SQLite file in the deployment's ``scidrive`` directory. PostgreSQL, for instance::

            c.SciDrive.store_url = "postgresql://scidrive:password@db.example.org/scidrive"
        """,
    ).tag(config=True)

    root_volumes = Dict(
        policy.DEFAULTS,
        help="""
        Kinds of storage: for each root volume its settings, as `scidrive_service.policy.RootPolicy` has them. What is
        assigned takes the place of all defaults; `update` adds to them, or replaces one of them. A root volume with
        files that are removed after a week::

            c.SciDrive.root_volumes.update(
                {
                    "Week": {
                        "description": "Files stay for a week.",
                        "expires_after": 7 * 24,  # hours
                        "warn_before": 24,
                        "user_bytes": 100 * 10**9,
                    }
                }
            )
        """,
    ).tag(config=True)

    data_volumes = Dict(
        help="""
        What the listing says of data volumes, which are the directories in the deployment's ``data``: by name
        ``description``, ``displayName`` and ``url``, all optional.
        """,
    ).tag(config=True)

    drive_url = Unicode(
        "",
        help="""
        Where SciDrive's files are, if not in directories: an address of an object store as fsspec has it, e.g.
        ``s3://bucket/prefix``. Such a SciDrive is not mounted in containers.
        """,
    ).tag(config=True)

    drive_options = Dict(
        help="""
        Options of fsspec's file system for `drive_url`, e.g. ``{"endpoint_url": "https://s3.example.org"}``. Keys for
        the store had better be in its own files or variables.
        """,
    ).tag(config=True)

    service_name = Unicode("SciServer", help="""Name of the file service in the client libraries.""").tag(config=True)

    service_description = Unicode(
        "User volumes and data volumes", help="""What the client libraries tell of the file service."""
    ).tag(config=True)

    link_hours = Float(
        4.0,
        min=0.01,
        help="""Hours for which an address works that the client libraries get for downloading a file.""",
    ).tag(config=True)

    longest_link_days = Float(
        30.0, min=0.01, help="""Longest time for which somebody may make a link that anybody can open. Days."""
    ).tag(config=True)

    upload_days = Float(
        7.0, min=0.01, help="""Days after which an upload in parts is forgotten if no more parts come."""
    ).tag(config=True)

    upload_bytes = Integer(
        100 * 10**9,
        min=1,
        help="""What the parts of one user's unfinished uploads may take together. They are kept in the deployment's
        ``scidrive`` directory.""",
    ).tag(config=True)

    count_seconds = Float(
        60.0,
        min=1.0,
        help="""Seconds after which it is counted again what a volume holds, because containers write to it, too.""",
    ).tag(config=True)

    sweep_seconds = Float(
        3600.0,
        min=1.0,
        help="""Seconds between two rounds in which files are removed whose time is over, and what is left over.""",
    ).tag(config=True)

    threads = Integer(
        32, min=1, help="""Threads that work with files for the REST interfaces. Transfers share them."""
    ).tag(config=True)

    webdav_threads = Integer(
        64, min=1, help="""Threads of WebDAV. A transfer needs one for as long as it lasts."""
    ).tag(config=True)

    def start(self) -> None:
        _spare_memory()
        super().start()

    def make_files(self, deployment: Deployment) -> Files:
        """Everybody's files.

        Raises
        ------
        PolicyError
            `root_volumes` cannot be used.
        """
        directory = deployment.scidrive_dir
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        store = Store(self.store_url or f"sqlite:///{directory}/scidrive.sqlite")
        return Files(
            deployment,
            policy.policies(self.root_volumes),
            store,
            drive_tree=self._drive_tree(),
            data_volumes=self.data_volumes,
            count_seconds=self.count_seconds,
        )

    def _drive_tree(self) -> Callable[[str], Tree] | None:
        if not self.drive_url:
            return None
        # An object store's libraries take their time, which most deployments need not spend.
        from scidrive_service.objects import ObjectTree

        url, options = self.drive_url.rstrip("/"), dict(self.drive_options)
        return lambda owner: ObjectTree(f"{url}/{owner}", **options)

    def make_parts(self, deployment: Deployment, files: Files, threads: ThreadPoolExecutor) -> Parts:
        """What the handlers work with."""
        return Parts(
            deployment=deployment,
            files=files,
            uploads=Uploads(deployment.scidrive_dir / "uploads", self.upload_days, bytes_each=self.upload_bytes),
            threads=threads,
            service_name=self.service_name,
            service_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{deployment.service_url('scidrive')}/fileservice/")),
            service_description=self.service_description,
            link_hours=self.link_hours,
            longest_link_days=self.longest_link_days,
        )

    async def serve(self, deployment: Deployment) -> None:
        """Answer requests until the process is told to stop."""
        stop = self.listen_for_stop()
        async with contextlib.AsyncExitStack() as stack:
            files = await asyncio.to_thread(self.make_files, deployment)
            stack.callback(files.close)
            threads = stack.enter_context(ThreadPoolExecutor(self.threads, thread_name_prefix="files"))
            parts = self.make_parts(deployment, files, threads)
            stack.enter_context(parts.long_threads)
            sweeper = asyncio.create_task(self._sweep(parts))
            stack.callback(sweeper.cancel)
            auth = ServiceAuth.for_service(deployment, "scidrive", parent=self)
            application = make_application(deployment, parts, auth)
            server = HTTPServer(
                application,
                max_body_size=DROPPED,
                body_timeout=BODY_SECONDS,
                idle_connection_timeout=IDLE_SECONDS,
                chunk_size=CHUNK,
            )
            stack.push_async_callback(server.close_all_connections)
            stack.push_async_callback(answered, application.settings["running"])
            auth.start()
            stack.push_async_callback(auth.stop)
            dav = self._webdav(deployment, files, auth)
            stack.push_async_callback(asyncio.to_thread, dav.stop)
            try:
                dav.start()
            except OSError as error:
                raise cannot_listen(deployment, "dav", error) from error
            # Not before everything works: until then, clients had better be refused than wait.
            server.add_sockets(sockets(deployment, self.service))
            stack.callback(server.stop)
            self.log.info(
                "SciDrive listens on %s, and for WebDAV on %s, public address %s/",
                deployment.internal_url("scidrive"),
                deployment.internal_origin("dav"),
                deployment.service_url("scidrive"),
            )
            await self.stopped(stop)
        self.log.info("SciDrive stopped.")

    def _webdav(self, deployment: Deployment, files: Files, auth: ServiceAuth) -> webdav.Server:
        access = webdav.Access(auth, asyncio.get_running_loop())

        def person_of(environ: dict[str, Any]) -> Person:
            model = access(environ)
            return Person(model["name"], frozenset(model.get("groups") or ()), access.allows(model, ADMIN))

        door = webdav.Door(
            files,
            person_of,
            deployment.service_prefix("scidrive") + "dav",
            hosts=[urlsplit(deployment.public_url).netloc, urlsplit(deployment.internal_origin("scidrive")).netloc],
        )
        host, port = address(deployment, "dav")
        return webdav.Server(door, host, port, threads=self.webdav_threads)

    async def _sweep(self, parts: Parts) -> None:
        """Remove, now and then, what is too old."""
        while True:
            for sweep in (parts.files.sweep, parts.uploads.sweep):
                try:
                    await asyncio.to_thread(sweep)
                except Exception:
                    # Whatever it is, the next round may do better.
                    self.log.exception("Files that are too old could not be removed")
            await asyncio.sleep(self.sweep_seconds)


def _spare_memory() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc's
        for option, value in ((_M_ARENA_MAX, ARENAS), (_M_MMAP_THRESHOLD, LARGE), (_M_TRIM_THRESHOLD, LARGE)):
            mallopt(option, value)


def make_application(deployment: Deployment, parts: Parts, auth: ServiceAuth) -> web.Application:
    """The service's routes."""
    prefix = deployment.service_prefix("scidrive")
    return web.Application(
        [
            *routes.rules(prefix, deployment.service_prefix("racm")),
            *routes_of_page(prefix, pages.Page),
            *auth_handlers(auth),
        ],
        default_handler_class=NotFound,
        parts=parts,
        running=set(),
        hub_auth=auth,
        cookie_secret=secret(deployment, "scidrive-cookie"),
        xsrf_cookies=True,
    )
