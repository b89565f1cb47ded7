"""A Jupyter server whose CasJobs is an odd service; the tests of the real one choose another address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.server_extensions.odd_service import OddService


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
