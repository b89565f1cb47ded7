"""Tables: lists, columns, rows, and for one's own also files that become tables, other names, and the end."""

from __future__ import annotations

import datetime
from typing import Any

from casjobs_service import catalog
from casjobs_service.handlers.base import Problem
from casjobs_service.handlers.contexts import column
from casjobs_service.handlers.databases import TablesHandler, plain
from casjobs_service.handlers.streams import output, send
from casjobs_service.handlers.uploads import Upload
from sciserver_common.handlers import needs
from sciserver_common.scopes import CASJOBS_QUERY, CASJOBS_WRITE

YEAR_ONE = datetime.datetime(1, 1, 1)
KILOBYTE = 1000


def ticks(moment: str) -> int | None:
    """A time of the catalogue as .NET counts it: 100 ns since the year 1, UTC; None if it is not known."""
    try:
        time = datetime.datetime.fromisoformat(moment)
    except ValueError:
        return None
    if time.tzinfo is not None:
        time = time.astimezone(datetime.UTC).replace(tzinfo=None)
    return (time - YEAR_ONE) // datetime.timedelta(microseconds=1) * 10


def item(table: catalog.Table) -> dict[str, Any]:
    """An entry of the list of tables."""
    return {
        "Name": table.name,
        "Date": ticks(table.date),
        "Rows": table.rows,
        "Size": None if table.size is None else -(-table.size // KILOBYTE),
        "Type": table.kind,
        "Description": table.description,
    }


class Tables(TablesHandler):
    """``GET contexts/{context}/Tables``: all tables and views."""

    @needs(CASJOBS_QUERY)
    async def get(self, context: str) -> None:
        found = await self.catalog_of(self.database(context))
        self.answer([item(table) for table in found.tables])


class Table(Upload):
    """``contexts/{context}/Tables/{table}``: one table."""

    @needs(CASJOBS_QUERY)
    async def get(self, context: str, table: str) -> None:
        found = await self.table(self.database(context), table)
        self.answer({**item(found), "Columns": [column(each) for each in found.columns]})

    @needs(CASJOBS_WRITE)
    async def post(self, context: str, table: str) -> None:
        made = await self.make_table(self.own(context), plain(table))
        self.answer({"Name": made.get("table") or plain(table), "Rows": made.get("rows")})

    @needs(CASJOBS_WRITE)
    async def patch(self, context: str, table: str) -> None:
        database = self.own(context)
        name = self.json_body().get("Name")
        if not isinstance(name, str) or not name.strip():
            raise Problem(400, 'The body has no new name: send {"Name": "…"}.')
        await self.table(database, table)
        asked = {"do": "rename", "database": database, "table": plain(table), "to": plain(name)}
        await self.parts.ask(await self.space(), asked)
        self.answer(item(await self.table(database, name)))

    @needs(CASJOBS_WRITE)
    async def delete(self, context: str, table: str) -> None:
        database = self.own(context)
        await self.table(database, table)
        await self.parts.ask(await self.space(), {"do": "drop", "database": database, "table": plain(table)})
        self.answer({"status": "success"})


class Data(TablesHandler):
    """``GET contexts/{context}/Tables/{table}/data``: all rows."""

    ends_with_client = True

    @needs(CASJOBS_QUERY)
    async def get(self, context: str, table: str) -> None:
        await self.send_rows(context, table, None)

    async def send_rows(self, context: str, table: str, rows: int | None) -> None:
        """All rows, or at most so many."""
        form = self.form()
        database = self.database(context)
        found = await self.table(database, table)
        name = database if isinstance(database, str) else database.name
        asked = {"do": "read", "database": name, "table": found.name, "rows": rows, "output": output(self, form)}
        await send(self, self.parts.quick.ask(await self.space(), asked, groups=self.groups), form, found.name)


class Sample(Data):
    """``GET contexts/{context}/Tables/{table}/sample``: some rows."""

    @needs(CASJOBS_QUERY)
    async def get(self, context: str, table: str) -> None:
        await self.send_rows(context, table, self.number("rows", 10, lowest=1, highest=1000))
