"""Fixtures of the spawner's tests: an engine of their own, and docker-py's door to it."""

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from sciserver_spawner import engine as engine_module
from sciserver_spawner.engine import Engine
from tests.fakes.engine import Boot, FakeEngine
from tests.fakes.hub import hub_config, running_hub, until


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


@pytest.fixture(scope="module")
def hub_engine(short_directory):
    """The engine of the module's hub, with two images."""
    directory = short_directory / "hub"
    directory.mkdir()
    with FakeEngine(directory) as fake:
        fake.images |= {"site/python:1", "site/r:1"}
        yield fake


@pytest.fixture(scope="module")
def spawner_settings():
    """Settings of the module's spawner: a module may have its own."""
    return {}


@pytest.fixture(scope="module")
async def module_hub(hub_engine, short_directory, spawner_settings):
    config = hub_config(hub_engine, volumes_root=str(short_directory / "volumes"), **spawner_settings)
    async with running_hub(hub_engine, config, short_directory / "hub.sqlite") as hub:
        yield hub


@pytest.fixture
async def hub(module_hub, hub_engine, monkeypatch):
    """The module's hub, without servers or users of earlier tests, on an engine without faults."""
    # The tests need not be root: to give directories away is tried in the tests of volumes.
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setattr(engine_module, "SWEEP_INTERVAL", 0.05)
    hub_engine.boots.clear()
    hub_engine.requests.clear()
    hub_engine.boot = Boot()
    yield module_hub
    hub_engine.up()
    await module_hub.clear()
    # Nothing is left behind, whatever the test did.
    await until(lambda: not hub_engine.containers)
