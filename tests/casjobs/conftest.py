"""One deployment with CasJobs for nearly all tests over HTTP, and what takes long to make."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import duckdb
import pytest

from casjobs_service.contexts import Contexts
from casjobs_service.demo import loading
from tests.casjobs.casjobs_platform import CasJobsPlatform, Client, make_context
from tests.casjobs.spatial_support import World


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
    with platform.running():
        yield platform


@pytest.fixture(scope="session")
def ada(platform: CasJobsPlatform) -> Client:
    """Somebody who may do everything that people may."""
    return platform.client("ada-l")


@pytest.fixture(scope="session")
def bob(platform: CasJobsPlatform) -> Client:
    """Somebody else."""
    return platform.client("bob")


@pytest.fixture(scope="session")
def stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The context as `sciserver up` makes it, for DuckDB's SQL and for T-SQL."""
    contexts = Contexts(tmp_path_factory.mktemp("casjobs") / "contexts")
    assert loading.load(contexts, ["stripe82"], full=False, say=print) == ["Stripe82"]
    context = contexts.require("Stripe82")
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{context.data_file}' AS Stripe82 (READ_ONLY)")
        connection.execute("USE Stripe82")
        catalog = contexts.catalog("Stripe82")
        assert catalog is not None
        world = World(connection, {"stripe82": catalog})
        yield SimpleNamespace(
            context=context,
            catalog=catalog,
            rows=lambda query: connection.execute(query).fetchall(),
            one=lambda query: connection.execute(query).fetchall()[0],
            columns=lambda query: connection.execute(query).fetchnumpy(),
            tsql=lambda query: world.run(query, "Stripe82"),
        )
