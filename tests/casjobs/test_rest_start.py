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
        [sys.executable, "-m", "casjobs_service", "--log-level=ERROR", *arguments],
        env=os.environ | {"SCISERVER_HOME": str(deployment.home)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("casjobs: ")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_a_configuration_file_that_fails(deployment: Deployment, tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text("c.CasJobs.quota = 1 / 0\n")
    assert "ZeroDivisionError" in run(deployment, f"--config={config}")


def test_no_database(deployment: Deployment) -> None:
    said = run(deployment, "--CasJobs.store_url=postgresql://someone:hidden@127.0.0.1:1/casjobs")
    assert "CasJobs.store_url" in said
    assert "hidden" not in said


def test_a_port_that_is_taken(deployment: Deployment) -> None:
    with socket.create_server((deployment.internal_host, SERVICE_PORTS["casjobs"])):
        assert "cannot be listened on" in run(deployment)


def test_a_directory_that_another_service_uses(deployment: Deployment) -> None:
    file = deployment.casjobs_dir / "sessions.lock"
    holder = (
        f"import fcntl, sys; f = open({str(file)!r}, 'wb'); fcntl.flock(f, 2); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        # It ends with its input, which is closed at the end of the block.
        assert "Another CasJobs service" in run(deployment)
