"""What CasJobs costs in a notebook: rows to a DataFrame, the way through the server extension, a container's start.

Method
------
- *rows*: one real hub with its proxy and the real service. `%%casjobs` makes a DataFrame of 1,000,000 rows of 10
  columns in an IPython shell of this process; so does the library's older way, CSV that pandas reads. Peer: JupySQL
  in a process of its own, in an environment that is made for it and removed, on the same file, which DuckDB opens
  there itself. All engines use one thread.
- *extension*: the same request with the same client, to the service itself and through a Jupyter server that has
  `jupyter_casjobs`: *select 1* for what each request costs, the million rows as Arrow for what the bytes cost.
- *start*: two hubs of this checkout start containers of the image `base` (see `benchmarks/spawn.py`); in those of the
  one the server extensions are switched off. A start counts from the request to the hub until the server answers.

Sides take turns, and who goes first changes. Figures are medians.

It needs what `make up` needs: the Docker Engine with the images of this checkout, which `make up` or
`sciserver image build base` makes, and pypi.org for JupySQL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import duckdb
import requests

from benchmarks import spawn
from benchmarks.casjobs import OBJECTS, goal, in_turn, table
from benchmarks.notebook_frames import QUERY, frames
from casjobs_service.contexts import Contexts
from casjobs_service.load import load_table
from sciserver_spawner.images import catalogue
from tests.casjobs.casjobs_platform import CasJobsPlatform
from tests.server_extensions.notebook_server import NotebookServer

ARROW = "application/vnd.apache.arrow.stream"
PARTS = ("rows", "extension", "start")
STREAM_GOAL, LATENCY_GOAL, START_GOAL = 1.10, 5.0, 1.05
ON, OFF = "with the extensions", "without"
SWITCHED_OFF = """
c.Spawner.args = [f"--ServerApp.jpserver_extensions={name}=False" for name in ("jupyter_casjobs", "jupyter_scidrive")]
"""


@contextmanager
def platform(home: Path) -> Iterator[CasJobsPlatform]:
    """The service with the context Sky, and a million rows in it."""
    running = CasJobsPlatform(home / "home")
    contexts = Contexts.of(running.deployment)
    contexts.create("Sky", public=True)
    rows = home / "rows.parquet"
    duckdb.connect().execute(f"COPY ({OBJECTS.format(rows=1_000_000)}) TO '{rows}'")
    load_table(contexts, "Sky", "Million", [rows], zone_sort=False)
    try:
        running.start()
        yield running
    finally:
        running.stop()


# -- the server extension


def extension(running: CasJobsPlatform, home: Path, rounds: int) -> None:
    """The same requests, directly and through a Jupyter server."""
    address = f"{running.direct_url}/RestApi"
    options = [f"--ServiceExtension.upstream={address}"]
    server = NotebookServer(home / "jupyter", "jupyter_casjobs", options, running.token("bench"), debug=False)
    direct = requests.Session()
    direct.trust_env = False
    direct.headers["X-Auth-Token"] = running.token("bench")
    server.start()
    try:
        ways = {
            "to the service": (direct, address),
            "through the extension": (server.session, f"{server.url}/sciserver/casjobs/rest"),
        }
        small = in_turn({name: small_query(*way) for name, way in ways.items()}, 20 * rounds)
        through = ways["through the extension"]
        spent = {
            "select 1": processor_time(server, small_query(*through), 20 * rounds),
            "a million rows": processor_time(server, stream(*through), 2 * rounds),
        }
        large = in_turn({name: stream(*way) for name, way in ways.items()}, 2 * rounds)
    finally:
        server.stop()
    report_extension(small, large)
    shown = ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in spent.items())
    print(f"Processor time of the Jupyter server: {shown}")


def processor_time(server: NotebookServer, run: Callable[[int], None], count: int) -> float:
    """Seconds that the server's process takes for a request: other work of the machine changes them little."""
    before = sum(server.process.cpu_times()[:2])
    for number in range(count):
        run(number)
    return (sum(server.process.cpu_times()[:2]) - before) / count


def small_query(session: requests.Session, rest: str) -> Callable[[int], None]:
    """One request with a small answer."""

    def run(number: int) -> None:
        answer = session.post(
            f"{rest}/contexts/Sky/query", json={"Query": "select 1 as a"}, headers={"Accept": "text/csv"}, timeout=60
        )
        assert answer.text == "a\n1\n", answer.text

    return run


def stream(session: requests.Session, rest: str) -> Callable[[int], None]:
    """One request whose answer is a million rows; they are counted as bytes only."""
    sizes: set[int] = set()

    def run(number: int) -> None:
        with session.post(
            f"{rest}/contexts/Sky/query", json={"Query": QUERY}, headers={"Accept": ARROW}, stream=True, timeout=300
        ) as answer:
            assert answer.status_code == 200, answer.text
            sizes.add(sum(map(len, answer.iter_content(1 << 20))))
        assert len(sizes) == 1
        assert min(sizes) > 40_000_000

    return run


def report_extension(small: dict[str, list[float]], large: dict[str, list[float]]) -> None:
    """Print a table, and what has become of the goals."""
    rows = [["", "select 1: median, ms", "95th percentile, ms", "a million rows: median, s"]]
    for name, times in small.items():
        middle, high = 1000 * statistics.median(times), 1000 * statistics.quantiles(times, n=20)[-1]
        rows.append([name, f"{middle:.1f}", f"{high:.1f}", f"{statistics.median(large[name]):.3f}"])
    table("Through the server extension", rows)
    one, other = (statistics.median(times) for times in small.values())
    goal("select 1 through the extension, ms more", 1000 * (other - one), LATENCY_GOAL)
    one, other = (statistics.median(times) for times in large.values())
    goal("a million rows through the extension / directly", other / one, STREAM_GOAL)


# -- the start of a container


@contextlib.asynccontextmanager
async def hubs(image: str, home: Path) -> AsyncIterator[dict[str, spawn.Hub]]:
    """Both sides, running; everything they made is gone afterwards."""
    client = docker.APIClient(version="auto", timeout=120)
    try:
        async with (
            spawn.Hub(spawn.OURS, home / "on", client, image) as on,
            spawn.Hub(spawn.OURS, home / "off", client, image, SWITCHED_OFF) as off,
        ):
            yield {ON: on, OFF: off}
    finally:
        client.close()


async def starts(image: str, home: Path, count: int) -> dict[str, list[tuple[spawn.Start, float]]]:
    """Start a server of each side in turn; also the processor time that its container has taken by then."""
    found: dict[str, list[tuple[spawn.Start, float]]] = {ON: [], OFF: []}
    async with hubs(image, home) as sides:
        for name, hub in sides.items():
            await hub.add_users(["ada"])
            first = await hub.start("ada")
            if first.seconds is None:
                raise spawn.BenchmarkError(f"No server starts: {first.error}\n{hub.log_tail()}")
            there = await hub.answers("ada", "sciserver/casjobs/rest/contexts")
            if there != (name == ON):
                raise spawn.BenchmarkError(f"{name}: the extension is {'there' if there else 'missing'}.")
            await hub.stop_all(["ada"])
        for turn in range(count):
            for name in (ON, OFF) if turn % 2 else (OFF, ON):
                begun = await sides[name].start("ada")
                found[name].append((begun, await sides[name].processor_time()))
                print(f"start {turn + 1}/{count} {name}: {begun.seconds}", file=sys.stderr, flush=True)
                await sides[name].stop_all(["ada"])
    return found


def start(home: Path, count: int, image: str) -> None:
    """Measure starts, and print."""
    try:
        image = image or next(image.tag for image in catalogue() if image.name == "base")
        spawn.check_image(image)
        found = asyncio.run(starts(image, home, count))
    except spawn.BenchmarkError as error:
        raise SystemExit(str(error)) from error
    except docker.errors.DockerException as error:
        raise SystemExit(f"The Docker Engine does not answer or refuses: {error}. `make up` starts it.") from error
    rows = [["", "median, s", "fastest, s", "slowest, s", "failed", "processor time: median, s"]]
    middle = {}
    for name, times in found.items():
        seconds = [begun.seconds for begun, _ in times if begun.seconds is not None]
        middle[name] = statistics.median(seconds)
        failed = f"{len(times) - len(seconds)} of {len(times)}"
        spent = statistics.median(spent for _, spent in times)
        shown = (middle[name], min(seconds), max(seconds))
        rows.append([name, *(f"{value:.2f}" for value in shown), failed, f"{spent:.2f}"])
    table(f"Start of a container of {image}", rows)
    goal("start with the extensions / without", middle[ON] / middle[OFF], START_GOAL)


def main() -> None:
    formatter: Any = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--rounds", type=int, default=7, help="turns with a million rows (default: 7)")
    parser.add_argument("--starts", type=int, default=20, help="containers that each side starts (default: 20)")
    parser.add_argument("--image", default="", help="image of the containers (default: the checkout's base)")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given several times")
    options = parser.parse_args()
    random.seed(1)
    parts = options.only or PARTS
    home = Path(tempfile.mkdtemp(prefix="notebook-bench-"))
    try:
        if {"rows", "extension"} & set(parts):
            with platform(home) as running:
                if "rows" in parts:
                    frames(running, home, options.rounds)
                if "extension" in parts:
                    extension(running, home, options.rounds)
        if "start" in parts:
            start(home, options.starts, options.image)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    names = ("duckdb", "pandas", "pyarrow", "httpx", "ipython", "jupyter-server", "jupyterhub")
    versions = {name: importlib.metadata.version(name) for name in names}
    print(f"\nMachine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}. Versions: {json.dumps(versions)}")


if __name__ == "__main__":
    main()
