"""SciDrive's and the file service's REST interface through the server, with the real service behind it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.scidrive.drive_platform import Client, DrivePlatform
from tests.server_extensions.notebook_server import NotebookServer, Peak
from tests.support import wait_until

REST = "sciserver/scidrive/rest/"
FILES = f"{REST}vospace-2.0/1/files/sandbox/"
PUT = f"{REST}vospace-2.0/1/files_put/sandbox/"

MEBIBYTE = 1024 * 1024
GIBIBYTE = 1024 * MEBIBYTE


async def test_a_file_goes_there_and_back(call, drive: Path) -> None:
    data = os.urandom(3 * MEBIBYTE + 17)
    answer = await call("PUT", f"{PUT}folder/a%20b%3F.bin", body=data)
    assert answer.code == 200, answer.body
    assert (drive / "folder" / "a b?.bin").read_bytes() == data
    answer = await call("GET", f"{FILES}folder/a%20b%3F.bin")
    assert answer.body == data
    assert answer.headers["Etag"] == f'"sha256-{hashlib.sha256(data).hexdigest()}"'
    assert answer.headers["Content-Length"] == str(len(data))
    part = await call("GET", f"{FILES}folder/a%20b%3F.bin", headers={"Range": "bytes=5-9"})
    assert (part.code, part.body, part.headers["Content-Range"]) == (206, data[5:10], f"bytes 5-9/{len(data)}")
    tag = answer.headers["Etag"]
    assert (await call("GET", f"{FILES}folder/a%20b%3F.bin", headers={"If-None-Match": tag})).code == 304
    assert (await call("PUT", f"{PUT}folder/a%20b%3F.bin", headers={"If-Match": '"x"'}, body=b"x")).code == 412


async def test_names_that_are_no_text(call, drive: Path) -> None:
    (drive / os.fsdecode(b"\xff\xfe")).write_bytes(b"bytes")
    assert (await call("GET", f"{FILES}%FF%FE")).body == b"bytes"


@pytest.mark.parametrize("name", ["page.html", "page.xhtml", "image.svg", "page.htm", "no-name", "script.js", "a.pdf"])
async def test_an_uploaded_page_never_runs_here(call, drive: Path, name: str) -> None:
    await call("PUT", f"{PUT}{name}", headers={"Content-Type": "text/html"}, body=b"<script>alert(1)</script>")
    answer = await call("GET", f"{FILES}{name}")
    assert answer.body == b"<script>alert(1)</script>"
    assert answer.headers["Content-Type"].partition(";")[0] in {"application/octet-stream", "application/pdf"}
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"].split("; ")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_links_are_those_that_others_can_open(call, drive: Path, platform: DrivePlatform) -> None:
    """Not the address that this server reaches the service at."""
    (drive / "a.txt").write_text("shared")
    answer = await call("GET", f"{REST}vospace-2.0/1/media/sandbox/a.txt")
    url = json.loads(answer.body)["url"]
    assert url.startswith(platform.url)
    assert requests.get(url, timeout=60).text == "shared"


async def test_an_upload_in_parts_goes_on_below_the_server(call, drive: Path) -> None:
    """tus says with `Location` where; a page could not reach the service's own address."""
    path = base64.b64encode(b"SciDrive/ada-l/parts.bin").decode()
    begun = await call(
        "POST",
        f"{REST}api/uploads",
        headers={"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": f"path {path}"},
        body=b"",
    )
    assert begun.code == 201, begun.body
    location = begun.headers["Location"]
    assert location.startswith(f"/a%40b/{REST}api/uploads/")
    address = location.removeprefix("/a%40b/")
    for offset, data in ((0, b"01234"), (5, b"56789")):
        headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": str(offset)}
        headers["Content-Type"] = "application/offset+octet-stream"
        answer = await call("PATCH", address, headers=headers, body=data)
        assert (answer.code, answer.headers["Upload-Offset"]) == (204, str(offset + 5))
    assert (drive / "parts.bin").read_bytes() == b"0123456789"


async def test_errors_are_the_services(call, drive: Path) -> None:
    for answer in (await call("GET", f"{FILES}nothing"), await call("GET", f"{REST}no/such/route")):
        assert answer.code == 404
    assert "error" in json.loads((await call("GET", f"{FILES}nothing")).body)


async def test_an_upload_that_is_refused_early(call, drive: Path) -> None:
    (drive / "folder").mkdir()
    answer = await call("PUT", f"{PUT}folder", body=bytes(32 * MEBIBYTE))
    assert answer.code == 409
    assert json.loads(answer.body)["error"]


async def test_who_leaves_during_an_upload_leaves_nothing(
    jp_serverapp, http_server, jp_http_port: int, jp_auth_header, drive: Path, ada: Client
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", jp_http_port)
    lines = [f"PUT /a%40b/{PUT}half.bin HTTP/1.1", "Host: localhost", f"Content-Length: {64 * MEBIBYTE}"]
    lines.append(f"Authorization: {jp_auth_header['Authorization']}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + bytes(8 * MEBIBYTE))
    await writer.drain()
    writer.close()
    # The service takes it for over, and can be asked about it.
    answer = await asyncio.get_running_loop().run_in_executor(
        None, lambda: ada.call("GET", "vospace-2.0/1/metadata/sandbox/half.bin")
    )
    assert answer.status_code == 404
    assert list(drive.iterdir()) == []


async def test_the_service_is_killed_and_comes_back(contents, call, drive: Path, platform: DrivePlatform) -> None:
    platform.kill_service()
    try:
        error = await contents("GET", "", status=503)
        assert "SciDrive does not answer" in error["message"]
        model = {"type": "file", "format": "text", "content": "x"}
        await contents("PUT", "a.txt", model, status=503)
        assert (await call("PUT", f"{PUT}a.bin", body=bytes(8 * MEBIBYTE))).code == 503
    finally:
        await asyncio.get_running_loop().run_in_executor(None, platform.start_service)
    assert (await contents("GET"))["content"] == []


async def test_a_token_that_is_not_valid_any_more(contents, drive: Path, token_path: Path) -> None:
    token_path.write_text("0123456789abcdef0123456789abcdef")
    error = await contents("GET", "", status=401)
    assert (error["reason"], "start it again" in error["message"]) == ("token", True)


# -- in a process of its own


@pytest.fixture
def notebook_server(platform: DrivePlatform, drive: Path, tmp_path: Path) -> Iterator[NotebookServer]:
    """Ada's server, which is measured."""
    options = [f"--SciDriveExtension.upstream={platform.direct_url}"]
    server = NotebookServer(tmp_path / "server", "jupyter_scidrive", options, platform.token("ada-l"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Zeros:
    """A body of many bytes that are nowhere."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.len = size

    def read(self, size: int = -1) -> bytes:
        size = min(self.left, size if size >= 0 else self.left)
        self.left -= size
        return bytes(size)


def test_a_gibibyte_each_way_takes_no_memory(notebook_server: NotebookServer, drive: Path) -> None:
    """Measured: no more than before; a few buffers more would still do."""
    # The first requests load what is loaded once.
    assert notebook_server.call("PUT", f"{PUT}small", data=bytes(4 * MEBIBYTE)).status_code == 200
    assert len(notebook_server.call("GET", f"{FILES}small").content) == 4 * MEBIBYTE
    with Peak(notebook_server.process) as peak:
        answer = notebook_server.call("PUT", f"{PUT}large", data=Zeros(GIBIBYTE))
        assert answer.status_code == 200, answer.text
        assert (drive / "large").stat().st_size == GIBIBYTE
        received = 0
        with notebook_server.call("GET", f"{FILES}large", stream=True) as answer:
            for piece in answer.iter_content(MEBIBYTE):
                received += len(piece)
        assert received == GIBIBYTE
    print(f"{peak.bytes / MEBIBYTE:.1f} MiB more")
    assert peak.bytes < 32 * MEBIBYTE
    (drive / "large").unlink()


def test_a_service_that_is_killed_in_the_middle(notebook_server: NotebookServer, drive: Path, platform) -> None:
    with (drive / "large").open("wb") as file:
        file.truncate(GIBIBYTE)
    try:
        with notebook_server.call("GET", f"{FILES}large", stream=True) as answer:
            answer.raw.read(MEBIBYTE)
            platform.kill_service()
            with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
                for _ in answer.iter_content(MEBIBYTE):
                    pass
    finally:
        platform.start_service()
        (drive / "large").unlink()
    wait_until(lambda: "has broken off its answer" in notebook_server.log.read_text(), what="it is in the log")
    assert platform.token("ada-l") not in notebook_server.log.read_text()


def test_who_leaves_during_a_download_is_forgotten(notebook_server: NotebookServer, drive: Path, platform) -> None:
    with (drive / "large").open("wb") as file:
        file.truncate(GIBIBYTE)
    address = urlsplit(platform.direct_url)

    def connections() -> int:
        return len(
            [
                connection
                for connection in notebook_server.process.net_connections()
                if connection.raddr and connection.raddr.port == address.port and connection.status == "ESTABLISHED"
            ]
        )

    with notebook_server.call("GET", f"{FILES}large", stream=True) as answer:
        answer.raw.read(MEBIBYTE)
        assert connections() == 1
    wait_until(lambda: connections() == 0, what="the server's connection to the service is closed")
    (drive / "large").unlink()
