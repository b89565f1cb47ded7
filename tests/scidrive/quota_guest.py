"""What runs in User-Mode Linux, as its first process: the files of a deployment on ext4 with project quotas."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scidrive_service import projects
from scidrive_service.errors import FileError
from scidrive_service.files import Files
from tests.scidrive.files_support import ADA, directory, make, mine, put

# Not /tmp: the checkout, or its interpreter, may be there.
SCRATCH = Path("/mnt")
DISK = SCRATCH / "disk"


def prepare(modules: Path) -> None:
    """Mount the file system, whose quotas are modules of the kernel."""
    libc = ctypes.CDLL(None, use_errno=True)
    for name in ("quota_tree.ko", "quota_v2.ko"):
        file = os.open(modules / name, os.O_RDONLY)
        assert libc.syscall(313, file, b"", 0) == 0, ctypes.get_errno()  # finit_module
    for command in (["-t", "proc", "proc", "/proc"], ["-t", "tmpfs", "tmpfs", SCRATCH]):
        subprocess.run(["mount", *command], check=True)
    tempfile.tempdir = str(SCRATCH)
    DISK.mkdir()
    subprocess.run(["mount", "-t", "ext4", "-o", "prjquota", "/dev/ubda", DISK], check=True)


def say(*words: object) -> None:
    """One line, with the name of what is being tried."""
    print(f"{sys._getframe(1).f_code.co_name}:", *words, flush=True)


def files(home: str, **limits: Any) -> Files:
    return make(DISK / home, {"Storage": {"default_volumes": ["persistent"], **limits}})


def as_container(directory: Path, act: Callable[[], object]) -> int:
    """Do something in a volume as the containers' account; the number of the error, 0 for none."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.chdir(directory)
    os.setgroups([])
    os.setgid(1000)
    os.setuid(1000)
    try:
        act()
    except OSError as error:
        os._exit(error.errno or 255)
    os._exit(0)


def fill(size: int) -> Callable[[], object]:
    def act() -> None:
        with Path("big").open("wb", buffering=0) as file:
            for _ in range(size // 10_000):
                file.write(bytes(10_000))

    return act


def many(count: int) -> Callable[[], object]:
    return lambda: [Path(f"f{number}").write_bytes(b"") for number in range(count)]


def containers_are_stopped() -> None:
    """By the limits of their owner, over all volumes; a tenth later than the doors."""

    found = files("a", user_bytes=2_000_000, user_files=100)
    found.listing(ADA)
    found.create_volume(ADA, "Storage", "ada", "two", quiet=False)
    one, two = directory(found, mine(found)), directory(found, mine(found, name="two"))
    rows = [row["enforced"] for row in found.usage(ADA)]
    say("enforced", rows)
    put(mine(found), "a/b", b"x" * 1_000_000)
    say("little", as_container(two, fill(800_000)))
    say("much", as_container(two, fill(1_500_000)))
    size = (two / "big").stat().st_size
    say("stopped", 1_000_000 < size < 1_210_000, size)
    (two / "big").unlink()
    say("many", as_container(one, many(200)))
    try:
        put(mine(found), "c", b"x" * 1_100_000)
    except FileError as error:
        say("door", error.kind, error)


def volumes_are_protected_later() -> None:
    """Volumes that were there before the limits: with all that is in them, and nothing outside of them."""

    found = files("b")
    found.listing(ADA)
    put(mine(found), "deep/er/file", b"x" * 1_050_000)
    here = directory(found, mine(found))
    outside = DISK / "outside"
    outside.mkdir()
    (outside / "file").write_text("not in a volume")
    (here / "link").symlink_to(outside)
    os.mkfifo(here / "pipe")
    say("before", [row["enforced"] for row in found.usage(ADA)])
    found = files("b", volume_bytes=1_000_000)
    found.sweep()
    say("after", [row["enforced"] for row in found.usage(ADA)])

    def project(path: Path) -> int:
        file = os.open(path, os.O_RDONLY)
        try:
            return projects.project_of(file)
        finally:
            os.close(file)

    inside = {project(path) for path in (here, here / "deep", here / "deep" / "er", here / "deep" / "er" / "file")}
    say("inside", len(inside), min(inside) > 1_000_000_000)
    say("outside", project(outside), project(outside / "file"), project(here.parent))
    say("stopped", as_container(here, fill(500_000)))
    put(mine(found), "new/file", b"")
    say("new", project(here / "new" / "file") in inside)
    root = os.open(here, os.O_RDONLY)
    space, count = projects.used(root, min(inside))
    say("used", 1_000_000 < space <= 1_100_000, count)
    found.describe_volume(ADA, "Storage", "ada", "persistent", new_name="other")
    found.delete_volume(ADA, "Storage", "ada", "other", quiet=False)
    say("gone", here.exists())


def main() -> None:
    try:
        prepare(Path(sys.argv[1]))
        containers_are_stopped()
        volumes_are_protected_later()
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    Path("/proc/sysrq-trigger").write_text("o")


if __name__ == "__main__":
    main()
