"""Running the platform's processes in the background under supervisord, each restarted when it dies."""

from __future__ import annotations

import configparser
import hashlib
import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import traceback
import xmlrpc.client
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport
from traitlets.config.loader import Config, PyFileConfigLoader

from sciserver_cli.errors import OperatorError
from sciserver_common.deployment import SERVICES, SOURCE, Deployment, proxy_command
from sciserver_spawner import images

PROCESSES = ("portal", "proxy", "hub", "casjobs", "scidrive")
"""In the order in which they start."""

MARK = "SCISERVER_PROCESS"
"""Environment variable by which our processes are found when their supervisor was killed."""

CODE = ("casjobs_service", "dashboard", "scidrive_service", "sciserver_auth", "sciserver_common", "sciserver_spawner")
"""Directories of the checkout that hub and services run from."""

_READ_AT_START = {".py", ".html", ".css", ".js", ".sql", ".svg"}

CONFIG_FILE = SOURCE / "jupyterhub_config.py"


class Supervisor:
    """The supervisord of one deployment, reached over its socket."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.socket = deployment.run_dir / "supervisor.sock"
        self._config = deployment.run_dir / "supervisord.conf"
        self._server: Any = xmlrpc.client.ServerProxy(
            "http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{self.socket}")
        )

    def is_running(self) -> bool:
        """Whether it answers."""
        try:
            self._server.supervisor.getState()
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def processes(self) -> dict[str, dict[str, Any]]:
        """State of each process: ``{"hub": {"state": "running", "pid": 1234, "since": 1760000000}}``.

        `state` is supervisord's in small letters (running, starting, backoff, stopped, fatal …), or ``unsupervised``
        for a process that outlived its supervisor.
        """
        found: dict[str, dict[str, Any]] = {
            name: {"state": "stopped", "pid": None, "since": None} for name in PROCESSES
        }
        if self.is_running():
            for info in self._server.supervisor.getAllProcessInfo():
                found[info["name"]] = {
                    "state": info["statename"].lower(),
                    "pid": info["pid"] or None,
                    "since": info["start"] if info["pid"] else None,
                }
            return found
        for name, process in self._orphans():
            if name in found and found[name]["pid"] is None:
                found[name] = {"state": "unsupervised", "pid": process.pid, "since": int(process.create_time())}
        return found

    def start(self, *, foreground: bool = False) -> None:
        """Start the supervisor, and with it every process; a running one takes over a changed configuration.

        With `foreground`, this process becomes the supervisor and does not return.
        """
        self._write_config()
        if self.is_running():
            if foreground:
                raise OperatorError(
                    f"The platform of {self.deployment.home} runs in the background already: `sciserver down` first."
                )
            self._apply_config()
            return
        # Left by a supervisor that was killed: two hubs on one database would be worse than a short break.
        self._end([process for _, process in self._orphans()])
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._config)]
        if foreground:
            os.execv(command[0], [*command, "--nodaemon"])  # noqa: S606 - our own interpreter
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise OperatorError(f"The processes cannot be started: {result.stderr.strip() or result.stdout.strip()}")

    def stop(self, timeout: float = 60.0) -> None:
        """End all processes, the supervisor last; containers are not touched."""
        if self.is_running():
            supervisor = psutil.Process(int(self._server.supervisor.getPID()))
            self._server.supervisor.shutdown()
            try:
                supervisor.wait(timeout)
            except psutil.TimeoutExpired:
                self._end([supervisor])
        self._end([process for _, process in self._orphans()])

    def _orphans(self) -> list[tuple[str, psutil.Process]]:
        """Name and process of what this deployment started: when no supervisor answers, nobody watches them."""
        found = []
        for process in psutil.process_iter():
            try:
                environment = process.environ()
            except (psutil.Error, OSError):
                continue
            if MARK in environment and environment.get("SCISERVER_HOME") == str(self.deployment.home):
                found.append((environment[MARK], process))
        return found

    @staticmethod
    def _end(processes: list[psutil.Process]) -> None:
        for process in processes:
            try:
                process.send_signal(signal.SIGTERM)
            except psutil.NoSuchProcess:
                pass
        _, alive = psutil.wait_procs(processes, timeout=10)
        for process in alive:
            process.kill()

    def _apply_config(self) -> None:
        """Have the running supervisor read its configuration again and restart what changed."""
        [[added, changed, removed]] = self._server.supervisor.reloadConfig()
        for name in [*changed, *removed]:
            self._server.supervisor.stopProcessGroup(name)
            self._server.supervisor.removeProcessGroup(name)
        for name in [*added, *changed]:
            self._server.supervisor.addProcessGroup(name)
        for name, info in self.processes().items():
            if info["state"] in {"stopped", "exited", "fatal"}:
                self._server.supervisor.startProcess(name)

    def _write_config(self) -> None:
        config = configparser.RawConfigParser()
        config["unix_http_server"] = {"file": str(self.socket), "chmod": "0600"}
        config["rpcinterface:supervisor"] = {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        }
        config["supervisord"] = {
            "logfile": _escape(self.deployment.logs_dir / "supervisord.log"),
            "pidfile": _escape(self.deployment.run_dir / "supervisord.pid"),
            "directory": _escape(self.deployment.home),
            "umask": "077",
        }
        fingerprint = _fingerprint(self.deployment)
        for priority, name in enumerate(PROCESSES):
            environment = self._environment(name, fingerprint)
            config[f"program:{name}"] = {
                "command": _escape(shlex.join(["/bin/sh", "-c", self._script(name)])),
                "directory": _escape(self.deployment.home),
                "environment": _escape(",".join(f'{key}="{value}"' for key, value in environment.items())),
                "priority": str(priority),
                "autorestart": "true",
                "startsecs": "2",
                # It waits one second longer after each failed try: this is more than an hour.
                "startretries": "100",
                "stopasgroup": "true",
                "killasgroup": "true",
                "stdout_logfile": _escape(log_file(self.deployment, name)),
                "stdout_logfile_maxbytes": "20MB",
                "stdout_logfile_backups": "5",
                "redirect_stderr": "true",
            }
        with self._config.open("w") as file:
            config.write(file)

    def _environment(self, name: str, fingerprint: str) -> dict[str, str]:
        environment = {"SCISERVER_HOME": str(self.deployment.home), "SCISERVER_SUPERVISED": "1", MARK: name}
        if name != "proxy":
            # supervisord restarts a program whose section changed: so `up` after an upgrade or an edit is enough.
            environment["SCISERVER_FINGERPRINT"] = fingerprint
        return environment

    def _script(self, name: str) -> str:
        """Shell text that becomes the process; secrets come from their files, never in an argument."""
        deployment = self.deployment
        if name in SERVICES:
            return "exec " + shlex.join([sys.executable, "-m", SERVICES[name], "--config", str(CONFIG_FILE)])
        if name == "hub":
            return "exec " + shlex.join([sys.executable, "-m", "jupyterhub", "-f", str(CONFIG_FILE)])
        hub = deployment.internal_origin("hub")
        command = [
            *proxy_command(),
            f"--ip={deployment.bind_address}",
            f"--port={deployment.port}",
            f"--api-socket={deployment.proxy_socket}",
            f"--default-target={hub}",
            f"--error-target={hub}/hub/error",
            # "info" is a line for each time the hub compares routes.
            "--log-level=warn",
        ]
        token_file = shlex.quote(str(deployment.secrets_dir / "proxy"))
        # A proxy that was killed leaves its socket behind.
        return (
            f"rm -f {shlex.quote(str(deployment.proxy_socket))}; "
            f'CONFIGPROXY_AUTH_TOKEN="$(cat {token_file})"; export CONFIGPROXY_AUTH_TOKEN; '
            f"exec {shlex.join(command)}"
        )


def _fingerprint(deployment: Deployment) -> str:
    """Changes with whatever hub and services read when they start: settings, code, pages, versions, image tags."""
    files = [
        *sorted(deployment.config_dir.glob("*.py")),
        CONFIG_FILE,
        SOURCE / "constraints.txt",
        *sorted(path for folder in CODE for path in (SOURCE / folder).rglob("*") if path.suffix in _READ_AT_START),
    ]
    digest = hashlib.sha256(repr(deployment).encode())
    for image in images.catalogue():
        digest.update(image.tag.encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def check_config() -> Config:
    """Read the configuration as hub and services will.

    Raises
    ------
    OperatorError
        It fails: names the file and the line.
    """
    try:
        return PyFileConfigLoader(CONFIG_FILE.name, path=str(CONFIG_FILE.parent)).load_config()
    except Exception as error:  # whatever the site's own code raises
        if isinstance(error, SyntaxError):
            place = f"{error.filename}, line {error.lineno}"
        else:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{frame.filename}, line {frame.lineno}"
        raise OperatorError(
            f"The configuration fails at {place}: {type(error).__name__}: {error}. Nothing was started or changed."
        ) from error


def check_port(deployment: Deployment) -> None:
    """Raise OperatorError when another program listens on the public port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((deployment.bind_address, deployment.port))
        except PermissionError as error:
            raise OperatorError(
                f"This account may not listen on port {deployment.port}: choose one above 1023 with --port."
            ) from error
        except OSError as error:
            raise OperatorError(
                f"Port {deployment.port} is used by another program. Choose another one: "
                f"`sciserver up --port {deployment.port + 1}`."
            ) from error


def wait_answers(deployment: Deployment, supervisor: Supervisor, timeout: float = 90.0) -> None:
    """Return when hub and services answer through the proxy.

    Raises
    ------
    OperatorError
        One does not in `timeout` seconds: shows the end of its log.
    """
    paths = {"hub": "/hub/health"} | {name: deployment.service_prefix(name) + "health" for name in SERVICES}
    deadline = time.monotonic() + timeout
    for name, path in paths.items():
        while not _answers(deployment, path):
            state = supervisor.processes()[name]["state"]
            if time.monotonic() > deadline or state == "fatal":
                raise OperatorError(
                    f"The {name} does not answer (state: {state}). The end of its log, "
                    f"{log_file(deployment, name)}:\n{log_tail(deployment, name)}"
                )
            time.sleep(0.5)


def _answers(deployment: Deployment, path: str) -> bool:
    host = "127.0.0.1" if deployment.bind_address == "0.0.0.0" else deployment.bind_address  # noqa: S104
    connection = http.client.HTTPConnection(host, deployment.port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def log_file(deployment: Deployment, name: str) -> Path:
    """Log of one process."""
    return deployment.logs_dir / f"{name}.log"


def log_tail(deployment: Deployment, name: str, lines: int = 15) -> str:
    """The last lines of a process's log."""
    try:
        text = log_file(deployment, name).read_text(errors="replace")
    except FileNotFoundError:
        return "(no log yet)"
    return "\n".join(text.splitlines()[-lines:])


def _escape(value: str | os.PathLike[str]) -> str:
    """supervisord expands ``%(name)s`` in values."""
    return str(value).replace("%", "%%")
