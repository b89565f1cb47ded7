"""The long queue and the history over HTTP: what SciServer's clients do not ask for, and our page does."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator

import pytest

from tests.casjobs.casjobs_platform import STARS, CasJobsPlatform, Client
from tests.support import wait_until

# Compared with 1: a condition that is always true is not computed.
ENDLESS = "select count(*) as n from Stars a, Stars b, Stars c, Stars d where a.ra + b.ra + c.ra + d.ra > 1"
SECONDS = "select count(*) as n from Stars a, Stars b, Stars c where a.ra + b.ra + c.ra > 0.1"
"""Takes some, and misses only one of 10^9."""


@pytest.fixture(scope="module")
def dora(platform: CasJobsPlatform) -> Client:
    """Somebody whose history nobody else writes."""
    return platform.client("dora")


@pytest.fixture
def endless(dora: Client) -> Iterator[int]:
    """A running job."""
    number = dora.submit(ENDLESS, "Sky")
    wait_until(lambda: dora.job(number)["Status"] == 1, what="the job runs")
    yield number
    dora.call("DELETE", f"jobs/{number}")
    dora.ended(number)


def test_waiting_for_a_change(dora: Client, endless: int) -> None:
    started = time.monotonic()
    assert dora.job(endless, wait=2)["Status"] == 1
    assert time.monotonic() - started >= 2
    waiting = dora.submit("select 1 as one")
    assert dora.job(waiting, wait=0)["Status"] == 0
    assert dora.call("DELETE", f"jobs/{endless}").status_code == 200
    # Longer than it lasts.
    assert dora.job(endless, wait=60)["Status"] == 3
    for wrong in ("-1", "soon", "1.5"):
        assert dora.call("GET", f"jobs/{endless}?wait={wrong}").status_code == 400
    assert dora.ended(waiting)["Status"] == 5
    # One that has ended has nothing to wait for.
    started = time.monotonic()
    dora.job(waiting, wait=60)
    assert time.monotonic() - started < 60


def test_places_in_the_queue(dora: Client, endless: int) -> None:
    first, second = (dora.submit("select 1 as one", "Sky") for _ in range(2))
    assert [dora.job(number)["Position"] for number in (first, second)] == [1, 2]
    assert "running" in dora.job(first)["Reason"]
    assert dora.job(endless)["Position"] is None
    queues = dora.call("GET", "queues").json()
    assert queues["Waiting"] >= 2
    assert queues["Running"] >= 1
    assert queues["Queues"] == [{"Name": "long", "Minutes": 480.0}]
    assert [(job["JobID"], job["Position"]) for job in queues["Yours"]] == [(endless, None), (first, 1), (second, 2)]
    limits = dora.call("GET", "limits").json()
    assert (limits["Running"], limits["Waiting"]) == (1, 2)
    assert dora.call("DELETE", f"jobs/{first}").status_code == 200
    assert dora.job(second)["Position"] == 1
    dora.call("DELETE", f"jobs/{second}")


def test_a_result_before_there_is_one(dora: Client, endless: int) -> None:
    answer = dora.call("GET", f"jobs/{endless}/results/1")
    assert answer.status_code == 404
    assert "not ended" in answer.json()["error"]
    failed = dora.submit("select 1/0 as x where 1 = cast('x' as int)")
    dora.call("DELETE", f"jobs/{endless}")
    assert dora.ended(failed)["Status"] == 4
    answer = dora.call("GET", f"jobs/{failed}/results/1")
    assert answer.status_code == 404
    assert "has not finished" in answer.json()["error"]


def test_the_history(platform: CasJobsPlatform) -> None:
    emil = platform.client("emil")
    emil.csv("select 1 as needle", "Sky")
    emil.query("select nosuch as needle", "MyDB", body={"TaskName": "my task"})
    number = emil.submit("select 2 as straw", "Sky", TaskName="haystack")
    emil.ended(number)

    def found(**params: str) -> list[str]:
        answer = emil.call("GET", "jobs", params=params)
        assert answer.status_code == 200, answer.text
        return [job["Query"].split()[1] for job in answer.json()]

    assert found() == ["2", "nosuch", "1"]
    assert found(search="NEEDLE") == ["nosuch", "1"]
    assert found(search="haystack") == ["2"]
    assert found(search="%") == []
    assert found(status="4") == ["nosuch"]
    assert found(status="failed,5") == ["2", "nosuch", "1"]
    assert found(kind="long") == ["2"]
    assert found(kind="quick, long", context="sky") == ["2", "1"]
    assert found(top="1") == ["2"]
    assert found(before=str(number)) == ["nosuch", "1"]
    today = datetime.datetime.now(datetime.UTC)
    tomorrow = (today + datetime.timedelta(days=1)).date().isoformat()
    yesterday = (today - datetime.timedelta(days=1)).date().isoformat()
    assert len(found(submittedFrom=yesterday, submittedTo=tomorrow)) == 3
    assert len(found(submittedTo=today.date().isoformat())) in {0, 3}  # 0: the day has just ended
    assert found(submittedFrom=tomorrow) == []
    assert found(submittedTo=yesterday) == []
    assert len(found(submittedFrom=f"{yesterday}T12:00:00+05:00")) == 3
    assert len(found(SubmittedFrom=f"{yesterday} 12:00:00")) == 3
    for wrong in ({"status": "9"}, {"kind": "slow"}, {"top": "all"}, {"submittedFrom": "yesterday"}, {"before": "x"}):
        answer = emil.call("GET", "jobs", params=wrong)
        assert answer.status_code == 400, wrong
        assert answer.json()["error"]


def test_again(dora: Client) -> None:
    dora.csv("select count(*) as n from Fields", "Sky")
    quick = dora.call("GET", "jobs", params={"top": 1}).json()[0]
    answer = dora.call("POST", f"jobs/{quick['JobID']}/resubmit")
    assert answer.status_code == 200
    again = answer.json()
    assert (again["Kind"], again["Query"], again["Target"]) == ("long", quick["Query"], "Sky")
    assert dora.ended(again["JobID"])["Status"] == 5
    assert dora.call("GET", f"jobs/{again['JobID']}/results/1?format=csv").text == "n\n10\n"
    assert dora.call("POST", "jobs/999999999/resubmit").status_code == 404


def test_numbers_of_jobs(dora: Client) -> None:
    for number in ("0", "-1", "x", "1.0", "99999999999999999999999", "1e3", "%00", "1'"):
        for method in ("GET", "DELETE"):
            assert dora.call(method, f"jobs/{number}").status_code == 404, number


def test_a_quick_query_that_becomes_a_long_one(platform: CasJobsPlatform, dora: Client) -> None:
    """The context allows half a second only."""
    answer = dora.query(SECONDS, "Hasty", "application/json+array", params={"onTimeout": "queue"})
    assert answer.status_code == 202, answer.text
    number = answer.json()["JobID"]
    assert answer.headers["Location"] == f"{platform.rest}/jobs/{number}"
    job = dora.get(answer.headers["Location"], timeout=30).json()
    assert (job["JobID"], job["Kind"], job["Query"]) == (number, "long", SECONDS)
    assert dora.ended(number)["Status"] == 5
    assert dora.call("GET", f"jobs/{number}/results/1?format=csv").text == f"n\n{STARS**3 - 1}\n"


def test_one_that_is_quick_enough_does_not(dora: Client) -> None:
    answer = dora.query("select 1 as one", "Sky", params={"onTimeout": "queue"})
    assert (answer.status_code, answer.text) == (200, "one\n1\n")


def test_the_time_of_a_quick_query(dora: Client) -> None:
    for params in ({}, {"onTimeout": "fail"}):
        answer = dora.query(ENDLESS, "Hasty", params=params)
        assert answer.status_code == 504
        assert answer.json()["Error Type"] == "timeout"
    assert dora.query("select 1", params={"onTimeout": "explode"}).status_code == 400
    job = dora.call("GET", "jobs", params={"top": 2, "context": "Hasty"}).json()[0]
    assert (job["Status"], job["Error"]["kind"]) == (4, "timeout")


def test_what_a_query_would_do(dora: Client) -> None:
    answer = dora.call(
        "POST",
        "contexts/Sky/explain",
        json={"Query": "select top 5 s.objID, f.name\nfrom Stars s, Fields f\nselect objID into MyDB.Made from Stars"},
    )
    assert answer.status_code == 200, answer.text
    first, second = answer.json()["statements"]
    assert (first["action"], first["line"], first["target"]) == ("select", 1, None)
    assert set(first["reads"]) == {"Sky.Stars", "Sky.Fields"}
    assert "LIMIT 5" in first["sql"]
    assert "Stars" in first["plan"]
    assert (second["action"], second["line"], second["target"]) == ("into", 3, "MyDB.Made")
    assert second["estimated_rows"] == STARS
    assert {(table["table"], table["rows"]) for table in answer.json()["tables"]} == {
        ("Stars", STARS),
        ("Fields", 10),
        ("Made", None),
    }
    assert dora.call("GET", "contexts/MyDB/Tables").json() == []
    wrong = dora.call("POST", "contexts/Sky/explain", json={"Query": "select\n nosuch from Stars"})
    assert (wrong.status_code, wrong.json()["line"], wrong.json()["column"]) == (400, 2, 2)


def test_a_dialect_of_ones_own(dora: Client) -> None:
    query = "select objID // 2 as half from Stars order by objID limit 1"
    assert dora.query(query, "Sky", body={"Dialect": "duckdb"}).status_code == 200
    assert dora.query(query, "Sky").status_code == 400
    for dialect, status in [("postgresql", 400), ("klingon", 400), ("DuckDB", 200)]:
        assert dora.query("select 1 as one", "Sky", body={"Dialect": dialect}).status_code == status, dialect
