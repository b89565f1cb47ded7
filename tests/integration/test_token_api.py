"""The token API of a whole deployment: from a laptop, from inside a container, and in the supervisor's hands."""

from __future__ import annotations

import json
import os
import signal

import docker
import pytest
import requests

from sciserver_spawner.naming import container_name
from tests.support import PASSWORD, Person, Platform, command_lines, wait_until

pytestmark = pytest.mark.docker

# What the client library does in a container, in the standard library's words: the token file, the settings, and a
# question without any header (contract §0.2, §2.2). Then a wrong password, with an address that is not its own.
IN_CONTAINER = """
import json, urllib.error, urllib.request
settings = json.load(open("/etc/sciserver/sciscript.json"))
token = open(settings["KeystoneTokenPath"]).read().rstrip("\\n")
url = settings["AuthenticationURL"]
user = json.load(urllib.request.urlopen(f"{url}//{token}?TaskName=Compute.x"))["token"]["user"]
wrong = {"auth": {"identity": {"password": {"user": {"name": "nobody", "password": "wrong"}}}}}
headers = {"Content-Type": "application/json", "X-Forwarded-For": "198.51.100.99"}
try:
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(wrong).encode(), headers))
except urllib.error.HTTPError as error:
    user["status"] = error.code
print(json.dumps(user))
"""


@pytest.fixture(scope="module")
def grace(platform: Platform) -> Person:
    person = platform.add_user("grace")
    person.sign_in()
    return person


def login(platform: Platform, password: str = PASSWORD) -> requests.Response:
    """As a laptop does, which knows the address of the settings and nothing else."""
    settings = requests.get(f"{platform.url}/services/portal/sciscript.json", timeout=20).json()
    body = {"auth": {"identity": {"password": {"user": {"name": "grace", "password": password}}}}}
    return requests.post(settings["AuthenticationURL"], json=body, timeout=60)


def test_container_s_token_is_known(platform: Platform, grace: Person, engine: docker.DockerClient) -> None:
    grace.start()
    container = engine.containers.get(container_name(platform.deployment.id, "grace", ""))
    status, output = container.exec_run(["python3", "-c", IN_CONTAINER])
    assert status == 0, output
    assert json.loads(output) | {"domain": None} == {"name": "grace", "id": "grace", "status": 401, "domain": None}
    address = next(iter(container.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]
    log = (platform.deployment.logs_dir / "portal.log").read_text()
    assert f"Sign-in with a password from {address} was refused" in log
    assert "198.51.100.99" not in log
    _, token = container.exec_run(["cat", "/home/idies/keystone.token"])
    url = f"{platform.url}/services/portal/keystone/v3/tokens/{token.decode().strip()}"
    assert requests.get(url, timeout=20).status_code == 200
    grace.stop()
    wait_until(lambda: requests.get(url, timeout=20).status_code == 404, what="the token ends with its server")


def test_no_secret_in_the_logs_of_a_deployment(platform: Platform, grace: Person) -> None:
    token = login(platform).headers["X-Subject-Token"]
    wrong = "Xq7-not-the-password"
    assert login(platform, wrong).status_code == 401
    # The provider makes the account wait after a wrong password.
    wait_until(lambda: login(platform).status_code == 200)
    url = f"{platform.url}/services/portal/keystone/v3/tokens/{token}"
    assert requests.get(url, timeout=20).json()["token"]["user"]["name"] == "grace"

    # The supervisor starts the portal again; until then the proxy and the hub have something to say about the path.
    os.kill(platform.processes()["portal"]["pid"], signal.SIGKILL)
    seen = set()
    wait_until(lambda: seen.add(requests.get(url, timeout=20).status_code) or len(seen) == 2)
    assert seen == {200, 503}
    assert login(platform).status_code == 200

    logs = list(platform.deployment.logs_dir.iterdir())
    assert {"supervisord.log", "portal.log", "proxy.log", "hub.log"} <= {path.name for path in logs}
    for path in logs:
        text = path.read_text()
        assert token not in text, path.name
        assert wrong not in text, path.name
        assert PASSWORD not in text, path.name
    assert "keystone/v3/tokens/[secret]" in (platform.deployment.logs_dir / "proxy.log").read_text()
    secrets = [token, *(path.read_text().strip() for path in platform.deployment.secrets_dir.iterdir())]
    for arguments in command_lines():
        assert not [secret for secret in secrets if secret in arguments], arguments.partition(" ")[0]
