"""What breaks while a file is on its way: the client, the service, the disk, the room; and many at once.

Whatever it is, no name ever shows a part of a file, and nothing is left behind.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

from tests.scidrive.drive_platform import Client, DrivePlatform, error_of
from tests.support import wait_until

MIB = 2**20
MOST_MEMORY = 150 * 10**6


@pytest.fixture(scope="module")
def fred(platform: DrivePlatform) -> Client:
    """Somebody with two volumes, one with little room."""
    client = platform.client("fred")
    assert client.put("kept.txt", b"kept").status_code == 200
    assert client.call("PUT", "fileservice/api/volume/Small/fred/little").status_code == 200
    return client


@pytest.fixture(autouse=True)
def _nothing_is_left(platform: DrivePlatform, fred: Client) -> Iterator[None]:
    before = used(fred)
    yield
    for volume in (platform.volume("fred"), platform.volume("fred", "little", "Small")):
        assert list(volume.rglob(".~sciserver*")) == []
    names = set(fred.names()) - {"kept.txt"}
    assert all(name.startswith(("whole", "many")) for name in names), names
    for name in names:
        fred.call("DELETE", f"fileservice/api/data/Storage/fred/persistent/{name}")
    wait_until(lambda: used(fred) == before, limit=20, what="nothing stays reserved")


def used(client: Client) -> int:
    """Bytes that the quota counts."""
    usage = client.call("GET", "api/usage").json()
    return int(next(each for each in usage if each["rootVolumeName"] == "Storage")["numberOfBytesUsed"])


@contextmanager
def sending(platform: DrivePlatform, name: str, *lines: str, data: bytes = b"") -> Iterator[socket.socket]:
    """A connection on which an upload has begun."""
    path = f"fileservice/api/file/Storage/fred/persistent/{name}"
    with platform.connect() as connection:
        connection.sendall(platform.head("PUT", path, platform.token("fred"), *lines) + data)
        yield connection


def open_files(platform: DrivePlatform) -> int:
    """Files without a name that the service has open: uploads."""
    found = 0
    for link in Path(f"/proc/{platform.process.pid}/fd").iterdir():
        with suppress(OSError):
            found += str(link.readlink()).endswith("(deleted)")
    return found


@pytest.mark.parametrize("lines", [(f"Content-Length: {50 * MIB}",), ("Transfer-Encoding: chunked",)], ids=str)
@pytest.mark.parametrize("end", ["closes", "resets", "stops sending"])
def test_a_client_that_goes(platform: DrivePlatform, fred: Client, lines: tuple[str, ...], end: str) -> None:
    data = os.urandom(4 * MIB)
    if "chunked" in lines[0]:
        data = b"%x\r\n%s\r\n" % (len(data), data)
    before = open_files(platform)
    with sending(platform, "torn.bin", *lines, data=data) as connection:
        wait_until(lambda: open_files(platform) > before, what="the upload has begun")
        if end == "resets":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        elif end == "stops sending":
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1000) == b""
    wait_until(lambda: open_files(platform) == before, what="the upload is forgotten")
    error_of(fred.get("torn.bin"), 404)


def test_a_client_that_goes_behind_the_proxy(platform: DrivePlatform, fred: Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(100_000)
        raise ConnectionAbortedError

    with pytest.raises((requests.exceptions.ConnectionError, ConnectionAbortedError)):
        fred.put("torn.bin", pieces())
    wait_until(lambda: open_files(platform) == 0, what="the upload is forgotten")
    error_of(fred.get("torn.bin"), 404)


def test_an_old_file_stays_whole_until_the_new_one_is(platform: DrivePlatform, fred: Client) -> None:
    assert fred.put("whole.bin", b"old" * MIB).status_code == 200
    with sending(platform, "whole.bin", f"Content-Length: {8 * MIB}", data=bytes(4 * MIB)) as connection:
        for _ in range(20):
            assert fred.get("whole.bin").content == b"old" * MIB
        connection.sendall(bytes(4 * MIB))
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert fred.get("whole.bin").content == bytes(8 * MIB)


def test_a_reader_keeps_the_file_that_it_has_opened(platform: DrivePlatform, fred: Client) -> None:
    old, new = os.urandom(20 * MIB), os.urandom(5 * MIB)
    fred.put("whole.bin", old)
    answer = platform.client("fred", direct=True).get("whole.bin", stream=True)
    first = next(pieces := answer.iter_content(MIB))
    assert fred.put("whole.bin", new).status_code == 200
    assert first + b"".join(pieces) == old
    answer = platform.client("fred", direct=True).get("whole.bin", stream=True)
    assert fred.call("DELETE", "fileservice/api/data/Storage/fred/persistent/whole.bin").status_code == 200
    assert answer.content == new


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "through the proxy"])
def test_a_file_that_a_container_cuts_is_noticed(platform: DrivePlatform, fred: Client, direct: bool) -> None:
    fred.put("whole.bin", bytes(60 * MIB))
    answer = platform.client("fred", direct=direct).get("whole.bin", stream=True)
    pieces = answer.iter_content(MIB)
    next(pieces)
    os.truncate(platform.volume("fred") / "whole.bin", MIB)
    with pytest.raises(requests.exceptions.RequestException):
        assert len(b"".join(pieces)) == 59 * MIB


def test_two_writers_of_one_file(platform: DrivePlatform, fred: Client) -> None:
    """One of them wins, and nobody ever sees a mixture."""
    contents = [bytes([number]) * (3 * MIB) for number in range(4)]
    allowed = {hashlib.sha256(content).hexdigest() for content in contents}
    fred.put("whole.bin", contents[0])
    stop = threading.Event()
    seen = set()

    def read() -> None:
        client = platform.client("fred", direct=True)
        while not stop.is_set():
            seen.add(hashlib.sha256(client.get("whole.bin").content).hexdigest())

    def write(number: int) -> list[int]:
        client = platform.client("fred", direct=True)
        return [client.put("whole.bin", contents[number]).status_code for _ in range(8)]

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            assert [status for result in pool.map(write, range(4)) for status in result] == [200] * 32
    finally:
        stop.set()
        reader.join()
    assert seen <= allowed
    assert len(seen) > 1


def test_of_many_who_make_the_same_file_one_does(platform: DrivePlatform, fred: Client) -> None:
    def make(number: int) -> int:
        client = platform.client("fred", direct=True)
        options = {"headers": {"If-None-Match": "*"}} if number % 2 else {"params": {"quiet": "False"}}
        return client.put("whole.bin", b"%d" % number * 300_000, **options).status_code

    with ThreadPoolExecutor(12) as pool:
        statuses = sorted(pool.map(make, range(12)))
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {409, 412}


def test_no_room_by_the_size_that_is_promised(platform: DrivePlatform, fred: Client) -> None:
    """Refused before it is sent."""
    for client in (fred, platform.client("fred", direct=True)):
        answer = client.call("PUT", client.file("large", "little", "Small"), data=bytes(5_000_000))
        assert "quota" in error_of(answer, 507).lower() or "room" in answer.text
    with platform.connect() as connection:
        path = fred.file("large", "little", "Small")
        lines = (f"Content-Length: {10**12}", "Expect: 100-continue")
        connection.sendall(platform.head("PUT", path, platform.token("fred"), *lines))
        assert connection.recv(1000).startswith(b"HTTP/1.1 507")


def test_no_room_in_the_middle(platform: DrivePlatform, fred: Client) -> None:
    """Nothing appears, and the client hears why, although it still sends."""

    def pieces() -> Iterator[bytes]:
        for _ in range(200):
            yield bytes(50_000)

    little = platform.volume("fred", "little", "Small")
    for client in (fred, platform.client("fred", direct=True)):
        error_of(client.call("PUT", client.file("large", "little", "Small"), data=pieces()), 507)
        assert list(little.iterdir()) == []
    assert fred.call("PUT", fred.file("fits", "little", "Small"), data=bytes(2_900_000)).status_code == 200
    error_of(fred.call("PUT", fred.file("more", "little", "Small"), data=bytes(200_000)), 507)
    # In place of the old one it fits.
    assert fred.call("PUT", fred.file("fits", "little", "Small"), data=bytes(2_950_000)).status_code == 200
    assert fred.call("DELETE", "fileservice/api/data/Small/fred/little/fits").status_code == 200
    for number in range(50):
        last = fred.call("PUT", fred.file(f"n/{number}", "little", "Small"), data=b"")
    error_of(last, 507)
    assert fred.call("DELETE", "fileservice/api/data/Small/fred/little/n").status_code == 200


def test_the_disk_is_full(platform: DrivePlatform, fred: Client) -> None:
    little = platform.volume("fred", "little", "Small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,uid=1000,gid=1000", "none", str(little)], check=True)
    try:
        for data in (bytes(2_000_000), iter([bytes(500_000)] * 4)):
            answer = fred.call("PUT", fred.file("large", "little", "Small"), data=data)
            assert "/" not in error_of(answer, 507)
            assert list(little.iterdir()) == []
        assert fred.call("PUT", fred.file("fits", "little", "Small"), data=bytes(500_000)).status_code == 200
    finally:
        subprocess.run(["umount", "-l", str(little)], check=True)


def test_the_service_is_killed_in_the_middle_of_an_upload(platform: DrivePlatform, fred: Client) -> None:
    fred.put("whole.bin", b"old")
    with (
        sending(platform, "whole.bin", f"Content-Length: {8 * MIB}", data=bytes(4 * MIB)),
        sending(platform, "torn.bin", f"Content-Length: {8 * MIB}", data=bytes(4 * MIB)),
    ):
        wait_until(lambda: open_files(platform) >= 2, what="both have begun")
        platform.kill_service()
    platform.start_service()
    assert fred.get("whole.bin").content == b"old"
    error_of(fred.get("torn.bin"), 404)


def test_the_service_is_killed_in_the_middle_of_a_move(platform: DrivePlatform, fred: Client) -> None:
    """A folder of another volume: it is here, or there, or at both; and every file is whole."""
    files = {f"many/{i % 5}/{i}": os.urandom(200_000) for i in range(60)}
    for name, data in files.items():
        path = platform.volume("fred") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    subprocess.run(["chown", "-R", "1000:1000", str(platform.volume("fred") / "many")], check=True)
    target = platform.volume("fred", "scratch", "Temporary")
    body = {
        "destinationPath": "moved",
        "destinationRootVolume": "Temporary",
        "destinationUserVolume": "scratch",
        "destinationOwnerName": "fred",
    }
    path = "fileservice/api/data/Storage/fred/persistent/many?doCopy=False&replaceExisting=True"

    def move() -> int:
        with suppress(requests.exceptions.ConnectionError):
            return platform.client("fred", direct=True).call("PUT", path, json=body).status_code
        return 0

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(move)
        time.sleep(0.15)
        platform.kill_service()
        answer.result()
    platform.start_service()
    for name, data in files.items():
        here = platform.volume("fred") / name
        there = target / "moved" / name.removeprefix("many/")
        found = [place for place in (here, there) if place.exists()]
        assert found, name
        assert all(place.read_bytes() == data for place in found)
    # Once more, and it ends.
    assert fred.call("PUT", path, json=body).status_code in {200, 404}
    assert not (platform.volume("fred") / "many").exists()
    for name, data in files.items():
        assert (target / "moved" / name.removeprefix("many/")).read_bytes() == data
    assert fred.call("DELETE", "fileservice/api/data/Temporary/fred/scratch/moved").status_code == 200


def test_the_service_is_stopped(platform: DrivePlatform, fred: Client) -> None:
    """It ends soon, whoever still sends, and nothing of that appears."""
    with sending(platform, "torn.bin", f"Content-Length: {8 * MIB}", data=bytes(4 * MIB)):
        wait_until(lambda: open_files(platform) >= 1, what="it has begun")
        begun = time.monotonic()
        assert platform.service.stop(signal.SIGTERM) == 0
        assert time.monotonic() - begun < 15
    platform.start_service()
    error_of(fred.get("torn.bin"), 404)
    log = platform.service.log.read_text()
    assert "SciDrive stopped." in log
    assert "Traceback" not in log


def test_many_transfers_at_once(platform: DrivePlatform, fred: Client) -> None:
    """Fifty at the same time, of 8 MiB: all are whole, and memory stays flat."""
    data = os.urandom(8 * MIB)
    digest = hashlib.sha256(data).hexdigest()
    most, stop = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not stop.wait(0.02):
            most = max(most, platform.process.memory_info().rss)

    def there_and_back(number: int) -> str:
        client = platform.client("fred", direct=number % 2 == 0)
        assert client.put(f"many{number}", data).status_code == 200
        state = hashlib.sha256()
        for piece in client.get(f"many{number}", stream=True).iter_content(MIB):
            state.update(piece)
        return state.hexdigest()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(50) as pool:
            assert list(pool.map(there_and_back, range(50))) == [digest] * 50
    finally:
        stop.set()
        watcher.join()
    print(f"memory: {most / 10**6:.0f} MB at most")
    assert most < MOST_MEMORY


def test_slow_clients_take_no_memory(platform: DrivePlatform, fred: Client) -> None:
    """Fifty who read nothing of what they asked for; others are served meanwhile."""
    fred.put("whole.bin", bytes(30 * MIB))
    head = platform.head("GET", fred.file("whole.bin"), platform.token("fred"))
    connections = []
    try:
        for _ in range(50):
            connections.append(platform.connect())
            connections[-1].sendall(head)
        begun = time.monotonic()
        for _ in range(10):
            assert fred.get("kept.txt").content == b"kept"
        assert time.monotonic() - begun < 10
        assert platform.process.memory_info().rss < MOST_MEMORY
    finally:
        for connection in connections:
            connection.close()
    wait_until(lambda: len(platform.process.net_connections()) < 40, what="they are gone")
