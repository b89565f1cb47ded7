"""The page of CasJobs: an editor, the history, MyDB, and what the databases contain."""

from __future__ import annotations

from pathlib import Path

from sciserver_common.handlers import needs
from sciserver_common.pages import PageHandler
from sciserver_common.scopes import CASJOBS_QUERY


class Page(PageHandler):
    """The page itself, for people who are signed in."""

    directory = Path(__file__).parent / "page"

    @needs(CASJOBS_QUERY)
    async def get(self) -> None:
        self.show()
