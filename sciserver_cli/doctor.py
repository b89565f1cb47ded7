"""Looking for what is wrong with a deployment: each check says what it found and how to mend it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException, NotFound

from scidrive_service import projects
from sciserver_cli import engine_setup, processes
from sciserver_common.deployment import Deployment, proxy_command
from sciserver_spawner import images

_LEAST_FREE_GIB = 5.0


@dataclass(frozen=True)
class Check:
    """One finding. `remedy` says what to do where it is not `ok`."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def examine(deployment: Deployment) -> list[Check]:
    """All checks, in an order in which each builds on those before it."""
    checks = [_proxy_program(), *_disk(deployment), *_secrets(deployment)]
    try:
        client = engine_setup.connect()
    except DockerException as error:
        checks.append(
            Check(
                "Docker Engine",
                False,
                f"does not answer ({error})",
                "Start it (`sudo systemctl start docker`), or run `sciserver up`, which does so where it may.",
            )
        )
        return checks + _processes(deployment)
    checks.append(_engine(client))
    checks += [_image(client, image) for image in images.catalogue()]
    checks.append(_network(client, deployment))
    return checks + _processes(deployment) + _sandbox(deployment) + _files(deployment)


def _proxy_program() -> Check:
    missing = [path for path in proxy_command() if path.startswith("/") and not Path(path).exists()]
    return Check(
        "proxy program", not missing, f"{missing[0]} is missing" if missing else "installed", "Run `make up`."
    )


def _disk(deployment: Deployment) -> list[Check]:
    place = next(path for path in (deployment.home, *deployment.home.parents) if path.exists())
    free = shutil.disk_usage(place).free / 2**30
    return [
        Check(
            "disk space",
            free >= _LEAST_FREE_GIB,
            f"{free:.1f} GiB free at {place}",
            f"Free some: below {_LEAST_FREE_GIB:g} GiB image builds and users' work may fail.",
        )
    ]


def _secrets(deployment: Deployment) -> list[Check]:
    if not deployment.secrets_dir.is_dir():
        return [Check("secrets", True, "not made yet")]
    files = [deployment.secrets_dir, *deployment.secrets_dir.iterdir()]
    exposed = [str(path) for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077]
    found = f"{', '.join(exposed)} can be read by other accounts" if exposed else "closed to other accounts"
    return [Check("secrets", not exposed, found, f"chmod -R go= {deployment.secrets_dir}")]


def _engine(client: docker.DockerClient) -> Check:
    info = client.info()
    limits = [name for name in ("MemoryLimit", "CpuCfsQuota", "PidsLimit") if not info.get(name)]
    found = f"{info['ServerVersion']}, {info['NCPU']} CPUs, {info['MemTotal'] / 2**30:.1f} GiB"
    if limits:
        return Check(
            "Docker Engine",
            False,
            f"{found}; cannot limit {', '.join(limits)}",
            "Enable the memory, cpu and pids control groups in the kernel: without them a user can take it all.",
        )
    return Check("Docker Engine", True, found)


def _image(client: docker.DockerClient, image: images.Image) -> Check:
    built = images.is_built(client, image)
    found = image.tag if built else f"{image.tag} is not built"
    return Check(f"image {image.name}", built, found, f"Run `sciserver image build {image.name}`.")


def _network(client: docker.DockerClient, deployment: Deployment) -> Check:
    name = "network"
    try:
        network = client.api.inspect_network(deployment.network)
    except NotFound:
        return Check(name, False, f"{deployment.network} is missing", "Run `sciserver up`.")
    gateway = network["IPAM"]["Config"][0]["Gateway"]
    if gateway != deployment.internal_host:
        return Check(name, False, f"its gateway moved to {gateway}", "Run `sciserver down` and `sciserver up`.")
    if network["Options"].get("com.docker.network.bridge.enable_icc") != "false":
        remedy = f"Stop the containers, `docker network rm {deployment.network}`, then `sciserver up`."
        return Check(name, False, "users' containers can reach each other", remedy)
    return Check(name, True, f"{deployment.network}, gateway {gateway}, containers kept apart")


def _sandbox(deployment: Deployment) -> list[Check]:
    """What locks queries in; nothing while CasJobs does not answer, which the check of its process tells."""
    try:
        with urllib.request.urlopen(f"{deployment.internal_url('casjobs')}/health", timeout=5) as answer:  # noqa: S310 - our own address
            found = json.load(answer)["protections"]
    except (OSError, ValueError):
        return []
    layers = {"files": "files", "uid": "own user id", "network": "network", "system_calls": "system calls"}
    missing = [text for name, text in layers.items() if not found[name]]
    kept = "; ".join(text for name, text in layers.items() if found[name])
    return [
        Check(
            "sandbox of queries",
            bool(found["files"] and found["system_calls"]),
            kept + (f"; not: {', '.join(missing)}" if missing else ""),
            "Run as root, or on a kernel with Landlock. See docs/explanation/casjobs.md.",
        )
    ]


def _files(deployment: Deployment) -> list[Check]:
    """Whether SciDrive reaches the files, and what stops a container that fills the disk."""
    name = "files"
    if not deployment.internal_host or not deployment.volumes_dir.is_dir():
        return []
    try:
        url = f"{deployment.internal_url('scidrive')}/health"
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - our own address
    except urllib.error.HTTPError as error:
        remedy = "Is the disk of the volumes mounted and readable? Read `sciserver logs scidrive`."
        return [Check(name, False, f"SciDrive answers {error.code}", remedy)]
    except OSError:
        return []  # of which the check of its process tells
    folder = os.open(deployment.volumes_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        is_enforced = projects.is_enforced(folder)
    finally:
        os.close(folder)
    found = (
        "quotas hold in containers too: the file system has project quotas"
        if is_enforced
        else "quotas hold at the page, REST and WebDAV; containers write without (see docs/how-to/storage.md)"
    )
    return [Check(name, True, found)]


def _processes(deployment: Deployment) -> list[Check]:
    remedies: dict[str, Callable[[str], str]] = {
        "stopped": lambda name: "Run `sciserver up`.",
        "unsupervised": lambda name: "Its supervisor was killed. Run `sciserver up`.",
    }
    checks = []
    for name, info in processes.Supervisor(deployment).processes().items():
        remedy = remedies.get(info["state"], lambda name: f"Read `sciserver logs {name}`.")
        checks.append(Check(name, info["state"] == "running", info["state"], remedy(name)))
    return checks
