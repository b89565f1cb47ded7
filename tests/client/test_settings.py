"""Where the services are, and where the token comes from (contract §0.1, §0.2)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from SciServer.core import Settings, SettingsError, tokens
from SciServer.core.settings import config_paths, origin, read_config
from SciServer.core.tokens import Token

from sciserver_common.sciscript import sciscript

Write = Callable[[Any], Path]


def test_later_files_and_explicit_values_win(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text('{"CasJobsRESTUri": "https://a.example/one/", "SciDriveHost": "https://a.example", "Other": 1}')
    second.write_text('{"CasJobsRESTUri": "https://b.example/two"}')
    found = Settings.load([first, second, tmp_path / "missing.json"], racm_url="https://c.example:8443/racm")
    assert found.casjobs_url == "https://b.example/two"
    assert found.scidrive_url == "https://a.example"
    assert found.racm_url == "https://c.example:8443/racm"
    assert found.token_path == "/home/idies/keystone.token"
    assert "https://b.example:443" in found.origins
    assert "https://c.example:8443" in found.origins


def test_the_files_of_this_machine(config_home: Write) -> None:
    path = config_home({"RacmApiURL": "https://mine.example/racm"})
    assert config_paths() == [Path("/etc/sciserver/sciscript.json"), path]
    assert Settings.load().racm_url == "https://mine.example/racm"


def test_a_deployments_own_file_is_understood() -> None:
    """What a deployment hands out names every address that we use."""
    handed_out = sciscript(lambda name: f"https://here.example/services/{name}")
    found = Settings.of(json.loads(json.dumps(handed_out)))
    assert found.origins == {"https://here.example:443"}
    assert found.casjobs_url == "https://here.example/services/casjobs/RestApi"


@pytest.mark.parametrize("text", ["{", "", "[1]", "\xff", '"text"'], ids=["open", "empty", "list", "no UTF-8", "text"])
def test_a_broken_file_is_named(config_home: Write, text: str) -> None:
    path = config_home("")
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=str(path)):
        read_config()
    # Also where 2.2 read it: when Config is imported.
    done = subprocess.run([sys.executable, "-c", "import SciServer.Config"], capture_output=True, text=True)
    assert done.returncode
    assert f"The settings in {path}" in done.stderr


@pytest.mark.parametrize("value", ["", "example.org/x", "file:///etc", "ftp://example.org", None, 3])
def test_an_address_that_is_none(value: Any) -> None:
    with pytest.raises(SettingsError, match="casjobs_url is no address"):
        Settings(casjobs_url=value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("KeystoneTokenPath", 5),
        ("KeystoneTokenPath", None),
        ("TrustedOrigins", "https://a.example"),
        ("TrustedOrigins", [1]),
    ],
)
def test_other_values_of_the_wrong_kind(key: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=r"token_path|trusted_origins"):
        Settings.of({key: value})


def test_origins() -> None:
    assert origin("HTTPS://Example.ORG/x?y#z") == origin("https://example.org:443") == "https://example.org:443"
    assert origin("http://example.org") != origin("https://example.org")
    for url in ("https://example.org:99999", "nothing"):
        with pytest.raises(SettingsError):
            origin(url)


def test_where_the_token_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"

    def found(explicit: Token | None = None) -> str | None:
        token = tokens.find(str(path), explicit)
        return None if token is None else token.reveal()

    assert found() is None
    monkeypatch.setenv("SCISERVER_TOKEN", " from the environment\n")
    assert found() == "from the environment"
    monkeypatch.setattr(sys, "argv", ["notebook", "--ident=from the command line"])
    assert found() == "from the command line"
    tokens.remember("set")
    assert found() == "set"
    # Inside a container it is the platform that says who somebody is.
    path.write_text("from the file\n\n")
    assert found() == "from the file"
    path.write_text("renewed\n")
    assert found() == "renewed"
    assert found(Token("explicit")) == "explicit"
    path.write_text("\n")
    assert found() is None
    path.write_bytes(b"\xff\xfe")
    assert found() is None
    path.unlink()
    tokens.remember(None)
    assert found() == "from the command line"


def test_a_token_does_not_show_itself() -> None:
    token = Token("very-secret")
    assert "very-secret" not in f"{token!r} {token} {[token]} {vars(Settings())}"
    assert not hasattr(token, "__dict__")
