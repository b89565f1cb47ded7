"""Locks a worker into what its session may see."""

from __future__ import annotations

from typing import Any


def protections() -> dict[str, Any]:
    """What this machine offers."""
    return {"files": "none yet"}
