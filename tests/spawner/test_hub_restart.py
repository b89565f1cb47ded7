"""A hub that is killed and comes back finds its users' servers as they are."""

import os
from contextlib import asynccontextmanager

import pytest

from sciserver_spawner import engine as engine_module
from tests.fakes.engine import Boot, Refuse
from tests.fakes.hub import Hub, client_session, hub_config, running_hub, stop_proxy, until


@pytest.fixture(autouse=True)
def _not_root(monkeypatch):
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setattr(engine_module, "SWEEP_INTERVAL", 0.05)


@pytest.fixture
def fake(hub_engine):
    """The module's engine: the spawner keeps its door to an engine as long as the process lives."""
    hub_engine.boot = Boot()
    hub_engine.requests.clear()
    yield hub_engine
    hub_engine.up()
    hub_engine.heal()
    for name in hub_engine.names:
        hub_engine.lose(name)


@pytest.fixture
def hubs(fake, tmp_path):
    """One hub after the other on the same database; each ends as if it was killed."""
    config = hub_config(fake, volumes_root=str(tmp_path / "volumes"))
    # What a server that does not answer has, before a new hub gives it up.
    config.Spawner.http_timeout = 1
    return lambda: running_hub(fake, config, tmp_path / "hub.sqlite")


@asynccontextmanager
async def after_restart(hubs):
    """A hub that was started after another one was killed while ada's server ran."""
    async with hubs() as hub:
        assert (await hub.start("ada")).status == 201
        before = hub.container("ada")
    assert before.running
    yield before


async def test_the_same_container_serves_on(hubs, fake):
    async with after_restart(hubs) as before, hubs() as hub:
        assert await hub.runs("ada")
        assert await hub.served_by("ada") == before.id
        # The new hub knows it well enough to stop it.
        assert (await hub.stop("ada")).status == 204
        assert not fake.containers


@pytest.mark.parametrize("trouble", ["down", "error"])
async def test_the_server_is_kept_while_the_engine_does_not_answer(hubs, fake, trouble):
    async with after_restart(hubs) as before:
        if trouble == "down":
            fake.down()
        else:
            fake.fault("*", Refuse(500, "restarting"))
        async with hubs() as hub:
            assert await hub.runs("ada")
            assert await hub.served_by("ada") == before.id
            fake.up()
            fake.heal()
            assert (await hub.stop("ada")).status == 204
            assert not fake.containers


@pytest.mark.parametrize("end", ["killed", "lost"])
async def test_a_server_that_ended_meanwhile_counts_as_stopped(hubs, fake, end):
    async with after_restart(hubs) as before:
        if end == "killed":
            fake.kill(before.name)
        else:
            fake.lose(before.name)
        async with hubs() as hub:
            await until(lambda: hub.user("ada").spawners[""].server is None)
            assert not await hub.runs("ada")
            assert (await hub.start("ada")).status == 201
            assert await hub.served_by("ada") == hub.container("ada").id != before.id


async def test_a_start_that_was_under_way_does_not_block_the_next(hubs, fake):
    fake.boot = Boot(delay=60)
    async with hubs() as hub:
        with hub.slow_after(0.001):
            assert (await hub.start("ada")).status == 202
        await until(lambda: fake.asked("start"))
        left = hub.container("ada").id
    fake.boot = Boot()
    # A killed process tidies nothing up; here it may have begun to.
    if left not in fake.containers:
        fake.place("sciserver-test-ada")
    async with hubs() as hub:
        assert not await hub.runs("ada")
        assert (await hub.start("ada")).status == 201
        assert [container.running for container in fake.containers.values()] == [True]


async def test_the_spawner_works_in_the_communitys_test_plugin(hub_app, fake, tmp_path):
    # pytest-jupyterhub is what other spawners are tested with; it leaves the proxy to us.
    app = await hub_app(hub_config(fake, volumes_root=str(tmp_path)))
    try:
        async with client_session() as session:
            hub = Hub(app, fake, session)
            assert (await hub.start("ada")).status == 201
            assert await hub.served_by("ada") == hub.container("ada").id
            assert (await hub.stop("ada")).status == 204
            assert not fake.containers
    finally:
        await stop_proxy(app)
