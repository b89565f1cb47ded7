"""Alembic migrations of `casjobs_service.store`."""
