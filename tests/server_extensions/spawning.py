"""Real single-user servers with the extensions, started by a test's hub for people who sign in there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests

from tests.common.hub_platform import HubPlatform, Visitor
from tests.support import wait_until


def spawner_config(home: Path, extension: str, setting: str, address: str) -> str:
    """Lines for the hub's configuration.

    Parameters
    ----------
    home
        Where the servers' directories are.
    extension
        Package of the extension that the servers have.
    setting
        Its address in `sciscript.json`, which is `address`.
    """
    return f"""
import json, os, sys
from pathlib import Path
settings = Path({str(home)!r}) / "settings" / "sciserver"
settings.mkdir(parents=True, exist_ok=True)
(settings / "sciscript.json").write_text(json.dumps({{{setting!r}: {address!r}}}))
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root", "--ServerApp.jpserver_extensions={extension}=True", "--debug"]
c.Spawner.environment = {{
    "SCISERVER_TOKEN": lambda spawner: spawner.api_token,
    "XDG_CONFIG_HOME": str(settings.parent),
}}
c.Spawner.server_token_scopes = scopes.SERVER_SCOPES
c.Spawner.http_timeout = c.Spawner.start_timeout = 120
c.SimpleLocalProcessSpawner.home_dir_template = {str(home)!r} + "/{{username}}"
"""


class Owner(Visitor):
    """Somebody with a browser who is signed in, and has a server."""

    def __init__(self, platform: HubPlatform, name: str) -> None:
        super().__init__(platform)
        self.name = name
        self.sign_in(name)

    @property
    def server(self) -> str:
        """Address of the server."""
        return f"{self.origin}/user/{self.name}"

    def start(self) -> None:
        """Start the server, and open a page of it, which is how the browser gets its cookies."""
        answer = self.platform.hub_api("POST", f"/users/{self.name}/server")
        assert answer.status_code in {201, 202}, answer.text
        wait_until(lambda: self.model()["servers"].get("", {}).get("ready"), limit=150, what="the server is ready")
        self.visit(f"/user/{self.name}/files/")
        assert self.xsrf(), self.cookies

    @property
    def token(self) -> str:
        """The server's own token, which it has in its environment."""
        assert self.platform.hub.popen is not None
        for process in psutil.Process(self.platform.hub.popen.pid).children(recursive=True):
            environment = process.environ()
            if environment.get("JUPYTERHUB_USER") == self.name:
                return environment["JUPYTERHUB_API_TOKEN"]
        raise AssertionError("there is no server")

    def model(self) -> dict:
        return dict(self.platform.hub_api("GET", f"/users/{self.name}").json())

    def stop(self) -> None:
        answer = self.platform.hub_api("DELETE", f"/users/{self.name}/server")
        assert answer.status_code in {202, 204}, answer.text
        wait_until(lambda: not self.model()["servers"], what="the server has stopped")

    def xsrf(self, name: str = "") -> dict[str, str]:
        """The header with the XSRF token of the pages of a server."""
        path = f"/user/{name or self.name}/"
        values = [cookie.value for cookie in self.cookies if cookie.name == "_xsrf" and cookie.path == path]
        return {"X-XSRFToken": str(values[0])} if values else {}

    def call(self, method: str, path: str, *, server: str = "", **options) -> requests.Response:
        """What a program in a page does: a request below the server's address, of this person or another one."""
        headers = {
            "Accept": "*/*",
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Site": "same-origin",
            "Origin": self.origin,
            **self.xsrf(server),
        } | options.pop("headers", {})
        address = f"{self.origin}/user/{server or self.name}/{path}"
        headers = {name: value for name, value in headers.items() if value}
        return self.request(method, address, headers=headers, timeout=90, allow_redirects=False, **options)


@contextmanager
def people(platform: HubPlatform) -> Iterator[dict[str, Owner]]:
    """Ada, who has a server, and Bob, who has none."""
    both = {name: Owner(platform, name) for name in ("ada-l", "bob")}
    both["ada-l"].start()
    yield both
    both["ada-l"].stop()
