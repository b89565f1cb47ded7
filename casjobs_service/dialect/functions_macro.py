"""What a macro is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from casjobs_service.catalog import Column

PREFIX = "ss_"
FAILING = "ss_failing: "
"""Begins texts of `failing`."""


@dataclass(frozen=True, slots=True)
class Macro:
    """A scalar function.

    Attributes
    ----------
    name
        In the spelling that users know.
    parameters
        Names and DuckDB types, as the schema browser shows them. In `body` each has a ``_`` behind it, so that it
        never is the name of a function or a column.
    returns
        DuckDB type of the result. ``ANY``: the type of the first argument.
    body
        DuckDB expression over the parameters.
    needs
        Names of other macros that `body` calls.
    optional
        Defaults, DuckDB expressions, of the last parameters, which may be left out or be ``DEFAULT``.
    sdss
        Belongs to SDSS's schema ``dbo`` (shown by the schema browser), rather than to the language.
    boxed
        Belongs to databases with places in a periodic box, see `casjobs_service.catalog.Grid`.
    """

    name: str
    parameters: tuple[Column, ...]
    returns: str
    description: str
    body: str
    needs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    sdss: bool = True
    boxed: bool = False

    @property
    def call(self) -> str:
        """Name by which the engine knows it."""
        return PREFIX + self.name.lower().replace("::", "_")

    @property
    def sql(self) -> str:
        """DuckDB's statement that makes it."""
        required = len(self.parameters) - len(self.optional)
        parameters = [f"{column.name}_" for column in self.parameters]
        for index, default in enumerate(self.optional, required):
            parameters[index] += f" := {default}"
        # Literals like 185.5 are decimals, whose arithmetic is another one.
        types = {f"{column.name}_": column.type for column in self.parameters if column.type != "ANY"}
        body = re.sub(r"\b\w+_\b", lambda name: _typed(name[0], types), self.body) if types else self.body
        value = f"({body})" if self.returns == "ANY" else f"CAST(({body}) AS {self.returns})"
        return f"CREATE OR REPLACE TEMP MACRO {self.call}({', '.join(parameters)}) AS {value}"

    def accepts(self, count: int) -> bool:
        """Whether it can be called with `count` arguments."""
        return len(self.parameters) - len(self.optional) <= count <= len(self.parameters)


def _typed(name: str, types: dict[str, str]) -> str:
    return f"CAST({name} AS {types[name]})" if name in types else name


def columns(text: str) -> tuple[Column, ...]:
    """Columns or parameters from ``"ra DOUBLE, dec DOUBLE"``; types with commas are written without blanks."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(", "))):
        name, kind = part.split(" ", 1)
        found.append(Column(name, kind))
    return tuple(found)


def failing(text: str) -> str:
    """DuckDB's SQL of a number whose computation fails with a text, given as SQL.

    Unlike ``error(…)`` it does not keep the engine from filtering rows before it computes: nobody waits for shapes of
    haloes that are not asked for. `casjobs_service.worker.failures` shows the text alone.
    """
    return f"CAST('{FAILING}' || {text} AS DOUBLE)"
