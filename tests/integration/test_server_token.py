"""The token inside a container: whose it is, how little it may do, and that it lives exactly as long as its server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import docker
import pytest
import requests
from docker.models.containers import Container

from sciserver_common.scopes import TOKEN_API_SCOPES
from sciserver_spawner.naming import container_name
from tests.support import Person, Platform, wait_until

pytestmark = pytest.mark.docker


class Inside:
    """A person's running server, and the token in it."""

    def __init__(self, platform: Platform, engine: docker.DockerClient, name: str, server: str = "") -> None:
        self.platform = platform
        self.container: Container = engine.containers.get(container_name(platform.deployment.id, name, server))
        status, output = self.container.exec_run(["cat", "/home/idies/keystone.token"])
        assert status == 0, output
        self.token = output.decode()

    def ask(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """A request with the token, below the public address."""
        headers = {"Authorization": f"token {self.token}"}
        return requests.request(
            method, self.platform.url + path, headers=headers, timeout=30, allow_redirects=False, **kwargs
        )

    def is_valid(self) -> bool:
        status = self.ask("GET", "/hub/api/user").status_code
        assert status in {200, 403}
        return status == 200


@pytest.fixture(scope="module")
def boss(platform: Platform) -> Person:
    person = platform.add_user("boss", admin=True)
    person.sign_in()
    return person


@pytest.fixture
def mae(platform: Platform) -> Iterator[Person]:
    person = Person(platform.url, "mae")
    if "/hub/home" not in person.sign_in().url:
        person = platform.add_user("mae")
        person.sign_in()
    yield person
    if platform.answers() and person.model().get("servers"):
        person.stop()


@pytest.fixture
def inside(platform: Platform, engine: docker.DockerClient, mae: Person) -> Inside:
    """In mae's server."""
    if not mae.model()["servers"]:
        mae.start(image="base")
    return Inside(platform, engine, "mae")


def kill_hub(platform: Platform) -> int:
    pid = platform.processes()["hub"]["pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_for_new_hub(platform: Platform, old: int) -> None:
    def is_new() -> bool:
        process = platform.processes()["hub"]
        return process["pid"] not in {None, old} and process["state"] == "running"

    wait_until(lambda: is_new() and platform.answers(), what="a new hub answers")


def test_names_its_user_and_carries_the_services_scopes(inside: Inside) -> None:
    answer = inside.ask("GET", "/hub/api/user")
    assert answer.status_code == 200
    model = answer.json()
    assert model["name"] == "mae"
    assert set(TOKEN_API_SCOPES) <= set(model["scopes"])
    # The library's file, the server's variable and nothing else have it.
    _, output = inside.container.exec_run(["printenv", "JUPYTERHUB_API_TOKEN"])
    assert output.decode().strip() == inside.token


def test_names_its_user_at_the_token_api(inside: Inside) -> None:
    url = f"{inside.platform.url}/services/portal/keystone/v3/tokens/{inside.token}"
    answer = requests.get(url, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["token"]["user"]["name"] == "mae"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/hub/api/users", None),
        ("GET", "/hub/api/users/boss", None),
        ("POST", "/hub/api/users/newcomer", None),
        ("PATCH", "/hub/api/users/mae", {"admin": True}),
        ("GET", "/hub/api/users/mae/tokens", None),
        ("POST", "/hub/api/users/mae/tokens", {"expires_in": 60}),
        ("GET", "/hub/api/users/mae/sessions", None),
        ("DELETE", "/hub/api/users/mae/sessions", None),
        ("GET", "/hub/api/users/mae/identities", None),
        ("GET", "/hub/api/users/mae/activity-log", None),
        ("POST", "/hub/api/users/mae/revoke", None),
        ("POST", "/hub/api/users/mae/servers/second", None),
        ("DELETE", "/hub/api/users/mae/server", None),
        ("POST", "/hub/api/users/boss/activity", {"last_activity": "2026-01-01T00:00:00Z"}),
        ("GET", "/hub/api/proxy", None),
        ("GET", "/hub/api/sign-on/changes", None),
        ("POST", "/hub/api/sign-on/password", {"name": "mae", "password": "x"}),
    ],
)
def test_may_do_nothing_else_at_the_hub(
    inside: Inside, boss: Person, method: str, path: str, body: dict[str, Any] | None
) -> None:
    assert inside.ask(method, path, json=body).status_code in {403, 404}


def test_does_not_see_what_the_provider_gave(inside: Inside) -> None:
    # What it may know of its own user: not the provider's tokens, which the hub keeps.
    for path in ("/hub/api/user", "/hub/api/users/mae"):
        text = inside.ask("GET", path, params={"include_auth_state": "1"}).text
        assert "auth_state" not in text
        assert "refresh_token" not in text


def test_opens_its_own_server_and_no_other(
    inside: Inside, platform: Platform, mae: Person, boss: Person, engine: docker.DockerClient
) -> None:
    response = mae.api("POST", "/users/mae/servers/second", json={"user_options": {"image": "base"}})
    assert response.status_code in {201, 202}, response.text
    boss.start(image="base")
    try:
        wait_until(lambda: mae.model()["servers"].get("second", {}).get("ready"), what="the second server is ready")
        second = Inside(platform, engine, "mae", "second")
        assert inside.ask("GET", "/user/mae/api/contents").status_code == 200
        assert inside.ask("GET", "/user/mae/second/api/contents").status_code == 403
        assert inside.ask("POST", "/user/mae/second/api/sign-on/recheck").status_code == 403
        assert inside.ask("GET", "/user/boss/api/contents").status_code == 403
        assert second.ask("GET", "/user/mae/second/api/contents").status_code == 200
        assert second.ask("GET", "/user/mae/api/contents").status_code == 403

        # One server's end is no other's.
        response = mae.api("DELETE", "/users/mae/servers/second", json={"remove": True})
        assert response.status_code in {202, 204}
        wait_until(lambda: "second" not in mae.model()["servers"], what="the second server has stopped")
        assert not second.is_valid()
        assert inside.is_valid()
    finally:
        boss.stop()


def test_is_dead_when_the_server_is_stopped(inside: Inside, mae: Person) -> None:
    assert inside.is_valid()
    mae.stop()
    assert not inside.is_valid()


def test_outlives_the_hub_and_is_dead_when_a_later_hub_stops_the_server(
    inside: Inside, platform: Platform, mae: Person
) -> None:
    wait_for_new_hub(platform, kill_hub(platform))
    wait_until(lambda: mae.model()["servers"].get("", {}).get("ready"))
    assert inside.is_valid()
    mae.stop()
    assert not inside.is_valid()


def test_is_dead_when_the_hub_sees_that_the_container_has_died(inside: Inside, mae: Person) -> None:
    inside.container.kill()
    wait_until(lambda: not mae.model()["servers"], limit=90, what="the hub sees that the server is gone")
    assert not inside.is_valid()


def test_is_dead_when_the_container_died_while_there_was_no_hub(
    inside: Inside, platform: Platform, mae: Person
) -> None:
    pid = kill_hub(platform)
    inside.container.kill()
    wait_for_new_hub(platform, pid)
    wait_until(lambda: not mae.model()["servers"], limit=90, what="the hub sees that the server is gone")
    assert not inside.is_valid()


def test_of_a_start_that_the_hub_did_not_survive_is_dead(
    platform: Platform, mae: Person, engine: docker.DockerClient
) -> None:
    if mae.model()["servers"]:
        mae.stop()
    name = container_name(platform.deployment.id, "mae", "")
    response = mae.api("POST", "/users/mae/server", json={"user_options": {"image": "base"}})
    assert response.status_code in {201, 202}
    wait_until(lambda: engine.containers.list(all=True, filters={"name": name}), what="the container exists")
    pid = kill_hub(platform)
    environment = dict(line.split("=", 1) for line in engine.containers.get(name).attrs["Config"]["Env"])
    token = environment["JUPYTERHUB_API_TOKEN"]
    wait_for_new_hub(platform, pid)
    # Either the start was through already, and the server is as any other, or nothing of it is worth anything.
    wait_until(lambda: not mae.model()["servers"].get("", {}).get("pending"))
    if mae.model()["servers"]:
        mae.stop()
    answer = requests.get(f"{platform.url}/hub/api/user", headers={"Authorization": f"token {token}"}, timeout=30)
    assert answer.status_code == 403


def test_administrator_revokes_one_token(inside: Inside, boss: Person, mae: Person) -> None:
    tokens = boss.api("GET", "/users/mae/tokens").json()["api_tokens"]
    [row] = [token for token in tokens if token["note"] == "Server at /user/mae/"]
    assert boss.api("DELETE", f"/users/mae/tokens/{row['id']}").status_code == 204
    assert not inside.is_valid()
    # The server runs on, and its owner can use it: people are known by tokens of their own.
    assert mae.server().request("GET", "contents").status_code == 200


def test_administrator_revokes_all_access(
    inside: Inside, boss: Person, mae: Person, engine: docker.DockerClient
) -> None:
    other = mae.token(f"access:servers!user={mae.name}")
    assert boss.api("POST", "/users/mae/revoke").status_code == 204
    assert not inside.is_valid()
    inside.token = other
    assert not inside.is_valid()
    # No server is left that could not tell who somebody is.
    assert boss.api("GET", "/users/mae").json()["servers"] == {}
    wait_until(
        lambda: not engine.containers.list(all=True, filters={"id": inside.container.id}),
        what="the container is gone",
    )


def test_is_dead_when_the_user_is_deleted(inside: Inside, boss: Person, engine: docker.DockerClient) -> None:
    assert boss.api("DELETE", "/users/mae").status_code == 204
    assert not inside.is_valid()
    assert not engine.containers.list(all=True, filters={"id": inside.container.id})
