"""Who may use the drive, and from where: all of its addresses, by all methods."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import requests

from tests.server_extensions.spawning import Owner

BASE = "sciserver/scidrive"

REQUESTS = [
    ("GET", f"{BASE}/rest/vospace-2.0/1/metadata/sandbox/"),
    ("PUT", f"{BASE}/rest/vospace-2.0/1/files_put/sandbox/a"),
    ("POST", f"{BASE}/rest/vospace-2.0/1/fileops/create_folder"),
    ("DELETE", f"{BASE}/rest/vospace-2.0/nodes/kept"),
    ("GET", f"{BASE}/contents"),
    ("GET", f"{BASE}/contents/kept"),
    ("PUT", f"{BASE}/contents/a"),
    ("POST", f"{BASE}/contents"),
    ("PATCH", f"{BASE}/contents/kept"),
    ("DELETE", f"{BASE}/contents/kept"),
    ("GET", f"{BASE}/contents/kept/checkpoints"),
    ("POST", f"{BASE}/contents/kept/checkpoints"),
    ("POST", f"{BASE}/contents/kept/checkpoints/checkpoint"),
    ("DELETE", f"{BASE}/contents/kept/checkpoints/checkpoint"),
]


@pytest.fixture
def kept(drive: Path) -> Path:
    """A drive with one file in it, which stays as it is."""
    (drive / "kept").write_text("kept")
    return drive


@pytest.mark.parametrize(("method", "path"), REQUESTS)
@pytest.mark.parametrize("token", [None, "token wrong"])
async def test_nobody_else_gets_in(call, kept: Path, method: str, path: str, token: str | None) -> None:
    headers = {"Authorization": token} if token else {}
    body = b"{}" if method in {"PUT", "POST", "PATCH"} else None
    answer = await call(method, path, signed_in=False, headers=headers, body=body)
    assert answer.code == 403
    assert json.loads(answer.body)["status"] == "error"
    assert [path.name for path in kept.iterdir()] == ["kept"]


def test_every_method_has_a_rule(jp_configurable_serverapp, drive: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        jp_configurable_serverapp()
    told = "\n".join(str(warning.message) for warning in caught)
    assert "TermSocket" in told
    assert "scidrive" not in told.lower()


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_under_a_hub_it_is_the_owners_alone(site: dict[str, Owner], kept: Path, method: str, path: str) -> None:
    """Not Bob's, who is signed in at the same hub; not another site's; and not without the XSRF token."""
    ada, bob = site["ada-l"], site["bob"]
    bob.visit("/user/ada-l/files/")
    body = {} if method in {"PUT", "POST", "PATCH"} else None
    for headers in ({}, ada.xsrf(), {"Sec-Fetch-Mode": "navigate"}):
        assert bob.call(method, path, server="ada-l", json=body, headers=headers).status_code in {403, 424}
    for headers in (
        {"X-XSRFToken": ""},
        {"X-XSRFToken": "wrong"},
        {"Origin": "https://evil.example.org", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "X-XSRFToken": ""},
    ):
        answer = ada.call(method, path, json=body, headers=headers)
        assert answer.status_code in {403, 404}, (headers, answer.text)
        assert "kept" not in answer.text
    assert requests.request(method, f"{ada.server}/{path}", json=body, timeout=60).status_code == 403
    assert [path.name for path in kept.iterdir()] == ["kept"]


def test_the_owner_uses_the_drive_from_a_page(site: dict[str, Owner], kept: Path) -> None:
    ada = site["ada-l"]
    listed = ada.call("GET", f"{BASE}/contents")
    assert [entry["name"] for entry in listed.json()["content"]] == ["kept"]
    model = {"type": "file", "format": "text", "content": "mine"}
    assert ada.call("PUT", f"{BASE}/contents/mine.txt", json=model).status_code == 201
    assert (kept / "mine.txt").read_text() == "mine"
    # As a link that is clicked: there is no header with the XSRF token.
    clicked = {"Sec-Fetch-Mode": "navigate", "X-XSRFToken": "", "Origin": ""}
    answer = ada.call("GET", f"{BASE}/rest/vospace-2.0/1/files/sandbox/mine.txt", headers=clicked)
    assert (answer.status_code, answer.text) == (200, "mine")
