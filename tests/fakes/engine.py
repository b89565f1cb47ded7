"""A Docker Engine in memory, which misbehaves on demand.

It speaks the part of the Engine API that the spawner uses, on a unix socket, from a thread of its own: docker-py's
blocking calls and the hub's event loop both meet it as they would meet the real one. A container that is started gets
a loopback address (127.x.y.z) and a small HTTP server there, so that the hub can reach it.

    with FakeEngine(directory) as engine:
        engine.images.add("site/image:1")
        engine.fault("create", Refuse(500, "no space left on device"))
        engine.boots["sciserver-…"] = Boot(dies=1, log=["ImportError: …"])
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import random
import re
import secrets
import struct
import tarfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import unquote

from aiohttp import web

API_VERSION = "1.47"


@dataclass(frozen=True)
class Slow:
    """The engine takes `seconds` more."""

    seconds: float


@dataclass(frozen=True)
class Hung:
    """The engine takes the request and never answers."""


@dataclass(frozen=True)
class Refuse:
    """The engine answers with an error."""

    status: int = 500
    message: str = "fake: internal error"


Fault = Slow | Hung | Refuse


@dataclass(frozen=True)
class Boot:
    """How a container behaves once it is started.

    `dies` is the exit code with which it ends after `delay` seconds, instead of serving; `status` is what its server
    answers; one that `hangs` accepts connections and says nothing; one that is not `listening` accepts none.
    """

    delay: float = 0.0
    dies: int | None = None
    out_of_memory: bool = False
    log: tuple[str, ...] = ()
    status: int = 200
    hangs: bool = False
    listening: bool = True


@dataclass(frozen=True)
class Request:
    """One request that the engine got: `operation` is our name for the endpoint."""

    operation: str
    target: str
    query: dict[str, str]
    body: Any


@dataclass
class FakeContainer:
    id: str
    name: str
    spec: dict[str, Any]
    boot: Boot
    address: str
    status: str = "created"
    exit_code: int = 0
    out_of_memory: bool = False
    files: dict[str, tuple[tarfile.TarInfo, bytes]] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None
    life: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self.status == "running"

    @property
    def environment(self) -> dict[str, str]:
        return dict(item.split("=", 1) for item in self.spec.get("Env") or [])

    @property
    def labels(self) -> dict[str, str]:
        return self.spec.get("Labels") or {}

    def record(self) -> dict[str, Any]:
        """What `docker inspect` shows."""
        network = self.spec["HostConfig"].get("NetworkMode") or "bridge"
        return {
            "Id": self.id,
            "Name": "/" + self.name,
            "Config": {key: value for key, value in self.spec.items() if key != "HostConfig"} | {"Tty": False},
            "HostConfig": self.spec["HostConfig"],
            "State": {
                "Status": self.status,
                "Running": self.running,
                "ExitCode": self.exit_code,
                "OOMKilled": self.out_of_memory,
                "Error": "",
                "FinishedAt": "",
            },
            "NetworkSettings": {"Networks": {network: {"IPAddress": self.address if self.running else ""}}},
        }


class FakeEngine:
    """See the module's text. Attributes may be changed at any time, from any thread.

    Attributes
    ----------
    images
        References that the engine has.
    registry
        References that it can pull, each with the lines that the pull reports; a string is the registry's refusal,
        None an answer that breaks off.
    networks
        Networks by name, as `docker network inspect` shows them.
    faults
        By operation, ``*`` for all: see `fault`.
    boots
        How a container behaves, by its name; `boot` for all others.
    requests
        Everything that was asked, in order.
    most_in_flight
        By operation, the most requests that were under way at a time.
    booting, most_booting
        Containers that are started and do not serve yet: now, and the most at a time.
    """

    def __init__(self, directory: Path, *, cpus: int = 2) -> None:
        self.socket = directory / "engine.sock"
        self.url = f"unix://{self.socket}"
        self.cpus = cpus
        self.images: set[str] = set()
        self.registry: dict[str, list[dict[str, Any]] | str | None] = {}
        self.networks: dict[str, dict[str, Any]] = {}
        self.faults: dict[str, list[tuple[str, Fault]]] = {}
        self.boots: dict[str, Boot] = {}
        self.boot = Boot()
        self.requests: list[Request] = []
        self.containers: dict[str, FakeContainer] = {}
        self.most_in_flight: dict[str, int] = {}
        self.booting = 0
        self.most_booting = 0
        self._in_flight: dict[str, int] = {}
        # A network of loopback addresses for this engine, so that two engines on a machine do not meet.
        self._network = f"127.{random.randint(16, 250)}.{random.randint(1, 250)}"
        self._hosts = itertools.cycle(range(2, 250))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-engine", daemon=True)
        self._runner: web.AppRunner | None = None

    # -- life

    def __enter__(self) -> FakeEngine:
        self._thread.start()
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        self._run(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def up(self) -> None:
        """Listen on the socket."""
        self._run(self._up())

    def down(self) -> None:
        """Stop listening and drop every connection, as when the daemon is killed. Containers run on."""
        self._run(self._down())

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=30)

    async def _up(self) -> None:
        app = web.Application(client_max_size=2**26)
        for method, path, operation, handler in self._routes():
            app.router.add_route(method, "/v{version}" + path, self._wrap(operation, handler))
            app.router.add_route(method, path, self._wrap(operation, handler))
        # Zero would mean for ever.
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await self._runner.setup()
        self.socket.unlink(missing_ok=True)
        await web.UnixSite(self._runner, str(self.socket)).start()

    async def _down(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self.socket.unlink(missing_ok=True)

    async def _finish(self) -> None:
        for container in list(self.containers.values()):
            await self._end(container, 137)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # -- what tests do to it

    def fault(self, operation: str, fault: Fault, *, on: str = "") -> None:
        """From now on `operation` (``*``: every one) misbehaves; with `on`, only where the target contains it."""
        self.faults.setdefault(operation, []).append((on, fault))

    def heal(self) -> None:
        """No more faults; requests that hang go on hanging, as with a real engine."""
        self.faults.clear()

    @contextmanager
    def faulty(self, operation: str, fault: Fault, *, on: str = "") -> Iterator[None]:
        """`fault` while the block runs."""
        self.fault(operation, fault, on=on)
        try:
            yield
        finally:
            self.heal()

    def lose(self, name: str) -> None:
        """Somebody removes a container by hand."""
        self._run(self._remove(self.named(name)))

    def kill(self, name: str, exit_code: int = 137) -> None:
        """The container's main process ends."""
        self._run(self._end(self.named(name), exit_code))

    def place(self, name: str, image: str = "old", *, running: bool = True) -> str:
        """Put a container there that no hub asked for; returns its id."""

        async def put() -> str:
            spec = {"Image": image, "HostConfig": {}, "ExposedPorts": {}, "Env": []}
            container = self._new(name, spec)
            container.status = "running" if running else "exited"
            return container.id

        return str(self._run(put()))

    def named(self, name: str) -> FakeContainer:
        """The container called `name` (or with this id).

        Raises
        ------
        KeyError
            There is none.
        """
        for container in list(self.containers.values()):
            if name in {container.name, container.id}:
                return container
        raise KeyError(name)

    @property
    def names(self) -> set[str]:
        """Names of all containers."""
        return {container.name for container in list(self.containers.values())}

    def asked(self, operation: str, target: str = "") -> list[Request]:
        """Requests for `operation` so far, those whose target contains `target`."""
        return [item for item in list(self.requests) if item.operation == operation and target in item.target]

    @property
    def operations(self) -> list[str]:
        """Operations so far, in order."""
        return [item.operation for item in list(self.requests)]

    # -- HTTP

    def _routes(self) -> list[tuple[str, str, str, Any]]:
        container = "/containers/{id}"
        return [
            ("GET", "/_ping", "ping", self._ping),
            ("GET", "/version", "version", self._version),
            ("GET", "/info", "info", self._info),
            ("POST", "/containers/create", "create", self._create),
            ("POST", f"{container}/start", "start", self._start),
            ("POST", f"{container}/stop", "stop", self._stop),
            ("POST", f"{container}/kill", "kill", self._kill),
            ("POST", f"{container}/wait", "wait", self._wait),
            ("GET", f"{container}/json", "inspect", self._inspect),
            ("GET", f"{container}/logs", "logs", self._logs),
            ("PUT", f"{container}/archive", "archive", self._archive),
            ("DELETE", container, "remove", self._delete),
            ("GET", "/images/{name:.+}/json", "inspect_image", self._inspect_image),
            ("POST", "/images/create", "pull", self._pull),
            ("GET", "/networks/{name}", "inspect_network", self._inspect_network),
            ("POST", "/networks/create", "create_network", self._create_network),
        ]

    def _wrap(self, operation: str, handler: Any) -> Any:
        async def handle(http: web.Request) -> web.StreamResponse:
            body: Any = await http.read()
            if http.content_type == "application/json" and body:
                body = json.loads(body)
            query = dict(http.query)
            target = unquote(http.match_info.get("id") or http.match_info.get("name") or query.get("name", ""))
            target = target or query.get("fromImage", "")
            if target in self.containers:
                target = self.containers[target].name
            request = Request(operation, target, query, body)
            self.requests.append(request)
            async with self._counted(operation):
                for on, fault in self.faults.get(operation, []) + self.faults.get("*", []):
                    if on not in target:
                        continue
                    if isinstance(fault, Refuse):
                        return _error(fault.status, fault.message)
                    await asyncio.sleep(fault.seconds if isinstance(fault, Slow) else 3600)
                if "id" not in http.match_info:
                    return await handler(http, request)
                try:
                    container = self.named(http.match_info["id"])
                except KeyError:
                    return _error(404, f"No such container: {target}")
                return await handler(container, request)

        return handle

    @asynccontextmanager
    async def _counted(self, operation: str) -> AsyncIterator[None]:
        self._in_flight[operation] = now = self._in_flight.get(operation, 0) + 1
        self.most_in_flight[operation] = max(now, self.most_in_flight.get(operation, 0))
        try:
            yield
        finally:
            self._in_flight[operation] -= 1

    async def _ping(self, _http: web.Request, _request: Request) -> web.Response:
        return web.Response(text="OK")

    async def _version(self, _http: web.Request, _request: Request) -> web.Response:
        return web.json_response({"Version": "fake", "ApiVersion": API_VERSION, "MinAPIVersion": "1.24"})

    async def _info(self, _http: web.Request, _request: Request) -> web.Response:
        return web.json_response({"NCPU": self.cpus, "MemTotal": 2**33, "ServerVersion": "fake"})

    async def _create(self, _http: web.Request, request: Request) -> web.Response:
        name = request.query.get("name") or secrets.token_hex(8)
        if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", name):
            return _error(400, f"Invalid container name ({name})")
        if request.body["Image"] not in self.images:
            return _error(404, f"No such image: {request.body['Image']}")
        if name in self.names:
            return _error(409, f'Conflict. The container name "/{name}" is already in use by another container.')
        container = self._new(name, request.body)
        return web.json_response({"Id": container.id, "Warnings": []}, status=201)

    def _new(self, name: str, spec: dict[str, Any]) -> FakeContainer:
        boot = self.boots.get(name, self.boot)
        container = FakeContainer(secrets.token_hex(32), name, spec, boot, f"{self._network}.{next(self._hosts)}")
        self.containers[container.id] = container
        return container

    async def _start(self, container: FakeContainer, _request: Request) -> web.Response:
        if container.running:
            return web.Response(status=304)
        container.status = "running"
        container.life = asyncio.create_task(self._live(container))
        return web.Response(status=204)

    async def _live(self, container: FakeContainer) -> None:
        """The container's main process: Jupyter Server, or the command that makes users' directories."""
        boot = container.boot
        if (container.spec.get("Entrypoint") or [""])[0] == "install":
            code = boot.dies or 0
            if not code:
                _make_directories(container.spec)
            asyncio.create_task(self._end(container, code))  # noqa: RUF006 - it ends this very task
            return
        self.booting += 1
        self.most_booting = max(self.most_booting, self.booting)
        try:
            await asyncio.sleep(boot.delay)
        finally:
            self.booting -= 1
        if boot.dies is not None:
            container.out_of_memory = boot.out_of_memory
            asyncio.create_task(self._end(container, boot.dies))  # noqa: RUF006
        elif boot.listening:
            port = int(next(iter(container.spec["ExposedPorts"])).partition("/")[0])
            container.server = await asyncio.start_server(
                lambda reader, writer: self._serve(container, reader, writer), container.address, port
            )

    async def _serve(self, container: FakeContainer, reader: Any, writer: Any) -> None:
        """Answer one request like a notebook server; the body tells which container it was."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if container.boot.hangs:
                await container.ended.wait()
                return
            path = head.split()[1]
            inside = path.startswith(container.environment.get("JUPYTERHUB_SERVICE_PREFIX", "/"))
            status = container.boot.status if inside else 404
            body = json.dumps({"container": container.id, "path": path}).encode()
            writer.write(
                f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nX-JupyterHub-Version: 6.1.1\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _end(self, container: FakeContainer, exit_code: int) -> None:
        if not container.running:
            return
        container.status, container.exit_code = "exited", exit_code
        if container.life is not None:
            container.life.cancel()
        if container.server is not None:
            container.server.close()
        container.ended.set()

    async def _stop(self, container: FakeContainer, _request: Request) -> web.Response:
        if not container.running:
            return web.Response(status=304)
        await self._end(container, 0)
        return web.Response(status=204)

    async def _kill(self, container: FakeContainer, _request: Request) -> web.Response:
        if not container.running:
            return _error(409, f"Container {container.id} is not running")
        await self._end(container, 137)
        return web.Response(status=204)

    async def _wait(self, container: FakeContainer, _request: Request) -> web.Response:
        await container.ended.wait()
        return web.json_response({"StatusCode": container.exit_code, "Error": None})

    async def _inspect(self, container: FakeContainer, _request: Request) -> web.Response:
        return web.json_response(container.record())

    async def _logs(self, container: FakeContainer, request: Request) -> web.Response:
        # A server may write its environment: "$NAME" in a line stands for a variable.
        lines = [Template(line).safe_substitute(container.environment) for line in container.boot.log]
        if request.query.get("tail", "all") != "all":
            lines = lines[-int(request.query["tail"]) :]
        # As of a container without a terminal: frames of stream number and length.
        frames = [struct.pack(">BxxxL", 2, len(line.encode()) + 1) + line.encode() + b"\n" for line in lines]
        return web.Response(body=b"".join(frames), content_type="application/vnd.docker.multiplexed-stream")

    async def _archive(self, container: FakeContainer, request: Request) -> web.Response:
        with tarfile.open(fileobj=io.BytesIO(request.body)) as tar:
            for member in tar.getmembers():
                content = tar.extractfile(member)
                path = str(Path(request.query["path"]) / member.name)
                container.files[path] = (member, content.read() if content else b"")
        return web.Response()

    async def _delete(self, container: FakeContainer, request: Request) -> web.Response:
        if container.running and request.query.get("force") not in {"1", "True", "true"}:
            return _error(409, f"cannot remove container {container.name}: container is running")
        await self._remove(container)
        return web.Response(status=204)

    async def _remove(self, container: FakeContainer) -> None:
        await self._end(container, 137)
        self.containers.pop(container.id, None)

    async def _inspect_image(self, _http: web.Request, request: Request) -> web.Response:
        if request.target not in self.images:
            return _error(404, f"No such image: {request.target}")
        return web.json_response({"Id": "sha256:0", "Config": {"Cmd": ["jupyterhub-singleuser"]}})

    async def _pull(self, http: web.Request, request: Request) -> web.StreamResponse:
        image = f"{request.query['fromImage']}:{request.query['tag']}"
        lines = self.registry.get(image, f"pull access denied for {image}, repository does not exist")
        if isinstance(lines, str):
            return _error(404, lines)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(http)
        for line in lines or [{"status": "Pulling from fake", "id": "1"}]:
            await response.write(json.dumps(line).encode() + b"\r\n")
            await asyncio.sleep(0.01)
        if lines is None:
            assert http.transport is not None
            http.transport.abort()
        elif not any("error" in line for line in lines):
            self.images.add(image)
        await response.write_eof()
        return response

    async def _inspect_network(self, _http: web.Request, request: Request) -> web.Response:
        if request.target not in self.networks:
            return _error(404, f"network {request.target} not found")
        return web.json_response(self.networks[request.target])

    async def _create_network(self, _http: web.Request, request: Request) -> web.Response:
        name = request.body["Name"]
        if name in self.networks:
            return _error(409, f"network with name {name} already exists")
        gateway = f"172.{18 + len(self.networks)}.0.1"
        self.networks[name] = request.body | {"IPAM": {"Config": [{"Gateway": gateway}]}}
        return web.json_response({"Id": secrets.token_hex(32)}, status=201)


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)


def _make_directories(spec: dict[str, Any]) -> None:
    """What ``install -d`` of the helper container does to the directories that it sees."""
    binds = dict(reversed(bind.split(":")[:2]) for bind in spec["HostConfig"].get("Binds") or [])
    for target in spec["Cmd"]:
        for inside, outside in binds.items():
            if target.startswith(inside + "/"):
                (Path(outside) / target.removeprefix(inside + "/")).mkdir(mode=0o700, parents=True, exist_ok=True)
