"""`jupyterhub -f jupyterhub_config.py`, without the operator's command: the hub starts portal and proxy itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from sciserver_common.deployment import SOURCE, Deployment
from sciserver_spawner.naming import container_name
from tests.integration.conftest import remove_from_engine
from tests.support import Platform, wait_until

pytestmark = pytest.mark.docker


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Platform]:
    """A home with nothing but an address."""
    platform = Platform(tmp_path / "home")
    Deployment.load(platform.home).replace(port=platform.port, public_url=platform.url).save()
    yield platform
    remove_from_engine(platform)


def start_hub(platform: Platform) -> subprocess.Popen[bytes]:
    environment = os.environ | {"SCISERVER_HOME": str(platform.home)}
    command = [sys.executable, "-m", "jupyterhub", "-f", str(SOURCE / "jupyterhub_config.py")]
    with (platform.home / "hub.log").open("ab") as log:
        hub = subprocess.Popen(command, cwd=platform.home, env=environment, stdout=log, stderr=log)
    wait_until(platform.answers, what="hub and portal answer")
    return hub


def stop_hub(hub: subprocess.Popen[bytes]) -> None:
    hub.terminate()
    hub.wait(60)


def test_sign_in_start_and_find_the_server_again(alone: Platform, engine: docker.DockerClient) -> None:
    hub = start_hub(alone)
    try:
        person = alone.add_user("lone")
        assert person.sign_in().url == alone.url + "/hub/home"
        person.start(image="base")
        assert person.server().request("GET", "status").status_code == 200
        before = engine.containers.get(container_name(alone.deployment.id, "lone", "")).id
        stop_hub(hub)
        assert engine.containers.get(before).status == "running"
        hub = start_hub(alone)
        person.sign_in()
        person.wait_ready()
        assert engine.containers.get(container_name(alone.deployment.id, "lone", "")).id == before
        assert person.server().request("GET", "status").status_code == 200
    finally:
        stop_hub(hub)
