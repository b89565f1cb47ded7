"""A real JupyterHub with the spawner under test, in the test's own event loop.

The only place that knows JupyterHub's test helpers (`jupyterhub.tests.mocking`), which are no public interface.
Sign-on is the helpers' own: any name with itself as the password.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
from jupyterhub import orm
from jupyterhub.tests.mocking import MockHub
from jupyterhub.tests.utils import add_user, public_url
from prometheus_client import REGISTRY
from traitlets.config import Config

from sciserver_common.deployment import proxy_command
from sciserver_spawner.naming import container_name
from tests.fakes.engine import FakeContainer, FakeEngine
from tests.support import free_port

DEPLOYMENT = "test"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    text: str
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def message(self) -> str:
        """What the API says went wrong."""
        return str(self.json["message"])


class Hub:
    """A running hub and the requests that tests make to it."""

    def __init__(self, app: Any, engine: FakeEngine, session: aiohttp.ClientSession) -> None:
        self.app = app
        self.engine = engine
        self._session = session

    @property
    def url(self) -> str:
        """The public address, with a slash at its end."""
        return str(public_url(self.app))

    # -- people

    def user(self, name: str, *, admin: bool = False) -> Any:
        """The user called `name`, made where there is none."""
        rights = {"admin": True} if admin else {}
        return add_user(self.app.db, self.app, name=name, **rights)

    def token(self, name: str, **kwargs: Any) -> str:
        """A new API token of a user, with all of the user's rights."""
        return str(self.user(name).new_api_token(**kwargs))

    def spawner(self, name: str, server: str = "") -> Any:
        return self.user(name).spawners[server]

    # -- requests

    async def fetch(self, method: str, url: str, **kwargs: Any) -> Answer:
        """One request, without following redirections."""
        async with self._session.request(method, url, allow_redirects=False, **kwargs) as response:
            return Answer(response.status, await response.text(), response.headers)

    async def api(self, method: str, path: str, token: str, body: Any = None) -> Answer:
        """One request to the REST API."""
        headers = {"Authorization": f"token {token}"}
        return await self.fetch(method, f"{self.url}hub/api{path}", headers=headers, json=body)

    async def start(self, name: str, server: str = "", **options: Any) -> Answer:
        """Start a server as its user would: 201 is running, 202 still starting, others failed."""
        body = {"user_options": options} if options else None
        return await self.api("POST", _server_path(name, server), self.token(name), body)

    async def stop(self, name: str, server: str = "") -> Answer:
        return await self.api("DELETE", _server_path(name, server), self.token(name))

    async def progress(self, name: str) -> list[dict[str, Any]]:
        """All events of the page that a user sees while the server starts."""
        answer = await self.api("GET", f"/users/{name}/server/progress", self.token(name))
        assert answer.status == 200, answer.text
        return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]

    async def served_by(self, name: str, server: str = "") -> str:
        """Id of the container that answers at the user's public address."""
        path = f"user/{name}/{server}/api" if server else f"user/{name}/api"
        answer = await self.fetch("GET", self.url + path)
        assert answer.status == 200, answer.text
        return str(answer.json["container"])

    async def page(self, name: str, path: str) -> Answer:
        """A page as the signed-in user's browser gets it."""
        jar = await self.app.login_user(name)
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
        return await self.fetch("GET", self.url + path, headers={"Cookie": cookies, "Sec-Fetch-Mode": "navigate"})

    # -- what is to be seen

    def container(self, name: str, server: str = "") -> FakeContainer:
        """The engine's container of a user's server."""
        return self.engine.named(container_name(DEPLOYMENT, name, server))

    async def runs(self, name: str) -> bool:
        """Whether the hub says that the user's server is ready."""
        answer = await self.api("GET", f"/users/{name}", self.token(name))
        return bool(answer.json["servers"].get("", {}).get("ready"))

    def slow_after(self, seconds: float) -> Any:
        """A context in which a start is answered with "pending" after `seconds`."""
        return mock.patch.dict(self.app.tornado_settings, {"slow_spawn_timeout": seconds})

    async def clear(self) -> None:
        """Stop all servers and forget their users."""
        self.engine.heal()
        for orm_user in list(self.app.db.query(orm.User)):
            user = self.app.users[orm_user]
            for name, spawner in list(user.spawners.items()):
                if spawner.pending == "spawn" and spawner._spawn_future:
                    spawner._spawn_future.cancel()
                    await asyncio.wait([spawner._spawn_future])
                if spawner.active:
                    await self.app.proxy.delete_user(user, name)
                    await user.stop(name)
            self.app.users.delete(user.id)
        self.app.db.commit()

    async def kill(self) -> None:
        """End as a killed process does: nothing is stopped, told or written. The proxy dies too."""
        await self.app.shutdown_cancel_tasks()
        for user in list(self.app.users.values()):
            for spawner in user.spawners.values():
                spawner.stop_polling()
        for callback in ("_check_routes_callback", "last_activity_callback"):
            if getattr(self.app, callback, None):
                getattr(self.app, callback).stop()
        if self.app.http_server:
            self.app.http_server.stop()
        await stop_proxy(self.app)


async def stop_proxy(app: Any) -> None:
    """End the hub's proxy and reap it."""
    process = getattr(app.proxy, "proxy_process", None)
    app.proxy.stop()
    if process is not None:
        await asyncio.to_thread(process.wait, 10)


def hub_config(engine: FakeEngine, **spawner: Any) -> Config:
    """Configuration of a hub whose users' containers are on `engine`."""
    config = Config()
    config.JupyterHub.spawner_class = "sciserver"
    config.JupyterHub.allow_named_servers = True
    config.JupyterHub.cleanup_servers = False
    config.JupyterHub.log_level = "INFO"
    # Else it is written to the working directory. The same for each hub, as after a restart.
    config.JupyterHub.cookie_secret = b"\0" * 32
    # By default the helpers take any that are free at the moment.
    config.JupyterHub.bind_url = f"http://127.0.0.1:{free_port()}/@/space%20word/"
    config.JupyterHub.hub_port = free_port()
    config.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{free_port()}"
    config.ConfigurableHTTPProxy.command = proxy_command()
    # By default a file in the working directory, through which two hubs end each other's proxies.
    config.ConfigurableHTTPProxy.pid_file = str(engine.socket.with_name("proxy.pid"))
    config.Spawner.consecutive_failure_limit = 0
    # A start that is not told as "pending" has come to its end, however long a busy machine needs for it.
    config.JupyterHub.tornado_settings = {"slow_spawn_timeout": 60, "slow_stop_timeout": 60}
    config.Spawner.http_timeout = 60
    settings = {
        "engine_url": engine.url,
        "deployment_id": DEPLOYMENT,
        "network_name": "sciserver-test",
        # Each container has an address of its own, so that one port does for all.
        "port": free_port(),
        "images": [
            {"name": "python", "image": "site/python:1", "title": "Python"},
            {"name": "r", "image": "site/r:1", "title": "R"},
            {"name": "missing", "image": "site/missing:1", "title": "Missing"},
            {"name": "unbuilt", "image": "sciserver/unbuilt:1", "title": "Unbuilt"},
        ],
        "client_settings": {"AuthenticationURL": "http://portal/keystone/v3/tokens"},
        "concurrent_boots": 100,
    }
    for key, value in {**settings, **spawner}.items():
        setattr(config.SciServerSpawner, key, value)
    return config


def client_session() -> aiohttp.ClientSession:
    """With a connection for each request: the proxy closes idle ones after 5 seconds, maybe as the next one begins."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))


@asynccontextmanager
async def running_hub(engine: FakeEngine, config: Config, database: Path) -> AsyncIterator[Hub]:
    """A hub on a database that may be an earlier hub's."""
    MockHub.clear_instance()
    with mock.patch.dict("os.environ", {"JUPYTERHUB_TEST_DB_URL": f"sqlite:///{database}"}):
        app = MockHub.instance(config=config, test_clean_db=False)
        await app.initialize([])
    async with client_session() as session:
        hub = Hub(app, engine, session)
        try:
            await app.start()
            yield hub
        finally:
            # pytest closes the captured streams before the hub's last words.
            app.log.handlers = []
            await hub.kill()
            app.db.close()
            app.db_file.close()
            Path(app.pid_file).unlink(missing_ok=True)
            MockHub.clear_instance()


def failures(reason: str, status: str = "failure") -> float:
    """How many starts the hub's metrics count as failed for `reason`."""
    labels = {"status": status, "reason": reason}
    return REGISTRY.get_sample_value("jupyterhub_server_spawn_duration_seconds_count", labels) or 0


async def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for something that happens in the background; the bound is for a test that fails."""
    async with asyncio.timeout(seconds):
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.02)


def _server_path(name: str, server: str) -> str:
    return f"/users/{name}/servers/{server}" if server else f"/users/{name}/server"
