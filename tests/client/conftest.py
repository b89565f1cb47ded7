"""Deployments and people for the tests of the client library and its magics."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.casjobs.casjobs_platform import CasJobsPlatform, Client, make_context
from tests.client.magics_support import Kernel, Shell, environment, kernel
from tests.scidrive.drive_platform import DrivePlatform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CasJobsPlatform]:
    """A running hub and CasJobs. `Sky` has all the time of the world, `Hasty` half a second for quick queries."""
    platform = CasJobsPlatform(tmp_path_factory.mktemp("client"), "c.Quick.wait_seconds = 250")
    make_context(platform.contexts, "Sky", public=True, title="The sky")
    make_context(platform.contexts, "Hasty", public=True, quick_seconds=0.5)
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrivePlatform]:
    """A running hub and SciDrive."""
    platform = DrivePlatform(tmp_path_factory.mktemp("client-drive"))
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="session")
def maria(platform: CasJobsPlatform) -> Client:
    """Somebody who queries in a notebook, and by REST sees what became of it."""
    return platform.client("maria")


@pytest.fixture
def shell(platform: CasJobsPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """Her IPython, with the magics."""
    for name, value in environment(tmp_path, platform.token("maria"), CasJobsRESTUri=platform.rest).items():
        monkeypatch.setenv(name, value)
    opened = Shell()
    opened.run("%casjobs use Sky")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def notebook(platform: CasJobsPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Her notebook."""
    own = environment(tmp_path_factory.mktemp("maria"), platform.token("maria"), CasJobsRESTUri=platform.rest)
    with kernel({**os.environ, **own}) as opened:
        opened.run("%casjobs use Sky")
        yield opened


@pytest.fixture
def drive_shell(drive: DrivePlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """An IPython of somebody with files, in an empty directory."""
    for name, value in environment(tmp_path / "home", drive.token("maria"), SciDriveHost=drive.url).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    opened = Shell()
    yield opened
    opened.close()
