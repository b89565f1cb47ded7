"""Full disks, killed processes, file systems that can do less: nothing torn, nothing lost, nothing left in sight."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from scidrive_service import kernel, local_remove, local_write
from scidrive_service.errors import FileError, Kind
from scidrive_service.local import LocalTree
from tests.scidrive.local_support import ACCOUNT, IS_ROOT, directory, get, listed, open_files, own, put, tree, visible

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A volume on a file system of 2 MiB and 100 files."""
    if not IS_ROOT:
        pytest.skip("needs root, to mount")
    root = directory(tmp_path, "small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=2m,nr_inodes=100,uid={ACCOUNT}", "small", root], check=True)
    try:
        yield root
    finally:
        subprocess.run(["umount", "-l", root], check=True)


def test_a_full_disk(small: Path) -> None:
    files = tree(small)
    put(files, "a", b"old")
    before = open_files()
    writer = files.create(("a",))
    with pytest.raises(FileError) as caught:
        deque(writer.write(b"x" * 100_000) for _ in range(100))
    assert caught.value.kind is Kind.FULL
    assert "Remove files" in caught.value.message
    writer.abort()
    assert open_files() == before
    assert get(files, "a") == b"old"
    assert visible(small) == ["a"]
    put(files, "b", b"x" * 1_900_000)  # all of the room is there again
    for act in (lambda: put(files, "c", b"x" * 500_000), lambda: put(files, "a", b"x" * 500_000)):
        with pytest.raises(FileError) as caught:
            act()
        assert caught.value.kind is Kind.FULL
    assert get(files, "a") == b"old"
    assert visible(small) == ["a", "b"]
    files.remove(("b",))
    put(files, "c", b"x" * 1_900_000)


def test_no_room_for_more_files(small: Path) -> None:
    files = tree(small)
    for act in (lambda number: put(files, f"folder-{number}/a"), lambda number: files.make_folder(("x", str(number)))):
        with pytest.raises(FileError) as caught:
            deque(map(act, range(200)))
        assert caught.value.kind is Kind.FULL
    assert not [name for name in visible(small) if "sciserver" in name]
    for name in listed(files):
        files.remove((name,))
    assert visible(small) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_removing_from_a_full_disk(fast_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Where not even another name has room."""
    root = directory(fast_path)
    files = tree(root)
    for name in ("a/b/c/d", "a/b/e", "a/f", "g"):
        put(files, name)
    real = os.rename

    def rename(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(local_remove.os, "rename", rename)
    files.remove(("a",))
    monkeypatch.setattr(local_remove.os, "rename", real)
    assert visible(root) == ["g"]


@pytest.fixture
def poor(fast_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A volume on a file system without O_TMPFILE, flags of renameat2 and attributes, as NFS is one."""

    def no_unnamed(folder: int) -> int:
        raise OSError(errno.EOPNOTSUPP, "")

    real = kernel.rename

    def rename(source: int, name: bytes, target: int, new_name: bytes, flags: int = 0) -> None:
        if flags:
            raise OSError(errno.EINVAL, "")
        real(source, name, target, new_name)

    def no_attribute(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "")

    monkeypatch.setattr(kernel, "open_unnamed", no_unnamed)
    monkeypatch.setattr(kernel, "rename", rename)
    monkeypatch.setattr(os, "setxattr", no_attribute)
    monkeypatch.setattr(os, "getxattr", no_attribute)
    return directory(fast_path)


def test_a_file_system_that_can_do_less(poor: Path) -> None:
    files = tree(poor)
    first = put(files, "a/b", b"one")
    second = put(files, "a/b", b"two")
    assert first.etag
    assert first.etag != second.etag == files.stat(("a", "b")).etag
    put(files, "new", b"3", overwrite=False)
    with pytest.raises(FileError) as caught:
        put(files, "new", overwrite=False)
    assert caught.value.kind is Kind.EXISTS
    writer = files.create(("late",), overwrite=False)
    put(files, "late", b"theirs")
    with pytest.raises(FileError) as caught:
        writer.commit()
    assert caught.value.kind is Kind.EXISTS
    assert get(files, "late") == b"theirs"
    writer = files.create(("c",))
    writer.write(b"x")
    assert listed(files) == ["a", "late", "new"]
    assert len(visible(poor)) == 5  # hidden, but a container sees it
    writer.abort()
    files.move(("new",), ("late",))
    assert get(files, "late") == b"3"
    files.move(("late",), ("moved",), overwrite=False)
    files.move(("a",), ("d", "a"), overwrite=False)
    with pytest.raises(FileError) as caught:
        files.move(("d",), ("moved",), overwrite=False)
    assert caught.value.kind is Kind.EXISTS
    with pytest.raises(FileError) as caught:
        files.move(("d",), ("moved",))  # a file cannot be replaced by a folder in one step there
    assert caught.value.kind is Kind.NAME
    assert get(files, "moved") == b"3"
    files.remove(("d",))
    assert visible(poor) == ["moved"]


def test_what_a_killed_writer_leaves_there_is_swept(poor: Path) -> None:
    writer = tree(poor).create(("a",))
    writer.write(b"x")
    files = tree(poor)
    assert listed(files) == []
    assert files.sweep() == 0
    assert files.sweep(-1) == 1
    assert visible(poor) == []
    writer.abort()


def test_disk_errors(fast_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = tree(directory(fast_path))
    put(files, "a", b"old")
    for number in (errno.EIO, errno.ESTALE):

        def broken(*_: object, number: int = number) -> int:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", broken)
            reader = files.open(("a",))
            with pytest.raises(FileError) as caught:
                reader.read(0, 10)
            assert caught.value.kind is Kind.UNAVAILABLE
            reader.close()
        with monkeypatch.context() as patch:
            patch.setattr(local_write.os, "write", broken)
            writer = files.create(("a",))
            with pytest.raises(FileError) as caught:
                writer.write(b"new")
            assert caught.value.kind is Kind.UNAVAILABLE
            with pytest.raises(FileError):
                writer.commit()
    assert get(files, "a") == b"old"


WRITES = """
import pathlib, sys
from scidrive_service.local import LocalTree
files = LocalTree(pathlib.Path(sys.argv[1]), account=int(sys.argv[2]))
print(flush=True)
number = 0
while True:
    number += 1
    writer = files.create(("folder", f"file-{number % 5}"))
    for _ in range(20):
        writer.write(b"%06d\\n" % number * 1000)
    writer.commit()
    print(number, flush=True)
"""

MOVES = """
import pathlib, sys
from scidrive_service.local import LocalTree
files = LocalTree(pathlib.Path(sys.argv[1]), account=int(sys.argv[2]))
print(flush=True)
while True:
    files.move(("a",), ("b", "c"))
    files.move(("b", "c"), ("a",))
    files.move(("x",), ("y",))
    files.move(("y",), ("x",))
"""

REMOVES = """
import pathlib, sys
from scidrive_service.local import LocalTree
files = LocalTree(pathlib.Path(sys.argv[1]), account=int(sys.argv[2]))
print(flush=True)
for number in range(100):
    files.remove((f"tree-{number}",))
"""


def kill(code: str, root: Path, seconds: float) -> list[bytes]:
    """Run code of the service and kill it in the middle; what it printed."""
    child = subprocess.Popen([sys.executable, "-c", code, root, str(ACCOUNT)], stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert child.stdout is not None
    assert child.stdout.readline() == b"\n"
    time.sleep(seconds)
    child.kill()
    return child.communicate()[0].splitlines()


def test_killed_while_it_writes(fast_path: Path) -> None:
    for attempt in range(4):
        root = directory(fast_path, f"volume-{attempt}")
        done = kill(WRITES, root, 0.02 + attempt * 0.13)
        files = tree(root)
        found = {entry.name: get(files, f"folder/{entry.name}") for entry in files.walk(()) if not entry.is_folder}
        for data in found.values():
            assert len(data) == 20 * 7000
            assert data == data[:7] * 20_000
        last = int(done[-1]) if done else 0
        for number in range(max(1, last - 4), last + 1):  # what was said to be there is, or its successor
            assert int(found[f"file-{number % 5}"][:6]) >= number
        files.sweep(-1)
        assert not [name for name in visible(root) if "sciserver" in name]


def test_killed_while_it_moves(fast_path: Path) -> None:
    for attempt in range(4):
        root = directory(fast_path, f"volume-{attempt}")
        files = tree(root)
        put(files, "a/inner", b"1")
        put(files, "x", b"2")
        files.make_folder(("b",))
        kill(MOVES, root, 0.02 + attempt * 0.07)
        names = [name for name in visible(root) if name != "b"]
        assert names in (["a", "a/inner", "x"], ["a", "a/inner", "y"], ["b/c", "b/c/inner", "x"])


def test_killed_while_it_removes(fast_path: Path) -> None:
    """A folder is there with all that is in it, or gone."""
    root = directory(fast_path)
    files = tree(root)
    whole = {f"{folder}/{number}" for folder in range(10) for number in range(10)}
    for number in range(100):
        for name in whole:
            path = root / f"tree-{number}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    own(*root.rglob("*"))
    rounds = 0
    while len(listed(files)) > 20:
        kill(REMOVES.replace("range(100)", f"range({100 - len(listed(files))}, 100)"), root, 0.03)
        for name in listed(files):
            assert sum(1 for entry in files.walk((name,)) if not entry.is_folder) == len(whole)
        rounds += 1
    assert rounds > 1
    for name in listed(files):
        files.remove((name,))
    files.sweep(-1)
    assert visible(root) == []


def test_many_writers_and_removers(fast_path: Path) -> None:
    """All of it at once, in one folder; what is read is always whole."""
    root = directory(fast_path)
    files = tree(root)
    end = time.monotonic() + 2
    wrong: list[object] = []
    allowed = {Kind.MISSING, Kind.NOT_A_FOLDER, Kind.EXISTS}

    def again(act: object) -> None:
        number = 0
        while time.monotonic() < end:
            number += 1
            try:
                act(number)  # type: ignore[operator]
            except FileError as error:
                if error.kind not in allowed:
                    wrong.append(error)

    def read(number: int) -> None:
        data = get(files, f"folder/{number % 3}")
        if data != data[:1] * 50_000:
            wrong.append(data[:10])

    acts = [
        *(lambda number, mark=mark: put(files, f"folder/{number % 3}", mark * 50_000) for mark in (b"1", b"2", b"3")),
        read,
        read,
        lambda number: files.remove(("folder",)) if number % 20 == 0 else time.sleep(0.001),
        lambda number: files.move(("folder", "0"), ("folder", "1")),
        lambda number: files.move(("folder", "2"), ("other",)),
        lambda _: files.list(("folder",)),
        lambda _: files.usage(),
        lambda _: list(files.walk(())),
    ]
    threads = [threading.Thread(target=again, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not [name for name in visible(root) if "sciserver" in name]


def test_threads_keep_their_own_account(fast_path: Path) -> None:
    """While one uses files as the containers' account, others are what they were."""
    if not IS_ROOT:
        pytest.skip("needs root")
    files = LocalTree(directory(fast_path), account=ACCOUNT)
    end = time.monotonic() + 1
    owners = set()

    def ours() -> None:
        while time.monotonic() < end:
            put(files, "theirs")
            owners.add(("theirs", (fast_path / "volume/theirs").stat().st_uid))

    def others() -> None:
        while time.monotonic() < end:
            (fast_path / "mine").unlink(missing_ok=True)
            (fast_path / "mine").touch()
            owners.add(("mine", (fast_path / "mine").stat().st_uid))

    threads = [threading.Thread(target=act) for act in (ours, others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert owners == {("theirs", ACCOUNT), ("mine", 0)}


def test_neither_quotas_nor_reserves_are_passed_over(fast_path: Path) -> None:
    """A thread that has acted as the account has lost the right to (CAP_SYS_RESOURCE), and root's groups."""
    if not IS_ROOT:
        pytest.skip("needs root")
    files = LocalTree(directory(fast_path), account=ACCOUNT)
    seen: dict[str, str] = {}

    def act() -> None:
        files.list(())
        with kernel.Acting(ACCOUNT):
            text = Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text()
        seen.update(line.split(":\t", 1) for line in text.splitlines())

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    assert seen["Uid"].split() == ["0", "0", "0", str(ACCOUNT)]
    assert seen["Groups"].strip() == ""
    effective = int(seen["CapEff"], 16)
    overriding = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 24  # CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, RESOURCE
    assert effective & overriding == 0
