"""The way to Trino, against a server that speaks as much of its protocol as one statement needs.

There is no Trino to install from a package registry, so its planner, its types beyond those written here, and TLS are
not tested.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from casjobs_service import adopt
from casjobs_service.catalog import Column
from casjobs_service.contexts import Context, ContextError, Contexts
from casjobs_service.engines import explain_remote, run_remote
from casjobs_service.engines.base import Login
from casjobs_service.engines.trino import Trino
from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits


@dataclass
class Coordinator:
    """Answers of ``POST /v1/statement`` by what the statement contains: columns with types, and pages of rows."""

    answers: dict[str, tuple[list[tuple[str, str]], list[list[Any]]]] = field(default_factory=dict)
    errors: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    asked_again: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def first(self, sql: str, headers: dict[str, str]) -> dict[str, Any]:
        """The answer to a new statement: nothing yet."""
        self.seen.append((sql, headers))
        return self._answer(f"{len(self.seen) - 1}/0")

    def page(self, number: int, page: int) -> dict[str, Any]:
        """The next answer."""
        sql = self.seen[number][0]
        if "ENDLESS" in sql:
            self.asked_again.set()
            time.sleep(0.1)
            return self._answer(f"{number}/0", state="RUNNING")
        for words, error in self.errors.items():
            if words in sql:
                return {**self._answer(None, state="FAILED"), "error": error}
        columns, pages = next(answer for words, answer in self.answers.items() if words in sql)
        more = f"{number}/{page + 1}" if page + 1 < len(pages) else None
        described = [{"name": name, "type": type, "typeSignature": _signature(type)} for name, type in columns]
        rows = pages[page] if pages else []
        return {**self._answer(more, state="RUNNING" if more else "FINISHED"), "columns": described, "data": rows}

    def _answer(self, following: str | None, state: str = "QUEUED") -> dict[str, Any]:
        answer: dict[str, Any] = {"id": "1", "infoUri": "http://x/", "stats": {"state": state}, "warnings": []}
        if following is not None:
            answer["nextUri"] = f"http://127.0.0.1:{self.port}/v1/statement/{following}"
        return answer


def _signature(type: str) -> dict[str, Any]:
    name, _, rest = type.partition("(")
    arguments: list[dict[str, Any]] = []
    if name == "array":
        arguments = [{"kind": "TYPE", "value": _signature(rest.removesuffix(")"))}]
    elif rest:
        numbers, _, zone = rest.partition(")")
        name += zone
        arguments = [{"kind": "LONG", "value": int(number)} for number in numbers.split(",")]
    return {"rawType": name, "arguments": arguments}


@pytest.fixture(scope="module")
def coordinator() -> Iterator[Coordinator]:
    coordinator = Coordinator()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if "REFUSED" in sql:
                self.send_response(401)
                self.end_headers()
                return
            self._send(coordinator.first(sql, dict(self.headers)))

        def do_GET(self) -> None:
            number, page = map(int, self.path.split("/")[-2:])
            self._send(coordinator.page(number, page))

        def do_DELETE(self) -> None:
            coordinator.cancelled.set()
            self.send_response(204)
            self.end_headers()

        def _send(self, answer: dict[str, Any]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    coordinator.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield coordinator
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return Contexts(tmp_path_factory.mktemp("home") / "casjobs/contexts")


@pytest.fixture(scope="module")
def context(coordinator: Coordinator, contexts: Contexts) -> Context:
    coordinator.answers |= {
        "jdbc.columns": (
            [("table_name", "varchar"), ("column_name", "varchar"), ("type_name", "varchar"), ("remarks", "varchar")],
            [
                [
                    ["stars", "id", "bigint", None],
                    ["stars", "flux", "decimal(18,4)", '{"unit": "Jy", "description": "Flux"}'],
                ],
                [["stars", "tags", "array(varchar(5))", "Tags"], ["bright", "id", "bigint", None]],
            ],
        ),
        "table_comments": ([("table_name", "varchar"), ("comment", "varchar")], [[["stars", "All stars"]]]),
        "jdbc.tables": (
            [("table_name", "varchar"), ("table_type", "varchar")],
            [[["bright", "VIEW"], ["stars", "TABLE"]]],
        ),
    }
    return adopt.add(contexts, "T", f"trino://reader@127.0.0.1:{coordinator.port}/hive/sky")


def test_catalogue_of_a_schema(contexts: Contexts, context: Context) -> None:
    catalog = contexts.catalog("T")
    assert catalog is not None
    assert catalog.engine == "trino"
    assert [(table.name, table.kind, table.description) for table in catalog.tables] == [
        ("bright", "view", ""),
        ("stars", "table", "All stars"),
    ]
    assert catalog.tables[1].columns == [
        Column("id", "BIGINT"),
        Column("flux", "DECIMAL(18,4)", "Jy", description="Flux"),
        Column("tags", "VARCHAR[]", description="Tags"),
    ]


async def test_values_of_several_pages(coordinator: Coordinator, context: Context, tmp_path: Path) -> None:
    columns = {
        "b": ("boolean", True, pa.bool_(), True),
        "i1": ("tinyint", -128, pa.int8(), -128),
        "i8": ("bigint", 2**63 - 1, pa.int64(), 2**63 - 1),
        "r": ("real", 1.5, pa.float32(), 1.5),
        "f": ("double", "Infinity", pa.float64(), float("inf")),
        "d": ("decimal(18,4)", "12.5000", pa.decimal128(18, 4), Decimal("12.5000")),
        "v": ("varchar(9)", "é☃😀", pa.string(), "é☃😀"),
        "x": ("varbinary", base64.b64encode(b"\0\xff").decode(), pa.binary(), b"\0\xff"),
        "day": ("date", "2020-01-02", pa.date32(), date(2020, 1, 2)),
        "t": ("timestamp(6)", "2020-01-02 03:04:05.678901", pa.timestamp("us"), datetime(2020, 1, 2, 3, 4, 5, 678901)),
        "z": (
            "timestamp(3) with time zone",
            "2020-01-02 03:04:05.600 Europe/Paris",
            pa.timestamp("us", "UTC"),
            datetime(2020, 1, 2, 2, 4, 5, 600000, tzinfo=UTC),
        ),
        "a": ("array(bigint)", [1, None, 3], pa.list_(pa.int64()), [1, None, 3]),
        "u": ("uuid", "9e05e0ac-2c2c-4532-bc14-d10ad705e5c6", pa.string(), "9e05e0ac-2c2c-4532-bc14-d10ad705e5c6"),
    }
    row = [one[1] for one in columns.values()]
    coordinator.answers["VALUES"] = (
        [(name, one[0]) for name, one in columns.items()],
        [[], [row, [None] * len(row)], [], [row]],
    )
    target = tmp_path / "1.arrow"
    result = await run_remote(context.source(), "SELECT VALUES", {}, target, Limits(seconds=7))
    assert result.rows == 3
    with pa.ipc.open_stream(str(target)) as reader:
        table = reader.read_all()
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {n: one[2] for n, one in columns.items()}
    first, second, third = table.to_pylist()
    assert first == third == {name: one[3] for name, one in columns.items()}
    assert set(second.values()) == {None}
    headers = coordinator.seen[-1][1]
    assert (headers["X-Trino-User"], headers["X-Trino-Catalog"], headers["X-Trino-Schema"]) == (
        "reader",
        "hive",
        "sky",
    )
    assert headers["X-Trino-Session"] == "query_max_run_time=7.000s"


async def test_parameters_go_by_the_driver(coordinator: Coordinator, context: Context, tmp_path: Path) -> None:
    coordinator.answers["EXECUTE IMMEDIATE"] = ([("x", "bigint")], [[[5]]])
    sent = [("n", 5), ("c", "it's; --"), ("n", 5), ("t", {"value": "2026-01-31T12:00:00", "type": "datetime"})]
    sql = "SELECT ? AS n, ? AS c, ? + 1, ? AS t, 'a?' AS q"
    result = await run_remote(context, sql, {}, tmp_path / "1", Limits(), sent)
    assert result.rows == 1
    statement = coordinator.seen[-1][0]
    assert sql.replace("'", "''") in statement
    assert statement.endswith("USING 5,'it''s; --',5,TIMESTAMP '2026-01-31 12:00:00.000000'")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ({"errorName": "SYNTAX_ERROR", "message": "line 1:8: mismatched input"}, Kind.SYNTAX, "mismatched input"),
        ({"errorName": "COLUMN_NOT_FOUND", "message": "line 1:8: Column 'x'"}, Kind.NAME, "Column 'x'"),
        ({"errorName": "PERMISSION_DENIED", "message": "Access Denied"}, Kind.FORBIDDEN, "Access Denied"),
        ({"errorName": "EXCEEDED_TIME_LIMIT", "message": "x"}, Kind.TIMEOUT, "longer than 60 seconds"),
        ({"errorName": "EXCEEDED_MEMORY", "errorType": "INSUFFICIENT_RESOURCES", "message": "m"}, Kind.LIMIT, "m"),
        ({"errorName": "HIVE", "errorType": "EXTERNAL", "message": "10.0.0.1"}, Kind.UNAVAILABLE, "does not answer"),
        ({"errorName": "DIVISION_BY_ZERO", "message": "Division by zero"}, Kind.DATA, "Division by zero"),
    ],
)
async def test_faults(
    coordinator: Coordinator, context: Context, tmp_path: Path, error: dict[str, str], kind: Kind, words: str
) -> None:
    coordinator.errors["FAULT"] = {"errorType": "USER_ERROR", **error}
    with pytest.raises(QueryError) as caught:
        await run_remote(context, "SELECT FAULT", {}, tmp_path / "1", Limits())
    assert (caught.value.kind, caught.value.message.startswith("line 1")) == (kind, False)
    assert words in caught.value.message


async def test_a_refusal_is_told(context: Context, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="does not let this service in"):
        await run_remote(context, "SELECT REFUSED", {}, tmp_path / "1", Limits())


async def test_a_cancelled_statement_is_cancelled_at_the_coordinator(
    coordinator: Coordinator, context: Context, tmp_path: Path
) -> None:
    task = asyncio.create_task(run_remote(context, "SELECT ENDLESS", {}, tmp_path / "1", Limits()))
    # Not before: there is nothing to cancel for who does not know the statement's number.
    assert await asyncio.to_thread(coordinator.asked_again.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(coordinator.cancelled.wait, 60)


async def test_own_tables_are_refused_with_a_way_out(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "u"
    with pa.ipc.new_stream(str(file), pa.schema([("x", pa.int64())])):
        pass
    with pytest.raises(QueryError, match="SELECT … INTO MyDB first") as caught:
        await run_remote(context, "SELECT 1", {"u": file}, tmp_path / "1", Limits())
    assert caught.value.kind == Kind.UNSUPPORTED


async def test_plan_and_estimate(coordinator: Coordinator, context: Context) -> None:
    text = "Output[columnNames = [id]]\n    Estimates: {rows: 1500 (13kB), cpu: 0}\n    Estimates: {rows: 7 (1B)}"
    coordinator.answers["EXPLAIN"] = ([("Query Plan", "varchar")], [[[text]]])
    explanation = await explain_remote(context, "SELECT id FROM stars", Limits())
    assert (explanation.text, explanation.rows) == (text, 1500)


def test_a_password_goes_over_tls_only(coordinator: Coordinator) -> None:
    engine = Trino(Login("trino://reader@127.0.0.1/hive/sky", "secret"), 10)
    assert engine._connection.http_scheme == "https"
    url = f"trino://reader@127.0.0.1:{coordinator.port}/hive/sky?http_scheme=http"
    with pytest.raises(QueryError, match="does not let this service in"):
        Trino(Login(url, "secret"), 10)
    assert not any("Authorization" in headers for _, headers in coordinator.seen)


def test_an_address_needs_catalogue_and_schema(coordinator: Coordinator, contexts: Contexts) -> None:
    with pytest.raises(ContextError, match="/CATALOG/SCHEMA"):
        adopt.add(contexts, "U", f"trino://reader@127.0.0.1:{coordinator.port}/hive")
