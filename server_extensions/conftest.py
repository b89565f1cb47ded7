"""What the tests of both extensions share: a Jupyter server with one of them, and somebody who uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPResponse

from tests.chance import load_profiles, second_try_only_for
from tests.server_extensions.odd_service import OddService

pytest_plugins = ["pytest_jupyter.jupyter_server"]

load_profiles()

TOKEN = "the-token-of-this-server"

PROCESSES = {"notebook_server", "odd", "platform", "site"}
"""Fixtures that start processes, or measure them, which the machine may hold up."""

Caller = Callable[..., Awaitable[HTTPResponse]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    second_try_only_for(PROCESSES, items)


@pytest.fixture
def token_path(tmp_path: Path) -> Path:
    """The file with the server's token for the service."""
    path = tmp_path / "keystone.token"
    path.write_text(TOKEN + "\n")
    return path


@pytest.fixture
def odd(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[OddService]:
    """A service that misbehaves as it is told."""
    service = OddService()
    jp_asyncio_loop.run_until_complete(service.start())
    yield service
    jp_asyncio_loop.run_until_complete(service.stop())


@pytest.fixture
def call(jp_serverapp: Any, http_server_client: Any, jp_base_url: str, jp_auth_header: dict[str, str]) -> Caller:
    """A request to the extension, with the server's token; errors are answers, and redirects are not followed.

    ``call("GET", "sciserver/…", headers={…}, body=…)``: the path goes as it is. ``signed_in=False`` leaves the token
    out.
    """

    async def send(method: str, path: str, *, signed_in: bool = True, **options: Any) -> HTTPResponse:
        headers = (jp_auth_header if signed_in else {}) | options.pop("headers", {})
        return await http_server_client.fetch(
            jp_base_url + path,
            method=method,
            headers=headers,
            raise_error=False,
            follow_redirects=False,
            allow_nonstandard_methods=True,
            request_timeout=options.pop("timeout", 120),
            **options,
        )

    return send
