"""Addresses that open a file without a token."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from scidrive_service.errors import FileError, Kind
from scidrive_service.files import Action, Files, Person
from tests.scidrive.files_support import ADA, BOB, EVE, get, kind, make, mine, put, stop

V = ("Storage", "ada", "persistent")


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    files = make(tmp_path)
    put(mine(files), "a/b")
    yield files
    stop(files)


def dead(files: Files, link: str) -> None:
    with pytest.raises(FileError, match="has ended, or there is none") as error:
        files.open_link(link)
    assert kind(error) is Kind.MISSING


def test_a_link_opens_its_file_for_reading(files: Files) -> None:
    link, expires = files.make_link(ADA, mine(files), ("a", "b"), 3600)
    assert (
        datetime.timedelta(0) < expires - datetime.datetime.now(datetime.UTC) < datetime.timedelta(hours=1, seconds=1)
    )
    volume, path = files.open_link(link)
    assert path == ("a", "b")
    assert get(volume, "a/b") == b"hello"
    assert volume.actions == {Action.READ}
    with pytest.raises(FileError) as error:
        volume.remove(path)
    assert kind(error) is Kind.FORBIDDEN


def test_a_link_to_scidrive_and_to_a_folder(files: Files) -> None:
    drive = files.drive(ADA)
    put(drive, "x/y")
    link, _ = files.make_link(ADA, drive, ("x",), 3600)
    volume, path = files.open_link(link)
    assert [entry.path for entry in volume.list(path)] == [("x", "y")]


def test_nothing_in_the_database_opens_anything(files: Files, tmp_path: Path) -> None:
    link, _ = files.make_link(ADA, mine(files), ("a", "b"), 3600)
    assert len(link) == 43
    files.store.engine.dispose()
    for file in (tmp_path / "scidrive").glob("scidrive.sqlite*"):
        assert link.encode() not in file.read_bytes()
    (known,) = files.links(ADA)
    dead(files, known["id"])


@pytest.mark.parametrize("link", ["", "x", "A" * 43, "../" * 20, "é" * 43, "A" * 10_000])
def test_what_is_no_link_opens_nothing(files: Files, link: str) -> None:
    dead(files, link)


def test_links_end_by_themselves(files: Files) -> None:
    link, _ = files.make_link(ADA, mine(files), ("a", "b"), -1)
    dead(files, link)
    assert files.links(ADA) == []


def test_only_what_one_may_read_can_be_linked(files: Files) -> None:
    with pytest.raises(FileError) as error:
        files.make_link(ADA, mine(files), ("nothing",), 60)
    assert kind(error) is Kind.MISSING
    files.share(ADA, *V, [{"name": "bob", "allowedActions": ["write"]}])
    with pytest.raises(FileError) as error:
        files.make_link(BOB, files.volume(BOB, *V), ("a", "b"), 60)
    assert kind(error) is Kind.FORBIDDEN


def test_a_link_ends_when_its_maker_may_no_longer_read(files: Files) -> None:
    files.share(ADA, *V, [{"name": "bob", "allowedActions": ["read"]}])
    link, _ = files.make_link(BOB, files.volume(BOB, *V), ("a", "b"), 3600)
    files.open_link(link)
    files.share(ADA, *V, [{"name": "bob", "allowedActions": ["write"]}])
    dead(files, link)
    files.share(ADA, *V, [{"name": "bob", "allowedActions": ["read"]}])
    files.open_link(link)


def test_a_link_ends_when_its_maker_leaves_the_group(files: Files) -> None:
    files.share(ADA, *V, [{"name": "astro", "type": "GROUP", "allowedActions": ["read"]}])
    link, _ = files.make_link(BOB, files.volume(BOB, *V), ("a", "b"), 3600)
    files.open_link(link)
    files.listing(Person("bob", frozenset()))
    dead(files, link)


def test_a_link_gives_what_is_there_now_and_survives_a_restart(files: Files, tmp_path: Path) -> None:
    link, _ = files.make_link(ADA, mine(files), ("a", "b"), 3600)
    put(mine(files), "a/b", b"other")
    again = make(tmp_path)
    volume, path = again.open_link(link)
    assert get(volume, "/".join(path)) == b"other"
    mine(files).remove(("a",))
    volume, path = again.open_link(link)
    with pytest.raises(FileError) as error:
        volume.open(path)
    assert kind(error) is Kind.MISSING
    stop(again)


def test_people_see_and_revoke_their_own_links(files: Files) -> None:
    link, _ = files.make_link(ADA, mine(files), ("a", "b"), 3600)
    other, _ = files.make_link(ADA, mine(files), ("a",), 3600)
    listed = files.links(ADA)
    assert sorted(each["path"] for each in listed) == ["Storage/ada/persistent/a", "Storage/ada/persistent/a/b"]
    assert set(listed[0]) == {"id", "path", "created", "expires"}
    assert files.links(EVE) == []
    for wrong in (listed[0]["id"], link, "nothing"):
        with pytest.raises(FileError) as error:
            files.revoke_link(EVE, wrong)
        assert kind(error) is Kind.MISSING
    files.revoke_link(ADA, link)
    dead(files, link)
    (left,) = files.links(ADA)
    files.revoke_link(ADA, left["id"])
    dead(files, other)
