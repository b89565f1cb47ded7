"""The engine and the images that tests on the real engine need, made with the operator's own code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from sciserver_cli import engine_setup
from sciserver_spawner import images

TESTS = Path(__file__).parent


# Directories whose tests use the machine's engine: together, so that images are built once.
ON_THE_ENGINE = {"browser", "cli", "images", "integration"}


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares fixtures, when tests run in several processes (`make test`)."""
    for item in items:
        directory = item.path.relative_to(TESTS).parts[0]
        group = "engine" if directory in ON_THE_ENGINE else directory
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The machine's Docker Engine, started if need be, with every image of the checkout."""
    client = engine_setup.ensure_engine(print)
    for image in images.catalogue():
        engine_setup.ensure_image(client, image, print)
    yield client
    client.close()
