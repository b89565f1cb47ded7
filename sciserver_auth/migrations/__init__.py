"""Alembic migrations of `sciserver_auth.store`."""
