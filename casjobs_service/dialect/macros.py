"""Macros of DuckDB that the translator's own rewriting needs."""

from __future__ import annotations

MACROS: dict[str, str] = {}
"""By name: the statement that makes it."""


def _macro(call: str, body: str) -> None:
    MACROS[call.split("(", 1)[0]] = f"CREATE OR REPLACE TEMP MACRO {call} AS ({body})"
