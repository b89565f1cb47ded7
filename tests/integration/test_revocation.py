"""An administrator ends somebody's access: the browser, scripts and the container are out, the files stay."""

from __future__ import annotations

import os
import signal

import docker
import pytest
import requests

from sciserver_spawner.naming import container_name
from tests.support import Notebook, Person, Platform, wait_until

pytestmark = pytest.mark.docker


def newcomer(platform: Platform, name: str) -> Person:
    person = platform.add_user(name)
    person.sign_in()
    return person


def works(platform: Platform, token: str) -> bool:
    """Whether the hub takes a token."""
    headers = {"Authorization": f"token {token}"}
    return requests.get(f"{platform.url}/hub/api/user", headers=headers, timeout=30).status_code == 200


def has_container(engine: docker.DockerClient, platform: Platform, name: str) -> bool:
    try:
        engine.containers.get(container_name(platform.deployment.id, name, ""))
    except docker.errors.NotFound:
        return False
    return True


async def token_in(server: Notebook) -> str:
    kernel = server.start_kernel()
    [result] = await server.execute(kernel, "print(open('/home/idies/keystone.token').read())")
    return str(result["text"]).strip()


async def test_locked_account_is_out_everywhere(platform: Platform, engine: docker.DockerClient) -> None:
    mallory = newcomer(platform, "mallory")
    mallory.start(image="base")
    inside = await token_in(mallory.server())
    script = mallory.token("read:users!user")
    storage = platform.deployment.volumes_dir / "Storage" / "mallory" / "persistent"
    (storage / "kept.txt").write_text("kept")
    assert works(platform, inside)
    assert works(platform, script)
    # The portal is killed at the moment of the lock: what the command has written down is delivered afterwards.
    os.kill(platform.processes()["portal"]["pid"], signal.SIGKILL)
    said = platform.run("user", "lock", "mallory").stdout
    assert "end within seconds" in said
    wait_until(lambda: not works(platform, script), what="the script's token is void")
    wait_until(lambda: not works(platform, inside), what="the container's token is void")
    wait_until(lambda: not has_container(engine, platform, "mallory"), what="the container is gone")
    assert mallory.session.get(platform.url + "/hub/home").url.startswith(platform.url + "/hub/login")
    wait_until(platform.answers)
    page = mallory.sign_in()
    assert "/services/portal/" in page.url
    # Back again after a mistake: the same files, but none of the old tokens.
    platform.run("user", "unlock", "mallory")
    again = Person(platform.url, "mallory")
    assert again.sign_in().url == platform.url + "/hub/home"
    assert (storage / "kept.txt").read_text() == "kept"
    assert not works(platform, script)


def test_lock_while_the_hub_is_away(platform: Platform) -> None:
    trent = newcomer(platform, "trent")
    token = trent.token("read:users!user")
    os.kill(platform.processes()["hub"]["pid"], signal.SIGKILL)
    platform.run("user", "lock", "trent")

    def void() -> bool:
        try:
            headers = {"Authorization": f"token {token}"}
            return requests.get(f"{platform.url}/hub/api/user", headers=headers, timeout=30).status_code == 403
        except requests.RequestException:
            return False

    wait_until(void, what="the token is void when the hub is back", limit=90)


def test_nobody_to_lock(platform: Platform) -> None:
    result = platform.run("user", "lock", "no-such-person", check=False)
    assert result.returncode == 1
    assert "There is no user 'no-such-person'" in result.stderr
