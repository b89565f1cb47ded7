"""Translator: scripts in T-SQL, as SDSS wrote them, into the SQL of the engine that runs them."""

from casjobs_service.dialect.locate import locate, place
from casjobs_service.dialect.names import Databases
from casjobs_service.dialect.script import translate, undeclared

ENGINE_SETTINGS: dict[str, dict[str, str]] = {
    "tsql": {
        # Texts are compared without regard to case.
        "default_collation": "nocase",
        # 1/0, log(0) and sqrt(-1) are errors, not inf and nan.
        "ieee_floating_point_ops": "false",
    },
}
"""Settings of the session's DuckDB that a dialect's translation counts on: by dialect, name → value."""

__all__ = ["ENGINE_SETTINGS", "Databases", "locate", "place", "translate", "undeclared"]
