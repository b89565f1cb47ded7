"""Requests that are odd, wrong or hostile, and what is answered."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from sciserver_common.scopes import CASJOBS_WRITE
from tests.casjobs.casjobs_platform import CasJobsPlatform, Client

QUERY = b'{"Query": "select 1 as one"}'


def is_error(answer: requests.Response, status: int) -> dict[str, Any]:
    """The answer is an error with this status, in the form that is promised."""
    assert answer.status_code == status, answer.text
    value: dict[str, Any] = json.loads(answer.content.decode("utf-8"))
    assert value["status"] == "error"
    assert value["error"] == value["Error Message"] != ""
    assert value["Error Code"] == status
    assert value["LogMessageID"]
    assert answer.headers["Content-Type"] == "application/json"
    return value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"select 1"',
        b"{}",
        b'{"query": "select 1"}',
        b'{"Query": null}',
        b'{"Query": 1}',
        b'{"Query": ["select 1"]}',
        b"\xff\xfe",
        b'{"Query": "\\ud800"}',
        b"[" * 100_000,
        b'{"Query": ' + b"9" * 10_000 + b"}",
        b"Query=select+1",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_none(ada: Client, body: bytes) -> None:
    for method, path in [("POST", "query"), ("POST", "explain"), ("PUT", "jobs")]:
        is_error(ada.call(method, f"contexts/MyDB/{path}", data=body), 400)


@pytest.mark.parametrize(
    "more",
    [
        {"Dialect": "klingon"},
        {"Dialect": 7},
        {"Estimate": "soon"},
        {"Estimate": -1},
        {"Estimate": 1e300},
        {"TableName": 7},
        {"CreateTable": True},
        {"CreateTable": "perhaps", "TableName": "x"},
        {"CreateTable": True, "TableName": "  "},
    ],
    ids=str,
)
def test_fields_that_are_wrong(ada: Client, more: dict[str, Any]) -> None:
    is_error(ada.call("PUT", "contexts/MyDB/jobs", json={"Query": "select 1", **more}), 400)


def test_fields_that_nobody_knows_do_no_harm(ada: Client) -> None:
    body = {"Query": "select 1 as one", "Unknown": {"a": [1]}, "TaskName": None, "CreateTable": "False", "Estimate": 5}
    assert ada.ended(ada.submit(**{"sql": body.pop("Query"), **body}))["Status"] == 5
    assert ada.query("select 1 as one", body={"Unknown": 1}).text == "one\n1\n"


@pytest.mark.parametrize("query", ["", "   ", "\n", "-- nothing", "\x00", ";", "é", "😀" * 1000, "select '\x00'"])
def test_queries_that_are_none(ada: Client, query: str) -> None:
    answer = ada.query(query)
    assert answer.status_code in {200, 400}, answer.text
    if answer.status_code == 400:
        is_error(answer, 400)


def test_text_of_all_the_world_comes_back(ada: Client) -> None:
    text = "Größe 星 😀 \u202e \ufeff é \t"
    answer = ada.query(f"select N'{text}' as [{text.strip()} x]", accept="application/json+array")
    assert answer.json()["Result"][0]["Data"] == [[text]]
    assert answer.json()["Result"][0]["Columns"] == [f"{text.strip()} x"]


def test_a_large_body(ada: Client) -> None:
    value = is_error(ada.call("POST", "contexts/MyDB/query", data=b" " * 5_000_000 + QUERY), 413)
    assert "4 MiB" in value["error"]
    # One that would have been closed without a word.
    is_error(ada.call("POST", "contexts/MyDB/query", data=b" " * 66_000_000), 413)
    assert ada.call("POST", "contexts/MyDB/query", data=b" " * 3_000_000 + QUERY).status_code == 200


def test_a_body_in_chunks(ada: Client) -> None:
    answer = ada.call("POST", "contexts/MyDB/query", data=iter([QUERY[:5], QUERY[5:]]), headers={"Accept": "text/csv"})
    assert answer.text == "one\n1\n"


def test_content_types_are_not_looked_at(ada: Client) -> None:
    for media_type in (
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "multipart/form-data",
    ):
        answer = ada.call(
            "POST", "contexts/MyDB/query", data=QUERY, headers={"Content-Type": media_type, "Accept": "text/csv"}
        )
        assert answer.text == "one\n1\n", media_type


def test_what_there_is_not(platform: CasJobsPlatform, ada: Client) -> None:
    for path in ("nosuch", "contexts/Sky/nosuch", "jobs/1/nosuch", "contexts/Sky/Tables/Stars/nosuch", "../secrets"):
        for method in ("GET", "POST", "DELETE"):
            is_error(ada.call(method, path), 404)
    is_error(requests.get(f"{platform.url}/RestApiX", timeout=20), 404)


def test_methods_that_there_are_not(ada: Client) -> None:
    for method, path, allowed in [
        ("DELETE", "contexts", "GET"),
        ("GET", "contexts/Sky/query", "POST"),
        ("POST", "contexts/Sky/jobs", "PUT"),
        ("PUT", "contexts/MyDB/Tables/x", "GET, POST, DELETE, PATCH"),
        ("OPTIONS", "jobs", "GET"),
        ("TRACE", "jobs", "GET"),
    ]:
        answer = ada.call(method, path, data=b"x" * 100_000)
        if method != "TRACE":
            assert sorted(answer.headers["Allow"].split(", ")) == sorted(allowed.split(", ")), path
        is_error(answer, 405)


@pytest.mark.parametrize(
    "part", ["%ff", "%00", "%2e%2e", "..%2f..%2fetc", "a%2fb", "x" * 5000, "%27;drop", "%", "%zz"]
)
def test_names_that_are_none(platform: CasJobsPlatform, part: str) -> None:
    # The proxy itself has words for some of them.
    ada = platform.client("ada-l", direct=True)
    for path in (f"contexts/{part}/Tables", f"contexts/MyDB/Tables/{part}", f"contexts/Sky/Tables/{part}/data"):
        assert ada.call("GET", path).status_code in {400, 404}, path
    answer = ada.call("POST", f"contexts/MyDB/Tables/{part}", data=b"a\n1\n")
    assert answer.status_code in {200, 400, 404}
    if answer.status_code == 200:
        assert ada.call("DELETE", f"contexts/MyDB/Tables/{part}").status_code == 200


def test_parameters_that_are_no_text(ada: Client) -> None:
    is_error(ada.call("GET", "jobs?search=%ff"), 400)
    is_error(ada.call("GET", "contexts/Sky/Tables/Stars/data?format=%ff"), 400)
    assert ada.call("GET", "contexts?unknown=%ff&&=&x").status_code == 200


def test_two_tokens(platform: CasJobsPlatform, ada: Client, bob: Client) -> None:
    both = {"Authorization": f"Bearer {bob.headers['X-Auth-Token']}"}
    is_error(ada.call("GET", "contexts", headers=both), 400)
    bearer = {"Authorization": f"Bearer {platform.token('ada-l')}"}
    assert Client(platform.rest).call("GET", "contexts", headers=bearer).status_code == 200


def exchange(platform: CasJobsPlatform, *parts: bytes) -> bytes:
    """What the service answers to bytes, each part sent when something has come back."""
    address = urlsplit(platform.direct_url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        answer = b""
        for part in parts:
            connection.sendall(part)
            answer = connection.recv(65536)
        while more := connection.recv(65536):
            answer += more
        return answer


def test_a_client_that_asks_before_it_sends(platform: CasJobsPlatform) -> None:
    """As curl does with a large file."""

    def head(token: str) -> bytes:
        return (
            "POST /services/casjobs/RestApi/contexts/MyDB/Tables/Expected HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"X-Auth-Token: {token}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        ).encode()

    refused = exchange(platform, head("0" * 32))
    assert refused.startswith(b"HTTP/1.1 401 ")
    taken = exchange(platform, head(platform.token("ada-l", CASJOBS_WRITE)), b"a\n1\n")
    assert b"HTTP/1.1 200 OK" in taken
    assert b'{"Name":"Expected","Rows":1}' in taken


def test_an_old_client(platform: CasJobsPlatform) -> None:
    """Without chunks: the end of the connection is the end of the answer."""
    answer = exchange(
        platform,
        b"POST /services/casjobs/RestApi/contexts/MyDB/query HTTP/1.0\r\n"
        b"X-Auth-Token: %s\r\nAccept: text/csv\r\nContent-Length: %d\r\n\r\n%s"
        % (platform.token("ada-l").encode(), len(QUERY), QUERY),
    )
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"chunked" not in answer
    assert answer.endswith(b"\r\n\r\none\n1\n")


def test_nothing_of_the_service_itself_is_told(platform: CasJobsPlatform, ada: Client) -> None:
    answer = ada.call("GET", "contexts")
    assert "Server" not in answer.headers
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    health = requests.get(f"{platform.url}/health", timeout=20).json()
    assert health["status"] == "ok"
    assert str(platform.home) not in json.dumps(health)
