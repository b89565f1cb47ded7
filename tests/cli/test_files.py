"""``sciserver files``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scidrive_service.errors import FileError
from tests.scidrive.files_support import ADA, BOB, make, mine, put, stop
from tests.support import Platform


@pytest.fixture
def nothing(tmp_path: Path) -> Platform:
    """A home directory in which no deployment was made."""
    return Platform(tmp_path / "home")


def test_before_the_first_up(nothing: Platform) -> None:
    result = nothing.run("files", "forget", "ada", check=False)
    assert result.returncode == 1
    assert "run `sciserver up` first" in result.stderr
    assert not nothing.home.exists()


def test_files_of_a_deleted_user_are_set_aside_while_the_service_runs(nothing: Platform) -> None:
    running = make(nothing.home)
    running.registry._seconds = 0.0  # what it believes for a few seconds
    put(mine(running), "diary")
    running.share(ADA, "Storage", "ada", "persistent", [{"name": "bob", "allowedActions": ["read"]}])
    result = json.loads(nothing.run("files", "forget", "ada", "--json").stdout)
    (aside,) = map(Path, result["directories"])
    assert (aside / "persistent" / "diary").read_text() == "hello"
    assert aside.parent == nothing.home / "volumes" / "Storage"
    with pytest.raises(FileError):
        running.volume(BOB, "Storage", "ada", "persistent")
    assert mine(running).list(()) == []  # another person of that name
    stop(running)


def test_a_user_without_files(nothing: Platform) -> None:
    stop(make(nothing.home))
    assert "eve had no directories" in nothing.run("files", "forget", "eve").stdout
    assert json.loads(nothing.run("files", "forget", "../x", "--json").stdout)["directories"] == []
