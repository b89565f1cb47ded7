"""Our own tables in the portal's database, beside Canaille's, which are Alembic's."""

from __future__ import annotations

from sqlalchemy import Engine, MetaData

TABLES = MetaData()


def create_tables(engine: Engine) -> None:
    """Make those of our tables that are missing."""
    TABLES.create_all(engine)
