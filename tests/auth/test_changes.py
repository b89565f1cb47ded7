"""The hub's report of whose tokens and rights have changed: in its session, and over HTTP with a real hub."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from jupyterhub.roles import create_role, grant_role, strip_role
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from sciserver_auth.changes import EVERYBODY, HISTORY, Changes
from sciserver_common.scopes import CASJOBS_QUERY, SIGN_ON_WATCH
from sciserver_common.secrets import secret
from tests.common.hub_platform import HubPlatform, Visitor
from tests.support import wait_until


class Hub:
    """A hub's application and database, without the servers; and what its `Changes` report."""

    def __init__(self) -> None:
        self.app = JupyterHub()
        self.app.db = orm.new_session_factory("sqlite:///:memory:")()
        self.db: Session = self.app.db
        self.db.add(orm.OAuthClient(identifier="jupyterhub", secret="", redirect_uri="", description=""))
        for role in ("user", "token", "curator"):
            create_role(self.db, {"name": role, "scopes": ["self"] if role == "user" else []})
        for name in ("ada", "bob", "carol"):
            self.db.add(orm.User(name=name))
        self.db.add(orm.Service(name="robot"))
        self.db.add(orm.Group(name="staff", users=[self.user("ada"), self.user("bob")]))
        self.db.commit()
        self.changes = Changes(self.app)

    def user(self, name: str) -> orm.User:
        found = orm.User.find(self.db, name)
        assert found is not None
        return found

    def group(self, name: str = "staff") -> orm.Group:
        found = orm.Group.find(self.db, name)
        assert found is not None
        return found

    def token(self, owner: orm.User | orm.Service, **options: Any) -> orm.APIToken:
        found = orm.APIToken.find(self.db, owner.new_api_token(scopes=[], **options))
        assert found is not None
        return found

    async def cursor(self) -> str:
        return str((await self.changes.wait("", 0))["cursor"])

    def close(self) -> None:
        self.changes.close()
        self.db.close()


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


async def reported(hub: Hub, change: Callable[[], object], *, commit: bool = True) -> set[str]:
    """The owners that a change is reported for."""
    await asyncio.sleep(0)
    cursor = await hub.cursor()
    change()
    if commit:
        hub.db.commit()
    await asyncio.sleep(0)
    answer = await hub.changes.wait(cursor, 0)
    return {EVERYBODY} if answer["reset"] else set(answer["changed"])


# -- what is a change


async def test_a_token_that_is_made_or_used_is_no_change(hub: Hub) -> None:
    def make() -> None:
        hub.token(hub.user("ada"), expires_in=60, note="new")
        hub.token(orm.Service.find(hub.db, "robot"))

    def use() -> None:
        for token in hub.db.query(orm.APIToken):
            token.last_activity = orm.utcnow()
            token.note = "used"
        hub.user("ada").last_activity = orm.utcnow()
        hub.user("ada").encrypted_auth_state = b"renewed"

    assert await reported(hub, make) == set()
    assert await reported(hub, use) == set()


async def test_a_new_person_is_no_change(hub: Hub) -> None:
    def add() -> None:
        hub.db.add(orm.User(name="dora"))
        hub.db.commit()
        hub.token(hub.user("dora"))

    assert await reported(hub, add) == set()


async def test_a_token_that_is_removed(hub: Hub) -> None:
    ada, robot = hub.token(hub.user("ada")), hub.token(orm.Service.find(hub.db, "robot"))
    hub.token(hub.user("bob"))
    assert await reported(hub, lambda: hub.db.delete(ada)) == {"user:ada"}
    assert await reported(hub, lambda: hub.db.delete(robot)) == {"service:robot"}


async def test_a_token_that_its_owner_no_longer_has(hub: Hub) -> None:
    hub.token(hub.user("ada"))
    assert await reported(hub, lambda: hub.user("ada").api_tokens.clear()) == {"user:ada"}
    assert hub.db.query(orm.APIToken).count() == 0


async def test_tokens_of_a_client_that_is_removed(hub: Hub) -> None:
    client = orm.OAuthClient(identifier="service-x", secret="", redirect_uri="", description="")
    hub.db.add(client)
    hub.db.commit()
    hub.token(hub.user("carol"), oauth_client=client)
    assert await reported(hub, lambda: hub.db.delete(client)) == {"user:carol"}


async def test_expired_tokens_that_are_swept_up(hub: Hub) -> None:
    token = hub.token(hub.user("ada"), expires_in=60)
    token.expires_at = orm.utcnow() - timedelta(seconds=1)
    hub.db.commit()
    assert await reported(hub, lambda: orm.APIToken.purge_expired(hub.db)) == {"user:ada"}


async def test_a_token_whose_scopes_or_end_change(hub: Hub) -> None:
    token = hub.token(hub.user("ada"))

    def scopes() -> None:
        token.scopes = ["read:users!user=ada"]

    def end() -> None:
        token.expires_at = orm.utcnow() + timedelta(hours=1)

    assert await reported(hub, scopes) == {"user:ada"}
    assert await reported(hub, end) == {"user:ada"}


async def test_membership_from_either_side(hub: Hub) -> None:
    carol, staff = hub.user("carol"), hub.group()
    assert await reported(hub, lambda: staff.users.append(carol)) == {"user:carol"}
    assert await reported(hub, lambda: carol.groups.remove(staff)) == {"user:carol"}
    assert await reported(hub, lambda: carol.groups.append(staff)) == {"user:carol"}
    ada = hub.user("ada")
    hub.db.expire_all()
    assert await reported(hub, lambda: ada.groups.clear()) == {"user:ada"}
    hub.db.expire_all()
    assert await reported(hub, lambda: staff.users.clear()) == {"user:bob", "user:carol"}


async def test_a_group_that_is_removed_or_gets_a_role(hub: Hub) -> None:
    staff = hub.group()
    hub.db.expire_all()
    assert await reported(hub, lambda: grant_role(hub.db, staff, rolename="curator")) == {"user:ada", "user:bob"}
    hub.db.expire_all()
    assert await reported(hub, lambda: strip_role(hub.db, staff, rolename="curator")) == {"user:ada", "user:bob"}
    hub.db.expire_all()
    assert await reported(hub, lambda: hub.db.delete(staff)) == {"user:ada", "user:bob"}


async def test_roles_of_people_and_services(hub: Hub) -> None:
    ada, robot = hub.user("ada"), orm.Service.find(hub.db, "robot")
    assert await reported(hub, lambda: grant_role(hub.db, ada, rolename="curator")) == {"user:ada"}
    assert await reported(hub, lambda: strip_role(hub.db, ada, rolename="curator")) == {"user:ada"}
    assert await reported(hub, lambda: grant_role(hub.db, robot, rolename="curator")) == {"service:robot"}
    role = orm.Role.find(hub.db, "curator")
    assert await reported(hub, lambda: role.users.append(hub.user("bob"))) == {"user:bob"}


async def test_what_a_role_means_concerns_everybody(hub: Hub) -> None:
    role = orm.Role.find(hub.db, "curator")

    def redefine() -> None:
        role.scopes = ["list:users"]

    assert await reported(hub, redefine) == {EVERYBODY}
    assert await reported(hub, lambda: hub.db.delete(role)) == {EVERYBODY}


async def test_people_who_become_administrators_or_others_or_nobody(hub: Hub) -> None:
    def promote() -> None:
        hub.user("ada").admin = True

    def rename() -> None:
        hub.user("ada").name = "lovelace"

    assert await reported(hub, promote) == {"user:ada"}
    assert await reported(hub, rename) == {"user:ada", "user:lovelace"}
    hub.token(hub.user("lovelace"))
    hub.db.expire_all()
    assert await reported(hub, lambda: hub.db.delete(hub.user("lovelace"))) == {"user:lovelace"}
    assert await reported(hub, lambda: hub.db.delete(orm.Service.find(hub.db, "robot"))) == {"service:robot"}


async def test_shares_concern_both_sides(hub: Hub) -> None:
    spawner = orm.Spawner(name="lab", user=hub.user("ada"))
    hub.db.add(spawner)
    hub.db.commit()
    bob, staff = hub.user("bob"), hub.group()
    assert await reported(hub, lambda: orm.Share.grant(hub.db, spawner, bob)) == {"user:ada", "user:bob"}
    assert await reported(hub, lambda: orm.Share.revoke(hub.db, spawner, bob)) == {"user:ada", "user:bob"}
    carol = hub.user("carol")
    carol.groups.append(staff)
    hub.db.commit()
    both = {"user:ada", "user:bob", "user:carol"}
    assert await reported(hub, lambda: orm.Share.grant(hub.db, spawner, staff)) == both
    # As the hub removes all shares of a server: rows, without looking at them.
    assert await reported(hub, lambda: hub.db.query(orm.Share).delete()) == {EVERYBODY}


async def test_statements_that_do_not_say_whose_rows_they_change_concern_everybody(hub: Hub) -> None:
    hub.token(hub.user("ada"))
    statements = [
        update(orm.APIToken).values(scopes=[]),
        delete(orm.APIToken).where(orm.APIToken.user_id == hub.user("ada").id),
        orm.user_group_map.delete(),
    ]
    for statement in statements:
        assert await reported(hub, lambda statement=statement: hub.db.execute(statement)) == {EVERYBODY}
    activity = update(orm.Spawner).values(last_activity=None)
    assert await reported(hub, lambda: hub.db.execute(activity)) == set()


# -- transactions


async def test_what_is_rolled_back_did_not_happen(hub: Hub) -> None:
    token = hub.token(hub.user("ada"))

    def undo() -> None:
        hub.db.delete(token)
        hub.db.flush()
        hub.db.rollback()

    assert await reported(hub, undo, commit=False) == set()
    assert await reported(hub, lambda: None) == set()


async def test_nothing_is_reported_before_the_commit(hub: Hub) -> None:
    token = hub.token(hub.user("ada"))

    def prepare() -> None:
        hub.db.delete(token)
        hub.db.flush()

    assert await reported(hub, prepare, commit=False) == set()
    assert await reported(hub, lambda: None) == {"user:ada"}


async def test_a_savepoint_is_not_the_commit(hub: Hub) -> None:
    ada, bob = hub.token(hub.user("ada")), hub.token(hub.user("bob"))

    def nested() -> None:
        with hub.db.begin_nested():
            hub.db.delete(ada)
        savepoint = hub.db.begin_nested()
        hub.db.delete(bob)
        hub.db.flush()
        savepoint.rollback()

    assert await reported(hub, nested, commit=False) == set()
    # What the rolled-back savepoint did may be reported too: a question too many does no harm.
    assert "user:ada" in await reported(hub, lambda: None)


async def test_a_savepoint_does_not_outlive_its_transaction(hub: Hub) -> None:
    token = hub.token(hub.user("ada"))

    def undo() -> None:
        with hub.db.begin_nested():
            hub.db.delete(token)
        hub.db.rollback()

    assert await reported(hub, undo, commit=False) == set()
    assert await reported(hub, lambda: None) == set()


async def test_two_hubs_in_one_process_do_not_hear_each_other(hub: Hub) -> None:
    other = Hub()
    token = other.token(other.user("ada"))

    def change() -> None:
        other.db.delete(token)
        other.db.commit()

    other_cursor = await other.cursor()
    assert await reported(hub, change) == set()
    assert (await other.changes.wait(other_cursor, 0))["changed"] == ["user:ada"]
    # One's cursor means nothing to the other, and a closed one hears nothing.
    assert (await hub.changes.wait(other_cursor, 0))["reset"]
    cursor = await other.cursor()
    other.changes.close()
    other.user("bob").admin = True
    other.db.commit()
    await asyncio.sleep(0)
    assert (await other.changes.wait(cursor, 5))["changed"] == []
    other.close()


async def test_a_database_that_is_there_only_later(hub: Hub) -> None:
    app = JupyterHub()
    changes = Changes(app)
    assert (await changes.wait("", 0))["reset"]
    app.db = hub.db
    cursor = (await changes.wait("", 0))["cursor"]
    hub.user("ada").admin = True
    hub.db.commit()
    await asyncio.sleep(0)
    assert (await changes.wait(cursor, 0))["changed"] == ["user:ada"]
    changes.close()


# -- cursors and listeners


async def test_who_waits_hears_at_once_and_once(hub: Hub) -> None:
    cursor = await hub.cursor()
    waiting = [asyncio.create_task(hub.changes.wait(cursor, 30)) for _ in range(5)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in waiting)
    hub.user("ada").admin = True
    hub.user("bob").admin = True
    hub.db.commit()
    answers = await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert all(answer["changed"] == ["user:ada", "user:bob"] for answer in answers)
    after = answers[0]["cursor"]
    began = time.monotonic()
    assert (await hub.changes.wait(after, 0.2))["changed"] == []
    assert time.monotonic() - began > 0.15
    # From the old cursor it is still there.
    assert (await hub.changes.wait(cursor, 30))["changed"] == ["user:ada", "user:bob"]


async def test_who_is_too_far_behind_starts_again(hub: Hub) -> None:
    cursor = await hub.cursor()
    hub.changes._publish(frozenset(f"user:{number}" for number in range(HISTORY)))
    assert len((await hub.changes.wait(cursor, 0))["changed"]) == HISTORY
    hub.changes._publish(frozenset({"user:last"}))
    assert (await hub.changes.wait(cursor, 0))["reset"]
    answer = await hub.changes.wait(await hub.cursor(), 0)
    assert (answer["reset"], answer["changed"]) == (False, [])


async def test_a_cursor_from_the_future_or_of_another_start_is_unknown(hub: Hub) -> None:
    epoch, _, position = (await hub.cursor()).partition("-")
    for cursor in (f"{epoch}-{int(position) + 1}", f"{'0' * 16}-0", "nonsense", ""):
        assert (await hub.changes.wait(cursor, 30))["reset"], cursor


async def test_listeners_may_use_the_session_and_may_fail(hub: Hub) -> None:
    heard: list[tuple[frozenset[str], int]] = []

    def broken(owners: frozenset[str]) -> None:
        raise RuntimeError("a listener's own fault")

    hub.changes.listen(broken)
    hub.changes.listen(lambda owners: heard.append((owners, hub.db.query(orm.APIToken).count())))
    hub.db.delete(hub.token(hub.user("ada")))
    hub.db.commit()
    await asyncio.sleep(0.01)
    assert heard == [(frozenset({"user:ada"}), 0)]


# -- over HTTP


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubPlatform]:
    platform = HubPlatform(tmp_path_factory.mktemp("changes"))
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()


def poll(platform: HubPlatform, query: str = "", *, token: str = "") -> requests.Response:
    return platform.hub_api("GET", f"/sign-on/changes{query}", token=token)


def cursor_of(platform: HubPlatform) -> str:
    answer = poll(platform, "?wait=0").json()
    assert answer.keys() == {"cursor", "reset", "changed"}
    assert answer["reset"] is True
    return str(answer["cursor"])


def test_a_poll_waits_until_something_happens(platform: HubPlatform) -> None:
    token = platform.new_token("ada", CASJOBS_QUERY)
    cursor = cursor_of(platform)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(poll, platform, f"?after={cursor}&wait=60")
        time.sleep(0.5)
        assert not waiting.done()
        platform.revoke("ada", token["id"])
        answer = waiting.result(timeout=20).json()
    assert (answer["reset"], answer["changed"]) == (False, ["user:ada"])
    assert answer["cursor"] != cursor
    began = time.monotonic()
    quiet = poll(platform, f"?after={answer['cursor']}&wait=1").json()
    assert quiet == {"cursor": answer["cursor"], "reset": False, "changed": []}
    assert time.monotonic() - began >= 0.9


@pytest.mark.parametrize(
    "query",
    [
        "?wait=soon",
        "?wait=",
        "?wait=-1",
        "?wait=60.5",
        "?wait=nan",
        "?wait=inf",
        "?wait=1&wait=2",
        "?after=nonsense",
        "?after=../../etc",
        f"?after={'0' * 16}-1&after={'0' * 16}-2",
    ],
)
def test_nonsense_is_answered_with_what_would_make_sense(platform: HubPlatform, query: str) -> None:
    answer = poll(platform, query)
    assert answer.status_code == 400
    assert any(word in answer.json()["message"] for word in ("seconds from 0 to 60", "not a cursor", "send it once"))


def test_only_services_with_the_scope_may_watch(platform: HubPlatform) -> None:
    own = platform.new_token("ada", "inherit")["token"]
    assert poll(platform, "?wait=0", token=own).status_code == 403
    answer = poll(platform, "?wait=0", token=secret(platform.deployment, "ada-service"))
    assert answer.status_code == 403
    assert SIGN_ON_WATCH in answer.json()["message"]
    assert poll(platform, "?wait=0", token="unknown0unknown0").status_code == 403
    address = f"{platform.deployment.internal_origin('hub')}/hub/api/sign-on/changes?wait=0"
    assert requests.get(address, timeout=20).status_code == 403
    # An administrator of the hub has every right of people, but this is a service's.
    platform.hub_api("POST", "/users/root")
    assert platform.hub_api("PATCH", "/users/root", json={"admin": True}).ok
    browser = Visitor(platform)
    browser.sign_in("root")
    assert browser.visit("/hub/api/sign-on/changes?wait=0").status_code == 403


def test_no_token_can_be_given_the_scope_by_its_owner(platform: HubPlatform) -> None:
    platform.add_user("ada")
    answer = platform.hub_api("POST", "/users/ada/tokens", json={"scopes": [SIGN_ON_WATCH]})
    assert answer.status_code in {400, 403}


def test_polls_leave_neither_lines_nor_activity(platform: HubPlatform) -> None:
    cursor = cursor_of(platform)
    before = platform.hub.log.read_text()
    for _ in range(5):
        assert poll(platform, f"?after={cursor}&wait=0").ok
    assert poll(platform, "?wait=x").status_code == 400

    def new() -> str:
        return platform.hub.log.read_text()[len(before) :]

    # The line is written after the answer has been sent.
    wait_until(lambda: "400 GET /hub/api/sign-on/changes" in new(), limit=20)
    assert "200 GET /hub/api/sign-on/changes" not in new()


def test_a_poll_ends_when_its_client_goes_away(platform: HubPlatform) -> None:
    cursor = cursor_of(platform)
    assert platform.hub.popen
    url = urlsplit(platform.deployment.internal_origin("hub"))

    clients: list[socket.socket] = []
    ports: set[int] = set()

    def open_connections() -> int:
        """Ours, at the hub's end."""
        connections = psutil.Process(platform.hub.popen.pid).net_connections("tcp")
        return sum(
            entry.status == psutil.CONN_ESTABLISHED and entry.laddr.port == url.port and entry.raddr.port in ports
            for entry in connections
        )

    for _ in range(20):
        client = socket.create_connection((url.hostname, url.port), timeout=20)
        client.sendall(
            f"GET /hub/api/sign-on/changes?after={cursor}&wait=60 HTTP/1.1\r\nHost: hub\r\n"
            f"Authorization: token {secret(platform.deployment, 'tests-service')}\r\n\r\n".encode()
        )
        clients.append(client)
        ports.add(client.getsockname()[1])
    wait_until(lambda: open_connections() == 20, limit=20)
    before = platform.hub.log.read_text()
    for client in clients:
        client.close()
    wait_until(lambda: open_connections() == 0, limit=20, what="connections are closed long before 60 s")
    new = platform.hub.log.read_text()[len(before) :]
    assert "Traceback" not in new
    assert "never retrieved" not in new
    # And the hub still answers others.
    assert poll(platform, f"?after={cursor}&wait=0").ok


def test_the_token_page_tells_about_the_token(platform: HubPlatform) -> None:
    made = platform.new_token("ada", CASJOBS_QUERY, expires_in=600, note="laptop")
    answer = platform.hub_api("GET", "/sign-on/token", token=made["token"])
    model = answer.json()
    assert answer.status_code == 200
    assert (model["kind"], model["name"], model["token_id"]) == ("user", "ada", made["id"])
    for name in ("created", "expires_at", "note"):
        assert model[name] == made[name]
    assert model["created"].endswith("Z")
    assert model["expires_at"].endswith("Z")
    assert CASJOBS_QUERY in model["scopes"]
    # What the hub itself says about it, and no more than that.
    hubs = platform.hub_api("GET", "/user", token=made["token"]).json()
    assert model == hubs | {name: made[name] for name in ("created", "expires_at", "note")}

    endless = platform.new_token("ada")
    model = platform.hub_api("GET", "/sign-on/token", token=endless["token"]).json()
    assert model["expires_at"] is None

    service = platform.hub_api("GET", "/sign-on/token", token=secret(platform.deployment, "ada-service")).json()
    assert (service["kind"], service["name"], service["expires_at"]) == ("service", "ada", None)


def test_a_cookie_is_no_token(platform: HubPlatform) -> None:
    browser = Visitor(platform)
    browser.sign_in("ada")
    assert browser.visit("/hub/home").status_code == 200
    assert browser.visit("/hub/api/sign-on/token").status_code == 403
    # The answer for no token at all is the same.
    assert requests.get(f"{platform.deployment.public_url}/hub/api/sign-on/token", timeout=20).status_code == 403
    revoked = platform.new_token("ada")
    platform.revoke("ada", revoked["id"])
    assert platform.hub_api("GET", "/sign-on/token", token=revoked["token"]).status_code == 403
    expired = platform.new_token("ada", expires_in=1)
    wait_until(lambda: platform.hub_api("GET", "/sign-on/token", token=expired["token"]).status_code == 403, limit=10)


def test_a_restarted_hub_does_not_know_the_old_cursor(platform: HubPlatform) -> None:
    cursor = cursor_of(platform)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(poll, platform, f"?after={cursor}&wait=60")
        time.sleep(0.5)
        platform.hub.stop(signal.SIGKILL)
        with pytest.raises(requests.ConnectionError):
            waiting.result(timeout=20)
    platform.start_hub()
    answer = poll(platform, f"?after={cursor}&wait=60").json()
    assert answer["reset"] is True
    assert answer["cursor"].split("-")[0] != cursor.split("-")[0]
