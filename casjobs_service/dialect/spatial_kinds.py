"""What SDSS's table functions and the tables that they search are to the translator."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from casjobs_service.catalog import Catalog, Column, Function, Sky, Table

READS = "spatial"
"""Key in the `meta` of a query that was put in for a function: the tables that it reads."""


class Shape(enum.Enum):
    """How the rows of a function are chosen."""

    CONE = "cone"
    """Within a distance of a position."""
    NEAREST = "nearest"
    """The closest one within it."""
    BOX = "box"
    """Between limits in right ascension and declination."""
    ROW = "row"
    """One row, computed from the arguments."""
    COVER = "cover"
    """Ranges of the mesh that contain a region."""
    FOOTPRINT = "footprint"
    """A row if a position is within the survey."""
    PLACES = "places"
    """Within a shape in a periodic box."""


@dataclass(frozen=True, slots=True)
class Searched:
    """A table that may be searched, with the rows that count: those where `column` is 1 (empty: all)."""

    table: str
    column: str = ""


@dataclass(frozen=True, slots=True)
class TableFunction:
    """A table function.

    Attributes
    ----------
    parameters
        `radius` (arc minutes) among them unless `radius` says it; ``ra``, ``dec`` or ``nx``, ``ny``, ``nz``.
    columns
        Of the result, in SDSS's order.
    searched
        In the order in which they are tried.
    radius
        Fixed radius in arc minutes.
    where
        Further conditions: column → parameter that it must be equal to.
    renamed
        Column of the result → column of the table.
    cells
        `Shape.ROW`: expressions for the columns over the parameters, which are written ``{name}``.
    """

    name: str
    shape: Shape
    parameters: tuple[Column, ...]
    columns: tuple[Column, ...]
    description: str
    searched: tuple[Searched, ...] = ()
    radius: str = ""
    where: tuple[tuple[str, str], ...] = ()
    cells: tuple[str, ...] = ()

    @property
    def function(self) -> Function:
        """For the catalogue."""
        return Function(self.name, "table", list(self.parameters), "", list(self.columns), self.description)


@dataclass(frozen=True, slots=True)
class ScalarFunction:
    """A scalar function that looks into a context's table.

    Attributes
    ----------
    search
        Table function whose first row's `column` is the result; `filters`: column → parameter.
    lookup
        Instead of `search`: table and key column; the key's argument is the only one.
    """

    name: str
    parameters: tuple[Column, ...]
    returns: str
    description: str
    column: str
    search: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    lookup: tuple[Searched, ...] = ()
    key: str = ""

    @property
    def function(self) -> Function:
        """For the catalogue."""
        return Function(self.name, "scalar", list(self.parameters), self.returns, [], self.description)


@dataclass(frozen=True, slots=True)
class Choice:
    """The table that a function searches in a catalogue.

    Attributes
    ----------
    only
        Column that must be 1; empty: all rows.
    sky
        Where its positions are, and how it is ordered.
    """

    table: Table
    only: str
    sky: Sky


def _sky(table: Table) -> Sky | None:
    if table.sky is not None:
        return table.sky
    ra, dec = table.column("ra"), table.column("dec")
    return Sky(ra.name, dec.name) if ra and dec else None


def choose(catalog: Catalog, searched: tuple[Searched, ...]) -> Choice | None:
    """The table to search: the first that is ordered on the sky, else the first with positions."""
    found = []
    for candidate in searched:
        table = catalog.table(candidate.table)
        if table is None or (candidate.column and table.column(candidate.column) is None):
            continue
        if sky := _sky(table):
            found.append(Choice(table, candidate.column, sky))
    return next((choice for choice in found if choice.sky.zone), found[0] if found else None)
