"""Small files that are written in one go are what files are that come in pieces; and requests that take turns."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from scidrive_service.access import Action
from scidrive_service.errors import FileError, Kind
from scidrive_service.files import Files, OpenVolume
from scidrive_service.turns import Turns
from scidrive_service.webdav import Door, Server
from tests.scidrive import files_support
from tests.scidrive.files_support import ADA, BOB, directory, get, mine, names, on_disk, put


@pytest.fixture
def files(fast_path: Path) -> Iterator[Files]:
    roots = {"Storage": {"default_volumes": ["persistent"], "volume_bytes": 1000, "volume_files": 20}}
    files = files_support.make(fast_path, roots)
    yield files
    files_support.stop(files)


@pytest.fixture
def volume(files: Files) -> OpenVolume:
    return mine(files)


def test_it_is_as_if_it_came_in_pieces(files: Files, volume: OpenVolume) -> None:
    one = volume.write_new(("one",), b"hello", 1_000_000_000.25)
    pieces = volume.create(("pieces",))
    pieces.modified = 1_000_000_000.25  # type: ignore[attr-defined]
    pieces.write(b"hello")
    other = pieces.commit()
    assert one is not None
    assert (one.size, one.modified, one.is_folder, one.is_safe) == (other.size, other.modified, False, True)
    assert one.etag == other.etag == volume.stat(("one",)).etag == "sha256-" + hashlib.sha256(b"hello").hexdigest()
    assert one == volume.stat(("one",))
    seen, like = ((directory(files, volume) / name).stat() for name in ("one", "pieces"))
    for attribute in ("st_mode", "st_uid", "st_gid", "st_nlink", "st_size"):
        assert getattr(seen, attribute) == getattr(like, attribute)
    assert stat.S_IMODE(seen.st_mode) == 0o644


@pytest.mark.parametrize("data", [b"", bytearray(b"data"), memoryview(b"data")])
def test_all_kinds_of_data(volume: OpenVolume, data: Any) -> None:
    assert volume.write_new(("file",), data) is not None
    assert get(volume, "file") == bytes(data)


def test_nothing_that_is_there_is_touched(files: Files, volume: OpenVolume, tmp_path: Path) -> None:
    put(volume, "file", b"old")
    put(volume, "folder/in", b"in")
    home = directory(files, volume)
    (home / "broken").symlink_to("nowhere")
    (home / "out").symlink_to(tmp_path)
    before = on_disk(home)
    for path in ("file", "folder", "broken", "file/below", "missing/new", "out/new", "broken/new"):
        assert volume.write_new(tuple(path.split("/")), b"new") is None, path
    assert on_disk(home) == before
    assert (get(volume, "file"), list(tmp_path.iterdir())) == (b"old", [])
    assert (volume.usage().bytes, volume.usage().files) == (5, 3)  # and the links, when it is counted again


def test_who_may_not_write(files: Files, volume: OpenVolume) -> None:
    files.share(ADA, "Storage", "ada", "persistent", [{"name": "bob", "type": "USER", "allowedActions": ["read"]}])
    with pytest.raises(FileError) as caught:
        files.volume(BOB, "Storage", "ada", "persistent", Action.READ).write_new(("new",), b"")
    assert files_support.kind(caught) is Kind.FORBIDDEN
    assert names(volume) == []


def test_names_are_checked(volume: OpenVolume) -> None:
    for path in ((), ("..", "out"), ("a/b",), (".~sciserver-x",), ("n" * 256,)):
        with pytest.raises(FileError):
            volume.write_new(path, b"")
    assert names(volume) == []


def test_of_many_at_once_one_makes_the_file(volume: OpenVolume) -> None:
    with ThreadPoolExecutor(8) as threads:
        for number in range(10):
            path = (f"file{number}",)
            made = list(threads.map(lambda writer, path=path: volume.write_new(path, b"%d" % writer), range(8)))  # type: ignore[misc]
            assert sum(entry is not None for entry in made) == 1
            assert int(get(volume, path[0])) == next(n for n, entry in enumerate(made) if entry is not None)
    assert (volume.usage().bytes, volume.usage().files) == (10, 10)
    assert volume.tree.usage() == volume.usage()


def test_many_at_once_do_not_pass_the_limit_of_files(volume: OpenVolume) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda number: volume.write_new((f"file{number}",), b"x"), range(50)))
    assert sum(entry is not None for entry in made) == len(names(volume)) == 20
    assert volume.usage().files == 20
    with pytest.raises(FileError) as caught:
        put(volume, "more")
    assert files_support.kind(caught) is Kind.FULL


def test_many_at_once_do_not_pass_the_limit_of_bytes(volume: OpenVolume) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda number: volume.write_new((f"file{number}",), b"x" * 300), range(10)))
    assert sum(entry is not None for entry in made) == len(names(volume)) == 3
    assert volume.usage().bytes == 900
    assert volume.write_new(("rest",), b"x" * 100) is not None
    assert put(volume, "file-or-other", b"").size == 0


def test_a_share_that_ends_holds_at_once(files: Files, volume: OpenVolume) -> None:
    share = [{"name": "bob", "type": "USER", "allowedActions": ["read", "write"]}]
    files.share(ADA, "Storage", "ada", "persistent", share)
    assert files.volume(BOB, "Storage", "ada", "persistent").write_new(("new",), b"") is not None
    assert files.volume(BOB, "Storage", "ada", "persistent") is files.volume(BOB, "Storage", "ada", "persistent")
    files.share(ADA, "Storage", "ada", "persistent", [share[0] | {"allowedActions": []}])
    with pytest.raises(FileError) as caught:
        files.volume(BOB, "Storage", "ada", "persistent")
    assert files_support.kind(caught) is Kind.MISSING


def test_a_volume_whose_directory_is_another_one_is_opened_anew(files: Files, volume: OpenVolume) -> None:
    put(volume, "old", b"")
    home = directory(files, volume)
    home.rename(home.with_name("aside"))
    with pytest.raises(FileError):
        files.volume(BOB, "Storage", "ada", "persistent")
    home.mkdir()
    if files_support.ACCOUNT is not None:
        os.chown(home, files_support.ACCOUNT, files_support.ACCOUNT)
    assert names(mine(files)) == []
    put(mine(files), "new", b"")
    assert on_disk(home) == ["new"]


# -- turns


def test_who_is_stuck_does_not_stop_the_others() -> None:
    turns = Turns()
    stuck = turns.take()
    second = turns.take()
    assert second is not stuck
    second.release()
    third = turns.take()
    assert third is second
    stuck.release()  # the one before ends late
    assert third.locked()
    third.release()


def test_one_at_a_time_has_its_turn() -> None:
    turns, at_work, most = Turns(), [], []

    def work(number: int) -> None:
        for _ in range(200):
            turn = turns.take()
            at_work.append(number)
            most.append(len(at_work))
            at_work.remove(number)
            turn.release()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 800
    assert sorted(most)[len(most) // 2] == 1


# -- heads of requests


def _told(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """What the application sees."""
    body = environ["wsgi.input"].read()
    kept = {name: environ[name] for name in environ if name.startswith(("HTTP_", "CONTENT_", "REQUEST_", "QUERY_"))}
    data = repr((sorted(kept.items()), body)).encode()
    start_response("200 OK", [("Content-Length", str(len(data)))])
    return [data]


def _ask(server: Server, *pieces: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        got = b""
        while data := client.recv(65536):
            got += data
    return got


@pytest.fixture(scope="module")
def told() -> Iterator[Server]:
    server = Server(_told, "127.0.0.1", 0, threads=4)
    server.start()
    yield server
    server.stop(1)


LINE = b"PUT /a%20b?x=1 HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        b"Host: h\r\nX-Auth-Token: t\r\nContent-Length: 3\r\n",
        b"host:h\r\nx-auth-token:t\r\ncontent-length:3\r\n",
        b"HOST: h\r\nX-AUTH-TOKEN: t   \r\nCONTENT-LENGTH: 3\r\n",
        b"Host:\th\r\nX-Auth-Token: t\r\nContent-Length: 3\r\n",
        b"Host: h\r\nX-Auth-Token:\r\n t\r\nContent-Length: 3\r\n",
        b"Host: h\r\nX-Auth-Token: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n",
    ],
)
def test_heads_of_any_spelling_say_the_same(told: Server, fields: bytes) -> None:
    whole = LINE + fields + b"\r\nabc"
    answer = _ask(told, whole).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert b"b'abc'" in answer
    for word in (
        b"'HTTP_HOST', 'h'",
        b"'HTTP_X_AUTH_TOKEN', 't'",
        b"'CONTENT_LENGTH', '3'",
        b"'/a%20b?x=1'",
        b"'x=1'",
    ):
        assert word in answer, answer
    for cut in range(1, len(whole), 7):
        pieces = _ask(told, whole[:cut], whole[cut:]).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert pieces.partition(b"\r\n\r\n")[2] == answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "head",
    [
        b"PUT / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nContent-Length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nno field\r\n\r\n",
        b"PUT / HTTP/1.1\nHost: h\n\n",
        b"PUT /#x HTTP/1.1\r\nHost: h\r\n\r\n",
        b"PUT / HTTP/2.0\r\nHost: h\r\n\r\n",
        b"PUT  / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"PUT\r\n\r\n",
    ],
)
def test_wrong_heads_are_refused(told: Server, head: bytes) -> None:
    assert _ask(told, head).startswith((b"HTTP/1.1 400", b"HTTP/1.1 505"))


def test_a_body_that_ends_early_is_no_file(files: Files) -> None:
    server = Server(Door(files, lambda environ: ADA, "/dav"), "127.0.0.1", 0, threads=4)
    server.start()
    try:
        head = b"PUT /dav/Storage/ada/persistent/new HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
        assert _ask(server, head, b"abc").startswith(b"HTTP/1.1 400")
        assert names(mine(files)) == []
        assert _ask(server, head, b"abcde").startswith(b"HTTP/1.1 201")
        assert _ask(server, head, b"fghij").startswith(b"HTTP/1.1 204")
        assert get(mine(files), "new") == b"fghij"
    finally:
        server.stop(1)
