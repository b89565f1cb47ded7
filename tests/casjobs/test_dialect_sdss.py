"""Scripts in the style of SDSS's samples translate and run on a copy of its schema."""

from __future__ import annotations

import pytest

from tests.casjobs.dialect_sdss import schema_sql
from tests.casjobs.dialect_support import CORPUS, Laboratory

MINE = "CREATE TABLE MyDB.main.mine (id INTEGER, name VARCHAR, x DOUBLE)"


def scripts() -> list[str]:
    """Blocks of the file, without its first line."""
    blocks = (CORPUS / "sdss.txt").read_text().split("\n\n")
    return [block.strip() for block in blocks if block.strip() and not block.startswith("# ")]


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    return Laboratory(f"{schema_sql('Sky')}; {MINE}")


@pytest.mark.parametrize("script", scripts())
def test_runs(laboratory: Laboratory, script: str) -> None:
    outcome = laboratory.run(script)
    assert outcome.plan
    for (table,) in laboratory.engine.execute(
        "SELECT table_name FROM duckdb_tables() WHERE temporary OR (database_name = 'MyDB' AND table_name <> 'mine')"
    ).fetchall():
        database = "temp" if table.startswith(("#", "@")) else "MyDB"
        laboratory.engine.execute(f'DROP TABLE "{database}".main."{table}"')
