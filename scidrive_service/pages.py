"""The page of SciDrive: a file browser."""

from __future__ import annotations

from pathlib import Path

from sciserver_common.handlers import needs
from sciserver_common.pages import PageHandler
from sciserver_common.scopes import FILES_READ


class Page(PageHandler):
    """The page itself, for people who are signed in."""

    directory = Path(__file__).parent / "page"
    # `blob:` are pictures that the page has fetched.
    policy = PageHandler.policy.replace("data:", "data: blob:")

    @needs(FILES_READ)
    async def get(self) -> None:
        self.show()
