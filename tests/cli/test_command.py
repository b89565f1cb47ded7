"""The operator's command: what it says, in text and JSON, when all is well and when something is wrong."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path

import docker
import pytest
import requests

from sciserver_cli import doctor
from sciserver_common.deployment import Deployment
from tests.integration.conftest import deploy
from tests.support import Person, Platform, free_port


@pytest.fixture
def nothing(tmp_path: Path) -> Platform:
    """A home directory in which no deployment was made."""
    return Platform(tmp_path / "home")


def test_status_before_the_first_up(nothing: Platform) -> None:
    result = nothing.run("status", "--json", check=False)
    status = json.loads(result.stdout)
    assert result.returncode == 3
    assert not status["running"]
    assert {process["state"] for process in status["processes"].values()} == {"stopped"}
    assert not nothing.home.exists(), "looking makes nothing"


def test_user_add_before_the_first_up(nothing: Platform) -> None:
    result = nothing.run("user", "add", "ada", "--password-stdin", stdin="long enough\n", check=False)
    assert result.returncode == 1
    assert "run `sciserver up` first" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--port", "99999"], "not a TCP port"),
        (["up", "--url", "sciserver.example.org"], "not an origin"),
        (["up", "--url", "https://sciserver.example.org/path"], "not an origin"),
        (["image", "build", "no-such-image"], "There is no image 'no-such-image'"),
    ],
)
def test_wrong_arguments_say_what_is_right(nothing: Platform, arguments: list[str], message: str) -> None:
    result = nothing.run(*arguments, check=False)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_port_of_another_program(nothing: Platform) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = nothing.run("up", "--port", str(port), "--json", check=False)
    assert result.returncode == 1
    assert f"Port {port} is used by another program" in json.loads(result.stdout)["error"]


def test_damaged_settings_are_not_overwritten(nothing: Platform) -> None:
    nothing.home.mkdir()
    (nothing.home / "deployment.json").write_text("{")
    result = nothing.run("up", check=False)
    assert result.returncode == 1
    assert "Repair it" in result.stderr
    assert (nothing.home / "deployment.json").read_text() == "{"


def test_engine_that_does_not_answer(nothing: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    result = nothing.run("up", "--port", str(free_port()), check=False)
    assert result.returncode == 1
    assert "DOCKER_HOST" in result.stderr
    engine = next(check for check in doctor.examine(Deployment.load(nothing.home)) if check.name == "Docker Engine")
    assert not engine.ok
    assert engine.remedy


@pytest.mark.docker
class TestTwoDeployments:
    """Two on one machine, side by side."""

    @pytest.fixture(scope="class")
    @staticmethod
    def pair(tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient):
        first = deploy(tmp_path_factory.mktemp("first") / "home", "c.Portal.registration = False\n")
        second = deploy(tmp_path_factory.mktemp("second") / "home")
        yield next(first), next(second)
        for each in (first, second):
            for _ in each:
                pass

    def test_both_run_at_their_own_address(self, pair: tuple[Platform, Platform]) -> None:
        for platform in pair:
            assert platform.answers()
            status = json.loads(platform.run("status", "--json").stdout)
            assert status["url"] == platform.url
            assert status["running"]

    def test_an_account_of_one_is_unknown_to_the_other(self, pair: tuple[Platform, Platform]) -> None:
        first, second = pair
        person = first.add_user("ann", admin=True)
        assert person.sign_in().url == first.url + "/hub/home"
        assert person.model()["admin"]
        person.url = second.url
        assert "/services/portal/" in person.sign_in().url

    def test_registration_can_be_switched_off(self, pair: tuple[Platform, Platform]) -> None:
        first, second = pair
        person = first.add_user("nosy")
        page = person.session.get(first.url + "/services/portal/register")
        assert page.status_code in {403, 404} or "register" not in page.url
        assert person.session.get(second.url + "/services/portal/register").status_code == 200

    def test_up_again_changes_nothing(self, pair: tuple[Platform, Platform]) -> None:
        first, _ = pair
        before = first.processes()
        secrets = {path.name: path.read_text() for path in first.deployment.secrets_dir.iterdir()}
        first.up()
        assert first.processes() == before
        assert secrets == {path.name: path.read_text() for path in first.deployment.secrets_dir.iterdir()}

    def test_port_can_be_changed(self, pair: tuple[Platform, Platform]) -> None:
        _, second = pair
        stayer = second.add_user("stayer")
        assert stayer.sign_in().url == second.url + "/hub/home"
        second.port = free_port()
        assert second.up()["url"] == second.url
        assert second.answers()
        # The portal has another address, and so another name in the protocol, but the same accounts.
        for name in ("stayer", "mover"):
            person = Person(second.url, name) if name == "stayer" else second.add_user(name)
            assert person.sign_in().url == second.url + "/hub/home"

    def test_secrets_are_closed(self, pair: tuple[Platform, Platform]) -> None:
        for path in pair[0].deployment.secrets_dir.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path

    def test_doctor_is_content_then_sees_an_open_secret(self, pair: tuple[Platform, Platform]) -> None:
        first, _ = pair
        assert json.loads(first.run("doctor", "--json").stdout)["healthy"]
        path = first.deployment.secrets_dir / "proxy"
        path.chmod(0o644)
        result = first.run("doctor", check=False)
        path.chmod(0o600)
        assert result.returncode == 1
        assert f"{path} can be read by other accounts" in result.stdout

    def test_password_is_changed_by_the_operator(self, pair: tuple[Platform, Platform]) -> None:
        first, _ = pair
        person = first.add_user("forgetful")
        first.run("user", "password", "forgetful", "--password-stdin", stdin="another passphrase\n")
        # In this order: a wrong password earns the account a delay.
        assert Person(first.url, "forgetful", "another passphrase").sign_in().url == first.url + "/hub/home"
        assert "/services/portal/" in person.sign_in().url

    def test_the_same_user_twice(self, pair: tuple[Platform, Platform]) -> None:
        first, _ = pair
        first.add_user("twice")
        result = first.run("user", "add", "twice", "--password-stdin", stdin="a long password\n", check=False)
        assert result.returncode == 1
        assert "exists already" in result.stderr

    def test_logs_of_one_process(self, pair: tuple[Platform, Platform]) -> None:
        result = pair[0].run("logs", "hub", "-n", "5")
        assert str(pair[0].deployment.logs_dir / "hub.log") in result.stdout
        assert "portal.log" not in result.stdout

    def test_a_broken_site_file_is_named(self, pair: tuple[Platform, Platform]) -> None:
        _, second = pair
        broken = second.deployment.config_dir / "broken.py"
        broken.write_text("c.JupyterHub.no_such = = 1\n")
        second.run("down")
        result = second.run("up", check=False)
        broken.unlink()
        assert result.returncode == 1
        assert "broken.py" in result.stderr
        second.up()
        assert second.answers()
        assert os.path.exists(second.deployment.run_dir / "supervisor.sock")  # noqa: PTH110


# Nobody listens there: the provider is asked at the first sign-in, and may be down when the platform starts.
ELSEWHERE = """
c.Portal.identity_provider = False
c.SciServerAuthenticator.issuer = "http://127.0.0.1:9"
c.SciServerAuthenticator.backchannel_url = ""
c.SciServerAuthenticator.client_secret = "a secret of the other provider"
c.SciServerAuthenticator.login_service = "the observatory"
c.SciServerAuthenticator.allowed_groups = {"astro"}
"""


@pytest.mark.docker
class TestAccountsElsewhere:
    """Another identity provider has the accounts."""

    @pytest.fixture(scope="class")
    @staticmethod
    def platform(tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient):
        yield from deploy(tmp_path_factory.mktemp("elsewhere") / "home", ELSEWHERE)

    def test_up_does_not_ask_for_an_account_here(self, platform: Platform) -> None:
        again = platform.run("up", "--port", str(platform.port))
        assert platform.url in again.stdout
        assert "user add" not in again.stdout
        assert platform.run("doctor").returncode == 0

    @pytest.mark.parametrize("command", [["user", "add"], ["user", "password"]])
    def test_accounts_cannot_be_made_here(self, platform: Platform, command: list[str]) -> None:
        result = platform.run(*command, "bob", "--password-stdin", stdin="a long password\n", check=False)
        assert result.returncode == 1
        assert "another identity provider" in result.stderr

    def test_pages_do_not_lead_to_the_portal(self, platform: Platform) -> None:
        page = requests.get(platform.url + "/hub/login", timeout=30)
        assert "Sign in with the observatory" in page.text
        assert "/services/portal" not in page.text
        assert requests.get(platform.url + "/services/portal/login", timeout=30).status_code == 404
        settings = requests.get(platform.url + "/services/portal/sciscript.json", timeout=30)
        assert settings.json()["AuthenticationURL"].startswith(platform.url)

    def test_silent_provider_is_told(self, platform: Platform) -> None:
        page = requests.get(platform.url + "/hub/oauth_login", timeout=60)
        assert page.status_code == 503
        assert "The sign-in service is not answering" in page.text
