"""The WebDAV door: what clients see and what they can change, over HTTP with a real hub and proxy."""

from __future__ import annotations

import hashlib
import os
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from sciserver_common.scopes import CASJOBS_QUERY, FILES_READ, FILES_SHARE
from tests.scidrive.dav_support import Dav, dav
from tests.scidrive.drive_platform import Client, DrivePlatform
from tests.support import wait_until

SHARED = "Storage/ada-l/persistent"


@pytest.fixture(scope="module")
def mine(platform: DrivePlatform) -> Dav:
    """Ada, through the proxy."""
    return Dav(f"{platform.url}/dav", "ada-l", platform.token("ada-l"))


@pytest.fixture(scope="module")
def direct(platform: DrivePlatform) -> Dav:
    """Ada, as from a container."""
    return Dav(dav(platform), "ada-l", platform.token("ada-l"))


@pytest.fixture(scope="module")
def bobs(platform: DrivePlatform) -> Dav:
    """Bob, through the proxy."""
    return Dav(f"{platform.url}/dav", "bob", platform.token("bob"))


@pytest.fixture
def place(mine: Dav) -> Iterator[str]:
    """A folder of its own for a test, in Ada's volume."""
    path = f"{SHARED}/{uuid.uuid4().hex[:8]}"
    assert mine.ask("MKCOL", path).status_code == 201
    yield path
    mine.ask("DELETE", path)


@pytest.fixture
def readers(ada: Client, bobs: Dav) -> Iterator[Dav]:
    """Bob, who may read Ada's volume."""
    _share(ada, "read")
    yield bobs
    _share(ada)


def _share(ada: Client, *actions: str) -> None:
    body = [{"name": "bob", "type": "USER", "allowedActions": list(actions)}]
    answer = ada.call("PATCH", f"fileservice/api/share/{SHARED}", json=body)
    assert answer.ok, answer.text


# -- the tree


def test_everybody_sees_their_own_tree(mine: Dav, bobs: Dav, platform: DrivePlatform) -> None:
    assert {"SciDrive/", "Storage/", "Temporary/", "Survey/"} <= set(mine.names(""))
    assert mine.names("Storage") == ["ada-l/"]
    assert "persistent/" in mine.names("Storage/ada-l")
    assert bobs.names("Storage") == ["bob/"]
    assert mine.names("Survey") == ["dr1/", "readme.txt"]
    assert mine.ask("GET", "Survey/dr1/stars.csv").content == b"a,b\n1,2\n"
    mine.ask("PUT", "SciDrive/seen.txt", data=b"mine")
    assert (platform.drive("ada-l") / "seen.txt").read_bytes() == b"mine"
    assert bobs.ask("GET", "SciDrive/seen.txt").status_code == 404


def test_shared_volumes_are_there_as_long_as_they_are_shared(mine: Dav, ada: Client, bobs: Dav, place: str) -> None:
    mine.ask("PUT", f"{place}/a.txt", data=b"hello")
    assert bobs.ask("GET", f"{place}/a.txt").status_code == 404
    _share(ada, "read")
    try:
        assert "ada-l/" in bobs.names("Storage")
        assert bobs.names("Storage/ada-l") == ["persistent/"]
        assert bobs.ask("GET", f"{place}/a.txt").content == b"hello"
    finally:
        _share(ada)
    assert bobs.names("Storage") == ["bob/"]
    assert bobs.ask("PROPFIND", "Storage/ada-l", Depth="1").status_code == 404
    assert bobs.ask("GET", f"{place}/a.txt").status_code == 404


@pytest.mark.parametrize(
    "path", ["", "Storage", "Storage/ada-l", "Storage/ada-l/new", "New", SHARED, "SciDrive", "Survey"]
)
def test_volumes_are_not_made_or_removed_here(mine: Dav, path: str) -> None:
    assert mine.ask("DELETE", path).status_code in {403, 404}
    assert mine.ask("MKCOL", path).status_code in {403, 404, 405}
    assert mine.ask("PUT", path, data=b"x").status_code in {403, 404, 405}
    assert mine.ask("MOVE", path, Destination=f"{mine.url}/SciDrive/there").status_code in {403, 404}


def test_other_doors_see_it_at_once(mine: Dav, ada: Client, place: str, platform: DrivePlatform) -> None:
    folder = place.rpartition("/")[2]
    mine.ask("PUT", f"{place}/by-dav", data=b"1")
    ada.put(f"{folder}/by-rest", b"22")
    assert ada.get(f"{folder}/by-dav").content == b"1"
    assert mine.ask("GET", f"{place}/by-rest").content == b"22"
    (platform.volume("ada-l") / folder / "by-hand").write_text("333")
    assert mine.names(place) == ["by-dav", "by-hand", "by-rest"]
    tag = ada.get(f"{folder}/by-dav").headers["ETag"]
    assert mine.ask("GET", f"{place}/by-dav").headers["ETag"] == tag


# -- transfers


def test_put_and_get(mine: Dav, place: str) -> None:
    data = bytes(range(256)) * 4096
    answer = mine.ask("PUT", f"{place}/a.fits", data=data)
    assert answer.status_code == 201
    assert answer.headers["ETag"] == f'"sha256-{hashlib.sha256(data).hexdigest()}"'
    assert mine.ask("PUT", f"{place}/a.fits", data=data[::-1]).status_code == 204
    got = mine.ask("GET", f"{place}/a.fits")
    assert got.content == data[::-1]
    assert got.headers["Content-Type"] != "text/html"
    assert mine.ask("HEAD", f"{place}/a.fits").headers["Content-Length"] == str(len(data))
    assert mine.ask("HEAD", f"{place}/a.fits").content == b""


def test_files_keep_their_times(mine: Dav, place: str) -> None:
    answer = mine.ask("PUT", f"{place}/old", data=b"x", X_OC_Mtime="1000000000")
    assert answer.headers["X-OC-MTime"] == "accepted"
    assert mine.find(place)[f"{place}/old"]["getlastmodified"] == "Sun, 09 Sep 2001 01:46:40 GMT"
    assert mine.ask("GET", f"{place}/old").headers["ETag"].startswith('"sha256-')
    for odd in ("yesterday", "-1", "1e9", "1" * 30):
        answer = mine.ask("PUT", f"{place}/odd", data=b"x", X_OC_Mtime=odd)
        assert answer.status_code < 300
        assert "X-OC-MTime" not in answer.headers
    assert mine.ask("PUT", f"{place}/late", data=b"x", X_OC_Mtime="99999999999").status_code == 201
    assert mine.find(place)


def test_empty_and_chunked_bodies(mine: Dav, direct: Dav, place: str) -> None:
    assert mine.ask("PUT", f"{place}/empty").status_code == 201
    assert mine.ask("GET", f"{place}/empty").content == b""
    for client in (mine, direct):
        assert (
            client.ask("PUT", f"{place}/chunks", data=iter([b"a" * 100_000, b"b", b"c" * 300_000])).status_code < 300
        )
        assert client.ask("GET", f"{place}/chunks").content == b"a" * 100_000 + b"b" + b"c" * 300_000


def test_ranges(mine: Dav, place: str) -> None:
    mine.ask("PUT", f"{place}/r", data=b"0123456789")
    for wanted, got, content in [
        ("bytes=2-4", "bytes 2-4/10", b"234"),
        ("bytes=7-", "bytes 7-9/10", b"789"),
        ("bytes=-3", "bytes 7-9/10", b"789"),
        ("bytes=0-99", "bytes 0-9/10", b"0123456789"),
    ]:
        answer = mine.ask("GET", f"{place}/r", Range=wanted)
        assert (answer.status_code, answer.headers["Content-Range"], answer.content) == (206, got, content)
    assert mine.ask("GET", f"{place}/r", Range="bytes=10-").status_code == 416
    assert mine.ask("GET", f"{place}/r", Range="bytes=0-1,4-5").content == b"0123456789"
    assert mine.ask("GET", f"{place}/r", Range="bytes=0-1", If_Range='"other"').status_code == 200


def test_conditions(mine: Dav, place: str) -> None:
    tag = mine.ask("PUT", f"{place}/c", data=b"1").headers["ETag"]
    assert mine.ask("GET", f"{place}/c", If_None_Match=tag).status_code == 304
    assert mine.ask("PUT", f"{place}/c", data=b"2", If_None_Match="*").status_code == 412
    assert mine.ask("PUT", f"{place}/c", data=b"2", If_Match='"other"').status_code == 412
    assert mine.ask("PUT", f"{place}/new", data=b"2", If_Match="*").status_code == 412
    assert mine.ask("DELETE", f"{place}/c", If_Match='"other"').status_code == 412
    assert mine.ask("PUT", f"{place}/c", data=b"2", If_Match=tag).status_code == 204
    assert mine.ask("GET", f"{place}/c").content == b"2"


def test_what_cannot_be_put(mine: Dav, place: str) -> None:
    assert mine.ask("PUT", f"{place}/no/such/folder", data=b"x").status_code == 409
    mine.ask("MKCOL", f"{place}/folder")
    assert mine.ask("PUT", f"{place}/folder", data=b"x").status_code == 405
    assert mine.ask("PUT", f"{place}/file/", data=b"x").status_code == 409
    assert mine.ask("PUT", f"{place}/part", data=b"x", Content_Range="bytes 0-0/2").status_code == 400
    assert mine.ask("PUT", f"{place}/zip", data=b"x", Content_Encoding="gzip").status_code == 415
    assert mine.names(place) == ["folder/"]


def test_a_torn_upload_leaves_nothing(direct: Dav, place: str, platform: DrivePlatform) -> None:
    direct.ask("PUT", f"{place}/whole", data=b"before")
    for name, kind in [("whole", "Content-Length: 1000000"), ("new", "Transfer-Encoding: chunked")]:
        with _by_hand(platform, "PUT", f"{place}/{name}", kind) as client:
            client.sendall(b"f4240\r\nhalf" if "chunked" in kind else b"half")
    time.sleep(0.5)
    assert direct.ask("GET", f"{place}/whole").content == b"before"
    assert direct.names(place) == ["whole"]
    folder = platform.volume("ada-l") / place.rpartition("/")[2]
    assert [path.name for path in folder.iterdir()] == ["whole"]


@pytest.mark.parametrize(
    "bad", [b"-5\r\n", b"0x10\r\n", b"1_0\r\n", b"\r\n", b"5\r\nhello!!\r\n", b"FFFFFFFFFFFFFFFFFF\r\n"]
)
def test_chunks_that_make_no_sense(direct: Dav, place: str, platform: DrivePlatform, bad: bytes) -> None:
    with _by_hand(platform, "PUT", f"{place}/new", "Transfer-Encoding: chunked") as client:
        client.sendall(bad)
        client.shutdown(1)
        assert b" 400 " in client.recv(4096)
    assert direct.names(place) == []


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: +5",),
        ("Content-Length: 1_0",),
        ("Content-Length: -1",),
    ],
)
def test_lengths_that_proxies_could_see_otherwise(place: str, platform: DrivePlatform, lines: tuple[str, ...]) -> None:
    with _by_hand(platform, "PUT", f"{place}/new", *lines) as client:
        client.sendall(b"0\r\n\r\n")
        assert b" 400 " in client.recv(4096)


def test_two_writers_of_one_file(mine: Dav, direct: Dav, place: str) -> None:
    """The last one to finish wins, whole."""
    contents = {bytes([number]) * 500_000 for number in range(8)}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda data: Dav(direct.url, *direct.auth).ask("PUT", f"{place}/w", data=data), contents)
        )
    assert {answer.status_code for answer in answers} <= {201, 204}
    assert sum(answer.status_code == 201 for answer in answers) == 1
    assert mine.ask("GET", f"{place}/w").content in contents


def test_memory_stays_flat_while_much_is_moved(direct: Dav, place: str, platform: DrivePlatform) -> None:
    direct.ask("PUT", f"{place}/warm", data=b"x")
    before = platform.process.memory_info().rss
    piece = bytes(1024 * 1024)

    def move(number: int) -> int:
        client = Dav(direct.url, *direct.auth)
        assert client.ask("PUT", f"{place}/{number}", data=(piece for _ in range(16))).status_code == 201
        with client.get(f"{direct.url}/{place}/{number}", stream=True, timeout=60) as answer:
            return sum(len(data) for data in answer.iter_content(65536))

    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(move, range(40))) == {16 * 1024 * 1024}
    assert platform.process.memory_info().rss - before < 40_000_000


def test_a_body_that_is_refused_is_not_kept_in_memory(platform: DrivePlatform, direct: Dav) -> None:
    before = platform.process.memory_info().rss
    stranger = Dav(direct.url, "ada-l", "not-a-token-of-anybody")
    piece = bytes(1024 * 1024)
    assert stranger.ask("PUT", "SciDrive/x", data=(piece for _ in range(40))).status_code == 401
    assert platform.process.memory_info().rss - before < 20_000_000


def test_a_slow_upload_holds_nobody_up(direct: Dav, mine: Dav, place: str, platform: DrivePlatform) -> None:
    with _by_hand(platform, "PUT", f"{place}/slow", "Content-Length: 10") as client:
        client.sendall(b"01234")
        started = time.monotonic()
        assert mine.ask("PUT", f"{place}/other", data=b"x").status_code == 201
        assert time.monotonic() - started < 5
        client.sendall(b"56789")
        assert b" 201 " in client.recv(4096)
    assert mine.ask("GET", f"{place}/slow").content == b"0123456789"


def test_no_more_than_the_quota(platform: DrivePlatform, ada: Client, mine: Dav) -> None:
    assert ada.call("PUT", "fileservice/api/volume/Small/ada-l/dav").ok
    path = "Small/ada-l/dav"
    assert mine.ask("PUT", f"{path}/a", data=bytes(1_000_000)).status_code == 201
    quota = mine.find(path, "0", _named("quota-available-bytes", "quota-used-bytes"))[f"{path}/"]
    assert quota == {"quota-used-bytes": "1000000", "quota-available-bytes": "2000000"}
    assert "quota-used-bytes" not in mine.find(path, "0")[f"{path}/"]
    for data in (bytes(2_500_000), iter([bytes(500_000)] * 5)):
        answer = mine.ask("PUT", f"{path}/b", data=data)
        assert answer.status_code == 507, answer.text
    assert mine.ask("COPY", f"{path}/a", Destination=f"{mine.url}/{path}/b").status_code == 201
    assert mine.ask("COPY", f"{path}/a", Destination=f"{mine.url}/{path}/c").status_code in {201, 507}
    assert mine.ask("COPY", f"{path}/a", Destination=f"{mine.url}/{path}/d").status_code == 507
    assert "d" not in mine.names(path)


# -- changes


def test_copy_and_move_between_volumes(mine: Dav, place: str) -> None:
    mine.ask("MKCOL", f"{place}/folder")
    mine.ask("PUT", f"{place}/folder/a", data=b"1")
    target = f"SciDrive/{uuid.uuid4().hex[:8]}"
    assert mine.ask("COPY", f"{place}/folder", Destination=f"{mine.url}/{target}").status_code == 201
    assert mine.ask("GET", f"{target}/a").content == b"1"
    assert mine.ask("COPY", f"{place}/folder", Destination=f"{mine.url}/{target}", Overwrite="F").status_code == 412
    mine.ask("PUT", f"{target}/b", data=b"2")
    assert mine.ask("MOVE", f"{place}/folder", Destination=f"{mine.url}/{target}").status_code == 204
    assert mine.names(target) == ["a"]
    assert mine.ask("GET", f"{place}/folder/a").status_code == 404
    assert mine.ask("MOVE", f"{target}/a", Destination=f"{mine.url}/{target}/no/b").status_code == 409


def test_copies_out_of_data_volumes_only(mine: Dav, place: str) -> None:
    assert mine.ask("COPY", "Survey/dr1", Destination=f"{mine.url}/{place}/dr1").status_code == 201
    assert mine.names(f"{place}/dr1") == ["stars.csv"]
    for method, path in [("DELETE", "Survey/readme.txt"), ("PUT", "Survey/x"), ("MKCOL", "Survey/x")]:
        assert mine.ask(method, path).status_code == 403
    assert mine.ask("MOVE", "Survey/readme.txt", Destination=f"{mine.url}/{place}/readme").status_code == 403
    assert mine.ask("COPY", f"{place}/dr1", Destination=f"{mine.url}/Survey/dr2").status_code == 403
    assert mine.names("Survey") == ["dr1/", "readme.txt"]


def test_names_of_all_kinds(mine: Dav, place: str) -> None:
    names = [
        "ä ö",
        "a?b",
        "a#b",
        "100%",
        "%2e%2e",
        "a&b<c>",
        "'\"",
        "a:b",
        "a\\b",
        "😀",
        "e\u0301",
        "é",
        "x" * 255,
        "a\nb",
    ]
    for name in names:
        assert mine.ask("PUT", f"{place}/{name}", data=name.encode()).status_code == 201, name
    assert mine.names(place) == sorted(names)
    for name in names:
        assert mine.ask("GET", f"{place}/{name}").content == name.encode()
        moved = mine.ask("MOVE", f"{place}/{name}", Destination=f"{mine.url}/{place}/{quote('m' + name[1:])}")
        assert moved.status_code in {201, 204}, name
    assert mine.ask("PUT", f"{place}/{'x' * 256}", data=b"").status_code == 400


def test_names_that_are_no_text(mine: Dav, direct: Dav, place: str, platform: DrivePlatform) -> None:
    """They are listed, and can be used where no proxy is: Node's takes no address that is not UTF-8."""
    folder = platform.volume("ada-l") / place.rpartition("/")[2]
    Path(os.fsdecode(bytes(folder) + b"/\xff\x01name")).write_text("odd")
    answer = mine.request("PROPFIND", f"{mine.url}/{place}/", headers={"Depth": "1"}, timeout=20)
    assert answer.status_code == 207
    assert "%FF%01name" in answer.text
    assert mine.find(place)
    assert direct.get(f"{direct.url}/{place}/%FF%01name", timeout=20).text == "odd"
    assert direct.request("DELETE", f"{direct.url}/{place}/%FF%01name", timeout=20).status_code == 204


# -- properties and locks


def test_properties_follow_their_files(mine: Dav, place: str) -> None:
    mine.ask("PUT", f"{place}/p", data=b"")
    change = (
        '<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x"><D:set><D:prop><x:colour>red &amp; <x:b>ä</x:b></x:colour>'
        "</D:prop></D:set></D:propertyupdate>"
    )
    assert mine.ask("PROPPATCH", f"{place}/p", data=change.encode()).status_code == 207
    mine.ask("COPY", f"{place}/p", Destination=f"{mine.url}/{place}/q")
    mine.ask("MOVE", f"{place}/p", Destination=f"{mine.url}/{place}/r")
    found = mine.find(place)
    assert found[f"{place}/q"]["colour"] == found[f"{place}/r"]["colour"] == "red & "
    mine.ask("DELETE", f"{place}/q")
    mine.ask("PUT", f"{place}/q", data=b"")
    assert "colour" not in mine.find(f"{place}/q", "0")[f"{place}/q"]
    live = '<propertyupdate xmlns="DAV:"><set><prop><getetag>x</getetag></prop></set></propertyupdate>'
    assert " 403 " in mine.ask("PROPPATCH", f"{place}/r", data=live).text


def test_properties_by_name_and_all(mine: Dav, place: str) -> None:
    mine.ask("PUT", f"{place}/p.txt", data=b"123")
    body = '<propfind xmlns="DAV:"><prop><getcontentlength/><x xmlns="urn:x"/><y xmlns=""/></prop></propfind>'
    answer = mine.ask("PROPFIND", f"{place}/p.txt", Depth="0", data=body)
    assert " 404 " in answer.text
    assert mine.find(f"{place}/p.txt", "0", body)[f"{place}/p.txt"] == {"getcontentlength": "3"}
    everything = mine.find(place)[f"{place}/p.txt"]
    assert {"getetag", "getlastmodified", "creationdate", "displayname", "getcontenttype"} <= set(everything)
    names = mine.find(place, "0", '<propfind xmlns="DAV:"><propname/></propfind>')[f"{place}/"]
    assert "quota-used-bytes" in names
    assert mine.ask("PROPFIND", place, Depth="infinity").status_code == 403
    assert "propfind-finite-depth" in mine.ask("PROPFIND", place).text


def test_locks_keep_others_out(mine: Dav, ada: Client, bobs: Dav, place: str) -> None:
    _share(ada, "read", "write", "delete")
    try:
        mine.ask("PUT", f"{place}/l", data=b"1")
        token = _lock(mine, f"{place}/l")
        assert bobs.ask("PUT", f"{place}/l", data=b"2").status_code == 423
        assert bobs.ask("DELETE", f"{place}/l").status_code == 423
        assert bobs.ask("DELETE", place).status_code == 423
        assert bobs.ask("MOVE", f"{place}/l", Destination=f"{bobs.url}/{place}/m").status_code == 423
        assert bobs.ask("PUT", f"{place}/l", data=b"2", If=f"(<{token}>)").status_code in {412, 423}
        assert bobs.ask("UNLOCK", f"{place}/l", Lock_Token=f"<{token}>").status_code == 403
        assert bobs.ask("LOCK", f"{place}/l", If=f"(<{token}>)").status_code == 412
        assert token not in bobs.ask("PROPFIND", f"{place}/l", Depth="0").text
        assert token in mine.ask("PROPFIND", f"{place}/l", Depth="0").text
        assert mine.ask("PUT", f"{place}/l", data=b"3").status_code == 423
        assert mine.ask("PUT", f"{place}/l", data=b"3", If=f"(<{token}>)").status_code == 204
        assert mine.ask("LOCK", f"{place}/l", If=f"(<{token}>)", Timeout="Second-100").status_code == 200
        assert mine.ask("UNLOCK", f"{place}/l", Lock_Token=f"<{token}>").status_code == 204
        assert bobs.ask("PUT", f"{place}/l", data=b"2").status_code == 204
    finally:
        _share(ada)


def test_a_lock_makes_an_empty_file(mine: Dav, place: str) -> None:
    assert _lock(mine, f"{place}/new", status=201)
    assert mine.ask("GET", f"{place}/new").content == b""


LOCKINFO = (
    '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype>'
    "<owner>me</owner></lockinfo>"
)


def _lock(client: Dav, path: str, status: int = 200) -> str:
    answer = client.ask("LOCK", path, data=LOCKINFO, Depth="0")
    assert answer.status_code == status, answer.text
    return answer.headers["Lock-Token"].strip("<>")


# -- who may


def test_tokens(platform: DrivePlatform, mine: Dav) -> None:
    token = platform.token("ada-l")
    url = f"{mine.url}/SciDrive/"

    def status(**headers: str) -> int:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return Client(platform.url).request("PROPFIND", url, headers={"Depth": "0", **names}, timeout=20).status_code

    assert status(X_Auth_Token=token) == 207
    assert status(Authorization=f"Bearer {token}") == 207
    assert status(Authorization=f"Bearer {token}", X_Auth_Token=token) == 207
    assert status(Authorization=f"Bearer {token}", X_Auth_Token=platform.token("bob")) == 400
    assert status() == 401
    assert status(Cookie=f"service-scidrive={token}") == 401
    assert status(Authorization=f"Bearer {token}", Sec_Fetch_Mode="cors") == 403
    for name, expected in [("ada-l", 207), ("token", 207), ("", 207), ("bob", 401)]:
        assert Dav(mine.url, name, token).ask("PROPFIND", "SciDrive", Depth="0").status_code == expected
    refused = Dav(mine.url, "ada-l", "x" * 32).ask("PROPFIND", "SciDrive", Depth="0")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")


def test_scopes(platform: DrivePlatform, mine: Dav, place: str) -> None:
    for scopes in ([FILES_READ], [FILES_SHARE]):
        reader = Dav(mine.url, "ada-l", platform.token("ada-l", *scopes))
        assert reader.names(place) == []
        for method in ("PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPPATCH", "LOCK", "UNLOCK"):
            answer = reader.ask(method, f"{place}/x")
            assert answer.status_code == 403, method
            assert "files:write" in answer.text
    assert Dav(mine.url, "ada-l", platform.token("ada-l", CASJOBS_QUERY)).ask("GET", place).status_code == 403


def test_revoked_tokens(platform: DrivePlatform, mine: Dav) -> None:
    made = platform.new_token("ada-l", FILES_READ)
    client = Dav(mine.url, "ada-l", made["token"])
    assert client.ask("PROPFIND", "SciDrive", Depth="0").status_code == 207
    platform.revoke("ada-l", made["id"])
    wait_until(lambda: client.ask("PROPFIND", "SciDrive", Depth="0").status_code == 401, limit=10)


def test_readers_change_nothing(readers: Dav, mine: Dav, place: str) -> None:
    mine.ask("PUT", f"{place}/a", data=b"1")
    assert readers.ask("GET", f"{place}/a").content == b"1"
    for method in ("PUT", "DELETE", "MKCOL"):
        assert readers.ask(method, f"{place}/{'b' if method == 'MKCOL' else 'a'}").status_code == 403, method
    assert readers.ask("LOCK", f"{place}/a", data=LOCKINFO).status_code == 403
    assert readers.ask("LOCK", f"{place}/new", data=LOCKINFO).status_code == 403
    change = '<propertyupdate xmlns="DAV:"><set><prop><x xmlns="urn:x">1</x></prop></set></propertyupdate>'
    assert " 403 " in readers.ask("PROPPATCH", f"{place}/a", data=change).text
    assert readers.ask("MOVE", f"{place}/a", Destination=f"{mine.url}/SciDrive/a").status_code == 403
    assert readers.ask("COPY", f"{place}/a", Destination=f"{mine.url}/SciDrive/a").status_code in {201, 204}
    assert readers.ask("COPY", "SciDrive/a", Destination=f"{mine.url}/{place}/c").status_code == 403
    assert mine.names(place) == ["a"]


def test_one_person_does_not_take_all_threads(platform: DrivePlatform, mine: Dav, bobs: Dav, place: str) -> None:
    clients = []
    try:
        for number in range(48):
            client = _by_hand(platform, "PUT", f"{place}/slow{number}", "Content-Length: 10")
            client.sendall(b"1")
            clients.append(client)
        wait_until(lambda: mine.ask("GET", place).status_code == 503, limit=20)
        assert bobs.ask("PROPFIND", "SciDrive", Depth="0").status_code == 207
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: mine.ask("GET", place).status_code == 200, limit=20)


# -- answers


def test_headers_keep_content_from_running(mine: Dav, place: str) -> None:
    mine.ask("PUT", f"{place}/evil.html", data=b"<script>alert(1)</script>")
    for answer in (
        mine.ask("GET", f"{place}/evil.html"),
        mine.ask("GET", f"{place}/evil.html", Range="bytes=0-3"),
        mine.ask("GET", place),
        mine.ask("GET", f"{place}/missing<script>"),
        mine.ask("PROPFIND", place, Depth="1"),
    ):
        assert answer.headers["Content-Security-Policy"].startswith("sandbox")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "wsgidav" not in answer.text.lower()
    assert mine.ask("GET", f"{place}/evil.html").headers["Content-Disposition"].startswith("attachment")
    assert mine.ask("GET", place).headers["Content-Type"].startswith("text/plain")
    assert "cheroot" not in str(mine.ask("GET", place).headers).lower()


def test_what_the_door_offers(mine: Dav) -> None:
    answer = mine.ask("OPTIONS", "")
    assert answer.headers["DAV"] == "1, 2"
    assert "PROPFIND" in answer.headers["Allow"]
    assert mine.ask("POST", "SciDrive").status_code == 405
    assert mine.ask("PATCH", "SciDrive").status_code == 405


def _named(*names: str) -> str:
    return f'<propfind xmlns="DAV:"><prop>{"".join(f"<{name}/>" for name in names)}</prop></propfind>'


def _by_hand(platform: DrivePlatform, method: str, path: str, *lines: str) -> socket.socket:
    """A connection on which a request has begun."""
    host, port = platform.deployment.internal_host, platform.deployment.service_port("dav")
    client = socket.create_connection((host, port), timeout=30)
    head = [f"{method} /services/scidrive/dav/{path} HTTP/1.1", f"Host: {host}", *lines]
    head.append(f"X-Auth-Token: {platform.token('ada-l')}")
    client.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
    return client
