"""SciServer from Python: queries, tables and files.

Two interfaces stand side by side. The modules `Authentication`, `LoginPortal`, `Login`, `Config`, `CasJobs`,
`SciDrive` and `Files` have the functions of SciScript-Python 2.2, for notebooks that exist. `SciServer.core` is typed
and newer: ``from SciServer.core import Client``. `SciServer.magics` is for IPython: ``%load_ext SciServer``.

Importing this package loads none of them: they come when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULES = frozenset(
    {
        "Authentication",
        "CasJobs",
        "Config",
        "Files",
        "Login",
        "LoginPortal",
        "SciDrive",
        "core",
        "magics",
    }
)


def __getattr__(name: str) -> Any:
    # Published notebooks import one module and use another one: `import SciServer.Login`, then `SciServer.CasJobs`.
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_MODULES | set(globals()))


def load_ipython_extension(ip: Any) -> None:
    """Add the magics to an IPython shell: ``%load_ext SciServer``."""
    importlib.import_module(f"{__name__}.magics").load(ip)


def unload_ipython_extension(ip: Any) -> None:
    """Remove them: ``%unload_ext SciServer``."""
    importlib.import_module(f"{__name__}.magics").unload(ip)
