"""Files that become tables of MyDB: formats, modes, limits, and those that do not arrive whole."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from casjobs_service.results import FORMATS
from tests.casjobs.casjobs_platform import STARS, CasJobsPlatform, Client
from tests.support import wait_until


def test_modes_of_an_upload(ada: Client) -> None:
    assert ada.upload("Modes", b"a,b\n1,x\n").json() == {"Name": "Modes", "Rows": 1}
    # Nothing is said: added.
    assert ada.upload("modes", b"b,a\ny,2\n").status_code == 200
    assert ada.upload("Modes", b"a,b\n3,z\n", params={"mode": "append"}).status_code == 200
    assert ada.csv("select * from Modes order by a") == "a,b\n1,x\n2,y\n3,z\n"
    refused = ada.upload("Modes", b"a,b\n4,z\n", params={"mode": "create"})
    assert refused.status_code == 400
    assert "Modes" in refused.json()["error"]
    other = ada.upload("Modes", b"c\n1\n")
    assert other.status_code == 400
    assert ada.upload("Modes", b"c\n9\n", params={"mode": "replace"}).status_code == 200
    assert ada.csv("select * from Modes") == "c\n9\n"
    assert ada.upload("Modes", b"c\n9\n", params={"mode": "destroy"}).status_code == 400
    assert ada.call("DELETE", "contexts/MyDB/Tables/Modes").status_code == 200


SAME = """
select count(*) as n from MyDB.{} a join Sky.Stars b on a.objID = b.objID
where a.class = b.class and a.ra = b.ra and (a.visits = b.visits or a.visits is null and b.visits is null)
"""


@pytest.mark.parametrize("format_name", ["csv", "fits", "votable", "parquet", "arrow"])
def test_formats_of_an_upload(ada: Client, format_name: str) -> None:
    """What we send is understood when it comes back."""
    data = ada.call("GET", "contexts/Sky/Tables/Stars/data", params={"format": format_name}).content
    media_type = FORMATS[format_name].media_type
    try:
        for table, options in [
            ("ByType", {"headers": {"Content-Type": media_type}}),
            ("ByName", {"params": {"format": format_name}, "headers": {"Content-Type": "application/octet-stream"}}),
        ]:
            answer = ada.upload(table, data, **options)
            assert answer.status_code == 200, answer.text
            assert answer.json() == {"Name": table, "Rows": STARS}
            assert ada.csv(SAME.format(table)) == f"n\n{STARS}\n"
    finally:
        for table in ("ByType", "ByName"):
            ada.call("DELETE", f"contexts/MyDB/Tables/{table}")


def test_what_cannot_be_uploaded(ada: Client) -> None:
    for options, status in [
        ({"headers": {"Content-Type": "application/zip"}}, 415),
        ({"headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 415),
        ({"headers": {"Content-Encoding": "gzip"}}, 415),
        ({"params": {"format": "hdf5"}}, 415),
        ({"params": {"format": "fits"}}, 400),
        ({"params": {"format": "parquet"}}, 400),
        ({"params": {"format": "votable"}}, 400),
    ]:
        answer = ada.upload("Never", b"a\n1\n", **options)
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]
    for body in (b"", b"\n", b"a,a\n1,2\n", b"a\n\x00\xff\n"):
        assert ada.upload("Never", body).status_code in {200, 400}
    ada.call("DELETE", "contexts/MyDB/Tables/Never")


def raw(platform: CasJobsPlatform) -> socket.socket:
    """A connection to the service itself."""
    parts = urlsplit(platform.direct_url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def head(platform: CasJobsPlatform, token: str, table: str, *lines: str) -> bytes:
    return "\r\n".join(
        [
            f"POST /services/casjobs/RestApi/contexts/MyDB/Tables/{table} HTTP/1.1",
            f"Host: {urlsplit(platform.direct_url).netloc}",
            f"X-Auth-Token: {token}",
            *lines,
            "\r\n",
        ]
    ).encode()


def uploads(platform: CasJobsPlatform) -> int:
    """Files on their way, on the service's disk."""
    return len(list((platform.deployment.casjobs_dir / "uploads").iterdir()))


@pytest.mark.parametrize("lines", [("Content-Length: 1000000",), ("Transfer-Encoding: chunked",)])
def test_an_upload_that_breaks_off(platform: CasJobsPlatform, ada: Client, lines: tuple[str, ...]) -> None:
    with raw(platform) as connection:
        connection.sendall(head(platform, platform.token("ada-l"), "Torn", *lines))
        data = b"a,b\n" + b"1,2\n" * 50_000
        connection.sendall(data if "Length" in lines[0] else b"%x\r\n%s\r\n" % (len(data), data))
        wait_until(lambda: uploads(platform) == 1, what="the file is on its way")
    wait_until(lambda: uploads(platform) == 0, what="the file is gone")
    assert ada.call("GET", "contexts/MyDB/Tables/Torn").status_code == 404


def test_an_upload_in_chunks(ada: Client) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a,b\n"
        for number in range(100):
            yield b"%d,2\n" % number * 100

    answer = ada.call("POST", "contexts/MyDB/Tables/Pieces", data=pieces())
    assert answer.json() == {"Name": "Pieces", "Rows": 10_000}
    assert ada.call("DELETE", "contexts/MyDB/Tables/Pieces").status_code == 200


def test_too_large_an_upload(platform: CasJobsPlatform, ada: Client) -> None:
    limit = ada.call("GET", "limits").json()["UploadBytes"]
    with raw(platform) as connection:
        # Told before it is sent.
        connection.sendall(head(platform, platform.token("ada-l"), "Large", f"Content-Length: {limit + 1}"))
        connection.sendall(b"x" * 1000)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000) == b""  # gone before the whole came: no answer
    too_much = (b"a\n" + b"1\n" * 499_999 for _ in range(limit // 1_000_000 + 1))
    answer = ada.call("POST", "contexts/MyDB/Tables/Large", data=too_much)
    assert answer.status_code == 413
    assert "MB" in answer.json()["error"]
    wait_until(lambda: uploads(platform) == 0, what="the file is gone")
    assert ada.call("GET", "contexts/MyDB/Tables/Large").status_code == 404


def test_many_uploads_at_once(platform: CasJobsPlatform, ada: Client) -> None:
    most = 4
    connections = []
    try:
        for number in range(most):
            connections.append(raw(platform))
            connections[-1].sendall(head(platform, platform.token("ada-l"), f"Slow{number}", "Content-Length: 1000"))
        wait_until(lambda: uploads(platform) == most, what="all are on their way")
        answer = ada.upload("OneMore", b"a\n1\n")
        assert answer.status_code == 400
        assert "uploads" in answer.json()["error"]
        assert answer.json()["Error Type"] == "limit"
    finally:
        for connection in connections:
            connection.close()
    wait_until(lambda: uploads(platform) == 0, what="all are gone")
    assert ada.upload("OneMore", b"a\n1\n").status_code == 200
    assert ada.call("DELETE", "contexts/MyDB/Tables/OneMore").status_code == 200


def test_an_upload_without_a_token_is_refused_with_words(platform: CasJobsPlatform) -> None:
    """Also when the client sends a lot before it listens."""
    answer = requests.post(
        f"{platform.direct_url}/RestApi/contexts/MyDB/Tables/X", data=b"1\n" * 5_000_000, timeout=60
    )
    assert answer.status_code == 401


def test_uploads_are_in_the_history(ada: Client) -> None:
    assert ada.upload("Noted", b"a\n1\n2\n", params={"TaskName": "Of the test"}).status_code == 200
    assert ada.upload("Noted", b"other\n1\n").status_code == 400
    failed, done = ada.call("GET", "jobs", params={"kind": "upload", "search": "Noted"}).json()
    assert (done["Status"], done["TaskName"]) == (5, "Of the test")
    assert (failed["Status"], failed["Error"]["kind"]) == (4, "data")
    assert ada.call("POST", f"jobs/{done['JobID']}/resubmit").status_code == 400
    assert ada.call("DELETE", "contexts/MyDB/Tables/Noted").status_code == 200
