"""The typed interface to a deployment's services: `Client`, `AsyncClient`, and what they take and give.

Importing this package loads none of its modules: they come when a name is first used. Programs that need no more than
the settings, such as Jupyter server extensions, start without the HTTP client and Arrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from SciServer.core.client import AsyncClient, Client
    from SciServer.core.errors import (
        FolderError,
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
    "FolderError",
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

_LIGHTEST_FIRST = ("errors", "settings", "models", "result", "client")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _LIGHTEST_FIRST:
            found = getattr(importlib.import_module(f"{__name__}.{module}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()})
