"""Files that are removed by rule, and never without a warning."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scidrive_service import expiry
from scidrive_service.errors import FileError, Kind
from scidrive_service.files import Files, OpenVolume
from scidrive_service.tree import Usage
from tests.scidrive.files_support import ADA, BOB, ROOTS, directory, get, make, mine, names, on_disk, put, stop

HOUR = datetime.timedelta(hours=1)


class Clock:
    """What the sweeper takes for now."""

    def __init__(self) -> None:
        self.later = datetime.timedelta()

    def __call__(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC).replace(tzinfo=None) + self.later


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(expiry, "now", clock)
    return clock


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """Files in Temporary live 48 hours, and are announced 24 hours before."""
    files = make(tmp_path)
    yield files
    stop(files)


@pytest.fixture
def scratch(files: Files) -> OpenVolume:
    return mine(files, root="Temporary", name="scratch")


def listed(files: Files) -> list[str]:
    return [file["path"].removeprefix("Temporary/ada/scratch/") for file in files.expiring(ADA)]


def test_a_file_is_announced_then_removed(files: Files, scratch: OpenVolume, clock: Clock) -> None:
    put(scratch, "a/old")
    put(mine(files), "kept")
    clock.later = 23 * HOUR
    assert (files.sweep(), listed(files)) == ([], [])
    clock.later = 25 * HOUR
    assert listed(files) == ["a/old"]  # also before the sweeper comes by
    assert files.sweep() == []
    clock.later = 47 * HOUR
    put(scratch, "new")
    assert files.sweep() == []
    (file,) = [file for file in files.expiring(ADA) if file["path"].endswith("old")]
    assert file["href"] == file["path"] == "Temporary/ada/scratch/a/old"
    assert file["size"] == 5
    made, ends = (datetime.datetime.fromisoformat(file[key]) for key in ("created", "expires"))
    assert datetime.timedelta(hours=47, minutes=59) < ends - made < datetime.timedelta(hours=49, minutes=1)
    clock.later = 50 * HOUR
    (removed,) = files.sweep()
    assert (removed.path, removed.size) == (("a", "old"), 5)
    assert names(scratch) == ["a", "new"]  # folders stay
    assert names(scratch, "a") == []
    assert scratch.usage() == Usage(5, 2)
    assert get(mine(files), "kept") == b"hello"
    assert files.expiring(BOB) == []
    assert files.sweep() == []


def test_nothing_goes_without_a_warning_when_the_service_was_down(
    files: Files, scratch: OpenVolume, clock: Clock
) -> None:
    put(scratch, "old")
    clock.later = 1000 * HOUR
    assert files.sweep() == []
    (file,) = files.expiring(ADA)
    assert datetime.datetime.fromisoformat(file["expires"]).replace(tzinfo=None) > clock() + 23 * HOUR
    clock.later += 23 * HOUR
    assert files.sweep() == []
    clock.later += 2 * HOUR
    assert [file.path for file in files.sweep()] == [("old",)]


def test_nothing_goes_without_a_warning_when_the_operator_shortens_the_time(
    tmp_path: Path, files: Files, scratch: OpenVolume, clock: Clock
) -> None:
    put(scratch, "old")
    clock.later = 10 * HOUR
    shorter = make(tmp_path, ROOTS | {"Temporary": ROOTS["Temporary"] | {"expires_after": 5, "warn_before": 4}})
    assert shorter.sweep() == []
    clock.later += datetime.timedelta(hours=4, minutes=1)
    assert len(shorter.sweep()) == 1
    stop(shorter)


def test_changing_a_file_does_not_prolong_its_time_and_replacing_it_does(
    files: Files, scratch: OpenVolume, clock: Clock
) -> None:
    put(scratch, "changed")
    put(scratch, "replaced")
    clock.later = 30 * HOUR
    files.sweep()
    with (directory(files, scratch) / "changed").open("a") as file:
        file.write("more")
    os.utime(directory(files, scratch) / "changed")
    put(scratch, "replaced", b"another")
    clock.later = 40 * HOUR
    files.sweep()  # the new file looks as old, and gets a warning of its own
    clock.later = 55 * HOUR
    assert [file.path for file in files.sweep()] == [("changed",)]
    assert get(scratch, "replaced") == b"another"
    clock.later = 65 * HOUR
    assert [file.path for file in files.sweep()] == [("replaced",)]


def test_a_file_that_is_replaced_while_the_sweeper_looks_stays(
    files: Files, scratch: OpenVolume, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(scratch, "old")
    clock.later = 30 * HOUR
    files.sweep()
    clock.later = 60 * HOUR
    tree = scratch.tree
    remove_if = tree.remove_if  # type: ignore[attr-defined]

    def slow(path: tuple[str, ...], verify: object) -> None:
        put(scratch, "old", b"replaced in this instant")
        remove_if(path, verify)

    monkeypatch.setattr(tree, "remove_if", slow)
    assert files.sweep() == []
    assert get(scratch, "old") == b"replaced in this instant"
    assert not [name for name in on_disk(directory(files, scratch)) if name.startswith(".~")]


def test_links_go_and_not_what_they_lead_to(files: Files, scratch: OpenVolume, clock: Clock, tmp_path: Path) -> None:
    here = directory(files, scratch)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("not ours")
    (here / "link").symlink_to(outside / "file")
    (here / "folder").symlink_to(outside)
    os.mkfifo(here / "pipe")
    clock.later = 30 * HOUR
    files.sweep()
    clock.later = 60 * HOUR
    assert len(files.sweep()) == 3
    assert on_disk(here) == []
    assert (outside / "file").read_text() == "not ours"


def test_names_that_are_no_text_are_announced_and_removed(files: Files, scratch: OpenVolume, clock: Clock) -> None:
    for name in (b"\xff\xfe", "z\n%_é".encode(), b"n" * 255):
        (Path(os.fsdecode(os.fsencode(directory(files, scratch)) + b"/" + name))).write_text("x")
    clock.later = 30 * HOUR
    files.sweep()
    assert len(listed(files)) == 3
    clock.later = 60 * HOUR
    assert len(files.sweep()) == 3
    assert names(scratch) == []


def test_properties_go_with_an_expired_file(files: Files, scratch: OpenVolume, clock: Clock) -> None:
    put(scratch, "old")
    scratch.set_properties(("old",), {"n": "v"})
    clock.later = 30 * HOUR
    files.sweep()
    clock.later = 60 * HOUR
    files.sweep()
    put(scratch, "old")
    assert scratch.properties_in(("old",), deep=False) == {}


def test_many_files_are_announced_in_parts(
    files: Files, scratch: OpenVolume, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "_MOST", 30)
    monkeypatch.setattr(expiry, "_AT_ONCE", 7)
    for number in range(50):
        (directory(files, scratch) / f"f{number:02}").write_text("x")
    clock.later = 30 * HOUR
    files.sweep()
    assert len(files.store.warned([scratch.id])) == 30
    assert len(files.expiring(ADA)) == 50
    clock.later = 60 * HOUR
    assert len(files.sweep()) == 30
    files.sweep()
    clock.later = 90 * HOUR
    assert len(files.sweep()) == 20


def test_one_volume_that_cannot_be_read_does_not_keep_the_others_from_it(
    files: Files, scratch: OpenVolume, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(scratch, "old")
    put(mine(files, BOB, root="Temporary", name="scratch"), "old")
    clock.later = 30 * HOUR
    files.sweep()
    clock.later = 60 * HOUR

    def broken(path: tuple[str, ...]) -> None:
        raise FileError("The storage does not answer.", Kind.UNAVAILABLE)

    monkeypatch.setattr(scratch.tree, "walk", broken)
    assert len(files.sweep()) == 1
    assert names(scratch) == ["old"]
