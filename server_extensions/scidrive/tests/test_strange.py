"""Something else at the address of SciDrive."""

from __future__ import annotations

import pytest

from tests.server_extensions.odd_service import Call, OddService


@pytest.fixture
def upstream(odd: OddService) -> str:
    return odd.url


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"path": 1}', b'{"path": "/", "rev": 1e30, "is_dir": true, "bytes": 0}']
)
async def test_what_is_not_scidrive_is_told(contents, odd: OddService, body: bytes) -> None:
    async def script(request: Call) -> None:
        await request.body()
        await request.answer(body, content_type="application/json")

    odd.script = script
    model = {"type": "file", "format": "text", "content": "x"}
    for error in (await contents("GET", status=502), await contents("PUT", "a", model, status=502)):
        assert "cannot be understood" in error["message"]


@pytest.mark.parametrize(
    "status", ["404 Not Found", "418 I'm a teapot", "500 Internal Server Error", "302 Found", "520 Odd"]
)
async def test_errors_without_a_text(contents, odd: OddService, status: str) -> None:
    async def script(request: Call) -> None:
        await request.answer(b"no JSON", status)

    odd.script = script
    wanted = 502 if status.startswith("302") else int(status[:3])
    assert (await contents("GET", "a", status=wanted))["message"]
