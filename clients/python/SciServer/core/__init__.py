"""The typed interface to a deployment's services: `Client`, `AsyncClient`, and what they take and give."""

from __future__ import annotations

from SciServer.core.client import AsyncClient, Client
from SciServer.core.errors import (
    NotSignedInError,
    QueryError,
    QueryQueued,
    QueryTimeout,
    SciServerError,
    ServiceError,
    ServiceUnavailableError,
    SettingsError,
    TransferError,
    WaitTimeout,
)
from SciServer.core.models import Column, Context, Function, Job, JobStatus, Progress, Table, TableDetails
from SciServer.core.result import AsyncResult, Result
from SciServer.core.settings import Settings

__all__ = [
    "AsyncClient",
    "AsyncResult",
    "Client",
    "Column",
    "Context",
    "Function",
    "Job",
    "JobStatus",
    "NotSignedInError",
    "Progress",
    "QueryError",
    "QueryQueued",
    "QueryTimeout",
    "Result",
    "SciServerError",
    "ServiceError",
    "ServiceUnavailableError",
    "Settings",
    "SettingsError",
    "Table",
    "TableDetails",
    "TransferError",
    "WaitTimeout",
]
