"""Every process is killed while somebody works: nothing of the work is lost, and all comes back by itself."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import docker
import psutil
import pytest

from sciserver_spawner.naming import container_name
from tests.integration.conftest import remove_from_engine
from tests.support import Notebook, Person, Platform, wait_until

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def kim(platform: Platform) -> Person:
    person = platform.add_user("kim")
    person.sign_in()
    return person


@pytest.fixture
def running(kim: Person) -> Notebook:
    """Kim's server, running."""
    wait_until(lambda: kim.session.get(kim.url + "/hub/health", timeout=5).status_code == 200)
    if not kim.model()["servers"]:
        kim.start(image="base")
    return kim.server()


def kill(platform: Platform, name: str) -> int:
    """`kill -9` one process; returns its id."""
    pid = platform.processes()[name]["pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


def restarted(platform: Platform, name: str, old: int) -> bool:
    process = platform.processes()[name]
    return process["pid"] not in {None, old} and process["state"] == "running"


def container_id(engine: docker.DockerClient, platform: Platform) -> str:
    return str(engine.containers.get(container_name(platform.deployment.id, "kim", "")).id)


async def test_hub_killed_while_a_kernel_computes(
    platform: Platform, running: Notebook, kim: Person, engine: docker.DockerClient
) -> None:
    kernel = running.start_kernel()
    await running.execute(kernel, "x = 6 * 7")
    before = container_id(engine, platform)

    pid = kill(platform, "hub")
    # The proxy leads to the container while there is no hub at all.
    [result] = await running.execute(kernel, "x")
    assert result["text"] == "42"

    wait_until(lambda: restarted(platform, "hub", pid) and platform.answers())
    wait_until(lambda: kim.model()["servers"].get("", {}).get("ready"))
    assert container_id(engine, platform) == before
    [result] = await running.execute(kernel, "x")
    assert result["text"] == "42"


async def test_proxy_killed(platform: Platform, running: Notebook, engine: docker.DockerClient) -> None:
    kernel = running.start_kernel()
    await running.execute(kernel, "y = 1")
    before = container_id(engine, platform)
    pid = kill(platform, "proxy")
    wait_until(lambda: restarted(platform, "proxy", pid) and platform.answers())
    # The hub gives the routes back to the new proxy.
    wait_until(lambda: running.request("GET", "status").status_code == 200, what="route is back")
    [result] = await running.execute(kernel, "y")
    assert result["text"] == "1"
    assert container_id(engine, platform) == before


def test_portal_killed(platform: Platform, running: Notebook, kim: Person) -> None:
    pid = kill(platform, "portal")
    assert running.request("GET", "status").status_code == 200, "who is signed in works on"
    wait_until(lambda: restarted(platform, "portal", pid) and platform.answers())
    assert Person(platform.url, "kim").sign_in().url.endswith("/hub/home"), "the account is still there"


def test_supervisor_killed_then_up(platform: Platform, running: Notebook, engine: docker.DockerClient) -> None:
    before = container_id(engine, platform)
    supervisor = psutil.Process(platform.processes()["hub"]["pid"]).parent()
    assert supervisor
    supervisor.kill()
    wait_until(lambda: platform.processes()["hub"]["state"] == "unsupervised")
    assert running.request("GET", "status").status_code == 200
    platform.up()
    assert {process["state"] for process in platform.processes().values()} == {"running"}
    wait_until(lambda: running.request("GET", "status").status_code == 200)
    assert container_id(engine, platform) == before


def test_down_leaves_the_container_and_up_finds_it(
    platform: Platform, running: Notebook, kim: Person, engine: docker.DockerClient
) -> None:
    before = container_id(engine, platform)
    platform.run("down")
    assert {process["state"] for process in platform.processes().values()} == {"stopped"}
    assert engine.containers.get(before).status == "running"
    platform.up()
    wait_until(lambda: kim.model()["servers"].get("", {}).get("ready"))
    assert container_id(engine, platform) == before
    assert running.request("GET", "status").status_code == 200


def test_hub_killed_in_the_middle_of_a_start(platform: Platform, kim: Person, engine: docker.DockerClient) -> None:
    if kim.model()["servers"]:
        kim.stop()
    name = container_name(platform.deployment.id, "kim", "")
    response = kim.api("POST", "/users/kim/server", json={"user_options": {"image": "base"}})
    assert response.status_code in {201, 202}
    wait_until(lambda: engine.containers.list(all=True, filters={"name": name}), what="the container exists")
    pid = kill(platform, "hub")
    wait_until(lambda: restarted(platform, "hub", pid) and platform.answers())
    # Whatever the hub remembers of that start, the next one leads to one container and a working server.
    deadline = time.monotonic() + 120
    while not kim.model()["servers"].get("", {}).get("ready"):
        assert time.monotonic() < deadline
        kim.api("POST", "/users/kim/server", json={"user_options": {"image": "base"}})
        time.sleep(0.5)
    assert len(engine.containers.list(all=True, filters={"name": name})) == 1
    assert kim.server().request("GET", "status").status_code == 200


def test_container_removed_by_hand_can_be_started_again(
    platform: Platform, running: Notebook, kim: Person, engine: docker.DockerClient
) -> None:
    engine.containers.get(container_id(engine, platform)).remove(force=True)
    wait_until(lambda: not kim.model()["servers"], limit=90, what="the hub sees that the server is gone")
    kim.start(image="base")
    assert kim.server().request("GET", "status").status_code == 200


async def test_a_kernel_that_takes_too_much_memory_hurts_only_itself(
    running: Notebook, platform: Platform, engine: docker.DockerClient
) -> None:
    """The limit holds: 3 GiB in a container of 2 GiB ends the process, not the machine's other work."""
    code = "import subprocess, sys; "
    code += "print(subprocess.run([sys.executable, '-c', 'x = bytearray(3 * 2**30); print(len(x))']).returncode)"
    kernel = running.start_kernel()
    [result] = await running.execute(kernel, code)
    assert result["text"].strip() == "-9"
    assert running.request("GET", "status").status_code == 200


def test_a_copy_of_the_deployment_leaves_the_originals_containers_alone(
    platform: Platform, running: Notebook, engine: docker.DockerClient, tmp_path: Path
) -> None:
    """A backup restored beside the original: its database names the original's containers."""
    before = container_id(engine, platform)
    copy = Platform(tmp_path / "copy")
    shutil.copytree(platform.home, copy.home, ignore=shutil.ignore_patterns("run", "volumes"))
    try:
        copy.up()
        person = Person(copy.url, "kim")
        person.sign_in()
        wait_until(lambda: not person.model()["servers"], what="the copy has no server of kim's")
        person.start(image="base")
    finally:
        copy.run("down")
        remove_from_engine(copy)
    assert container_id(engine, platform) == before
    assert running.request("GET", "status").status_code == 200
