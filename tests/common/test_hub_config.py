"""`jupyterhub_config.py`: services, routes and settings that belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sciserver_cli import processes
from sciserver_common.deployment import SERVICES, Deployment
from sciserver_common.secrets import secret


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """One that knows its address, so that no engine is asked."""
    deployment = Deployment(tmp_path, internal_host="127.0.0.1")
    deployment.save()
    deployment.make_directories()
    monkeypatch.setenv("SCISERVER_HOME", str(tmp_path))
    monkeypatch.delenv("SCISERVER_SUPERVISED", raising=False)
    return deployment


def config(deployment: Deployment, site: str = "") -> Any:
    (deployment.config_dir / "site.py").write_text(f"c = get_config()\n{site}\n")
    return processes.check_config()


def test_every_process_is_a_service_that_the_hub_alone_starts(deployment: Deployment) -> None:
    services = {entry["name"]: entry for entry in config(deployment).JupyterHub.services}
    assert {name for name, entry in services.items() if "command" in entry} == set(SERVICES)
    assert set(services) - set(SERVICES) == {"racm"}
    for name, entry in services.items():
        assert entry["url"] == deployment.internal_origin(name)


def test_no_service_is_started_twice_beside_a_supervisor(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCISERVER_SUPERVISED", "1")
    assert not any("command" in entry for entry in config(deployment).JupyterHub.services)


def test_racm_is_scidrives_process_and_has_no_rights(deployment: Deployment) -> None:
    settings = config(deployment)
    services = {entry["name"]: entry for entry in settings.JupyterHub.services}
    assert services["racm"]["url"] == services["scidrive"]["url"]
    assert "api_token" not in services["racm"]
    assert services["racm"]["display"] is False
    assert not any("racm" in role.get("services", ()) for role in settings.JupyterHub.load_roles)


def test_webdav_has_a_route_of_its_own(deployment: Deployment) -> None:
    routes = config(deployment).Proxy.extra_routes
    assert routes == {"/services/scidrive/dav/": deployment.internal_origin("dav")}
    assert deployment.service_port("dav") != deployment.service_port("scidrive")


def test_the_spawner_asks_scidrive_with_the_services_token(deployment: Deployment) -> None:
    spawner = config(deployment).SciServerSpawner
    assert spawner.mounts_url == f"{deployment.internal_url('scidrive')}/api/mounts"
    assert spawner.mounts_token == secret(deployment, "scidrive-service")


@pytest.mark.parametrize(("site", "is_mounted"), [("", True), ('c.SciDrive.drive_url = "s3://bucket/drive"', False)])
def test_scidrive_in_an_object_store_is_not_mounted(deployment: Deployment, site: str, is_mounted: bool) -> None:
    assert config(deployment, site).SciServerSpawner.get("scidrive", True) is is_mounted


def test_root_volumes_are_added_to_those_that_are_there(deployment: Deployment) -> None:
    from scidrive_service.app import SciDrive

    site = 'c.SciDrive.root_volumes.update({"Projects": {"description": "For groups."}})'
    service = SciDrive(config=config(deployment, site))
    assert set(service.root_volumes) == {"Storage", "Temporary", "SciDrive", "Projects"}
