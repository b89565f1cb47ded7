"""What tests on a running deployment share: the deployment itself, and people who use it over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import tornado.websocket
from bs4 import BeautifulSoup

from sciserver_common.deployment import Deployment

COMMAND = [str(Path(sys.executable).with_name("sciserver"))]
PASSWORD = "a long enough passphrase"


_claims: list[socket.socket] = []


def free_port() -> int:
    """A TCP port that nothing uses, and that no other test takes as long as this process lives; nor the one after it.

    A port that the kernel gives away and that is closed again may be anybody's a moment later: of another test
    process, or of a client's connection. Those are from the kernel's own range, these are below it.
    """
    lowest_of_the_kernel = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        # Even, since `sciserver up` also takes the next one.
        port = random.SystemRandom().randrange(12_000, min(lowest_of_the_kernel, 32_000) - 1, 2)
        # An address in the abstract name space belongs to one process of the machine, and is free when that ends.
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0sciserver-tests-port-{port}")
            for number in (port, port + 1):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("", number))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port


def command_lines() -> list[str]:
    """The arguments of all processes of the machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        # A process may end at any moment.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    assert found
    return found


def wait_until(condition: Callable[[], Any], *, limit: float = 60.0, what: str = "") -> Any:
    """The first true value of `condition`; fails after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {limit:g} s: {what or condition}"
        time.sleep(0.1)
    return value


@dataclass
class Platform:
    """A deployment that `sciserver up` started."""

    home: Path
    port: int = field(default_factory=free_port)
    _modules: dict[str, str] = field(default_factory=dict)
    """Whose tests the accounts are for."""

    @property
    def deployment(self) -> Deployment:
        return Deployment.load(self.home)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """`sciserver --home … arguments`."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SCISERVER_")}
        result = subprocess.run(
            [*COMMAND, *arguments, "--home", str(self.home)],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def configure(self, text: str) -> None:
        """Site settings, read at the next `up`."""
        self.deployment.make_directories()
        # It takes its time, and its tests are elsewhere.
        text = f"c.CasJobs.demo_data = False\n{text}"
        (self.deployment.config_dir / "test.py").write_text(text)

    def up(self) -> dict[str, Any]:
        return json.loads(self.run("up", "--port", str(self.port), "--json").stdout)

    def processes(self) -> dict[str, dict[str, Any]]:
        return json.loads(self.run("status", "--json", check=False).stdout)["processes"]

    def add_user(self, name: str, *, admin: bool = False) -> Person:
        """An account; the same one when its module asks again: the first test of a fixture may be tried twice."""
        module = str(sys._getframe(1).f_globals["__name__"])
        if name not in self._modules:
            self.run("user", "add", name, "--password-stdin", *(["--admin"] if admin else []), stdin=PASSWORD + "\n")
        assert self._modules.setdefault(name, module) == module, f"{name} is somebody of {self._modules[name]}"
        return Person(self.url, name)

    def answers(self) -> bool:
        """Whether hub and portal answer through the proxy."""
        try:
            hub = requests.get(self.url + "/hub/health", timeout=5)
            portal = requests.get(self.url + "/services/portal/.well-known/openid-configuration", timeout=5)
        except requests.RequestException:
            return False
        return hub.status_code == portal.status_code == 200 and "issuer" in portal.text


class Person:
    """Somebody with a browser, which here is a session that keeps cookies and fills in forms."""

    def __init__(self, url: str, name: str, password: str = PASSWORD) -> None:
        self.url = url
        self.name = name
        self.password = password
        self.session = requests.Session()
        # The proxy closes idle connections after 5 seconds, maybe just as the next request comes.
        self.session.headers["Connection"] = "close"

    def submit(self, page: requests.Response, **fields: str) -> requests.Response:
        """Send the page's form with `fields` filled in and the rest as it is."""
        form = BeautifulSoup(page.text, "html.parser").find("form")
        assert form, page.text
        values = {
            item["name"]: item.get("value", "")
            for item in form.find_all("input")
            if item.get("name") and item.get("type") in {"hidden", "text", "email", "password"}
        }
        for select in form.find_all("select"):
            chosen = select.find("option", selected=True)
            if chosen:
                values[select["name"]] = chosen.get("value", "")
        target = requests.compat.urljoin(page.url, form.get("action") or page.url)
        return self.session.post(target, data=values | fields)

    def register(self) -> requests.Response:
        page = self.session.get(self.url + "/services/portal/register")
        return self.submit(
            page,
            user_name=self.name,
            family_name=self.name.title(),
            password1=self.password,
            password2=self.password,
            action="create-profile",
            **{"emails-0": f"{self.name}@example.org"},
        )

    def sign_in(self, next_url: str = "/hub/home") -> requests.Response:
        """Through the portal's two pages to `next_url`."""
        page = self.session.get(self.url + "/hub/oauth_login", params={"next": next_url})
        while "/services/portal/login" in page.url or "/services/portal/auth" in page.url:
            form = BeautifulSoup(page.text, "html.parser").find("form")
            assert form, page.text
            names = {item.get("name") for item in form.find_all("input")}
            before = page
            page = self.submit(page, **({"password": self.password} if "password" in names else {"login": self.name}))
            if page.url == before.url and "password" in names:
                break  # refused: the same page again
        return page

    @property
    def _xsrf(self) -> dict[str, str]:
        values = [cookie.value for cookie in self.session.cookies if cookie.name == "_xsrf" and cookie.path == "/hub/"]
        return {"X-XSRFToken": values[0]} if values else {}

    def api(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """The hub's REST API, with this person's cookies."""
        return self.session.request(method, self.url + "/hub/api" + path, headers=self._xsrf, **kwargs)

    def token(self, *scopes: str) -> str:
        response = self.api("POST", f"/users/{self.name}/tokens", json={"scopes": list(scopes), "expires_in": 3600})
        assert response.status_code == 201, response.text
        return str(response.json()["token"])

    def start(self, **options: Any) -> None:
        """Start the default server and wait until it is ready."""
        response = self.api("POST", f"/users/{self.name}/server", json={"user_options": options})
        assert response.status_code in {201, 202}, response.text
        self.wait_ready()

    def model(self) -> dict[str, Any]:
        return self.api("GET", f"/users/{self.name}").json()

    def wait_ready(self) -> None:
        wait_until(lambda: self.model()["servers"].get("", {}).get("ready"), what=f"{self.name}'s server is ready")

    def stop(self) -> None:
        response = self.api("DELETE", f"/users/{self.name}/server")
        assert response.status_code in {202, 204}, response.text
        wait_until(lambda: not self.model()["servers"], what=f"{self.name}'s server has stopped")

    def server(self) -> Notebook:
        return Notebook(f"{self.url}/user/{self.name}", self.token(f"access:servers!user={self.name}"))


class Notebook:
    """A running server, used with a token as a script would."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"token {token}"}

    def request(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        return requests.request(method, f"{self.url}/api/{path}", headers=self.headers, timeout=60, **kwargs)

    def start_kernel(self) -> str:
        response = self.request("POST", "kernels", json={"name": "python3"})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    async def execute(self, kernel: str, *cells: str) -> list[dict[str, Any]]:
        """Run cells in a kernel over its WebSocket.

        Returns
        -------
        list of dict
            For each cell ``{"status": "ok" or "error", "text": …, "types": MIME types shown}``.
        """
        url = f"{self.url}/api/kernels/{kernel}/channels".replace("http", "ws", 1)
        request = tornado.httpclient.HTTPRequest(url, headers=self.headers)
        socket_ = await tornado.websocket.websocket_connect(request, max_message_size=2**28)
        results = []
        try:
            for cell in cells:
                results.append(await self._execute_one(socket_, cell))
        finally:
            socket_.close()
        return results

    @staticmethod
    async def _execute_one(socket_: tornado.websocket.WebSocketClientConnection, code: str) -> dict[str, Any]:
        message_id = uuid.uuid4().hex
        header = {
            "msg_id": message_id,
            "msg_type": "execute_request",
            "username": "",
            "session": "s",
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await socket_.write_message(json.dumps(message))
        result: dict[str, Any] = {"status": "", "text": "", "types": set()}
        idle = False
        # The reply and the "idle" notice come on different channels, in either order.
        while not (idle and result["status"]):
            raw = await socket_.read_message()
            assert raw is not None, "the kernel's connection was closed"
            answer = json.loads(raw)
            if answer["parent_header"].get("msg_id") != message_id:
                continue
            kind, content = answer["msg_type"], answer["content"]
            if kind == "stream":
                result["text"] += content["text"]
            elif kind in {"display_data", "execute_result"}:
                result["types"] |= set(content["data"])
                result["text"] += content["data"].get("text/plain", "")
            elif kind == "error":
                result["text"] += "\n".join(content["traceback"])
            elif kind == "execute_reply":
                result["status"] = content["status"]
            elif kind == "status" and content["execution_state"] == "idle":
                idle = True
        return result
