"""A container makes links, pipes and renames, also while the service looks: outside, all stays unseen and untouched.

The other side is a process of its own. It changes things as fast as it can, so that each attempt of ours meets it at
another moment; how often it got in between is counted, or the test would prove nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from scidrive_service import local_remove
from scidrive_service.errors import FileError, Kind
from scidrive_service.local import LocalTree
from scidrive_service.tree import Usage
from tests.scidrive.local_support import (
    ACCOUNT,
    IS_ROOT,
    directory,
    get,
    listed,
    own,
    put,
    tree,
    visible,
)

SECRET = "of somebody else."
SECONDS = 0.5
"""For each race."""

SWAPS = r"""
import ctypes, os, sys
libc = ctypes.CDLL(None)
root, *pairs = [os.fsencode(argument) for argument in sys.argv[1:]]
os.chdir(root)
print(flush=True)
while True:  # the same names are a folder or file and a link in turns
    for first, second in zip(pairs[::2], pairs[1::2]):
        libc.renameat2(-100, first, -100, second, 2)
"""


@dataclass
class Scene:
    """A volume, and beside it what nobody may see or change."""

    root: Path
    outside: Path
    files: LocalTree

    def check_outside(self) -> None:
        assert (self.outside / "secret").read_text() == SECRET
        assert (self.outside / "folder/secret").read_text() == SECRET
        assert visible(self.outside) == ["folder", "folder/secret", "secret"]
        assert self.outside.stat().st_mode & 0o777 == 0o777


@pytest.fixture
def scene(fast_path: Path) -> Scene:
    root, outside = directory(fast_path), directory(fast_path, "outside")
    (outside / "folder").mkdir()
    for path in (outside / "secret", outside / "folder/secret"):
        path.write_text(SECRET)
        path.chmod(0o666)
    for path in (outside, outside / "folder"):
        path.chmod(0o777)  # the account could do everything there: only the way is closed
    fast_path.chmod(0o755)
    return Scene(root, outside, tree(root))


def link(scene: Scene, name: str, target: str | Path) -> None:
    (scene.root / name).symlink_to(target)
    own(scene.root / name)


OUT: dict[str, Callable[[Scene], str | Path]] = {
    "absolute": lambda scene: scene.outside,
    "relative": lambda scene: "../outside",
    "up and down": lambda scene: "inner/../../outside",
    "through itself": lambda scene: f"../{scene.root.name}/../outside",
    "proc": lambda scene: f"/proc/{os.getpid()}/root{scene.outside}",
    "our working directory": lambda scene: "/proc/self/cwd",
    "our descriptors": lambda scene: "/proc/self/fd",
    "top": lambda scene: "/",
    "absolute, but inside": lambda scene: scene.root / "inner",
}


@pytest.mark.parametrize("way", OUT)
def test_links_out(scene: Scene, way: str) -> None:
    put(scene.files, "inner/a")
    link(scene, "out", OUT[way](scene))
    files = scene.files
    entry = files.stat(("out",))
    assert (entry.is_safe, entry.is_folder, entry.size, entry.etag) == (False, False, 0, "")
    assert [entry.name for entry in files.list(()) if not entry.is_safe] == ["out"]
    assert [entry.path for entry in files.walk(()) if not entry.is_safe] == [("out",)]
    for act in (
        lambda: files.list(("out",)),
        lambda: files.open(("out",)),
        lambda: files.open(("out", "secret")),
        lambda: files.stat(("out", "secret")),
        lambda: files.create(("out", "new")),
        lambda: files.create(("out", "secret")),
        lambda: files.make_folder(("out", "new")),
        lambda: files.remove(("out", "secret")),
        lambda: files.remove(("out", "folder")),
        lambda: files.move(("out", "secret"), ("mine",)),
        lambda: files.move(("inner",), ("out", "inner")),
        lambda: files.usage(("out",)),
        lambda: list(files.walk(("out",))),
    ):
        with pytest.raises(FileError) as caught:
            act()
        assert caught.value.kind is Kind.UNSAFE
    assert files.usage() == Usage(7, 3)
    scene.check_outside()
    # Yet it can be moved, replaced and removed, itself.
    assert not files.move(("out",), ("inner", "out")).is_safe
    put(files, "inner/out", b"mine")
    assert get(files, "inner/out") == b"mine"
    link(scene, "out", OUT[way](scene))
    files.remove(("out",))
    assert listed(files) == ["inner"]
    scene.check_outside()


@pytest.mark.parametrize("target", ["missing", "loop", "inner/missing/x"])
def test_broken_links(scene: Scene, target: str) -> None:
    put(scene.files, "inner/a")
    link(scene, "loop", target)
    assert not scene.files.stat(("loop",)).is_safe
    for act in (scene.files.open, scene.files.list):
        with pytest.raises(FileError) as caught:
            act(("loop",))
        assert caught.value.kind in {Kind.MISSING, Kind.UNSAFE}
    put(scene.files, "loop", b"a file now")
    assert get(scene.files, "loop") == b"a file now"


def test_links_inside(scene: Scene) -> None:
    files = scene.files
    put(files, "data/2024/a", b"x" * 10)
    link(scene, "latest", "data/2024")
    link(scene, "a", "latest/a")
    link(scene, "data/up", "../data")
    assert get(files, "a") == get(files, "latest/a") == get(files, "data/up/up/2024/a") == b"x" * 10
    entry = files.stat(("a",))
    assert (entry.is_safe, entry.size, entry.etag) == (True, 10, files.stat(("data", "2024", "a")).etag)
    assert entry in files.list(())
    assert files.stat(("latest",)).is_folder
    put(files, "latest/b")
    assert (scene.root / "data/2024/b").exists()
    assert {entry.path for entry in files.walk(()) if not entry.is_safe} == {("a",), ("data", "up"), ("latest",)}
    assert files.usage() == Usage(17, 7)
    put(files, "a", b"replaced")  # the link, not what it leads to
    assert get(files, "data/2024/a") == b"x" * 10
    files.remove(("latest",))
    files.remove(("data",))
    assert visible(scene.root) == ["a"]


def test_removing_links_in_a_folder(scene: Scene) -> None:
    put(scene.files, "a/b/c")
    for name in ("a/out", "a/b/out"):
        link(scene, name, scene.outside)
        link(scene, f"{name}-file", scene.outside / "secret")
    scene.files.remove(("a",))
    assert visible(scene.root) == []
    link(scene, "out", scene.outside)
    scene.files.clear()
    scene.check_outside()


def test_our_hidden_names_lead_nowhere_either(scene: Scene) -> None:
    link(scene, ".~sciserver-mine", scene.outside)
    (scene.root / ".~sciserver-more").mkdir()
    own(scene.root / ".~sciserver-more")
    link(scene, ".~sciserver-more/out", scene.outside)
    assert listed(scene.files) == []
    assert scene.files.sweep(-1) == 2
    assert visible(scene.root) == []
    scene.check_outside()


def test_hard_links_stay_in_their_volume(scene: Scene) -> None:
    """The kernel makes none across two mounts, though it is one file system: as a container sees it."""
    if not IS_ROOT:
        pytest.skip("needs root")
    mounted = [scene.root.with_name(name) for name in ("one", "two")]
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c"),
            'mkdir "$3" "$4"; mount --bind "$1" "$3"; mount --bind "$2" "$4"; ln "$4/secret" "$3/got"; echo $?',
            *("sh", scene.root, scene.outside, *mounted),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"
    assert "cross-device" in done.stderr


def test_another_file_system_is_outside(scene: Scene) -> None:
    if not IS_ROOT:
        pytest.skip("needs root")
    (scene.root / "mounted").mkdir()
    own(scene.root / "mounted")
    subprocess.run(["mount", "--bind", scene.outside, scene.root / "mounted"], check=True)
    try:
        for act in (
            lambda: scene.files.list(("mounted",)),
            lambda: get(scene.files, "mounted/secret"),
            lambda: put(scene.files, "mounted/new"),
        ):
            with pytest.raises(FileError) as caught:
                act()
            assert caught.value.kind is Kind.UNSAFE
        assert scene.files.usage() == Usage(0, 1)
        with pytest.raises(FileError):
            scene.files.remove(("mounted",))
        scene.check_outside()
    finally:
        subprocess.run(["umount", scene.root / "mounted"], check=True)


@contextmanager
def swapping(scene: Scene, *pairs: str) -> Iterator[None]:
    """Names in the volume change places while this goes on, two by two."""
    child = subprocess.Popen([sys.executable, "-c", SWAPS, scene.root, *pairs], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    try:
        yield
    finally:
        child.kill()
        child.communicate()


def race(act: Callable[[int], object]) -> tuple[int, int]:
    """Try it again and again; how often it did what it should, and how often it was refused."""
    done = refused = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            act(done + refused)
            done += 1
        except FileError as error:
            if error.kind not in {Kind.UNSAFE, Kind.MISSING, Kind.NOT_A_FOLDER, Kind.EXISTS}:
                raise
            refused += 1
    return done, refused


def test_a_folder_that_turns_into_a_link(scene: Scene) -> None:
    """While files in it are read, listed, looked at, written and removed."""
    files = scene.files
    put(files, "a/secret", b"mine")
    put(files, "a/folder/secret", b"mine")
    link(scene, "b", scene.outside)
    with swapping(scene, "a", "b"):
        contents: set[bytes] = set()
        assert min(race(lambda _: contents.add(get(files, "a/secret")))) > 3
        assert min(race(lambda _: contents.add(get(files, "a/folder/secret")))) > 3
        assert contents == {b"mine"}
        sizes: set[int] = set()
        assert min(race(lambda _: sizes.update(entry.size for entry in files.list(("a",))))) > 3
        race(lambda _: sizes.update(entry.size for entry in files.walk(())))
        race(lambda _: sizes.add(files.usage().bytes))
        # Of ours are 4 bytes each: counted twice or not at all, as their folder moves.
        assert not {size for size in sizes if size % 4}
        assert min(race(lambda number: put(files, f"a/new-{number}"))) > 3
        assert min(race(lambda number: files.make_folder(("a", f"folder-{number}")))) > 3
        race(lambda number: files.move(("a", "folder"), ("a", f"moved-{number}", "folder")))
        race(lambda number: (put(files, f"mine-{number}"), files.move((f"mine-{number}",), ("a", f"got-{number}"))))
        scene.check_outside()
        race(lambda _: files.remove(("a", "secret")))
        race(lambda _: files.remove(("a", "folder")))
    scene.check_outside()


def test_a_file_that_turns_into_a_link(scene: Scene) -> None:
    put(scene.files, "a", b"mine")
    link(scene, "b", scene.outside / "secret")
    contents: set[bytes] = set()
    seen: set[tuple[bool, int]] = set()
    with swapping(scene, "a", "b"):
        assert min(race(lambda _: contents.add(get(scene.files, "a")))) > 3
        race(lambda _: seen.update((entry.is_safe, entry.size) for entry in scene.files.list(())))
    assert contents == {b"mine"}
    assert seen == {(True, 4), (False, 0)}
    scene.check_outside()


def test_a_file_that_turns_into_a_pipe(scene: Scene) -> None:
    """Reading it would wait for ever."""
    put(scene.files, "a", b"mine")
    os.mkfifo(scene.root / "b", 0o666)
    own(scene.root / "b")
    contents: set[bytes] = set()
    with swapping(scene, "a", "b"):
        assert min(race(lambda _: contents.add(get(scene.files, "a")))) > 3
    assert contents == {b"mine"}


def test_links_in_the_middle_of_a_path(scene: Scene) -> None:
    """Inner links are followed; one that is turned outwards while the kernel goes through it is not."""
    put(scene.files, "real/deep/secret", b"mine")
    put(scene.files, "real/deep/folder/secret", b"mine")
    link(scene, "inner", "real")
    link(scene, "outer", "..")
    link(scene, "real/to", "../inner/deep")
    link(scene, "real/away", "../outer/outside")
    contents: set[bytes] = set()
    with swapping(scene, "inner", "outer", "real/to", "real/away"):
        for path in ("real/to/secret", "inner/to/secret", "real/to/folder/secret"):
            race(lambda _, path=path: contents.add(get(scene.files, path)))  # type: ignore[misc]
        race(lambda number: put(scene.files, f"real/to/new-{number}"))
    assert contents == {b"mine"}
    scene.check_outside()


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_folders_that_are_renamed_while_they_are_removed(scene: Scene, depth: int) -> None:
    """A container renames folders and puts links in their places while we go through them."""
    above = "/".join(["a", "b", "c"][: depth + 1])
    link(scene, "out", scene.outside)
    link(scene, "out2", scene.outside)
    put(scene.files, "keep/file")
    end = time.monotonic() + SECONDS
    rounds = 0
    with swapping(scene, above, "out", f"{above}/x", "out2"):
        while time.monotonic() < end:
            for number in range(20):
                try:
                    put(scene.files, f"{above}/x/y{number % 3}/z/{number}")
                except FileError as error:
                    assert error.kind in {Kind.UNSAFE, Kind.MISSING, Kind.NOT_A_FOLDER}  # noqa: PT017
            try:
                scene.files.remove(("a",))
            except FileError as error:
                assert error.kind in {Kind.UNSAFE, Kind.MISSING, Kind.NOT_A_FOLDER}  # noqa: PT017
            rounds += 1
            scene.check_outside()
    assert rounds > 3
    assert get(scene.files, "keep/file") == b"content"
    scene.files.clear()
    scene.check_outside()
    assert visible(scene.root) == []


FILLS = """
import os, sys
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
os.chdir(sys.argv[1])
print(flush=True)
number = 0
while True:
    number += 1
    try:
        os.mkdir(str(number))
        os.chdir(str(number)) if number % 3 == 0 else open(f"{number}.txt", "w").close()
    except OSError:
        os._exit(0)
"""


def test_a_folder_that_is_filled_while_it_is_removed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is out of sight at once, and we do not run after it for ever."""
    monkeypatch.setattr(local_remove, "_LONGEST", 1.0)
    scene.files.make_folder(("a",))
    child = subprocess.Popen([sys.executable, "-c", FILLS, scene.root / "a", str(ACCOUNT)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(0.2)
    try:
        scene.files.remove(("a",))
    except FileError as error:
        assert error.kind is Kind.UNAVAILABLE  # noqa: PT017
    finally:
        child.kill()
        child.communicate()
    assert listed(scene.files) == []
    monkeypatch.undo()
    scene.files.clear()
    assert visible(scene.root) == []


def test_files_that_change_while_they_are_read(scene: Scene) -> None:
    """Cut, made longer, removed: reading gives what is there and ends."""
    put(scene.files, "a", b"x" * 1_000_000)
    reader = scene.files.open(("a",))
    os.truncate(scene.root / "a", 10)
    assert reader.read(0, 1000) == b"x" * 10
    assert reader.read(500, 1000) == b""
    os.truncate(scene.root / "a", 2000)
    assert len(reader.read(0, 5000)) == 2000
    reader.close()


def test_a_lease_on_a_file(scene: Scene) -> None:
    """A container can delay those who open its file; we do not wait."""
    put(scene.files, "a")
    code = (
        "import fcntl, os, sys, signal; signal.signal(signal.SIGIO, signal.SIG_IGN);"
        "fd = os.open(sys.argv[1], os.O_RDWR); fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK);"
        "print(flush=True); signal.pause()"
    )
    child = subprocess.Popen([sys.executable, "-c", code, scene.root / "a"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"\n"
    try:
        before = time.monotonic()
        with pytest.raises(FileError) as caught:
            get(scene.files, "a")
        assert caught.value.kind is Kind.UNAVAILABLE
        assert time.monotonic() - before < 5
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()


def test_the_kernel_knows_exchange() -> None:
    """What `swapping` is made of; without it the races above would not be ones."""
    assert ctypes.CDLL(None).renameat2 is not None
