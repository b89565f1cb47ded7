"""What workers have imported before anything is known of their user.

Nothing can be imported once the sandbox is closed: there are no files to import from. What engines and formats import
at their first use is therefore named here; a test runs each of them inside the sandbox, and `LateImports` says what
was missed.
"""

from __future__ import annotations

import importlib
import importlib.abc
import pkgutil
import sys

PACKAGES = ("casjobs_service.dialect", "casjobs_service.results", "casjobs_service.worker", "encodings", "sqlglot")
"""With all their modules."""

_ELSEWHERE = {"encodings.mbcs", "encodings.oem"}
"""Modules of other systems."""

_WITHOUT = {"pandas"}
"""What libraries look for, and can do without. Arrow would import it in each worker, for a quarter of a second."""

MODULES = (
    "_strptime",
    "calendar",
    "casjobs_service.duckdb_catalog",
    "casjobs_service.readers",
    "concurrent.futures.thread",
    "ctypes.util",
    "decimal",
    "difflib",
    "duckdb",
    "locale",
    "numpy",
    "numpy.lib.recfunctions",
    "numpy.ma",
    "numpy.rec",
    "orjson",
    "polars",
    "pyarrow",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.ipc",
    "pyarrow.parquet",
    "stringprep",
    "unicodedata",
    "zoneinfo",
)


def preload() -> None:
    """Import all of it."""
    sys.meta_path.insert(0, _Absent())
    for name in MODULES:
        importlib.import_module(name)
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            # Programs.
            if not module.name.endswith("__main__") and module.name not in _ELSEWHERE:
                importlib.import_module(module.name)
    # Arrow's allocator reserves a gigabyte of addresses when it is first used. Before the limits are set, so that they
    # mean the same in each worker.
    importlib.import_module("pyarrow").array([0])


class _Absent(importlib.abc.MetaPathFinder):
    """What is installed for others, as if it were not."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Refuse what is to be absent; others may look for the rest."""
        if fullname.partition(".")[0] in _WITHOUT:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


class LateImports(importlib.abc.MetaPathFinder):
    """Notices what is imported when that is no longer possible.

    Attributes
    ----------
    names
        Of the modules.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Find nothing; asked after all others have found nothing either."""
        if fullname.partition(".")[0] not in _WITHOUT and fullname not in self.names:
            self.names.append(fullname)
