"""Loading of the demonstration data: once per content, whole or not at all, and never over an operator's own."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from casjobs_service.contexts import ContextError, Contexts
from casjobs_service.demo import loading
from sciserver_cli import data
from sciserver_cli.errors import OperatorError


@pytest.fixture
def contexts(tmp_path: Path) -> Contexts:
    """No contexts yet."""
    return Contexts(tmp_path / "casjobs" / "contexts")


@pytest.fixture
def loaded(contexts: Contexts) -> Contexts:
    """With OpenNGC, the smallest."""
    assert loading.load(contexts, ["openngc"], full=False, say=print) == ["OpenNGC"]
    return contexts


def _rows(contexts: Contexts) -> int:
    context = contexts.require("OpenNGC")
    with duckdb.connect(str(context.data_file), read_only=True) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM objects").fetchall()
    return count


def _state(contexts: Contexts, name: str = "OpenNGC") -> str:
    return next(one.state for one in loading.states(contexts) if one.name == name)


def test_what_is_up_to_date_is_left_alone(loaded: Contexts) -> None:
    before = loaded.require("OpenNGC")
    said: list[str] = []
    assert loading.load(loaded, ["OpenNGC"], full=False, say=said.append) == []
    # Also where the full mode would make the same.
    assert loading.load(loaded, ["OpenNGC"], full=True, say=said.append) == []
    assert loaded.require("OpenNGC") == before
    assert said == []


def test_another_version_is_made_anew_and_settings_of_the_operator_stay(loaded: Contexts) -> None:
    loaded.update("OpenNGC", public=False, groups=("astronomers",))
    record = loaded.directory.parent / "demo.json"
    entries = json.loads(record.read_text())
    entries["OpenNGC"]["version"] = "0123456789abcdef-small"
    record.write_text(json.dumps(entries))
    assert _state(loaded) == "outdated"
    before = loaded.require("OpenNGC")
    assert loading.load(loaded, ["OpenNGC"], full=False, say=print) == ["OpenNGC"]
    after = loaded.require("OpenNGC")
    assert _state(loaded) == "current"
    assert after.data != before.data
    assert (after.public, after.groups) == (False, ("astronomers",))
    # Queries that began before find their file.
    assert before.data_file is not None
    assert before.data_file.exists()


def test_a_context_of_the_operator_is_never_touched(contexts: Contexts) -> None:
    own = contexts.create("Hipparcos", title="Ours")
    with pytest.raises(ContextError, match="not of the demonstration data"):
        loading.load(contexts, ["hipparcos"], full=False, say=print)
    assert _state(contexts, "Hipparcos") == "foreign"
    assert contexts.require("Hipparcos") == own


def test_what_the_operator_removed_comes_back_only_when_asked_for(loaded: Contexts) -> None:
    loaded.remove("OpenNGC")
    assert _state(loaded) == "removed"
    for name in set(loading.SMALL) - {"OpenNGC"}:
        loaded.create(name)
    assert loading.ensure_demo(loaded, print) == []
    assert loaded.get("OpenNGC") is None
    assert loading.load(loaded, ["OpenNGC"], full=False, say=print) == ["OpenNGC"]
    assert _rows(loaded) == 14_033


def test_a_failure_while_starting_is_only_said(tmp_path: Path) -> None:
    (tmp_path / "casjobs").write_text("a file in the way")
    said: list[str] = []
    assert loading.ensure_demo(Contexts(tmp_path / "casjobs" / "contexts"), said.append) == []
    assert "was not loaded" in said[-1]
    assert "sciserver data load" in said[-1]


_LOAD = """
import sys
from pathlib import Path
from casjobs_service.contexts import Contexts
from casjobs_service.demo import loading
loading.load(Contexts(Path(sys.argv[1])), ["OpenNGC"], full=False, say=print, force=True)
"""


def _killed_when(contexts: Contexts, path: Path) -> None:
    """Load in a process of its own, and kill that as soon as `path` exists."""
    process = subprocess.Popen([sys.executable, "-c", _LOAD, str(contexts.directory)])
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_killed_in_the_middle_the_old_data_stays(loaded: Contexts) -> None:
    before = loaded.require("OpenNGC")
    number = loaded.next_generation(before)
    _killed_when(loaded, before.directory / f"data-{number}.duckdb")
    assert loaded.require("OpenNGC") == before
    assert _rows(loaded) == 14_033
    assert _state(loaded) == "current"
    assert loading.load(loaded, ["OpenNGC"], full=False, say=print, force=True) == ["OpenNGC"]
    assert _rows(loaded) == 14_033
    loaded.sweep("OpenNGC", grace=0)
    assert len(list(before.directory.iterdir())) == 3


def test_killed_before_there_was_any_data_it_is_made_later(contexts: Contexts) -> None:
    _killed_when(contexts, contexts.directory / "OpenNGC" / "context.json")
    if (context := contexts.get("OpenNGC")) is not None:
        assert not context.public
    assert _state(contexts) == "missing"
    assert loading.load(contexts, ["OpenNGC"], full=False, say=print) == ["OpenNGC"]
    assert contexts.require("OpenNGC").public


def _run(home: Path, *arguments: str) -> dict:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--home")
    parser = argparse.ArgumentParser()
    data.add_parser(parser.add_subparsers(required=True), common)
    options = parser.parse_args(["data", *arguments, "--home", str(home)])
    return options.run(options)


def test_the_command(tmp_path: Path) -> None:
    states = {one["name"]: one["state"] for one in _run(tmp_path, "list")["contexts"]}
    assert states == dict.fromkeys(loading.FULL, "missing")
    assert _run(tmp_path, "load", "OpenNGC")["made"] == ["OpenNGC"]
    assert _run(tmp_path, "load", "OpenNGC")["text"] == "Everything is up to date."
    assert _run(tmp_path, "load", "--force", "opENngc")["made"] == ["OpenNGC"]
    listed = _run(tmp_path, "list")
    assert listed["contexts"][0]["rows"] == 52_990
    assert "OpenNGC     current" in listed["text"]
    with pytest.raises(OperatorError, match="no demonstration context Millennium: OpenNGC, Hipparcos"):
        _run(tmp_path, "load", "Millennium")
