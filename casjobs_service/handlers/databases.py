"""Databases by the name in the address, everybody's and one's own, and what is in them."""

from __future__ import annotations

from casjobs_service import catalog
from casjobs_service.catalog import Catalog
from casjobs_service.contexts import Context
from casjobs_service.handlers.base import Handler, Problem


class TablesHandler(Handler):
    """Base of those below."""

    async def catalog_of(self, database: Context | str) -> Catalog:
        """What a database contains, also one's own."""
        if isinstance(database, str):
            return await self.parts.own_catalog(await self.space(), database)
        return await self.catalog(database)

    async def table(self, database: Context | str, name: str) -> catalog.Table:
        """One table.

        Raises
        ------
        Problem
            404: there is none of this name.
        """
        name = plain(name)
        found = (await self.catalog_of(database)).table(name)
        if found is None:
            context = database if isinstance(database, str) else database.name
            raise Problem(404, f"There is no table {name[:80]!r} in {context}.")
        return found

    def own(self, context: str) -> str:
        """The name of a database of one's own.

        Raises
        ------
        Problem
            403: it is one that everybody shares.
        """
        database = self.database(context)
        if not isinstance(database, str):
            raise Problem(403, f"{database.name} can only be read.", hint="Tables of your own are in MyDB.")
        return database


def plain(name: str) -> str:
    """A table's name without what SQL may put around it."""
    name = name.strip()
    if name.lower().startswith("dbo."):
        name = name[4:]
    return name.removeprefix("[").removesuffix("]")
