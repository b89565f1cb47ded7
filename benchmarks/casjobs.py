"""What a query costs: rows to a DataFrame, searches by position, cross-matches, and the smallest query there is.

Method
------
One real hub with its proxy and the real service, workers locked in as in a deployment. Clients talk to the service's
own port, so the proxy is in no figure. All engines use one thread. Sides take turns, and the order changes with each
round; figures are medians.

- *rows*: 1,000,000 rows of 10 columns (int64, 2 float64, 5 float32, int16, text) become a pandas DataFrame. The peer
  is DuckDB in the client's own process on the same file. pyvo reads a tenth of them as the service's VOTable, because
  all would take minutes; its figure is ten times that.
- *cones*: objects around random positions, in a table of random positions all over the sky that the service's own
  loader has sorted: by the service's function `fGetNearbyObjEq`, in the engine alone and over HTTP. Peers: DuckDB by
  the angular distance of each row (*plain scan*), and PostgreSQL with a q3c index.
- *cross-match*: all pairs within an arc minute of 100,000 random positions. Peer: PostgreSQL with q3c.
- *select 1* over HTTP, in a locked-in process. Peer: a new Python process with DuckDB for each query.
- *one after the other*: forty times *select 1* without a pause, with and without workers that are kept for the next
  query. Processor time is that of the service and all its children until it is quiet again: it depends on what else
  the machine does far less than milliseconds do.

Then `casjobs_results` compares the writers of formats.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as postgresql
import astropy.io.votable
import duckdb
import pandas as pd
import psutil
import psycopg
import pyarrow as pa
import pyvo
import requests

from benchmarks import casjobs_results
from casjobs_service.contexts import Contexts
from casjobs_service.dialect import translate
from casjobs_service.load import load_table
from casjobs_service.worker.pool import Workers
from tests.casjobs.casjobs_platform import CasJobsPlatform, Client
from tests.support import free_port

OBJECTS = """
    SELECT 1237645876861272064 + i AS objID, random() * 360 AS ra, degrees(asin(2 * random() - 1)) AS "dec",
        (random() * 10 + 14)::FLOAT AS u, (random() * 10 + 14)::FLOAT AS g, (random() * 10 + 14)::FLOAT AS r,
        (random() * 10 + 14)::FLOAT AS i, (random() * 10 + 14)::FLOAT AS z, (i % 7)::SMALLINT AS type,
        CASE WHEN i % 3 = 0 THEN 'GALAXY' WHEN i % 3 = 1 THEN 'STAR' ELSE 'QSO' END AS class
    FROM range({rows}) AS numbers(i)
"""
COLUMNS = 'objID, ra, "dec", u, g, r, i, z, type, class'
RADII = {"1'": 1.0, "10'": 10.0, "1°": 60.0}
CONE = "select count(*) as n from dbo.fGetNearbyObjEq({ra!r}, {dec!r}, {arcmin!r})"
SCAN = """
    SELECT count(*) FROM Sky.main.PhotoPrimary
    WHERE 2 * asin(sqrt(pow(sin(radians("dec" - $2) / 2), 2)
        + cos(radians("dec")) * cos(radians($2)) * pow(sin(radians(ra - $1) / 2), 2))) < radians($3 / 60)
"""
ARCMIN = 1.0
MATCH = f"select count(*) as n from Targets t cross apply dbo.fGetNearbyObjEq(t.ra, t.[dec], {ARCMIN}) x"  # noqa: S608
ARROW_GOAL, CONE_GOAL, HTTP_CONE_GOAL, SELECT_GOAL = 1.3, 8.0, 30.0, 20.0


def in_turn(sides: dict[str, Callable[[int], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each round; each runs once before anything counts."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-1, rounds):
        order = list(sides)
        random.shuffle(order)
        for name in order:
            started = time.perf_counter()
            sides[name](number)
            if number >= 0:
                times[name].append(time.perf_counter() - started)
    return times


def table(title: str, rows: list[list[str]]) -> None:
    """A table in Markdown."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows[1:]:
        print("| " + " | ".join(row) + " |")


def goal(name: str, value: float, limit: float) -> None:
    """Whether a figure is what we want; benchmarks print, tests assert."""
    print(f"{'reached' if value <= limit else 'MISSED'}: {name} {value:.3g} (goal: at most {limit:g})")


# -- the two servers


@contextmanager
def postgres(rows_file: Path) -> Iterator[str]:
    """A PostgreSQL server with the objects and a q3c index; its URL."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
    home = Path(tempfile.mkdtemp(prefix="casjobs-bench-pg-"))
    port = free_port()
    as_owner: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL}
    if os.getuid() == 0:
        shutil.chown(home, "nobody", "nogroup")
        as_owner |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
    settings = (
        f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c fsync=off -c shared_buffers=2GB -c work_mem=256MB"
        " -c max_wal_size=8GB -c max_parallel_workers_per_gather=0 -c max_parallel_maintenance_workers=0"
    )
    init = [str(binaries / "initdb"), "-D", f"{home}/data", "-U", "bench", "--auth=trust", "--no-sync"]
    subprocess.run(init, cwd="/", **as_owner)
    control = [str(binaries / "pg_ctl"), "-D", f"{home}/data"]
    subprocess.run([*control, "-o", settings, "-l", f"{home}/log", "-w", "start"], cwd="/", **as_owner)
    url = f"postgresql://bench@127.0.0.1:{port}/postgres"
    try:
        with postgresql.connect(url) as connection, connection.cursor() as cursor:
            rows = duckdb.connect().sql(f"SELECT {COLUMNS} FROM '{rows_file}'").to_arrow_reader(100_000)  # noqa: S608
            cursor.adbc_ingest("objects", rows)
            connection.commit()
            cursor.execute("CREATE EXTENSION q3c")
            cursor.execute("CREATE INDEX ON objects (q3c_ang2ipix(ra, dec))")
            cursor.execute("CLUSTER objects USING objects_q3c_ang2ipix_idx")
            connection.commit()
            cursor.execute("ANALYZE objects")
            connection.commit()
        yield url
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], cwd="/", **as_owner)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def platform(rows_file: Path, rows: int, targets: int) -> Iterator[CasJobsPlatform]:
    """The service with the objects as its loader stores them."""
    home = Path(tempfile.mkdtemp(prefix="casjobs-bench-"))
    running = CasJobsPlatform(home / "home")
    contexts = Contexts.of(running.deployment)
    contexts.create("Sky", public=True)
    started = time.perf_counter()
    load_table(contexts, "Sky", "PhotoPrimary", [rows_file])
    print(f"Loaded and sorted {rows:,} rows in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    million, positions = home / "million.parquet", home / "targets.parquet"
    connection = duckdb.connect()
    connection.execute(f"COPY ({OBJECTS.format(rows=1_000_000)}) TO '{million}'")
    connection.execute(f"COPY ({OBJECTS.format(rows=targets)}) TO '{positions}'")
    load_table(contexts, "Sky", "Million", [million], zone_sort=False)
    load_table(contexts, "Sky", "Targets", [positions], zone_sort=False)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(home, ignore_errors=True)


class Databases:
    """The translator's view of the context, for queries in the engine alone."""

    def __init__(self, contexts: Contexts) -> None:
        self._catalog = contexts.catalog("Sky")

    def catalog(self, name: str) -> Any:
        return self._catalog if name.lower() == "sky" else None

    def names(self) -> list[str]:
        return ["Sky"]


def engine(contexts: Contexts) -> duckdb.DuckDBPyConnection:
    """DuckDB as a worker has it, in this process."""
    connection = duckdb.connect(config={"threads": 1, "default_collation": "nocase"})
    context = contexts.get("Sky")
    assert context is not None
    connection.execute(f"ATTACH '{context.data_file}' AS Sky (READ_ONLY)")
    return connection


def run(connection: duckdb.DuckDBPyConnection, databases: Databases, text: str) -> list[tuple[Any, ...]]:
    """Translate, and run."""
    found: list[tuple[Any, ...]] = []
    for statement in translate(text, databases, "Sky"):
        for prelude in statement.prelude:
            connection.execute(prelude)
        found = connection.execute(statement.sql).fetchall()
    return found


# -- what is measured


def rows_to_frames(contexts: Contexts, client: Client, rounds: int) -> None:
    local = engine(contexts)
    query = f"SELECT {COLUMNS.replace(chr(34) + 'dec' + chr(34), '[dec]')} FROM Million"  # noqa: S608 - our own names

    def fetch(sql: str, accept: str) -> requests.Response:
        answer = client.query(sql, "Sky", accept, stream=True)
        assert answer.status_code == 200, answer.text
        return answer

    def in_process(number: int) -> None:
        assert len(local.sql(f"SELECT {COLUMNS} FROM Sky.main.Million").df()) == 1_000_000  # noqa: S608

    def arrow(number: int) -> None:
        reader = pa.ipc.open_stream(fetch(query, "application/vnd.apache.arrow.stream").raw)
        assert len(reader.read_pandas()) == 1_000_000

    def text(number: int) -> None:
        assert len(pd.read_csv(io.BytesIO(fetch(query, "text/csv").content))) == 1_000_000

    share = 10

    def votable(number: int) -> None:
        answer = fetch(query.replace("SELECT", f"SELECT TOP {1_000_000 // share}"), "application/x-votable+xml")
        found = astropy.io.votable.parse(io.BytesIO(answer.content))
        assert len(pyvo.dal.DALResults(found).to_table().to_pandas()) == 1_000_000 // share

    times = in_turn({"DuckDB in process": in_process, "Arrow": arrow, "CSV": text}, rounds)
    times["VOTable, pyvo"] = [seconds * share for seconds in in_turn({"votable": votable}, 2)["votable"]]
    middle = {name: statistics.median(values) for name, values in times.items()}
    peer = middle["DuckDB in process"]
    shown = [[name, f"{seconds:.2f}", f"{seconds / peer:.2f}"] for name, seconds in middle.items()]
    table("1,000,000 rows to a DataFrame", [["way", "s", "times in process"], *shown])
    goal("Arrow over HTTP / in process", middle["Arrow"] / peer, ARROW_GOAL)


def cones(contexts: Contexts, client: Client, server: psycopg.Connection[Any], rounds: int) -> None:
    local, databases = engine(contexts), Databases(contexts)
    rows = [["radius", "objects", "engine, ms", "HTTP, ms", "PostgreSQL + q3c, ms", "plain scan, ms"]]
    for label, arcmin in RADII.items():
        places = [(random.random() * 360, math.degrees(math.asin(2 * random.random() - 1))) for _ in range(rounds + 1)]
        counts: dict[str, list[int]] = {"engine": [], "HTTP": [], "q3c": [], "scan": []}

        def ours(ra: float, dec: float, arcmin: float = arcmin) -> int:
            found = run(local, databases, CONE.format(ra=ra, dec=dec, arcmin=arcmin))
            return int(found[0][0])

        def http(ra: float, dec: float, arcmin: float = arcmin) -> int:
            return int(client.csv(CONE.format(ra=ra, dec=dec, arcmin=arcmin), "Sky").split()[1])

        def q3c(ra: float, dec: float, arcmin: float = arcmin) -> int:
            sql = "SELECT count(*) FROM objects WHERE q3c_radial_query(ra, dec, %s, %s, %s)"
            found = server.execute(sql, (ra, dec, arcmin / 60)).fetchone()
            return int(found[0]) if found else -1

        def scan(ra: float, dec: float, arcmin: float = arcmin) -> int:
            found = local.execute(SCAN, [ra, dec, arcmin]).fetchone()
            return int(found[0]) if found else -1

        def side(name: str, search: Callable[[float, float], int], places: Any = places, counts: Any = counts) -> Any:
            return lambda number: counts[name].append(search(*places[number]))

        sides = {"engine": ours, "HTTP": http, "q3c": q3c}
        times = in_turn({name: side(name, search) for name, search in sides.items()}, rounds)
        times |= in_turn({"scan": side("scan", scan)}, 2)
        middle = {name: 1000 * statistics.median(values) for name, values in times.items()}
        # Sides take turns in a random order, each through the same places.
        assert sorted(counts["engine"]) == sorted(counts["HTTP"]) == sorted(counts["q3c"]), counts
        found = f"{statistics.mean(counts['engine']):.1f}"
        rows.append([label, found, *(f"{middle[name]:.1f}" for name in ("engine", "HTTP", "q3c", "scan"))])
        if label == "10'":
            goal("cone of 10' in the engine, ms", middle["engine"], CONE_GOAL)
            goal("cone of 10' over HTTP, ms", middle["HTTP"], HTTP_CONE_GOAL)
    table("Cone searches", rows)


def cross_match(contexts: Contexts, client: Client, server: psycopg.Connection[Any], rounds: int) -> None:
    local, databases = engine(contexts), Databases(contexts)
    pairs: dict[str, int] = {}
    server.execute("CREATE TEMP TABLE targets (ra float8, dec float8)")
    positions = local.execute('SELECT ra, "dec" FROM Sky.main.Targets').fetchall()
    with server.cursor() as cursor, cursor.copy("COPY targets FROM STDIN") as copy:
        for row in positions:
            copy.write_row(row)
    server.execute("ANALYZE targets")

    def ours(number: int) -> None:
        pairs["engine"] = run(local, databases, MATCH)[0][0]

    def http(number: int) -> None:
        pairs["HTTP"] = int(client.csv(MATCH, "Sky").split()[1])

    def q3c(number: int) -> None:
        sql = "SELECT count(*) FROM targets t, objects o WHERE q3c_join(t.ra, t.dec, o.ra, o.dec, %s)"
        found = server.execute(sql, (ARCMIN / 60,)).fetchone()
        pairs["q3c"] = found[0] if found else -1

    times = in_turn({"engine": ours, "HTTP": http, "q3c": q3c}, rounds)
    middle = {name: statistics.median(values) for name, values in times.items()}
    assert pairs["engine"] == pairs["HTTP"] == pairs["q3c"], pairs
    names = {"engine": "CasJobs, engine", "HTTP": "CasJobs, HTTP", "q3c": "PostgreSQL + q3c"}
    shown = [[names[name], f"{seconds:.2f}", f"{seconds / middle['q3c']:.2f}"] for name, seconds in middle.items()]
    title = f"Cross-match of {len(positions):,} positions within 1': {pairs['q3c']:,} pairs"
    table(title, [["side", "s", "times PostgreSQL"], *shown])


def smallest(client: Client, server: psycopg.Connection[Any], rounds: int) -> None:
    def ours(number: int) -> None:
        assert client.csv("select 1 as a", "Sky") == "a\n1\n"

    def process(number: int) -> None:
        code = "import duckdb; print(duckdb.sql('select 1').fetchall())"
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    times = in_turn({"CasJobs over HTTP": ours, "a new Python process with DuckDB": process}, rounds)
    rows = [["side", "median, ms", "95th percentile, ms"]]
    for name, values in times.items():
        middle, high = statistics.median(values), statistics.quantiles(values, n=20)[-1]
        rows.append([name, f"{1000 * middle:.1f}", f"{1000 * high:.1f}"])
    table("select 1", rows)
    goal("select 1 over HTTP, ms", 1000 * statistics.median(times["CasJobs over HTTP"]), SELECT_GOAL)


def in_a_row(queries: int = 40) -> None:
    rows = [["workers kept", "median, ms", "processor time per query, ms"]]
    for keep in (0, Workers.keep.default_value):
        home = Path(tempfile.mkdtemp(prefix="casjobs-bench-"))
        running = CasJobsPlatform(home / "home", f"c.Workers.keep = {keep}\nc.Workers.keep_seconds = 1.0")
        try:
            running.start()
            client = running.client("bench", direct=True)
            assert client.csv("select 1 as a") == "a\n1\n"
            before = processor_time(running)
            times = []
            for _ in range(queries):
                started = time.perf_counter()
                client.csv("select 1 as a")
                times.append(time.perf_counter() - started)
            each = (processor_time(running) - before) / queries
            rows.append([str(keep), f"{1000 * statistics.median(times):.1f}", f"{1000 * each:.0f}"])
        finally:
            running.stop()
            shutil.rmtree(home, ignore_errors=True)
    table("select 1, one after the other", rows)


def processor_time(running: CasJobsPlatform) -> float:
    """Of the service and its children, also those that have ended, seconds; when it is quiet."""
    assert running.service.popen is not None
    time.sleep(6)
    service = psutil.Process(running.service.popen.pid)
    return sum(sum(process.cpu_times()[:4]) for process in (service, *service.children(recursive=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="objects of the sky (default 10,000,000)")
    parser.add_argument("--targets", type=int, default=100_000, help="positions to match (default 100,000)")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--formats", action=argparse.BooleanOptionalAction, default=True, help="the writers as well")
    options = parser.parse_args()
    random.seed(1)
    with tempfile.TemporaryDirectory(prefix="casjobs-bench-rows-") as directory:
        rows_file = Path(directory) / "objects.parquet"
        duckdb.connect().execute(f"COPY ({OBJECTS.format(rows=options.rows)}) TO '{rows_file}'")
        with postgres(rows_file) as url, platform(rows_file, options.rows, options.targets) as running:
            rows_file.unlink()
            contexts = Contexts.of(running.deployment)
            client = running.client("bench", direct=True)
            with psycopg.connect(url, autocommit=True) as server:
                rows_to_frames(contexts, client, max(3, options.rounds // 6))
                cones(contexts, client, server, options.rounds)
                cross_match(contexts, client, server, 3)
                smallest(client, server, options.rounds)
    in_a_row()
    versions = {name: importlib.metadata.version(name) for name in ("duckdb", "sqlglot", "pyarrow", "pyvo")}
    print(f"\nMachine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}. Versions: {json.dumps(versions)}")
    if options.formats:
        casjobs_results.main([])


if __name__ == "__main__":
    main()
