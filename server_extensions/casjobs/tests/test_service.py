"""With the real CasJobs behind it."""

from __future__ import annotations

import asyncio
import io
import json
import time
from pathlib import Path

import pyarrow.ipc
import pytest

from tests.casjobs.casjobs_platform import CasJobsPlatform, Client
from tests.support import wait_until

REST = "sciserver/casjobs/rest/"

ENDLESS = "select count(*) n from Stars a, Stars b, Stars c, Stars d where a.ra + b.ra + c.ra + d.ra > 1"
MANY = "select a.objID, b.ra, a.mag, b.class from Stars a, Stars b, Fields f"


@pytest.fixture
def upstream(platform: CasJobsPlatform) -> str:
    return f"{platform.direct_url}/RestApi"


@pytest.fixture
def ada(platform: CasJobsPlatform, token_path: Path) -> Client:
    """Whose server it is, where she uses CasJobs without it."""
    token_path.write_text(platform.token("ada-l"))
    return platform.client("ada-l", direct=True)


def query(sql: str) -> bytes:
    return json.dumps({"Query": sql}).encode()


async def test_tables_and_columns(ada: Client, call) -> None:
    tables = json.loads((await call("GET", f"{REST}contexts/Sky/Tables")).body)
    assert {table["Name"] for table in tables} >= {"Stars", "Fields"}
    columns = json.loads((await call("GET", f"{REST}contexts/Sky/Tables/Stars")).body)
    assert columns == ada.call("GET", "contexts/Sky/Tables/Stars").json()


async def test_rows_are_the_services(ada: Client, call) -> None:
    """A result of some size, the same bytes as without the extension."""
    sql = "select top 200000 a.objID, b.ra, a.mag, b.class from Stars a, Stars b order by a.objID, b.ra"
    for kind in ("text/csv", "application/vnd.apache.arrow.stream"):
        answer = await call("POST", f"{REST}contexts/Sky/query", headers={"Accept": kind}, body=query(sql))
        assert (answer.code, answer.headers["Content-Type"].partition(";")[0]) == (200, kind)
        assert answer.body == ada.query(sql, "Sky", kind).content
    assert pyarrow.ipc.open_stream(io.BytesIO(answer.body)).read_all().num_rows == 200_000


async def test_compressed_rows(ada: Client, call) -> None:
    headers = {"Accept": "text/csv", "Accept-Encoding": "gzip"}
    answer = await call("POST", f"{REST}contexts/Sky/query", headers=headers, body=query("select * from Stars"))
    assert answer.headers.get("X-Consumed-Content-Encoding") == "gzip"
    assert answer.body == ada.query("select * from Stars", "Sky").content


async def test_errors_say_where(ada: Client, call) -> None:
    answer = await call("POST", f"{REST}contexts/Sky/query", body=query("select raa from Stars"))
    value = json.loads(answer.body)
    assert (answer.code, value["line"], value["column"]) == (400, 1, 8)
    assert "There is no column raa in Stars" in value["error"]


async def test_a_table_is_uploaded_and_dropped(ada: Client, call) -> None:
    rows = b"a,b\n" + b"".join(b"%d,x\n" % number for number in range(50_000))
    answer = await call(
        "POST", f"{REST}contexts/MyDB/Tables/uploaded", headers={"Content-Type": "text/csv"}, body=rows
    )
    assert answer.code == 200, answer.body
    assert ada.csv("select count(*) n, max(a) m from uploaded") == "n,m\n50000,49999\n"
    assert (await call("DELETE", f"{REST}contexts/MyDB/Tables/uploaded")).code == 200


async def test_the_token_that_is_not_valid_any_more(platform: CasJobsPlatform, call, token_path: Path) -> None:
    token_path.write_text("0123456789abcdef0123456789abcdef")
    answer = await call("GET", f"{REST}contexts")
    assert (answer.code, json.loads(answer.body)["reason"]) == (401, "token")


async def test_a_right_that_is_missing_is_told_by_the_service(
    platform: CasJobsPlatform, call, token_path: Path
) -> None:
    token_path.write_text(platform.token("ada-l", "custom:sciserver:casjobs:query"))
    assert (await call("GET", f"{REST}contexts")).code == 200
    answer = await call("PUT", f"{REST}contexts/Sky/jobs", body=query("select 1"))
    assert answer.code == 403
    assert "custom:sciserver:casjobs:write" in json.loads(answer.body)["error"]


async def leave(port: int, header: dict[str, str], path: str, body: bytes, *, after: str = "") -> None:
    """Ask for something, and leave: at once when the service has begun, or after the first rows."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = [f"POST /a%40b/{REST}{path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {len(body)}"]
    head += ["Content-Type: application/json", "Accept: text/csv", f"Authorization: {header['Authorization']}"]
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    await writer.drain()
    if after:
        await reader.readuntil(after.encode())
    else:
        await asyncio.sleep(2)
    writer.close()


def quick(ada: Client, text: str) -> list[dict]:
    """The newest quick queries with this text."""
    return [job for job in ada.call("GET", "jobs", params={"top": 5}).json() if text in job["Query"]]


@pytest.mark.parametrize(("sql", "after"), [(ENDLESS, ""), (MANY, "objID")])
async def test_who_leaves_cancels_the_query(
    ada: Client, jp_serverapp, http_server, jp_http_port: int, jp_auth_header, sql: str, after: str
) -> None:
    """Before the first row, and in the middle of them."""
    sql = f"{sql} /* {time.monotonic_ns()} */"
    await leave(jp_http_port, jp_auth_header, "contexts/Sky/query", query(sql), after=after)
    loop = asyncio.get_running_loop()
    [job] = await loop.run_in_executor(
        None,
        lambda: wait_until(lambda: [job for job in quick(ada, sql) if job["Status"] == 3], what="it is cancelled"),
    )
    assert "client" in job["Message"]


async def test_the_service_is_killed_and_comes_back(platform: CasJobsPlatform, ada: Client, call) -> None:
    platform.kill_service()
    answer = await call("GET", f"{REST}contexts")
    assert (answer.code, json.loads(answer.body)["reason"]) == (503, "unreachable")
    await asyncio.get_running_loop().run_in_executor(None, platform.start_service)
    assert (await call("GET", f"{REST}contexts")).code == 200
