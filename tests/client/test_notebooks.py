"""Calls as published notebooks have them, with the running services, in an interpreter of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from SciServer import Authentication, CasJobs, Files, SciDrive
from SciServer.core import AsyncClient, Client, NotSignedInError

from sciserver_auth.portal import accounts
from tests.auth.auth_platform import PASSWORD, Platform, make_deployment
from tests.casjobs.casjobs_platform import FIRST, CasJobsPlatform
from tests.client.support import portal_settings
from tests.scidrive.drive_platform import DrivePlatform

STRIPE = """
import SciServer
import SciServer.Login as login
import pandas
token = login.getToken()
sql = "select top 3 objID, ra, class from Stars order by objID"
queryResponse = SciServer.CasJobs.executeQuery(sql, "Sky", token=token)
obs = pandas.read_csv(queryResponse, index_col=None)
print(obs.to_json(orient="split"))
"""

FRAGMENTS = """
import SciServer.CasJobs as CJ
query = "select top 3 objID, ra, class from Stars order by objID"
print(CJ.executeQuery(query, "Sky").to_json(orient="split"))
"""

OLDER = """
from SciServer import CasJobs, LoginPortal
import pandas, io
my_access_token = LoginPortal.getToken()
responseStream = CasJobs.executeQuery("select top 3 objID, ra, class from Stars order by objID", "Sky", token =
    my_access_token)
result = responseStream.read()
print(pandas.read_csv(io.StringIO(result)).to_json(orient="split"))
"""


@pytest.fixture
def notebook(casjobs_site: CasJobsPlatform, tmp_path: Path) -> Callable[[str], Any]:
    """Runs code as in a container: settings and token are in files."""
    token = tmp_path / "keystone.token"
    token.write_text(casjobs_site.token("ada-l") + "\n")
    (tmp_path / "sciserver").mkdir()
    settings = {"CasJobsRESTUri": casjobs_site.rest, "KeystoneTokenPath": str(token)}
    (tmp_path / "sciserver" / "sciscript.json").write_text(json.dumps(settings))

    def run(code: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("code", [STRIPE, FRAGMENTS, OLDER], ids=["Stripe82", "FragData", "before 2.0"])
def test_published_calls(notebook: Callable[[str], Any], code: str) -> None:
    found = notebook(code)
    assert found["columns"] == ["objID", "ra", "class"]
    assert [row[0] for row in found["data"]] == [FIRST, FIRST + 1, FIRST + 2]


def test_casjobs(
    casjobs_site: CasJobsPlatform, configured: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(CasJobsRESTUri=casjobs_site.rest)
    monkeypatch.setenv("SCISERVER_TOKEN", casjobs_site.token("ada-l"))
    assert {table["Name"] for table in CasJobs.getTables("Sky")} == {"Stars", "Fields"}
    assert CasJobs.executeQuery("select 4 as Column1, 5 as Column2 ", format="csv") == "Column1,Column2\n4,5\n"
    frame = pd.DataFrame({"id": [FIRST, FIRST + 1], "name": ["ü", None]})
    CasJobs.uploadPandasDataFrameToTable(frame, "oldway")
    assert CasJobs.getPandasDataFrameFromQuery("select * from oldway order by id")["id"].tolist() == [FIRST, FIRST + 1]
    job = CasJobs.submitJob("select id into oldway2 from oldway")
    assert CasJobs.waitForJob(job)["Status"] == 5
    assert CasJobs.executeQuery("select count(*) as n from oldway2")["n"].tolist() == [2]
    for table in ("oldway", "oldway2"):
        CasJobs.executeQuery(f"drop table {table}", format="csv")
    assert CasJobs.executeQuery("declare @x int = 1").empty


def test_scidrive_and_files(
    drive_site: DrivePlatform, configured: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configured(SciDriveHost=drive_site.url, RacmApiURL=drive_site.deployment.service_url("racm"))
    monkeypatch.setenv("SCISERVER_TOKEN", drive_site.token("eve"))
    folder = "/SciScriptPython"
    SciDrive.createContainer(folder)
    assert SciDrive.upload(f"{folder}/TestFile.csv", "Column1,Column2\n4.5,5.5\n")["path"] == f"{folder}/TestFile.csv"
    assert folder in SciDrive.directoryList(folder)["path"]
    assert SciDrive.directoryList()["contents"]
    assert SciDrive.publicUrl(folder).startswith("http")
    assert SciDrive.download(f"{folder}/TestFile.csv") == "Column1,Column2\n4.5,5.5\n"
    SciDrive.delete(folder)
    service = Files.getFileServices()[0]
    name = service["name"]
    Files.createUserVolume(name, "Storage/eve/mine", quiet=False)
    Files.createDir(service, "/Storage/eve/mine/new")
    assert Files.dirList(service, "Storage/eve/mine/new", level=2)["root"].get("files") is None
    (tmp_path / "local").write_bytes(bytes(3_000_000))
    Files.upload(service, "Storage/eve/mine/new/x", localFilePath=str(tmp_path / "local"))
    assert Files.dirList(service, "Storage/eve/mine/new", level=2)["root"]["files"][0]["size"] == 3_000_000
    Files.move(service, "Survey/readme.txt", service, "Storage/eve/mine/readme.txt")
    assert Files.download(service, "Storage/eve/mine/readme.txt") == "All of the sky.\n"
    Files.delete(service, "Storage/eve/mine/new")
    Files.deleteUserVolume(service, "Storage/eve/mine", quiet=False)


@pytest.fixture(scope="module")
def portal_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A portal and a hub, with the person ada."""
    platform = Platform(make_deployment(tmp_path_factory.mktemp("client-portal")))
    try:
        platform.start_portal()
        platform.start_hub()
        accounts.add_user(platform.deployment, "ada", PASSWORD, email="ada@example.org")
        yield platform
    finally:
        platform.stop()


async def test_signing_in(portal_site: Platform, configured: Callable[..., None]) -> None:
    # Wrong ones for another name: the portal lets somebody wait after them.
    settings = portal_settings(portal_site)
    configured(AuthenticationURL=settings.authentication_url)
    token = Authentication.login("ada", PASSWORD)
    user = Authentication.getKeystoneUserWithToken(token)
    assert (user.userName, user.id) == ("ada", "ada")
    # A personal access token is a password too.
    assert Authentication.login("ada", token) == token
    with pytest.raises(NotSignedInError, match="wrong"):
        Authentication.login("nobody", "a wrong one")
    with Client(settings) as client:
        client.login("ada", PASSWORD)
        assert PASSWORD not in repr(client.driver.policy)
        with pytest.raises(NotSignedInError):
            client.login("nobody", "a wrong one")
    async with AsyncClient(settings) as other:
        await other.login("ada", PASSWORD)
        with pytest.raises(NotSignedInError):
            await other.login("nobody", "a wrong one")
