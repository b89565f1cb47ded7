"""How long a server takes from the request to its first answer: stock DockerSpawner and ours, side by side.

Method
------
Three real hubs run at the same time, each with a proxy, a SQLite database, a directory and a Docker network of its
own, on the same engine and with the same image, memory limit and CPU limit:

- *stock* is `DockerSpawner` as a careful operator sets it up from its documentation: a network of its own,
  ``use_internal_ip``, ``remove``, the image's own command, generous time limits. It mounts no volumes and hardens
  nothing, so it has less to do than ours. The image's own command is JupyterHub's ``jupyterhub-singleuser``.
- *stock, our command* is the same, but its servers are started by the command that our menu names for the image
  (``sciserver-singleuser``): how much of the difference is the command's, how much the spawner's?
- *ours* is this checkout's `jupyterhub_config.py`, with the sign-on and the portal left out.

A start is timed as a browser would see it, through the proxy: from the request until the hub's progress events say
that the server is ready *and* the server itself answers ``/user/<name>/api`` with 200. Each hub first makes one start
that does not count, so that caches are warm on all sides. Then

- one at a time: the sides take turns, and who goes first changes, so that noise of the machine hits both; each
  start waits for a calm moment, but not for ever;
- at once: `--at-once` users start in the same moment; again the sides take turns, and all servers of a round are
  stopped before the next.

What happens between two starts (stopping, removing the container) is not timed. Containers, networks, processes and
files are removed at the end, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import os
import secrets
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import docker
import docker.errors
import psutil
import requests.exceptions

from sciserver_common.deployment import SOURCE, Deployment, proxy_command
from sciserver_spawner.images import ImageError, catalogue
from sciserver_spawner.network import ensure_network

STOCK, STOCK_OUR_COMMAND, OURS = "stock", "stock, our cmd", "ours"

MEM_LIMIT = "2G"
CPU_LIMIT = 2.0

GOAL = 0.5
"""Median of ours, one at a time, as a part of stock's."""

GIVE_UP = 400
"""Seconds after which a start counts as failed, whatever the hub still hopes for."""

CLEAN_ATTEMPTS = 30
"""How often the clean-up tries to remove a network that is still in use, once a second."""

RETRY = 0.01
"""Seconds between two questions of the client, where it has to ask again."""

CALM = 85.0
"""Percentage of idle CPU over half a second that a start waits for: the engine still tidies up when it has answered
a stop, and a machine has other work to do."""

CALM_WITHIN = 30.0
"""Seconds after which a start no longer waits for a calm machine."""

_COMMON = """
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{{"name": "benchmark", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [
    {{"name": "benchmark", "services": ["benchmark"], "scopes": ["admin:users", "admin:servers", "access:servers"]}}
]
c.JupyterHub.cleanup_servers = True
c.JupyterHub.cleanup_proxy = True
c.ConfigurableHTTPProxy.should_start = True
c.ConfigurableHTTPProxy.pid_file = "proxy.pid"
c.Spawner.default_url = "/lab"
c.DockerSpawner.mem_limit = {mem_limit!r}
c.DockerSpawner.cpu_limit = {cpu_limit!r}
"""

_STOCK = """
c = get_config()
c.JupyterHub.bind_url = {public_url!r}
c.JupyterHub.hub_bind_url = {hub_url!r}
c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
c.ConfigurableHTTPProxy.api_url = {proxy_api_url!r}
c.ConfigurableHTTPProxy.command = {proxy_command!r}
c.JupyterHub.spawner_class = "docker"
c.DockerSpawner.image = {image!r}
c.DockerSpawner.network_name = {network!r}
c.DockerSpawner.prefix = {prefix!r}
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.remove = True
c.DockerSpawner.start_timeout = 300
c.DockerSpawner.http_timeout = 120
"""

_OURS = """
c = get_config()
load_subconfig({config!r})
c.SciServerSpawner.images = [{{"name": "benchmark", "image": {image!r}, "cmd": {command!r}}}]
"""


class StartFailed(Exception):
    """A server did not come up; the text is the hub's."""


class BenchmarkError(Exception):
    """The comparison cannot be made here; the text says why and what to do."""


@dataclass
class Start:
    """One timed start; `seconds` is None when it failed, and `error` then says why."""

    seconds: float | None
    load: float
    error: str = ""


@dataclass
class Burst:
    """Several starts in the same moment."""

    starts: list[Start]

    @property
    def seconds(self) -> float | None:
        """Until the last server was ready; None when one failed."""
        times = [start.seconds for start in self.starts]
        return None if None in times else max(time for time in times if time is not None)


@dataclass
class Results:
    """What one side did."""

    single: list[Start] = field(default_factory=list)
    bursts: list[Burst] = field(default_factory=list)


class Hub:
    """A running hub of one side, and the client that starts servers on it.

    Parameters
    ----------
    name
        `STOCK`, `STOCK_OUR_COMMAND` or `OURS`.
    home
        Directory for everything that this hub writes.
    client
        The engine.
    image
        The image of every server.
    extra
        Python added at the end of the configuration.
    """

    def __init__(self, name: str, home: Path, client: docker.APIClient, image: str, extra: str = "") -> None:
        self.name = name
        self.home = home
        self._client = client
        self._image = image
        self._extra = extra
        self._token = secrets.token_hex(16)
        # Our spawner derives names from this directory; stock gets the same pattern, for the clean-up.
        self._deployment = Deployment(home=home)
        self._prefix = f"sciserver-{self._deployment.id}"
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._base_url = ""

    async def __aenter__(self) -> Hub:
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._close()

    async def _open(self) -> None:
        self.home.mkdir(mode=0o700, parents=True)
        gateway = await asyncio.to_thread(ensure_network, self._client, self._deployment.network, self._deployment.id)
        port = _free_port()
        self._base_url = f"http://127.0.0.1:{port}"
        self._deployment = self._deployment.replace(port=port, public_url=self._base_url, internal_host=gateway)
        self._deployment.save()
        self._deployment.make_directories()
        config = self.home / "benchmark_config.py"
        config.write_text(self._config())
        log = self.log_file.open("wb")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "jupyterhub",
            "-f",
            str(config),
            cwd=self.home,
            env=_hub_environment(self.home),
            stdout=log,
            stderr=log,
            # Ctrl-C is for this program, which then ends the hub in order.
            start_new_session=True,
        )
        log.close()
        self._session = aiohttp.ClientSession(
            self._base_url,
            headers={"Authorization": f"token {self._token}"},
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(limit=0),
        )
        await self._wait_for_hub()

    def _config(self) -> str:
        hub_url = f"http://{self._deployment.internal_host}:{self._deployment.service_port('hub')}"
        settings = {
            "public_url": self._base_url,
            "hub_url": hub_url,
            "proxy_api_url": f"http://127.0.0.1:{_free_port()}",
            "proxy_command": proxy_command(),
            "image": self._image,
            "command": _command(self._image),
            "network": self._deployment.network,
            "prefix": self._prefix,
            "config": str(SOURCE / "jupyterhub_config.py"),
            "token": self._token,
            "mem_limit": MEM_LIMIT,
            "cpu_limit": CPU_LIMIT,
        }
        own = _OURS if self.name == OURS else _STOCK
        return (own + _COMMON).format_map(settings) + self._extra

    async def _wait_for_hub(self) -> None:
        assert self._process
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with self._http.get("/hub/api/") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)
        raise BenchmarkError(f"The hub of {self.name!r} did not start. Its last words:\n{self.log_tail()}")

    @property
    def log_file(self) -> Path:
        """Where the hub and its proxy write."""
        return self.home / "hub.log"

    def log_tail(self, lines: int = 20) -> str:
        """The end of the hub's log."""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    @property
    def _http(self) -> aiohttp.ClientSession:
        assert self._session
        return self._session

    async def add_users(self, names: Sequence[str]) -> None:
        """Make the accounts, so that this is no part of a start."""
        async with self._http.post("/hub/api/users", json={"usernames": list(names)}) as response:
            response.raise_for_status()

    async def start(self, user: str) -> Start:
        """Start the user's server, timed."""
        load = os.getloadavg()[0]
        began = time.perf_counter()
        request = asyncio.create_task(self._request_start(user))
        try:
            async with asyncio.timeout(GIVE_UP):
                await self._wait_until_ready(user, request)
                await self._wait_for_answer(user)
        except TimeoutError:
            return Start(None, load, f"not ready within {GIVE_UP} seconds")
        except (StartFailed, aiohttp.ClientError) as error:
            return Start(None, load, str(error))
        else:
            return Start(time.perf_counter() - began, load)
        finally:
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)

    async def answers(self, user: str, path: str) -> bool:
        """Whether the user's server has something at a path."""
        async with self._http.get(f"/user/{user}/{path}", allow_redirects=False) as response:
            return response.status != 404

    async def processor_time(self) -> float:
        """Seconds that the containers which run now have taken so far."""

        def spent() -> float:
            stats = (self._client.stats(each["Id"], stream=False, one_shot=True) for each in self._containers())
            return sum(each["cpu_stats"]["cpu_usage"]["total_usage"] for each in stats) / 1e9

        return await asyncio.to_thread(spent)

    async def start_all(self, users: Sequence[str]) -> Burst:
        """Start the servers of all `users` in the same moment, timed."""
        return Burst(list(await asyncio.gather(*map(self.start, users))))

    async def stop_all(self, users: Sequence[str]) -> None:
        """Stop the servers of `users`, and wait until the engine has forgotten them."""
        await asyncio.gather(*map(self._stop, users))
        while await asyncio.to_thread(self._containers):  # noqa: ASYNC110 - what we wait for is in the engine
            await asyncio.sleep(0.1)
        await _calm()

    async def _request_start(self, user: str) -> None:
        async with self._http.post(f"/hub/api/users/{user}/server") as response:
            if response.status not in {201, 202}:
                raise StartFailed(f"HTTP {response.status}: {(await response.text())[:500]}")

    async def _wait_until_ready(self, user: str, request: asyncio.Task[None]) -> None:
        while True:
            async with self._http.get(f"/hub/api/users/{user}/server/progress") as response:
                if response.status == 200:
                    async for line in response.content:
                        event = json.loads(line[5:]) if line.startswith(b"data:") else {}
                        if event.get("failed"):
                            raise StartFailed(event.get("message", "failed"))
                        if event.get("ready"):
                            return
            # The hub answers 400 or 404 until it has taken up the request, whose refusal would show here.
            if request.done():
                request.result()
            await asyncio.sleep(RETRY)

    async def _wait_for_answer(self, user: str) -> None:
        while True:
            async with self._http.get(f"/user/{user}/api", allow_redirects=False) as response:
                if response.status == 200:
                    return
            await asyncio.sleep(RETRY)

    async def _stop(self, user: str) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            async with self._http.delete(f"/hub/api/users/{user}/server") as response:
                # 404: it does not run. 202 and 400: it is stopping, or a failed start is being tidied up.
                if response.status in {204, 404}:
                    return
            await asyncio.sleep(0.2)
        raise BenchmarkError(f"The server of {user} does not stop. The hub's last words:\n{self.log_tail()}")

    def _containers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.containers(all=True, filters={"name": f"^/{self._prefix}-"})
        return found

    async def _close(self) -> None:
        if self._session:
            await self._session.close()
        if self._process:
            await self._end_processes(self._process)
        await asyncio.to_thread(self._clean_engine)

    async def _end_processes(self, process: asyncio.subprocess.Process) -> None:
        # On SIGTERM the hub stops its servers and its proxy.
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 60)
        except TimeoutError:
            process.kill()
            await process.wait()
        # The proxy of a hub that had to be killed.
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.home / "proxy.pid").read_text()), signal.SIGTERM)

    def _clean_engine(self) -> None:
        """Remove what is left on the engine; a container that is gone may hold its network for a moment."""
        refusal = ""
        for _ in range(CLEAN_ATTEMPTS):
            for container in self._containers():
                with contextlib.suppress(docker.errors.APIError):
                    self._client.remove_container(container["Id"], force=True, v=True)
            try:
                self._client.remove_network(self._deployment.network)
            except docker.errors.NotFound:
                return
            except docker.errors.APIError as error:
                refusal = error.explanation
                time.sleep(1)
            else:
                return
        _say(f"The network {self._deployment.network} could not be removed: {refusal}")


async def _calm() -> None:
    """Wait until the machine is idle enough for a measurement."""
    deadline = time.monotonic() + CALM_WITHIN
    while time.monotonic() < deadline:
        if await asyncio.to_thread(lambda: psutil.cpu_times_percent(0.5).idle) >= CALM:
            return


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _hub_environment(home: Path) -> dict[str, str]:
    """This program's environment, without what would make the hub another deployment's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTERHUB_", "SCISERVER_"))}
    return kept | {"SCISERVER_HOME": str(home)}


@contextlib.asynccontextmanager
async def hubs(image: str, ours_extra: str = "") -> AsyncIterator[dict[str, Hub]]:
    """All sides, running; everything they made is gone afterwards."""
    client = docker.APIClient(version="auto", timeout=120)
    directory = Path(tempfile.mkdtemp(prefix="spawn-benchmark-"))
    stock_command = f"c.DockerSpawner.cmd = {_command(image)!r}\n"
    try:
        async with (
            Hub(STOCK, directory / "stock", client, image) as stock,
            Hub(STOCK_OUR_COMMAND, directory / "command", client, image, stock_command) as with_command,
            Hub(OURS, directory / "ours", client, image, ours_extra) as ours,
        ):
            yield {hub.name: hub for hub in (stock, with_command, ours)}
    finally:
        client.close()
        shutil.rmtree(directory, ignore_errors=True)


def _order(sides: dict[str, Hub], turn: int) -> list[Hub]:
    hubs = list(sides.values())
    first = turn % len(hubs)
    return hubs[first:] + hubs[:first]


async def compare(sides: dict[str, Hub], *, rounds: int, at_once: int, bursts: int) -> dict[str, Results]:
    """Make all starts, telling on standard error how they go."""
    results = {name: Results() for name in sides}
    users = [f"user{number}" for number in range(max(at_once, 1))]
    for hub in sides.values():
        await hub.add_users(users)
        warm_up = await hub.start(users[0])
        if warm_up.seconds is None:
            raise BenchmarkError(f"{hub.name} cannot start a server: {warm_up.error}\n{hub.log_tail()}")
        await hub.stop_all(users[:1])
    for turn in range(rounds):
        for hub in _order(sides, turn):
            start = await hub.start(users[0])
            results[hub.name].single.append(start)
            _say(f"one at a time {turn + 1}/{rounds} {hub.name}: {_seconds(start.seconds)} {start.error}")
            await hub.stop_all(users[:1])
    for turn in range(bursts if at_once > 1 else 0):
        for hub in _order(sides, turn):
            burst = await hub.start_all(users)
            results[hub.name].bursts.append(burst)
            errors = "; ".join(start.error for start in burst.starts if start.error)
            _say(f"{at_once} at once {turn + 1}/{bursts} {hub.name}: all ready {_seconds(burst.seconds)} {errors}")
            await hub.stop_all(users)
    return results


def _say(text: str) -> None:
    print(text.rstrip(), file=sys.stderr, flush=True)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percentile(values: Sequence[float], percent: int) -> float:
    """Interpolated, as numpy does by default."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def summary(starts: Sequence[Start]) -> dict[str, float | int | None]:
    """Figures of some starts; the failed ones are only counted."""
    times = [start.seconds for start in starts if start.seconds is not None]
    return {
        "n": len(starts),
        "failures": len(starts) - len(times),
        "median": statistics.median(times) if times else None,
        "p95": _percentile(times, 95) if times else None,
        "min": min(times, default=None),
        "max": max(times, default=None),
    }


def _ratio(stock: float | None, ours: float | None) -> float | None:
    return ours / stock if stock and ours else None


def report(results: dict[str, Results]) -> dict[str, Any]:
    """All figures, as `--json` prints them."""
    single = {name: summary(result.single) for name, result in results.items()}
    at_once = {
        name: summary([start for burst in result.bursts for start in burst.starts]) for name, result in results.items()
    }
    all_ready = {name: [burst.seconds for burst in result.bursts] for name, result in results.items()}
    medians = {
        name: statistics.median(done) if (done := [value for value in values if value is not None]) else None
        for name, values in all_ready.items()
    }
    return {
        "versions": {name: importlib.metadata.version(name) for name in ("jupyterhub", "dockerspawner")},
        "one_at_a_time": single,
        "at_once": at_once,
        "all_ready": {"seconds": all_ready, "median": medians},
        "ratio": {
            peer: {
                "one_at_a_time": _ratio(single[peer]["median"], single[OURS]["median"]),
                "at_once": _ratio(at_once[peer]["median"], at_once[OURS]["median"]),
                "all_ready": _ratio(medians[peer], medians[OURS]),
            }
            for peer in (STOCK, STOCK_OUR_COMMAND)
        },
        "starts": {name: asdict(result) for name, result in results.items()},
    }


def _print_table(figures: dict[str, Any], image: str, at_once: int) -> None:
    versions = figures["versions"]
    loads = [
        start["load"]
        for side in figures["starts"].values()
        for start in side["single"] + [start for burst in side["bursts"] for start in burst["starts"]]
    ]
    print(f"Seconds from the request until the server answers. Image {image}, {os.cpu_count()} CPUs,")
    print(f"JupyterHub {versions['jupyterhub']}, DockerSpawner {versions['dockerspawner']}", end="")
    print(f", load average {min(loads):.1f} to {max(loads):.1f}." if loads else ".")
    for key, title in (("one_at_a_time", "One at a time"), ("at_once", f"{at_once} at once")):
        if not figures[key][OURS]["n"]:
            continue
        print(f"\n{title:<20}{'n':>5}{'failures':>10}{'median':>9}{'p95':>9}{'min':>9}{'max':>9}")
        for name, row in figures[key].items():
            times = "".join(f"{_seconds(row[column]):>9}" for column in ("median", "p95", "min", "max"))
            print(f"  {name:<18}{row['n']:>5}{row['failures']:>10}{times}")
        for peer, ratios in figures["ratio"].items():
            print(f"  {'ours / ' + peer:<26}{'':>7}{_seconds(ratios[key]):>9}")
    if figures["at_once"][OURS]["n"]:
        print(f"\nUntil all {at_once} are ready, each round (- where one failed)")
        for name, values in figures["all_ready"]["seconds"].items():
            listed = " ".join(_seconds(value) for value in values)
            print(f"  {name:<18}{'median':>15}{_seconds(figures['all_ready']['median'][name]):>9}  of {listed}")
        for peer, ratios in figures["ratio"].items():
            print(f"  {'ours / ' + peer:<26}{'':>7}{_seconds(ratios['all_ready']):>9}")
    print()
    for line in goals(figures, at_once):
        print(line)


def goals(figures: dict[str, Any], at_once: int) -> list[str]:
    """What was aimed at, and whether it was reached."""
    lines = []
    ratio = figures["ratio"][STOCK]["one_at_a_time"]
    if ratio is not None:
        verdict = "reached" if ratio <= GOAL else "MISSED"
        lines.append(f"Goal {verdict}: median of ours at most {GOAL} of stock's, one at a time: it is {ratio:.2f}.")
    burst = figures["at_once"][OURS]
    if burst["n"]:
        verdict = "MISSED" if burst["failures"] else "reached"
        failed = f"{burst['failures']} of {burst['n']} failed"
        lines.append(f"Goal {verdict}: all of our {at_once} servers at once come up: {failed}.")
    return lines


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=12, help="starts of each side, one at a time (default: 12)")
    parser.add_argument("--at-once", type=int, default=8, help="servers started in one moment (default: 8; 0: none)")
    parser.add_argument("--bursts", type=int, default=4, help="rounds of --at-once for each side (default: 4)")
    parser.add_argument("--image", default="", help="image of all servers (default: the checkout's python-astro)")
    parser.add_argument("--ours-config", type=Path, help="Python file added to our configuration, to try a setting")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON instead of a table")
    return parser.parse_args()


def _default_image() -> str:
    try:
        return next(image.tag for image in catalogue() if image.name == "python-astro")
    except (ImageError, StopIteration) as error:
        raise BenchmarkError(f"There is no image to start: {error}. Name one with --image.") from error


def _command(image: str) -> list[str]:
    """The command that our menu names for `image`; JupyterHub's for one that is not in the catalogue."""
    commands = {entry.tag: list(entry.command) for entry in catalogue()}
    return commands.get(image) or ["jupyterhub-singleuser"]


def check_image(image: str) -> None:
    """Refuse an image that the engine has not.

    Raises
    ------
    BenchmarkError
        Says what to do.
    """
    client = docker.APIClient(version="auto")
    try:
        client.inspect_image(image)
    except docker.errors.ImageNotFound as error:
        raise BenchmarkError(
            f"The engine has no image {image}: run `sciserver image build {image.split(':')[0].split('/')[-1]}`."
        ) from error
    finally:
        client.close()


async def _run(arguments: argparse.Namespace, image: str) -> dict[str, Results]:
    task = asyncio.current_task()
    assert task
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    ours = arguments.ours_config.read_text() if arguments.ours_config else ""
    async with hubs(image, ours) as sides:
        return await compare(sides, rounds=arguments.rounds, at_once=arguments.at_once, bursts=arguments.bursts)


def main() -> int:
    """Measure and print; 0 whether or not the goals are reached."""
    arguments = _arguments()
    try:
        image = arguments.image or _default_image()
        check_image(image)
        figures = report(asyncio.run(_run(arguments, image)))
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        print(f"The Docker Engine does not answer or refuses: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Interrupted; everything that ran is removed.", file=sys.stderr)
        return 130
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        _print_table(figures, image, arguments.at_once)
    return 0


if __name__ == "__main__":
    sys.exit(main())
