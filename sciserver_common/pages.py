"""Pages of our services: a document, which scripts beside it fill from the REST interface that all others use."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tornado import web

from sciserver_common.deployment import SOURCE
from sciserver_common.handlers import ServiceHandler, ServiceMixin, anonymous

SHARED = {
    file.name: str(file)
    for file in (
        SOURCE / "dashboard" / "templates" / "sciserver.css",
        Path(__file__).parent / "page" / "sciserver.js",
    )
}
"""Files that all pages have, by name."""


class PageHandler(ServiceHandler):
    """Base of a service's page; subclasses say in ``get`` who may see it, and call `show`.

    Attributes
    ----------
    directory
        With ``index.html``, a template, and its scripts and styles.
    policy
        ``Content-Security-Policy``. Scripts and styles are files of this origin; a text of a user can never be one.
    """

    is_page = True
    directory: ClassVar[Path]
    policy: ClassVar[str] = (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    )

    def show(self) -> None:
        """Answer with the document; everything else is loaded by its scripts."""
        base = self.hub_auth.base_url
        self.set_header("Content-Security-Policy", self.policy)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "same-origin")
        page = self.render_string(
            str(self.directory / "index.html"),
            base=base,
            static=base + "static/",
            user=(self.current_user or {})["name"],
            xsrf=self.xsrf_token.decode(),
        )
        self.finish(page)


class Static(ServiceMixin, web.StaticFileHandler):
    """Scripts and styles of a page: the same for everybody."""

    @anonymous
    async def get(self, path: str, include_body: bool = True) -> None:
        """One file."""
        self.set_header("X-Content-Type-Options", "nosniff")
        await super().get(path, include_body)

    @anonymous
    async def head(self, path: str) -> None:
        """As GET, without the content."""
        await self.get(path, include_body=False)

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        """What all pages have lies elsewhere."""
        return SHARED.get(path) or super().get_absolute_path(root, path)

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """Tornado's check that a file is below the root, except for those that are not."""
        if absolute_path in SHARED.values():
            return absolute_path
        if Path(absolute_path).suffix not in {".js", ".css"}:
            raise web.HTTPError(404)
        return super().validate_absolute_path(root, absolute_path)


def routes(base: str, page: type[PageHandler]) -> list[tuple[Any, ...]]:
    """For the service's application; `base` is its prefix with both slashes."""
    return [
        (base, page),
        (base + r"static/(.*)", Static, {"path": str(page.directory)}),
    ]
