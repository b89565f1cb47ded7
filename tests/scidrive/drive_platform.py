"""A real hub, its proxy and the real service, for tests over HTTP."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import requests

from sciserver_common.scopes import FILES_SHARE, FILES_WRITE
from tests.common.hub_platform import ServicePlatform

HUB_CONFIG = """
c.JupyterHub.extra_user_scopes += ["access:services!service=scidrive"]
c.JupyterHub.services = [service for service in c.JupyterHub.services if service["name"] != "casjobs"] + [
    {
        "name": "scidrive",
        "url": deployment.internal_origin("scidrive"),
        "api_token": secret(deployment, "scidrive-service"),
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": scopes.SERVICE_CLIENT_SCOPES,
    },
    {"name": "racm", "url": deployment.internal_origin("racm"), "display": False},
]
c.JupyterHub.load_roles[1]["services"] = ["scidrive", "tests"]
c.JupyterHub.extra_user_scopes.remove("access:services!service=casjobs")
c.Proxy.extra_routes = {deployment.service_prefix("scidrive") + "dav/": deployment.internal_origin("dav")}
"""


class DrivePlatform(ServicePlatform):
    """The processes of one deployment with SciDrive.

    Parameters
    ----------
    config
        Lines for the configuration, e.g. ``c.SciDrive.link_hours = 1``.
    """

    def __init__(self, home: Path, config: str = "") -> None:
        # What the test's own hub is made of takes memory, which is measured here.
        super().__init__(home, "scidrive", "scidrive_config.py", (FILES_WRITE, FILES_SHARE))
        with self._config.open("a") as file:
            file.write(f"\n{HUB_CONFIG}\n")
        (self.home / "scidrive_config.py").write_text(f"c = get_config()\n{config}\n")

    @property
    def process(self) -> psutil.Process:
        """The service."""
        assert self.service.popen is not None
        return psutil.Process(self.service.popen.pid)

    def client(self, name: str, *scopes: str, direct: bool = False) -> Client:
        """Somebody who uses the service with a token."""
        return Client(self.direct_url if direct else self.url, self.token(name, *scopes), name)

    def volume(self, owner: str, name: str = "persistent", root: str = "Storage") -> Path:
        """Directory of a volume."""
        return self.deployment.volumes_dir / root / owner / name

    def drive(self, owner: str) -> Path:
        """Directory of somebody's SciDrive."""
        return self.deployment.volumes_dir / "SciDrive" / owner

    def connect(self) -> socket.socket:
        """A connection to the service itself."""
        address = urlsplit(self.direct_url)
        return socket.create_connection((address.hostname, address.port), timeout=60)

    def head(self, method: str, path: str, token: str, *lines: str) -> bytes:
        """The head of a request that is sent by hand."""
        return "\r\n".join(
            [
                f"{method} /services/scidrive/{path} HTTP/1.1",
                f"Host: {urlsplit(self.direct_url).netloc}",
                f"X-Auth-Token: {token}",
                *lines,
                "\r\n",
            ]
        ).encode()


class Client(requests.Session):
    """Somebody with a token, who speaks as SciServer's client library does."""

    def __init__(self, url: str, token: str = "", name: str = "") -> None:
        super().__init__()
        self.url = url
        self.name = name
        self.trust_env = False
        if token:
            self.headers["X-Auth-Token"] = token

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """A request below the service's address."""
        return self.request(method, f"{self.url}/{path}", **({"timeout": 90} | options))

    def file(self, path: str, volume: str = "persistent", root: str = "Storage") -> str:
        """Address of a file of this person's, below the service's."""
        return f"fileservice/api/file/{root}/{self.name}/{volume}/{path}"

    def put(self, path: str, data: Any = b"", **options: Any) -> requests.Response:  # type: ignore[override]
        """Upload a file to ``Storage/<name>/persistent``."""
        return self.call("PUT", self.file(path), data=data, **options)

    def get(self, path: str, **options: Any) -> requests.Response:  # type: ignore[override]
        """Download one from there."""
        return self.call("GET", self.file(path), **options)

    def names(self, path: str = "") -> dict[str, Any]:
        """What is in a folder there: sizes of files, None for folders."""
        answer = self.call("GET", f"fileservice/api/jsontree/Storage/{self.name}/persistent/{path}?level=2&options=")
        assert answer.status_code == 200, answer.text
        root = answer.json()["root"]
        files = {file["name"]: file["size"] for file in root.get("files", [])}
        return files | {folder["name"]: None for folder in root.get("folders", [])}


def error_of(answer: requests.Response, status: int) -> str:
    """What an error says; it has this status, and the form that is promised."""
    assert answer.status_code == status, answer.text
    value = json.loads(answer.content.decode())
    if "/vospace-2.0/1/" in answer.url:
        assert list(value)[:1] == ["error"], value
    else:
        assert value["status"] == "error"
    assert answer.headers["Content-Type"] == "application/json"
    return str(value["error"])
