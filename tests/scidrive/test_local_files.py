"""Files in a directory: what a door gets, and what a container then sees."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scidrive_service import kernel
from scidrive_service.errors import FileError, Kind
from scidrive_service.local import LocalTree
from scidrive_service.local_errors import meaning
from scidrive_service.tree import Entry, Tree, Usage
from tests.scidrive.local_support import (
    ACCOUNT,
    IS_ROOT,
    directory,
    get,
    listed,
    open_files,
    own,
    put,
    tree,
    visible,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return directory(tmp_path)


@pytest.fixture
def files(root: Path) -> LocalTree:
    return tree(root)


def refused(kind: Kind) -> pytest.RaisesExc[FileError]:
    """An error of that kind, whose text tells nothing of this machine."""

    def check(error: FileError) -> bool:
        return error.kind is kind and "/tmp" not in error.message and error.message.endswith(".")

    return pytest.raises(FileError, check=check)


def test_a_file(root: Path, files: Tree) -> None:
    entry = put(files, "a/b/c.txt", b"hello")
    assert (entry.path, entry.is_folder, entry.size, entry.is_safe) == (("a", "b", "c.txt"), False, 5, True)
    assert entry.etag == f"sha256-{hashlib.sha256(b'hello').hexdigest()}"
    assert files.stat(("a", "b", "c.txt")) == entry
    assert files.list(("a", "b")) == [entry]
    assert get(files, "a/b/c.txt") == (root / "a/b/c.txt").read_bytes() == b"hello"
    status = (root / "a/b/c.txt").stat()
    assert (status.st_uid, status.st_gid) == (ACCOUNT, ACCOUNT)
    assert (root / "a").stat().st_uid == ACCOUNT
    assert visible(root) == ["a", "a/b", "a/b/c.txt"]


def test_reads_are_parts(files: Tree) -> None:
    put(files, "a", bytes(range(100)))
    reader = files.open(("a",))
    assert reader.entry.size == 100
    assert reader.read(10, 5) == bytes(range(10, 15))
    assert reader.read(95, 50) == bytes(range(95, 100))
    assert reader.read(100, 5) == reader.read(1000, 5) == b""
    reader.close()
    reader.close()


def test_what_is_open_stays(files: Tree) -> None:
    put(files, "a", b"old")
    reader = files.open(("a",))
    put(files, "a", b"newer")
    assert reader.read(0, 10) == b"old"
    files.remove(("a",))
    assert reader.read(0, 10) == b"old"
    reader.close()


def test_nothing_shows_before_commit(root: Path, files: Tree) -> None:
    writer = files.create(("new", "a"))
    writer.write(b"x" * 100_000)
    assert visible(root) == []
    writer.abort()
    writer.abort()
    assert visible(root) == []


def test_a_program_stays_one(root: Path, files: Tree) -> None:
    put(files, "run.sh")
    (root / "run.sh").chmod(0o4755)
    put(files, "run.sh", b"#!/bin/sh\n")
    assert (root / "run.sh").stat().st_mode & 0o7777 == 0o755


def test_what_is_not_there(files: Tree) -> None:
    put(files, "file")
    for act in (
        lambda: files.stat(("a",)),
        lambda: files.stat(("file", "a")),
        lambda: files.list(("a",)),
        lambda: files.open(("a", "b")),
        lambda: files.open(("file", "b")),
        lambda: files.remove(("a",)),
        lambda: files.remove(("file", "a")),
        lambda: files.move(("a",), ("b",)),
        lambda: files.usage(("a",)),
        lambda: list(files.walk(("a",))),
        lambda: files.create(("a", "b"), parents=False),
        lambda: files.make_folder(("a", "b"), parents=False),
        lambda: files.move(("file",), ("a", "b"), parents=False),
    ):
        with refused(Kind.MISSING):
            act()


def test_files_are_no_folders(files: Tree) -> None:
    put(files, "file")
    files.make_folder(("folder",))
    for act in (
        lambda: files.list(("file",)),
        lambda: list(files.walk(("file",))),
        lambda: files.open(("folder",)),
        lambda: files.create(("folder",)),
        lambda: files.create(("folder",), overwrite=False),
        lambda: files.create(("file", "a")),
        lambda: files.make_folder(("file", "a")),
        lambda: files.move(("folder",), ("file", "a")),
    ):
        with refused(Kind.NOT_A_FOLDER):
            act()
    with refused(Kind.EXISTS):
        files.make_folder(("file",))
    assert files.make_folder(("folder",)) is False
    assert files.make_folder(()) is False
    assert files.make_folder(("folder", "a", "b")) is True


def test_the_root_stays(files: Tree) -> None:
    put(files, "a")
    for act in (
        lambda: files.remove(()),
        lambda: files.create(()),
        lambda: files.move((), ("b",)),
        lambda: files.move(("a",), ()),
    ):
        with refused(Kind.FORBIDDEN):
            act()
    assert files.stat(()).is_folder
    assert files.stat(()).name == ""


@pytest.mark.parametrize(
    "path", [("..", "a"), ("a", "."), ("",), ("a/b",), ("/etc/passwd",), (".~sciserver-1",), ("x" * 256,)]
)
def test_names_are_checked_again(files: Tree, path: tuple[str, ...]) -> None:
    """The doors have done so."""
    put(files, "a")
    for act in (
        files.stat,
        files.list,
        files.open,
        files.create,
        files.make_folder,
        files.remove,
        files.usage,
        files.walk,
    ):
        with refused(Kind.NAME):
            act(path)
    with refused(Kind.NAME):
        files.move(("a",), path)
    with refused(Kind.NAME):
        files.move(path, ("b",))


def test_only_new(files: Tree) -> None:
    put(files, "a", b"old")
    with refused(Kind.EXISTS):
        files.create(("a",), overwrite=False)
    writer = files.create(("b",), overwrite=False)
    writer.write(b"mine")
    put(files, "b", b"theirs")
    with refused(Kind.EXISTS):
        writer.commit()
    assert get(files, "b") == b"theirs"
    with refused(Kind.EXISTS):
        files.move(("a",), ("b",), overwrite=False)
    assert put(files, "c", overwrite=False).size == 7


def test_check(files: Tree) -> None:
    seen: list[Entry | None] = []
    entry = put(files, "a", b"old")
    files.create(("a",), check=seen.append).commit()
    files.create(("b",), check=seen.append).commit()
    assert seen == [entry, None]

    def refuse(_: Entry | None) -> None:
        raise FileError("Changed.", Kind.CHANGED)

    with pytest.raises(FileError, match="Changed"):
        files.create(("a",), check=refuse).commit()
    assert files.stat(("a",)).size == 0


def test_checked_writers_do_not_overtake_each_other(files: Tree) -> None:
    """Each adds one to what it has seen, with If-Match; who lost tries again. No one gets lost."""
    put(files, "count", b"0")

    def add() -> None:
        for _ in range(20):
            while True:
                reader = files.open(("count",))
                value, etag = int(reader.read(0, 100)), reader.entry.etag
                reader.close()

                def check(there: Entry | None, etag: str = etag) -> None:
                    if there is None or there.etag != etag:
                        raise FileError("Changed.", Kind.CHANGED)

                writer = files.create(("count",), check=check)
                writer.write(str(value + 1).encode())
                try:
                    writer.commit()
                except FileError as error:
                    if error.kind is not Kind.CHANGED:
                        raise
                else:
                    break

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert get(files, "count") == b"80"


def test_two_writers_of_one_file(root: Path, files: Tree) -> None:
    first, second = files.create(("a",)), files.create(("a",))
    for _ in range(10):
        first.write(b"1" * 1000)
        second.write(b"2" * 1000)
    second.commit()
    assert get(files, "a") == b"2" * 10_000
    first.commit()
    assert get(files, "a") == b"1" * 10_000
    assert visible(root) == ["a"]


def test_move(root: Path, files: Tree) -> None:
    put(files, "a/b", b"1")
    put(files, "c", b"2")
    entry = files.move(("a", "b"), ("new", "folder", "d"))
    assert (entry.path, entry.size) == (("new", "folder", "d"), 1)
    assert entry.etag.startswith("sha256-")
    files.move(("c",), ("new", "folder", "d"))
    assert get(files, "new/folder/d") == b"2"
    files.move(("new",), ("a",))  # replaces a folder
    assert visible(root) == ["a", "a/folder", "a/folder/d"]
    put(files, "file")
    files.move(("file",), ("a",))  # a folder by a file
    assert visible(root) == ["a"]
    put(files, "folder/x/y")
    files.move(("folder",), ("a",))  # and the other way round
    assert visible(root) == ["a", "a/x", "a/x/y"]


def test_moves_that_lead_nowhere(root: Path, files: Tree) -> None:
    put(files, "a/b/c")
    for source, target in ((("a",), ("a", "d")), (("a",), ("a", "b", "c", "d")), (("a", "b"), ("a",))):
        with refused(Kind.NAME):
            files.move(source, target)
    (root / "link").symlink_to("a")
    with refused(Kind.NAME):
        files.move(("a",), ("link", "b", "a"))
    files.move(("a", "b"), ("link", "b"))
    files.move(("a", "b", "c"), ("a", "b", "c"))
    assert get(files, "a/b/c") == b"content"


def test_moving_one_name_of_a_file_onto_another(root: Path, files: Tree) -> None:
    """The kernel's rename would leave both."""
    put(files, "a")
    os.link(root / "a", root / "b")
    files.move(("a",), ("b",))
    assert visible(root) == ["b"]


def test_remove(root: Path, files: Tree) -> None:
    for name in ("a", "b/c/d/e", "b/c/f", "b/g"):
        put(files, name)
    files.remove(("a",))
    files.remove(("b", "c"))
    assert visible(root) == ["b", "b/g"]
    files.remove(("b",))
    assert visible(root) == []


def test_removing_what_its_owner_has_closed(root: Path, files: Tree) -> None:
    put(files, "a/b/c")
    (root / "a/b").chmod(0o000)
    (root / "a").chmod(0o555)
    files.remove(("a",))
    assert visible(root) == []


@pytest.mark.parametrize("depth", [1200])
def test_a_tree_deeper_than_any_path(fast_path: Path, depth: int) -> None:
    root = directory(fast_path)
    files = tree(root)
    fd = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deep", dir_fd=fd)
        os.chown("deep", ACCOUNT, ACCOUNT, dir_fd=fd)
        below = os.open("deep", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("end", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    assert files.usage() == Usage(0, depth + 1)
    walked = list(files.walk(()))
    assert not walked[-1].is_safe  # too long to be asked for
    assert 700 < len(walked) < depth
    with refused(Kind.NAME):
        files.stat(walked[-1].path * 2)
    open_before = open_files()
    files.remove(("deep",))
    assert open_files() == open_before
    assert visible(root) == []


def test_walk(files: Tree) -> None:
    for name in ("b/c", "a", "b/d/e", "c/x"):
        put(files, name)
    files.make_folder(("empty",))
    walked = ["/".join(entry.path) for entry in files.walk(())]
    assert sorted(walked) == ["a", "b", "b/c", "b/d", "b/d/e", "c", "c/x", "empty"]
    assert all(walked.index(path.rpartition("/")[0]) < walked.index(path) for path in walked if "/" in path)
    assert ["/".join(entry.path) for entry in files.walk(("b",))] == ["b/c", "b/d", "b/d/e"]


def test_walk_shows_what_it_cannot_read(root: Path, files: Tree) -> None:
    put(files, "closed/a")
    put(files, "open/a")
    (root / "closed").chmod(0o000)
    assert [("/".join(entry.path), entry.is_safe) for entry in files.walk(())] == [
        ("closed", False),
        ("open", True),
        ("open/a", True),
    ]
    with refused(Kind.FORBIDDEN):
        files.list(("closed",))
    with refused(Kind.FORBIDDEN):
        files.open(("closed", "a"))


def test_usage(root: Path, files: Tree) -> None:
    put(files, "a/b", b"x" * 1000)
    put(files, "c", b"y" * 10)
    os.link(root / "c", root / "a/second")
    (root / "link").symlink_to("c")
    os.mkfifo(root / "pipe")
    (root / ".~sciserver-mine").write_bytes(b"z" * 5)  # a name of ours hides nothing
    assert files.usage() == Usage(1015, 6)
    assert files.usage(("a",)) == Usage(1010, 2)
    assert files.usage(("c",)) == Usage(10, 1)


@pytest.mark.skipif(not IS_ROOT, reason="needs root")
def test_usage_counts_closed_folders(root: Path, files: Tree) -> None:
    put(files, "a/b", b"x" * 1000)
    (root / "a").chmod(0o000)
    assert files.usage() == Usage(1000, 2)


def test_free(files: Tree, root: Path) -> None:
    status = os.statvfs(root)
    free = files.free()
    assert free is not None
    assert abs(free - status.f_bavail * status.f_frsize) < 1 << 30


def test_etags(root: Path, files: Tree) -> None:
    first = put(files, "a", b"content")
    assert put(files, "b", b"content").etag == first.etag
    assert files.move(("b",), ("c",)).etag == first.etag
    (root / "a").write_bytes(b"CONTENT")  # a container, in place
    second = files.stat(("a",))
    assert second.etag != first.etag
    assert not second.etag.startswith("sha256")
    (root / "a").write_bytes(b"content")
    assert files.stat(("a",)).etag not in {first.etag, second.etag}
    (root / "d").write_bytes(b"made in a container")
    own(root / "d")
    assert files.stat(("d",)).etag == files.list(())[-1].etag
    os.setxattr(root / "d", "user.sciserver.sha256", b"nonsense")
    assert files.stat(("d",)).etag
    (root / "a").chmod(0o000)
    assert files.stat(("a",)).etag == files.list(())[0].etag


def test_changes_within_a_tick_of_the_kernels_clock_are_seen(root: Path, files: Tree) -> None:
    for number in range(200):
        before = put(files, "a", b"%03d" % number)
        with (root / "a").open("r+b") as file:
            file.write(b"xxx")
        assert files.stat(("a",)).etag != before.etag


ODD = [
    "x" * 255,
    "\u00e9" * 127,
    "line\nbreak",
    " ",
    "-rf",
    "a\tb\\c\"d'e",
    "%2e%2e",
    "...",
    "~",
    "a:b",
    "\u202etxt.exe",
    "\U0001f52d",
    "caf\u00e9",
    "cafe\u0301",
    os.fsdecode(b"\xff\xfe no text"),
    "\x01\x7f",
    "CON",
    "name.",
]


def test_odd_names(root: Path, files: Tree) -> None:
    for number, name in enumerate(ODD):
        put(files, name, b"%d" % number)
    for number, name in enumerate(ODD):
        assert get(files, name) == b"%d" % number
        assert (root / name).read_bytes() == b"%d" % number
    assert sorted(listed(files)) == sorted(ODD)
    assert unicodedata.normalize("NFC", ODD[-5]) != ODD[-5]
    for name in ODD:
        files.move((name,), ("folder", name))
    files.remove(("folder",))
    assert visible(root) == []


def test_odd_times(root: Path, files: Tree) -> None:
    """A container can set any."""
    put(files, "a")
    for seconds in (-(1 << 40), 1 << 40, 1 << 60):
        try:
            os.utime(root / "a", (seconds, seconds))
        except OSError:
            continue
        assert 0 <= files.stat(("a",)).modified < 253402300800


def test_special_files(root: Path, files: Tree) -> None:
    os.mkfifo(root / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    place = os.open(root, os.O_RDONLY)
    listener.bind(f"/proc/self/fd/{place}/socket")
    os.close(place)
    names = ["pipe", "socket"]
    if IS_ROOT:
        os.mknod(root / "device", 0o20666, os.makedev(1, 3))
        names.append("device")
    for name in names:
        own(root / name)
        entry = files.stat((name,))
        assert (entry.is_safe, entry.is_folder, entry.size, entry.etag) == (False, False, 0, "")
        with refused(Kind.UNSAFE):
            files.open((name,))
        with refused(Kind.NOT_A_FOLDER):
            files.list((name,))
    assert sorted(entry.name for entry in files.list(()) if not entry.is_safe) == sorted(names)
    put(files, "pipe", b"a file now")
    assert get(files, "pipe") == b"a file now"
    files.move(("socket",), ("moved",))
    for name in ("moved", "pipe", *names[2:]):
        files.remove((name,))
    assert visible(root) == []
    listener.close()


def test_nobody_notices_that_a_pipe_is_looked_at(root: Path, files: Tree) -> None:
    """Opening it for reading would let a writer in a container go on."""
    os.mkfifo(root / "pipe", 0o666)
    own(root / "pipe")
    for act in (lambda: files.open(("pipe",)), lambda: files.stat(("pipe",)), lambda: files.list(())):
        try:
            act()
        except FileError:
            pass
        with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
            os.open(root / "pipe", os.O_WRONLY | os.O_NONBLOCK)


def test_read_only(root: Path) -> None:
    put(tree(root), "a")
    files = LocalTree(root, read_only=True, account=ACCOUNT)
    assert get(files, "a") == b"content"
    for act in (
        lambda: files.create(("a",)),
        lambda: files.make_folder(("b",)),
        lambda: files.remove(("a",)),
        lambda: files.move(("a",), ("b",)),
        files.clear,
        files.sweep,
    ):
        with refused(Kind.FORBIDDEN):
            act()
    assert visible(root) == ["a"]


def test_clear_and_sweep(root: Path, files: LocalTree) -> None:
    put(files, "a/b")
    (root / ".~sciserver-old").mkdir()
    own(root / ".~sciserver-old")
    (root / ".~sciserver-old/x").write_text("x")
    assert listed(files) == ["a"]
    assert [entry.name for entry in files.walk(())] == ["a", "b"]
    assert files.sweep() == 0
    assert files.sweep(-1) == 1
    assert visible(root) == ["a", "a/b"]
    (root / ".~sciserver-new").write_text("x")
    files.clear()
    assert visible(root) == []


@pytest.mark.skipif(not IS_ROOT, reason="needs root")
def test_the_account_decides(root: Path, files: Tree) -> None:
    """Not the service, which may everything."""
    (root / "secret").write_text("of the operator")
    (root / "secret").chmod(0o600)
    (root / "group").write_text("of root's group")
    (root / "group").chmod(0o640)
    (root / "locked").mkdir(mode=0o755)
    (root / "locked/file").write_text("x")
    for name in ("secret", "group"):
        with refused(Kind.FORBIDDEN):
            get(files, name)
    for act in (
        lambda: put(files, "locked/new"),
        lambda: files.remove(("locked", "file")),
        lambda: files.remove(("locked",)),
        lambda: files.make_folder(("locked", "new")),
    ):
        with refused(Kind.FORBIDDEN):
            act()
    assert (root / "locked/file").exists()
    assert os.geteuid() == 0
    Path(root / "still-root").write_text("x")
    assert (root / "still-root").stat().st_uid == 0


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with refused(Kind.MISSING):
        tree(tmp_path / "missing")


@pytest.mark.skipif(not IS_ROOT, reason="needs root")
def test_an_account_that_cannot_be_taken() -> None:
    text = "import os; from scidrive_service import kernel; os.setgid(65534); os.setuid(65534); kernel.require(1234)"
    done = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert "must run as root, as the account 1234" in done.stderr


def test_a_kernel_without_openat2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_OPENAT2", 9999)
    with refused(Kind.UNAVAILABLE) as caught:
        kernel.require(None)
    assert "Linux 5.6" in caught.value.message


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, Kind.FULL),
        (errno.EDQUOT, Kind.FULL),
        (errno.EACCES, Kind.FORBIDDEN),
        (errno.EPERM, Kind.FORBIDDEN),
        (errno.EROFS, Kind.FORBIDDEN),
        (errno.ELOOP, Kind.UNSAFE),
        (errno.EXDEV, Kind.UNSAFE),
        (errno.ENAMETOOLONG, Kind.NAME),
        (errno.EIO, Kind.UNAVAILABLE),
        (errno.ESTALE, Kind.UNAVAILABLE),
        (errno.EMFILE, Kind.UNAVAILABLE),
        (errno.EFBIG, Kind.TOO_LARGE),
    ],
)
def test_what_the_kernels_errors_mean(number: int, kind: Kind) -> None:
    error = meaning(OSError(number, os.strerror(number), "/host/path"), ("a", "b\n{0}\udcff"))
    assert error.kind is kind
    assert "/host" not in error.message
    assert "\n" not in error.message
    error.message.encode()


def test_nothing_stays_open(files: LocalTree, root: Path) -> None:
    before = open_files()
    put(files, "a/b")
    get(files, "a/b")
    for act in (
        lambda: files.open(("a",)),
        lambda: files.create(("a",)),
        lambda: files.create(("x",), parents=True).abort(),
        lambda: files.move(("a",), ("a", "b")),
        lambda: files.stat(("x",)),
        lambda: files.list(("a", "b")),
        lambda: list(files.walk(())),
        lambda: next(files.walk(())),
        lambda: put(files, "a/b", overwrite=False),
        files.usage,
    ):
        try:
            act()
        except FileError:
            pass
    files.remove(("a",))
    assert open_files() == before
    files.close()
    files.close()
    assert open_files() == before - 1


def test_writers_and_readers_outlive_their_tree(fast_path: Path) -> None:
    """The number of a descriptor that is closed is soon another's: another volume's, perhaps."""
    before = open_files()
    root = directory(fast_path, "mine")
    put(tree(root), "a", b"mine")
    writer = tree(root).create(("b",))
    reader = tree(root).open(("a",))
    walk = tree(root).walk(())
    others = [tree(directory(fast_path, str(number))) for number in range(5)]
    writer.write(b"mine too")
    writer.commit()
    assert reader.read(0, 10) == b"mine"
    assert [entry.name for entry in walk] == ["a", "b"]
    assert visible(root) == ["a", "b"]
    reader.close()
    staged = tree(root).stage()
    put(staged, "x/y")
    staged.publish((), ("c",), overwrite=False)
    staged.close()
    staged.close()
    for other in others:
        assert other.list(()) == []
    del writer, walk, others, other, staged
    assert open_files() == before


def test_what_a_thread_still_uses_stays_open(fast_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is given up while a thread reads or writes for it: the thread must not meet another file."""
    files = tree(directory(fast_path))
    put(files, "a", b"mine")
    reader, writer = files.open(("a",)), files.create(("b",))
    (fast_path / "other").touch()
    own(fast_path, fast_path / "other")
    pread, write = os.pread, os.write
    others: list[int] = []

    def late(act: Callable[..., Any], end: Callable[[], None]) -> Callable[..., Any]:
        def wait(fd: int, *arguments: Any) -> Any:
            end()
            others.extend(os.open(fast_path / "other", os.O_RDWR) for _ in range(20))
            return act(fd, *arguments)

        return wait

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", late(pread, reader.close))
        assert reader.read(0, 4) == b"mine"
        patch.setattr(os, "write", late(write, writer.abort))
        writer.write(b"mine")
    for fd in others:
        os.close(fd)
    assert (fast_path / "other").read_bytes() == b""
    for act in (lambda: reader.read(0, 1), lambda: writer.write(b"x"), writer.commit):
        with refused(Kind.UNAVAILABLE):
            act()
