"""The newcomer's path on the real engine: register, sign in, start, compute, stop, come back."""

from __future__ import annotations

import json
import stat

import docker
import pytest
import requests

from sciserver_spawner.naming import LABEL, container_name
from tests.support import Person, Platform, command_lines, wait_until

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def ada(platform: Platform) -> Person:
    """Registered by herself and signed in."""
    person = Person(platform.url, "ada")
    assert person.register().status_code == 200
    assert person.sign_in().url == platform.url + "/hub/home"
    return person


@pytest.fixture(scope="module")
def eve(platform: Platform) -> Person:
    """Another user, who should not get at what is Ada's."""
    person = platform.add_user("eve")
    person.sign_in()
    return person


def container_of(
    engine: docker.DockerClient, platform: Platform, person: Person
) -> docker.models.containers.Container:
    return engine.containers.get(container_name(platform.deployment.id, person.name, ""))


async def test_notebook_on_real_data_runs_and_its_files_stay(platform: Platform, ada: Person) -> None:
    ada.start()
    server = ada.server()
    listing = server.request("GET", "contents/").json()["content"]
    assert {"Storage", "Temporary", "Getting started.ipynb"} <= {entry["name"] for entry in listing}

    notebook = server.request("GET", "contents/Getting started.ipynb").json()["content"]
    cells = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    results = await server.execute(server.start_kernel(), *cells)
    assert [result["status"] for result in results] == ["ok"] * len(cells), results
    assert any("image/png" in result["types"] for result in results)

    storage = platform.deployment.volumes_dir / "Storage" / "ada" / "persistent"
    tables = list(storage.rglob("*.fits"))
    assert tables, "the notebook keeps its table on the user's storage"
    before = tables[0].read_bytes()

    ada.stop()
    assert tables[0].read_bytes() == before
    ada.start(image="base")
    relative = tables[0].relative_to(storage)
    path = f"contents/Storage/ada/persistent/{relative}"
    assert ada.server().request("GET", path, params={"content": "0"}).json()["size"] == len(before)


async def test_container_keeps_the_contract(platform: Platform, ada: Person, engine: docker.DockerClient) -> None:
    if not ada.model()["servers"]:
        ada.start()
    container = container_of(engine, platform, ada)

    def inside(command: str) -> str:
        status, output = container.exec_run(["sh", "-c", command])
        assert status == 0, output
        return output.decode().strip()

    assert inside("id -u; id -un") == "1000\nidies"
    assert inside("cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max") == str(2 * 2**30)
    assert inside("grep CapEff /proc/self/status").split()[1] == "0" * 16
    assert inside("grep NoNewPrivs /proc/self/status").split()[1] == "1"
    assert inside("stat -c '%U %a' /home/idies/keystone.token") == "idies 600"
    assert inside("printenv SCISERVER_USER_NAME") == "ada"
    settings = json.loads(inside("cat /etc/sciserver/sciscript.json"))
    assert settings["KeystoneTokenPath"] == "/home/idies/keystone.token"
    assert not [key for key, value in settings.items() if "sciserver.org" in value or "sdss.org" in value]

    # The token is the server's own: it speaks for Ada at the hub, from inside the container.
    hub = platform.deployment.internal_origin("hub")
    who = f'curl -s -H "Authorization: token $(cat /home/idies/keystone.token)" {hub}/hub/api/user'
    assert json.loads(inside(who))["name"] == "ada"

    record = container.attrs
    assert record["Config"]["Labels"][f"{LABEL}.user"] == "ada"
    assert not record["HostConfig"]["Privileged"]
    assert not record["HostConfig"]["PortBindings"]
    assert record["HostConfig"]["PidsLimit"] == 2048


def test_storage_belongs_to_the_user_and_is_closed_to_others(platform: Platform, ada: Person) -> None:
    volume = platform.deployment.volumes_dir / "Storage" / "ada" / "persistent"
    assert (volume.stat().st_uid, stat.S_IMODE(volume.stat().st_mode)) == (1000, 0o700)
    assert volume.parent.stat().st_uid != 1000


def test_data_volume_is_shown_and_cannot_be_written(
    platform: Platform, ada: Person, engine: docker.DockerClient
) -> None:
    folder = platform.deployment.data_dir / "sdss_das"
    folder.mkdir(exist_ok=True)
    (folder / "readme.txt").write_text("spectra")
    if ada.model()["servers"]:
        ada.stop()
    ada.start()
    container = container_of(engine, platform, ada)
    assert container.exec_run("cat /home/idies/workspace/sdss_das/readme.txt").output == b"spectra"
    status, output = container.exec_run("touch /home/idies/workspace/sdss_das/mine")
    assert status != 0
    assert b"Read-only" in output


def test_another_user_reaches_neither_server_nor_account(platform: Platform, ada: Person, eve: Person) -> None:
    if not ada.model()["servers"]:
        ada.start()
    refused = {403, 404}
    assert eve.session.get(f"{platform.url}/user/ada/api/contents/Storage").status_code in refused
    assert eve.session.get(f"{platform.url}/user/ada/lab").status_code in refused
    assert eve.api("DELETE", "/users/ada/server").status_code in refused
    assert eve.api("POST", "/users/ada/tokens").status_code in refused
    assert eve.api("GET", "/users/ada").status_code in refused
    assert eve.api("GET", "/users").status_code in refused
    assert ada.model()["servers"][""]["ready"]


def test_a_stranger_reaches_nothing(platform: Platform, ada: Person) -> None:
    for path in ("/user/ada/api/contents", "/hub/api/users", "/hub/api/users/ada", "/hub/api/proxy"):
        assert requests.get(platform.url + path, allow_redirects=False, timeout=30).status_code in {302, 403}


async def test_container_reaches_neither_its_neighbour_nor_the_engine_nor_the_admin_api(
    platform: Platform, ada: Person, eve: Person, engine: docker.DockerClient
) -> None:
    for person in (ada, eve):
        if not person.model()["servers"]:
            person.start()
    neighbour = container_of(engine, platform, ada)
    address = neighbour.attrs["NetworkSettings"]["Networks"][platform.deployment.network]["IPAddress"]
    hub = platform.deployment.internal_origin("hub")
    kernel_code = f"""
import json, os, socket, urllib.error, urllib.request

def connects(address):
    try:
        socket.create_connection(address, timeout=2).close()
        return True
    except OSError:
        return False

def status(path, method="GET"):
    headers = {{"Authorization": "token " + open("/home/idies/keystone.token").read()}}
    try:
        request = urllib.request.Request("{hub}/hub/api" + path, headers=headers, method=method)
        return urllib.request.urlopen(request, timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code

print(json.dumps({{
    "own": connects(("127.0.0.1", 8888)),
    "hub": connects(("{platform.deployment.internal_host}", 8081)),
    "neighbour": connects(("{address}", 8888)),
    "proxy api": connects(("{platform.deployment.internal_host}", {platform.port + 1})),
    "engine socket": os.path.exists("/var/run/docker.sock"),
    "engine port": connects(("{platform.deployment.internal_host}", 2375)),
    "own user": status("/user"),
    "all users": status("/users"),
    "neighbour's server": status("/users/ada/server", "DELETE"),
    "proxy": status("/proxy"),
    "shutdown": status("/shutdown", "POST"),
    "others": sorted(os.listdir("/home/idies/workspace/Storage")),
}}))
"""
    server = eve.server()
    [result] = await server.execute(server.start_kernel(), kernel_code)
    assert result["status"] == "ok", result["text"]
    found = json.loads(result["text"])
    assert found.pop("own")
    assert found.pop("hub")
    assert found.pop("own user") == 200
    assert found.pop("others") == ["eve"]
    for name in ("all users", "neighbour's server", "proxy", "shutdown"):
        assert found.pop(name) in {403, 404}, name
    assert not any(found.values()), found


def test_wrong_password_does_not_sign_in(platform: Platform, eve: Person) -> None:
    burglar = Person(platform.url, "eve", password="not her password")
    page = burglar.sign_in()
    assert "/services/portal/" in page.url
    assert burglar.session.get(platform.url + "/hub/home", allow_redirects=False).status_code == 302


def test_unknown_image_is_refused_with_the_choices(eve: Person) -> None:
    if eve.model()["servers"]:
        eve.stop()
    response = eve.api("POST", "/users/eve/server", json={"user_options": {"image": "debian:latest"}})
    assert response.status_code == 400
    assert "python-astro" in response.json()["message"]


def test_logout_ends_the_session_at_hub_and_portal(platform: Platform, eve: Person) -> None:
    eve.session.get(platform.url + "/hub/logout")
    assert eve.session.get(platform.url + "/hub/home", allow_redirects=False).status_code == 302
    page = eve.session.get(platform.url + "/hub/oauth_login", params={"next": "/hub/home"})
    assert "/services/portal/" in page.url, "signing in again asks for the password"
    eve.sign_in()


def test_no_secret_in_logs_or_arguments(platform: Platform, ada: Person, engine: docker.DockerClient) -> None:
    secrets = [path.read_text().strip() for path in platform.deployment.secrets_dir.iterdir()]
    container = container_of(engine, platform, ada)
    secrets.append(container.exec_run("cat /home/idies/keystone.token").output.decode())
    logs = "".join(path.read_text(errors="replace") for path in platform.deployment.logs_dir.iterdir())
    arguments = "\n".join(command_lines())
    for secret in secrets:
        line = secret.splitlines()[1] if "\n" in secret else secret
        assert line not in logs
        assert line not in arguments
    wait_until(lambda: platform.answers())
