"""What all tests share: how they are divided among processes, chance, and the engine with its images."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from sciserver_cli import engine_setup
from sciserver_spawner import images
from tests.chance import load_profiles, second_try_only_for

if TYPE_CHECKING:
    from xdist.remote import Producer

    from tests.lanes import Lanes

load_profiles()


# Of a test with the real engine, seconds: the first one waits for the images, which may be built meanwhile.
ENGINE_TIMEOUT = 1200


# Fixtures that start processes, which the machine may hold up: hubs, portals, databases, workers of CasJobs.
PROCESSES = {
    "bare",
    "casjobs_site",
    "ceph",
    "drive_site",
    "fragile",
    "hub",
    "hubs",
    "limited",
    "mailing",
    "mocked",
    "module_hub",
    "moved",
    "parts",
    "people",
    "platform",
    "pool",
    "portal_only",
    "portal_site",
    "postgresql",
    "process",
    "said",
    "server",
    "session",
    "shared",
    "site",
    "strict",
    "talkative",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """More time for what needs the real engine; a second try (`.ci/run`) only for what is not alone on the machine."""
    real = [item for item in items if any(item.get_closest_marker(name) for name in ("docker", "browser"))]
    for item in real:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(ENGINE_TIMEOUT))
    second_try_only_for(PROCESSES, [item for item in items if item not in real])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    """Whole files, or directories, go to one process each."""
    from tests.lanes import Lanes

    return Lanes(config, log)


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Hold back other test processes of this account that are about to do the same."""
    path = Path(tempfile.gettempdir()) / f"sciserver-tests-{os.getuid()}-{what}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        # The system frees it when the process dies.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The machine's Docker Engine, started if need be, with every image of the checkout."""
    with alone("engine"):
        client = engine_setup.ensure_engine(print)
        for image in images.catalogue():
            engine_setup.ensure_image(client, image, print)
    yield client
    client.close()
