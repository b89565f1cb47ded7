"""Renewal of tokens: one use of a rotating refresh token, outages, refusals; and what becomes of claims."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oidc_server import CLIENT_ID, OIDCServer
from tornado import web
from traitlets import TraitError
from traitlets.config import Config

from sciserver_auth import renewal as module
from sciserver_auth.authenticator import SciServerAuthenticator


class HubUser:
    """What the hub's user does with its state, with the pause of the encryption in between."""

    name = "ada"

    def __init__(self, state: dict[str, Any]) -> None:
        self.state: dict[str, Any] | None = state

    async def get_auth_state(self) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        return self.state and dict(self.state)

    async def save_auth_state(self, state: dict[str, Any]) -> None:
        await asyncio.sleep(0.01)
        self.state = dict(state)


class Request:
    """What the renewal looks at in one of the hub's requests: a signed-in browser's, or one with a token."""

    def __init__(self, user: HubUser, *, session_id: str = "", by_token: bool = False) -> None:
        self._jupyterhub_user = user
        self._token_authenticated = by_token
        self.session_id = session_id
        self.request = SimpleNamespace(remote_ip="127.0.0.1")

    def get_session_cookie(self) -> str:
        return self.session_id


SESSION = "a session id"


@pytest.fixture
def authenticator(server: OIDCServer, tmp_path: Path) -> Iterator[SciServerAuthenticator]:
    config = Config()
    config.SciServerAuthenticator.issuer = server.issuer
    config.SciServerAuthenticator.client_secret = "a client secret"
    config.SciServerAuthenticator.store_url = f"sqlite:///{tmp_path}/store.sqlite"
    config.SciServerAuthenticator.allow_all = True
    config.SciServerAuthenticator.admin_groups = {"admin"}
    authenticator = SciServerAuthenticator(config=config)
    authenticator.store.open_session("ada", SESSION)
    yield authenticator
    authenticator.store.close()


@pytest.fixture
def request_(user: HubUser) -> Request:
    return Request(user, session_id=SESSION)


@pytest.fixture
def user(server: OIDCServer) -> HubUser:
    now = time.time()
    return HubUser(
        {
            "access_token": server.access_token,
            "refresh_token": server.refresh_token,
            "id_token": "the old identity token",
            "token_type": "Bearer",
            "scope": ["openid"],
            "id_claims": {"iss": server.issuer, "sub": "1234", "groups": ["stars"]},
            "obtained_at": now - 3590,
            "expires_at": now + 10,
            "user_claims": {"groups": ["stars"]},
        }
    )


async def test_fresh_tokens_ask_nobody(
    server: OIDCServer, authenticator: SciServerAuthenticator, user: HubUser, request_: Request
) -> None:
    assert user.state is not None
    user.state |= {"obtained_at": time.time(), "expires_at": time.time() + 3600}
    assert await authenticator.refresh_user(user, request_) is True
    assert server.requests == {}


async def test_fifty_at_once_use_the_refresh_token_once(
    server: OIDCServer, authenticator: SciServerAuthenticator, user: HubUser, request_: Request
) -> None:
    async def one_request() -> bool | dict[str, Any]:
        result = await authenticator.refresh_user(user, request_)
        if isinstance(result, dict):
            # As the hub does, after the authenticator has returned.
            await user.save_auth_state(result["auth_state"])
        return result

    results = await asyncio.gather(*(one_request() for _ in range(50)))
    models = [result for result in results if isinstance(result, dict)]
    assert server.requests["token"] == 1
    assert len(models) == 1
    assert results.count(True) == 49
    assert user.state is not None
    assert user.state["refresh_token"] == server.refresh_token
    assert user.state["id_token"] == "the old identity token"
    assert models[0]["name"] == "ada"
    assert models[0]["groups"] == ["stars"]
    assert models[0]["admin"] is False
    assert models[0]["user_info"] == {"name": "ada", "display_name": "Ada L."}


async def test_active_user_is_renewed_long_before_the_expiry(
    server: OIDCServer, authenticator: SciServerAuthenticator, user: HubUser, request_: Request
) -> None:
    assert user.state is not None
    user.state |= {"obtained_at": time.time() - 1000, "expires_at": time.time() + 9999}
    server.claims |= {"groups": ["admin"]}
    model = await authenticator.refresh_user(user, request_)
    assert isinstance(model, dict)
    assert model["admin"] is True
    authenticator.refresh_interval = 0
    authenticator.forget_renewal("ada")
    user.state["obtained_at"] = time.time() - 1000
    user.state["expires_at"] = time.time() + 9999
    assert await authenticator.refresh_user(user, request_) is True


async def test_leaving_the_last_group_takes_effect(
    server: OIDCServer, authenticator: SciServerAuthenticator, user: HubUser, request_: Request
) -> None:
    del server.claims["groups"]
    model = await authenticator.refresh_user(user, request_)
    assert isinstance(model, dict)
    assert model["groups"] == []


@pytest.mark.parametrize("kind", ["answers 503", "does not listen"])
async def test_outage_is_tolerated_until_the_expiry_and_a_while(
    server: OIDCServer,
    authenticator: SciServerAuthenticator,
    user: HubUser,
    request_: Request,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    assert user.state is not None
    await authenticator.provider.metadata()
    if kind == "answers 503":
        server.down = True
    else:
        await server.close()
    started = time.monotonic()
    results = await asyncio.gather(*(authenticator.refresh_user(user, request_) for _ in range(50)))
    assert set(results) == {True}
    assert server.requests.get("token", 0) <= 1
    assert time.monotonic() - started < 5
    user.state["expires_at"] = time.time() - authenticator.outage_grace + 60
    assert await authenticator.refresh_user(user, request_) is True
    user.state["expires_at"] = time.time() - authenticator.outage_grace - 60
    assert await authenticator.refresh_user(user, request_) is False


async def test_after_an_outage_the_renewal_is_made_up(
    server: OIDCServer,
    authenticator: SciServerAuthenticator,
    user: HubUser,
    request_: Request,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAUSE_AFTER_FAILURE", 0.0)
    await authenticator.provider.metadata()
    server.down = True
    assert await authenticator.refresh_user(user, request_) is True
    server.down = False
    assert isinstance(await authenticator.refresh_user(user, request_), dict)


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_request", "access_denied", "made_up"])
async def test_refusal_of_the_person_means_a_new_sign_in(
    server: OIDCServer, authenticator: SciServerAuthenticator, user: HubUser, request_: Request, code: str
) -> None:
    server.refusal = code
    assert await authenticator.refresh_user(user, request_) is False


async def test_wrong_client_secret_throws_nobody_out(
    server: OIDCServer, authenticator: SciServerAuthenticator, user: HubUser, request_: Request
) -> None:
    server.refusal = "invalid_client"
    assert await authenticator.refresh_user(user, request_) is True


async def test_without_refresh_token_the_access_token_decides(
    server: OIDCServer, authenticator: SciServerAuthenticator, user: HubUser, request_: Request
) -> None:
    assert user.state is not None
    user.state["refresh_token"] = None
    assert isinstance(await authenticator.refresh_user(user, request_), dict)
    user.state |= {"refresh_token": None, "access_token": "revoked", "obtained_at": 0}
    authenticator.forget_renewal("ada")
    assert await authenticator.refresh_user(user, request_) is False
    user.state |= {"expires_at": time.time() - 1}
    authenticator.forget_renewal("ada")
    assert await authenticator.refresh_user(user, request_) is False


@pytest.mark.parametrize("change", [{"sub": "5678"}, {"preferred_username": "eve"}, {"preferred_username": "../etc"}])
async def test_renewal_for_somebody_else_is_refused(
    server: OIDCServer, authenticator: SciServerAuthenticator, user: HubUser, request_: Request, change: dict[str, str]
) -> None:
    server.claims |= change
    assert await authenticator.refresh_user(user, request_) is False


async def test_no_state_means_a_new_sign_in(
    authenticator: SciServerAuthenticator, user: HubUser, request_: Request
) -> None:
    user.state = None
    assert await authenticator.refresh_user(user, request_) is False


async def test_no_token_in_the_log(
    server: OIDCServer,
    authenticator: SciServerAuthenticator,
    user: HubUser,
    request_: Request,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert user.state is not None
    caplog.set_level(logging.DEBUG)
    authenticator.log.propagate = True
    tokens = {user.state["access_token"], user.state["refresh_token"], "a client secret"}
    await authenticator.refresh_user(user, request_)
    tokens |= {server.access_token, server.refresh_token}
    server.refusal = "invalid_grant"
    user.state["obtained_at"] = 0
    authenticator.forget_renewal("ada")
    assert await authenticator.refresh_user(user, request_) is False
    assert caplog.text
    assert not [token for token in tokens if token in caplog.text]


@pytest.mark.parametrize(
    "claims", [{}, {"preferred_username": ""}, {"preferred_username": 7}, {"preferred_username": "ö"}]
)
def test_unusable_user_name_is_a_clear_refusal(authenticator: SciServerAuthenticator, claims: dict[str, Any]) -> None:
    with pytest.raises(web.HTTPError) as caught:
        authenticator.user_info_to_username(claims)
    assert caught.value.status_code == 403
    assert "user name" in (caught.value.log_message or "")


@pytest.mark.parametrize(
    ("claim", "expected"),
    [(["a", "b"], {"a", "b"}), ("a", {"a"}), (None, set()), ({"a": 1}, set()), (["a", 3, ""], {"a"})],
)
async def test_groups_claim(authenticator: SciServerAuthenticator, claim: Any, expected: set[str]) -> None:
    assert await authenticator.get_user_groups({"user_claims": {"groups": claim}}) == expected


def test_who_may_come_in() -> None:
    config = Config()
    config.SciServerAuthenticator.oauth_callback_url = "https://sciserver.example.org/hub/oauth_callback"
    config.SciServerAuthenticator.issuer = "https://sciserver.example.org/services/portal"
    assert SciServerAuthenticator(config=config).allow_all
    assert SciServerAuthenticator(config=config).admin_groups == {"admin"}
    config.SciServerAuthenticator.allowed_groups = {"staff"}
    assert not SciServerAuthenticator(config=config).allow_all
    # At another provider, nobody was told that an account, or a group of that name, means anything here.
    config = Config()
    config.SciServerAuthenticator.oauth_callback_url = "https://sciserver.example.org/hub/oauth_callback"
    for issuer in ("https://login.example.org/realms/astro", "https://other.example.org/services/portal", ""):
        config.SciServerAuthenticator.issuer = issuer
        assert not SciServerAuthenticator(config=config).allow_all
        assert SciServerAuthenticator(config=config).admin_groups == set()
    config.SciServerAuthenticator.required_claims = {"idp": ["https://idp.example.edu"]}
    assert SciServerAuthenticator(config=config).allow_all
    config.SciServerAuthenticator.allowed_users = {"ada"}
    assert not SciServerAuthenticator(config=config).allow_all


async def test_a_session_that_has_ended_is_refused_at_the_next_request(
    server: OIDCServer, authenticator: SciServerAuthenticator, user: HubUser, request_: Request
) -> None:
    assert user.state is not None
    user.state |= {"obtained_at": time.time(), "expires_at": time.time() + 3600}
    assert await authenticator.refresh_user(user, request_) is True
    [row] = authenticator.store.sessions("ada")
    assert await authenticator.refresh_user(user, Request(user, session_id="forged")) is False
    assert await authenticator.refresh_user(user, Request(user)) is False
    eve = HubUser(user.state)
    eve.name = "eve"
    assert await authenticator.refresh_user(eve, Request(eve, session_id=SESSION)) is False
    authenticator.store.end_session(row)
    assert await authenticator.refresh_user(user, request_) is False
    assert await authenticator.refresh_user(user, Request(user, by_token=True)) is True
    assert server.requests == {}


async def test_tokens_of_the_hub_outlive_the_sign_in_unless_strict(
    server: OIDCServer, authenticator: SciServerAuthenticator, user: HubUser, request_: Request
) -> None:
    server.refusal = "invalid_grant"
    by_token = Request(user, by_token=True)
    assert await authenticator.refresh_user(user, by_token) is True
    assert await authenticator.refresh_user(user, request_) is False
    # One refusal is enough: a running server's requests do not ask the provider again and again.
    for _ in range(10):
        assert await authenticator.refresh_user(user, by_token) is True
    assert server.requests["token"] == 1
    # An administrator starts a server for somebody who must sign in again.
    assert await authenticator.refresh_user(user, Request(HubUser({}), session_id="the administrator's")) is True
    authenticator.auth_refresh_strict = True
    assert await authenticator.refresh_user(user, by_token) is False


def test_the_age_of_sign_ins_is_not_for_the_site_to_change() -> None:
    with pytest.raises(TraitError, match="refresh_interval"):
        SciServerAuthenticator(auth_refresh_age=300)


def test_every_option_is_explained() -> None:
    from sciserver_auth.portal.app import Portal

    for owner in (SciServerAuthenticator, Portal):
        for name, trait in owner.class_own_traits(config=True).items():
            assert trait.help.strip(), name
    assert SciServerAuthenticator().client_id == CLIENT_ID
