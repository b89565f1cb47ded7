"""Writers run where the queries run: in a forked process with little memory and one thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from casjobs_service.results import FORMATS

BATCH = 50_000
ROWS = 5_000_000

_PROGRAM = """
import json, os, pathlib, resource, sys
import duckdb, polars, pyarrow as pa
from casjobs_service.results import FORMATS, SpoolWriter, compressor, open_spool, writer

batch_rows, rows, directory = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])

def status(key):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(key + ":")).split()[1])

def peak(run):
    # Linux forgets the highest resident set when 5 is written here.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    size = run()
    return status("VmHWM"), size

def make(path, count):
    reader = connection.sql(f'''
        SELECT 1237645876861272064 + i AS id, i::DOUBLE / 7 AS x, (i % 1000)::FLOAT AS y,
            'object ' || i % 10000 AS name
        FROM range({count}) AS numbers(i)
    ''').to_arrow_reader(batch_rows)
    with SpoolWriter(path, reader.schema, 0) as spool:
        for batch in reader:
            spool.write(batch)
    return spool.close()

def write(name, path):
    target, size = writer(name), 0
    def pieces():
        yield target.begin()
        yield from target.table("", *open_spool(path))
        yield target.end()
    for piece in compressor("zstd")(pieces()) if name == "csv" else pieces():
        size += len(piece)
    return size

# The imports have started threads (of jemalloc and polars), which are not in the child.
child = os.fork()
if child:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
# The allocators of Arrow and DuckDB reserve 1.7 GB of addresses, of which they use little.
resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + 2_200_000_000,) * 2)
connection = duckdb.connect(config={"threads": 1, "memory_limit": "200MB"})
connection.execute("SET enable_progress_bar = false")
small, large = directory / "small", directory / "large"
make(small, 3 * batch_rows)
for name in FORMATS:
    write(name, small)
before = {name: peak(lambda: write(name, small)) for name in FORMATS}
spooling, stats = peak(lambda: make(large, rows))
print(json.dumps({
    "bytes": stats.bytes,
    "spooling": spooling,
    "before": before,
    "after": {name: peak(lambda: write(name, large)) for name in FORMATS},
}))
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Peaks of the resident set, in bytes, while the formats were written of three batches and of a hundred."""
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(BATCH), str(ROWS), str(tmp_path_factory.mktemp("spools"))],
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("format", FORMATS)
def test_memory_does_not_grow_with_the_rows(format: str, measured: dict[str, Any]) -> None:
    (before, small), (after, large) = measured["before"][format], measured["after"][format]
    assert large > 20 * small
    # All rows would need a multiple of this. A few batches are what an allocator keeps.
    a_batch = measured["bytes"] * BATCH / ROWS
    assert after - before < 30 * a_batch < measured["bytes"] / 3


def test_spooling_needs_less_memory_than_the_result(measured: dict[str, Any]) -> None:
    assert measured["spooling"] - measured["before"]["csv"][0] < measured["bytes"] / 2
