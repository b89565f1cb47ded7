"""One deployment with CasJobs for nearly all tests over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.casjobs.casjobs_platform import CasJobsPlatform, Client, make_context


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CasJobsPlatform]:
    """A running hub and service.

    All contexts have the same tables: ``Sky`` is for everybody, ``Hasty`` too, with half a second for quick queries,
    and ``Secret`` for the group insiders.
    """
    # A machine that does other things as well must not make quick queries wait too long for their turn.
    config = "c.CasJobs.upload_limit = 20\nc.Quick.wait_seconds = 250"
    platform = CasJobsPlatform(tmp_path_factory.mktemp("casjobs"), config)
    make_context(platform.contexts, "Sky", public=True, title="The sky", rights="CC0", cite="Nobody (2026)")
    make_context(platform.contexts, "Hasty", public=True, quick_seconds=0.5)
    make_context(platform.contexts, "Secret", groups=("insiders",))
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="session")
def ada(platform: CasJobsPlatform) -> Client:
    """Somebody who may do everything that people may."""
    return platform.client("ada-l")


@pytest.fixture(scope="session")
def bob(platform: CasJobsPlatform) -> Client:
    """Somebody else."""
    return platform.client("bob")
