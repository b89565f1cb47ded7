"""Finding a Docker Engine, or installing and starting Debian's."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import docker
from docker.errors import DockerException
from docker.utils import kwargs_from_env

from sciserver_cli.errors import OperatorError
from sciserver_spawner import images

OLDEST_API = (1, 41)
"""API version of Docker 20.10, Debian 12's: what the tests run on."""

_START_TIMEOUT = 60.0
_LOG = Path("/var/log/dockerd.log")


def connect() -> docker.DockerClient:
    """A client of the engine that the environment names (``DOCKER_HOST``), else of the local one.

    Raises
    ------
    docker.errors.DockerException
        It does not answer.
    """
    client = docker.DockerClient(version="auto", timeout=60, **kwargs_from_env())
    client.ping()
    return client


def ensure_engine(progress: Callable[[str], None]) -> docker.DockerClient:
    """A client of the engine that answers; where this account may, the engine is installed and started first.

    Raises
    ------
    OperatorError
        There is no engine and this account cannot make one: says what is missing.
    """
    try:
        return _checked(connect())
    except DockerException as error:
        reason = str(error)
    if os.environ.get("DOCKER_HOST"):
        raise OperatorError(
            f"The Docker Engine at DOCKER_HOST={os.environ['DOCKER_HOST']} does not answer ({reason}). "
            "Start it, or unset DOCKER_HOST to use the one of this machine."
        )
    if "Permission denied" in reason:
        raise OperatorError(
            "This account may not use the Docker Engine. Run `sudo usermod -aG docker $USER`, log in again, "
            "and repeat the command."
        )
    if shutil.which("dockerd") is None:
        if not may_install():
            raise OperatorError(
                "Docker Engine is not installed. On Debian or Ubuntu: `sudo apt-get install docker.io`; elsewhere see "
                "https://docs.docker.com/engine/install/. Then repeat the command."
            )
        install_packages(["docker.io"], progress)
    elif os.geteuid() != 0:
        raise OperatorError("Docker Engine is installed but does not run. Start it: `sudo systemctl start docker`.")
    progress("Starting the Docker Engine")
    _start_engine()
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            return _checked(connect())
        except DockerException as error:
            if time.monotonic() > deadline:
                raise OperatorError(
                    f"The Docker Engine was started but does not answer ({error}). Its log: {_LOG}, or "
                    "`journalctl -u docker` where systemd runs."
                ) from error
            time.sleep(0.5)


def ensure_image(client: docker.DockerClient, image: images.Image, progress: Callable[[str], None]) -> None:
    """Build an image; where no registry gives the base, with the program that makes it from Debian's packages.

    Raises
    ------
    sciserver_spawner.images.ImageBuildError
        It cannot be built.
    OperatorError
        That program cannot be installed.
    """
    try:
        images.build(client, image, progress=progress)
    except images.ImageBuildError:
        if shutil.which("debootstrap") or not may_install():
            raise
        install_packages(["debootstrap", "debian-archive-keyring"], progress)
        images.build(client, image, progress=progress)


def may_install() -> bool:
    """Whether this account can install Debian packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install_packages(names: list[str], progress: Callable[[str], None]) -> None:
    """Install Debian packages.

    Raises
    ------
    OperatorError
        apt-get failed.
    """
    progress(f"Installing {', '.join(names)} (apt-get)")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "--no-install-recommends", *names]):
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        if result.returncode != 0:
            tail = "\n".join((result.stdout + result.stderr).splitlines()[-10:])
            raise OperatorError(f"`{' '.join(command)}` failed:\n{tail}")


def _checked(client: docker.DockerClient) -> docker.DockerClient:
    version = client.api.api_version
    if tuple(int(part) for part in version.split(".")) < OLDEST_API:
        raise OperatorError(
            f"The Docker Engine speaks API {version}; {'.'.join(map(str, OLDEST_API))} (Docker 20.10) or newer is "
            "needed. Upgrade it and repeat the command."
        )
    return client


def _start_engine() -> None:
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "enable", "--now", "docker"], capture_output=True)
        return
    # No service manager (a container, a chroot): the engine runs on its own.
    with _LOG.open("ab") as log:
        subprocess.Popen(
            ["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
