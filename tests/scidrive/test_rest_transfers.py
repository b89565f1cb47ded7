"""Files on their way: parts, conditions, digests, what browsers may do with them, uploads in parts."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.scidrive.drive_platform import Client, DrivePlatform, error_of

LARGE = os.urandom(3 * 2**20 + 17)


@pytest.fixture(scope="module")
def eve(platform: DrivePlatform) -> Client:
    """Somebody with a small and a large file."""
    client = platform.client("eve")
    assert client.put("large.bin", LARGE).status_code == 200
    assert client.put("small.txt", b"0123456789").status_code == 200
    return client


def answered(platform: DrivePlatform, *parts: bytes) -> bytes:
    """What the service answers to bytes, each part sent when something has come back."""
    with platform.connect() as connection:
        answer = b""
        for part in parts:
            connection.sendall(part)
            answer = connection.recv(65536)
        while more := connection.recv(65536):
            answer += more
        return answer


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "through the proxy"])
def test_large_files_come_back(platform: DrivePlatform, eve: Client, direct: bool) -> None:
    client = platform.client("eve", direct=direct)
    for sent in (LARGE, io.BytesIO(LARGE), (LARGE[i : i + 100_000] for i in range(0, len(LARGE), 100_000))):
        answer = client.put("again.bin", sent)
        assert answer.status_code == 200, answer.text
        assert answer.headers["ETag"] == f'"sha256-{hashlib.sha256(LARGE).hexdigest()}"'
        found = client.get("again.bin")
        assert found.content == LARGE
        assert found.headers["Content-Length"] == str(len(LARGE))
        assert found.headers["ETag"] == answer.headers["ETag"]
    assert client.call("DELETE", "fileservice/api/data/Storage/eve/persistent/again.bin").status_code == 200


@pytest.mark.parametrize(("name", "data"), [("large.bin", LARGE), ("small.txt", b"0123456789")])
@pytest.mark.parametrize(
    ("first", "last"), [(0, 0), (0, 9), (3, 5), (9, 9), (0, None), (4, None), (None, 1), (None, 4)]
)
def test_ranges(eve: Client, name: str, data: bytes, first: int | None, last: int | None) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    start = len(data) - (last or 0) if first is None else first
    stop = len(data) if first is None or last is None else last + 1
    answer = eve.get(name, headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, data[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(data)}"
    assert answer.headers["Content-Length"] == str(stop - start)


def test_a_download_goes_on_after_a_break(eve: Client) -> None:
    whole = eve.get("large.bin", stream=True)
    etag = whole.headers["ETag"]
    begun = next(whole.iter_content(1_000_000))
    whole.close()
    rest = eve.get("large.bin", headers={"Range": f"bytes={len(begun)}-", "If-Range": etag})
    assert rest.status_code == 206
    assert begun + rest.content == LARGE
    other = eve.get("large.bin", headers={"Range": f"bytes={len(begun)}-", "If-Range": '"another"'})
    assert (other.status_code, len(other.content)) == (200, len(LARGE))


def test_parts_that_there_are_not(eve: Client) -> None:
    for name, size in [("small.txt", 10), ("large.bin", len(LARGE))]:
        answer = eve.get(name, headers={"Range": f"bytes={size}-"})
        assert answer.headers["Content-Range"] == f"bytes */{size}"
        assert "no such part" in error_of(answer, 416)
        assert eve.get(name, headers={"Range": "bytes=0-1,4-5"}).status_code == 200
        assert eve.call("HEAD", eve.file(name), headers={"Range": "bytes=0-1"}).status_code == 200
    assert eve.put("empty", b"").status_code == 200
    answer = eve.get("empty")
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "0", b"")
    error_of(eve.get("empty", headers={"Range": "bytes=0-"}), 416)


def test_what_the_client_has_already(eve: Client) -> None:
    for name in ("small.txt", "large.bin"):
        head = eve.call("HEAD", eve.file(name)).headers
        for method in ("GET", "HEAD"):
            for conditions in (
                {"If-None-Match": head["ETag"]},
                {"If-None-Match": f'"x", W/{head["ETag"]}'},
                {"If-Modified-Since": head["Last-Modified"]},
            ):
                answer = eve.call(method, eve.file(name), headers=conditions)
                assert (answer.status_code, answer.content) == (304, b"")
                assert answer.headers["ETag"] == head["ETag"]
        assert eve.get(name, headers={"If-None-Match": '"x"'}).status_code == 200
        error_of(eve.get(name, headers={"If-Match": '"x"'}), 412)
        assert eve.get(name, headers={"If-Match": head["ETag"]}).status_code == 200


@pytest.mark.parametrize("size", [5, 2_000_000], ids=["small", "large"])
def test_writing_under_conditions(eve: Client, size: int) -> None:
    name, old, new = f"conditions{size}", b"o" * size, b"n" * size
    eve.call("DELETE", f"fileservice/api/data/Storage/eve/persistent/{name}?quiet=True")
    error_of(eve.put(name, new, headers={"If-Match": "*"}), 412)
    etag = eve.put(name, old, headers={"If-None-Match": "*"}).headers["ETag"]
    for conditions in ({"If-None-Match": "*"}, {"If-Match": '"x"'}, {"If-None-Match": etag}):
        error_of(eve.put(name, new, headers=conditions), 412)
        assert eve.get(name).content == old
    assert eve.put(name, new, headers={"If-Match": etag}).status_code == 200
    assert eve.get(name).content == new
    answer = eve.call("PUT", f"vospace-2.0/1/files_put/sandbox/{name}", data=old, headers={"If-Match": "*"})
    error_of(answer, 412)


@pytest.mark.parametrize("size", [5, 2_000_000], ids=["small", "large"])
def test_digests(eve: Client, size: int) -> None:
    data = os.urandom(size)
    sha = base64.b64encode(hashlib.sha256(data).digest()).decode()
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    name = f"digests{size}"
    for headers, status in [
        ({"Content-MD5": md5}, 200),
        ({"Digest": f"SHA-256={sha}"}, 200),
        ({"Repr-Digest": f"sha-256=:{sha}:"}, 200),
        ({"Content-Digest": f"sha-256=:{sha}:, unknown=:AAAA:"}, 200),
        ({"Repr-Digest": f"sha-256=:{wrong}:"}, 400),
        ({"Content-MD5": md5, "Digest": f"sha-256={wrong}"}, 400),
        ({"Content-MD5": "nonsense"}, 400),
    ]:
        eve.call("DELETE", f"fileservice/api/data/Storage/eve/persistent/{name}?quiet=True")
        answer = eve.put(name, data, headers=headers)
        assert answer.status_code == status, answer.text
        assert eve.get(name).status_code == (200 if status == 200 else 404)
    eve.put(name, data)
    assert eve.get(name).headers["Repr-Digest"] == f"sha-256=:{sha}:"


def test_bodies_that_are_not_files(eve: Client) -> None:
    error_of(eve.put("coded", b"x", headers={"Content-Encoding": "gzip"}), 415)
    error_of(eve.put("coded", b"x", headers={"Content-Range": "bytes 0-0/5"}), 400)
    # Whatever it is called, it is bytes.
    for media_type in ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/json"):
        assert eve.put("typed", b"--x\r\n", headers={"Content-Type": media_type}).status_code == 200
        assert eve.get("typed").content == b"--x\r\n"


HARMFUL = {
    "page.html": b"<script>alert(document.cookie)</script>",
    "page.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "page.xhtml": b'<html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>',
    "script.js": b"alert(1)",
    "page": b"<!doctype html><script>alert(1)</script>",
    "picture.png": b"<!doctype html><script>alert(1)</script>",
    "text.txt": b"<!doctype html><script>alert(1)</script>",
}


@pytest.mark.parametrize("name", HARMFUL)
def test_what_is_uploaded_never_runs_in_our_origin(platform: DrivePlatform, eve: Client, name: str) -> None:
    """At no address at which it can be had."""
    assert eve.put(name, HARMFUL[name], headers={"Content-Type": "text/html"}).status_code == 200
    assert eve.call("PUT", f"vospace-2.0/1/files_put/sandbox/{name}", data=HARMFUL[name]).status_code == 200
    link = eve.call("GET", f"vospace-2.0/1/media/sandbox/{name}").json()["url"]
    head = {"Accept": "text/html,*/*", "Sec-Fetch-Dest": "script"}
    for answer in (
        eve.get(name, headers=head),
        eve.get(name, headers=head | {"Range": "bytes=0-3"}),
        eve.call("HEAD", eve.file(name), headers=head),
        eve.call("GET", f"vospace-2.0/1/files/sandbox/{name}", headers=head),
        requests.get(link, headers=head, timeout=30),
        requests.get(link.replace(name, "x.html"), headers=head, timeout=30),
    ):
        assert answer.status_code in {200, 206}
        assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        media_type = answer.headers["Content-Type"].partition(";")[0]
        assert media_type in {"application/octet-stream", "image/png", "text/plain"}
        shown = answer.headers["Content-Disposition"].startswith("inline")
        assert shown == (name in {"picture.png", "text.txt"})


def test_a_client_that_asks_before_it_sends(platform: DrivePlatform, eve: Client) -> None:
    """As curl does with a large file: what is refused is not sent."""
    path = eve.file("expected")
    lines = ("Content-Length: 4", "Expect: 100-continue", "Connection: close")
    taken = answered(platform, platform.head("PUT", path, platform.token("eve"), *lines), b"1234")
    assert b"HTTP/1.1 200 OK" in taken
    assert eve.get("expected").content == b"1234"
    refused = answered(platform, platform.head("PUT", path, "0" * 32, *lines))
    assert refused.startswith(b"HTTP/1.1 401 ")
    refused = answered(platform, platform.head("PUT", f"{path}?quiet=False", platform.token("eve"), *lines))
    assert refused.startswith(b"HTTP/1.1 409 ")
    assert b"100 (Continue)" not in refused


def test_a_refused_upload_is_refused_with_words(platform: DrivePlatform, eve: Client) -> None:
    """Also when the client sends a lot before it listens."""
    for path, status in [
        ("fileservice/api/file/Storage/nobody/x/y", 404),
        (f"{eve.file('small.txt')}?quiet=False", 409),
    ]:
        for client in (eve, platform.client("eve", direct=True)):
            error_of(client.call("PUT", path, data=LARGE * 4), status)
    error_of(Client(platform.direct_url).call("PUT", eve.file("x"), data=LARGE * 4), 401)


# -- uploads in parts


def begin(client: Client, path: str, length: int | None, **more: str) -> requests.Response:
    metadata = {"path": path} | {key: value for key, value in more.items() if key != "digest"}
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Metadata": ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items()
        ),
    }
    headers |= {"Upload-Length": str(length)} if length is not None else {"Upload-Defer-Length": "1"}
    if "digest" in more:
        headers["Repr-Digest"] = more["digest"]
    return client.call("POST", "api/uploads", headers=headers)


def patch(client: Client, url: str, offset: int, data: Any, **headers: str) -> requests.Response:
    return client.request(
        "PATCH",
        url,
        data=data,
        headers={
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            **headers,
        },
        timeout=60,
    )


def test_tus(eve: Client) -> None:
    """As a client of the protocol does it."""
    options = requests.options(f"{eve.url}/api/uploads", timeout=30)
    assert (options.status_code, options.headers["Tus-Version"]) == (204, "1.0.0")
    assert "creation" in options.headers["Tus-Extension"]
    made = begin(eve, "Storage/eve/persistent/in/parts.bin", len(LARGE))
    assert made.status_code == 201
    url = made.headers["Location"]
    assert patch(eve, url, 0, LARGE[:100_000]).headers["Upload-Offset"] == "100000"
    head = eve.head(url, timeout=30)
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == ("100000", str(len(LARGE)))
    assert head.headers["Cache-Control"] == "no-store"
    error_of(eve.get("in/parts.bin"), 404)
    wrong = patch(eve, url, 0, b"again")
    assert (wrong.headers["Upload-Offset"], wrong.json()["offset"]) == ("100000", 100_000)
    error_of(wrong, 409)
    assert [each["offset"] for each in eve.call("GET", "api/uploads").json()] == [100_000]
    last = patch(eve, url, 100_000, LARGE[100_000:])
    assert (last.status_code, last.headers["Upload-Offset"]) == (204, str(len(LARGE)))
    assert eve.get("in/parts.bin").content == LARGE
    assert eve.get("in/parts.bin").headers["ETag"] == last.headers["ETag"]
    assert eve.head(url, timeout=30).status_code == 404
    assert eve.call("GET", "api/uploads").json() == []


def test_an_upload_whose_end_is_not_known(eve: Client) -> None:
    made = eve.call("POST", "api/uploads", json={})
    number, url = made.json()["id"], made.json()["url"]
    assert made.headers["Upload-Defer-Length"] == "1"
    for offset in (0, 4):
        assert patch(eve, url, offset, b"part").status_code == 204
    assert eve.call("GET", f"api/uploads/{number}").json()["offset"] == 8
    error_of(eve.call("POST", f"api/uploads/{number}"), 400)
    target = {"path": "Storage/eve/persistent/%C3%BC.bin", "overwrite": False}
    assert eve.call("POST", f"api/uploads/{number}", json=target).status_code == 200
    assert eve.get("ü.bin").content == b"partpart"
    other = eve.call("POST", "api/uploads", json={}).json()["id"]
    error_of(eve.call("POST", f"api/uploads/{other}", json=target), 409)
    # It is still there, and can become another file.
    assert eve.call("POST", f"api/uploads/{other}", json=target | {"path": "SciDrive/eve/x"}).status_code == 200
    assert eve.call("GET", "vospace-2.0/1/files/sandbox/x").content == b""


def test_an_upload_in_parts_with_a_digest(eve: Client) -> None:
    for content, status in [(b"right", 204), (b"wrong", 400)]:
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(b'right').digest()).decode()}:"
        url = begin(eve, f"Storage/eve/persistent/{content.decode()}", 5, digest=digest).headers["Location"]
        assert patch(eve, url, 0, content).status_code == status
        assert eve.get(content.decode()).status_code == (200 if status == 204 else 404)
        eve.delete(url, timeout=30)


def test_uploads_that_are_refused(platform: DrivePlatform, eve: Client) -> None:
    error_of(begin(eve, "Storage/nobody/x/y", 5), 404)
    error_of(begin(eve, "Survey/y", 5), 403)
    error_of(begin(eve, "Storage/eve/persistent/../y", 5), 400)
    error_of(begin(eve, "Storage/eve/persistent/small.txt", 5, overwrite="false"), 409)
    error_of(begin(eve, "Storage/eve/persistent/too-much", 10**15), 507)
    for headers in ({"Upload-Length": "-1"}, {"Upload-Length": "x"}, {"Upload-Metadata": "path ü"}):
        error_of(eve.call("POST", "api/uploads", headers={k: v.encode() for k, v in headers.items()}), 400)
    error_of(eve.call("POST", "api/uploads", headers={"Tus-Resumable": "1.0.0"}), 400)
    other = eve.call("POST", "api/uploads", headers={"Tus-Resumable": "0.2.2", "Upload-Length": "1"})
    assert other.headers["Tus-Version"] == "1.0.0"
    error_of(other, 412)
    url = begin(eve, "Storage/eve/persistent/short", 5).headers["Location"]
    error_of(patch(eve, url, 0, b"too long"), 413)
    error_of(patch(eve, url, 0, b"x", **{"Content-Type": "text/plain"}), 415)
    error_of(eve.request("PATCH", url, data=b"x", headers={"Content-Type": "application/offset+octet-stream"}), 400)
    other = platform.client("bob")
    for answer in (other.head(url, timeout=30), patch(other, url, 0, b"x"), other.delete(url, timeout=30)):
        assert answer.status_code == 404
    assert eve.delete(url, timeout=30).status_code == 204
    assert eve.delete(url, timeout=30).status_code == 404
    assert eve.get("short").status_code == 404


def test_an_upload_in_parts_goes_on_after_a_break(platform: DrivePlatform, eve: Client) -> None:
    """The connection breaks in the middle of a part, and the service is killed before the next."""
    url = begin(eve, "Storage/eve/persistent/broken.bin", len(LARGE)).headers["Location"]
    path = url.split("/services/scidrive/")[1]
    head = platform.head(
        "PATCH",
        path,
        platform.token("eve"),
        "Upload-Offset: 0",
        f"Content-Length: {len(LARGE)}",
        "Content-Type: application/offset+octet-stream",
    )
    with platform.connect() as connection:
        connection.sendall(head + LARGE[:2_500_000])
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    platform.kill_service()
    platform.start_service()
    offset = int(eve.head(url, timeout=30).headers["Upload-Offset"])
    assert 1_000_000 < offset <= 2_500_000
    assert patch(eve, url, offset, LARGE[offset:]).status_code == 204
    assert eve.get("broken.bin").content == LARGE


def test_what_unfinished_uploads_take_is_limited(eve: Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(60):
            yield bytes(2**20)

    url = begin(eve, "Storage/eve/persistent/unlimited", None).headers["Location"]
    assert "not finished" in error_of(patch(eve, url, 0, pieces()), 507)
    assert eve.delete(url, timeout=30).status_code == 204
