"""The engine and the images that tests on the real engine need, made with the operator's own code."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from sciserver_cli import engine_setup
from sciserver_spawner import images


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The machine's Docker Engine, started if need be, with every image of the checkout."""
    client = engine_setup.ensure_engine(print)
    for image in images.catalogue():
        engine_setup.ensure_image(client, image, print)
    yield client
    client.close()
