"""Translator: scripts in T-SQL, as SDSS wrote them, into the SQL of the engine that runs them."""

from casjobs_service.dialect.names import Databases
from casjobs_service.dialect.script import translate

__all__ = ["Databases", "translate"]
