"""Fixtures of the spawner's tests: an engine of their own, and docker-py's door to it."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import pytest

from sciserver_spawner import engine as engine_module
from sciserver_spawner.engine import Engine
from tests.fakes.engine import FakeEngine


@pytest.fixture(scope="module")
def short_directory():
    # pytest's own directories can be too deep for a socket's path.
    path = Path(tempfile.mkdtemp(prefix="sci"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def fake(short_directory):
    """A fake engine with one image."""
    with FakeEngine(short_directory) as fake:
        fake.images.add("site/image:1")
        yield fake


@pytest.fixture
def engine(fake):
    """The spawner's door to the fake."""
    return Engine(fake.url)


def shorten_lanes(monkeypatch, seconds):
    """Give up on an engine after `seconds`, so that a test need not wait as long as an operator would."""
    lanes = {name: dataclasses.replace(lane, timeout=seconds) for name, lane in engine_module.LANES.items()}
    # As in production, a pull may take as long as it takes.
    lanes["pull"] = engine_module.LANES["pull"]
    monkeypatch.setattr(engine_module, "LANES", lanes)


@pytest.fixture
def impatient(monkeypatch):
    """Short time limits for calls to the engine; must come before the first call."""
    shorten_lanes(monkeypatch, 0.5)
