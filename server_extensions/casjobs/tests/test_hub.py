"""Under a real hub: somebody's server, its owner, and somebody else."""

from __future__ import annotations

import pytest
import requests

from tests.casjobs.casjobs_platform import CasJobsPlatform
from tests.server_extensions.spawning import Owner
from tests.support import wait_until

REST = "sciserver/casjobs/rest"


def test_the_owner_uses_casjobs_from_a_page(site: dict[str, Owner]) -> None:
    ada = site["ada-l"]
    answer = ada.call("GET", f"{REST}/contexts")
    assert answer.status_code == 200, answer.text
    assert "Sky" in [context["Name"] for context in answer.json()]
    answer = ada.call(
        "POST",
        f"{REST}/contexts/Sky/query",
        json={"Query": "select count(*) n from Stars"},
        headers={"Accept": "text/csv"},
    )
    assert (answer.status_code, answer.text) == (200, "n\n1000\n")


def test_it_is_done_in_the_owners_name(site: dict[str, Owner], platform: CasJobsPlatform) -> None:
    ada = site["ada-l"]
    answer = ada.call("PUT", f"{REST}/contexts/MyDB/jobs", json={"Query": "select 1 as one into hers"})
    assert answer.status_code == 200, answer.text
    job = platform.client("ada-l").ended(int(answer.text))
    assert job["Status"] == 5
    assert platform.client("bob").call("GET", f"jobs/{answer.text}").status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_somebody_else_gets_nothing(site: dict[str, Owner], method: str) -> None:
    """Bob is signed in at the same hub, and may not open Ada's server."""
    ada, bob = site["ada-l"], site["bob"]
    bob.visit("/user/ada-l/files/")
    for headers in ({}, ada.xsrf(), {"Sec-Fetch-Mode": "navigate"}):
        answer = bob.call(method, f"{REST}/contexts", server="ada-l", headers=headers)
        assert answer.status_code in {403, 424}, (headers, answer.text)
        assert "Sky" not in answer.text


def test_somebody_elses_token_opens_nothing(site: dict[str, Owner], platform: CasJobsPlatform) -> None:
    """Neither one that may open Bob's own server, nor one for CasJobs: not even Ada's own."""
    own = platform.new_token("bob", "access:servers!user=bob")["token"]
    for token in (own, platform.token("bob"), platform.token("ada-l"), "wrong"):
        answer = requests.get(
            f"{site['ada-l'].server}/{REST}/contexts", headers={"Authorization": f"token {token}"}, timeout=60
        )
        assert answer.status_code == 403, answer.text
        assert "Sky" not in answer.text
    token = platform.new_token("ada-l", "access:servers!user=ada-l")["token"]
    answer = requests.get(
        f"{site['ada-l'].server}/{REST}/contexts", headers={"Authorization": f"token {token}"}, timeout=60
    )
    assert answer.status_code == 200


def test_nobody_gets_in_without_signing_in(site: dict[str, Owner]) -> None:
    answer = requests.get(f"{site['ada-l'].server}/{REST}/contexts", timeout=60, allow_redirects=False)
    assert answer.status_code == 403
    assert answer.json()["status"] == "error"


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", {"Query": "select 1"}), ("DELETE", None)])
def test_a_page_of_another_site_gets_nothing(site: dict[str, Owner], method: str, body: dict | None) -> None:
    """The owner's browser is there, with its cookies: not without the XSRF token, not from another origin."""
    ada = site["ada-l"]
    for headers in (
        {"X-XSRFToken": ""},
        {"X-XSRFToken": "wrong"},
        {"Origin": "https://evil.example.org", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "X-XSRFToken": ""},
    ):
        answer = ada.call(method, f"{REST}/contexts/MyDB/query", json=body, headers=headers)
        assert answer.status_code in {403, 404}, (headers, answer.text)
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_no_token_is_in_the_servers_log(site: dict[str, Owner], platform: CasJobsPlatform) -> None:
    """At the level of debugging; the server writes into the hub's log."""
    ada = site["ada-l"]
    token = platform.new_token("ada-l", "access:servers!user=ada-l")["token"]
    assert ada.call("GET", f"{REST}/contexts").status_code == 200
    assert ada.call("GET", f"{REST}/no-such-thing").status_code == 404
    requests.get(f"{ada.server}/{REST}/contexts?token={token}", timeout=60)
    wait_until(lambda: f"{REST}/contexts?token=[secret]" in platform.hub.log.read_text(), what="the request is logged")
    text = platform.hub.log.read_text()
    assert " DEBUG " in text or "[D " in text
    for secret in (ada.token, token, platform.token("ada-l")):
        assert secret not in text


def test_a_token_that_is_worth_nothing_any_more(platform: CasJobsPlatform) -> None:
    """The server is told to its owner to be started again; it is no sign-in that would help."""
    eve = Owner(platform, "eve")
    eve.start()
    try:
        assert eve.call("GET", f"{REST}/contexts").status_code == 200
        tokens = platform.hub_api("GET", "/users/eve/tokens").json()["api_tokens"]
        for token in tokens:
            if token["note"].startswith("Server at"):
                platform.revoke("eve", token["id"])
        wait_until(lambda: eve.call("GET", f"{REST}/contexts").status_code != 200, what="CasJobs knows it")
        answer = eve.call("GET", f"{REST}/contexts")
        assert answer.status_code == 401, answer.text
        assert answer.json()["reason"] == "token"
        assert "start it again" in answer.json()["message"]
        assert "WWW-Authenticate" not in answer.headers
    finally:
        eve.stop()
