"""Files in an object store: Ceph's gateway, as sites run it."""

from __future__ import annotations

import itertools
import os
import threading
import time
import tracemalloc
from collections import deque
from collections.abc import Iterator

import pytest
import s3fs

from scidrive_service import object_write
from scidrive_service.errors import FileError, Kind
from scidrive_service.objects import ObjectTree
from scidrive_service.tree import Entry, Usage
from tests.scidrive.ceph import Ceph
from tests.scidrive.local_support import get, listed, put

MIB = 1 << 20
_numbers = itertools.count()


@pytest.fixture
def prefix() -> str:
    return f"tests/{next(_numbers)}"


@pytest.fixture
def files(ceph: Ceph, prefix: str) -> ObjectTree:
    return ObjectTree(f"s3://drive/{prefix}", **ceph.options)


@pytest.fixture
def raw(ceph: Ceph) -> s3fs.S3FileSystem:
    """Another program, which knows nothing of ours."""
    return s3fs.S3FileSystem(use_listings_cache=False, **ceph.options)


@pytest.fixture(autouse=True)
def nothing_left(ceph: Ceph) -> Iterator[None]:
    yield
    assert ceph.uploads() == 0


def test_a_file(files: ObjectTree, raw: s3fs.S3FileSystem, prefix: str) -> None:
    entry = put(files, "a/b/c.txt", b"hello")
    assert (entry.path, entry.is_folder, entry.size) == (("a", "b", "c.txt"), False, 5)
    assert abs(entry.modified - time.time()) < 60
    assert files.stat(("a", "b", "c.txt")) == entry
    assert files.list(("a", "b")) == [entry]
    assert files.stat(("a",)) == files.list(())[0]
    assert raw.cat(f"drive/{prefix}/a/b/c.txt") == get(files, "a/b/c.txt") == b"hello"
    assert put(files, "a/b/c.txt", b"hallo").etag != entry.etag
    assert files.free() is None
    files.remove(("a", "b", "c.txt"))
    assert files.stat(("a", "b")).is_folder
    files.clear()
    assert files.list(()) == []


def test_reads_are_parts(files: ObjectTree) -> None:
    data = os.urandom(3 * MIB)
    put(files, "a", data)
    reader = files.open(("a",))
    assert reader.read(0, MIB) == data[:MIB]
    assert reader.read(MIB, MIB) == data[MIB : 2 * MIB]
    assert reader.read(10, 5) == data[10:15]
    assert reader.read(len(data) - 5, 100) == data[-5:]
    assert reader.read(len(data), 100) == b""
    reader.close()
    reader.close()
    put(files, "empty", b"")
    assert get(files, "empty") == b""


def test_a_large_file(files: ObjectTree) -> None:
    """In parts, of which none shows before the end, and at constant memory."""
    piece = os.urandom(MIB)
    tracemalloc.start()
    writer = files.create(("a",))
    for number in range(33):
        writer.write(piece)
        if number == 20:
            assert listed(files) == []
    entry = writer.commit()
    reader = files.open(("a",))
    for number in range(33):
        assert reader.read(number * MIB, MIB) == piece
    assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    tracemalloc.stop()
    reader.close()
    assert entry.size == 33 * MIB
    assert entry.etag == files.list(())[0].etag
    files._store.largest_copy = 10 * MIB  # S3's own limit is 5 GiB
    moved = files.move(("a",), ("folder", "b"))
    assert moved.size == entry.size
    assert listed(files) == ["folder"]


def test_larger_parts_for_the_largest_files(files: ObjectTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_write, "_FIRST_PARTS", 2)
    monkeypatch.setattr(object_write, "_LARGE_PART", 7 * MIB)
    piece = os.urandom(MIB)
    writer = files.create(("a",))
    for _ in range(26):
        writer.write(piece)
    entry = writer.commit()
    assert entry.etag.endswith("-5")
    assert get(files, "a") == piece * 26


def test_giving_up(files: ObjectTree, ceph: Ceph) -> None:
    writer = files.create(("folder", "a"))
    writer.write(b"x" * 12 * MIB)
    assert ceph.uploads() == 1
    writer.abort()
    writer.abort()
    assert ceph.uploads() == 0
    assert files.list(()) == []


def test_what_was_given_up_is_no_file(files: ObjectTree) -> None:
    """The store would take what is left of it for one."""
    early = files.create(("a",))
    early.write(b"data")
    early.abort()
    for act in (early.commit, lambda: early.write(b"more")):
        with pytest.raises(FileError) as caught:
            act()
        assert caught.value.kind is Kind.UNAVAILABLE
    assert files.list(()) == []


@pytest.mark.parametrize("size", [10, 6 * MIB])
def test_what_is_given_up_at_the_end_is_no_file(files: ObjectTree, size: int) -> None:
    writer = files.create(("a",), check=lambda _: writer.abort())
    writer.write(b"x" * size)
    with pytest.raises(FileError) as caught:
        writer.commit()
    assert caught.value.kind is Kind.UNAVAILABLE
    assert files.list(()) == []


def test_only_new(files: ObjectTree) -> None:
    put(files, "a", b"old")
    with pytest.raises(FileError) as caught:
        put(files, "a", overwrite=False)
    assert caught.value.kind is Kind.EXISTS
    early = files.create(("a",), overwrite=False)
    with pytest.raises(FileError) as caught:
        early.write(b"x" * 6 * MIB)
    assert caught.value.kind is Kind.EXISTS
    writer = files.create(("b",), overwrite=False)
    writer.write(b"x" * 6 * MIB)
    put(files, "b", b"theirs")
    with pytest.raises(FileError) as caught:
        writer.commit()
    assert caught.value.kind is Kind.EXISTS
    assert get(files, "b") == b"theirs"


def test_check(files: ObjectTree) -> None:
    seen: list[Entry | None] = []
    entry = put(files, "a", b"old")
    files.create(("a",), check=seen.append).commit()
    files.create(("b",), check=seen.append).commit()
    assert seen == [entry, None]

    def refuse(_: Entry | None) -> None:
        raise FileError("Changed.", Kind.CHANGED)

    with pytest.raises(FileError, match="Changed"):
        files.create(("a",), check=refuse).commit()


def test_other_programs_are_kept_off_as_well(files: ObjectTree, raw: s3fs.S3FileSystem, prefix: str) -> None:
    """Right after the check, another one writes: the store itself refuses."""
    put(files, "a", b"old")

    def interfere(_: Entry | None) -> None:
        raw.pipe_file(f"drive/{prefix}/a", b"theirs")

    writer = files.create(("a",), check=interfere)
    writer.write(b"ours")
    with pytest.raises(FileError) as caught:
        writer.commit()
    assert caught.value.kind is Kind.CHANGED
    assert get(files, "a") == b"theirs"


def test_what_is_replaced_while_it_is_read(files: ObjectTree) -> None:
    put(files, "a", b"1" * 3 * MIB)
    reader = files.open(("a",))
    assert reader.read(0, 10) == b"1" * 10
    put(files, "a", b"2" * 3 * MIB)
    with pytest.raises(FileError) as caught:
        reader.read(MIB, 10)
    assert caught.value.kind is Kind.CHANGED
    reader.close()


def test_what_other_programs_have_put_there(files: ObjectTree, raw: s3fs.S3FileSystem, prefix: str) -> None:
    """Folders without an object of their own, and names that are none."""
    for name in ("x/y/a", "x/b", "z//c", "../d", "e/./f", ".~sciserver-1/g", "h" * 300):
        raw.pipe_file(f"drive/{prefix}/{name}", b"data")
    assert listed(files) == ["e", "x", "z"]
    assert listed(files, "x") == ["b", "y"]
    assert listed(files, "z") == []
    assert [("/".join(entry.path), entry.is_folder) for entry in files.walk(("x",))] == [
        ("x/b", False),
        ("x/y", True),
        ("x/y/a", False),
    ]
    assert files.usage(("x",)) == Usage(8, 3)
    files.remove(("x", "y", "a"))
    assert listed(files, "x/y") == []
    assert files.make_folder(("x", "y")) is False


def test_a_prefix_is_a_wall(ceph: Ceph, raw: s3fs.S3FileSystem) -> None:
    raw.pipe_file("drive/wall/ada-2/secret", b"secret")
    files = ObjectTree("s3://drive/wall/ada", **ceph.options)
    put(files, "a")
    assert listed(files) == ["a"]
    assert [entry.path for entry in files.walk(())] == [("a",)]
    for path in (("..", "ada-2", "secret"), (".", "a"), ("", "a"), ("-2/secret",)):
        for act in (files.stat, files.open, files.create, files.remove, files.list):
            with pytest.raises(FileError) as caught:
                act(path)
            assert caught.value.kind is Kind.NAME
    files.clear()
    assert raw.cat("drive/wall/ada-2/secret") == b"secret"


@pytest.mark.parametrize(
    "name",
    [
        "line\nbreak",
        "a&b<c>\"'.txt",
        "%41",
        "caf\u00e9",
        "cafe\u0301",
        "x" * 255,
        " ",
        "+",
        "?#",
        "\\",
        "\r",
        "\U0001f52d",
    ],
)
def test_odd_names(files: ObjectTree, name: str) -> None:
    put(files, name, b"odd")
    assert get(files, name) == b"odd"
    assert listed(files) == [name]
    files.move((name,), ("folder", name))
    assert [entry.path for entry in files.walk(())] == [("folder",), ("folder", name)]
    files.remove(("folder",))
    assert files.list(()) == []


@pytest.mark.parametrize("path", [(os.fsdecode(b"\xff"),), ("x" * 250,) * 5, ("\x01",)])
def test_names_that_it_cannot_keep(files: ObjectTree, path: tuple[str, ...]) -> None:
    for act in (files.stat, files.create, files.make_folder):
        with pytest.raises(FileError) as caught:
            act(path)
        assert caught.value.kind is Kind.NAME


def test_many_files(files: ObjectTree) -> None:
    """More than one page of a listing."""
    put(files, "many/0")
    found = files._store.head(files._key(("many", "0")))
    assert found is not None
    store = files._store
    keys = [files._key(("many", str(number))) for number in range(1, 1005)]
    threads = [
        threading.Thread(target=lambda part=part: [store.put(key, b"x") for key in part])
        for part in (keys[::4], keys[1::4], keys[2::4], keys[3::4])
    ]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files.list(("many",))) == 1005
    assert files.usage().files == 1006
    files.remove(("many",))
    assert files.list(()) == []


def test_many_at_once(files: ObjectTree) -> None:
    wrong: list[object] = []

    def transfer(number: int) -> None:
        try:
            data = bytes([number]) * (6 * MIB if number % 5 == 0 else 1000)
            put(files, f"{number % 3}/{number}", data)
            assert get(files, f"{number % 3}/{number}") == data
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=transfer, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert files.usage().files == 23


def test_a_full_store(ceph: Ceph) -> None:
    files = ObjectTree("s3://small/x", **ceph.small_user(20 * MIB))
    put(files, "a", b"x" * 1000)
    with pytest.raises(FileError) as caught:
        deque(put(files, f"more-{number}", b"x" * 4 * MIB) for number in range(10))
    assert caught.value.kind is Kind.FULL
    writer = files.create(("b",))
    with pytest.raises(FileError) as caught:
        deque(writer.write(b"x" * MIB) for _ in range(40))
    assert caught.value.kind is Kind.FULL
    writer.abort()
    assert files.sweep(-60) == 0
    assert get(files, "a") == b"x" * 1000
    assert "b" not in listed(files)


@pytest.mark.parametrize(
    "wrong", [{"key": "nobody"}, {"secret": "guess"}, {"endpoint_url": "http://127.0.0.1:9"}, {"bucket": "none"}]
)
def test_what_the_operator_must_correct(ceph: Ceph, wrong: dict[str, str]) -> None:
    options = {**ceph.options, **wrong}
    files = ObjectTree(f"s3://{options.pop('bucket', 'drive')}/x", **options)
    put_error, list_error = pytest.raises(FileError), pytest.raises(FileError)
    with put_error as caught:
        put(files, "a")
    assert caught.value.kind is Kind.UNAVAILABLE
    with list_error as caught:
        files.list(())
    assert caught.value.kind is Kind.UNAVAILABLE
    assert "operator" in caught.value.message
    assert "127.0.0.1" not in caught.value.message


@pytest.mark.parametrize("url", ["http://drive/x", "s3://", "/drive"])
def test_addresses(url: str) -> None:
    with pytest.raises(FileError) as caught:
        ObjectTree(url)
    assert caught.value.kind is Kind.UNAVAILABLE


def test_a_store_that_is_killed(ceph: Ceph, files: ObjectTree) -> None:
    put(files, "a", b"old")
    put(files, "read", b"r" * 8 * MIB)
    writers = [files.create(("a",)), files.create(("new",))]
    for writer in writers:
        writer.write(b"x" * 12 * MIB)
    reader = files.open(("read",))
    reader.read(0, 10)
    ceph.kill_gateway()
    try:
        for act in (
            lambda: files.list(()),
            lambda: reader.read(MIB * 7, MIB),
            lambda: put(files, "b"),
            lambda: writers[0].write(b"x" * 12 * MIB),
            lambda: writers[1].commit(),
        ):
            with pytest.raises(FileError) as caught:
                act()
            assert caught.value.kind is Kind.UNAVAILABLE
        for writer in writers:
            writer.abort()
    finally:
        ceph.start_gateway()
    assert listed(files) == ["a", "read"]
    assert get(files, "a") == b"old"
    assert reader.read(0, 10) == b"r" * 10
    reader.close()
    assert files.sweep() == 0  # not so soon
    assert files.sweep(-60) == 2
    put(files, "a", b"new")
    assert get(files, "a") == b"new"
