"""What somebody tries who wants more than the WebDAV door gives."""

from __future__ import annotations

import base64
import os
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scidrive_service.webdav.locks import LOCKS_PER_PERSON
from tests.scidrive.dav_support import Dav, dav
from tests.scidrive.drive_platform import DrivePlatform

SECRET = b"Ada's own\n"

SPELLINGS = [
    "../ada-l/persistent/secret.txt",
    "%2e%2e/ada-l/persistent/secret.txt",
    "..%2fada-l%2fpersistent%2fsecret.txt",
    "persistent/%2e%2e%2f%2e%2e%2fada-l/persistent/secret.txt",
    "persistent/../../ada-l/persistent/secret.txt",
    "persistent/%252e%252e/%252e%252e/ada-l/persistent/secret.txt",
    "persistent/..%5c..%5cada-l%5cpersistent%5csecret.txt",
    "persistent/..\\..\\ada-l\\persistent\\secret.txt",
    "persistent//..//..//ada-l/persistent/secret.txt",
    "persistent/%c0%ae%c0%ae/%c0%ae%c0%ae/ada-l/persistent/secret.txt",
    "persistent/..;/..;/ada-l/persistent/secret.txt",
    "persistent/.%00./secret.txt",
    "./../../../../etc/passwd",
]


@pytest.fixture(scope="module")
def bobs(platform: DrivePlatform) -> Dav:
    """The attacker, as from a container: the proxy would refuse some of it by itself."""
    return Dav(dav(platform), "bob", platform.token("bob"))


@pytest.fixture(scope="module")
def secret(platform: DrivePlatform, bobs: Dav) -> Path:
    """A file of Ada's, with whom Bob shares nothing."""
    ada = Dav(dav(platform), "ada-l", platform.token("ada-l"))
    assert ada.ask("PUT", "Storage/ada-l/persistent/secret.txt", data=SECRET).status_code < 300
    assert ada.ask("PUT", "SciDrive/secret.txt", data=SECRET).status_code < 300
    assert bobs.names("Storage/bob") == ["persistent/"]
    return platform.volume("ada-l") / "secret.txt"


@pytest.fixture
def place(platform: DrivePlatform, bobs: Dav) -> Iterator[str]:
    path = f"Storage/bob/persistent/{uuid.uuid4().hex[:8]}"
    assert bobs.ask("MKCOL", path).status_code == 201
    yield path
    bobs.ask("DELETE", path)


def _raw(client: Dav, method: str, path: str, **headers: str) -> bytes:
    """A request whose path is sent as it is; the whole answer."""
    url = urlsplit(client.url)
    assert isinstance(client.auth, tuple)
    password = base64.b64encode(":".join(client.auth).encode()).decode()
    lines = [f"{method} {url.path}/{path} HTTP/1.1", f"Host: {url.netloc}", f"Authorization: Basic {password}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    with socket.create_connection((str(url.hostname), url.port or 80), timeout=20) as connection:
        connection.sendall(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("start", ["Storage/bob/", "SciDrive/", "Survey/", ""])
def test_nobody_climbs_out(bobs: Dav, secret: Path, place: str, start: str, spelling: str) -> None:
    there = f"{bobs.url}/{start}{spelling}"
    for method, headers in [
        ("GET", {}),
        ("PROPFIND", {"Depth": "1"}),
        ("DELETE", {}),
        ("COPY", {"Destination": f"{bobs.url}/{place}/got"}),
        ("MOVE", {"Destination": f"{bobs.url}/{place}/got"}),
    ]:
        answer = _raw(bobs, method, start + spelling, **headers)
        assert SECRET not in answer
        assert b"root:x:" not in answer
        assert int(answer[9:12]) in {400, 403, 404, 405, 409}, answer
    bobs.ask("PUT", f"{place}/a", data=b"x")
    for method in ("COPY", "MOVE"):
        answer = _raw(bobs, method, f"{place}/a", Destination=there)
        _raw(bobs, "DELETE", start + spelling)
        assert int(answer[9:12]) in {201, 204, 400, 403, 404, 409}, answer
    assert secret.read_bytes() == SECRET
    assert not list(secret.parent.parent.rglob("a"))


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("{door}/Storage/ada-l/persistent/stolen", {404}),
        ("{door}/Storage/ada-l/stolen", {403, 404}),
        ("{door}/SciDrive/../../Storage/ada-l/persistent/x", {400}),
        ("{door}/Survey/x", {403}),
        ("{door}/", {403}),
        ("http://example.org/services/scidrive/dav/SciDrive/x", {502}),
        ("//example.org/services/scidrive/dav/SciDrive/x", {502}),
        ("http://user@{host}/services/scidrive/dav/SciDrive/x", {502}),
        ("http://[/x", {400}),
        ("file:///etc/cron.d/x", {400, 404}),
        ("/etc/cron.d/x", {404}),
        ("/services/scidrive/api/x", {404}),
        ("SciDrive/x", {400}),
        ("", {400}),
        ("{door}/SciDrive/x?y", {400}),
    ],
)
def test_destinations(bobs: Dav, secret: Path, place: str, target: str, status: set[int]) -> None:
    bobs.ask("PUT", f"{place}/a", data=b"x")
    target = target.format(door=bobs.url, host=bobs.url.split("/")[2])
    for method in ("COPY", "MOVE"):
        assert bobs.ask(method, f"{place}/a", Destination=target).status_code in status
    assert bobs.ask("GET", f"{place}/a").content == b"x"


def test_others_files_are_not_there(bobs: Dav, secret: Path, place: str) -> None:
    for path in ("Storage/ada-l/persistent/secret.txt", "Storage/ada-l/persistent/none", "Storage/none/persistent/x"):
        answers = [
            bobs.ask(method, path) for method in ("GET", "PUT", "DELETE", "MKCOL", "PROPFIND", "LOCK", "UNLOCK")
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert "secret" not in answers[0].text
    assert bobs.ask("COPY", "Storage/ada-l/persistent", Destination=f"{bobs.url}/{place}/all").status_code == 404


BOMB = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize("method", ["PROPFIND", "PROPPATCH", "LOCK"])
@pytest.mark.parametrize(
    "body",
    [
        f'<!DOCTYPE x [<!ENTITY a0 "ha">{BOMB}]><propfind xmlns="DAV:"><prop><a>&a9;</a></prop></propfind>',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><lockinfo xmlns="DAV:"><owner>&e;</owner></lockinfo>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><propfind xmlns="DAV:"><allprop/></propfind>',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x">%p;]><propfind xmlns="DAV:"><allprop/></propfind>',
        "<propfind",
        "\x00\x01",
        "<a>" * 50_000 + "</a>" * 50_000,
        '<?xml version="1.0" encoding="utf-7"?><propfind xmlns="DAV:"><allprop/></propfind>',
        '<?xml version="1.0" encoding="no-such"?><propfind xmlns="DAV:"><allprop/></propfind>',
        '<wrong xmlns="DAV:"/>',
        '<propfind xmlns="DAV:"/>',
    ],
    ids=["bomb", "file", "dtd", "parameter", "cut", "binary", "deep", "utf-7", "unknown", "other", "empty"],
)
def test_hostile_xml(bobs: Dav, place: str, platform: DrivePlatform, method: str, body: str) -> None:
    bobs.ask("PUT", f"{place}/a", data=b"x")
    started = time.monotonic()
    answer = bobs.ask(method, f"{place}/a", data=body.encode(), Depth="0")
    assert answer.status_code == 400, answer.text
    assert time.monotonic() - started < 5
    assert "root:x:" not in answer.text
    assert "Traceback" not in answer.text


def test_xml_without_end(bobs: Dav, place: str) -> None:
    body = (b"<a>" + b"x" * 100_000 for _ in range(30))
    assert bobs.ask("PROPFIND", place, data=body, Depth="0").status_code == 413


def test_properties_without_end(bobs: Dav, place: str) -> None:
    bobs.ask("PUT", f"{place}/a", data=b"x")
    body = (
        f'<propertyupdate xmlns="DAV:"><set><prop><x xmlns="urn:x">{"y" * 100_000}</x></prop></set></propertyupdate>'
    )
    assert " 507 " in bobs.ask("PROPPATCH", f"{place}/a", data=body).text


def test_locks_without_end(bobs: Dav, place: str) -> None:
    """Shared ones on one file, as many as the door takes."""
    info = '<lockinfo xmlns="DAV:"><lockscope><shared/></lockscope><locktype><write/></locktype></lockinfo>'
    bobs.ask("PUT", f"{place}/a", data=b"x")
    statuses = set()

    def lock(_: int) -> None:
        client = Dav(bobs.url, *bobs.auth)
        statuses.update(client.ask("LOCK", f"{place}/a", data=info, Depth="0").status_code for _ in range(30))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lock, range(8)))
    assert statuses == {200, 507}
    found = bobs.ask("PROPFIND", f"{place}/a", Depth="0").text
    assert found.count("locktoken>") == 2 * LOCKS_PER_PERSON


def test_links_and_devices(bobs: Dav, secret: Path, place: str, platform: DrivePlatform) -> None:
    """Made where a container makes them. They are neither shown nor followed, and can be removed."""
    folder = platform.volume("bob") / place.rpartition("/")[2]
    before = sorted(path.name for path in secret.parent.iterdir())
    (folder / "out").symlink_to(secret)
    (folder / "up").symlink_to("../../../ada-l/persistent")
    (folder / "passwd").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    (folder / "file").write_text("inside")
    (folder / "in").symlink_to("file")
    assert bobs.names(place) == ["file", "in"]
    assert bobs.ask("GET", f"{place}/in").content == b"inside"
    for name in ("out", "passwd", "loop", "pipe", "up/secret.txt", "up"):
        answer = bobs.ask("GET", f"{place}/{name}")
        assert answer.status_code in {403, 404}, name
        assert SECRET not in answer.content
        assert bobs.ask("HEAD", f"{place}/{name}").status_code in {403, 404}
        assert bobs.ask("PROPFIND", f"{place}/{name}", Depth="1").status_code in {403, 404}
        copied = bobs.ask("COPY", f"{place}/{name}", Destination=f"{bobs.url}/{place}/copied")
        assert copied.status_code in {403, 404, 409}, name
    assert bobs.ask("PUT", f"{place}/up/new.txt", data=b"x").status_code in {403, 409}
    assert bobs.ask("PUT", f"{place}/out", data=b"mine now").status_code in {201, 204, 403}
    assert secret.read_bytes() == SECRET
    assert sorted(path.name for path in secret.parent.iterdir()) == before
    for name in ("out", "up", "passwd", "loop", "pipe"):
        assert bobs.ask("DELETE", f"{place}/{name}").status_code == 204, name
    assert secret.read_bytes() == SECRET


def test_hidden_names(bobs: Dav, place: str, platform: DrivePlatform) -> None:
    folder = platform.volume("bob") / place.rpartition("/")[2]
    (folder / ".~sciserver-left").write_text("x")
    assert bobs.names(place) == []
    for method in ("GET", "PUT", "DELETE", "MKCOL", "PROPFIND"):
        assert bobs.ask(method, f"{place}/.~sciserver-left").status_code == 400
    bobs.ask("PUT", f"{place}/a", data=b"x")
    target = f"{bobs.url}/{place}/.~sciserver-new"
    assert bobs.ask("MOVE", f"{place}/a", Destination=target).status_code == 400


def test_headers_of_other_servers_mean_nothing(bobs: Dav, secret: Path, place: str) -> None:
    bobs.ask("PUT", f"{place}/a", data=b"x")
    for name in (
        "X_Original_URL",
        "X_Rewrite_URL",
        "X_Forwarded_Prefix",
        "X_Accel_Redirect",
        "X_HTTP_Method_Override",
    ):
        answer = bobs.ask("GET", f"{place}/a", **{name: "/services/scidrive/dav/Storage/ada-l/persistent/secret.txt"})
        assert answer.content == b"x"


def test_a_name_is_no_way_into_headers(bobs: Dav, place: str) -> None:
    name = "a\r\nSet-Cookie: x=y"
    assert bobs.ask("PUT", f"{place}/{name}", data=b"x").status_code == 201
    for method in ("GET", "HEAD", "PROPFIND", "OPTIONS"):
        assert "Set-Cookie" not in bobs.ask(method, f"{place}/{name}", Depth="0").headers
    assert bobs.ask("GET", f"{place}/missing\r\nSet-Cookie: x=y").headers.get("Set-Cookie") is None
