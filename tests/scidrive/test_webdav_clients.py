"""Debian's WebDAV clients, through the proxy: cadaver and rclone."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scidrive.dav_support import Dav
from tests.scidrive.drive_platform import DrivePlatform


@pytest.fixture
def mine(platform: DrivePlatform) -> Dav:
    return Dav(f"{platform.url}/dav", "ada-l", platform.token("ada-l"))


@pytest.fixture
def place(mine: Dav) -> Iterator[str]:
    """A folder of its own for a test, in Ada's SciDrive."""
    path = f"SciDrive/{uuid.uuid4().hex[:8]}"
    assert mine.ask("MKCOL", path).status_code == 201
    yield path
    mine.ask("DELETE", path)


def test_cadaver(platform: DrivePlatform, mine: Dav, place: str, tmp_path: Path) -> None:
    port = platform.deployment.port
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login ada-l password {platform.token('ada-l')}\n")
    (tmp_path / "sky.txt").write_text("stars\n")
    commands = [
        "put sky.txt",
        "mkcol two words",
        "copy sky.txt copy.txt",
        "move copy.txt moved.txt",
        "lock sky.txt",
        "put sky.txt",
        "unlock sky.txt",
        "propset sky.txt survey SDSS",
        "propget sky.txt survey",
        "get moved.txt back.txt",
        "ls",
        "delete moved.txt",
        "quit",
    ]
    result = subprocess.run(
        ["cadaver", f"http://127.0.0.1:{port}/services/scidrive/dav/{place}/"],
        input="\n".join(commands) + "\n",
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "failed" not in result.stdout.lower(), result.stdout + result.stderr
    assert "SDSS" in result.stdout
    assert (tmp_path / "back.txt").read_text() == "stars\n"
    assert mine.names(place) == ["sky.txt", "two words/"] or mine.names(place) == ["sky.txt", "two/", "words/"]


class Rclone:
    """rclone with the remotes ``drive:``, which is all, and ``own:``, which is Ada's SciDrive."""

    def __init__(self, platform: DrivePlatform, home: Path) -> None:
        self._config = home / "rclone.conf"
        obscured = self._run("obscure", platform.token("ada-l")).stdout.strip()
        self._config.write_text(
            "".join(
                f"[{name}]\ntype = webdav\nurl = {url}\nvendor = owncloud\nuser = ada-l\npass = {obscured}\n"
                for name, url in [("drive", f"{platform.url}/dav/"), ("own", f"{platform.url}/dav/SciDrive")]
            )
        )

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["rclone", "--config", str(self._config), "--retries", "1", "--low-level-retries", "1", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def __call__(self, *arguments: str) -> str:
        result = self._run(*arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture
def rclone(platform: DrivePlatform, tmp_path: Path) -> Rclone:
    return Rclone(platform, tmp_path)


def test_rclone(rclone: Rclone, place: str, tmp_path: Path) -> None:
    """200 files in folders, with names of all kinds, there and back again; then what has changed only."""
    source, back = tmp_path / "source", tmp_path / "back"
    for number in range(200):
        folder = source / f"folder {number % 7}" / "deeper ü"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file #{number} 100% & ä🙂.dat").write_bytes(os.urandom(number * 10))
    remote = f"drive:{place}/tree"
    rclone("copy", str(source), remote, "--transfers", "8")
    rclone("check", str(source), remote, "--download")
    # Nothing has changed, and rclone knows: files keep their times.
    assert rclone("copy", str(source), remote, "--dry-run", "--use-json-log") == ""
    same = next(source.rglob("file #9 *"))
    same.write_bytes(b"x" * same.stat().st_size)
    rclone("sync", str(source), remote)
    rclone("check", str(source), remote, "--download")
    rclone("copy", remote, str(back), "--transfers", "8")
    assert _content(back) == _content(source)
    changed = next(source.rglob("file #7 *"))
    changed.write_bytes(b"changed")
    next(source.rglob("file #8 *")).unlink()
    rclone("sync", str(source), remote)
    rclone("check", str(source), remote, "--download")
    rclone("moveto", f"{remote}/folder 1", f"drive:{place}/moved")
    rclone("copyto", f"{remote}/folder 2", f"drive:{place}/copied")
    assert set(rclone("lsf", f"drive:{place}").split()) == {"tree/", "moved/", "copied/"}
    rclone("purge", remote)
    assert set(rclone("lsf", f"drive:{place}").split()) == {"moved/", "copied/"}


def test_rclone_with_a_large_file(rclone: Rclone, platform: DrivePlatform, place: str, tmp_path: Path) -> None:
    large, back = tmp_path / "large", tmp_path / "back"
    piece = os.urandom(1024 * 1024)
    with large.open("wb") as file:
        for _ in range(64):
            file.write(piece)
    rclone("copyto", str(large), f"drive:{place}/large")
    assert platform.drive("ada-l").joinpath(*place.split("/")[1:], "large").read_bytes() == large.read_bytes()
    rclone("copyto", f"drive:{place}/large", str(back), "--multi-thread-streams", "4", "--multi-thread-cutoff", "1M")
    assert back.read_bytes() == large.read_bytes()
    # It asks at the address that it was given.
    about = rclone("about", "own:")
    assert "Used" in about


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
