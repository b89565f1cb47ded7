"""CasJobs in a whole deployment: from a notebook's container, loaded by the operator's command, and in the
supervisor's hands.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import docker
import pytest
import requests

from sciserver_spawner.naming import container_name
from tests.support import Person, Platform, wait_until

pytestmark = pytest.mark.docker

# What the client library does in a container, in the standard library's words (contract §0.2, §3).
IN_CONTAINER = """
import json, urllib.request
settings = json.load(open("/etc/sciserver/sciscript.json"))
token = open(settings["KeystoneTokenPath"]).read().rstrip("\\n")

def ask(sql, accept):
    body = json.dumps({"Query": sql, "TaskName": "Compute.x"}).encode()
    headers = {"X-Auth-Token": token, "Content-Type": "application/json", "Accept": accept}
    url = settings["CasJobsRESTUri"] + "/contexts/Stars/query?TaskName=Compute.x"
    return urllib.request.urlopen(urllib.request.Request(url, body, headers)).read().decode()

ask("select name, vmag into MyDB.bright from Bright where vmag < 0", "text/plain")
print(json.dumps(json.loads(ask("select * from MyDB.bright order by vmag", "application/json+array"))["Result"][0]))
"""


@pytest.fixture(scope="module")
def annie(platform: Platform) -> Person:
    person = platform.add_user("annie")
    person.sign_in()
    return person


@pytest.fixture(scope="module", autouse=True)
def stars(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A context that the operator makes from a file, while the service runs."""
    file = tmp_path_factory.mktemp("stars") / "stars.csv"
    file.write_text(
        "name,ra,dec,vmag\nSirius,101.287,-16.716,-1.46\nVega,279.235,38.784,0.03\nCanopus,95.988,-52.696,-0.74\n"
    )
    platform.run("context", "add", "Stars", "--public", "--title", "Bright stars", "--rights", "CC0")
    platform.run("context", "load", "Stars", "Bright", str(file), "--unit", "vmag=mag")
    listed = json.loads(platform.run("context", "list", "--json").stdout)
    assert "Stars" in json.dumps(listed)


def rest(platform: Platform, path: str, token: str, **options: object) -> requests.Response:
    url = f"{platform.url}/services/casjobs/RestApi/{path}"
    method = str(options.pop("method", "GET"))
    return requests.request(method, url, headers={"X-Auth-Token": token}, timeout=60, **options)  # type: ignore[arg-type]


def test_container_s_token_queries_and_keeps_the_result(
    platform: Platform, annie: Person, engine: docker.DockerClient
) -> None:
    annie.start()
    container = engine.containers.get(container_name(platform.deployment.id, "annie", ""))
    status, output = container.exec_run(["python3", "-c", IN_CONTAINER])
    assert status == 0, output
    assert json.loads(output)["Data"] == [["Sirius", -1.46], ["Canopus", -0.74]]
    annie.stop()


def test_service_that_was_killed_is_back_with_what_was_there(platform: Platform, annie: Person) -> None:
    token = annie.token("custom:sciserver:casjobs:write")
    body = {"Query": "select top 1 name into MyDB.kept from Bright order by ra"}
    assert rest(platform, "contexts/Stars/query", token, method="POST", json=body).status_code == 200
    old = platform.processes()["casjobs"]["pid"]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: platform.processes()["casjobs"]["pid"] not in {None, old}, what="another process")

    def tables() -> list[str]:
        answer = rest(platform, "contexts/MyDB/Tables", token)
        return [table["Name"] for table in answer.json()] if answer.ok else []

    assert "kept" in wait_until(tables, what="the service answers")


def test_doctor_names_the_sandbox(platform: Platform) -> None:
    checks = {
        check["name"]: check for check in json.loads(platform.run("doctor", "--json", check=False).stdout)["checks"]
    }
    assert checks["sandbox of queries"]["ok"], checks


def test_files_of_queries_are_closed_to_other_accounts(platform: Platform) -> None:
    home: Path = platform.deployment.casjobs_dir
    assert home.stat().st_mode & 0o077 == 0
    for directory in home.glob("mydb/*"):
        assert directory.stat().st_mode & 0o077 == 0
