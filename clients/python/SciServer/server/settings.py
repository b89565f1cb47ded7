"""Where the services of the deployment are, and the token for them: as SciServer's client libraries find both.

Containers have `/etc/sciserver/sciscript.json` and a token file. Elsewhere the same file may lie in one's own
directory of settings, and the token comes from ``$SCISERVER_TOKEN`` or a file of one's choice.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

TOKEN_FILE = "/home/idies/keystone.token"  # noqa: S105 - a path
TOKEN_VARIABLE = "SCISERVER_TOKEN"  # noqa: S105 - a name

_TOKEN = re.compile(r"[!-~]{1,4096}")


class SettingsError(Exception):
    """A setting is missing or cannot be read; the text says what to do."""


def files() -> list[Path]:
    """Where settings may be; what comes later wins."""
    own = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return [Path("/etc/sciserver/sciscript.json"), Path(own) / "sciserver" / "sciscript.json"]


def sciscript() -> dict[str, str]:
    """The settings of `sciscript.json`; empty if there is none.

    Raises
    ------
    SettingsError
        A file is there that has no settings in it.
    """
    found: dict[str, str] = {}
    for path in files():
        try:
            text = path.read_text()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} cannot be read: {error}.") from error
        try:
            values = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"{path} is not JSON: {error}.") from error
        if not isinstance(values, dict):
            raise SettingsError(f"{path} has no settings in it: it must be a JSON object.")
        found |= {name: value for name, value in values.items() if isinstance(value, str)}
    return found


class Token:
    """The token, read again each time: a server that is restarted has another one.

    Parameters
    ----------
    path
        Of a file; empty: ``KeystoneTokenPath`` of `settings`, or that of SciServer's containers.
    """

    def __init__(self, path: str, settings: Mapping[str, str]) -> None:
        self.is_chosen = bool(path)
        self.path = Path(path or settings.get("KeystoneTokenPath") or TOKEN_FILE).expanduser()

    def read(self) -> str:
        """The token itself.

        Raises
        ------
        SettingsError
            There is none. The text does not have what was found in its place.
        """
        try:
            # A few bytes of the local disk: a thread would take longer.
            text = self.path.read_text().strip()
        except FileNotFoundError:
            text = "" if self.is_chosen else os.environ.get(TOKEN_VARIABLE, "").strip()
            if not text:
                raise SettingsError(self._missing()) from None
        except (OSError, UnicodeDecodeError):
            raise SettingsError(f"The token in {self.path} cannot be read.") from None
        if not _TOKEN.fullmatch(text):
            raise SettingsError(f"What is in {self.path} or ${TOKEN_VARIABLE} is not a token.")
        return text

    def _missing(self) -> str:
        if self.is_chosen:
            return f"There is no token: {self.path} does not exist."
        return (
            f"There is no token: neither {self.path} nor ${TOKEN_VARIABLE} has one. "
            "Make one at the hub's page Token and give it to this server."
        )
