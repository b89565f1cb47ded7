"""What breaks while somebody waits: the answer, the client, a worker, the service; and many who come at once."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from tests.casjobs.casjobs_platform import FIRST, STARS, CasJobsPlatform, Client
from tests.support import wait_until

ENDLESS = "select count(*) as n from Stars a, Stars b, Stars c, Stars d where a.ra + b.ra + c.ra + d.ra > 1"
MANY = "select a.objID, b.ra, c.name from Stars a, Stars b, Fields c"
"""10^7 rows, several hundred megabytes as text."""

# The last of a million rows cannot be converted.
LATE = f"""
select a.objID as a, b.objID as b,
       cast(case when a.objID + b.objID = {2 * (FIRST + STARS - 1)} then 'x' else '1' end as int) as c
from Stars a, Stars b
"""  # noqa: S608 - our own constants


def workers(platform: CasJobsPlatform) -> list[psutil.Process]:
    """Worker processes that have a user, and so a session."""
    assert platform.service.popen is not None
    service = psutil.Process(platform.service.popen.pid)
    found = []
    for process in service.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.uids().real >= 1_900_000_000 and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.fixture(autouse=True)
def _nothing_runs(platform: CasJobsPlatform) -> None:
    wait_until(lambda: not workers(platform), what="nothing runs")


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "through the proxy"])
def test_an_answer_that_breaks_off_is_noticed(platform: CasJobsPlatform, direct: bool) -> None:
    client = platform.client("fay", direct=direct)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.query(LATE, "Sky")
    job = client.call("GET", "jobs", params={"top": 1}).json()[0]
    assert job["Status"] == 4
    assert job["Error"]["kind"] == "data"
    # With an error that comes before the first byte, there is a status.
    assert (
        client.query(LATE.replace("from Stars a", "from Fields f, Stars a"), "Sky", "application/fits").status_code
        == 400
    )


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "through the proxy"])
def test_a_client_that_goes_mid_stream(platform: CasJobsPlatform, direct: bool) -> None:
    client = platform.client("fay", direct=direct)
    answer = client.query(MANY, "Sky", stream=True)
    assert answer.status_code == 200
    # Kept: the connection is closed with the iterator.
    pieces = answer.iter_content(1000)
    assert next(pieces)
    assert len(workers(platform)) == 1
    answer.close()
    wait_until(lambda: not workers(platform), what="the worker is gone")
    job = wait_until(lambda: client.call("GET", "jobs", params={"top": 1, "status": "3"}).json(), what="the record")[0]
    assert job["Query"] == MANY
    assert "client" in job["Message"]


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "through the proxy"])
def test_a_client_that_goes_before_the_answer(platform: CasJobsPlatform, direct: bool) -> None:
    client = platform.client("fay", direct=direct)
    address = urlsplit(client.rest)
    body = b'{"Query": "%s"}' % ENDLESS.encode()
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(
            b"POST %s/contexts/Sky/query HTTP/1.1\r\nHost: %s\r\nX-Auth-Token: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (
                address.path.encode(),
                address.netloc.encode(),
                platform.token("fay").encode(),
                len(body),
                body,
            )
        )
        wait_until(lambda: workers(platform), what="the query runs")
    wait_until(lambda: not workers(platform), what="the worker is gone")


def test_a_client_that_waits_and_goes(platform: CasJobsPlatform) -> None:
    """Long polls of clients that have gone do not stay behind."""
    client = platform.client("fay")
    number = client.submit(ENDLESS, "Sky")
    wait_until(lambda: client.job(number)["Status"] == 1, what="the job runs")
    for _ in range(5):
        with pytest.raises(requests.exceptions.Timeout):
            client.get(f"{client.rest}/jobs/{number}", params={"wait": 60}, timeout=0.2)
    assert client.call("DELETE", f"jobs/{number}").status_code == 200
    assert client.ended(number)["Status"] == 3


def test_jobs_that_are_cancelled_while_they_start(platform: CasJobsPlatform) -> None:
    """They leave no worker behind; the fixture of the next test says the same."""
    client = platform.client("fay", direct=True)
    for _ in range(12):
        number = client.submit(ENDLESS, "Sky")
        wait_until(lambda number=number: client.job(number)["Status"] != 0, what="the job starts")
        assert client.call("DELETE", f"jobs/{number}").status_code == 200
        assert client.ended(number)["Status"] == 3
    wait_until(lambda: not workers(platform), what="nothing runs")


def test_a_slow_client_gets_everything(platform: CasJobsPlatform) -> None:
    """And the service does not keep for it what it has not taken yet."""
    client = platform.client("fay", direct=True)
    assert platform.service.popen is not None
    service = psutil.Process(platform.service.popen.pid)
    rows, most = 0, 0
    before = service.memory_info().rss
    with client.query(MANY.replace("select", "select top 2000000"), "Sky", stream=True) as answer:
        for chunk in answer.iter_content(1 << 20):
            rows += chunk.count(b"\n")
            most = max(most, service.memory_info().rss)
    assert rows == 2_000_001
    assert most - before < 50e6


def test_two_hundred_at_once(platform: CasJobsPlatform) -> None:
    clients = [platform.client(f"user{number}") for number in range(20)]

    def ask(number: int) -> tuple[int, str]:
        client = clients[number % 20]
        text = f"select objID - {FIRST} as i, {number} as n from Stars where objID = {FIRST + number}"  # noqa: S608
        # A connection each: they do come at once.
        answer = requests.post(
            f"{client.rest}/contexts/Sky/query",
            json={"Query": text},
            headers={**client.headers, "Accept": "text/plain"},
            timeout=280,
        )
        return answer.status_code, answer.text

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(200)))
    assert answers == [(200, f"i,n\n{number},{number}\n") for number in range(200)]
    for client in clients:
        jobs = client.call("GET", "jobs").json()
        assert [job["Status"] for job in jobs] == [5] * 10


def test_a_worker_that_is_killed(platform: CasJobsPlatform) -> None:
    client = platform.client("gus")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.query, ENDLESS, "Sky")
        [worker] = wait_until(lambda: workers(platform), what="the query runs")
        worker.kill()
        assert answer.result().status_code == 500
        assert "error" in answer.result().json()
    assert client.csv("select 1 as one") == "one\n1\n"


INSERTING = """
select objID into MyDB.{0} from Stars
insert into MyDB.{0} select a.objID from Stars a, Stars b, Stars c
    where sqrt(a.ra * a.ra + b.ra * b.ra + c.ra * c.ra) < 0.1
"""
"""The second statement takes some seconds, and finds one row."""


def interrupted(client: Client, table: str) -> int:
    """A job of which the first statement is done."""
    number = client.submit(INSERTING.format(table), "Sky")
    wait_until(lambda: client.job(number)["Statement"] == 2, what="the second statement runs")
    return number


def once(client: Client, table: str, number: int) -> None:
    """The job has finished, and done everything once, though it was begun twice."""
    job = client.ended(number)
    assert (job["Status"], job["Attempts"]) == (5, 2), job["Message"]
    counts = client.csv(f"select count(*) as n, count(distinct objID) as d from MyDB.{table}")  # noqa: S608
    assert counts == f"n,d\n{STARS + 1},{STARS}\n"
    assert client.call("DELETE", f"contexts/MyDB/Tables/{table}").status_code == 200


def test_a_worker_of_a_long_job_that_is_killed(platform: CasJobsPlatform) -> None:
    client = platform.client("gus")
    number = interrupted(client, "ByWorker")
    [worker] = workers(platform)
    worker.kill()
    once(client, "ByWorker", number)


def test_the_service_is_killed_and_started_again(platform: CasJobsPlatform) -> None:
    client = platform.client("gus")
    quick = client.call("GET", "jobs").json()
    number = interrupted(client, "ByService")
    left = workers(platform)
    platform.kill_service()
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive
    platform.start_service()
    once(client, "ByService", number)
    assert len(client.call("GET", "jobs").json()) >= len(quick) + 1


def test_the_service_is_stopped(platform: CasJobsPlatform) -> None:
    """Who waits is told; what waits goes on afterwards."""
    client, other = platform.client("gus"), platform.client("hal")
    number = interrupted(client, "ByOperator")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(other.query, ENDLESS, "Sky")
        wait_until(lambda: len(workers(platform)) == 2, what="both run")
        assert platform.service.stop(signal.SIGTERM) == 0
        assert answer.result().status_code == 503
        assert "restarted" in answer.result().json()["error"]
        assert int(answer.result().headers["Retry-After"]) > 0
    platform.start_service()
    job = client.ended(number)
    assert (job["Status"], job["Attempts"]) == (5, 1), job["Message"]
    assert client.csv("select count(*) as n from MyDB.ByOperator") == f"n\n{STARS + 1}\n"
    assert client.call("DELETE", "contexts/MyDB/Tables/ByOperator").status_code == 200
    log = platform.service.log.read_text()
    assert "CasJobs stopped." in log
    assert "Traceback" not in log


def test_no_room_for_an_upload(platform: CasJobsPlatform) -> None:
    client = platform.client("gus")
    uploads = platform.deployment.casjobs_dir / "uploads"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(uploads)], check=True)
    try:
        answer = client.upload("NoRoom", b"a\n" + b"1\n" * 2_000_000)
        assert answer.status_code == 503
        assert "room" in answer.json()["error"]
        assert "/" not in answer.json()["error"]
        assert not list(uploads.iterdir())
    finally:
        subprocess.run(["umount", str(uploads)], check=True)
    assert client.upload("Room", b"a\n1\n").status_code == 200
    assert client.call("DELETE", "contexts/MyDB/Tables/Room").status_code == 200
