"""Copies and moves between volumes: whole or not at all, whoever else writes and whatever ends the process."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scidrive_service.errors import FileError, Kind
from scidrive_service.files import Action, Files, OpenVolume
from scidrive_service.local import LocalTree
from scidrive_service.tree import Entry, Reader, Tree, Usage
from tests.scidrive.files_support import ACCOUNT, ADA, BOB, directory, get, kind, make, mine, names, on_disk, put, stop

ODD = os.fsdecode(b"z\xff\n%_ \xc3\xa9")


class FlatTree:
    """A storage that can do no more than `Tree` says, as an object store."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        os.chown(root, ACCOUNT, ACCOUNT) if ACCOUNT is not None else None
        self._tree = LocalTree(root, account=ACCOUNT)

    def __getattr__(self, name: str) -> Any:
        if name in {"stage", "held", "inner_link", "remove_if"}:
            raise AttributeError(name)
        return getattr(self._tree, name)


@pytest.fixture(params=["folders", "objects"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    """SciDrive in directories, and on a storage that is none."""
    options: dict[str, Any] = {}
    if request.param == "objects":
        options["drive_tree"] = lambda owner: FlatTree(tmp_path / "bucket" / owner)
    files = make(tmp_path, **options)
    yield files
    stop(files)


def hidden(files: Files, volume: OpenVolume) -> list[str]:
    return [name for name in on_disk(directory(files, volume)) if name.startswith(".~")]


def content(volume: OpenVolume, path: tuple[str, ...] = ()) -> dict[str, bytes | None]:
    """Everything below a folder."""
    return {
        "/".join(entry.path[len(path) :]): None if entry.is_folder else get(volume, "/".join(entry.path))
        for entry in volume.walk(path)
        if entry.is_safe
    }


@pytest.fixture
def storage(files: Files) -> OpenVolume:
    """A volume with a folder."""
    volume = mine(files)
    put(volume, "a/b/c", b"c" * 3_000_000)
    put(volume, f"a/{ODD}", b"odd")
    put(volume, "a/empty", b"")
    volume.make_folder(("a", "folder"))
    return volume


A = {"b": None, "b/c": b"c" * 3_000_000, ODD: b"odd", "empty": b"", "folder": None}


def test_a_file_goes_to_another_volume_and_back(files: Files, storage: OpenVolume) -> None:
    drive = files.drive(ADA)
    entry = storage.copy(("a", "b", "c"), drive, ("x", "y"), overwrite=False)
    assert (entry.path, entry.size) == (("x", "y"), 3_000_000)
    assert get(drive, "x/y") == b"c" * 3_000_000
    drive.move_to(("x", "y"), storage, ("z",), overwrite=False)
    assert get(storage, "z") == b"c" * 3_000_000
    assert names(drive, "x") == []


def test_a_folder_goes_to_another_volume_and_back(files: Files, storage: OpenVolume) -> None:
    drive = files.drive(ADA)
    entry = storage.copy(("a",), drive, ("x", "y"), overwrite=False)
    assert (entry.path, entry.is_folder) == (("x", "y"), True)
    assert content(drive, ("x", "y")) == A
    assert content(storage, ("a",)) == A
    drive.move_to(("x", "y"), storage, ("back",), overwrite=False)
    assert content(storage, ("back",)) == A
    assert names(drive, "x") == []
    assert hidden(files, storage) == []


def test_a_folder_is_copied_beside_itself(files: Files, storage: OpenVolume) -> None:
    storage.copy(("a",), storage, ("x",), overwrite=False)
    assert content(storage, ("x",)) == A
    drive = files.drive(ADA)
    storage.copy(("a",), drive, ("a",), overwrite=False)
    drive.copy(("a",), drive, ("b",), overwrite=False)
    assert content(drive, ("b",)) == A


def test_what_is_there_is_replaced_only_if_that_was_asked(files: Files, storage: OpenVolume) -> None:
    drive = files.drive(ADA)
    put(drive, "file", b"old")
    put(drive, "folder/old", b"old")
    for source in (("a",), ("a", "empty")):
        for target in (("file",), ("folder",)):
            for act in (storage.copy, storage.move_to):
                with pytest.raises(FileError) as error:
                    act(source, drive, target, overwrite=False)
                assert kind(error) is Kind.EXISTS
    assert get(drive, "folder/old") == b"old"
    storage.copy(("a", "empty"), drive, ("folder",), overwrite=True)
    assert get(drive, "folder") == b""
    storage.copy(("a",), drive, ("file",), overwrite=True)
    assert content(drive, ("file",)) == A
    storage.copy(("a", "b"), drive, ("file",), overwrite=True)
    assert list(content(drive, ("file",))) == ["c"]
    storage.copy(("a",), drive, ("file",), overwrite=True)
    assert content(drive, ("file",)) == A


def test_replacing_a_folder_needs_the_right_to_remove(files: Files, storage: OpenVolume) -> None:
    files.share(ADA, "Storage", "ada", "persistent", [{"name": "bob", "allowedActions": ["read", "write"]}])
    shared = files.volume(BOB, "Storage", "ada", "persistent")
    put(mine(files, BOB), "f")
    with pytest.raises(FileError) as error:
        mine(files, BOB).copy(("f",), shared, ("a",), overwrite=True)
    assert kind(error) is Kind.FORBIDDEN
    mine(files, BOB).copy(("f",), shared, ("a", "empty"), overwrite=True)
    assert get(shared, "a/empty") == b"hello"


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (("a",), ("a", "b", "x"), Kind.NAME),
        (("a",), ("a",), Kind.NAME),
        (("a", "b"), ("a",), Kind.NAME),
        ((), ("x",), Kind.NAME),
        (("a",), (), Kind.NAME),
        (("nothing",), ("x",), Kind.MISSING),
        (("a", "empty"), ("a", ODD, "x"), Kind.NOT_A_FOLDER),
    ],
)
def test_copies_that_cannot_be(
    files: Files, storage: OpenVolume, source: tuple[str, ...], target: tuple[str, ...], expected: Kind
) -> None:
    before = content(storage)
    with pytest.raises(FileError) as error:
        storage.copy(source, storage, target, overwrite=True)
    assert kind(error) is expected
    assert content(storage) == before
    assert hidden(files, storage) == []


def test_a_whole_volume_is_copied_into_a_folder_of_another(files: Files, storage: OpenVolume) -> None:
    drive = files.drive(ADA)
    storage.copy((), drive, ("backup",), overwrite=False)
    assert content(drive, ("backup", "a")) == A
    with pytest.raises(FileError) as error:
        storage.move_to((), drive, ("moved",), overwrite=False)
    assert kind(error) is Kind.FORBIDDEN
    assert content(storage, ("a",)) == A


def test_properties_are_copied_and_moved_with_their_files(files: Files, storage: OpenVolume) -> None:
    drive = files.drive(ADA)
    storage.set_properties(("a",), {"n": "1"})
    storage.set_properties(("a", "b", "c"), {"n": "2"})
    put(drive, "x/b/c", b"old")
    drive.set_properties(("x", "b", "c"), {"old": "3"})
    storage.copy(("a",), drive, ("x",), overwrite=True)
    assert drive.properties_in(("x", "b", "c"), deep=False) == {("x", "b", "c"): {"n": "2"}}
    storage.move_to(("a",), drive, ("y",), overwrite=True)
    assert drive.properties_in(("y",), deep=True) == {("y",): {"n": "1"}}
    assert storage.properties_in(("a",), deep=True) == {}
    drive.move(("y",), ("z",))
    assert drive.properties_in(("z", "b", "c"), deep=False) == {("z", "b", "c"): {"n": "2"}}
    drive.remove(("z",))
    put(drive, "z/b/c", b"new")
    assert drive.properties_in(("z", "b", "c"), deep=False) == {}
    put(drive, "x/b/c", b"replaced")
    assert drive.properties_in(("x", "b", "c"), deep=False) == {("x", "b", "c"): {"n": "2"}}


def test_links_are_copied_if_they_stay_inside_and_nothing_is_followed_out(
    files: Files, storage: OpenVolume, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    here = directory(files, storage) / "a"
    (here / "b" / "inner").symlink_to("../empty")
    (here / "folder" / "up").symlink_to("../b/../b")
    for name, target in (("out", "../../../secret"), ("absolute", str(tmp_path / "secret")), ("above", "../a/empty")):
        (here / name).symlink_to(target)
    os.mkfifo(here / "pipe")
    target = mine(files, root="Temporary", name="scratch")
    with pytest.raises(FileError) as error:
        storage.move_to(("a",), target, ("x",), overwrite=False)
    assert kind(error) is Kind.UNSAFE
    assert (names(target), storage.usage().files) == ([], 12)
    storage.copy(("a",), target, ("x",), overwrite=False)
    copied = directory(files, target) / "x"
    assert (copied / "b" / "inner").readlink() == Path("../empty")
    assert (copied / "folder" / "up").readlink() == Path("../b/../b")
    assert on_disk(copied) == sorted(["b", ODD, "empty", "folder"])
    assert target.usage() == target.tree.usage()
    for name in ("out", "absolute", "above", "pipe"):
        (here / name).unlink()
    storage.move_to(("a",), target, ("y",), overwrite=False)
    assert (directory(files, target) / "y" / "b" / "inner").readlink() == Path("../empty")
    assert names(storage) == []


def test_a_folder_that_is_closed_is_not_copied_in_part(files: Files, storage: OpenVolume) -> None:
    (directory(files, storage) / "a" / "b").chmod(0)
    drive = files.drive(ADA)
    for act in (storage.copy, storage.move_to):
        with pytest.raises(FileError) as error:
            act(("a",), drive, ("x",), overwrite=False)
        assert kind(error) in {Kind.FORBIDDEN, Kind.UNSAFE}
    assert names(drive) == []
    assert drive.usage() == Usage(0, 0)


class Slow:
    """A tree whose files are read slowly, with something done at each read."""

    def __init__(self, tree: Tree, act: Any) -> None:
        self._tree, self._act = tree, act

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tree, name)

    def open(self, path: tuple[str, ...]) -> Reader:
        reader, act = self._tree.open(path), self._act

        class Slowly:
            entry: Entry = reader.entry

            def read(self, offset: int, length: int) -> bytes:
                act(path, offset)
                return reader.read(offset, length)

            def close(self) -> None:
                reader.close()

        return Slowly()


def test_nothing_is_seen_before_a_folder_is_complete(files: Files, storage: OpenVolume) -> None:
    target = mine(files, root="Temporary", name="scratch")
    put(target, "x/old", b"old")
    seen = set()
    storage.tree = Slow(storage.tree, lambda *_: seen.add((tuple(names(target)), tuple(names(target, "x")))))
    storage.copy(("a",), target, ("x",), overwrite=True)
    assert seen == {(("x",), ("old",))}
    assert content(target, ("x",)) == A


def test_a_copy_that_breaks_leaves_nothing(files: Files, storage: OpenVolume) -> None:
    def breaks(path: tuple[str, ...], offset: int) -> None:
        if offset:
            raise FileError("The storage does not answer.", Kind.UNAVAILABLE)

    drive = files.drive(ADA)
    put(drive, "x/old", b"old")
    storage.tree = Slow(storage.tree, breaks)
    for source, target in ((("a",), ("y",)), (("a", "b", "c"), ("z",))):
        for act in (storage.copy, storage.move_to):
            with pytest.raises(FileError) as error:
                act(source, drive, target, overwrite=True)
            assert kind(error) is Kind.UNAVAILABLE
    assert content(drive) == {"x": None, "x/old": b"old"}
    assert hidden(files, drive) == []
    assert drive.usage() == drive.tree.usage()
    assert not drive.counted.quotas._counts[drive.id].taken_bytes
    assert names(storage, "a") == sorted(["b", ODD, "empty", "folder"])


@pytest.mark.parametrize("change", ["write", "add", "remove"])
def test_what_changes_while_it_is_moved_is_not_lost(files: Files, storage: OpenVolume, change: str) -> None:
    here = directory(files, storage) / "a"

    def act(path: tuple[str, ...], offset: int) -> None:
        if path[-1] == "c" and offset > 2_000_000:
            if change == "write":
                (here / "b" / "c").write_bytes(b"new")
            elif change == "add":
                (here / "b" / "new").write_bytes(b"new")
            else:
                (here / "empty").unlink(missing_ok=True)

    drive = files.drive(ADA)
    storage.tree = Slow(storage.tree, act)
    with pytest.raises(FileError, match="both are there now") as error:
        storage.move_to(("a",), drive, ("x",), overwrite=False)
    assert kind(error) is Kind.CHANGED
    assert names(storage) == ["a"]
    assert "c" in names(drive, "x/b")


def test_a_file_that_grows_while_it_is_copied_stays_within_the_quota(tmp_path: Path) -> None:
    files = make(tmp_path, {"Storage": {"user_bytes": 4_000_000, "default_volumes": ["persistent"]}, "SciDrive": {}})
    drive = files.drive(ADA)
    put(drive, "a/f", b"x" * 1_500_000)
    place = directory(files, drive) / "a" / "f"

    def grow(path: tuple[str, ...], offset: int) -> None:
        with place.open("ab") as file:
            file.write(b"y" * 1_500_000)

    files.listing(ADA)
    drive.tree = Slow(drive.tree, grow)
    target = mine(files)
    for source in (("a",), ("a", "f")):
        with pytest.raises(FileError) as error:
            drive.copy(source, target, ("x",), overwrite=False)
        assert kind(error) is Kind.FULL
    assert names(target) == []
    assert target.usage() == target.tree.usage() == Usage(0, 0)
    stop(files)


def test_two_copies_to_one_place_are_one_of_the_two(files: Files, storage: OpenVolume) -> None:
    drive = files.drive(ADA)
    for number in range(2):
        for name in range(20):
            put(storage, f"s{number}/f{name}", b"%d" % number)
    wrong: list[object] = []

    def copy(number: int) -> None:
        for _ in range(10):
            try:
                storage.copy((f"s{number}",), drive, ("x",), overwrite=True)
            except FileError as error:
                wrong.append(error)

    threads = [threading.Thread(target=copy, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = content(drive, ("x",))
    if not files._trees.is_elsewhere(files.store.volume("SciDrive", "ada", "")):  # type: ignore[arg-type]
        assert wrong == []
        assert len(set(found.values())) == 1
    assert len(found) == 20
    assert drive.usage() == drive.tree.usage()


KILLED = """
import sys
from pathlib import Path
from tests.scidrive.files_support import ADA, make, mine
files = make(Path(sys.argv[1]))
source, target = mine(files), mine(files, root="Temporary", name="scratch")
print("ready", flush=True)
for number in range(10_000):
    act = source.copy if sys.argv[2] == "copy" else source.move_to
    act(("a",), target, ("x",), overwrite=True)
    if sys.argv[2] == "move":
        target.move_to(("x",), source, ("a",), overwrite=True)
"""


@pytest.mark.parametrize("act", ["copy", "move"])
def test_a_service_that_is_killed_leaves_no_half_copy_and_loses_nothing(tmp_path: Path, act: str) -> None:
    files = make(tmp_path)
    source, target = mine(files), mine(files, root="Temporary", name="scratch")
    for number in range(40):
        put(source, f"a/d{number % 4}/f{number}", bytes([number]) * 20_000)
    whole = content(source, ("a",))
    choice = random.Random(7)
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path), act], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(choice.uniform(0.02, 0.25))
        child.send_signal(signal.SIGKILL)
        child.wait()
        found = [content(volume, (name,)) for volume, name in ((source, "a"), (target, "x")) if name in names(volume)]
        assert found
        assert all(each == whole for each in found)
        assert set(names(source)) <= {"a"}
        assert set(names(target)) <= {"x"}
        if "a" not in names(source):
            target.move_to(("x",), source, ("a",), overwrite=False)
    for volume in (source, target):
        volume.tree.sweep(0)  # type: ignore[attr-defined]
        assert hidden(files, volume) == []
        assert Action.READ in volume.actions
    stop(files)


def test_search_finds_names_in_any_case(storage: OpenVolume) -> None:
    put(storage, "a/Über.TXT", b"")
    put(storage, "txt/x", b"")

    def found(pattern: str, path: tuple[str, ...] = (), limit: int = 100) -> list[str]:
        return ["/".join(entry.path) for entry in storage.search(path, pattern, limit)]

    assert found("TXT") == ["a/Über.TXT", "txt"]
    assert found("*.txt") == ["a/Über.TXT"]
    assert found("über*") == ["a/Über.TXT"]
    assert found("[x-z]") == ["txt/x"]
    assert found("txt", ("a",)) == ["a/Über.TXT"]
    assert len(found("*", limit=3)) == 3
    with pytest.raises(FileError) as error:
        found("x", ("nothing",))
    assert kind(error) is Kind.MISSING
