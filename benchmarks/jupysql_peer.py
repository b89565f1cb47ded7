"""JupySQL in a process of its own, for `benchmarks.notebook`; run by the Python of an environment that has it.

``jupysql_peer.py FILE WAY QUERY``: tells that it is ready, then runs the query as a cell's ``%%sql`` for each line on
standard input, and answers with its seconds and the DataFrame's rows and columns.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import duckdb
import sqlalchemy
from IPython.core.interactiveshell import InteractiveShell


def connection(file: str, way: str) -> Any:
    """To the file, as a connection of DuckDB or as an engine of SQLAlchemy; one thread, as our workers have."""
    settings: dict[str, Any] = {"read_only": True, "config": {"threads": 1}}
    if way == "duckdb":
        return duckdb.connect(file, **settings)
    return sqlalchemy.create_engine(f"duckdb:///{file}", connect_args=settings)


def main(file: str, way: str, query: str) -> None:
    """Answer until standard input ends."""
    # What the magics say goes to standard error: the answers have standard output for themselves.
    answers, sys.stdout = sys.stdout, sys.stderr
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "sql")
    shell.run_line_magic("config", "SqlMagic.autopandas = True")
    shell.run_line_magic("config", "SqlMagic.feedback = 0")
    shell.user_ns["database"] = connection(file, way)
    shell.run_line_magic("sql", "database")
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        rows = shell.run_cell_magic("sql", "", query)
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "shape": rows.shape}), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
