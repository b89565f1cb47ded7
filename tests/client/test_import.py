"""What an import costs, told by what it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"httpx", "pandas", "pyarrow", "numpy", "polars", "astropy", "IPython", "tornado"}


def loaded(code: str) -> set[str]:
    """Heavy modules that are there after some code."""
    script = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return HEAVY & set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import SciServer", set()),
        ("import SciServer; SciServer.__version__; dir(SciServer)", set()),
        ("import SciServer.core", set()),
        ("from SciServer.core import Settings, SciServerError, QueryError; Settings.load()", set()),
        ("from SciServer.core import Client, AsyncClient", {"httpx"}),
        ("import SciServer.Login as login", {"httpx"}),
        ("import SciServer, SciServer.Login; SciServer.CasJobs, SciServer.Files, SciServer.SciDrive", {"httpx"}),
    ],
)
def test_what_an_import_loads(code: str, expected: set[str]) -> None:
    assert loaded(code) == expected


def test_a_module_that_is_not_there() -> None:
    import SciServer

    with pytest.raises(AttributeError, match="no attribute 'SkyQuery'"):
        SciServer.SkyQuery  # noqa: B018 - it is the subject
    assert {"CasJobs", "Files", "core"} <= set(dir(SciServer))
