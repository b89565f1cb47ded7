"""Queries in an engine's own SQL."""

from __future__ import annotations

from casjobs_service.dialect.names import Session
from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import Statement


def translate(session: Session, dialect: str) -> list[Statement]:
    """Check and resolve a script in the SQL of the engine that runs it."""
    raise QueryError(f"The dialect {dialect} is not known.", Kind.UNSUPPORTED)
