"""What it costs a service to know who sends a request: our check, JupyterHub's own, and asking the hub each time.

Method
------
One real hub with 1,000 users, each with a token, and three real services, each a Tornado process of its own:

- *ask the hub* asks ``/hub/api/user`` at each request, without blocking: JupyterHub's `HubOAuth` without its cache;
- *stock* is JupyterHub's `HubOAuthenticated` with `HubOAuth` as its documentation shows it, with its own cache of
  300 seconds;
- *ours* is a `ServiceHandler` with a `ServiceAuth`, as the platform's services have it: it finds the token in any
  header, checks the scope of the method, and watches the hub's changes.

Each service has seen every token once before anything counts. Then the sides take turns, and who goes first changes:
in each round a side gets one request with each token, in a random order, one after the other on one connection.

- *check* is timed inside the service: from the handler's start until it is known who is calling and that they may.
- *request* is timed by the client: from sending the request until the answer is read. *no check* is the same request
  to a handler that lets everybody in.

How soon a revoked token is refused counts from the hub's answer to the request that revokes it. With stock this is the
age of its cache: one token is used, revoked, and tried once a second until it is refused.

The hub signs people in with JupyterHub's test authenticator, which adds no work of its own to a check at the hub.
Processes and files are removed at the end, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import logging
import os
import random
import secrets
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from jupyterhub.services.auth import HubOAuth, HubOAuthenticated
from tornado import web

from sciserver_common.deployment import proxy_command
from sciserver_common.handlers import ServiceHandler, needs
from sciserver_common.hub_auth import ServiceAuth
from sciserver_common.scopes import CASJOBS_QUERY, CASJOBS_WRITE

HUB, STOCK, OURS = "ask the hub", "stock", "ours"
SIDES = (HUB, STOCK, OURS)
NO_CHECK = "no check"

PROGRAM = str(Path(__file__).resolve())

GOAL = 0.3e-3
"""Seconds: median of our check, for a token that the service has seen."""

GIVE_UP = 60.0
"""Seconds within which a process must start, and one of our revocations must be felt."""

STOCK_GIVE_UP = 330.0
"""The same for stock, whose cache lives for 300 seconds."""

_HUB_CONFIG = """
from jupyterhub.auth import DummyAuthenticator
from sciserver_auth import changes
from sciserver_common import scopes

class Authenticator(DummyAuthenticator):
    def get_handlers(self, app):
        self.changes = changes.Changes(app)
        return [*super().get_handlers(app), *changes.default_handlers]

c = get_config()
c.JupyterHub.authenticator_class = Authenticator
c.Authenticator.allow_all = True
c.JupyterHub.bind_url = {public_url!r}
c.JupyterHub.hub_bind_url = {hub_url!r}
c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "cookie_secret"
c.JupyterHub.cleanup_proxy = True
c.ConfigurableHTTPProxy.api_url = {proxy_api_url!r}
c.ConfigurableHTTPProxy.command = {proxy_command!r}
c.ConfigurableHTTPProxy.pid_file = "proxy.pid"
c.JupyterHub.custom_scopes = scopes.SCOPES
c.JupyterHub.extra_user_scopes = scopes.USER_SCOPES
c.JupyterHub.services = [
    {{"name": "casjobs", "api_token": {service_token!r}}},
    {{"name": "benchmark", "api_token": {token!r}}},
]
c.JupyterHub.load_roles = [
    {{"name": "watchers", "services": ["casjobs"], "scopes": [scopes.SIGN_ON_WATCH]}},
    {{"name": "benchmark", "services": ["benchmark"], "scopes": ["admin:users", "tokens"]}},
]
c.JupyterHub.log_level = "WARN"
"""


class BenchmarkError(Exception):
    """The comparison cannot be made here; the text says why."""


# -- the services


class Nothing(web.RequestHandler):
    """The cost of a request itself."""

    def get(self) -> None:
        self.write({})


class Timings(web.RequestHandler):
    """Seconds of each check since the last question."""

    def get(self) -> None:
        taken = self.settings["timings"][:]
        self.settings["timings"].clear()
        self.write({"timings": taken})


class AskTheHub(web.RequestHandler):
    """Asks the hub at each request."""

    async def get(self) -> None:
        began = time.perf_counter()
        auth = self.settings["hub_auth"]
        model = await auth.user_for_token(auth.get_token(self, in_cookie=False), use_cache=False, sync=False)
        if model is None or not auth.check_scopes({CASJOBS_QUERY}, model):
            raise web.HTTPError(403)
        self.settings["timings"].append(time.perf_counter() - began)
        self.write({"name": model["name"]})


class StockCheck(HubOAuthenticated, web.RequestHandler):
    """As JupyterHub's documentation has it."""

    hub_scopes = {CASJOBS_QUERY}

    def initialize(self) -> None:
        self.hub_auth = self.settings["hub_auth"]

    def get_login_url(self) -> str:
        raise web.HTTPError(403)

    def prepare(self) -> None:
        # `current_user` is where the check happens, also when `web.authenticated` asks for it.
        began = time.perf_counter()
        if self.current_user is not None:
            self.settings["timings"].append(time.perf_counter() - began)

    @web.authenticated
    def get(self) -> None:
        self.write({"name": self.current_user["name"]})


class OurCheck(ServiceHandler):
    """As the platform's services have it."""

    @needs(CASJOBS_QUERY)
    def get(self) -> None:
        assert self.current_user
        self.write({"name": self.current_user["name"]})


def _timed(prepare: Callable[[Any], Any]) -> Callable[[Any], Any]:
    async def timed(handler: web.RequestHandler) -> None:
        began = time.perf_counter()
        await prepare(handler)
        handler.settings["timings"].append(time.perf_counter() - began)

    return timed


async def serve(side: str, settings: dict[str, Any]) -> None:
    """Run the service of one side until it is ended."""
    logging.basicConfig(level=logging.ERROR)
    options = {
        "api_url": settings["api_url"],
        "api_token": settings["service_token"],
        "base_url": "/services/casjobs/",
        "oauth_client_id": "service-casjobs",
    }
    auth = ServiceAuth(**options) if side == OURS else HubOAuth(**options)
    # A handler's class refuses another `prepare`; here the whole of it is what is measured.
    OurCheck.prepare = _timed(OurCheck.prepare)  # type: ignore[method-assign]
    check = {HUB: AskTheHub, STOCK: StockCheck, OURS: OurCheck}[side]
    application = web.Application(
        [("/check", check), ("/nothing", Nothing), ("/timings", Timings)],
        hub_auth=auth,
        timings=[],
        cookie_secret=secrets.token_hex(32),
    )
    application.listen(settings["ports"][side], "127.0.0.1")
    if isinstance(auth, ServiceAuth):
        auth.start()
    await asyncio.Event().wait()


# -- the client


@dataclass
class Token:
    """A token, and what the hub calls it."""

    user: str
    id: str
    value: str


class Platform:
    """A hub with users, and the services. Everything is gone when the context ends.

    Parameters
    ----------
    home
        Directory for everything that the processes write.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports = {side: _free_port() for side in SIDES}
        self._hub_url = f"http://127.0.0.1:{_free_port()}"
        self._token, self._service_token = secrets.token_hex(16), secrets.token_hex(16)
        self._processes: list[asyncio.subprocess.Process] = []
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Platform:
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._close()

    async def _open(self) -> None:
        config = self.home / "jupyterhub_config.py"
        config.write_text(
            _HUB_CONFIG.format(
                public_url=f"http://127.0.0.1:{_free_port()}",
                hub_url=self._hub_url,
                proxy_api_url=f"http://127.0.0.1:{_free_port()}",
                proxy_command=proxy_command(),
                service_token=self._service_token,
                token=self._token,
            )
        )
        settings = self.home / "services.json"
        settings.write_text(
            json.dumps(
                {"api_url": f"{self._hub_url}/hub/api", "service_token": self._service_token, "ports": self.ports}
            )
        )
        timeout = aiohttp.ClientTimeout(total=60)
        self._sessions["hub"] = aiohttp.ClientSession(
            self._hub_url, headers={"Authorization": f"token {self._token}"}, timeout=timeout
        )
        await self._start("hub", "-m", "jupyterhub", "-f", str(config))
        await self._wait_for("hub", "/hub/health")
        for side in SIDES:
            self._sessions[side] = aiohttp.ClientSession(f"http://127.0.0.1:{self.ports[side]}", timeout=timeout)
            await self._start(side, PROGRAM, "--serve", side, "--settings", str(settings))
            await self._wait_for(side, "/nothing")

    async def _start(self, name: str, *arguments: str) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTERHUB_", "SCISERVER_"))}
        with (self.home / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, cwd=self.home, env=kept, stdout=log, stderr=log, start_new_session=True
            )
        self._processes.append(process)

    async def _wait_for(self, name: str, path: str) -> None:
        process = self._processes[-1]
        deadline = time.monotonic() + GIVE_UP
        while time.monotonic() < deadline and process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with self._sessions[name].get(path) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)
        log = (self.home / f"{name}.log").read_text(errors="replace")
        raise BenchmarkError(f"{name!r} did not start. Its last words:\n{log[-2000:]}")

    async def _close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 30)
            except TimeoutError:
                process.kill()
                await process.wait()
        # The proxy of a hub that had to be killed.
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.home / "proxy.pid").read_text()), signal.SIGTERM)

    async def add_users(self, names: Sequence[str]) -> None:
        """Make the accounts."""
        async with self._sessions["hub"].post("/hub/api/users", json={"usernames": list(names)}) as response:
            response.raise_for_status()

    async def new_token(self, user: str) -> Token:
        """Make a token of the user that may write, and so also query."""
        body = {"scopes": [CASJOBS_WRITE]}
        async with self._sessions["hub"].post(f"/hub/api/users/{user}/tokens", json=body) as response:
            response.raise_for_status()
            made = await response.json()
            return Token(user, made["id"], made["token"])

    async def revoke(self, token: Token) -> None:
        """Revoke a token; it is gone at the hub when this returns."""
        async with self._sessions["hub"].delete(f"/hub/api/users/{token.user}/tokens/{token.id}") as response:
            response.raise_for_status()

    async def request(self, side: str, token: Token, path: str = "/check") -> tuple[int, float]:
        """One request to a service: status and seconds."""
        began = time.perf_counter()
        async with self._sessions[side].get(path, headers={"Authorization": f"token {token.value}"}) as response:
            await response.read()
            return response.status, time.perf_counter() - began

    async def timings(self, side: str) -> list[float]:
        """Seconds of the checks since the last question, as the service measured them."""
        async with self._sessions[side].get("/timings") as response:
            taken: list[float] = (await response.json())["timings"]
            return taken


@contextlib.asynccontextmanager
async def _platform() -> AsyncIterator[Platform]:
    home = Path(tempfile.mkdtemp(prefix="auth-benchmark-"))
    try:
        async with Platform(home) as platform:
            yield platform
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def _one_round(platform: Platform, side: str, tokens: Sequence[Token]) -> list[float]:
    seconds = []
    for token in random.sample(tokens, len(tokens)):
        status, taken = await platform.request(side, token)
        if status != 200:
            raise BenchmarkError(f"{side!r} answers {status} for a token that is valid.")
        seconds.append(taken)
    return seconds


async def _until_refused(platform: Platform, side: str, user: str, *, pause: float, give_up: float) -> float | None:
    """Seconds from the revocation of a token that was used until the service refuses it; None: it never did."""
    token = await platform.new_token(user)
    status, _ = await platform.request(side, token)
    if status != 200:
        raise BenchmarkError(f"{side!r} answers {status} for a token that is valid.")
    await platform.revoke(token)
    began = time.perf_counter()
    while time.perf_counter() - began < give_up:
        status, _ = await platform.request(side, token)
        if status in {401, 403}:
            return time.perf_counter() - began
        await asyncio.sleep(pause)
    return None


async def measure(platform: Platform, *, users: int, rounds: int, revocations: int, stock: bool) -> dict[str, Any]:
    """All measurements, telling on standard error how they go."""
    names = [f"user{number}" for number in range(users)]
    _say(f"making {users} users with a token each")
    await platform.add_users(names)
    tokens = [token for start in range(0, users, 8) for token in await _new_tokens(platform, names[start : start + 8])]
    checks: dict[str, list[float]] = {side: [] for side in SIDES}
    requests: dict[str, list[float]] = {side: [] for side in (NO_CHECK, *SIDES)}
    loads = []
    for side in SIDES:
        _say(f"{side}: the first request with each token, which does not count")
        await _one_round(platform, side, tokens)
        await platform.timings(side)
    for turn in range(rounds):
        for side in SIDES[turn % len(SIDES) :] + SIDES[: turn % len(SIDES)]:
            loads.append(os.getloadavg()[0])
            taken = await _one_round(platform, side, tokens)
            requests[side] += taken
            checks[side] += await platform.timings(side)
            _say(f"round {turn + 1}/{rounds} {side}: {1000 * statistics.median(taken):.2f} ms")
        requests[NO_CHECK] += [(await platform.request(OURS, token, "/nothing"))[1] for token in tokens]
    # A token that stock keeps, while the others wait for theirs to be refused.
    waiting = asyncio.create_task(_until_refused(platform, STOCK, names[0], pause=1.0, give_up=STOCK_GIVE_UP))
    if not stock:
        waiting.cancel()
    refused: dict[str, list[float | None]] = {side: [] for side in SIDES}
    for number in range(revocations):
        for side in (HUB, OURS):
            user = names[number % users]
            refused[side].append(await _until_refused(platform, side, user, pause=0.002, give_up=GIVE_UP))
    if stock:
        _say("waiting for stock's cache to forget a revoked token: 300 seconds")
        refused[STOCK].append(await waiting)
    else:
        await asyncio.gather(waiting, return_exceptions=True)
    return {"checks": checks, "requests": requests, "refused": refused, "loads": loads, "users": users}


async def _new_tokens(platform: Platform, names: Sequence[str]) -> list[Token]:
    return list(await asyncio.gather(*map(platform.new_token, names)))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _percentile(values: Sequence[float], percent: int) -> float:
    """Interpolated, as numpy does by default."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def summary(values: Sequence[float]) -> dict[str, float | int]:
    """Figures of some durations, in the unit of the values."""
    return {
        "n": len(values),
        "median": statistics.median(values),
        "p95": _percentile(values, 95),
        "p99": _percentile(values, 99),
        "max": max(values),
    }


def report(measured: dict[str, Any]) -> dict[str, Any]:
    """All figures, as `--json` prints them."""
    return {
        "versions": {name: importlib.metadata.version(name) for name in ("jupyterhub", "tornado")},
        "users": measured["users"],
        "load": [min(measured["loads"]), max(measured["loads"])],
        "check_seconds": {side: summary(values) for side, values in measured["checks"].items()},
        "request_seconds": {side: summary(values) for side, values in measured["requests"].items()},
        "refused_after_seconds": measured["refused"],
    }


def goal(figures: dict[str, Any]) -> str:
    """What was aimed at, and whether it was reached."""
    ours = figures["check_seconds"][OURS]
    verdict = "reached" if ours["median"] <= GOAL else "MISSED"
    return (
        f"Goal {verdict}: our check of a token that was seen before takes at most {1000 * GOAL:g} ms (median): "
        f"it is {1000 * ours['median']:.3f} ms, and {1000 * ours['p95']:.3f} ms at the 95th percentile."
    )


def _print_table(figures: dict[str, Any]) -> None:
    versions, load = figures["versions"], figures["load"]
    print(
        f"Milliseconds. {figures['users']} users, {os.cpu_count()} CPUs, JupyterHub {versions['jupyterhub']},", end=""
    )
    print(f" Tornado {versions['tornado']}, load average {load[0]:.1f} to {load[1]:.1f}.")
    for key, title in (("check_seconds", "Check"), ("request_seconds", "Request")):
        print(f"\n{title:<16}{'n':>7}{'median':>10}{'p95':>10}{'p99':>10}{'max':>10}")
        for side, row in figures[key].items():
            times = "".join(f"{1000 * row[column]:>10.3f}" for column in ("median", "p95", "p99", "max"))
            print(f"  {side:<14}{row['n']:>7}{times}")
    print(f"\n{'Refused after, s':<16}{'n':>7}{'median':>10}{'max':>10}")
    for side, values in figures["refused_after_seconds"].items():
        times = [value for value in values if value is not None]
        never = f"  {len(values) - len(times)} never within the time" if len(times) < len(values) else ""
        if times:
            print(f"  {side:<14}{len(values):>7}{statistics.median(times):>10.3f}{max(times):>10.3f}{never}")
        else:
            print(f"  {side:<14}{len(values):>7}{'-':>10}{'-':>10}{never}")
    print(f"\n{goal(figures)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--users", type=int, default=1000, help="users, each with a token (default: 1000)")
    parser.add_argument("--rounds", type=int, default=3, help="requests with each token and side (default: 3)")
    parser.add_argument("--revocations", type=int, default=20, help="tokens revoked, of ours (default: 20)")
    parser.add_argument("--skip-stock-revocation", action="store_true", help="do not wait 300 s for stock's cache")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON instead of a table")
    # How this program starts its services.
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--settings", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    task = asyncio.current_task()
    assert task
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with _platform() as platform:
        return await measure(
            platform,
            users=arguments.users,
            rounds=arguments.rounds,
            revocations=arguments.revocations,
            stock=not arguments.skip_stock_revocation,
        )


def main() -> int:
    """Measure and print; 0 whether or not the goal is reached."""
    arguments = _arguments()
    if arguments.serve:
        asyncio.run(serve(arguments.serve, json.loads(arguments.settings.read_text())))
        return 0
    try:
        figures = report(asyncio.run(_run(arguments)))
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Interrupted; everything that ran is removed.", file=sys.stderr)
        return 130
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        _print_table(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
