"""One deployment with SciDrive for nearly all tests over HTTP."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scidrive.ceph import Ceph
from tests.scidrive.drive_platform import Client, DrivePlatform

# Little room, so that it is soon full; and a root volume of which nobody makes volumes.
CONFIG = """
from scidrive_service.policy import DEFAULTS
roots = {name: dict(settings) for name, settings in DEFAULTS.items()}
roots["Small"] = {"description": "Little room.", "volume_bytes": 3_000_000, "volume_files": 50}
c.SciDrive.root_volumes = roots
c.SciDrive.upload_bytes = 50_000_000
c.SciDrive.count_seconds = 2
"""


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrivePlatform]:
    """A running hub and service, with the data volume Survey."""
    platform = DrivePlatform(tmp_path_factory.mktemp("scidrive"), CONFIG)
    survey = platform.deployment.data_dir / "Survey"
    (survey / "dr1").mkdir(parents=True)
    (survey / "readme.txt").write_text("All of the sky.\n")
    (survey / "dr1" / "stars.csv").write_text("a,b\n1,2\n")
    for directory in (survey, survey / "dr1"):
        directory.chmod(0o755)
    with platform.running():
        yield platform


@pytest.fixture(scope="session")
def ada(platform: DrivePlatform) -> Client:
    """Somebody who may do everything that people may."""
    return platform.client("ada-l")


@pytest.fixture(scope="session")
def bob(platform: DrivePlatform) -> Client:
    """Somebody else."""
    return platform.client("bob")


@pytest.fixture
def fast_path(tmp_path: Path) -> Iterator[Path]:
    """Like `tmp_path`, in memory if there is room for it."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    """An object store."""
    with tempfile.TemporaryDirectory(prefix="ceph-") as home:  # a short path, for sockets
        store = Ceph(Path(home))
        try:
            store.start()
            yield store
        finally:
            store.stop()
