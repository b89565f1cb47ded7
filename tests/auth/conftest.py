"""Real servers for the tests of sign-on: a small provider, the portal, and the hub with its proxy before it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from auth_platform import Platform, make_deployment
from oidc_server import OIDCServer


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
