"""What the processes of all services have in common: options in the hub's file, the log, and how they end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy.exc import SQLAlchemyError
from tornado.netutil import bind_sockets
from traitlets import Float, Unicode, default
from traitlets.config import Application, PyFileConfigLoader

from sciserver_auth.redaction import LOGGING_CONFIG
from sciserver_common.deployment import Deployment, DeploymentError

GRACE = 2.0
"""Seconds that answers under way get to end when a service is stopped."""


class ServiceError(Exception):
    """The service cannot run; the text says what to do."""


class ServiceApplication(Application):
    """Base of a service's options and process. Subclasses write `serve`.

    Attributes
    ----------
    service
        Its name at the hub.
    database_option
        Name of the option with the URL of its database.
    refusals
        Errors whose text says why it cannot run.
    umask
        Of the files that it makes.
    loggers
        Names of those that write to its log.
    """

    service: ClassVar[str]
    database_option: ClassVar[str] = "store_url"
    refusals: ClassVar[tuple[type[Exception], ...]] = (ServiceError, DeploymentError)
    umask: ClassVar[int] = 0o077
    loggers: ClassVar[tuple[str, ...]] = ("asyncio", "tornado")

    config_file = Unicode(
        "",
        help="""
        Configuration file to read: the hub's own, whose section with the name of this class is used. Without one the
        defaults hold.
        """,
    ).tag(config=True)

    stop_seconds = Float(
        20.0,
        min=1.0,
        help="""Seconds after which the service ends when it was told to, whether its parts have ended or not.""",
    ).tag(config=True)

    log_format = Unicode("[%(levelname)1.1s %(asctime)s %(name)s] %(message)s")

    flags = {}

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.aliases = {"config": f"{cls.__name__}.config_file", "log-level": "Application.log_level"}

    @default("log_level")
    def _log_level(self) -> int:
        return logging.INFO

    @default("logging_config")
    def _redact_logs(self) -> dict[str, Any]:
        return LOGGING_CONFIG

    def read_config(self, config_file: str | None) -> None:
        """Read the options from the hub's configuration file; without one the defaults hold.

        Raises
        ------
        ServiceError
            The file is not there, or it fails.
        """
        if not config_file:
            return
        path = Path(config_file).expanduser().resolve()
        if not path.is_file():
            raise ServiceError(f"{path}: no such configuration file.")
        try:
            self.update_config(PyFileConfigLoader(path.name, path=str(path.parent)).load_config())
            # What is on the command line wins over the file.
            self.update_config(self.cli_config)
        except Exception as problem:
            raise ServiceError(f"{path} cannot be read: {type(problem).__name__}: {problem}") from problem

    def start(self) -> None:
        """Serve until SIGTERM or SIGINT; exits with 1 and one clear line when that is not possible."""
        os.umask(self.umask)
        logging.captureWarnings(True)
        try:
            self.read_config(self.config_file)
            asyncio.run(self.serve(Deployment.load()))
        except self.refusals as error:
            self.log.debug("Cannot run", exc_info=True)
            sys.exit(f"{self.service}: {error}")
        except SQLAlchemyError as error:
            # The text of some drivers' errors repeats the URL with its password; the class name never does.
            self.log.debug("Database error", exc_info=True)
            option = f"{type(self).__name__}.{self.database_option}"
            sys.exit(f"{self.service}: the database cannot be used ({type(error).__name__}). Check {option}.")

    async def serve(self, deployment: Deployment) -> None:
        """Answer requests until `stopped` returns."""
        raise NotImplementedError

    def listen_for_stop(self) -> asyncio.Event:
        """What is set when the process is told to stop; from now on everything is written to the service's log."""
        for name in self.loggers:
            # Otherwise they write past our log, and past what keeps tokens out of it.
            logging.getLogger(name).parent = self.log
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return stop

    async def stopped(self, stop: asyncio.Event) -> None:
        """Wait for it. Whatever hangs afterwards: the supervisor waits, and then kills without a word."""
        await stop.wait()
        asyncio.get_running_loop().call_later(self.stop_seconds, self._leave)

    def _leave(self) -> None:
        self.log.warning("Not everything has ended within %g seconds", self.stop_seconds)
        logging.shutdown()
        os._exit(0)


def address(deployment: Deployment, name: str) -> tuple[str, int]:
    """Host and port on which a service listens."""
    return deployment.internal_host or "127.0.0.1", deployment.service_port(name)


def cannot_listen(deployment: Deployment, name: str, error: OSError) -> ServiceError:
    """What to raise when that is not possible."""
    host, port = address(deployment, name)
    return ServiceError(f"{host}:{port} cannot be listened on: {error.strerror or error}")


def sockets(deployment: Deployment, name: str) -> list[socket.socket]:
    """Listen on a service's port.

    Raises
    ------
    ServiceError
        It is taken.
    """
    host, port = address(deployment, name)
    try:
        return bind_sockets(port, host)
    except OSError as error:
        raise cannot_listen(deployment, name, error) from error


async def answered(running: set[asyncio.Task[Any]]) -> None:
    """Let requests that are being answered end, for `GRACE` seconds at most."""
    if running:
        await asyncio.wait(running, timeout=GRACE)
