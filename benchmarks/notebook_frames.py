"""A million rows in a notebook: `%%casjobs`, the library's older CSV path, and JupySQL on the same file."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.core.interactiveshell import InteractiveShell

from benchmarks.casjobs import COLUMNS, in_turn, table
from casjobs_service.contexts import Contexts
from tests.casjobs.casjobs_platform import CasJobsPlatform

PEERS = ("jupysql==0.11.1", "duckdb-engine==0.17.0", "ipython", "pyarrow")
"""What the peer's environment has, beside the DuckDB and pandas of this one."""

SHAPE = (1_000_000, 10)
QUERY = f"SELECT {COLUMNS.replace(chr(34) + 'dec' + chr(34), '[dec]')} FROM Million"  # noqa: S608 - our own names
GOAL = 3.0
"""Times that the CSV path takes longer, at least."""

Side = Callable[[int], Any]


class Peer:
    """JupySQL in a process of its own."""

    def __init__(self, python: Path, file: Path, way: str) -> None:
        program = Path(__file__).with_name("jupysql_peer.py")
        query = f"SELECT {COLUMNS} FROM Million"  # noqa: S608 - our own names
        command = [str(python), str(program), str(file), way, query]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process = subprocess.Popen(command, text=True, cwd=python.parent, **pipes)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise SystemExit(f"JupySQL does not work: {self._process.communicate()[1]}")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()

    def __call__(self, number: int) -> float:
        """Run the query once; the seconds that it took there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("again\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert tuple(answer["shape"]) == SHAPE
        return float(answer["seconds"])


def peer_environment(directory: Path) -> Path:
    """Make an environment with JupySQL, which ours has not; its Python."""
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(directory)], check=True)
    python = directory / "bin" / "python"
    ours = [f"{name}=={importlib.metadata.version(name)}" for name in ("duckdb", "pandas")]
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *PEERS, *ours], check=True)
    return python


@contextmanager
def settings(home: Path, running: CasJobsPlatform) -> Iterator[str]:
    """What a container has: the services' addresses and a token in files; the token."""
    token = running.token("bench")
    directory = home / "sciserver"
    directory.mkdir(parents=True)
    (directory / "token").write_text(token)
    values = {"CasJobsRESTUri": f"{running.direct_url}/RestApi", "KeystoneTokenPath": str(directory / "token")}
    (directory / "sciscript.json").write_text(json.dumps(values))
    before = os.environ.get("XDG_CONFIG_HOME")
    os.environ["XDG_CONFIG_HOME"] = str(home)
    try:
        yield token
    finally:
        if before is None:
            del os.environ["XDG_CONFIG_HOME"]
        else:
            os.environ["XDG_CONFIG_HOME"] = before


def library_sides(token: str) -> dict[str, Side]:
    """Ways of the library `SciServer`; imported when its settings are there."""
    from SciServer import CasJobs

    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "SciServer")

    def magic(number: int) -> pd.DataFrame:
        found: pd.DataFrame = shell.run_cell_magic("casjobs", "--context Sky", QUERY)
        return found

    def text(number: int) -> pd.DataFrame:
        return pd.read_csv(io.StringIO(CasJobs.executeQuery(QUERY, "Sky", format="csv")))

    def stream(number: int) -> pd.DataFrame:
        return pd.read_csv(CasJobs.executeQuery(QUERY, "Sky", token=token), index_col=None)

    def checked(way: Callable[[int], pd.DataFrame]) -> Side:
        def run(number: int) -> None:
            assert way(number).shape == SHAPE

        return run

    sides = {"%%casjobs": magic, 'executeQuery(format="csv")': text, "executeQuery(token=…)": stream}
    return {name: checked(way) for name, way in sides.items()}


def frames(running: CasJobsPlatform, home: Path, rounds: int) -> None:
    """Measure, and print."""
    context = Contexts.of(running.deployment).get("Sky")
    assert context is not None
    assert context.data_file is not None
    started = time.perf_counter()
    python = peer_environment(home / "jupysql")
    print(f"Made the environment of JupySQL in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    with ExitStack() as stack:
        token = stack.enter_context(settings(home / "settings", running))
        peers = {
            name: stack.enter_context(Peer(python, context.data_file, way))
            for name, way in (("JupySQL, duckdb-engine", "engine"), ("JupySQL, DuckDB's connection", "duckdb"))
        }
        sides = library_sides(token)
        times = in_turn({**sides, **peers}, rounds)
    middle = {name: statistics.median(values) for name, values in times.items()}
    ours = middle["%%casjobs"]
    shown = [[name, f"{seconds:.2f}", f"{seconds / ours:.2f}"] for name, seconds in middle.items()]
    table(f"{SHAPE[0]:,} rows of {SHAPE[1]} columns to a DataFrame", [["way", "s", "times %%casjobs"], *shown])
    ratio = middle['executeQuery(format="csv")'] / ours
    print(f"{'reached' if ratio >= GOAL else 'MISSED'}: CSV / %%casjobs {ratio:.2g} (goal: at least {GOAL:g})")
