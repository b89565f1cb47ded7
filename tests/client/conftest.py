"""The services that the client library is tried against, and both kinds of client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from SciServer import Config
from SciServer.core import AsyncClient, Client, Settings, tokens

from tests.casjobs.casjobs_platform import CasJobsPlatform, make_context
from tests.client.magics_support import drive_shell, maria, notebook, shell  # noqa: F401 - fixtures
from tests.client.recorder import Recorder
from tests.client.support import AnyClient, casjobs_settings, drive_settings, settings_for
from tests.scidrive.drive_platform import DrivePlatform

NewClient = Callable[..., AnyClient]

TOKEN = "a-very-secret-token"

# One more root volume, with little room.
DRIVE = """
from scidrive_service.policy import DEFAULTS
c.SciDrive.root_volumes = {name: dict(settings) for name, settings in DEFAULTS.items()} | {
    "Small": {"description": "Little room.", "volume_files": 50}
}
"""


@pytest.fixture(autouse=True)
def _no_token_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("SCISERVER_TOKEN", raising=False)
    yield
    tokens.remember(None)


@pytest.fixture(scope="session")
def casjobs_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CasJobsPlatform]:
    """A running hub and CasJobs: the context ``Sky``, and ``Hasty`` with half a second for quick queries."""
    platform = CasJobsPlatform(tmp_path_factory.mktemp("client-casjobs"), "c.Quick.wait_seconds = 250")
    make_context(platform.contexts, "Sky", public=True, title="The sky")
    make_context(platform.contexts, "Hasty", public=True, quick_seconds=0.5)
    with platform.running():
        yield platform


@pytest.fixture(scope="session")
def drive_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrivePlatform]:
    """A running hub and SciDrive, with the data volume Survey, and room for 50 files in each volume of Small."""
    platform = DrivePlatform(tmp_path_factory.mktemp("client-drive"), DRIVE)
    survey = platform.deployment.data_dir / "Survey"
    survey.mkdir(parents=True)
    (survey / "readme.txt").write_text("All of the sky.\n")
    survey.chmod(0o755)
    with platform.running():
        yield platform


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A server that keeps what it was asked."""
    server = Recorder()
    yield server
    server.close()


@pytest.fixture
def elsewhere() -> Iterator[Recorder]:
    """Another one, at another origin."""
    server = Recorder()
    yield server
    server.close()


@pytest.fixture(params=["sync", "async"])
async def new_client(request: pytest.FixtureRequest) -> AsyncIterator[NewClient]:
    """Makes clients, of one kind and then of the other; see `support.got`."""
    made: list[AnyClient] = []

    def new(settings: Settings, **options: Any) -> AnyClient:
        made.append((Client if request.param == "sync" else AsyncClient)(settings, **options))
        return made[-1]

    yield new
    for client in made:
        if isinstance(client, Client):
            client.close()
        else:
            await client.close()


@pytest.fixture
def queries(new_client: NewClient, casjobs_site: CasJobsPlatform) -> Any:
    """``casjobs`` of a client of ada's."""
    return new_client(casjobs_settings(casjobs_site), token=casjobs_site.token("ada-l")).casjobs


@pytest.fixture(params=["volumes", "scidrive"])
def place(request: pytest.FixtureRequest, new_client: NewClient, drive_site: DrivePlatform) -> tuple[Any, str]:
    """``files`` or ``scidrive`` of a client of ada's, and how her paths begin there; nothing is there yet."""
    settings, token = drive_settings(drive_site), drive_site.token("ada-l")
    name, start = ("files", "Storage/ada-l/persistent/") if request.param == "volumes" else ("scidrive", "")
    with Client(settings, token=token) as other:
        other.files.volumes()
        files = getattr(other, name)
        for entry in files.list(start):
            files.remove(entry.path, recursive=True)
    return getattr(new_client(settings, token=token), name), start


@pytest.fixture
def client(new_client: NewClient, recorder: Recorder) -> Any:
    """A client of whatever the recorder is to be."""
    return new_client(settings_for(recorder.url), token=TOKEN)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Assigns values of `SciServer.Config` for one test."""
    monkeypatch.setattr(Config, "KeystoneTokenPath", str(tmp_path / "keystone.token"))

    def configure(**values: Any) -> None:
        for name, value in values.items():
            monkeypatch.setattr(Config, name, value)

    return configure


@pytest.fixture
def wire(recorder: Recorder, configured: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """All services at the recorder, somebody signed in."""
    url = recorder.url
    configured(
        CasJobsRESTUri=f"{url}/RestApi",
        AuthenticationURL=f"{url}/keystone/v3/tokens",
        SciDriveHost=url,
        RacmApiURL=f"{url}/racm",
    )
    monkeypatch.setenv("SCISERVER_TOKEN", "the-token")
    return recorder


@pytest.fixture
def config_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Any], Path]:
    """Writes the user's `sciscript.json`."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "sciserver" / "sciscript.json"
    path.parent.mkdir()

    def write(value: Any) -> Path:
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    return write
