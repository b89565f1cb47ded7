"""A Jupyter server with SciDrive, and the real service behind it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scidrive.drive_platform import Client, DrivePlatform
from tests.server_extensions.spawning import Owner, people, spawner_config

CONFIG = """
from scidrive_service.policy import DEFAULTS
roots = {name: dict(settings) for name, settings in DEFAULTS.items()}
roots["SciDrive"] |= {"volume_bytes": 3 << 30}
c.SciDrive.root_volumes = roots
c.SciDrive.upload_bytes = 2 << 30
c.SciDrive.count_seconds = 2
"""

Contents = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrivePlatform]:
    """A running hub and SciDrive. The hub starts servers that have the extension."""
    home = tmp_path_factory.mktemp("scidrive")
    platform = DrivePlatform(home, CONFIG)
    with (home / "jupyterhub_config.py").open("a") as file:
        file.write(spawner_config(home, "jupyter_scidrive", "SciDriveHost", platform.direct_url))
    with platform.running():
        yield platform


@pytest.fixture(scope="session")
def site(platform: DrivePlatform) -> Iterator[dict[str, Owner]]:
    """Ada, who has a server with the extension, and Bob, who has none."""
    with people(platform) as both:
        yield both


@pytest.fixture
def ada(platform: DrivePlatform, token_path: Path) -> Client:
    """Whose server it is, where she uses SciDrive without it."""
    token_path.write_text(platform.token("ada-l"))
    return platform.client("ada-l", direct=True)


@pytest.fixture
def drive(platform: DrivePlatform, ada: Client) -> Iterator[Path]:
    """Her drive's directory, as containers see it; empty. What tests make there, everybody may change."""
    assert ada.call("GET", "vospace-2.0/1/metadata/sandbox/").status_code == 200
    directory = platform.drive("ada-l")
    for path in directory.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = os.umask(0)
    yield directory
    os.umask(before)


@pytest.fixture
def upstream(platform: DrivePlatform) -> str:
    """Address of the service."""
    return platform.direct_url


@pytest.fixture
def options() -> dict[str, Any]:
    """More of the server's configuration."""
    return {}


@pytest.fixture
def jp_server_config(upstream: str, token_path: Path, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {"jupyter_scidrive": True}, "allow_unauthenticated_access": False},
        "SciDriveExtension": {"upstream": upstream, "token_path": str(token_path)},
        **options,
    }


@pytest.fixture
def contents(call: Any) -> Contents:
    """A request of a file browser: ``contents("PUT", "a/b.txt", {…}, status=201)``; the answer's JSON."""

    async def send(method: str, path: str = "", model: Any = None, *, status: int = 200, **options: Any) -> Any:
        body = None if model is None else json.dumps(model).encode()
        if model is None and method in {"POST", "PUT", "PATCH"}:
            body = b""
        answer = await call(method, f"sciserver/scidrive/contents{path and '/'}{path}", body=body, **options)
        assert answer.code == status, (answer.code, answer.body)
        return json.loads(answer.body) if answer.body else None

    return send
