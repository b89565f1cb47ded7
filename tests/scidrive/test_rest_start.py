"""The service does not start, and says why in one line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sciserver_common.deployment import SERVICE_PORTS, Deployment
from tests.auth.auth_platform import make_deployment


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """One without a hub."""
    return make_deployment(tmp_path_factory.mktemp("start"))


def run(deployment: Deployment, *arguments: str) -> str:
    """What it says, and nothing else, before it ends with 1."""
    result = subprocess.run(
        [sys.executable, "-m", "scidrive_service", "--log-level=CRITICAL", *arguments],
        env=os.environ | {"SCISERVER_HOME": str(deployment.home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("scidrive: ")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_a_configuration_file_that_fails(deployment: Deployment, tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text("c.SciDrive.link_hours = 1 / 0\n")
    assert "ZeroDivisionError" in run(deployment, f"--config={config}")
    assert "no such configuration file" in run(deployment, f"--config={tmp_path}/none.py")


def test_root_volumes_that_cannot_be(deployment: Deployment, tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    for settings in ("{'../x': {}}", "{'Storage': {'quota': 7}}", "{'Storage': {'user_bytes': 'much'}}"):
        config.write_text(f"c.SciDrive.root_volumes = {settings}\n")
        assert "oot volume" in run(deployment, f"--config={config}")


def test_no_database(deployment: Deployment) -> None:
    said = run(deployment, "--SciDrive.store_url=postgresql://someone:hidden@127.0.0.1:1/scidrive")
    assert "SciDrive.store_url" in said
    assert "hidden" not in said


@pytest.mark.parametrize("name", ["scidrive", "dav"])
def test_a_port_that_is_taken(deployment: Deployment, name: str) -> None:
    with socket.create_server((deployment.internal_host, SERVICE_PORTS[name])):
        assert "cannot be listened on" in run(deployment)
