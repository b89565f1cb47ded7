"""Engines that contexts are reached by network with: PostgreSQL, Trino, SQL Server."""

from __future__ import annotations

from casjobs_service.engines.base import Engine, Explanation, Login
from casjobs_service.engines.remote import RemoteResult, catalog_of, explain_remote, run_remote

__all__ = ["Engine", "Explanation", "RemoteResult", "catalog_of", "connect", "explain_remote", "run_remote"]


def connect(engine: str, login: Login, seconds: float) -> Engine:
    """Connect to an engine.

    Parameters
    ----------
    engine
        ``postgresql``, ``trino`` or ``mssql``.
    seconds
        After which the engine ends a statement by itself.

    Raises
    ------
    QueryError
        It does not answer, or does not let us in, or its driver is not installed.
    """
    # Late, and only the one that is used: the service itself needs no driver.
    if engine == "postgresql":
        from casjobs_service.engines.adbc import PostgreSQL

        return PostgreSQL(login, seconds)
    if engine == "trino":
        from casjobs_service.engines.trino import Trino

        return Trino(login, seconds)
    from casjobs_service.engines.sql_server import SQLServer

    return SQLServer(login, seconds)
