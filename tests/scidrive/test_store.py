"""The metadata database of volumes, on SQLite and on PostgreSQL."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from scidrive_service.errors import FileError, Kind
from scidrive_service.models import Base, now
from scidrive_service.store import Expiring, Store
from tests.casjobs.engines_support import PostgreSQL

ODD = ("a%_b", "zoë\udcff", "line\nbreak")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('store')}/scidrive.sqlite"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.empty_database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store."""
    store = Store(url)
    with store.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    yield store
    store.close()


def test_migrations_make_the_tables_of_the_models(url: str) -> None:
    Store(url).close()
    store = Store(url)  # nothing left to do
    with store.engine.connect() as connection:
        options = {"version_table": "scidrive_version", "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
    store.close()


def test_two_services_that_start_at_once_make_the_tables_once(postgresql: PostgreSQL) -> None:
    url = postgresql.empty_database()
    with ThreadPoolExecutor(4) as pool:
        for store in pool.map(Store, [url] * 4):
            store.close()


def test_a_volume_has_one_row_however_many_ask_for_it_at_once(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda _: store.add_volume("Storage", "ada", "v"), range(24)))
    assert len({row.id for row in rows}) == 1
    assert len({row.uuid for row in rows}) == 1
    assert store.volume("Storage", "ada", "V") is None  # directories differ by case, too


def test_ids_are_never_given_again(store: Store) -> None:
    first = store.add_volume("Storage", "ada", "v")
    store.remove_volume(first.id)
    again = store.add_volume("Storage", "ada", "v")
    assert again.id > first.id
    assert again.uuid != first.uuid


def test_whatever_belongs_to_a_volume_goes_with_it(store: Store) -> None:
    volume = store.add_volume("Storage", "ada", "v")
    store.share(volume.id, {("USER", "bob"): "read"})
    store.add_link("d" * 64, volume.id, ("f",), "ada", [], now() + datetime.timedelta(hours=1))
    store.set_properties(volume.id, ("f",), {"{DAV:}x": "<x/>"})
    store.warn(volume.id, [Expiring(volume.id, ("f",), 1.5, 3, now(), now())], [])
    store.remove_volume(volume.id)
    with store.engine.connect() as connection:
        for table in ("shares", "links", "properties", "warned"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0  # noqa: S608


def test_shares_are_replaced_one_by_one_and_end_without_actions(store: Store) -> None:
    volume = store.add_volume("Storage", "ada", "v")
    store.share(volume.id, {("USER", "bob"): "read", ("GROUP", "astro"): "read,write"})
    store.share(volume.id, {("USER", "bob"): "read,delete"})
    found = {(share.kind, share.name): share.actions for share in store.shares([volume.id])[volume.id]}
    assert found == {("USER", "bob"): "read,delete", ("GROUP", "astro"): "read,write"}
    assert [row.id for row in store.shared_with("bob", [])] == [volume.id]
    assert [row.id for row in store.shared_with("carl", ["astro", "x"])] == [volume.id]
    assert store.shared_with("astro", []) == []  # a user who is called like the group
    assert store.shared_with("ada", ["astro"]) == []  # her own
    store.share(volume.id, {("USER", "bob"): "", ("GROUP", "astro"): ""})
    assert store.shares([volume.id]) == {volume.id: []}


def test_two_who_share_at_once_do_not_disturb_each_other(store: Store) -> None:
    volume = store.add_volume("Storage", "ada", "v")
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda n: store.share(volume.id, {("USER", "bob"): f"read{',write' * (n % 2)}"}), range(40)):
            pass
    assert len(store.shares([volume.id])[volume.id]) == 1


def test_properties_follow_files_whatever_their_names(store: Store) -> None:
    one, two = store.add_volume("Storage", "ada", "one"), store.add_volume("Storage", "ada", "two")
    store.set_properties(one.id, ODD, {"{urn:x}a": "1", "{urn:x}b": "\x00z"})
    store.set_properties(one.id, (*ODD, "deep", "er"), {"{urn:x}c": "3"})
    store.set_properties(one.id, ("aX_b",), {"{urn:x}d": "4"})  # what a careless pattern would take along
    assert store.properties(one.id, ODD) == {ODD: {"{urn:x}a": "1", "{urn:x}b": "\ufffdz"}}
    store.set_properties(one.id, ODD, {"{urn:x}a": None, "{urn:x}b": "2"})
    store.move_properties(one.id, ODD, two.id, ("new",), copy=True)
    store.move_properties(one.id, ODD[:1], one.id, ("moved",))
    assert store.properties(two.id, ("new",), deep=True) == {("new",): {"{urn:x}b": "2"}}
    assert store.properties(two.id, ("new", "deep", "er")) == {("new", "deep", "er"): {"{urn:x}c": "3"}}
    assert store.properties(one.id, ODD) == {}
    assert store.properties(one.id, ("moved", *ODD[1:])) == {("moved", *ODD[1:]): {"{urn:x}b": "2"}}
    assert store.properties(one.id, ("aX_b",)) == {("aX_b",): {"{urn:x}d": "4"}}
    store.remove_properties(one.id, ("moved",))
    assert store.properties(one.id, ("moved", *ODD[1:], "deep", "er")) == {}
    assert store.properties(one.id, ("aX_b",))


def test_properties_of_a_folder_are_those_of_what_is_in_it(store: Store) -> None:
    volume = store.add_volume("Storage", "ada", "v")
    for path in ((), ("a",), ("a", "b"), ("a", "b", "c"), ("ab",)):
        store.set_properties(volume.id, path, {"n": "/".join(path)})
    assert set(store.properties(volume.id, ("a",), deep=True)) == {("a",), ("a", "b")}
    assert set(store.properties(volume.id, (), deep=True)) == {(), ("a",), ("ab",)}
    assert set(store.properties(volume.id, ())) == {()}


def test_properties_that_come_later_are_seen(store: Store) -> None:
    volume = store.add_volume("Storage", "ada", "v")
    assert store.properties(volume.id, ("f",)) == {}
    store.set_properties(volume.id, ("f",), {"n": "1"})
    assert store.properties(volume.id, ("f",)) == {("f",): {"n": "1"}}
    store.move_properties(volume.id, ("f",), volume.id, ("g",))
    store.remove_properties(volume.id, ("g",))
    assert store.properties(volume.id, ("g",)) == {}
    store.set_properties(volume.id, ("g",), {"n": "2"})
    assert store.properties(volume.id, ("g",)) == {("g",): {"n": "2"}}


def test_a_long_path_and_a_long_name_of_a_property_are_no_problem(store: Store) -> None:
    volume = store.add_volume("Storage", "ada", "v")
    path = tuple("ü" * 120 for _ in range(16))
    store.set_properties(volume.id, path, {"{urn:x}" + "n" * 5000: "v" * 100_000})
    assert store.properties(volume.id, path)[path]["{urn:x}" + "n" * 5000] == "v" * 100_000


def test_links_end_and_belong_to_their_maker(store: Store) -> None:
    volume = store.add_volume("Storage", "ada", "v")
    soon = now() + datetime.timedelta(hours=1)
    store.add_link("1" * 64, volume.id, ODD, "bob", {"b", "a"}, soon)
    store.add_link("2" * 64, volume.id, ("f",), "bob", [], now() - datetime.timedelta(seconds=1))
    found = store.link("1" * 64)
    assert found is not None
    assert (found[0].groups, found[1].id, found[2]) == (["a", "b"], volume.id, ODD)
    assert store.link("2" * 64) is None
    assert [path for _, _, path in store.links("bob")] == [ODD]
    store.set_groups("bob", {"a"})
    found = store.link("1" * 64)
    assert found is not None
    assert found[0].groups == ["a"]
    assert not store.remove_link("1" * 64, "eve")
    assert store.remove_link("1" * 64, "bob")
    assert store.links("bob") == []


def test_warnings_are_kept_until_they_are_struck(store: Store) -> None:
    volume = store.add_volume("Temporary", "ada", "v")
    start = now().replace(microsecond=123456)
    files = [
        Expiring(volume.id, (*ODD, str(n)), 1_700_000_000.123456789 + n, n << 33, start + datetime.timedelta(n), start)
        for n in range(1200)
    ]
    store.warn(volume.id, files, [])
    assert store.warned([volume.id]) == files  # to the last bit of its time, or the file would look changed
    store.warn(volume.id, files[:2], [file.path for file in files[1:]])
    assert store.warned([volume.id]) == files[:2]


def test_a_user_who_is_gone_leaves_nothing(store: Store) -> None:
    volume, other = store.add_volume("Storage", "ada", "v"), store.add_volume("Storage", "bob", "v")
    store.share(other.id, {("USER", "ada"): "read", ("GROUP", "ada"): "read"})
    store.add_link("1" * 64, other.id, (), "ada", [], now() + datetime.timedelta(hours=1))
    number = store.project("ada/Storage")
    store.project("ada_/Storage")
    assert [row.id for row in store.forget("ada")] == [volume.id]
    assert [(share.kind, share.name) for share in store.shares([other.id])[other.id]] == [("GROUP", "ada")]
    assert store.links("ada") == []
    assert store.project("ada/Storage") > number


def test_a_project_has_one_number_however_many_ask(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: store.project("ada/Storage"), range(24)))) == 1
    assert store.project("ada/Storage") != store.project("bob/Storage")


def test_two_volumes_cannot_get_one_name(store: Store) -> None:
    one = store.add_volume("Storage", "ada", "one")
    store.add_volume("Storage", "ada", "two")
    with pytest.raises(FileError, match="of that name") as error:
        store.change_volume(one.id, name="two")
    assert error.value.kind is Kind.EXISTS
    store.change_volume(one.id, description="for \x00 all \ud800")
    changed = store.volume("Storage", "ada", "one")
    assert changed is not None
    assert changed.description == "for \ufffd all ?"


def test_a_database_that_is_gone_is_said_in_words(tmp_path: Path) -> None:
    home = tmp_path / "db"
    home.mkdir()
    store = Store(f"sqlite:///{home}/scidrive.sqlite")
    store.engine.dispose()
    shutil.rmtree(home)
    with pytest.raises(FileError, match="Try again in a minute") as error:
        store.volume("Storage", "ada", "v")
    assert error.value.kind is Kind.UNAVAILABLE
    assert str(home) not in str(error.value)
    store.close()
