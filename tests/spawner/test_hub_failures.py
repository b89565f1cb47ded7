"""Starts that fail: each says what happened and what to do, is counted, leaves nothing, and the next one works."""

import asyncio

import pytest
from bs4 import BeautifulSoup

from sciserver_spawner import volumes
from tests.fakes.engine import Boot, Hung, Refuse, Slow
from tests.fakes.hub import failures, until
from tests.spawner.conftest import shorten_lanes

FULL = Refuse(500, "mkdir /var/lib/docker/overlay2: no space left on device")


@pytest.fixture(scope="module")
def spawner_settings():
    with pytest.MonkeyPatch.context() as monkeypatch:
        shorten_lanes(monkeypatch, 2)
        yield {"term_timeout": 1, "poll_interval": 1, "mem_limit": "1G"}


async def check_failure(hub, answer, status, *said):
    """What holds for every failed start."""
    assert answer.status == status, answer.text
    for text in said:
        assert text in answer.message
    assert not await hub.runs("ada")
    await until(lambda: not hub.engine.containers)


async def check_next_start(hub):
    hub.engine.up()
    hub.engine.heal()
    hub.engine.boots.clear()
    hub.engine.boot = Boot()
    assert (await hub.start("ada")).status == 201
    assert await hub.served_by("ada") == hub.container("ada").id


async def test_an_engine_that_is_down(hub):
    await hub.start("other")
    await hub.stop("other")
    hub.engine.down()
    before = failures("node")
    answer = await hub.start("ada")
    await check_failure(hub, answer, 503, "does not answer", "Your files are safe", "sciserver doctor")
    assert failures("node") == before + 1
    await check_next_start(hub)


@pytest.mark.parametrize("step", ["create", "archive", "start"])
async def test_an_engine_that_hangs(hub, step):
    hub.engine.fault(step, Hung())
    before = failures("node")
    answer = await hub.start("ada")
    await check_failure(hub, answer, 503, "does not answer")
    assert failures("node") == before + 1
    await check_next_start(hub)


@pytest.mark.parametrize("step", ["create", "archive", "start", "inspect"])
async def test_an_engine_that_answers_with_an_error(hub, step):
    hub.engine.fault(step, Refuse(500, "driver failed programming external connectivity"))
    before = failures("node")
    answer = await hub.start("ada")
    await check_failure(hub, answer, 500, "refused to start", "driver failed")
    assert failures("node") == before + 1
    await check_next_start(hub)


@pytest.mark.parametrize("step", ["create", "archive", "start"])
async def test_a_full_disk(hub, step):
    hub.engine.fault(step, FULL)
    before = failures("capacity")
    answer = await hub.start("ada")
    await check_failure(hub, answer, 507, "disk", "full", "Tell the operator")
    assert failures("capacity") == before + 1
    await check_next_start(hub)


async def test_a_container_that_cannot_be_removed_yet_goes_when_it_can(hub):
    hub.engine.fault("start", Refuse(500, "oops"))
    hub.engine.fault("remove", Refuse(500, "device or resource busy"))
    assert (await hub.start("ada")).status == 500
    assert hub.engine.containers
    hub.engine.heal()
    await until(lambda: not hub.engine.containers)


async def test_an_image_that_the_registry_refuses(hub):
    before = failures("image")
    answer = await hub.start("ada", image="missing")
    await check_failure(hub, answer, 500, "site/missing:1 cannot be fetched", "pull access denied")
    assert failures("image") == before + 1
    # The choice is remembered, so the next start says which image it wants.
    assert (await hub.start("ada", image="python")).status == 201


async def test_an_image_of_ours_that_was_not_built(hub):
    answer = await hub.start("ada", image="unbuilt")
    await check_failure(hub, answer, 500, "sciserver image build")
    # Whoever owns that name in a public registry must not get to run code here.
    assert hub.engine.asked("pull") == []


async def test_an_image_that_is_not_on_the_menu(hub):
    before = failures("option")
    answer = await hub.start("ada", image="site/python:1")
    await check_failure(hub, answer, 400, "There is no image", "python, r")
    assert failures("option") == before + 1
    assert hub.engine.asked("create") == []


async def test_a_pull_that_breaks_off(hub):
    hub.engine.registry["site/missing:1"] = None
    answer = await hub.start("ada", image="missing")
    hub.engine.registry.clear()
    await check_failure(hub, answer, 503, "does not answer")


async def test_a_user_name_that_is_no_directory(hub):
    before = failures("volume")
    answer = await hub.start("ada:lovelace")
    assert answer.status == 500
    assert "cannot be the name of a directory" in answer.message
    assert failures("volume") == before + 1
    assert hub.engine.asked("create") == []


async def test_storage_that_cannot_be_written(hub, monkeypatch):
    def fail(*_):
        raise volumes.VolumeError("Your storage Storage/persistent cannot be made (No space left on device).")

    monkeypatch.setattr(volumes, "make", fail)
    answer = await hub.start("ada")
    await check_failure(hub, answer, 500, "Your storage", "No space left")


async def test_a_hub_that_is_not_root_lets_the_engine_make_the_storage(hub, monkeypatch, short_directory):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.chown", refuse)
    hub.engine.registry["site/missing:1"] = [{"status": "Pull complete", "id": "a"}]
    try:
        # Also with an image that must be fetched first.
        answer = await hub.start("grace", image="missing")
    finally:
        hub.engine.images.discard("site/missing:1")
        hub.engine.registry.clear()
    assert answer.status == 201, answer.text
    assert (short_directory / "volumes" / "Storage" / "grace" / "persistent").is_dir()
    assert set(hub.engine.names) == {"sciserver-test-grace"}


async def test_a_server_that_dies_shows_its_last_words(hub):
    hub.engine.boot = Boot(
        delay=0.1,
        dies=3,
        log=(
            *(f"line {number}" for number in range(50)),
            "100% %s <script>alert(1)</script>",
            "token=$JUPYTERHUB_API_TOKEN",
            "ImportError: jupyterhub",
        ),
    )
    before = failures("server")
    with hub.slow_after(0.001):
        await hub.start("ada")
    token = hub.spawner("ada").api_token
    event = (await hub.progress("ada"))[-1]
    page = await hub.page("ada", "hub/spawn-pending/ada")
    assert event["failed"] is True
    assert "exit code 3" in event["message"]
    for text in (event["html_message"], page.text):
        shown = BeautifulSoup(text, "html.parser").select_one("pre.sciserver-log").get_text().splitlines()
        # The last lines only, as text, and without the secret.
        assert shown[-3:] == ["100% %s <script>alert(1)</script>", "token=…", "ImportError: jupyterhub"]
        assert len(shown) == 20
        assert token not in text
    assert failures("server") == before + 1
    await until(lambda: not hub.engine.containers)
    await check_next_start(hub)


async def test_the_status_of_a_server_that_dies(hub, caplog):
    hub.engine.boot = Boot(dies=3, log=("token=$JUPYTERHUB_API_TOKEN", "ImportError: jupyterhub"))
    answer = await hub.start("ada")
    await check_failure(hub, answer, 500, "exit code 3")
    # The operator finds the reason in the hub's log, also when the page is long gone.
    assert "ImportError: jupyterhub" in caplog.text
    assert "token=…" in caplog.text


async def test_a_server_that_needs_too_much_memory(hub):
    hub.engine.boot = Boot(dies=137, out_of_memory=True)
    answer = await hub.start("ada")
    await check_failure(hub, answer, 500, "more memory than it may use (1 GiB)")


async def test_a_container_removed_by_hand_while_it_starts(hub):
    hub.engine.boot = Boot(listening=False)
    starting = asyncio.create_task(hub.start("ada"))
    await until(lambda: hub.engine.asked("start"))
    hub.engine.lose(hub.container("ada").name)
    await check_failure(hub, await starting, 500, "removed while it was starting")


@pytest.mark.parametrize(
    "boot", [Boot(listening=False), Boot(hangs=True), Boot(status=503)], ids=["silent", "half-open", "in trouble"]
)
async def test_a_server_that_never_gets_ready(hub, boot):
    hub.engine.boot = boot
    spawner = hub.user("ada").get_or_create_spawner("", "")
    # For the whole module the limit is generous, and for the next start again: only this test is about it.
    usual, spawner.ready_timeout = spawner.ready_timeout, 0.5
    before = failures("timeout")
    answer = await hub.start("ada")
    spawner.ready_timeout = usual
    await check_failure(hub, answer, 500, "did not answer within 0.5 seconds", "choose another image")
    assert failures("timeout") == before + 1
    await check_next_start(hub)


async def test_failures_of_users_do_not_count_against_the_hub(hub):
    # They are failures, not errors: a hub with `consecutive_failure_limit` would end itself.
    before = hub.app.tornado_settings.get("failure_count", 0)
    hub.engine.boot = Boot(dies=1)
    await hub.start("ada")
    assert hub.app.tornado_settings.get("failure_count", 0) == before


# -- a server that runs


async def test_poll_says_running_when_nobody_can_know(hub, caplog):
    await hub.start("ada")
    spawner = hub.spawner("ada")
    spawner.stop_polling()
    for fault in (Refuse(500, "internal"), Refuse(503, "restarting"), Hung()):
        with hub.engine.faulty("inspect", fault):
            assert await spawner.poll() is None
    hub.engine.down()
    caplog.clear()
    assert [await spawner.poll() for _ in range(3)] == [None] * 3
    hub.engine.up()
    assert await spawner.poll() is None
    hub.engine.down()
    assert [await spawner.poll() for _ in range(3)] == [None] * 3
    # Logged when it changes, not at every poll of every server.
    assert caplog.text.count("answers again") == caplog.text.count("Cannot ask the engine") == 1


async def test_poll_says_stopped_when_the_container_is_gone_or_ended(hub):
    await hub.start("ada")
    await hub.start("bob")
    for name in ("ada", "bob"):
        hub.spawner(name).stop_polling()
    ada, bob = hub.spawner("ada"), hub.spawner("bob")
    assert await ada.poll() is None
    hub.engine.lose(hub.container("ada").name)
    hub.engine.kill(hub.container("bob").name, 3)
    assert await ada.poll() == 1
    assert await bob.poll() == 3


async def test_an_engine_in_trouble_does_not_stop_a_running_server(hub):
    await hub.start("ada")
    container = hub.container("ada").id
    hub.engine.down()
    # The hub polls each second here.
    await until(lambda: hub.spawner("ada")._engine_lost)
    assert await hub.runs("ada")
    assert await hub.served_by("ada") == container
    hub.engine.up()
    await until(lambda: not hub.spawner("ada")._engine_lost)
    assert await hub.served_by("ada") == container


async def test_a_lost_container_is_noticed_and_the_page_offers_a_start(hub):
    await hub.start("ada")
    hub.engine.lose(hub.container("ada").name)
    await until(lambda: hub.user("ada").spawners[""].server is None)
    assert not await hub.runs("ada")
    page = await hub.page("ada", "user/ada/lab")
    if page.status == 302:
        page = await hub.page("ada", page.headers["Location"].partition(hub.app.base_url)[2])
    assert page.status == 424
    links = {link.get("href", "") for link in BeautifulSoup(page.text, "html.parser").find_all("a")}
    assert any("/hub/spawn/ada" in link for link in links)
    await check_next_start(hub)


async def test_a_container_that_ends_by_itself_is_removed(hub):
    await hub.start("ada")
    hub.engine.kill(hub.container("ada").name)
    # Its user may never come back, so this cannot wait for the next start.
    await until(lambda: not hub.engine.containers)
    assert not await hub.runs("ada")
    await check_next_start(hub)


async def test_a_stop_while_the_engine_is_down_is_made_good_later(hub):
    await hub.start("ada")
    token = hub.spawner("ada").api_token
    hub.engine.down()
    assert (await hub.stop("ada")).status in {202, 204}
    await until(lambda: not hub.spawner("ada").active)
    # Whatever the container still does, it does no longer as the user.
    assert (await hub.api("GET", "/user", token)).status == 403
    assert hub.engine.containers
    hub.engine.up()
    await until(lambda: not hub.engine.containers)


async def test_a_stop_while_the_engine_is_down_does_not_hit_the_next_server(hub):
    await hub.start("ada")
    hub.engine.fault("stop", Refuse(500, "did not receive an exit event"))
    hub.engine.fault("remove", Refuse(500, "did not receive an exit event"))
    await hub.stop("ada")
    await until(lambda: not hub.spawner("ada").active)
    await check_next_start(hub)
    current = hub.container("ada")
    await until(lambda: len(hub.engine.containers) == 1)
    assert current.running


async def test_a_container_removed_before_the_stop_is_stopped(hub):
    await hub.start("ada")
    hub.engine.fault("stop", Slow(0.2))
    stopping = asyncio.create_task(hub.stop("ada"))
    await until(lambda: hub.engine.asked("stop"))
    hub.engine.lose(hub.container("ada").name)
    assert (await stopping).status == 204
    await check_next_start(hub)
