"""Uploads in parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from scidrive_service.errors import FileError, Kind
from scidrive_service.uploads import OffsetError, Uploads
from tests.scidrive.local_support import IS_ROOT, directory, get, put, tree, visible


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads", days=3)


def refused(kind: Kind) -> pytest.RaisesExc[FileError]:
    return pytest.raises(FileError, check=lambda error: error.kind is kind and "/tmp" not in error.message)


def test_an_upload(uploads: Uploads, tmp_path: Path) -> None:
    files = tree(directory(tmp_path))
    id = uploads.begin("ada")
    assert uploads.append(id, "ada", 0, b"one ") == 4
    assert uploads.append(id, "ada", 4, memoryview(b"two ")) == 8
    assert uploads.append(id, "ada", 8, b"") == 8
    status = uploads.status(id, "ada")
    assert (status.id, status.offset) == (id, 8)
    assert status.started <= time.time() < status.expires < time.time() + 3 * 86_400 + 1
    assert uploads.unfinished("ada") == [status]
    assert uploads.used("ada") == 8
    assert visible(tmp_path / "volume") == []
    entry = uploads.finish(id, "ada", files.create(("folder", "a")))
    assert entry.path == ("folder", "a")
    assert get(files, "folder/a") == b"one two "
    assert uploads.unfinished("ada") == []
    for act in (
        lambda: uploads.status(id, "ada"),
        lambda: uploads.append(id, "ada", 8, b"x"),
        lambda: uploads.finish(id, "ada", files.create(("b",))),
        lambda: uploads.drop(id, "ada"),
    ):
        with refused(Kind.MISSING):
            act()
    assert [path.suffix for path in (tmp_path / "uploads").glob("*/*")] == []


def test_parts_that_do_not_fit(uploads: Uploads) -> None:
    """The same part twice, one from later, one from earlier: the answer says where to go on."""
    id = uploads.begin("ada")
    uploads.append(id, "ada", 0, b"12345")
    for offset in (0, 3, 6, 1 << 60):
        with pytest.raises(OffsetError) as caught:
            uploads.append(id, "ada", offset, b"x")
        assert (caught.value.kind, caught.value.offset) == (Kind.CHANGED, 5)
    assert uploads.append(id, "ada", 5, b"6") == 6


@pytest.mark.parametrize("owner", ["eve", "", "../ada"])
def test_others_uploads(uploads: Uploads, tmp_path: Path, owner: str) -> None:
    id = uploads.begin("ada")
    files = tree(directory(tmp_path))
    assert uploads.unfinished(owner) == []
    for act in (
        lambda: uploads.status(id, owner),
        lambda: uploads.append(id, owner, 0, b"x"),
        lambda: uploads.finish(id, owner, files.create(("a",))),
        lambda: uploads.drop(id, owner),
    ):
        with refused(Kind.MISSING):
            act()
    assert uploads.append(id, "ada", 0, b"x") == 1
    assert len({uploads.begin("ada") for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "id", ["", "..", "../x", "a" * 31, "a" * 33, "a/" * 16, "\x00" * 32, "\n" + "a" * 31, "\u00e9" * 32]
)
def test_ids_that_are_none(uploads: Uploads, id: str) -> None:
    with refused(Kind.MISSING):
        uploads.append(id, "ada", 0, b"x")


def test_limits(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads", days=3, bytes_each=10, number_each=2)
    first, second = uploads.begin("ada"), uploads.begin("ada")
    with refused(Kind.FULL):
        uploads.begin("ada")
    uploads.append(first, "ada", 0, b"123456")
    with refused(Kind.FULL):
        uploads.append(second, "ada", 0, b"12345")
    assert uploads.append(second, "ada", 0, b"1234") == 4
    uploads.begin("bob")
    uploads.drop(first, "ada")
    assert uploads.append(uploads.begin("ada"), "ada", 0, b"123456") == 6


def test_refused_at_the_end(uploads: Uploads, tmp_path: Path) -> None:
    """The upload stays, to be finished elsewhere."""
    files = tree(directory(tmp_path))
    put(files, "a", b"old")
    id = uploads.begin("ada")
    uploads.append(id, "ada", 0, b"new")
    writer = files.create(("b",), overwrite=False)
    put(files, "b", b"theirs")
    with refused(Kind.EXISTS):
        uploads.finish(id, "ada", writer)
    assert uploads.status(id, "ada").offset == 3
    uploads.finish(id, "ada", files.create(("c",)))
    assert get(files, "c") == b"new"


def test_two_at_once(uploads: Uploads) -> None:
    """Of two that send the same part one wins; none is written over or doubled."""
    id = uploads.begin("ada")
    done: list[int] = []

    def send(mark: bytes) -> None:
        while True:
            offset = uploads.status(id, "ada").offset
            if offset >= 50_000:
                return
            try:
                done.append(uploads.append(id, "ada", offset, mark * 1000))
            except OffsetError:
                continue

    threads = [threading.Thread(target=send, args=(mark,)) for mark in (b"1", b"2", b"3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [1000 * number for number in range(1, len(done) + 1)]
    assert uploads.status(id, "ada").offset == 1000 * len(done)


SENDS = """
import pathlib, sys
from scidrive_service.uploads import Uploads
uploads = Uploads(pathlib.Path(sys.argv[1]), days=3)
id = uploads.begin("ada")
print(id, flush=True)
offset = 0
while True:
    numbers = range(offset >> 3, (offset >> 3) + 5000)
    offset = uploads.append(id, "ada", offset, b"".join(b"%07d\\n" % number for number in numbers))
    print(offset, flush=True)
"""


def test_killed_in_the_middle(uploads: Uploads, tmp_path: Path) -> None:
    """What was said to be there is, and it goes on where it ended."""
    child = subprocess.Popen(
        [sys.executable, "-c", SENDS, tmp_path / "uploads"], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    id = child.stdout.readline().decode().strip()
    time.sleep(0.3)
    child.kill()
    said = int((child.communicate()[0].split() or [b"0"])[-1])
    offset = uploads.status(id, "ada").offset
    assert offset >= said
    wanted = b"".join(b"%07d\n" % number for number in range(offset // 8 + 2))
    uploads.append(id, "ada", offset, wanted[offset:])
    files = tree(directory(tmp_path))
    uploads.finish(id, "ada", files.create(("a",)))
    assert get(files, "a") == wanted


def test_sweeping(uploads: Uploads, tmp_path: Path) -> None:
    old, new = uploads.begin("ada"), uploads.begin("ada")
    folder = next((tmp_path / "uploads").iterdir())
    before = time.time() - 4 * 86_400
    (folder / "left.new").write_text("{")
    (folder / "alone.json").write_text("{}")
    for name in (f"{old}.data", f"{old}.json", f"{new}.json", "left.new", "alone.json"):
        os.utime(folder / name, (before, before))
    assert uploads.sweep() == 1
    assert sorted(path.name for path in folder.iterdir()) == [f"{new}.data", f"{new}.json"]
    assert uploads.append(new, "ada", 0, b"x") == 1
    assert json.loads((folder / f"{new}.json").read_text())["owner"] == "ada"


def test_nobody_else_reads_them(uploads: Uploads, tmp_path: Path) -> None:
    uploads.begin("ada")
    for path in (tmp_path / "uploads", *(tmp_path / "uploads").glob("*")):
        assert path.stat().st_mode & 0o077 == 0


def test_a_full_disk(tmp_path: Path) -> None:
    if not IS_ROOT:
        pytest.skip("needs root, to mount")
    small = directory(tmp_path, "small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", small], check=True)
    try:
        uploads = Uploads(small / "uploads", days=3)
        id = uploads.begin("ada")
        uploads.append(id, "ada", 0, b"x" * 500_000)
        with refused(Kind.FULL):
            uploads.append(id, "ada", 500_000, b"x" * 1_000_000)
        offset = uploads.status(id, "ada").offset
        assert 500_000 <= offset <= 1 << 20  # what did fit is right, and goes on there
        uploads.drop(id, "ada")
        id = uploads.begin("ada")
        assert uploads.append(id, "ada", 0, b"x" * 500_000) == 500_000
    finally:
        subprocess.run(["umount", "-l", small], check=True)
