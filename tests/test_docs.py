"""The documentation agrees with the code: options have help, dependencies have reasons, links lead somewhere."""

from __future__ import annotations

import configparser
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from jupyter_casjobs.extension import CasJobsExtension
from jupyter_scidrive.contents import SciDriveContents
from jupyter_scidrive.extension import SciDriveExtension
from traitlets import HasTraits

from casjobs_service.app import CasJobs
from casjobs_service.queue import Scheduler
from casjobs_service.quick import Quick
from casjobs_service.worker.pool import Workers
from scidrive_service.app import SciDrive
from sciserver_auth.authenticator import SciServerAuthenticator
from sciserver_auth.portal.app import Portal
from sciserver_common.deployment import SOURCE
from sciserver_common.hub_auth import ServiceAuth
from sciserver_spawner.spawner import SciServerSpawner

DOCS = SOURCE / "docs"
PAGES = sorted(
    [*SOURCE.glob("*.md"), *(page for page in DOCS.rglob("*.md") if "_build" not in page.relative_to(DOCS).parts)]
)
CLASSES: list[type[HasTraits]] = [
    SciServerSpawner,
    SciServerAuthenticator,
    Portal,
    CasJobs,
    Quick,
    Scheduler,
    Workers,
    SciDrive,
    ServiceAuth,
    CasJobsExtension,
    SciDriveExtension,
    SciDriveContents,
]

_FENCE = re.compile(r"^(?P<fence>`{3,}).*?^(?P=fence)\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)
_DOCUMENTED_PACKAGE = re.compile(r"^\| `(?P<name>[a-z0-9-]+)` \| \S", re.MULTILINE)


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    sys.path.insert(0, str(DOCS))
    try:
        import generated
    finally:
        sys.path.remove(str(DOCS))
    return generated


@pytest.mark.parametrize("cls", CLASSES)
def test_every_option_has_help(cls: type[HasTraits], generated: ModuleType) -> None:
    options = generated.own_options(cls)
    assert options
    for name, trait in options.items():
        text = inspect.cleandoc(trait.help or "")
        assert len(text.split()) >= 4, f"{cls.__name__}.{name} has no help text"
        assert text[0].isupper(), f"{cls.__name__}.{name}: the help text is a sentence"
        first = text.split("\n\n")[0].rstrip()
        assert first[-1] in ".:", f"{cls.__name__}.{name}: the help text is a sentence"


def test_reference_names_every_option_and_command(generated: ModuleType, tmp_path: Path) -> None:
    generated.write(tmp_path)
    for cls in CLASSES:
        page = (tmp_path / f"{cls.__name__}.rst").read_text()
        assert all(f"c.{cls.__name__}.{name}" in page for name in generated.own_options(cls))
    page = (tmp_path / "command-line.rst").read_text()
    for command in (
        "up",
        "down",
        "status",
        "doctor",
        "logs",
        "user add",
        "user lock",
        "image build",
        "context load",
        "data load",
    ):
        assert f"sciserver {command}\n" in page


def test_every_dependency_has_a_reason() -> None:
    lists = []
    distributions = (*SOURCE.glob("clients/*/setup.cfg"), *SOURCE.glob("server_extensions/*/setup.cfg"))
    for file in (SOURCE / "setup.cfg", *distributions):
        setup = configparser.ConfigParser()
        setup.read(file)
        extras = setup["options.extras_require"].values() if setup.has_section("options.extras_require") else ()
        lists += [setup["options"]["install_requires"], *extras]
    # "canaille[front,oidc]>=1" and the like: the name comes first.
    declared = {re.split(r"[\[<>=!~; ]", line)[0] for text in lists for line in text.split("\n") if line.strip()}
    explained = set(_DOCUMENTED_PACKAGE.findall((DOCS / "dependencies.md").read_text().split("## Not from PyPI")[0]))
    assert declared == explained


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(SOURCE)))
def test_internal_links_resolve(page: Path) -> None:
    text = _FENCE.sub("", page.read_text())
    for match in _LINK.finditer(text):
        target = match["target"]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.is_relative_to(SOURCE), f"{target} leads out of the source"
        assert place.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in _anchors(place), f"{target}: there is no such heading"


def test_every_page_is_in_the_contents() -> None:
    index = (DOCS / "index.md").read_text()
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).with_suffix("").as_posix()
        # Pages of notebooks are in the contents of tutorial/notebooks.
        if name != "index" and not name.startswith(("_build/", "tutorial/generated/")):
            assert f"\n{name}\n" in index, f"{name} is not in docs/index.md"


def _anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and MyST make them."""
    found = set()
    for match in _HEADING.finditer(_FENCE.sub("", page.read_text())):
        text = re.sub(r"[^\w\- ]", "", match["text"].strip().lower())
        found.add(text.replace(" ", "-"))
    return found
