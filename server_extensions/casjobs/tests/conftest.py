"""A Jupyter server whose CasJobs is an odd service; the tests of the real one choose another address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.casjobs.casjobs_platform import CasJobsPlatform, make_context
from tests.server_extensions.odd_service import OddService
from tests.server_extensions.spawning import Owner, people, spawner_config


@pytest.fixture
def upstream(odd: OddService) -> str:
    """Address of the service."""
    return odd.url


@pytest.fixture
def jp_server_config(upstream: str, token_path: Path) -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {"jupyter_casjobs": True}, "allow_unauthenticated_access": False},
        "CasJobsExtension": {"upstream": upstream, "token_path": str(token_path)},
    }


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CasJobsPlatform]:
    """A running hub and CasJobs, with the context Sky. The hub starts servers that have the extension."""
    home = tmp_path_factory.mktemp("casjobs")
    platform = CasJobsPlatform(home)
    with (home / "jupyterhub_config.py").open("a") as file:
        file.write(spawner_config(home, "jupyter_casjobs", "CasJobsRESTUri", f"{platform.direct_url}/RestApi"))
    make_context(platform.contexts, "Sky", public=True)
    with platform.running():
        yield platform


@pytest.fixture(scope="session")
def site(platform: CasJobsPlatform) -> Iterator[dict[str, Owner]]:
    """Ada, who has a server with the extension, and Bob, who has none."""
    with people(platform) as both:
        yield both
