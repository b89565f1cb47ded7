"""One service as an extension knows it: its name, its address, and the connection to it."""

from __future__ import annotations

from http import HTTPStatus

from SciServer.server.addresses import Address
from SciServer.server.problems import Problem
from SciServer.server.upstream import Upstream


class Service:
    """A service.

    Parameters
    ----------
    title
        Its name, for people.
    upstream
        The connection to it; None if its address is not known.
    missing
        Why it is not.
    """

    def __init__(self, title: str, upstream: Upstream | None, missing: str = "") -> None:
        self.title = title
        self._upstream = upstream
        self._missing = missing

    @property
    def upstream(self) -> Upstream:
        """The connection to it.

        Raises
        ------
        Problem
            503: its address is not known.
        """
        if self._upstream is None:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, self._missing, "settings")
        return self._upstream

    @property
    def address(self) -> Address:
        """Where it is. Raises as `upstream`."""
        return self.upstream.address

    def refused(self) -> Problem:
        """What to say if the service takes the token for nobody's."""
        return Problem(
            HTTPStatus.UNAUTHORIZED,
            f"{self.title} no longer takes this server's token: it has expired, or was revoked. Stop the server at "
            "the hub's page and start it again to get a new one. Outside of SciServer's containers, make a token at "
            "the hub's page Token and give it to this server.",
            "token",
        )
