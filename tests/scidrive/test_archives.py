"""Folders as tar archives, up and down; and archives that somebody made to do harm."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from scidrive_service import unpacking
from scidrive_service.access import Action
from scidrive_service.errors import FileError, Kind
from scidrive_service.files import Files, OpenVolume
from scidrive_service.unpacking import NotAllMade, Report, Unpacking
from sciserver_common.scopes import FILES_READ
from tests.scidrive import files_support
from tests.scidrive.drive_platform import Client, DrivePlatform
from tests.scidrive.files_support import ADA, BOB, get, mine, names, put
from tests.support import wait_until


@pytest.fixture
def files(fast_path: Path) -> Iterator[Files]:
    files = files_support.make(fast_path, {"Storage": {"default_volumes": ["persistent"], "volume_files": 100}})
    yield files
    files_support.stop(files)


@pytest.fixture
def volume(files: Files) -> OpenVolume:
    return mine(files)


def tar(*members: tuple[Any, ...], form: int = tarfile.PAX_FORMAT, headers: dict[str, str] | None = None) -> bytes:
    """An archive of names and contents (None: a folder), with attributes of `tarfile.TarInfo` as a third part."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form, pax_headers=headers) as archive:
        for name, content, *more in members:
            info = tarfile.TarInfo(name)
            for key, value in (more[0] if more else {}).items():
                setattr(info, key, value)
            if content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def unpack(volume: OpenVolume, data: bytes, *folder: str, step: int = 1 << 20, overwrite: bool = True) -> Report:
    """Give the archive to the volume, so many bytes at a time."""
    taken = Unpacking(volume, folder, overwrite=overwrite)
    try:
        for start in range(0, len(data), step):
            taken.write(data[start : start + step])
        taken.commit()
    finally:
        taken.abort()
    return taken.report


def refused(volume: OpenVolume, data: bytes, *folder: str, **options: Any) -> NotAllMade:
    with pytest.raises(NotAllMade) as caught:
        unpack(volume, data, *folder, **options)
    return caught.value


def failures(error: NotAllMade) -> dict[str, str]:
    return {failed["path"]: failed["error"] for failed in error.report.failed}


# -- what archives hold


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("step", [1, 511, 512, 4099, 1 << 20])
def test_all_forms_come_in_pieces_of_any_size(volume: OpenVolume, form: int, step: int) -> None:
    large = random.randbytes(700_000 if step > 1 else 3_000)
    data = tar(("a", None), ("a/one", b"1"), ("a/large", large), ("b/none", b""), form=form)
    report = unpack(volume, data, "to", "here", step=step)
    assert (report.files, report.folders, report.bytes, report.failed) == (3, 1, len(large) + 1, [])
    assert report.is_complete
    assert get(volume, "to/here/a/large") == large
    assert get(volume, "to/here/b/none") == b""
    assert volume.stat(("to", "here", "a", "one")).etag == "sha256-" + hashlib.sha256(b"1").hexdigest()


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_odd_names(volume: OpenVolume, form: int) -> None:
    odd = ["d" * 200 + "/" + "f" * 255, "\u00e9\u0308/\u2603", "\udcff\udcfe", "new\nline", "-rf", " ", "a\\b"]
    unpack(volume, tar(*[(name, name.encode("utf-8", "surrogateescape")) for name in odd], form=form))
    for name in odd:
        assert get(volume, name) == name.encode("utf-8", "surrogateescape")


def test_time_of_change_is_kept(volume: OpenVolume) -> None:
    unpack(volume, tar(("old", b"x", {"mtime": 1_000_000_000.5}), ("odd", b"x", {"mtime": -5})))
    assert volume.stat(("old",)).modified == 1_000_000_000.5
    assert volume.stat(("odd",)).modified > 1_600_000_000


def test_gzip_and_several_members_of_it(volume: OpenVolume) -> None:
    data = tar(("one", b"1" * 100_000), ("two", b"2"))
    packed = gzip.compress(data[:50_000]) + gzip.compress(data[50_000:])
    for step in (1, 1000, 1 << 20):
        assert unpack(volume, packed, "g", step=step).files == 2
    assert get(volume, "g/one") == b"1" * 100_000


def test_what_gnu_tar_makes_and_reads(volume: OpenVolume, tmp_path: Path, files: Files) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "file").write_bytes(b"deep")
    made = subprocess.run(["tar", "-C", tmp_path / "in", "-cz", "."], check=True, capture_output=True).stdout
    unpack(volume, made)
    assert get(volume, "deep/file") == b"deep"


def test_files_that_are_there(volume: OpenVolume) -> None:
    put(volume, "f/old", b"old")
    data = tar(("old", b"new"), ("other", b"other"))
    error = refused(volume, data, "f", overwrite=False)
    assert (error.kind, list(failures(error)), error.report.files) == (Kind.EXISTS, ["old"], 1)
    assert get(volume, "f/old") == b"old"
    assert unpack(volume, data, "f").files == 2
    assert get(volume, "f/old") == b"new"


def test_a_file_and_a_folder_do_not_replace_each_other(volume: OpenVolume) -> None:
    put(volume, "file", b"file")
    put(volume, "folder/in", b"in")
    error = refused(volume, tar(("file", None), ("file/below", b""), ("folder", b""), ("good", b"good")))
    assert list(failures(error)) == ["file", "file/below", "folder"]
    assert (get(volume, "file"), get(volume, "folder/in"), get(volume, "good")) == (b"file", b"in", b"good")


# -- who may, and how much


def test_rights_are_asked_for(files: Files, volume: OpenVolume) -> None:
    files.share(ADA, "Storage", "ada", "persistent", [{"name": "bob", "type": "USER", "allowedActions": ["read"]}])
    theirs = files.volume(BOB, "Storage", "ada", "persistent", Action.READ)
    with pytest.raises(FileError) as caught:
        unpack(theirs, tar(("a", b"")), "new")
    assert files_support.kind(caught) is Kind.FORBIDDEN
    error = refused(theirs, tar(("a", b"")))
    assert error.report.failed[0]["status"] == 403
    assert names(volume) == []


def test_the_quota_ends_an_archive_exactly(volume: OpenVolume) -> None:
    error = refused(volume, tar(*[(f"f{number}", b"x") for number in range(150)]))
    assert (error.kind, error.report.files, error.report.is_complete) == (Kind.FULL, 100, False)
    assert len(names(volume)) == 100
    assert volume.usage().files == 100
    assert error.report.last == "f100"


def test_counts_are_exact(volume: OpenVolume, files: Files) -> None:
    unpack(volume, tar(("a/b/c", b"x" * 10), ("a/b/c", b"y" * 7), ("a/large", b"z" * 300_000), ("e", None)))
    assert (volume.usage().bytes, volume.usage().files) == (300_007, 5)
    assert volume.tree.usage() == volume.usage()


# -- attacks


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "..", "../out", "a/../../out", "a/./b", ".~sciserver-x", "n" * 256, "x/" * 2000 + "x"]
)
def test_names_that_lead_elsewhere(volume: OpenVolume, files: Files, name: str) -> None:
    error = refused(volume, tar((name, b"evil"), ("good", b"good")), "in")
    assert (len(error.report.failed), error.report.files) == (1, 1)
    assert names(volume, "in") == ["good"]
    assert names(volume) == ["in"]


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
        (b"Z", "neither"),
    ],
)
def test_links_and_devices_are_refused(volume: OpenVolume, kind: bytes, word: str) -> None:
    evil = {"type": kind, "linkname": "/etc"}
    error = refused(volume, tar(("evil", b"", evil), ("evil/passwd", b"through it")))
    assert word in failures(error)["evil"]
    assert names(volume) == ["evil"]
    assert get(volume, "evil/passwd") == b"through it"  # a folder of ours


def test_a_link_that_is_there_is_not_followed_out(volume: OpenVolume, files: Files, tmp_path: Path) -> None:
    (files_support.directory(files, volume) / "out").symlink_to(tmp_path)
    error = refused(volume, tar(("out/file", b"evil"), ("out/new/file", b"evil")))
    assert len(error.report.failed) == 2
    assert list(tmp_path.iterdir()) == []


def test_sparse_files_of_both_forms_are_refused(volume: OpenVolume, tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        for number in range(40):
            file.seek(number * 1_000_000)
            file.write(b"x")
    (tmp_path / "plain").write_bytes(b"plain")
    for form in ("gnu", "pax"):
        command = ["tar", "-C", tmp_path, "--sparse", f"--format={form}", "-c", "holes", "plain"]
        error = refused(volume, subprocess.run(command, check=True, capture_output=True).stdout, form)
        assert "sparse" in str(list(failures(error).values()))
        assert names(volume, form) == ["plain"]


def extension(kind: bytes, content: bytes, size: int | None = None) -> bytes:
    """A header that says something of the next one."""
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, len(content) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


@pytest.mark.parametrize(
    "head",
    [
        extension(tarfile.XHDTYPE, record(b"size", b"-1")),
        extension(tarfile.XHDTYPE, record(b"size", b"1e3")),
        extension(tarfile.XHDTYPE, record(b"mtime", b"nan")),
        extension(tarfile.XHDTYPE, b"9999 path=x\n"),
        extension(tarfile.XHDTYPE, b"0 path=x\n"),
        extension(tarfile.XHDTYPE, b"path=x\n"),
        extension(tarfile.XHDTYPE, b"x" * 100, 8**11 - 1),
        extension(tarfile.XGLTYPE, record(b"path", b"all")),
        extension(tarfile.XGLTYPE, record(b"size", b"0")),
        extension(tarfile.XGLTYPE, record(b"GNU.sparse.major", b"1")),
        extension(tarfile.GNUTYPE_LONGNAME, b"x" * 100_000),
        b"\0" * 124 + b"\xff" * 12 + b"\0" * 376,
        b"no archive".ljust(512, b"!"),
    ],
)
def test_headers_that_lie_end_the_archive(volume: OpenVolume, head: bytes) -> None:
    error = refused(volume, tar(("before", b"before"))[:1024] + head + tar(("after", b"after")))
    assert (error.kind, error.report.files, error.report.is_complete) == (Kind.NAME, 1, False)
    assert names(volume) == ["before"]


def test_a_global_header_that_says_nothing_of_files(volume: OpenVolume) -> None:
    assert unpack(volume, tar(("a", b"a"), headers={"comment": "made by git"})).files == 1


def test_names_of_extended_headers_are_checked(volume: OpenVolume) -> None:
    for kind, content in (
        (tarfile.XHDTYPE, record(b"path", b"../../out")),
        (tarfile.XHDTYPE, record(b"path", b"a\0b")),
        (tarfile.GNUTYPE_LONGNAME, b"/etc/cron.d/evil\0"),
    ):
        error = refused(volume, extension(kind, content) + tar(("innocent", b"evil")))
        assert len(error.report.failed) == 1
    assert names(volume) == []


@pytest.mark.parametrize("cut", [515, 600, 1024, 1536, 2000])
def test_what_is_cut_leaves_whole_files_only(volume: OpenVolume, files: Files, cut: int) -> None:
    data = tar(("whole", b"w" * 10), ("torn", b"t" * 1000))[:cut]
    error = refused(volume, data)
    assert error.kind is Kind.NAME
    assert names(volume) == (["whole"] if cut >= 522 else [])
    assert files_support.on_disk(files_support.directory(files, volume)) == names(volume)
    assert volume.usage().files == len(names(volume))


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"\0" * 512 + tar(("late", b"")), b"\x1f\x8bno gzip at all", gzip.compress(tar(("a", b"")))[:-9]],
)
def test_what_is_no_archive(volume: OpenVolume, data: bytes) -> None:
    assert refused(volume, data).kind is Kind.NAME
    assert set(names(volume)) <= {"a"}


def test_bombs(volume: OpenVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "BEFORE", 1 << 20)
    bomb = gzip.compress(tar(("zeros", bytes(8 << 20))))
    error = refused(volume, bomb)
    assert error.kind is Kind.TOO_LARGE
    assert names(volume) == []
    assert (volume.usage().bytes, volume.usage().files) == (0, 0)


def test_too_many(volume: OpenVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MEMBERS", 3)
    error = refused(volume, tar(*[(f"d{number}", None) for number in range(5)]))
    assert (error.kind, error.report.folders) == (Kind.TOO_LARGE, 3)
    evil = [(f"/evil{number}", b"") for number in range(300)]
    monkeypatch.setattr(unpacking, "MEMBERS", 1000)
    error = refused(volume, tar(*evil))
    assert len(error.report.failed) == unpacking.FAILURES


# -- over HTTP


@pytest.fixture(scope="module")
def tara(platform: DrivePlatform) -> Client:
    """Somebody whom no other test uses."""
    return platform.client("tara")


def address(client: Client, path: str) -> str:
    return f"api/archive/Storage/{client.name}/persistent/{path}"


def send(client: Client, path: str, data: Any, **options: Any) -> requests.Response:
    return client.call("PUT", address(client, path), data=data, **options)


def test_up_and_down(tara: Client) -> None:
    contents = {f"d/f{number}": random.randbytes(number * 1000) for number in range(12)}
    contents["d/\u2603"] = random.randbytes(2_000_000)
    answer = send(tara, "tars/up", tar(*contents.items()))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "status": "success",
        "files": 13,
        "folders": 0,
        "bytes": sum(map(len, contents.values())),
        "failed": [],
        "last": "d/\u2603",
        "isComplete": True,
    }
    down = tara.call("GET", address(tara, "tars/up"))
    assert down.headers["Content-Type"] == "application/x-tar"
    assert 'filename="up.tar"' in down.headers["Content-Disposition"]
    with tarfile.open(fileobj=io.BytesIO(down.content)) as archive:
        found = {info.name: archive.extractfile(info).read() for info in archive if info.isfile()}  # type: ignore[union-attr]
    assert found == contents
    assert send(tara, "tars/again", down.content).json()["files"] == 13


def test_what_was_not_made_is_told_with_an_error(tara: Client) -> None:
    answer = send(tara, "tars/part", tar(("/abs", b""), ("good", b"good"), ("../up", b"")))
    assert answer.status_code == 409
    told = answer.json()
    assert (told["status"], told["files"], [failed["path"] for failed in told["failed"]]) == (
        "error",
        1,
        ["/abs", "../up"],
    )
    assert "2 of 3" in told["error"]
    again = send(tara, "tars/part", tar(("good", b"new")), params={"overwrite": "false"})
    assert (again.status_code, again.json()["failed"][0]["status"]) == (409, 409)
    assert tara.get("tars/part/good").content == b"good"


def test_a_large_one_in_gzip_is_streamed_at_constant_memory(tara: Client, platform: DrivePlatform) -> None:
    piece = random.randbytes(40_000)
    packed = gzip.compress(tar(*[(f"f{number}", piece) for number in range(1500)]), 1)
    before = platform.process.memory_info().rss
    peak = [before]

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(packed), 1 << 18):
            peak[0] = max(peak[0], platform.process.memory_info().rss)
            yield packed[start : start + (1 << 18)]

    answer = send(tara, "tars/large", pieces())
    assert answer.json()["files"] == 1500, answer.text
    assert peak[0] - before < 30 << 20
    assert tara.call("DELETE", f"fileservice/api/data/Storage/{tara.name}/persistent/tars/large").ok


def test_a_client_that_goes_leaves_whole_files_only(tara: Client, platform: DrivePlatform) -> None:
    data = tar(("whole", b"w" * 1_500_000), ("torn", b"t" * 3_000_000))
    with platform.connect() as client:
        path = address(tara, "tars/gone")
        client.sendall(platform.head("PUT", path, platform.token(tara.name), f"Content-Length: {len(data)}"))
        client.sendall(data[:3_500_000])
        wait_until(lambda: tara.get("tars/gone/whole").ok, what="the first file")
        client.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: _opened(platform.process) == 0, what="the file that was torn is closed")
    assert tara.names("tars/gone") == {"whole": 1_500_000}


def _opened(process: psutil.Process) -> int:
    """Files without a name that a process has open."""
    found = (Path(f"/proc/{process.pid}/fd/{fd.name}") for fd in Path(f"/proc/{process.pid}/fd").iterdir())
    return sum(
        "(deleted)" in str(link.readlink()) and "volumes" in str(link.readlink())
        for link in found
        if link.is_symlink()
    )


def test_who_may_not(tara: Client, bob: Client, platform: DrivePlatform) -> None:
    path, data = address(tara, "tars/secret"), tar(("a", b"a"))
    assert send(tara, "tars/secret", data).ok
    assert bob.call("PUT", path, data=data).status_code == 404
    assert bob.call("GET", path).status_code == 404
    assert platform.client(tara.name, FILES_READ).call("PUT", path, data=data).status_code == 403
    assert Client(platform.url).call("PUT", path, data=data).status_code == 401
    assert Client(platform.url).call("GET", path).status_code == 401
    assert tara.call("PUT", "api/archive/Survey/new", data=data).status_code == 403
    digest = {"Digest": "sha-256=" + "A" * 43 + "="}
    assert send(tara, "tars/digest", data, headers=digest).status_code == 400
    assert tara.call("GET", address(tara, "tars/secret/a")).status_code == 409
