"""T-SQL answers as SQL Server does: each construct is translated, run in DuckDB, and its result compared."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.casjobs.dialect_cases import ERRORS, TRUE, VALUES
from tests.casjobs.dialect_support import Laboratory, corpus


@pytest.fixture(scope="module")
def shared() -> Laboratory:
    """For expressions, which change nothing."""
    return Laboratory()


@pytest.mark.parametrize(("expression", "expected"), VALUES)
def test_value(shared: Laboratory, expression: str, expected: Any) -> None:
    value = shared.run(f"select {expression}").value
    if isinstance(expected, float):
        assert isinstance(value, float)
        assert value == pytest.approx(expected, rel=1e-14)
    else:
        assert (value, type(value)) == (expected, type(expected))
        # Decimals are equal whatever their scale; users see it.
        assert not isinstance(expected, Decimal) or str(value) == str(expected)


@pytest.mark.parametrize("condition", TRUE)
def test_true(shared: Laboratory, condition: str) -> None:
    assert shared.run(f"select case when {condition} then 1 else 0 end").value == 1
    assert shared.run(f"select case when not ({condition}) then 1 else 0 end").value == 0


@pytest.mark.parametrize(("expression", "complaint"), ERRORS)
def test_error(shared: Laboratory, expression: str, complaint: str) -> None:
    with pytest.raises(Exception, match=f"(?i){complaint}"):
        shared.run(f"select {expression}")


@pytest.mark.parametrize(("script", "expected"), corpus("queries.txt"))
def test_rows(script: str, expected: list[tuple[Any, ...]]) -> None:
    laboratory = Laboratory()
    assert laboratory.run(script).rows == expected
    # Whatever a script does, it leaves other tables alone.
    assert laboratory.engine.execute('SELECT count(*) FROM "Sky".main.Photo').fetchall() == [(4,)]
