"""``Parameters`` and ``Limit`` over HTTP: what may be sent, what is kept, what comes back."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.casjobs.casjobs_platform import FIRST, STARS, CasJobsPlatform, Client
from tests.support import wait_until

TWO = "select top (@n) objID, class from Stars where class = @c order by objID"
SENT = {"n": 2, "c": "galaxy", "when": {"value": "2026-01-31T12:00:00", "type": "datetime"}}


def ask(client: Client, sql: str, parameters: Any, context: str = "Sky", **body: Any) -> str:
    """Rows as CSV; it must work."""
    answer = client.query(sql, context, body={"Parameters": parameters, **body})
    assert answer.status_code == 200, answer.text
    return answer.content.decode()


def test_a_quick_query(ada: Client) -> None:
    assert ask(ada, TWO, SENT) == f"objID,class\n{FIRST + 1},GALAXY\n{FIRST + 2},GALAXY\n"
    assert ask(ada, "select $n as n, $c as c", SENT, Dialect="duckdb") == "n,c\n2,galaxy\n"
    [job] = ada.call("GET", "jobs?top=1").json()
    assert (job["Parameters"], job["Query"]) == (SENT, "select $n as n, $c as c")


@pytest.mark.parametrize("nothing", [None, {}])
def test_none_is_as_nothing(ada: Client, nothing: Any) -> None:
    assert ask(ada, "select 1 as x", nothing) == "x\n1\n"
    assert ada.call("GET", "jobs?top=1").json()[0]["Parameters"] == {}


def test_large_numbers_are_exact(ada: Client) -> None:
    text = "select @a as a, @b as b, @c as c"
    assert ask(ada, text, {"a": 2**63 - 1, "b": -(2**63), "c": 0.1}) == f"a,b,c\n{2**63 - 1},{-(2**63)},0.1\n"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ([1], "Parameters is not an object."),
        ("x", "Parameters is not an object."),
        ({"1x": 1}, "'1x' cannot be the name of a parameter."),
        ({"a-b": 1}, "cannot be the name"),
        ({"": 1}, "cannot be the name"),
        ({"é": 1}, "cannot be the name"),
        ({"x" * 65: 1}, "cannot be the name"),
        ({"@x": 1}, "cannot be the name"),
        ({"x": 1, "X": 2}, "The parameter X is there twice"),
        ({f"p{number}": number for number in range(1001)}, "more than 1,000 parameters"),
        ({"x": [1, 2]}, "write IN (@a, @b)"),
        ({"x": {"value": 1}}, "cannot be an object"),
        ({"x": {"type": "int"}}, "cannot be an object"),
        ({"x": {"value": 1, "type": "int", "more": 1}}, "cannot be an object"),
        ({"x": {"value": {}, "type": "int"}}, "send a whole number"),
        ({"x": 2**63}, 'Send it as text with {"type": "decimal(38)"}.'),
        ({"x": -(2**63) - 1}, "outside"),
        ({"x": float("nan")}, "neither infinite nor NaN"),
        ({"x": float("inf")}, "neither infinite nor NaN"),
        ({"x": {"value": 10**400, "type": "float"}}, "too large"),
        ({"x": {"value": 1e39, "type": "real"}}, "too large"),
        ({"x": {"value": 256, "type": "tinyint"}}, "0 to 255"),
        ({"x": {"value": True, "type": "int"}}, "whole number"),
        ({"x": {"value": 1.5, "type": "int"}}, "whole number"),
        ({"x": {"value": 2, "type": "bit"}}, "true, false, 0 or 1"),
        ({"x": {"value": "1000", "type": "decimal(3)"}}, "3 digits before the point"),
        ({"x": {"value": "NaN", "type": "decimal(3)"}}, "finite"),
        ({"x": {"value": "1", "type": "decimal(39)"}}, "1 to 38 digits"),
        ({"x": {"value": "abc", "type": "varchar(2)"}}, "3 characters"),
        ({"x": {"value": 1, "type": "varchar(2)"}}, "send text"),
        ({"x": {"value": "2026-13-01", "type": "date"}}, "such as 2026-01-31"),
        ({"x": {"value": "2026-01-01T00:00:00Z", "type": "datetime"}}, "datetimeoffset"),
        ({"x": {"value": "0x1", "type": "varbinary(8)"}}, "two digits for each byte"),
        ({"x": {"value": 1, "type": "xml"}}, "which is none"),
        ({"x": {"value": 1, "type": "int); drop table t; --"}}, "which is none"),
        ({"x": {"value": 1, "type": "int(3)"}}, "takes no size"),
        ({"x": {"value": 1, "type": "money(3)"}}, "takes no size"),
    ],
    ids=str,
)
def test_what_cannot_be_one(ada: Client, sent: Any, words: str) -> None:
    for method, path in (("POST", "query"), ("POST", "explain"), ("PUT", "jobs")):
        body = json.dumps({"Query": "select @x as x", "Parameters": sent})
        answer = ada.call(method, f"contexts/Sky/{path}", data=body.encode())
        assert answer.status_code == 400
        assert words in answer.json()["error"]


def test_what_would_be_done(ada: Client) -> None:
    body = {"Query": f"{TWO}, @other", "Parameters": SENT}
    answer = ada.call("POST", "contexts/Sky/explain", json=body)
    assert answer.json()["parameters"] == ["other"]
    assert "galaxy" not in answer.json()["statements"][0]["sql"]


def test_a_job_keeps_them(ada: Client) -> None:
    number = ada.submit(TWO.replace("from", "into MyDB.two from"), "Sky", Parameters=SENT)
    job = ada.ended(number)
    assert (job["Status"], job["Parameters"], job["Rows"]) == (5, SENT, 2), job["Message"]
    assert "galaxy" not in job["ModifiedQuery"]
    assert ada.csv("select count(*) as n from two") == "n\n2\n"


def test_a_kept_job_runs_again_after_the_service_was_killed(platform: CasJobsPlatform) -> None:
    client = platform.client("ulrike")
    slow = "select sum(cast(a.objID % 7 as bigint)) as s from Stars a, Stars b, Stars c where a.ra + b.ra <> @x"
    sent = {"x": -1.5, "text": "'; drop table Stars; --"}
    ended = client.ended(client.submit("select @text as t", Parameters=sent))
    number = client.submit(f"select @text as t into MyDB.kept; {slow}", "Sky", Parameters=sent)
    wait_until(lambda: client.job(number)["Statement"] == 2, what="the first statement is done, and the second runs")
    platform.kill_service()
    platform.start_service()
    job = client.ended(number)
    assert (job["Status"], job["Parameters"], job["Attempts"]) == (5, sent, 2), job["Message"]
    assert client.csv("select t from kept") == "t\n'; drop table Stars; --\n"
    again = client.call("POST", f"jobs/{ended['JobID']}/resubmit").json()
    assert again["Parameters"] == sent
    assert client.ended(again["JobID"])["Status"] == 5
    rows = client.call("GET", f"jobs/{again['JobID']}/results/1?format=csv")
    assert rows.text == "t\n'; drop table Stars; --\n"


def test_a_query_that_goes_on_as_a_job(ada: Client) -> None:
    slow = "select @t as t, count(*) as n from Stars a, Stars b, Stars c where a.ra + b.ra + c.ra <> @x"
    body = {"Parameters": {"t": "x", "x": 0.5}}
    answer = ada.query(slow, "Hasty", body=body, params={"onTimeout": "queue"})
    assert answer.status_code == 202
    job = ada.ended(answer.json()["JobID"])
    assert (job["Status"], job["Parameters"]) == (5, body["Parameters"])
    assert ada.call("GET", f"jobs/{job['JobID']}/results/1?format=csv").text == f"t,n\nx,{STARS**3}\n"


def batches(content: bytes) -> tuple[int, bool]:
    """Rows of an Arrow stream, and whether it says that there are more."""
    rows, cut = 0, False
    with pa.ipc.open_stream(content) as reader:
        while True:
            try:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                return rows, cut
            rows += batch.num_rows
            cut = cut or (metadata or {}).get(b"casjobs.cut") == b"true"


@pytest.mark.parametrize(("limit", "rows", "cut"), [(1, 1, True), (STARS - 1, STARS - 1, True), (STARS, STARS, False)])
def test_fewer_rows(ada: Client, limit: int, rows: int, cut: bool) -> None:
    def get(form: str, sql: str = "select objID from Stars order by objID") -> bytes:
        answer = ada.query(sql, "Sky", body={"Limit": limit}, params={"format": form})
        assert answer.status_code == 200, answer.text
        return answer.content

    assert batches(get("arrow")) == (rows, cut)
    assert batches(get("arrow", "declare @n int = 1; select objID, @n as n from Stars")) == (rows, cut)
    found = json.loads(get("json-array"))["Result"][0]
    assert (len(found["Data"]), found.get("Cut", False)) == (rows, cut)
    assert (b"OVERFLOW" in get("votable")) == cut
    assert get("csv").count(b"\n") == rows + 1
    assert pq.read_table(io.BytesIO(get("parquet"))).num_rows == rows
    assert int(re.search(rb"NAXIS2 += +(\d+)", get("fits"))[1]) == rows  # type: ignore[index]
    assert ada.call("GET", "jobs?top=1").json()[0]["Limit"] == limit


def test_fewer_rows_of_a_job(ada: Client) -> None:
    job = ada.ended(ada.submit("select objID from Stars; select 1 as x", "Sky", Limit=5))
    assert (job["Limit"], [result["rows"] for result in job["Results"]]) == (5, [5, 1])
    first = ada.call("GET", f"jobs/{job['JobID']}/results/1?format=arrow")
    assert batches(first.content) == (5, True)
    again = ada.call("POST", f"jobs/{job['JobID']}/resubmit").json()
    assert again["Limit"] == 5
    job = ada.ended(ada.submit("select objID into MyDB.whole from Stars", "Sky", Limit=5))
    assert job["Rows"] == STARS


@pytest.mark.parametrize("limit", [0, -1, 1.5, "5", True, 2**60])
def test_limits_that_are_none(ada: Client, limit: Any) -> None:
    assert ada.query("select 1", body={"Limit": limit}).status_code == 400
