"""How much people may store: exactly, at every door, whoever writes at the same time."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from scidrive_service.errors import FileError, Kind
from scidrive_service.files import Files, OpenVolume
from scidrive_service.tree import Usage
from tests.scidrive.files_support import ADA, BOB, directory, get, kind, make, mine, names, put, stop

LIMITED = {"user_bytes": 1000, "user_files": 20, "default_volumes": ["persistent"]}


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Callable[..., Files]]:
    """Files of a deployment whose Storage has limits."""
    made: list[Files] = []

    def build(**limits: Any) -> Files:
        roots = {"Storage": {"default_volumes": ["persistent"], **limits}, "Other": {"default_volumes": ["o"]}}
        made.append(make(tmp_path, roots | {"SciDrive": {"user_bytes": 1000}}))
        made[-1].listing(ADA)
        return made[-1]

    yield build
    for files in made:
        stop(files)


def full(act: Callable[[], object]) -> str:
    with pytest.raises(FileError) as error:
        act()
    assert kind(error) is Kind.FULL
    return str(error.value)


def counted(volume: OpenVolume) -> Usage:
    """What is counted, after making sure that it is what there is, and that nothing is reserved."""
    account = volume.counted
    count = account.quotas._counts[account.volume.id]
    assert (count.taken_bytes, count.taken_files, count.finishing) == (0, 0, 0)
    assert volume.usage() == volume.tree.usage()
    return volume.usage()


def test_a_file_fits_to_the_byte(limited: Callable[..., Files]) -> None:
    volume = mine(limited(user_bytes=1000))
    put(volume, "a", b"x" * 600)
    text = full(lambda: put(volume, "b", b"x" * 401))
    assert text.startswith("All volumes of ada in Storage may hold 1,000 bytes; 600 are taken, 401 more do not fit.")
    assert names(volume) == ["a"]
    put(volume, "b", b"x" * 400)
    full(lambda: put(volume, "c", b"x"))
    put(volume, "empty", b"")
    assert counted(volume) == Usage(1000, 3)


def test_what_does_not_fit_is_refused_before_it_is_sent(limited: Callable[..., Files]) -> None:
    volume = mine(limited(user_bytes=1000))
    full(lambda: volume.create(("a",), size=1001))
    writer = volume.create(("a",), size=1000)
    full(lambda: volume.create(("b",), size=1))  # reserved, though nothing has come yet
    writer.abort()
    put(volume, "b", b"x" * 1000)


def test_an_upload_longer_than_it_said_is_stopped_in_its_middle(limited: Callable[..., Files]) -> None:
    volume = mine(limited(user_bytes=1000))
    writer = volume.create(("a",), size=10)
    for _ in range(100):
        writer.write(b"x" * 10)
    full(lambda: writer.write(b"x"))
    assert names(volume) == []
    assert counted(volume) == Usage(0, 0)
    assert names(volume) == []


def test_replacing_a_file_needs_room_for_the_difference_only(limited: Callable[..., Files]) -> None:
    volume = mine(limited(user_bytes=1000, user_files=1))
    put(volume, "a", b"x" * 900)
    put(volume, "a", b"y" * 1000)
    assert counted(volume) == Usage(1000, 1)
    full(lambda: put(volume, "a", b"z" * 1001))
    assert get(volume, "a") == b"y" * 1000
    put(volume, "a", b"small")
    assert counted(volume) == Usage(5, 1)
    full(lambda: put(volume, "b", b""))


def test_two_who_replace_one_file_cannot_overrun_together(limited: Callable[..., Files]) -> None:
    volume = mine(limited(user_bytes=1000))
    put(volume, "a", b"x" * 900)
    large, small = volume.create(("a",)), volume.create(("a",))
    large.write(b"y" * 1000)  # the room of the old file is credited to both
    small.write(b"z" * 100)
    small.commit()
    put(volume, "b", b"x" * 800)
    full(large.commit)
    large.abort()
    assert get(volume, "a") == b"z" * 100
    assert counted(volume) == Usage(900, 2)


def test_a_replaced_link_or_second_name_gives_back_what_it_held(limited: Callable[..., Files]) -> None:
    files = limited(user_bytes=1000)
    volume = mine(files)
    put(volume, "a", b"x" * 900)
    here = directory(files, volume)
    (here / "link").symlink_to("a")
    os.link(here / "a", here / "second")
    files.quotas.unclear(volume.counted.volume)
    assert counted(volume) == Usage(900, 2)
    full(lambda: put(volume, "link", b"x" * 101))
    full(lambda: put(volume, "second", b"x" * 101))
    put(volume, "link", b"x" * 50)
    put(volume, "second", b"x" * 50)
    assert counted(volume) == Usage(1000, 3)
    os.link(here / "a", here / "third")
    volume.remove(("third",))
    assert counted(volume) == Usage(1000, 3)
    volume.remove(("a",))
    assert counted(volume) == Usage(100, 2)


def test_folders_count_as_files(limited: Callable[..., Files]) -> None:
    volume = mine(limited(user_files=5))
    put(volume, "a/b/c", b"")
    assert counted(volume) == Usage(0, 3)
    full(lambda: put(volume, "d/e/f", b""))
    assert volume.make_folder(("d", "e"))
    assert not volume.make_folder(("d", "e"))
    full(lambda: volume.make_folder(("f",)))
    full(lambda: put(volume, "a/c", b""))
    full(lambda: volume.move(("a", "b", "c"), ("x", "c")))
    assert counted(volume) == Usage(0, 5)
    volume.remove(("a",))
    put(volume, "x/y/z", b"")
    assert counted(volume) == Usage(0, 5)


def test_volumes_of_a_user_are_counted_together_and_those_of_others_are_not(limited: Callable[..., Files]) -> None:
    files = limited(user_bytes=1000)
    files.create_volume(ADA, "Storage", "ada", "two", quiet=False)
    one, two = mine(files), mine(files, name="two")
    put(one, "a", b"x" * 600)
    full(lambda: put(two, "a", b"x" * 401))
    put(two, "a", b"x" * 400)
    files.listing(BOB)
    put(mine(files, BOB), "a", b"x" * 1000)
    put(mine(files, root="Other", name="o"), "a", b"x" * 5000)
    put(files.drive(ADA), "a", b"x" * 1000)
    full(lambda: put(files.drive(ADA), "b", b"x"))
    files.delete_volume(ADA, "Storage", "ada", "two", quiet=False)
    put(one, "b", b"x" * 400)


def test_each_volume_can_have_a_limit_of_its_own(limited: Callable[..., Files]) -> None:
    files = limited(volume_bytes=1000, volume_files=2, user_bytes=1500)
    files.create_volume(ADA, "Storage", "ada", "two", quiet=False)
    one, two = mine(files), mine(files, name="two")
    assert full(lambda: put(one, "a", b"x" * 1001)).startswith("The volume Storage/persistent may hold 1,000 bytes")
    put(one, "a", b"x" * 1000)
    assert full(lambda: put(two, "a", b"x" * 501)).startswith("All volumes of ada in Storage may hold 1,500 bytes")
    put(two, "a", b"x" * 500)
    put(two, "b", b"")
    assert full(lambda: put(two, "c", b"")).startswith("The volume Storage/two may hold 2 files")


def test_whoever_writes_to_a_shared_volume_uses_its_owners_room(limited: Callable[..., Files]) -> None:
    files = limited(user_bytes=1000)
    files.share(ADA, "Storage", "ada", "persistent", [{"name": "bob", "allowedActions": ["write"]}])
    volume = files.volume(BOB, "Storage", "ada", "persistent")
    put(volume, "a", b"x" * 1000)
    full(lambda: put(mine(files), "b", b"x"))
    assert "ada" in full(lambda: put(volume, "b", b"x"))


def test_what_containers_remove_is_free_at_once_and_what_they_write_counts(limited: Callable[..., Files]) -> None:
    files = limited(user_bytes=1000)
    volume = mine(files)
    put(volume, "a", b"x" * 1000)
    (directory(files, volume) / "a").unlink()
    put(volume, "b", b"x" * 500)
    (directory(files, volume) / "c").write_bytes(b"x" * 400)
    put(volume, "d", b"x" * 10)  # by a count that is not old
    files.quotas.unclear(volume.counted.volume)
    assert counted(volume) == Usage(910, 3)
    full(lambda: put(volume, "e", b"x" * 91))


def test_a_count_is_made_anew_when_it_is_old(tmp_path: Path) -> None:
    files = make(tmp_path, {"Storage": LIMITED}, count_seconds=0.05)
    files.listing(ADA)
    volume = mine(files)
    put(volume, "a", b"x" * 10)
    (directory(files, volume) / "b").write_bytes(b"x" * 900)
    deadline = time.monotonic() + 10
    with contextlib.suppress(FileError):
        while time.monotonic() < deadline:  # the first writes may go by the old count, which is renewed meanwhile
            time.sleep(0.1)
            put(volume, "c", b"x" * 200)
            volume.remove(("c",))
    assert time.monotonic() < deadline
    assert volume.usage() == Usage(910, 2)
    stop(files)


def test_a_torn_or_forgotten_upload_gives_back_its_room(limited: Callable[..., Files]) -> None:
    volume = mine(limited(user_bytes=1000))
    put(volume, "a")
    for end in ("abort", "lose", "refuse", "exists"):
        if end == "refuse":

            def refuse(_: object) -> None:
                raise FileError("It has changed.", Kind.CHANGED)

            writer = volume.create(("a",), check=refuse)
        elif end == "exists":
            writer = volume.create(("b",), overwrite=False)
            writer.write(b"x" * 400)
            put(volume, "b", b"x")
        else:
            writer = volume.create(("a",), size=990)
        writer.write(b"x" * 100)
        if end == "abort":
            writer.abort()
            writer.abort()
        elif end == "lose":
            del writer
            gc.collect()
        else:
            with pytest.raises(FileError):
                writer.commit()
        volume.remove(("b",)) if end == "exists" else None
        assert counted(volume) == Usage(5, 1)
    for path, error in ((("a", "b"), Kind.NOT_A_FOLDER), (("x", "y"), Kind.MISSING)):
        with pytest.raises(FileError) as raised:
            volume.create(path, parents=False, size=100)
        assert kind(raised) is error
        assert counted(volume) == Usage(5, 1)


def test_many_who_write_at_once_cannot_overrun_together(limited: Callable[..., Files]) -> None:
    files = limited(user_bytes=100_000, user_files=60)
    files.create_volume(ADA, "Storage", "ada", "two", quiet=False)
    volumes = [mine(files), mine(files, name="two")]
    worst = [0]

    def write(number: int) -> int:
        choice = random.Random(number)
        size = choice.randrange(1, 9000)
        try:
            writer = volumes[number % 2].create((f"f{number}",), size=size if number % 3 else None)
            try:
                for _ in range(size // 500):
                    writer.write(b"x" * 500)
                writer.write(b"x" * (size % 500))
                if number % 7 == 0:
                    return 0
                writer.commit()
            finally:
                writer.abort()
        except FileError as error:
            if error.kind is not Kind.FULL:
                raise
            return 0
        worst[0] = max(worst[0], sum(volume.tree.usage().bytes for volume in volumes))
        return size

    with ThreadPoolExecutor(16) as pool:
        stored = list(pool.map(write, range(150)))
    assert worst[0] <= 100_000
    assert sum(counted(volume).bytes for volume in volumes) == sum(stored) > 80_000
    assert sum(counted(volume).files for volume in volumes) == sum(1 for size in stored if size) <= 60


def test_nobody_is_refused_as_long_as_all_fits(limited: Callable[..., Files]) -> None:
    """To the last byte and file, with folders that many make at once, and counts in between."""
    files = limited(user_bytes=50 * 100, user_files=50 + 3)
    volume = mine(files)

    def write(number: int) -> None:
        if number % 10 == 0:
            files.quotas.unclear(volume.counted.volume)
        put(volume, f"deep/er/folder/f{number}", b"x" * 100, size=100)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(write, range(50)))
    assert counted(volume) == Usage(5000, 53)
    full(lambda: put(volume, "one", b""))


def test_moves_and_copies_are_counted_where_they_end(limited: Callable[..., Files]) -> None:
    files = limited(user_bytes=1000, user_files=8)
    volume, other, drive = mine(files), mine(files, root="Other", name="o"), files.drive(ADA)
    put(volume, "a/b", b"x" * 400)
    put(volume, "a/c", b"x" * 100)
    volume.copy(("a",), volume, ("d",), overwrite=False)
    assert counted(volume) == Usage(1000, 6)
    full(lambda: volume.copy(("a",), volume, ("e",), overwrite=False))
    assert names(volume) == ["a", "d"]
    assert counted(volume) == Usage(1000, 6)
    volume.move_to(("d",), drive, ("d",), overwrite=False)
    assert (counted(volume), counted(drive)) == (Usage(500, 3), Usage(500, 3))
    drive.copy(("d",), other, ("x", "y"), overwrite=False)
    assert counted(other) == Usage(500, 4)
    volume.move(("a", "b"), ("a", "c"))
    assert counted(volume) == Usage(400, 2)
    volume.copy(("a",), drive, ("d",), overwrite=True)  # the old folder stays until the new one is there
    assert counted(drive) == Usage(400, 2)
    full(lambda: other.copy(("x", "y"), volume, ("n", "m", "o", "p", "q"), overwrite=False))
    full(lambda: put(volume, "a/n1/n2/n3/n4/n5/n6/n7", b""))
    assert counted(volume) == Usage(400, 2)


def test_a_move_that_fails_counts_nothing(limited: Callable[..., Files]) -> None:
    volume = mine(limited(user_bytes=1000))
    put(volume, "a/b", b"x" * 400)
    put(volume, "c", b"x" * 100)
    for source, target in ((("a",), ("a", "b", "c")), (("x",), ("y",)), (("c",), ("a", "b"))):
        with pytest.raises(FileError):
            volume.move(source, target, overwrite=False)
        assert counted(volume) == Usage(500, 3)
    volume.move(("a",), ("a",))
    assert counted(volume) == Usage(500, 3)


def test_usage_is_what_there_is_and_what_may_be(limited: Callable[..., Files]) -> None:
    files = limited(user_bytes=1000, user_files=7, volume_bytes=900)
    put(mine(files), "a/b", b"x" * 400)
    rows = files.usage(ADA)
    person = next(row for row in rows if row["type"] == "PER_USER")
    assert person == {
        "type": "PER_USER",
        "rootVolumeId": 1,
        "rootVolumeName": "Storage",
        "username": "ada",
        "numberOfFilesUsed": 2,
        "numberOfFilesQuota": 7,
        "numberOfBytesUsed": 400,
        "numberOfBytesQuota": 1000,
        "enforced": "service only",
    }
    volume = next(row for row in rows if row["type"] == "PER_VOLUME")
    assert (volume["userVolumeName"], volume["numberOfBytesQuota"], volume["numberOfFilesQuota"]) == (
        "persistent",
        900,
        0,
    )
    assert isinstance(volume["userVolumeId"], int)
    assert mine(files).room() == (400, 500)
    assert files.drive_quota(ADA) == (0, 1000)
    used, left = mine(files, root="Other", name="o").room()
    assert used == 0
    assert left is not None
    assert left > 10**6  # the disk's


def test_more_than_the_disk_has_is_refused_before_it_is_sent(limited: Callable[..., Files]) -> None:
    volume = mine(limited(), root="Other", name="o")
    assert "disk" in full(lambda: volume.create(("a",), size=1 << 60))


KILLED = """
import sys
from pathlib import Path
from tests.scidrive.files_support import ADA, make, mine
files = make(Path(sys.argv[1]), {"Storage": {"user_bytes": 1000, "default_volumes": ["persistent"]}})
files.listing(ADA)
writer = mine(files).create(("a",), size=900)
writer.write(b"x" * 500)
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_service_that_is_killed_takes_no_room_with_it(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.kill()
    child.wait()
    files = make(tmp_path, {"Storage": {"user_bytes": 1000, "default_volumes": ["persistent"]}})
    put(mine(files), "a", b"x" * 1000)
    assert counted(mine(files)) == Usage(1000, 1)
    stop(files)


class Counting(RuleBasedStateMachine):
    """Whatever doors and containers do, what is counted is what there is, and no door passes the limit."""

    made = 0
    home: Path
    paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple)
    which = st.integers(0, 2)

    def __init__(self) -> None:
        super().__init__()
        Counting.made += 1
        roots = {"Storage": LIMITED, "SciDrive": {}}
        self.files = make(self.home / str(Counting.made), roots, count_seconds=3600)
        self.files.listing(ADA)
        self.files.create_volume(ADA, "Storage", "ada", "two", quiet=False)
        self.volumes = [mine(self.files), mine(self.files, name="two"), self.files.drive(ADA)]

    def teardown(self) -> None:
        stop(self.files)

    @rule(which=which, path=paths, size=st.integers(0, 500), says=st.booleans(), ends=st.booleans())
    def write(self, which: int, path: tuple[str, ...], size: int, says: bool, ends: bool) -> None:
        with contextlib.suppress(FileError):
            writer = self.volumes[which].create(path, size=size if says else None)
            writer.write(b"x" * size)
            writer.commit() if ends else writer.abort()

    @rule(which=which, path=paths)
    def make_folder(self, which: int, path: tuple[str, ...]) -> None:
        with contextlib.suppress(FileError):
            self.volumes[which].make_folder(path)

    @rule(which=which, path=paths)
    def remove(self, which: int, path: tuple[str, ...]) -> None:
        with contextlib.suppress(FileError):
            self.volumes[which].remove(path)

    @rule(which=which, to=which, path=paths, goal=paths, overwrite=st.booleans(), moves=st.booleans())
    def transfer(
        self, which: int, to: int, path: tuple[str, ...], goal: tuple[str, ...], overwrite: bool, moves: bool
    ) -> None:
        volume = self.volumes[which]
        with contextlib.suppress(FileError):
            (volume.move_to if moves else volume.copy)(path, self.volumes[to], goal, overwrite=overwrite)

    @rule(which=which, path=paths)
    def container_removes(self, which: int, path: tuple[str, ...]) -> None:
        volume = self.volumes[which]
        place = directory(self.files, volume).joinpath(*path)
        with contextlib.suppress(OSError):
            place.unlink()
            self.files.quotas.unclear(volume.counted.volume)

    @invariant()
    def counts_are_exact(self) -> None:
        for volume in self.volumes:
            self.files.quotas.used(volume.counted.volume)  # so that it has been counted at all
            assert counted(volume) == volume.tree.usage()
        total = [volume.usage() for volume in self.volumes[:2]]
        assert sum(usage.bytes for usage in total) <= 1000
        assert sum(usage.files for usage in total) <= 20


def test_counts_are_exact_whatever_happens(tmp_path: Path) -> None:
    Counting.home = tmp_path
    run_state_machine_as_test(
        Counting,
        settings=settings(
            max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_large_volumes_are_not_walked_for_every_refusal(limited: Callable[..., Files]) -> None:
    files = limited(user_files=5)
    volume = mine(files)
    for number in range(5):
        put(volume, str(number), b"")
    walks = []
    walk = files.quotas._walk

    def slow(row: Any) -> Usage:
        walks.append(row)
        time.sleep(0.3)
        return walk(row)

    files.quotas._walk = slow
    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda n: full(lambda: put(volume, f"x{n}", b"")), range(12)))
    assert time.monotonic() - started < 4
    assert len(walks) <= 6


def test_threads_that_count_see_no_half_counts(limited: Callable[..., Files]) -> None:
    files = limited()
    volume = mine(files)
    done = threading.Event()
    seen = []

    def count() -> None:
        while not done.is_set():
            files.quotas.unclear(volume.counted.volume)
            seen.append(volume.usage().files)

    thread = threading.Thread(target=count)
    thread.start()
    for number in range(100):
        put(volume, f"f{number}", b"x")
    done.set()
    thread.join()
    assert max(seen) <= 101
    files.quotas.unclear(volume.counted.volume)
    assert counted(volume) == Usage(100, 100)
