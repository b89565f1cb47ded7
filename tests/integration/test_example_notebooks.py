"""The example notebooks of the images, run as their users find them: in a container that the hub has started.

The executed notebooks and their figures are kept in pytest's temporary directory, for people to look at.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import docker
import nbformat
import pytest

from sciserver_spawner.naming import container_name
from tests.support import Person, Platform

pytestmark = pytest.mark.docker

IMAGES = Path(__file__).parents[2] / "images"
NOTEBOOKS = sorted(path.relative_to(IMAGES) for path in IMAGES.glob("*/workspace/*.ipynb"))
RUNNER = Path(__file__).with_name("notebook_runner.py")


@pytest.fixture(scope="module")
def reader(platform: Platform) -> Person:
    """Somebody on a deployment with the demonstration data that `sciserver up` makes."""
    platform.run("data", "load")
    person = platform.add_user("margaret")
    person.sign_in()
    return person


def test_there_are_notebooks() -> None:
    names = {path.name for path in NOTEBOOKS}
    assert names == {
        "Fragments of an impact.ipynb",
        "Getting started.ipynb",
        "Particles around a halo.ipynb",
        "Stripe 82 light curves.ipynb",
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_results(path: Path) -> None:
    notebook = nbformat.read(IMAGES / path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_its_image(
    platform: Platform, reader: Person, engine: docker.DockerClient, path: Path, tmp_path: Path
) -> None:
    if reader.model()["servers"]:
        reader.stop()
    reader.start(image=path.parts[0])
    container = engine.containers.get(container_name(platform.deployment.id, reader.name, ""))
    volume = f"Storage/{reader.name}/persistent"
    results = f"/home/idies/workspace/{volume}/{path.stem}"
    command = ["python3", "-c", RUNNER.read_text(), f"/home/idies/workspace/{path.name}", results]
    status, output = container.exec_run(command)
    assert status == 0, output.decode()
    found = json.loads(output.decode().splitlines()[-1])

    shutil.copytree(platform.deployment.volumes_dir / volume / path.stem, tmp_path / "executed")
    print(f"The executed notebook and its figures: {tmp_path / 'executed'}")
    assert found["errors"] == []
    assert found["executed"] == found["cells"] > 3
    # What a reader would take for a fault: warnings of libraries, a traceback of a thread.
    assert found["stderr"] == []
    assert found["figures"]
    for figure in found["figures"]:
        assert min(figure["size"]) > 200, figure
        assert figure["drawn"] > 0.01, figure
        assert figure["colours"] > 20, figure

    # Nothing of the token is in what people pass on.
    token = container.exec_run(["cat", "/home/idies/keystone.token"]).output.decode().strip()
    assert len(token) > 20
    assert token not in (tmp_path / "executed" / path.name).read_text()
