"""One user's rights end where another's server begins; a container's token opens less still."""

import json

import pytest


@pytest.fixture
async def servers(hub):
    """Two users with a server each, and an administrator."""
    assert (await hub.start("ada")).status == (await hub.start("bob")).status == 201
    hub.user("root", admin=True)
    return hub


def container_token(hub, name):
    return hub.container(name).files["/home/idies/keystone.token"][1].decode()


OTHERS = [
    ("GET", "/users/bob"),
    ("GET", "/users/bob/server"),
    ("POST", "/users/bob/server"),
    ("POST", "/users/bob/servers/extra"),
    ("DELETE", "/users/bob/server"),
    ("PATCH", "/users/bob"),
    ("DELETE", "/users/bob"),
    ("GET", "/users/bob/server/progress"),
    ("GET", "/users/bob/tokens"),
    ("POST", "/users/bob/tokens"),
    ("POST", "/users/bob/activity"),
]

ADMIN = [
    ("POST", "/users"),
    ("POST", "/users/mallory"),
    ("GET", "/groups"),
    ("POST", "/groups/new"),
    ("GET", "/proxy"),
    ("POST", "/proxy"),
    ("GET", "/services"),
    ("GET", "/info"),
    ("POST", "/shutdown"),
]


OWN = [
    ("GET", "/users"),
    ("POST", "/users/ada/servers/extra"),
    ("DELETE", "/users/ada/server"),
    ("GET", "/users/ada/tokens"),
    ("POST", "/users/ada/tokens"),
    ("PATCH", "/users/ada"),
    ("DELETE", "/users/ada"),
]


async def granted(hub, token, requests):
    """Those of `requests` that are not refused."""
    answers = [((method, path), await hub.api(method, path, token, {})) for method, path in requests]
    return [(*request, answer.status, answer.text) for request, answer in answers if answer.status not in {403, 404}]


async def check_nothing_happened(hub):
    people = await hub.api("GET", "/users", hub.token("root"))
    assert {user["name"] for user in people.json} >= {"ada", "bob", "root"}
    assert {user["name"] for user in people.json} & {"mallory"} == set()
    assert await hub.runs("ada")
    assert await hub.runs("bob")
    assert set(hub.engine.names) == {"sciserver-test-ada", "sciserver-test-bob"}
    assert hub.engine.asked("stop") == []


async def test_a_user_has_no_way_to_anothers_server(servers):
    assert await granted(servers, servers.token("ada"), OTHERS) == []
    await check_nothing_happened(servers)


async def test_a_user_is_no_administrator(servers):
    assert await granted(servers, servers.token("ada"), ADMIN) == []
    await check_nothing_happened(servers)


async def test_a_user_sees_nobody_else(servers):
    answer = await servers.api("GET", "/users", servers.token("ada"))
    assert answer.status == 403 or {user["name"] for user in answer.json} <= {"ada"}


async def test_a_containers_token_opens_neither_others_nor_the_administration(servers):
    assert await granted(servers, container_token(servers, "ada"), OTHERS + ADMIN) == []
    await check_nothing_happened(servers)


async def test_a_containers_token_is_not_the_user(servers):
    # Code in a notebook can be anybody's: it may not start servers nor make itself tokens that live longer.
    assert await granted(servers, container_token(servers, "ada"), OWN) == []
    await check_nothing_happened(servers)


async def test_a_containers_token_tells_who_its_user_is_without_secrets(servers):
    answer = await servers.api("GET", "/user", container_token(servers, "ada"))
    assert answer.status == 200
    assert answer.json["name"] == "ada"
    assert not answer.json.get("admin")
    assert not answer.json.get("auth_state")
    assert container_token(servers, "bob") not in json.dumps(answer.json)


async def test_a_containers_token_ends_with_its_server(servers):
    token = container_token(servers, "ada")
    assert (await servers.api("GET", "/user", token)).status == 200
    await servers.stop("ada")
    assert (await servers.api("GET", "/user", token)).status == 403


async def test_each_start_has_a_token_of_its_own(servers):
    before = container_token(servers, "ada")
    await servers.stop("ada")
    await servers.start("ada")
    assert container_token(servers, "ada") != before


async def test_without_a_token_there_is_nothing(servers):
    for method, path in [("GET", "/users"), ("GET", "/users/ada"), ("POST", "/users/ada/server")]:
        assert (await servers.api(method, path, "0" * 32)).status == 403


async def test_an_administrator_can_stop_a_users_server(servers):
    answer = await servers.api("DELETE", "/users/bob/server", servers.token("root"))
    assert answer.status == 204
    assert not await servers.runs("bob")
    assert await servers.runs("ada")


async def test_options_of_a_request_do_not_reach_the_container(hub):
    # Only the menu's names count: neither another setting of the spawner nor an image by reference.
    answer = await hub.api(
        "POST",
        "/users/ada/server",
        hub.token("ada"),
        {"user_options": {"image": "r", "extra_host_config": {"privileged": True}, "cmd": ["sh"], "mem_limit": "1T"}},
    )
    assert answer.status == 201
    spec = hub.container("ada").spec
    assert spec["Image"] == "site/r:1"
    assert spec["Cmd"][0] == "jupyterhub-singleuser"
    assert not spec["HostConfig"].get("Privileged")
    assert spec["HostConfig"]["Memory"] == 2 * 2**30
