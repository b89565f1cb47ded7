"""Base of the server extensions: which service is meant, and what of it can be configured."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, Unicode

from SciServer.core.errors import SettingsError
from SciServer.core.settings import Settings, read_config
from SciServer.server.addresses import Address, AddressError
from SciServer.server.service import Service
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
            # Not `Settings.load`, which knows the public SciServer for what is not set: the token is not for that.
            config = read_config()
            address = self.upstream or config.get(self.setting)
            if not address:
                return Service(self.title, None, self._missing())
            token = Path(self.token_path or config.get("KeystoneTokenPath", Settings.token_path)).expanduser()
            return Service(self.title, Upstream(Address.parse(str(address)), str(token), self.connect_timeout))
        except (AddressError, SettingsError) as error:
            self.log.error("%s cannot be used: %s", self.title, error)
            return Service(self.title, None, f"{self.title} cannot be used. {error}")

    def _missing(self) -> str:
        return (
            f"This server does not know where {self.title} is. Set c.{type(self).__name__}.upstream in its "
            f"configuration, or {self.setting} in ~/.config/sciserver/sciscript.json."
        )
