"""Who has signed out of the hub is out of a server at once: the base image's extension, in real containers.

The hub here is a small one that can be silent and forget tokens. With the real one: tests/browser/test_sign_out.py.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import socket
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import docker
import pytest
import requests
import tornado.httpclient
import tornado.websocket
from docker.models.containers import Container

from tests.support import Notebook, wait_until

pytestmark = pytest.mark.docker

SIGNED_OUT = 4401


class TokenHub:
    """As much of a hub as a server asks for: its version, and whose a token is."""

    def __init__(self, address: str) -> None:
        self.tokens: dict[str, list[str]] = {}
        self.questions: list[str] = []
        self.silent_about: set[str] = set()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                token = self.headers.get("Authorization", "").removeprefix("token ")
                status, model = 200, {}
                if self.path.startswith("/hub/api/user"):
                    hub.questions.append(token)
                    if token in hub.silent_about:
                        status = 503
                    elif token in hub.tokens:
                        model = {"name": "eve", "kind": "user", "scopes": hub.tokens[token]}
                    else:
                        status = 403
                self.send_response(status)
                body = json.dumps(model).encode()
                self.send_header("X-JupyterHub-Version", "6.1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self._server.server_port}/hub"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def add(self, *scopes: str) -> str:
        """A new token."""
        token = uuid.uuid4().hex
        self.tokens[token] = list(scopes or ["access:servers!server=eve/"])
        return token

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def hub(engine: docker.DockerClient) -> Iterator[TokenHub]:
    subnet = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"]
    hub = TokenHub(str(next(ipaddress.ip_network(subnet).hosts())))
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def container(engine: docker.DockerClient, hub: TokenHub, base_image: str) -> Iterator[Container]:
    container = engine.containers.run(
        base_image,
        ["sciserver-singleuser"],
        detach=True,
        init=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        environment={
            "JUPYTERHUB_API_TOKEN": hub.add(),
            "JUPYTERHUB_API_URL": f"{hub.url}/api",
            "JUPYTERHUB_ACTIVITY_URL": f"{hub.url}/api/users/eve/activity",
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-eve",
            "JUPYTERHUB_OAUTH_CALLBACK_URL": "/user/eve/oauth_callback",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers!server=eve/"]',
            "JUPYTERHUB_SERVICE_PREFIX": "/user/eve/",
            "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/eve/",
            "JUPYTERHUB_USER": "eve",
        },
    )
    yield container
    container.remove(force=True)


@pytest.fixture
def server(hub: TokenHub, container: Container) -> Notebook:
    """The server, used with a token of its own in each test."""
    container.reload()
    url = f"http://{container.attrs['NetworkSettings']['IPAddress']}:8888/user/eve"

    def answers() -> bool:
        try:
            return requests.get(f"{url}/api", timeout=5).ok
        except requests.ConnectionError:
            return False

    wait_until(answers, what="the server answers")
    return Notebook(url, hub.add())


def token_of(server: Notebook) -> str:
    return server.headers["Authorization"].removeprefix("token ")


def recheck(server: Notebook) -> None:
    assert server.request("POST", "sign-on/recheck").status_code == 202


async def connect(server: Notebook, path: str, token: str = "") -> tornado.websocket.WebSocketClientConnection:
    headers = {"Authorization": f"token {token}"} if token else server.headers
    url = f"{server.url}/api/{path}".replace("http", "ws", 1)
    return await tornado.websocket.websocket_connect(tornado.httpclient.HTTPRequest(url, headers=headers))


async def until_closed(connection: tornado.websocket.WebSocketClientConnection) -> int | None:
    while await connection.read_message() is not None:
        pass
    return connection.close_code


def alive(server: Notebook, kernel: str) -> bool:
    return server.request("GET", f"kernels/{kernel}").status_code == 200


async def test_every_websocket_of_a_dead_token_is_closed_and_no_other(server: Notebook, hub: TokenHub) -> None:
    kernel = server.start_kernel()
    terminal = server.request("POST", "terminals").json()["name"]
    leaving = hub.add()
    websocket_paths = {
        "kernel": f"kernels/{kernel}/channels",
        "events": "events/subscribe",
    }
    sockets = {name: await connect(server, path, leaving) for name, path in websocket_paths.items()}
    terminal_url = f"{server.url}/terminals/websocket/{terminal}".replace("http", "ws", 1)
    sockets["terminal"] = await tornado.websocket.websocket_connect(
        tornado.httpclient.HTTPRequest(terminal_url, headers={"Authorization": f"token {leaving}"})
    )
    staying = await connect(server, websocket_paths["kernel"])

    del hub.tokens[leaving]
    recheck(server)
    for name, connection in sockets.items():
        assert await until_closed(connection) == SIGNED_OUT, name
        assert "sign in again" in str(connection.close_reason)
    # Asked again, and refused: nothing is believed any more that was said before.
    with pytest.raises(tornado.httpclient.HTTPError, match="403"):
        await connect(server, websocket_paths["kernel"], leaving)
    refused = requests.get(f"{server.url}/api/kernels", headers={"Authorization": f"token {leaving}"}, timeout=20)
    assert refused.status_code == 403

    assert staying.close_code is None
    assert (await Notebook._execute_one(staying, "print(6 * 7)"))["text"] == "42\n"
    assert alive(server, kernel)
    assert server.request("GET", f"terminals/{terminal}").status_code == 200


async def test_a_token_that_lost_its_scope_is_out(server: Notebook, hub: TokenHub) -> None:
    kernel = server.start_kernel()
    leaving = hub.add()
    connection = await connect(server, f"kernels/{kernel}/channels", leaving)
    hub.tokens[leaving] = ["access:servers!server=eve/another"]
    recheck(server)
    assert await until_closed(connection) == SIGNED_OUT


async def test_a_kernel_goes_on_and_is_there_for_the_next_token(server: Notebook, hub: TokenHub) -> None:
    kernel = server.start_kernel()
    await server.execute(kernel, "import time; kept = 1")
    leaving = hub.add()
    connection = await connect(server, f"kernels/{kernel}/channels", leaving)
    await connection.write_message(execute_request("for _ in range(15): time.sleep(0.1); kept += 1"))
    # What has reached the server only, but not the kernel, goes with the connection.
    while '"execute_input"' not in str(await connection.read_message()):
        pass
    del hub.tokens[leaving]
    recheck(server)
    assert await until_closed(connection) == SIGNED_OUT
    [result] = await server.execute(kernel, "print(kept)")
    assert result["text"] == "16\n"


async def test_nobody_is_thrown_out_while_the_hub_does_not_answer(server: Notebook, hub: TokenHub) -> None:
    kernel = server.start_kernel()
    leaving, staying = hub.add(), hub.add()
    connections = {token: await connect(server, f"kernels/{kernel}/channels", token) for token in (leaving, staying)}
    del hub.tokens[leaving]
    hub.silent_about = {leaving, staying}
    hub.questions.clear()
    recheck(server)
    wait_until(lambda: hub.silent_about & set(hub.questions), what="the hub is asked")
    for connection in connections.values():
        assert (await Notebook._execute_one(connection, "print(6 * 7)"))["text"] == "42\n"
    hub.silent_about = set()
    # Without being told again.
    assert await until_closed(connections[leaving]) == SIGNED_OUT
    assert (await Notebook._execute_one(connections[staying], "print(6 * 7)"))["text"] == "42\n"


async def test_a_burst_is_one_check_or_two(server: Notebook, hub: TokenHub) -> None:
    kernel = server.start_kernel()
    watched = hub.add()
    connection = await connect(server, f"kernels/{kernel}/channels", watched)
    recheck(server)
    wait_until(lambda: hub.questions.count(watched) >= 2)
    hub.questions.clear()
    client = tornado.httpclient.AsyncHTTPClient()
    requests_ = [
        client.fetch(f"{server.url}/api/sign-on/recheck", method="POST", body=b"", headers=server.headers)
        for _ in range(30)
    ]
    for request in requests_:
        assert (await request).code == 202
    wait_until(lambda: watched in hub.questions)
    time.sleep(1)
    # Up to ten requests at once are on their way; what comes while a check is under way is one more.
    assert 1 <= hub.questions.count(watched) < 15
    connection.close()


def execute_request(code: str) -> str:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": "s"}
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
    message = {"header": header | {"version": "5.3"}, "parent_header": {}, "metadata": {}, "content": content}
    return json.dumps(message | {"channel": "shell"})


class StubbornClient:
    """A WebSocket client that does not answer when the other side closes, and goes on sending (RFC 6455 §5)."""

    def __init__(self, server: Notebook, path: str, token: str) -> None:
        host, port = server.url.split("/")[2].split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._file = self._socket.makefile("rb")
        lines = [
            f"GET /user/eve/api/{path} HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            f"Authorization: token {token}",
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        assert b" 101 " in self._file.readline()
        while self._file.readline() != b"\r\n":
            pass

    def send(self, text: str) -> None:
        data = text.encode()
        mask = os.urandom(4)
        assert 125 < len(data) < 65536
        frame = struct.pack("!BBH", 0x81, 0x80 | 126, len(data)) + mask
        self._socket.sendall(frame + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))

    def until_close_frame(self) -> int:
        """The code in the other side's close frame."""
        while True:
            first, length = self._file.read(2)
            if length == 126:
                (length,) = struct.unpack("!H", self._file.read(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self._file.read(8))
            data = self._file.read(length)
            if first & 0x0F == 8:
                return int(struct.unpack("!H", data[:2])[0])

    def close(self) -> None:
        self._file.close()
        self._socket.close()


async def test_a_client_that_ignores_the_closing_runs_nothing(
    server: Notebook, hub: TokenHub, container: Container
) -> None:
    def written() -> str:
        return str(container.exec_run(["cat", f"/tmp/{kernel}"]).output.decode())

    kernel = server.start_kernel()
    leaving = hub.add()
    client = StubbornClient(server, f"kernels/{kernel}/channels", leaving)
    client.send(execute_request(f"open('/tmp/{kernel}', 'a').write('before')"))
    wait_until(lambda: written() == "before", what="the kernel runs what the client sends")
    del hub.tokens[leaving]
    recheck(server)
    assert client.until_close_frame() == SIGNED_OUT
    client.send(execute_request(f"open('/tmp/{kernel}', 'a').write('after')"))
    # What comes later from elsewhere is run, so this one would have been.
    await server.execute(kernel, f"open('/tmp/{kernel}', 'a').write('!')")
    time.sleep(1)
    assert written() == "before!"
    client.close()


@pytest.mark.parametrize("scopes", [None, [], ["access:servers!server=bob/"], ["read:users"]])
def test_only_who_may_use_the_server_may_ask(server: Notebook, hub: TokenHub, scopes: list[str] | None) -> None:
    headers = {}
    if scopes is not None:
        token = hub.add()
        hub.tokens[token] = scopes
        headers["Authorization"] = f"token {token}"
    response = requests.post(f"{server.url}/api/sign-on/recheck", headers=headers, timeout=20)
    assert response.status_code == 403


def test_it_is_no_activity(server: Notebook) -> None:
    def last_activity() -> str:
        return str(server.request("GET", "status").json()["last_activity"])

    server.request("GET", "contents")
    before = last_activity()
    recheck(server)
    assert last_activity() == before
    server.request("GET", "contents")
    assert last_activity() > before


def test_no_token_is_in_the_log(hub: TokenHub, container: Container) -> None:
    log = container.logs().decode()
    assert "Closed 3 connections" in log
    assert not [token for token in hub.tokens if token in log]
