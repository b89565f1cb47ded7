"""Real servers for the tests of sign-on: a small provider, the portal, and the hub with its proxy before it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from auth_platform import Platform, make_deployment
from oidc_server import OIDCServer

from tests.support import free_port


@pytest.fixture
async def server() -> AsyncIterator[OIDCServer]:
    """An OpenID Connect provider that can misbehave."""
    server = OIDCServer()
    yield server
    await server.close()


@pytest.fixture(scope="module")
def portal_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A portal without a hub."""
    platform = Platform(make_deployment(tmp_path_factory.mktemp("portal")))
    try:
        platform.start_portal()
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A portal and a hub behind the proxy."""
    platform = Platform(make_deployment(tmp_path_factory.mktemp("platform")))
    try:
        platform.start_portal()
        platform.start_hub()
        yield platform
    finally:
        platform.stop()


def _as_nobody(command: list[str]) -> None:
    # PostgreSQL refuses to run as root, which is what containers of a CI often are.
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    subprocess.run(command, check=True, capture_output=True, timeout=60, env={"LC_ALL": "C"}, cwd="/", **user)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL database: a cluster of its own, run by an account without privileges."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    # Not below pytest's directory, which other accounts cannot enter.
    home = Path(tempfile.mkdtemp(prefix="portal-pg-"))
    if os.getuid() == 0:
        shutil.chown(home, "nobody", "nogroup")
    port = free_port()
    try:
        _as_nobody(
            [
                str(binaries / "initdb"),
                "-D",
                f"{home}/data",
                "-U",
                "portal",
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
            ]
        )
        options = f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c fsync=off"
        _as_nobody([str(binaries / "pg_ctl"), "-D", f"{home}/data", "-o", options, "-l", f"{home}/log", "-w", "start"])
        _as_nobody([str(binaries / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "portal", "accounts"])
        yield f"postgresql://portal:not-a-secret@127.0.0.1:{port}/accounts"
        _as_nobody([str(binaries / "pg_ctl"), "-D", f"{home}/data", "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(home, ignore_errors=True)
