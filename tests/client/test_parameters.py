"""Python values as parameters of a query."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from SciServer.core import SciServerError
from SciServer.core.parameters import to_json

ZONE = datetime.timezone(datetime.timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (np.bool_(False), False),
        (2**53 + 1, 2**53 + 1),
        (np.int64(2**53 + 1), 2**53 + 1),
        (np.float32(0.5), 0.5),
        (1e300, 1e300),
        ("'; drop table x --", "'; drop table x --"),
        (np.str_("ü"), "ü"),
        (None, None),
        (pd.NA, None),
        (pd.NaT, None),
        (Decimal("1.250"), {"value": "1.250", "type": "decimal(4,3)"}),
        (Decimal("0.01"), {"value": "0.01", "type": "decimal(2,2)"}),
        (Decimal("1E+3"), {"value": "1000", "type": "decimal(4,0)"}),
        (datetime.datetime(2026, 1, 2, 3, 4), {"value": "2026-01-02T03:04:00", "type": "datetime2"}),
        (
            datetime.datetime(2026, 1, 2, 3, 4, tzinfo=ZONE),
            {"value": "2026-01-02T03:04:00+02:00", "type": "datetimeoffset"},
        ),
        (pd.Timestamp("2026-01-02"), {"value": "2026-01-02T00:00:00", "type": "datetime2"}),
        (datetime.date(2026, 1, 2), {"value": "2026-01-02", "type": "date"}),
        (datetime.time(3, 4), {"value": "03:04:00", "type": "time"}),
        (b"\x1f\xe0", {"value": "0x1fe0", "type": "varbinary(max)"}),
        ({"value": "2026-01-02", "type": "datetime"}, {"value": "2026-01-02", "type": "datetime"}),
    ],
    ids=repr,
)
def test_values(value: Any, expected: Any) -> None:
    found = to_json({"x": value})["x"]
    assert found == expected
    assert type(found) is type(expected)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    "value",
    [float("nan"), np.inf, Decimal("NaN"), [1, 2], object(), pd.DataFrame({"a": [1]}), np.arange(3), 1j],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_value(value: Any) -> None:
    with pytest.raises(SciServerError, match="The parameter x"):
        to_json({"x": value})
