"""A deployment on the real engine, started as an operator would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from sciserver_spawner.naming import LABEL
from tests.support import Platform


@pytest.fixture(scope="package")
def platform(tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient) -> Iterator[Platform]:
    # Half a minute by default: tests wait for the hub to see that a container is gone.
    yield from deploy(tmp_path_factory.mktemp("platform") / "home", "c.Spawner.poll_interval = 3\n")


def deploy(home: Path, configuration: str = "") -> Iterator[Platform]:
    """A running deployment; afterwards nothing of it is left on the engine."""
    platform = Platform(home)
    platform.configure(configuration)
    try:
        platform.up()
        yield platform
    finally:
        platform.run("down", check=False)
        remove_from_engine(platform)


def remove_from_engine(platform: Platform) -> None:
    """Containers and network of a deployment."""
    client = docker.from_env()
    label = f"{LABEL}.deployment={platform.deployment.id}"
    for container in client.containers.list(all=True, filters={"label": label}):
        container.remove(force=True)
    for network in client.networks.list(filters={"label": label}):
        network.remove()
    client.close()
