"""Which volumes there are, and who may do what with them."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from scidrive_service.errors import FileError, Kind
from scidrive_service.files import Action, Files, OpenVolume, Person
from scidrive_service.policy import DEFAULTS, PolicyError, policies
from tests.scidrive.files_support import ADA, BOB, EVE, directory, get, kind, make, mine, names, put, stop

V = ("Storage", "ada", "persistent")


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    files = make(tmp_path)
    files.listing(ADA)
    yield files
    stop(files)


def share(files: Files, *actions: str, name: str = "bob", to: str = "USER", person: Person = ADA) -> None:
    files.share(person, *V, [{"name": name, "type": to, "allowedActions": list(actions)}])


# -- the list


def test_the_list_has_the_default_volumes_and_everything_that_clients_need(files: Files) -> None:
    answer = files.listing(ADA)
    assert [root["name"] for root in answer["rootVolumes"]] == ["Storage", "Temporary"]  # SciDrive has no such volumes
    storage = answer["rootVolumes"][0]
    assert storage["description"] == "Stays."
    assert storage["allowedActions"] == ["create"]
    assert storage["containsSharedVolumes"] is True
    (volume,) = storage["userVolumes"]
    uuid.UUID(volume.pop("resourceUUID"))
    assert isinstance(volume.pop("id"), int)
    assert volume == {
        "name": "persistent",
        "description": "",
        "relativePath": "ada/persistent",
        "owner": "ada",
        "allowedActions": ["read", "write", "delete", "grant"],
        "sharedWith": [],
        "owningResourceId": None,
    }
    assert [volume["name"] for volume in answer["rootVolumes"][1]["userVolumes"]] == ["scratch"]
    assert answer["dataVolumes"] == []


def test_the_list_names_no_directory_of_this_machine(files: Files, tmp_path: Path) -> None:
    (tmp_path / "data" / "sdss").mkdir()
    assert str(tmp_path) not in repr(files.listing(ADA))
    assert str(tmp_path) not in repr(files.volume_info(ADA, *V))


def test_directories_belong_to_the_containers_and_their_parents_to_the_operator(files: Files) -> None:
    status = directory(files, mine(files)).stat()
    assert status.st_mode & 0o777 == 0o700
    if os.getuid() == 0:
        assert (status.st_uid, status.st_gid) == (1000, 1000)
        owner = directory(files, mine(files)).parent.stat()
        assert (owner.st_uid, owner.st_mode & 0o777) == (0, 0o700)


def test_a_directory_that_the_spawner_or_an_operator_made_is_a_volume(files: Files) -> None:
    place = files.registry.path("Storage", "bob", "restored")
    place.mkdir(parents=True)
    os.chown(place, 1000, 1000) if os.getuid() == 0 else None
    put(files.volume(BOB, "Storage", "bob", "restored"), "f")
    found = {volume["name"] for volume in files.listing(BOB)["rootVolumes"][0]["userVolumes"]}
    assert found == {"persistent", "restored"}


def test_what_is_no_directory_or_has_no_name_of_a_volume_is_none(files: Files) -> None:
    home = files.registry.path(*V).parent
    (home / "file").write_text("")
    (home / ".hidden").mkdir()
    (home / "two..dots").mkdir()
    assert [volume.name for volume in files.registry.owned("ada", "Storage")] == ["persistent"]
    for name in ("file", ".hidden", "two..dots", "..", ".", "", "a/b", "x\x00"):
        with pytest.raises(FileError) as error:
            files.volume(ADA, "Storage", "ada", name)
        assert kind(error) is Kind.MISSING


def test_a_volume_whose_directory_is_gone_is_not_shown_and_comes_back_with_it(
    files: Files, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files.create_volume(ADA, "Storage", "ada", "work", quiet=False)
    place = files.registry.path("Storage", "ada", "work")
    files.share(ADA, "Storage", "ada", "work", [{"name": "bob", "type": "USER", "allowedActions": ["read"]}])
    place.rename(tmp_path / "unmounted")
    for person in (ADA, BOB):
        with pytest.raises(FileError) as error:
            files.volume(person, "Storage", "ada", "work")
        assert kind(error) is Kind.MISSING
    assert not any(volume["owner"] == "ada" for volume in files.listing(BOB)["rootVolumes"][0]["userVolumes"])
    files.sweep()
    assert "volume Storage/ada/work has no directory" in caplog.text
    (tmp_path / "unmounted").rename(place)
    assert files.volume(BOB, "Storage", "ada", "work").actions == {Action.READ}


def test_a_default_volume_that_was_removed_is_made_anew_and_shared_with_nobody(files: Files) -> None:
    """The name may be another person's by now."""
    share(files, "read")
    shutil.rmtree(directory(files, mine(files)))
    assert mine(files).list(()) == []
    with pytest.raises(FileError) as error:
        files.volume(BOB, *V)
    assert kind(error) is Kind.MISSING


# -- access

RIGHTS: list[tuple[str, Any]] = [
    ("read", lambda volume: volume.list(())),
    ("read", lambda volume: volume.stat(("f",))),
    ("read", lambda volume: volume.open(("f",)).close()),
    ("read", lambda volume: list(volume.walk(()))),
    ("read", lambda volume: volume.search((), "*", 10)),
    ("read", lambda volume: volume.usage()),
    ("read", lambda volume: volume.properties_in((), deep=True)),
    ("write", lambda volume: put(volume, "new")),
    ("write", lambda volume: put(volume, "f", b"other")),
    ("write", lambda volume: volume.make_folder(("folder",))),
    ("write", lambda volume: volume.set_properties(("f",), {"n": "v"})),
    ("delete", lambda volume: volume.remove(("f",))),
    ("write delete", lambda volume: volume.move(("f",), ("g",))),
    ("read write", lambda volume: volume.copy(("f",), volume, ("g",), overwrite=True)),
    ("write delete", lambda volume: volume.move_to(("f",), volume, ("g",), overwrite=True)),
]


@pytest.mark.parametrize("actions", ["read", "write", "delete", "grant", "read write", "read delete", "write delete"])
def test_each_action_needs_its_right_and_no_other(files: Files, actions: str) -> None:
    share(files, *actions.split())
    for needed, act in RIGHTS:
        put(mine(files), "f")
        volume = files.volume(BOB, *V)
        if set(needed.split()) <= set(actions.split()):
            act(volume)
        else:
            with pytest.raises(FileError, match=r"You may not .* Ask ada") as error:
                act(volume)
            assert kind(error) is Kind.FORBIDDEN
            assert get(mine(files), "f") == b"hello"


def test_who_may_not_know_of_a_volume_hears_the_same_as_if_there_were_none(files: Files) -> None:
    heard = set()
    for name in ("persistent", "nothing"):
        for act in (
            lambda name=name: files.volume(EVE, "Storage", "ada", name),
            lambda name=name: files.volume(EVE, "Storage", "ada", name, Action.WRITE),
            lambda name=name: files.volume_info(EVE, "Storage", "ada", name),
            lambda name=name: files.delete_volume(EVE, "Storage", "ada", name, quiet=False),
            lambda name=name: files.share(EVE, "Storage", "ada", name, []),
            lambda name=name: files.describe_volume(EVE, "Storage", "ada", name, "x"),
            lambda name=name: files.service_path(EVE, ("Storage", "ada", name, "f")),
        ):
            with pytest.raises(FileError) as error:
                act()
            assert kind(error) is Kind.MISSING
            heard.add(str(error.value).replace(name, "NAME"))
    assert len(heard) == 1
    files.delete_volume(EVE, *V, quiet=True)
    assert mine(files)


def test_administrators_of_the_hub_have_no_rights_to_files(files: Files) -> None:
    with pytest.raises(FileError) as error:
        files.volume(Person("root", frozenset(), is_admin=True), *V)
    assert kind(error) is Kind.MISSING


def test_a_group_shares_its_rights_with_its_members_only(files: Files) -> None:
    share(files, "read", "write", name="astro", to="GROUP")
    share(files, "delete", name="bob")
    assert files.volume(BOB, *V).actions == {Action.READ, Action.WRITE, Action.DELETE}
    assert files.volume(Person("carl", frozenset({"astro"})), *V).actions == {Action.READ, Action.WRITE}
    with pytest.raises(FileError):
        files.volume(Person("astro", frozenset({"Astro"})), *V)
    with pytest.raises(FileError):
        files.volume(Person("bob", frozenset()), *V, Action.WRITE)


def test_shared_volumes_are_in_the_list_of_those_who_may_use_them(files: Files) -> None:
    share(files, "read")
    (storage, _) = files.listing(BOB)["rootVolumes"]
    shared = [volume for volume in storage["userVolumes"] if volume["owner"] == "ada"]
    assert [volume["allowedActions"] for volume in shared] == [["read"]]
    assert shared[0]["sharedWith"] == []  # whom else it is shared with is not theirs to know
    (own,) = files.listing(ADA)["rootVolumes"][0]["userVolumes"]
    (entry,) = own["sharedWith"]
    assert isinstance(entry.pop("id"), str)
    assert entry == {"name": "bob", "type": "USER", "allowedActions": ["read"]}
    assert not any(volume["owner"] == "ada" for volume in files.listing(EVE)["rootVolumes"][0]["userVolumes"])


def test_a_share_ends_at_once(files: Files) -> None:
    share(files, "read")
    volume = files.volume(BOB, *V)
    share(files)
    with pytest.raises(FileError):
        files.volume(BOB, *V)
    assert volume.actions  # who has it in hands may finish


def test_who_may_share_gives_and_takes_only_what_they_may_do(files: Files) -> None:
    share(files, "read", "grant")
    share(files, "write", name="carl")
    share(files, "read", name="eve", person=BOB)
    assert files.volume(EVE, *V).actions == {Action.READ}
    for actions, name in ((["write"], "eve"), (["delete", "read"], "bob"), ([], "carl"), (["read"], "carl")):
        with pytest.raises(FileError, match="only what you may do yourself") as error:
            share(files, *actions, name=name, person=BOB)
        assert kind(error) is Kind.FORBIDDEN
    with pytest.raises(FileError) as error:
        share(files, "read", name="dora", person=EVE)
    assert kind(error) is Kind.FORBIDDEN
    share(files, name="bob", person=BOB)  # one may leave
    with pytest.raises(FileError):
        files.volume(BOB, *V)


@pytest.mark.parametrize(
    "items",
    [
        None,
        {},
        "bob",
        [None],
        [{}],
        [{"name": "bob"}],
        [{"name": "bob", "allowedActions": "read"}],
        [{"name": "bob", "allowedActions": ["fly"]}],
        [{"name": "bob", "allowedActions": [1]}],
        [{"name": "bob", "type": "ROBOT", "allowedActions": ["read"]}],
        [{"name": "bob", "type": [], "allowedActions": ["read"]}],
        [{"name": 7, "allowedActions": ["read"]}],
        [{"name": "../x", "allowedActions": ["read"]}],
        [{"name": "", "allowedActions": ["read"]}],
        [{"name": "x" * 300, "type": "GROUP", "allowedActions": ["read"]}],
        [{"name": "two\nlines", "type": "GROUP", "allowedActions": ["read"]}],
        [{"name": "ada", "allowedActions": ["read"]}],
        [{"name": "bob", "allowedActions": ["read"]}, {"name": "eve", "allowedActions": ["fly"]}],
    ],
    ids=repr,
)
def test_sharing_nonsense_is_refused_and_changes_nothing(files: Files, items: object) -> None:
    with pytest.raises(FileError) as error:
        files.share(ADA, *V, items)
    assert kind(error) is Kind.NAME
    assert files.volume_info(ADA, *V)["sharedWith"] == []


def test_sharing_takes_the_contracts_words_in_any_case_and_user_as_the_type_that_is_meant(files: Files) -> None:
    files.share(ADA, *V, [{"name": "bob", "allowedActions": ["Read", "write", "read"]}])
    files.share(ADA, *V, [])
    assert files.volume(BOB, *V).actions == {Action.READ, Action.WRITE}


# -- changes


def test_volumes_are_made_once(files: Files) -> None:
    files.create_volume(ADA, "Storage", "ada", "work", quiet=False, description="What I do")
    with pytest.raises(FileError, match="already") as error:
        files.create_volume(ADA, "Storage", "ada", "work", quiet=False)
    assert kind(error) is Kind.EXISTS
    files.create_volume(ADA, "Storage", "ada", "work", quiet=True, description="Something else")
    assert files.volume_info(ADA, "Storage", "ada", "work")["description"] == "What I do"


@pytest.mark.parametrize("name", ["..", ".x", "a b", "a/b", "ü", "x" * 64, "x\n", "-x", "", "a..b", ".~sciserver-1"])
def test_names_that_no_directory_can_have_are_refused(files: Files, name: str) -> None:
    with pytest.raises(FileError) as error:
        files.create_volume(ADA, "Storage", "ada", name, quiet=True)
    assert kind(error) is Kind.NAME
    with pytest.raises(FileError) as error:
        files.describe_volume(ADA, *V, new_name=name)
    assert kind(error) is Kind.NAME
    assert mine(files)


def test_volumes_are_made_only_where_people_may_make_them(files: Files) -> None:
    for person, root, owner, expected in (
        (ADA, "Nowhere", "ada", Kind.MISSING),
        (ADA, "SciDrive", "ada", Kind.MISSING),
        (ADA, "Storage", "bob", Kind.FORBIDDEN),
    ):
        with pytest.raises(FileError) as error:
            files.create_volume(person, root, owner, "v", quiet=True)
        assert kind(error) is expected


def test_the_operator_can_keep_a_root_volume_closed(tmp_path: Path) -> None:
    files = make(tmp_path, {"Storage": {"users_create": False, "default_volumes": ["home"]}})
    files.create_volume(ADA, "Storage", "ada", "home", quiet=False)
    with pytest.raises(FileError, match="made by the operators") as error:
        files.create_volume(ADA, "Storage", "ada", "more", quiet=True)
    assert kind(error) is Kind.FORBIDDEN
    assert files.listing(ADA)["rootVolumes"][0]["allowedActions"] == []
    stop(files)


def test_a_volume_of_an_old_name_has_no_old_shares(files: Files) -> None:
    files.create_volume(ADA, "Storage", "ada", "work", quiet=False)
    files.share(ADA, "Storage", "ada", "work", [{"name": "bob", "allowedActions": ["read"]}])
    before = files.volume_info(ADA, "Storage", "ada", "work")
    volume = files.volume(ADA, "Storage", "ada", "work")
    put(volume, "f")
    volume.set_properties(("f",), {"n": "v"})
    link, _ = files.make_link(ADA, volume, ("f",), 3600)
    files.delete_volume(ADA, "Storage", "ada", "work", quiet=False)
    files.delete_volume(ADA, "Storage", "ada", "work", quiet=True)
    with pytest.raises(FileError) as error:
        files.delete_volume(ADA, "Storage", "ada", "work", quiet=False)
    assert kind(error) is Kind.MISSING
    assert not list(files.registry.path(*V).parent.glob(".~*"))
    files.create_volume(ADA, "Storage", "ada", "work", quiet=False)
    after = files.volume_info(ADA, "Storage", "ada", "work")
    assert after["resourceUUID"] != before["resourceUUID"]
    assert after["sharedWith"] == []
    with pytest.raises(FileError):
        files.volume(BOB, "Storage", "ada", "work")
    volume = files.volume(ADA, "Storage", "ada", "work")
    put(volume, "f")
    assert volume.properties_in(("f",), deep=False) == {}
    with pytest.raises(FileError, match="link"):
        files.open_link(link)


def test_only_the_owner_removes_renames_and_describes(files: Files) -> None:
    share(files, "read", "write", "delete", "grant")
    for act in (
        lambda: files.delete_volume(BOB, *V, quiet=True),
        lambda: files.describe_volume(BOB, *V, new_name="x"),
        lambda: files.describe_volume(BOB, *V, description="x"),
    ):
        with pytest.raises(FileError, match="Only its owner, ada") as error:
            act()
        assert kind(error) is Kind.FORBIDDEN


def test_a_volume_keeps_everything_under_another_name(files: Files) -> None:
    files.create_volume(ADA, "Storage", "ada", "work", quiet=False)
    files.create_volume(ADA, "Storage", "ada", "other", quiet=False)
    files.share(ADA, "Storage", "ada", "work", [{"name": "bob", "allowedActions": ["read"]}])
    volume = files.volume(ADA, "Storage", "ada", "work")
    put(volume, "f")
    volume.set_properties(("f",), {"n": "v"})
    link, _ = files.make_link(ADA, volume, ("f",), 3600)
    with pytest.raises(FileError) as error:
        files.describe_volume(ADA, "Storage", "ada", "work", new_name="other")
    assert kind(error) is Kind.EXISTS
    files.describe_volume(ADA, "Storage", "ada", "work", new_name="play", description="Not work")
    info = files.volume_info(BOB, "Storage", "ada", "play")
    assert info["description"] == "Not work"
    opened, path = files.open_link(link)
    assert get(opened, "/".join(path)) == b"hello"
    assert files.volume(ADA, "Storage", "ada", "play").properties_in(("f",), deep=False) == {("f",): {"n": "v"}}
    with pytest.raises(FileError):
        files.volume(ADA, "Storage", "ada", "work")
    files.create_volume(ADA, "Storage", "ada", "work", quiet=False)
    with pytest.raises(FileError):
        files.volume(BOB, "Storage", "ada", "work")


def test_scidrive_stays(files: Files) -> None:
    put(files.drive(ADA), "f")
    for act in (
        lambda: files.delete_volume(ADA, "SciDrive", "ada", "", quiet=True),
        lambda: files.describe_volume(ADA, "SciDrive", "ada", "", new_name="x"),
    ):
        with pytest.raises(FileError) as error:
            act()
        assert kind(error) is Kind.FORBIDDEN
    assert names(files.drive(ADA)) == ["f"]


def test_what_a_killed_service_left_of_a_removed_volume_goes_later(files: Files) -> None:
    left = files.registry.path(*V).with_name(".~sciserver-0123456789abcdef")
    (left / "deep" / "er").mkdir(parents=True)
    drive = files.registry.path("SciDrive", ".~sciserver-0123456789abcdef", "")
    drive.mkdir(parents=True)
    put(mine(files), "f")
    files.sweep()
    assert not left.exists()
    assert not drive.exists()
    assert names(mine(files)) == ["f"]


def test_a_user_who_is_gone_is_set_aside_before_another_gets_the_name(files: Files) -> None:
    put(mine(files), "diary")
    put(files.drive(ADA), "secret")
    share(files, "read")
    files.listing(BOB)
    files.share(BOB, "Storage", "bob", "persistent", [{"name": "ada", "allowedActions": ["read"]}])
    assert files.volume(ADA, "Storage", "bob", "persistent")
    aside = files.forget("ada")
    assert sorted(path.parent.name for path in aside) == ["SciDrive", "Storage", "Temporary"]
    assert sum((path / "persistent" / "diary").exists() for path in aside) == 1
    for volume in (mine(files), files.drive(ADA)):
        assert volume.list(()) == []
    with pytest.raises(FileError):
        files.volume(ADA, "Storage", "bob", "persistent")
    with pytest.raises(FileError):
        files.volume(BOB, *V)


def test_volumes_come_and_go_while_others_look(files: Files) -> None:
    wrong: list[BaseException] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                files.listing(ADA)
                files.listing(BOB)
                files.usage(ADA)
                volume = files.volume(BOB, "Storage", "ada", "work")
                volume.list(())
            except FileError as error:
                if error.kind is not Kind.MISSING:
                    wrong.append(error)
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        files.create_volume(ADA, "Storage", "ada", "work", quiet=False)
        with pytest.raises(FileError):
            files.volume(BOB, "Storage", "ada", "work")  # of the one before
        files.share(ADA, "Storage", "ada", "work", [{"name": "bob", "allowedActions": ["read"]}])
        assert files.volume(BOB, "Storage", "ada", "work").list(()) == []
        put(files.volume(ADA, "Storage", "ada", "work"), "f")
        files.delete_volume(ADA, "Storage", "ada", "work", quiet=False)
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_one_of_many_makes_a_volume(files: Files) -> None:
    def create(_: int) -> bool:
        try:
            files.create_volume(ADA, "Storage", "ada", "race", quiet=False)
        except FileError as error:
            return error.kind is not Kind.EXISTS
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 1


# -- paths, data volumes, mounts


def test_paths_of_the_file_service_begin_with_a_volume(files: Files, tmp_path: Path) -> None:
    (tmp_path / "data" / "sdss").mkdir(mode=0o755)
    (tmp_path / "data" / "sdss" / "f").write_text("stars")

    def found(*path: str) -> tuple[str, str, str, tuple[str, ...]]:
        volume, rest = files.service_path(ADA, path)
        return volume.root, volume.owner, volume.name, rest

    assert found("Storage", "ada", "persistent", "a", "b") == ("Storage", "ada", "persistent", ("a", "b"))
    assert found("Storage", "ada", "persistent") == ("Storage", "ada", "persistent", ())
    assert found("SciDrive", "ada", "a") == ("SciDrive", "ada", "", ("a",))
    assert found("sdss", "f") == ("", "", "sdss", ("f",))
    for path in ((), ("Storage",), ("Storage", "ada"), ("SciDrive",)):
        with pytest.raises(FileError) as error:
            files.service_path(ADA, path)
        assert kind(error) is Kind.NAME
    for path in (
        ("storage", "ada", "persistent"),
        ("nothing", "f"),
        ("..",),
        ("SciDrive", "bob"),
        ("Temporary", "a", "b"),
    ):
        with pytest.raises(FileError) as error:
            files.service_path(ADA, path)
        assert kind(error) is Kind.MISSING


def test_data_volumes_are_for_everybody_to_read(files: Files, tmp_path: Path) -> None:
    for name in ("sdss", ".hidden", "Storage", "two..dots"):
        (tmp_path / "data" / name).mkdir(mode=0o755)
    (tmp_path / "data" / "file").write_text("")
    (tmp_path / "data" / "sdss" / "f").write_text("stars")
    (volume,) = files.listing(EVE)["dataVolumes"]
    assert (volume["name"], volume["displayName"], volume["allowedActions"]) == ("sdss", "sdss", ["read"])
    data = files.data_volume(EVE, "sdss")
    assert get(data, "f") == b"stars"
    for act in (
        lambda: put(data, "g"),
        lambda: data.make_folder(("g",)),
        lambda: data.remove(("f",)),
        lambda: data.move(("f",), ("g",)),
        lambda: data.set_properties(("f",), {"n": "v"}),
        lambda: mine(files).copy(("x",), data, ("g",), overwrite=True),
        lambda: data.move_to(("f",), mine(files), ("g",), overwrite=True),
        lambda: files.service_path(EVE, ("sdss", "f"), Action.WRITE),
        lambda: files.make_link(EVE, data, ("f",), 60),
    ):
        with pytest.raises(FileError) as error:
            act()
        assert kind(error) is Kind.FORBIDDEN
    assert names(data) == ["f"]
    assert data.copy(("f",), mine(files), ("g",), overwrite=False).size == 5


def test_what_is_said_of_data_volumes(tmp_path: Path) -> None:
    files = make(tmp_path, data_volumes={"sdss": {"displayName": "SDSS", "url": "https://sdss.org"}})
    (tmp_path / "data" / "sdss").mkdir()
    (volume,) = files.listing(ADA)["dataVolumes"]
    assert (volume["displayName"], volume["url"], volume["description"]) == ("SDSS", "https://sdss.org", "")
    stop(files)


def test_containers_get_what_their_user_may_use(files: Files) -> None:
    share(files, "read")
    files.listing(EVE)
    files.share(
        EVE, "Storage", "eve", "persistent", [{"name": "astro", "type": "GROUP", "allowedActions": ["read", "write"]}]
    )
    files.share(EVE, "Temporary", "eve", "scratch", [{"name": "bob", "allowedActions": ["write", "grant"]}])
    found = [(mount.path, mount.mode) for mount in files.mounts("bob", ["astro", "x"])]
    assert found == [
        ("Storage/bob/persistent", "rw"),
        ("Temporary/bob/scratch", "rw"),
        ("SciDrive/bob", "rw"),
        ("Storage/ada/persistent", "ro"),
        ("Storage/eve/persistent", "rw"),
    ]
    assert all((files.registry.directory / path).is_dir() for path, _ in found)
    assert [mount.path for mount in files.mounts("bob", []) if mount.owner == "eve"] == []


def test_the_same_storage_after_a_restart(files: Files, tmp_path: Path) -> None:
    put(mine(files), "f")
    share(files, "read")
    again = make(tmp_path)
    assert get(again.volume(BOB, *V), "f") == b"hello"
    assert again.volume_info(ADA, *V) == files.volume_info(ADA, *V)
    stop(again)


def test_what_others_change_in_the_database_is_seen_soon(files: Files, tmp_path: Path) -> None:
    again = make(tmp_path)
    again.registry._seconds = 0.0
    with pytest.raises(FileError):
        again.volume(BOB, *V)
    share(files, "read")
    assert again.volume(BOB, *V)
    stop(again)


# -- settings


def test_the_default_settings_can_be_used() -> None:
    found = policies(DEFAULTS)
    assert found["Storage"].user_bytes == 10_000_000_000
    assert found["Temporary"].expires_after is not None
    assert not found["SciDrive"].users_create


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"A": {"colour": "blue"}}, "no such setting: colour"),
        ({"../x": {}}, "cannot be the name"),
        ({"A": {"default_volumes": ["a/b"]}}, "cannot be the name"),
        ({"A": {"user_bytes": -1}}, "user_bytes is a whole number"),
        ({"A": {"user_bytes": 1.5}}, "user_bytes is a whole number"),
        ({"A": {"volume_files": True}}, "volume_files is a whole number"),
        ({"A": {"expires_after": "soon"}}, "expires_after is a number"),
        ({"A": {"expires_after": 10}}, "make warn_before smaller"),
        ({"SciDrive": {"default_volumes": ["x"]}}, "one volume for each user"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_in_words(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        policies(settings)


def test_a_volume_in_hands_says_what_it_is(files: Files) -> None:
    volume: OpenVolume = mine(files)
    assert (volume.root, volume.owner, volume.name, volume.person) == (*V, ADA)
    files.check()
