"""What the extensions cost a server that starts, and that installing them enables them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXTENSIONS = Path(__file__).resolve().parents[2]

NAMES = ["jupyter_casjobs", "jupyter_scidrive"]


def microseconds(code: str) -> dict[str, int]:
    """Time that each module took to import, without those that it imports."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True
    )
    found = re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", result.stderr, re.MULTILINE)
    return {name: int(own) for own, name in found}


@pytest.mark.parametrize("name", NAMES)
def test_a_server_starts_hardly_later(name: str) -> None:
    """Goal: 50 ms. The machine may be slow at the moment, so it is compared with what the server takes itself."""
    last = "jupyter_server.extension.application"
    before = f"import jupyter_server.serverapp, jupyter_server.services.contents.handlers, {last}"
    shares = []
    for _ in range(2):
        times = microseconds(f"{before}; import {name}.extension")
        server = sum(times.values())
        modules = list(times)
        # What comes after the server's own modules.
        ours = sum(list(times.values())[modules.index(last) + 1 :])
        shares.append(ours / (server - ours))
    # jupyter_server takes some 600 ms where the extension takes 15.
    assert min(shares) < 0.08, shares


@pytest.mark.parametrize("name", NAMES)
def test_nothing_heavy_is_imported(name: str) -> None:
    code = f"import sys, {name}.extension; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {module.partition(".")[0] for module in result.stdout.split()}
    assert not loaded & {
        "httpx",
        "pandas",
        "pyarrow",
        "numpy",
        "polars",
        "astropy",
        "aiohttp",
        "IPython",
        "sqlalchemy",
    }


@pytest.mark.parametrize("name", NAMES)
def test_installing_is_enabling(name: str, tmp_path: Path) -> None:
    """Jupyter finds the file that is installed, and loads the extension."""
    source = EXTENSIONS / name.removeprefix("jupyter_")
    code = "from setuptools import setup; setup()"
    command = [sys.executable, "-c", code, "egg_info", "--egg-base", str(tmp_path)]
    subprocess.run(
        [*command, "install_data", "--install-dir", str(tmp_path)], cwd=source, check=True, capture_output=True
    )
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(tmp_path / "etc" / "jupyter"),
    }
    result = subprocess.run(
        [sys.executable, "-m", "jupyter", "server", "extension", "list"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout + result.stderr)
    assert re.search(rf"{name} enabled", told), told
    assert re.search(rf"{name} \S*\s*OK", told), told
    [path] = (tmp_path / "etc/jupyter/jupyter_server_config.d").iterdir()
    assert json.loads(path.read_text()) == {"ServerApp": {"jpserver_extensions": {name: True}}}
