"""Folders as one archive through both clients, against the running service; and archives that break off or do harm."""

from __future__ import annotations

import io
import logging
import os
import pickle
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from SciServer.core import Client, FolderError, SciServerError, ServiceError, folders
from SciServer.core.archives import Unpacking, packed

from tests.client.conftest import NewClient
from tests.client.recorder import Asked, Recorder, Reply, of_json
from tests.client.support import drive_settings, got
from tests.scidrive.drive_platform import DrivePlatform

Place = tuple[Any, str]

ODD = [
    "new\nline",
    "back\\slash",
    "-rf",
    " ",
    "é\u0308/\u2603",
    os.fsdecode(b"\xff\xfe"),
    "d" * 200 + "/" + "e" * 200 + "/" + "f" * 250,
    "x" * 100,
    "100%/a+b?#",
    ".hidden",
]


def make(root: Path, content: dict[str, bytes]) -> Path:
    """A folder with these files."""
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def content(root: Path) -> dict[str, bytes]:
    """The files in a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def sent(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the client's HTTP library says that it has sent."""
    caplog.set_level(logging.INFO, "httpx")
    return caplog


def counted(sent: pytest.LogCaptureFixture) -> tuple[int, int]:
    """How many requests there were, and how many of them carried an archive; forgets them."""
    texts = [record.getMessage() for record in sent.records if record.name == "httpx"]
    sent.clear()
    return len(texts), sum("/api/archive/" in text for text in texts)


# -- the running service


async def test_thousands_of_files_are_one_request(
    place: Place, tmp_path: Path, sent: pytest.LogCaptureFixture
) -> None:
    files, start = place
    some = {f"{number % 7}/{number}.dat": f"content of {number}".encode() for number in range(2000)}
    source = make(tmp_path / "source", some)
    counted(sent)
    seen: list[Any] = []
    await got(files.put(source, start + "many", recursive=True, progress=seen.append))
    total, of_archives = counted(sent)
    assert of_archives == 1
    assert total <= 2  # one more asks where the files are
    assert seen[-1].bytes == seen[-1].total_bytes == sum(map(len, some.values()))
    back = await got(files.get(start + "many", tmp_path / "back", recursive=True))
    total, of_archives = counted(sent)
    assert of_archives == 1
    assert total <= 4
    assert content(back) == some


async def test_what_is_there_stays(place: Place, tmp_path: Path) -> None:
    files, start = place
    old = make(tmp_path / "old", {f"d/{number}": b"old" for number in range(10)})
    new = make(tmp_path / "new", {f"d/{number}": b"new!" for number in range(25)})
    await got(files.put(old, start + "x", recursive=True))
    with pytest.raises(FolderError, match=r"10 of 25 were not made: d/\d .*; and 7 more\.") as caught:
        await got(files.put(new, start + "x", recursive=True))
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert (error.status, error.made, error.is_complete) == (409, 15, True)
    assert sorted(each.path for each in error.failures) == sorted(f"d/{number}" for number in range(10))
    back = await got(files.get(start + "x", tmp_path / "back", recursive=True))
    assert content(back) == content(new) | content(old)
    await got(files.put(new, start + "x", recursive=True, overwrite=True))
    assert content(await got(files.get(start + "x", tmp_path / "again", recursive=True))) == content(new)


async def test_odd_names(place: Place, tmp_path: Path) -> None:
    files, start = place
    some = {name: os.fsencode(name) for name in ODD}
    await got(files.put(make(tmp_path / "source", some), start + "odd ü", recursive=True))
    assert content(await got(files.get(start + "odd ü", tmp_path / "back", recursive=True))) == some


async def test_a_name_that_the_service_keeps_for_itself(place: Place, tmp_path: Path) -> None:
    """All but that one is sent."""
    files, start = place
    source = make(tmp_path / "source", {"a": b"1", ".~sciserver-x": b"2", "z": b"3"})
    with pytest.raises(FolderError, match=r"1 of 3 were not made: \.~sciserver-x") as caught:
        await got(files.put(source, start + "x", recursive=True))
    assert caught.value.status == 400
    assert [entry.name for entry in await got(files.list(start + "x"))] == ["a", "z"]


async def test_a_quota_that_is_reached(new_client: NewClient, drive_site: DrivePlatform, tmp_path: Path) -> None:
    client: Any = new_client(drive_settings(drive_site), token=drive_site.token("emil"))
    emil = drive_site.client("emil")
    emil.call("DELETE", "fileservice/api/volume/Small/emil/room")
    assert emil.call("PUT", "fileservice/api/volume/Small/emil/room", json={"description": ""}).ok
    source = make(tmp_path / "source", {f"{number:03}": b"x" for number in range(80)})
    with pytest.raises(FolderError, match=r"Not all was sent, .* files were made.*and what follows") as caught:
        await got(client.files.put(source, "Small/emil/room/x", recursive=True))
    error = caught.value
    assert (error.status, error.is_complete) == (507, False)
    assert 0 < error.made < 80
    there = await got(client.files.list("Small/emil/room/x"))
    assert [entry.name for entry in there] == [f"{number:03}" for number in range(error.made)]
    assert error.failures[0].path == f"{error.made:03}"


async def test_what_several_archives_have_made_is_added_up(
    new_client: NewClient, drive_site: DrivePlatform, tmp_path: Path
) -> None:
    """Also with so much left to send that the service does not read it all."""
    client: Any = new_client(drive_settings(drive_site), token=drive_site.token("emil"))
    emil = drive_site.client("emil")
    emil.call("DELETE", "fileservice/api/volume/Small/emil/room")
    assert emil.call("PUT", "fileservice/api/volume/Small/emil/room", json={"description": ""}).ok
    source = make(tmp_path / "source", {f"{number:03}": bytes(1_500_000) for number in range(120)})
    await got(client.files.put(source / "007", "Small/emil/room/x/007"))
    with pytest.raises(FolderError, match=r"Not all was sent, .*\b007 \(") as caught:
        await got(client.files.put(source, "Small/emil/room/x", recursive=True))
    error = caught.value
    assert (error.status, error.is_complete) == (507, False)
    assert error.made > 40
    there = await got(client.files.list("Small/emil/room/x"))
    assert len(there) == error.made + 1
    assert [each.path for each in error.failures] == ["007", f"{error.made + 1:03}"]


async def test_links(place: Place, drive_site: DrivePlatform, tmp_path: Path) -> None:
    """Here, those to files are files; there, those that lead out are left out."""
    files, start = place
    source = make(tmp_path / "source", {"file": b"1"})
    (source / "same").symlink_to("file")
    (source / "loop").symlink_to(".")
    await got(files.put(source, start + "x", recursive=True))
    volume = drive_site.volume("ada-l") if start else drive_site.drive("ada-l")
    (volume / "x" / "out").symlink_to("/etc/hostname")
    back = await got(files.get(start + "x", tmp_path / "back", recursive=True))
    assert content(back) == {"file": b"1", "same": b"1"}


async def test_large_files_go_by_themselves(
    place: Place, tmp_path: Path, sent: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, start = place
    monkeypatch.setattr(folders, "ARCHIVE", 1001)
    some = {"a": b"1" * 1002, "b": b"2" * 1000, "c/d": b"3" * 5000, "e": b"4"}
    source = make(tmp_path / "source", some)
    counted(sent)
    await got(files.put(source, start + "x", recursive=True))
    assert counted(sent) == (4, 1)
    with pytest.raises(FolderError, match="4 of 4 were not made") as caught:
        await got(files.put(source, start + "x", recursive=True))
    assert caught.value.status == 409
    assert content(await got(files.get(start + "x", tmp_path / "back", recursive=True))) == some


async def test_a_file_where_the_folder_should_be(place: Place, tmp_path: Path) -> None:
    files, start = place
    source = make(tmp_path / "source", {"a": b"1"})
    await got(files.put(source / "a", start + "x"))
    with pytest.raises(ServiceError) as caught:
        await got(files.put(source, start + "x", recursive=True))
    assert caught.value.status == 409


def test_somebody_who_may_not(drive_site: DrivePlatform, tmp_path: Path) -> None:
    source = make(tmp_path / "source", {"a": b"1"})
    with Client(drive_settings(drive_site), token=drive_site.token("fritz")) as client:
        for path, status in (("Survey/x", 403), ("Storage/ada-l/persistent/x", 404)):
            with pytest.raises(ServiceError) as caught:
                client.files.put(source, path, recursive=True)
            assert caught.value.status == status


async def test_a_service_that_is_killed_meanwhile(
    drive_site: DrivePlatform, new_client: NewClient, tmp_path: Path
) -> None:
    """What is there is whole."""
    client: Any = new_client(drive_settings(drive_site), token=drive_site.token("gerda"), retries=0)
    source = make(tmp_path / "source", {str(number): bytes(4_000_000) for number in range(20)})
    await got(client.scidrive.put(source, "x", recursive=True, overwrite=True))
    killed: list[bool] = []

    def kill(progress: Any) -> None:
        if progress.bytes > 6_000_000 and not killed:
            killed.append(True)
            drive_site.kill_service()

    try:
        with pytest.raises(ServiceError):
            await got(client.scidrive.get("x", tmp_path / "back", recursive=True, progress=kill))
    finally:
        drive_site.start_service()
    came = content(tmp_path / "back")
    assert 0 < len(came) < 20
    assert {len(data) for data in came.values()} == {4_000_000}


# -- other services


def tar(*members: tuple[str, bytes | None], **attributes: Any) -> bytes:
    """An archive of names and contents; None: a folder."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=attributes.pop("form", tarfile.PAX_FORMAT)) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = (tarfile.DIRTYPE, 0) if data is None else (tarfile.REGTYPE, len(data))
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data or b""))
    return made.getvalue()


def drive(some: dict[str, bytes], archive: Reply) -> Any:
    """Answers as a SciDrive with these files in ``folder``, whose archive is this."""

    def answer(asked: Asked) -> Reply:
        name = asked.path.partition("/sandbox/folder")[2].lstrip("/")
        if "/api/archive/" in asked.path:
            return archive
        if asked.path.endswith("/account/info"):
            return of_json({"uid": "ada"})
        if "/metadata/" in asked.path:
            entries = [{"path": f"/folder/{one}", "is_dir": False, "bytes": len(some[one])} for one in some]
            return of_json({"path": "/folder", "is_dir": True, "contents": entries})
        if asked.method == "PUT":
            return of_json({"error": "It is there."}, 409) if name == "there" else of_json({})
        return Reply(200, some[name]) if name in some else of_json({})

    return answer


@pytest.mark.parametrize("status", [404, 405])
async def test_a_service_without_archives(client: Any, recorder: Recorder, tmp_path: Path, status: int) -> None:
    some = {"a": b"1", "b": b"22", "there": b"333"}
    recorder.default = drive(some, Reply(status))
    back = await got(client.scidrive.get("folder", tmp_path / "back", recursive=True))
    assert content(back) == some
    (back / "hollow").mkdir()
    seen: list[Any] = []
    with pytest.raises(FolderError, match=r"1 of 3 were not made: there \(It is there\)") as caught:
        await got(client.scidrive.put(back, "folder", recursive=True, progress=seen.append))
    assert (caught.value.made, caught.value.status) == (2, 409)
    assert seen[-1].bytes == seen[-1].total_bytes == 6
    puts = [asked.path.rpartition("/")[2] for asked in recorder.asked if "/files_put/" in asked.path]
    assert puts == ["a", "b", "there"]
    assert any(b"hollow" in asked.body for asked in recorder.asked if asked.path.endswith("/create_folder"))


async def test_an_archive_that_breaks_off(client: Any, recorder: Recorder, tmp_path: Path) -> None:
    """What is missing comes file by file, and nothing comes twice."""
    some = {"a": b"1" * 3000, "b": b"2" * 3000, "c": b"3" * 3000}
    whole = tar(*some.items())
    for number, cut in enumerate((0, 100, 512, 2000, 3584, 5000, 9000)):
        recorder.asked.clear()
        recorder.default = drive(some, Reply(200, whole[:cut], promised=len(whole)))
        seen: list[Any] = []
        back = await got(client.scidrive.get("folder", tmp_path / str(number), recursive=True, progress=seen.append))
        assert content(back) == some
        assert seen[-1].bytes == 9000
        asked = [asked.path for asked in recorder.asked if "/files/" in asked.path]
        assert len(asked) == 3 - (cut >= 3512) - (cut >= 7608)
    recorder.default = drive({}, Reply(200, whole[:5000]))
    back = await got(client.scidrive.get("folder", tmp_path / "cut", recursive=True))
    assert content(back) == {"a": some["a"]}


BAD: dict[str, bytes] = {
    **{f"name {name!r}": tar((name, b"x")) for name in ("../evil", "/etc/evil", "a/../../evil", "..", "a//b", ".")},
    "folder": tar(("../evil", None)),
    "nul": tar(("ok", b"x")).replace(b"ok", b"\0k"),
    "link": tar(("link", None), type=tarfile.SYMTYPE, linkname="/etc"),
    "hard link": tar(("link", None), type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "device": tar(("null", None), type=tarfile.CHRTYPE),
    "old sparse": tar(("x", None), type=tarfile.GNUTYPE_SPARSE),
    "sparse": tar(("x", b"x"), pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
    "size": tar(("x", b"x"), pax_headers={"size": "-5"}),
    "long": tar(("x", b"x"), pax_headers={"comment": "x" * 2_000_000}),
    "damage": b"no archive at all" * 100,
    "json": b'{"status": "success"}' + b" " * 600,
    "no member": tar(("x", b"x"), pax_headers={"comment": "x"})[:1024] + bytes(10_240),
}


@pytest.mark.parametrize("kind", BAD)
async def test_archives_that_do_harm(client: Any, recorder: Recorder, tmp_path: Path, kind: str) -> None:
    """A service cannot write beside the folder that was named."""
    recorder.default = drive({}, Reply(200, BAD[kind]))
    with pytest.raises(SciServerError, match=r"stored here|no archive|neither a file"):
        await got(client.scidrive.get("folder", tmp_path / "inside", recursive=True))
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert not content(tmp_path)


# -- the archive itself


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("step", [1, 511, 513, 1 << 20])
def test_pieces_of_any_size(tmp_path: Path, form: int, step: int) -> None:
    some = {"a/" + "n" * 90: b"1" * 5000, "b": b"", "c": b"3" * 512, "d/e": b"4"}
    data = tar(("empty", None), *some.items(), form=form)
    unpacking = Unpacking(tmp_path)
    count = sum(unpacking.feed(data[start : start + step]) for start in range(0, len(data), step))
    unpacking.close()
    assert unpacking.has_ended
    assert (content(tmp_path), unpacking.made) == (some, set(some))
    assert count == 5513
    assert (tmp_path / "empty").is_dir()


def test_memory_does_not_grow_with_the_folder(tmp_path: Path) -> None:
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 64_000_000)
    unpacking = Unpacking(tmp_path / "back")
    tracemalloc.start()
    for piece, _, _ in packed([(tmp_path / "large", ("large",))], []):
        unpacking.feed(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    unpacking.close()
    assert (tmp_path / "back" / "large").stat().st_size == 64_000_000
    assert peak < 8_000_000
