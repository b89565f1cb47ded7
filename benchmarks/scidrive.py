"""What files over HTTP cost: ours against nginx's WebDAV module, and against wsgidav as it comes.

Method
------
One real hub with its proxy, and the real service. The peers are behind the same proxy: nginx with its WebDAV module
(Debian's; ``sendfile`` on, no passwords), and wsgidav with its own provider for directories on cheroot (no passwords).
Ours checks a token with each request, hashes what comes in, and counts quotas; nginx and wsgidav do none of that.

- *large*: one file up and down on one connection; the client lets the kernel send it, and drops what it gets.
- *small*: many files of 4 KiB up and down, on several connections at a time, in one folder.
- *small as one archive*: as many such files in one request, as a tar archive. Ours only; they have no goal of their
  own, and are compared with nginx's files one by one.

The client is the same for all, in one process; requests are written out before the clock starts. Sides take turns, and
the order changes with each round; what is in the page cache is written to the disk between two turns. A first round
with little data counts for nothing, and compares what comes back with what was sent. Figures are medians.

The service's memory is its largest resident set from start to end, as the kernel counts it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import importlib.metadata
import io
import os
import random
import shutil
import statistics
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from benchmarks import scidrive_client, scidrive_peers
from sciserver_common.secrets import secret
from tests.scidrive.drive_platform import DrivePlatform
from tests.support import free_port, wait_until

NGINX, DAV, REST, WSGIDAV = "nginx", "ours, WebDAV", "ours, REST", "wsgidav"
LARGE_UP, LARGE_DOWN, SMALL_UP, SMALL_DOWN = "large up", "large down", "small up", "small down"
ARCHIVE_UP, ARCHIVE_DOWN = "small as one archive, up", "small as one archive, down"
GOALS = {LARGE_UP: 0.8, LARGE_DOWN: 0.8, SMALL_UP: 0.5, SMALL_DOWN: 0.5}
MEMORY_GOAL = 150
PERSON = "ada"
FOLDER = "bench"
SMALL = 4096


@dataclass
class Side:
    """A server behind the proxy.

    Attributes
    ----------
    path
        Of its folder for the benchmark.
    process
        The server's; its children count as well.
    seconds, processor
        What each round took, by the clock and of the server's processor time.
    """

    name: str
    path: str
    headers: dict[str, str]
    process: psutil.Process
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    processor: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def used(self) -> float:
        """Seconds of processor time that the server has taken so far."""
        times = [process.cpu_times() for process in [self.process, *self.process.children()]]
        return sum(each.user + each.system for each in times)


class Bench:
    """The sides, and what they are measured with."""

    def __init__(self, platform: DrivePlatform, sides: list[Side], home: Path, connections: int) -> None:
        self._address = ("127.0.0.1", platform.deployment.port)
        self._sides, self._home, self._connections = sides, home, connections
        self._number = 0

    def round(self, size: int, files: int, *, counts: bool) -> None:
        """One turn of each side."""
        self._number += 1
        large = self._home / "large"
        digest = _random_file(large, size)
        for side in random.sample(self._sides, len(self._sides)):
            taken = self._turn(side, large, "" if counts else digest, files)
            if counts:
                for name, (seconds, processor) in taken.items():
                    side.seconds[name].append(seconds)
                    side.processor[name].append(processor)
                _say(f"{side.name}: " + ", ".join(f"{name} {seconds:.2f} s" for name, (seconds, _) in taken.items()))

    def _turn(self, side: Side, large: Path, digest: str, files: int) -> dict[str, tuple[float, float]]:
        size = large.stat().st_size
        path = f"{side.path}/large{self._number}"
        names = [f"{side.path}/small{self._number}-{number}" for number in range(files)]
        puts = [self._request(side, "PUT", name, SMALL) + b"x" * SMALL for name in names]
        gets = [self._request(side, "GET", name) for name in random.sample(names, len(names))]
        put, get = self._request(side, "PUT", path, size), self._request(side, "GET", path)
        many = functools.partial(scidrive_client.many, self._address, connections=self._connections)
        taken: dict[str, tuple[float, float]] = {}
        works: dict[str, Callable[[], float]] = {
            LARGE_UP: lambda: scidrive_client.upload(self._address, put, large),
            LARGE_DOWN: lambda: scidrive_client.download(self._address, get, size, digest=digest),
            SMALL_UP: lambda: many(puts),
            SMALL_DOWN: lambda: many(gets, body=SMALL),
        }
        if side.name == REST:
            works |= self._as_archive(side, files)
        for name, work in works.items():
            os.sync()
            before = side.used()
            seconds = work()
            taken[name] = seconds, side.used() - before
        # Small ones stay: ext4 looks long for a new file's place where many were removed just now.
        many([self._request(side, "DELETE", path.replace("/api/file/", "/api/data/"))])
        return taken

    def _as_archive(self, side: Side, files: int) -> dict[str, Callable[[], float]]:
        """As many small files in one request."""
        packed = self._home / "archive.tar"
        with tarfile.open(packed, "w") as archive:
            for number in range(files):
                info = tarfile.TarInfo(f"small{number}")
                info.size = SMALL
                archive.addfile(info, io.BytesIO(b"x" * SMALL))
        path = f"{side.path.replace('/fileservice/api/file/', '/api/archive/')}/archive{self._number}"
        put, get = self._request(side, "PUT", path, packed.stat().st_size), self._request(side, "GET", path)
        return {
            ARCHIVE_UP: lambda: scidrive_client.upload(self._address, put, packed),
            ARCHIVE_DOWN: lambda: scidrive_client.many(self._address, [get], connections=1),
        }

    def _request(self, side: Side, method: str, path: str, length: int | None = None) -> bytes:
        headers = {"Host": f"{self._address[0]}:{self._address[1]}", **side.headers}
        return scidrive_client.head(method, path, headers, length)


def _random_file(path: Path, size: int) -> str:
    """Make a file; its SHA-256."""
    content = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, 1 << 20):
            piece = os.urandom(min(1 << 20, size - start))
            content.update(piece)
            file.write(piece)
    return content.hexdigest()


@contextlib.contextmanager
def _behind_the_proxy(platform: DrivePlatform, home: Path) -> Any:
    """The sides."""
    host = platform.deployment.internal_host
    with contextlib.ExitStack() as stack:
        sides = []
        for name, serve in [(NGINX, scidrive_peers.nginx), (WSGIDAV, scidrive_peers.wsgidav)]:
            port, prefix = free_port(), f"/peers/{name}"
            (home / name).mkdir()
            peer = stack.enter_context(serve(home / name, host, port, prefix))
            (peer.root / FOLDER).mkdir()
            route = requests.post(
                f"http://{host}:8001/api/routes{prefix}",
                json={"target": f"http://{host}:{port}"},
                headers={"Authorization": f"token {secret(platform.deployment, 'proxy')}"},
                timeout=20,
            )
            route.raise_for_status()
            sides.append(Side(name, f"{prefix}/{FOLDER}", {}, peer.process))
        token = {"Authorization": f"Bearer {platform.token(PERSON)}"}
        service = platform.deployment.service_prefix("scidrive")
        inside = f"Storage/{PERSON}/persistent"
        sides.append(Side(DAV, f"{service}dav/{inside}/{FOLDER}-dav", token, platform.process))
        sides.append(Side(REST, f"{service}fileservice/api/file/{inside}/{FOLDER}-rest", token, platform.process))
        url = platform.deployment.public_url
        wait_until(lambda: requests.get(f"{url}/peers/{NGINX}/none", timeout=20).status_code == 404, what="the route")
        for name in ("dav", "rest"):
            made = requests.request("MKCOL", f"{url}{service}dav/{inside}/{FOLDER}-{name}", headers=token, timeout=20)
            made.raise_for_status()
        yield sides


def _report(sides: list[Side], size: int, files: int) -> None:
    medians = {side.name: {name: statistics.median(taken) for name, taken in side.seconds.items()} for side in sides}
    amounts = {what: (size / 1e6, "MB") if what in {LARGE_UP, LARGE_DOWN} else (files, "files") for what in GOALS}
    rates = {name: {what: amounts[what][0] / taken[what] for what in GOALS} for name, taken in medians.items()}
    _table({what: f"{what}, {amounts[what][1]}/s" for what in GOALS}, rates, "{:.0f}")
    work = {
        side.name: {what: statistics.median(side.processor[what]) / amounts[what][0] * 1000 for what in GOALS}
        for side in sides
    }
    _table({what: f"{what}, ms per {amounts[what][1].removesuffix('s')}" for what in GOALS}, work, "{:.2f}")
    processor = next(side.processor for side in sides if side.name == REST)
    for what, beside in {ARCHIVE_UP: SMALL_UP, ARCHIVE_DOWN: SMALL_DOWN}.items():
        used, least = statistics.median(processor[what]), medians[NGINX][beside]
        print(
            f"{what}: {files / medians[REST][what]:.0f} files/s, {least / medians[REST][what]:.2f} times nginx one by "
            f"one; {used / files * 1000:.3f} ms of processor time per file"
        )
    print("\nThe first table is by the clock, the second the server's processor time. In parentheses: times nginx.\n")
    for what, goal in GOALS.items():
        for name in (DAV, REST):
            ratio = medians[NGINX][what] / medians[name][what]
            verdict = "reached" if ratio >= goal else "MISSED"
            print(f"{verdict}: {what} of {name} {ratio:.2f} times nginx (goal: at least {goal:g})")


def _table(rows: dict[str, str], values: dict[str, dict[str, float]], form: str) -> None:
    names = [NGINX, DAV, REST, WSGIDAV]
    print("| | " + " | ".join(names) + " |")
    print("|---|" + "---|" * len(names))
    for what, title in rows.items():
        base = values[NGINX][what] or float("nan")
        cells = [form.format(values[NGINX][what])]
        cells += [f"{form.format(values[name][what])} ({values[name][what] / base:.2f})" for name in names[1:]]
        print(f"| {title} | " + " | ".join(cells) + " |")
    print()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="MiB of the large file")
    parser.add_argument("--files", type=int, default=10_000, help="small files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    size = options.size << 20
    home = Path(tempfile.mkdtemp(prefix="scidrive-bench-"))
    platform = DrivePlatform(home / "platform", QUOTA)
    try:
        platform.start()
        with _behind_the_proxy(platform, home) as sides:
            bench = Bench(platform, sides, home, options.connections)
            bench.round(16 << 20, 100, counts=False)
            load = os.getloadavg()[0]
            for _ in range(options.rounds):
                bench.round(size, options.files, counts=True)
            load = max(load, os.getloadavg()[0])
            peak = _peak(platform.process.pid)
        print(f"\n{options.size} MiB, {options.files} files of 4 KiB, {options.connections} connections.\n")
        _report(sides, size, options.files)
        verdict = "reached" if peak <= MEMORY_GOAL else "MISSED"
        print(f"{verdict}: memory of the service {peak:.0f} MB at its peak (goal: at most {MEMORY_GOAL})")
        nginx = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr.strip()
        versions = ", ".join(
            f"{name} {importlib.metadata.version(name)}" for name in ("wsgidav", "cheroot", "tornado")
        )
        print(f"\n{nginx}; {versions}; {os.cpu_count()} cores; load up to {load:.1f}")
    finally:
        platform.stop()
        shutil.rmtree(home, ignore_errors=True)


QUOTA = """
from scidrive_service.policy import DEFAULTS
roots = {name: dict(settings) for name, settings in DEFAULTS.items()}
roots["Storage"] |= {"user_bytes": 10**13, "user_files": 10**9, "volume_bytes": 10**13, "volume_files": 10**9}
c.SciDrive.root_volumes = roots
c.SciDrive.log_level = "WARN"
"""
"""Quotas are counted, and never reached."""


def _peak(process: int) -> float:
    """Largest resident set of a process in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
