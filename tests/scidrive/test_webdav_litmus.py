"""Debian's litmus: whether the door speaks WebDAV as RFC 4918 has it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.scidrive.dav_support import dav
from tests.scidrive.drive_platform import DrivePlatform

SUITES = ["basic", "copymove", "props", "locks", "http"]


FRAGMENT = "DELETE removed collection resource with Request-URI including fragment; unsafe"
"""Node cuts fragments, which have no place in a request, off before the proxy sends it on."""


@pytest.mark.parametrize("where", ["SciDrive", "Storage/ada-l/persistent"])
@pytest.mark.parametrize("way", ["proxy", "direct"])
def test_litmus(platform: DrivePlatform, tmp_path: Path, way: str, where: str) -> None:
    """All five suites."""
    url = f"{platform.url}/dav" if way == "proxy" else dav(platform)
    result = subprocess.run(
        ["litmus", "--keep-going", f"{url}/{where}/", "ada-l", platform.token("ada-l")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    summaries = re.findall(r"summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed", result.stdout)
    assert [name for name, *_ in summaries] == SUITES, result.stdout + result.stderr
    assert all(run == passed for _, run, passed, _ in summaries), result.stdout
    warnings = re.findall(r"WARNING: (.*)", result.stdout)
    assert warnings == ([FRAGMENT] if way == "proxy" else []), result.stdout
