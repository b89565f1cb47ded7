"""The hub tells servers that rights have changed: their connections end with the token that opened them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import docker
import pytest
import requests
import tornado.httpclient
import tornado.websocket
from bs4 import BeautifulSoup

from sciserver_spawner.naming import container_name
from tests.support import Notebook, Person, Platform, wait_until

pytestmark = pytest.mark.docker

SIGNED_OUT = 4401


@pytest.fixture(scope="module")
def lise(platform: Platform) -> Iterator[Person]:
    """With a running server."""
    person = platform.add_user("lise")
    person.sign_in()
    person.start(image="base")
    yield person
    person.sign_in()
    person.stop()


@pytest.fixture(scope="module")
def chief(platform: Platform) -> Person:
    person = platform.add_user("chief", admin=True)
    person.sign_in()
    return person


def told(platform: Platform) -> int:
    """How often the hub has told lise's server something."""
    return (platform.deployment.logs_dir / "hub.log").read_text().count("Told lise ")


def tokens_of(person: Person) -> dict[str, str]:
    """Notes of all tokens, by id."""
    rows = person.api("GET", f"/users/{person.name}/tokens").json()["api_tokens"]
    return {row["id"]: row["note"] for row in rows}


async def watch_events(url: str, headers: dict[str, str]) -> tornado.websocket.WebSocketClientConnection:
    """A WebSocket to the server's events, open and quiet."""
    request = tornado.httpclient.HTTPRequest(url.replace("http", "ws", 1) + "/api/events/subscribe", headers=headers)
    return await tornado.websocket.websocket_connect(request)


async def until_closed(connection: tornado.websocket.WebSocketClientConnection) -> int | None:
    while await connection.read_message() is not None:
        pass
    return connection.close_code


def open_server(visitor: Person, owner: Person) -> dict[str, str]:
    """Sign in to the server of `owner` as a browser does; the headers of further requests."""
    page = visitor.session.get(f"{visitor.url}/user/{owner.name}/lab")
    if BeautifulSoup(page.text, "html.parser").find("form"):
        # The hub asks whether one wants to be known to somebody else's server.
        page = visitor.submit(page)
    assert page.status_code == 200, page.text
    assert "jupyter-config-data" in page.text
    request = requests.Request("GET", f"{visitor.url}/user/{owner.name}/api/events/subscribe")
    return {"Cookie": str(visitor.session.prepare_request(request).headers["Cookie"])}


async def test_a_revoked_token_ends_its_connections_once_and_leaves_nothing(platform: Platform, lise: Person) -> None:
    before = tokens_of(lise)
    staying = lise.server()
    left = set(tokens_of(lise)) - set(before)
    leaving = lise.server()
    [leaving_id] = set(tokens_of(lise)) - set(before) - left
    connections = [await watch_events(server.url, server.headers) for server in (leaving, staying)]
    count = told(platform)
    assert lise.api("DELETE", f"/users/lise/tokens/{leaving_id}").status_code == 204
    assert await until_closed(connections[0]) == SIGNED_OUT
    assert leaving.request("GET", "contents").status_code == 403
    assert staying.request("GET", "contents").status_code == 200
    assert connections[1].close_code is None
    connections[1].close()
    # The hub made and deleted a token for this, which is no change to tell of.
    time.sleep(3)
    assert told(platform) == count + 1
    assert set(tokens_of(lise)) == set(before) | left
    assert not [note for note in tokens_of(lise).values() if note and "recheck" in note]


async def test_whoever_visits_another_persons_server_is_out_as_well(
    platform: Platform, lise: Person, chief: Person
) -> None:
    headers = open_server(chief, lise)
    connection = await watch_events(f"{lise.url}/user/lise", headers)
    own = await watch_events(f"{lise.url}/user/lise", lise.server().headers)
    assert chief.session.get(chief.url + "/hub/logout").status_code == 200
    assert await until_closed(connection) == SIGNED_OUT
    assert own.close_code is None
    own.close()
    chief.sign_in()


def test_an_open_page_of_who_has_signed_out_is_led_to_the_hub(platform: Platform, lise: Person) -> None:
    headers = open_server(lise, lise)
    url = f"{lise.url}/user/lise"
    assert requests.get(f"{url}/api/contents", headers=headers, timeout=30).status_code == 200
    count = told(platform)
    lise.session.get(lise.url + "/hub/logout")
    wait_until(lambda: told(platform) > count)
    # JupyterLab shows a button that leads to the hub where a server answers with the hub's own status for "not now".
    for method, path in (("GET", "contents"), ("GET", "kernels"), ("PUT", "contents/x.txt"), ("POST", "sessions")):
        refused = requests.request(method, f"{url}/api/{path}", headers=headers, timeout=30)
        assert refused.status_code == 424, path
        assert "sign in again" in refused.json()["message"]
    assert requests.get(f"{url}/api", headers=headers, timeout=30).status_code == 200, "what is public stays so"
    page = requests.get(f"{url}/lab", headers=headers, timeout=30, allow_redirects=False)
    assert page.status_code == 302
    assert "/hub/api/oauth2/authorize" in page.headers["Location"]
    # Who never was in is refused as before.
    assert requests.get(f"{url}/api/contents", timeout=30).status_code == 403
    forged = requests.get(f"{url}/api/contents", headers={"Cookie": "jupyterhub-user-lise=mine"}, timeout=30)
    assert forged.status_code == 403
    lise.sign_in()


async def test_a_server_that_hangs_holds_nobody_up(
    platform: Platform, lise: Person, engine: docker.DockerClient
) -> None:
    container = engine.containers.get(container_name(platform.deployment.id, "lise", ""))
    server = Notebook(f"{lise.url}/user/lise", lise.token("access:servers!user=lise"))
    before = tokens_of(lise)
    connection = await watch_events(server.url, server.headers)
    hub_log = platform.deployment.logs_dir / "hub.log"
    mark = len(hub_log.read_text())
    container.pause()
    try:
        lise.token("access:servers!user=lise")
        [extra] = set(tokens_of(lise)) - set(before)
        assert lise.api("DELETE", f"/users/lise/tokens/{extra}").status_code == 204
        # The hub is there for others meanwhile.
        assert lise.model()["servers"][""]["ready"]
        wait_until(lambda: "lise is not told" in hub_log.read_text()[mark:], what="the hub gives up")
    finally:
        container.unpause()
    assert "Traceback" not in hub_log.read_text()[mark:]
    assert set(tokens_of(lise)) == set(before)
    assert server.request("GET", "contents").status_code == 200
    assert connection.close_code is None
    connection.close()
