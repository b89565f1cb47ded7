"""Project quotas of a file system, with a kernel that has them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from scidrive_service import projects
from tests.scidrive import quota_kernel
from tests.scidrive.files_support import ADA, make, stop


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the other kernel's programs have printed."""
    if os.getuid() != 0 or os.uname().machine != "x86_64":
        pytest.skip("makes file systems: needs root, and User-Mode Linux is for x86-64")
    return quota_kernel.run(tmp_path_factory.mktemp("kernel"))


@pytest.mark.parametrize(
    "line",
    [
        "enforced ['project quota', 'service only', 'service only']",  # each volume: by the doors
        "little 0",
        f"much {errno.EDQUOT}",
        "stopped True",
        f"many {errno.EDQUOT}",
        "door full Your quota is used up",
    ],
)
def test_containers_are_stopped_by_the_file_system(said: str, line: str) -> None:
    assert f"containers_are_stopped: {line}" in said, said


@pytest.mark.parametrize(
    "line",
    [
        "before ['service only', 'service only']",
        "after ['service only', 'project quota']",
        "inside 1 True",
        "outside 0 0 0",
        f"stopped {errno.EDQUOT}",
        "new True",
        "used True 7",
        "gone False",
    ],
)
def test_volumes_that_were_there_before_are_protected_later(said: str, line: str) -> None:
    assert f"volumes_are_protected_later: {line}\n" in said, said


def test_file_systems_without_project_quotas_say_so(tmp_path: Path) -> None:
    """The one of this test: it is enough that nothing is claimed which is not so."""
    files = make(tmp_path, {"Storage": {"user_bytes": 1000, "default_volumes": ["persistent"]}})
    files.listing(ADA)
    folder = os.open(tmp_path, os.O_RDONLY)
    expected = "project quota" if projects.is_enforced(folder) else "service only"
    os.close(folder)
    assert files.usage(ADA)[0]["enforced"] == expected
    files.sweep()
    stop(files)
