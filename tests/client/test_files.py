"""Files in volumes and in SciDrive through both clients, against the running service."""

from __future__ import annotations

import asyncio
import datetime
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from SciServer.core import AsyncClient, Client, NotSignedInError, SciServerError, ServiceError

from tests.client.conftest import NewClient
from tests.client.support import drive_settings, got
from tests.scidrive.drive_platform import DrivePlatform

Place = tuple[Any, str]

NAMES = ["a.txt", "b c/d#e?.txt", "ü/100%.csv", "ü/%41", "deep/er/and/deeper/x", "plus+and&amp;", "semi;colon=1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files with awkward names, an empty one, a large one, an empty folder."""
    root = tmp_path / "source"
    for name in NAMES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    (root / "nothing").write_bytes(b"")
    (root / "large").write_bytes(os.urandom(9_000_001))
    (root / "empty" / "in it").mkdir(parents=True)
    return root


def content(root: Path) -> dict[str, bytes | None]:
    """What is in a folder; None for folders."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in sorted(root.rglob("*"))
    }


async def test_one_file(place: Place, tmp_path: Path) -> None:
    files, start = place
    (tmp_path / "x.txt").write_text("hello")
    await got(files.put(tmp_path / "x.txt", f"{start}sub/dir/y.txt"))
    assert await got(files.read(f"{start}sub/dir/y.txt")) == b"hello"
    await got(files.put(tmp_path / "x.txt", f"{start}sub/"))
    entry = await got(files.stat(f"/{start}sub//x.txt"))
    assert (entry.name, entry.size, entry.is_folder, entry.path) == ("x.txt", 5, False, f"{start}sub/x.txt")
    assert abs(entry.modified - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=10)
    assert [(entry.name, entry.is_folder) for entry in await got(files.list(f"{start}sub"))] == [
        ("dir", True),
        ("x.txt", False),
    ]
    target = await got(files.get(f"{start}sub/x.txt", tmp_path / "back.txt"))
    assert (target, target.read_text()) == (tmp_path / "back.txt", "hello")
    assert (await got(files.get(f"{start}sub/dir/y.txt", tmp_path))).name == "y.txt"
    assert not list(tmp_path.glob("*.part"))


async def test_a_folder_there_and_back(place: Place, folder: Path, tmp_path: Path) -> None:
    files, start = place
    sent: list[Any] = []
    await got(files.put(folder, start + "copy", recursive=True, progress=sent.append))
    total = sum(len(data) for data in content(folder).values() if data)
    assert (sent[-1].bytes, sent[-1].total_bytes, sent[-1].fraction) == (total, total, 1.0)
    came: list[Any] = []
    target = await got(files.get(start + "copy", tmp_path / "back", recursive=True, progress=came.append))
    assert content(target) == content(folder)
    assert (came[-1].bytes, came[-1].state) == (total, "receiving")
    assert (await got(files.stat(start + "copy"))).is_folder


async def test_an_empty_folder(place: Place, tmp_path: Path) -> None:
    files, start = place
    (tmp_path / "hollow").mkdir()
    await got(files.put(tmp_path / "hollow", start, recursive=True))
    target = await got(files.get(start + "hollow", tmp_path / "back", recursive=True))
    assert content(target) == {}


async def test_folders_are_asked_for(place: Place, folder: Path, tmp_path: Path) -> None:
    files, start = place
    await got(files.mkdir(start + "dir"))
    for call in (
        lambda: files.put(folder, start + "x"),
        lambda: files.get(start + "dir", tmp_path / "x"),
        lambda: files.remove(start + "dir"),
    ):
        with pytest.raises(SciServerError, match="recursive=True"):
            await got(call())
    await got(files.remove(start + "dir", recursive=True))
    with pytest.raises(ServiceError) as caught:
        await got(files.stat(start + "dir"))
    assert caught.value.status == 404


async def test_nothing_is_replaced_unasked(place: Place, tmp_path: Path) -> None:
    files, start = place
    path = tmp_path / "x"
    for number, size in enumerate((10, 5_000_000)):
        path.write_bytes(b"1" * size)
        name = f"{start}x{number}"
        await got(files.put(path, name))
        path.write_bytes(b"2" * size)
        with pytest.raises(ServiceError) as caught:
            await got(files.put(path, name))
        assert caught.value.status == 409
        assert (await got(files.read(name)))[:1] == b"1"
        await got(files.put(path, name, overwrite=True))
        assert (await got(files.read(name)))[:1] == b"2"


async def test_moving_and_copying(place: Place, tmp_path: Path) -> None:
    files, start = place
    (tmp_path / "x").write_text("hello")
    await got(files.put(tmp_path / "x", start + "dir/x"))
    await got(files.copy(start + "dir", start + "other dir"))
    await got(files.move(start + "dir/x", start + "ü#.txt"))
    assert await got(files.read(start + "other dir/x")) == b"hello"
    assert [entry.name for entry in await got(files.list(start))] == ["dir", "other dir", "ü#.txt"]
    for call in (files.move, files.copy):
        with pytest.raises(ServiceError) as caught:
            await got(call(start + "other dir/x", start + "ü#.txt"))
        assert caught.value.status == 409
    await got(files.mkdir(start + "dir"))
    await got(files.mkdir(start + "a/b/c"))
    with pytest.raises(ServiceError):
        await got(files.mkdir(start + "ü#.txt"))


async def test_a_file_that_is_read_where_it_is(place: Place, tmp_path: Path) -> None:
    files, start = place
    data = os.urandom(9_000_000)
    (tmp_path / "x").write_bytes(data)
    await got(files.put(tmp_path / "x", start + "x"))
    file = await got(files.open(start + "x"))
    if hasattr(file, "readinto"):
        assert file.read(100) == data[:100]
        assert file.seek(-100, os.SEEK_END) == len(data) - 100
        assert file.read() == data[-100:]
        assert file.read() == b""
        file.seek(0)
        assert file.read() == data
        (tmp_path / "table.csv").write_text("a,b\n1,2\n")
        await got(files.put(tmp_path / "table.csv", start + "table.csv"))
        assert pd.read_csv(files.open(start + "table.csv"))["b"].tolist() == [2]
    else:
        assert await file.read(100) == data[:100]
        file.seek(len(data) - 100)
        assert await file.read() == data[-100:]
        assert await file.read(5) == b""
        file.seek(0)
        assert await file.read() == data
    # What was opened is what is read, or nothing.
    (tmp_path / "x").write_bytes(b"other")
    await got(files.put(tmp_path / "x", start + "x", overwrite=True))
    file.seek(1_000_000)
    with pytest.raises(ServiceError, match="changed"):
        await got(file.read(10))


async def test_names_that_lead_elsewhere(place: Place, tmp_path: Path) -> None:
    files, start = place
    for path in (f"{start}../bob", f"{start}./x", ".."):
        with pytest.raises(SciServerError, match="from its beginning"):
            await got(files.stat(path))


async def test_what_is_not_there(place: Place, tmp_path: Path) -> None:
    files, start = place
    for call in (files.stat, files.read, files.list, files.open, files.get):
        with pytest.raises(ServiceError, match="nowhere") as caught:
            await got(call(start + "nowhere"))
        assert caught.value.status == 404
    with pytest.raises(FileNotFoundError):
        await got(files.put(tmp_path / "missing", start + "x"))
    assert not list(tmp_path.iterdir())


async def test_a_link_of_this_machine(place: Place, tmp_path: Path) -> None:
    """Folders behind links are not sent; a link that leads nowhere is an error before anything is sent."""
    files, start = place
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("x")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_text("x")
    (tmp_path / "dir" / "away").symlink_to(tmp_path / "outside")
    await got(files.put(tmp_path / "dir", start + "dir", recursive=True))
    assert [entry.name for entry in await got(files.list(start + "dir"))] == ["file"]
    (tmp_path / "dir" / "broken").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        await got(files.put(tmp_path / "dir", start + "dir2", recursive=True))


async def test_one_error_ends_a_folder(place: Place, folder: Path) -> None:
    files, start = place
    (folder / "a.txt").chmod(0o644)
    await got(files.put(folder / "a.txt", start + "copy/large"))
    with pytest.raises(ServiceError) as caught:
        await got(files.put(folder, start + "copy", recursive=True))
    assert caught.value.status == 409


async def test_volumes(new_client: NewClient, drive_site: DrivePlatform) -> None:
    client: Any = new_client(drive_settings(drive_site), token=drive_site.token("ada-l"))
    bob: Any = new_client(drive_settings(drive_site), token=drive_site.token("bob"))
    volumes = {volume.path: volume for volume in await got(client.files.volumes())}
    assert {"Storage/ada-l/persistent", "Temporary/ada-l/scratch", "Survey"} <= set(volumes)
    assert volumes["Survey"].owner == ""
    assert volumes["Survey"].actions == ("read",)
    assert await got(client.files.read("Survey/readme.txt")) == b"All of the sky.\n"
    await got(client.files.copy("Survey/readme.txt", "Temporary/ada-l/scratch/readme.txt"))
    await got(client.files.share("Temporary/ada-l/scratch", "bob"))
    assert await got(bob.files.read("Temporary/ada-l/scratch/readme.txt")) == b"All of the sky.\n"
    with pytest.raises(ServiceError) as caught:
        await got(bob.files.remove("Temporary/ada-l/scratch/readme.txt"))
    assert caught.value.status == 403
    await got(client.files.share("Temporary/ada-l/scratch", "bob", []))
    with pytest.raises(ServiceError):
        await got(bob.files.read("Temporary/ada-l/scratch/readme.txt"))
    await got(client.files.remove("Temporary/ada-l/scratch/readme.txt"))
    usage = {each.name: each for each in await got(client.files.usage())}
    assert usage["Storage"].quota_bytes
    assert usage["SciDrive"].files is not None


async def test_links(new_client: NewClient, drive_site: DrivePlatform, tmp_path: Path) -> None:
    client: Any = new_client(drive_settings(drive_site), token=drive_site.token("cleo"))
    (tmp_path / "x").write_text("hello")
    await got(client.scidrive.put(tmp_path / "x", "dir/ü x.txt", overwrite=True))
    for seconds in (None, 100):
        link = await got(client.scidrive.link("dir/ü x.txt", seconds))
        assert httpx.get(link.url).text == "hello"
        left = link.expires - datetime.datetime.now(datetime.UTC)
        assert datetime.timedelta() < left < datetime.timedelta(seconds=seconds or 86_400)
    await got(client.scidrive.unlink(link))
    assert httpx.get(link.url).status_code == 404
    with pytest.raises(SciServerError, match="no link"):
        await got(client.scidrive.unlink("https://example.org/x"))
    assert (await got(client.scidrive.usage()))[0].bytes >= 5


@pytest.mark.parametrize("name", ["files", "scidrive"])
async def test_nobody_signed_in(new_client: NewClient, drive_site: DrivePlatform, name: str) -> None:
    client: Any = new_client(drive_settings(drive_site), token="0" * 32)
    with pytest.raises(NotSignedInError):
        await got(getattr(client, name).usage())


def test_control_c_while_a_folder_is_fetched(drive_site: DrivePlatform, tmp_path: Path) -> None:
    """What has not come is not there, also of the files that were on their way."""
    with Client(drive_settings(drive_site), token=drive_site.token("dora")) as client:
        (tmp_path / "source").mkdir()
        for number in range(12):
            (tmp_path / "source" / f"f{number}").write_bytes(bytes(5_000_000))
        client.scidrive.put(tmp_path / "source", "many", recursive=True)

        def stop(progress: Any) -> None:
            if progress.bytes > 6_000_000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            client.scidrive.get("many", tmp_path / "target", recursive=True, progress=stop)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sciserver")]
    names = {path.name for path in (tmp_path / "target").iterdir()}
    assert len(names) < 12
    assert all(path.stat().st_size == 5_000_000 for path in (tmp_path / "target").iterdir())


async def test_a_task_that_is_cancelled(drive_site: DrivePlatform, tmp_path: Path) -> None:
    begun = asyncio.Event()
    (tmp_path / "x").write_bytes(bytes(60_000_000))
    async with AsyncClient(drive_settings(drive_site), token=drive_site.token("dora")) as client:
        await client.scidrive.put(tmp_path / "x", "large", overwrite=True)
        task = asyncio.ensure_future(
            client.scidrive.get("large", tmp_path / "back", progress=lambda progress: begun.set())
        )
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


async def test_a_service_that_is_killed_meanwhile(
    drive_site: DrivePlatform, new_client: NewClient, tmp_path: Path
) -> None:
    client: Any = new_client(drive_settings(drive_site), token=drive_site.token("dora"), retries=0)
    (tmp_path / "x").write_bytes(bytes(60_000_000))
    await got(client.scidrive.put(tmp_path / "x", "large", overwrite=True))
    killed: list[bool] = []

    def kill(progress: Any) -> None:
        if not killed:
            killed.append(True)
            drive_site.kill_service()

    try:
        with pytest.raises(ServiceError):
            await got(client.scidrive.get("large", tmp_path / "back", progress=kill))
    finally:
        drive_site.start_service()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


async def test_a_file_that_changes_while_it_is_sent(place: Place, tmp_path: Path) -> None:
    files, start = place
    path = tmp_path / "x"

    def resize(size: int) -> Callable[[Any], None]:
        path.write_bytes(bytes(5_000_000))
        return lambda progress: os.truncate(path, size)

    await got(files.put(path, start + "grown", progress=resize(6_000_000)))
    assert (await got(files.stat(start + "grown"))).size == 5_000_000
    with pytest.raises(SciServerError, match="became shorter"):
        await got(files.put(path, start + "shrunk", progress=resize(10)))
    assert [entry.name for entry in await got(files.list(start))] == ["grown"]


async def test_what_is_no_file(place: Place, tmp_path: Path) -> None:
    """Nobody waits for a pipe."""
    files, start = place
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "dir" / "pipe")
    for local in (tmp_path / "dir" / "pipe", tmp_path / "dir"):
        with pytest.raises(SciServerError, match="is no file"):
            await got(files.put(local, start + "x", recursive=True))


def test_where_it_cannot_be_written(drive_site: DrivePlatform, tmp_path: Path) -> None:
    with Client(drive_settings(drive_site), token=drive_site.token("dora")) as client:
        (tmp_path / "x").write_text("x")
        client.scidrive.put(tmp_path / "x", "small", overwrite=True)
        for target in (tmp_path / "missing" / "y", Path("/proc/nothing")):
            with pytest.raises(OSError, match="No such file"):
                client.scidrive.get("small", target)


def test_a_callback_that_fails(drive_site: DrivePlatform, tmp_path: Path) -> None:
    def fail(progress: Any) -> None:
        raise ZeroDivisionError

    calls: list[Callable[[Client], Any]] = [
        lambda client: client.scidrive.put(tmp_path / "x", "new", overwrite=True, progress=fail),
        lambda client: client.scidrive.get("small", tmp_path / "y", progress=fail),
    ]
    with Client(drive_settings(drive_site), token=drive_site.token("dora")) as client:
        (tmp_path / "x").write_text("x")
        client.scidrive.put(tmp_path / "x", "small", overwrite=True)
        for call in calls:
            with pytest.raises(ZeroDivisionError):
                call(client)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
