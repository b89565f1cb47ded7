"""CAST, CONVERT and the conversions that T-SQL does by itself."""

from __future__ import annotations

from sqlglot import exp

from casjobs_service.dialect.meaning import Meaning
from casjobs_service.dialect.types import Type


def convert(meaning: Meaning, node: exp.Expr, kind: Type) -> exp.Expr:
    """A value as another type."""
    return meaning.cast(node, kind)


def text(meaning: Meaning, node: exp.Expr) -> exp.Expr:
    """A value as text."""
    return node
