"""The databases that somebody may read."""

from __future__ import annotations

from typing import Any

from casjobs_service import catalog, contexts
from casjobs_service.dialect import functions, spatial
from casjobs_service.handlers.base import Handler
from sciserver_common.handlers import needs
from sciserver_common.scopes import CASJOBS_QUERY

OWN = {
    catalog.MYDB: ("Your own tables", "Only you see them. Make them with SELECT … INTO MyDB.name, or upload files."),
    catalog.MYSCRATCH: ("Your scratch tables", "Room for large results in between; tables are removed after a while."),
}


def description(handler: Handler, database: contexts.Context | str) -> dict[str, Any]:
    """What people and programs want to know of a database."""
    quick, long = handler.parts.quick.seconds, handler.parts.scheduler.time_limit()
    if isinstance(database, str):
        title, text = OWN[database]
        return {
            "Name": database,
            "Title": title,
            "Description": text,
            "Engine": "duckdb",
            "Writable": True,
            "Public": False,
            "Rights": "",
            "Cite": "",
            "Source": "",
            "Loaded": None,
            "QuickSeconds": quick,
            "LongSeconds": long,
        }
    return {
        "Name": database.name,
        "Title": database.title,
        "Description": database.description,
        "Engine": database.engine,
        "Writable": False,
        "Public": database.public,
        "Rights": database.rights,
        "Cite": database.cite,
        "Source": database.source_text,
        "Loaded": database.loaded or None,
        "QuickSeconds": database.quick_seconds or quick,
        "LongSeconds": min(long, database.long_seconds or long),
    }


class Contexts(Handler):
    """``GET contexts``: all of them."""

    @needs(CASJOBS_QUERY)
    async def get(self) -> None:
        visible: list[contexts.Context | str] = [*self.parts.contexts.visible(self.groups), *OWN]
        self.answer([description(self, database) for database in visible])


class Context(Handler):
    """``GET contexts/{context}``: one."""

    @needs(CASJOBS_QUERY)
    async def get(self, context: str) -> None:
        self.answer(description(self, self.database(context)))


class Functions(Handler):
    """``GET contexts/{context}/Functions``: what can be called in it."""

    @needs(CASJOBS_QUERY)
    async def get(self, context: str) -> None:
        found = await self.functions(self.database(context))
        self.answer(
            [
                {
                    "Name": function.name,
                    "Kind": function.kind,
                    "Parameters": [column(parameter) for parameter in function.parameters],
                    "Returns": function.returns,
                    "Columns": [column(each) for each in function.columns],
                    "Description": function.description,
                }
                for function in found
            ]
        )

    async def functions(self, database: contexts.Context | str) -> list[catalog.Function]:
        found = {}
        content = None if isinstance(database, str) else await self.catalog(database)
        if content is None or content.engine == contexts.DUCKDB:
            # SDSS's, which every database of our own engine has; those that search, where there is what they search.
            found = {function.name.lower(): function for function in functions.catalog_functions()}
        if content is not None:
            found |= {function.name.lower(): function for function in spatial.catalog_functions(content)}
            found |= {function.name.lower(): function for function in content.functions}
        return [found[name] for name in sorted(found)]


def column(value: catalog.Column) -> dict[str, str]:
    """A column or parameter."""
    return {
        "Name": value.name,
        "Type": value.type,
        "Unit": value.unit,
        "UCD": value.ucd,
        "Description": value.description,
    }
