"""A deployment's settings, addresses and directories."""

import json
import os
import socket
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from sciserver_common.deployment import Deployment, DeploymentError


@pytest.fixture
def deployment(tmp_path):
    return Deployment.load(tmp_path / "home")


@pytest.mark.parametrize("port", [1, 8000, 65535])
def test_a_tcp_port_is_accepted(deployment, port):
    assert deployment.replace(port=port).port == port


@pytest.mark.parametrize("port", [0, -1, 65536, 10**9, "8000", None, 80.5])
def test_what_is_no_tcp_port_is_refused(deployment, port):
    with pytest.raises(DeploymentError, match="from 1 to 65535"):
        deployment.replace(port=port)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000",
        "https://sciserver.example.org",
        "https://sciserver.example.org:8443",
        "http://[::1]:8000",
        "http://localhost:1",
    ],
)
def test_an_origin_is_accepted(deployment, url):
    assert deployment.replace(public_url=url).public_url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sciserver.example.org",
        "ftp://sciserver.example.org",
        "javascript:alert(1)",
        "https://",
        "https://:8000",
        "https://example.org/",
        "https://example.org/hub",
        "https://example.org?x=1",
        "https://example.org?",
        "https://example.org#top",
        "https://user:password@example.org",
        "https://example.org:99999",
        "https://example.org:port",
        "https://[::1",
        "https://example.org\n",
        "https://exam ple.org",
        'https://example.org"onload="',
        None,
        7,
    ],
)
def test_what_is_no_origin_is_refused_with_an_example(deployment, url):
    with pytest.raises(DeploymentError, match=r"e\.g\. https://sciserver\.example\.org"):
        deployment.replace(public_url=url)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.8.9.10", True),
        ("http://localhost:8000", True),
        ("http://[::1]:8000", True),
        ("https://sciserver.example.org", False),
        ("http://192.168.1.2:8000", False),
        # A name, of which anybody can own the end.
        ("http://127.0.0.1.example.org", False),
        ("http://localhost.example.org", False),
    ],
)
def test_only_a_loopback_origin_is_local(deployment, url, local):
    assert deployment.replace(public_url=url).is_local is local


def test_settings_are_read_as_they_were_saved(deployment):
    changed = deployment.replace(port=9000, public_url="https://example.org", internal_host="172.18.0.1")
    changed.save()
    assert Deployment.load(changed.home) == changed


def test_the_home_directory_can_be_moved(deployment, tmp_path):
    deployment.replace(port=9000).save()
    moved = deployment.home.rename(tmp_path / "moved")
    assert Deployment.load(moved) == Deployment(home=moved, port=9000)


def test_the_home_directory_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SCISERVER_HOME", str(tmp_path))
    assert Deployment.load().home == tmp_path
    assert Deployment.load(tmp_path / "other").home == tmp_path / "other"


def test_settings_of_a_newer_version_are_passed_over(deployment):
    deployment.home.mkdir()
    (deployment.home / "deployment.json").write_text('{"port": 9000, "from_the_future": true, "home": "/etc"}')
    assert Deployment.load(deployment.home) == Deployment(home=deployment.home, port=9000)


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '"text"', "\udcff"])
def test_a_broken_file_is_named_with_what_to_do(deployment, content):
    deployment.home.mkdir()
    (deployment.home / "deployment.json").write_text(content, errors="surrogateescape")
    with pytest.raises(DeploymentError, match=r"deployment\.json cannot be read .* Repair it, or remove it"):
        Deployment.load(deployment.home)


@pytest.mark.parametrize("settings", [{"port": 0}, {"port": "8000"}, {"public_url": "example.org"}])
def test_a_file_edited_wrongly_is_refused(deployment, settings):
    deployment.home.mkdir()
    (deployment.home / "deployment.json").write_text(json.dumps(settings))
    with pytest.raises(DeploymentError):
        Deployment.load(deployment.home)


def test_a_reader_never_sees_half_of_the_settings(deployment):
    deployment.save()
    done = threading.Event()

    def write():
        # Long and short in turn: a file written in place would be seen cut or with a tail.
        for count in range(200):
            deployment.replace(public_url="https://" + "x" * (200 if count % 2 else 1) + ".org").save()
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set():
        Deployment.load(deployment.home)
        reads += 1
    writer.join()
    assert reads
    assert [path.name for path in deployment.home.iterdir()] == ["deployment.json"]


def test_a_save_that_fails_keeps_the_old_settings(deployment, monkeypatch):
    deployment.replace(port=9000).save()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        deployment.replace(port=9001).save()
    assert Deployment.load(deployment.home).port == 9000


def test_two_deployments_share_nothing(tmp_path):
    one, two = Deployment.load(tmp_path / "one"), Deployment.load(tmp_path / "two")
    assert one.id != two.id
    assert one.network != two.network
    assert one.run_dir != two.run_dir


def test_a_deployment_keeps_its_names(deployment):
    assert Deployment.load(deployment.home).id == deployment.id
    assert deployment.network == f"sciserver-{deployment.id}"


def test_directories_are_closed_to_other_accounts(deployment):
    before = os.umask(0)
    try:
        deployment.make_directories()
    finally:
        os.umask(before)
    # Twice is as good as once.
    deployment.make_directories()
    made = [deployment.home, *(path for path in deployment.home.iterdir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700}
    assert {path.name for path in made[1:]} >= {"hub", "portal", "secrets", "volumes", "data", "logs", "run"}


def deep_home(tmp_path, length):
    """A home directory of `length` bytes."""
    room = length - len(os.fsencode(tmp_path)) - 1
    return Deployment.load(tmp_path / "é".ljust(room - 1, "x"))


# Where exactly the edge is matters less than that the socket can be bound on both of its sides.
@pytest.mark.parametrize("length", range(70, 110, 3))
def test_sockets_can_be_bound_however_deep_the_home_is(length, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="s") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        deployment = deep_home(Path(directory).resolve(), length)
        assert len(os.fsencode(deployment.home)) == length
        deployment.make_directories()
        # Supervisor binds under a name with its process id first.
        for name in ("proxy.sock", "supervisor.sock.4194304"):
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(str(deployment.run_dir / name))


def test_a_run_directory_that_others_can_enter_is_refused(deployment):
    deployment.home.mkdir()
    deployment.run_dir.mkdir(mode=0o755)
    with pytest.raises(DeploymentError, match="open to other accounts"):
        deployment.make_directories()


def test_a_run_directory_that_is_a_link_is_refused(deployment, tmp_path):
    # Where it lies in /tmp, another account may have put one there.
    deployment.home.mkdir()
    (tmp_path / "theirs").mkdir(mode=0o700)
    deployment.run_dir.symlink_to(tmp_path / "theirs")
    with pytest.raises(DeploymentError, match="open to other accounts"):
        deployment.make_directories()


def test_services_are_reached_outside_and_inside(deployment):
    local = deployment.replace(internal_host="172.18.0.1")
    assert local.service_url("portal") == "http://127.0.0.1:8000/services/portal"
    assert local.internal_url("portal") == "http://172.18.0.1:8082/services/portal"
    # A container's loopback is not ours.
    assert local.container_url("portal") == local.internal_url("portal")
    public = local.replace(public_url="https://example.org")
    assert public.container_url("portal") == "https://example.org/services/portal"


def test_the_proxys_socket_is_spelt_as_the_hub_does(deployment):
    assert deployment.proxy_api_url.startswith("http+unix://%2F")
    assert "/" not in deployment.proxy_api_url.removeprefix("http+unix://")


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "127.0.0.1"),
        ({"public_url": "https://sciserver.example.org"}, "127.0.0.1"),
        ({"public_url": "http://sciserver.example.org"}, "0.0.0.0"),
        ({"public_url": "https://sciserver.example.org", "bind": "192.0.2.7"}, "192.0.2.7"),
        ({"bind": "0.0.0.0"}, "0.0.0.0"),
    ],
)
def test_the_network_is_let_in_only_where_it_was_asked_for(tmp_path, settings, address):
    assert Deployment(tmp_path).replace(**settings).bind_address == address


def test_a_host_name_is_not_an_address_to_listen_on(tmp_path):
    with pytest.raises(DeploymentError, match="not an IP address"):
        Deployment(tmp_path).replace(bind="localhost")


@pytest.mark.parametrize("name", ["a:b", 'a"b', "a\nb"])
def test_a_home_that_could_not_be_mounted_is_refused_at_once(tmp_path, name):
    with pytest.raises(DeploymentError, match="cannot be in the path"):
        Deployment.load(tmp_path / name)
