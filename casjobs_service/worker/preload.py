"""What workers have imported before anything is known of their user.

Nothing can be imported once the sandbox is closed: there are no files to import from. What engines and formats import
at their first use is therefore named here; a test runs each of them inside the sandbox, and `LateImports` says what
was missed.
"""

from __future__ import annotations

import importlib
import pkgutil

PACKAGES = ("casjobs_service.dialect", "casjobs_service.results", "casjobs_service.worker", "sqlglot")
"""With all their modules."""

MODULES = (
    "casjobs_service.duckdb_catalog",
    "casjobs_service.readers",
    "concurrent.futures.thread",
    "ctypes.util",
    "decimal",
    "duckdb",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_16",
    "encodings.utf_32",
    "encodings.utf_8_sig",
    "numpy",
    "orjson",
    "polars",
    "pyarrow",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.ipc",
    "pyarrow.parquet",
    "zoneinfo",
)


def preload() -> None:
    """Import all of it."""
    for name in MODULES:
        importlib.import_module(name)
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            # Programs.
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
