"""Base of the server extensions: which service is meant, and what of it can be configured."""

from __future__ import annotations

from typing import ClassVar

from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, Unicode

from SciServer.server.addresses import Address, AddressError
from SciServer.server.service import Service
from SciServer.server.settings import SettingsError, Token, sciscript
from SciServer.server.upstream import Upstream


class ServiceExtension(ExtensionApp):
    """A Jupyter server extension that opens one service to the page in the browser.

    Attributes
    ----------
    title
        The service's name, for people.
    setting
        Name of its address in `sciscript.json`.
    """

    title: ClassVar[str]
    setting: ClassVar[str]

    upstream = Unicode(
        help="""Address of the service, such as ``https://sciserver.example.org/services/casjobs/RestApi``.

        All requests go there, whatever a page asks for. By default what ``sciscript.json`` names, in
        ``/etc/sciserver`` or ``$XDG_CONFIG_HOME/sciserver``.
        """
    ).tag(config=True)

    token_path = Unicode(
        help="""File with the token for the service, read again for each request.

        By default ``KeystoneTokenPath`` of ``sciscript.json``; if that does not exist, ``$SCISERVER_TOKEN`` is used.
        """
    ).tag(config=True)

    connect_timeout = Float(
        10.0,
        help="""Seconds until a connection to the service must be there.

        Its answer may take longer: queries do.
        """,
    ).tag(config=True)

    def make_service(self) -> Service:
        """The service as it is configured. What is wrong with the configuration is told to who uses it."""
        try:
            settings = sciscript()
            address = self.upstream or settings.get(self.setting, "")
            if not address:
                return Service(self.title, None, self._missing())
            token = Token(self.token_path, settings)
            return Service(self.title, Upstream(Address.parse(address), token, self.connect_timeout))
        except (AddressError, SettingsError) as error:
            self.log.error("%s cannot be used: %s", self.title, error)
            return Service(self.title, None, f"{self.title} cannot be used. {error}")

    def _missing(self) -> str:
        return (
            f"This server does not know where {self.title} is. Set c.{type(self).__name__}.upstream in its "
            f"configuration, or {self.setting} in ~/.config/sciserver/sciscript.json."
        )
