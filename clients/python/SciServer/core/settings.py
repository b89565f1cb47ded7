"""Where the services are: `sciscript.json`, as the deployment hands it out (contract §0.1)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from SciServer.core.errors import SettingsError

_KEYS = {
    "CasJobsRESTUri": "casjobs_url",
    "AuthenticationURL": "authentication_url",
    "SciDriveHost": "scidrive_url",
    "RacmApiURL": "racm_url",
    "KeystoneTokenPath": "token_path",
    "TrustedOrigins": "trusted_origins",
}
"""Keys of the file that this package uses. Others are for other clients."""


def config_paths() -> list[Path]:
    """The files that are read, the most important last: the machine's, and the user's own."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return [Path("/etc/sciserver/sciscript.json"), Path(home) / "sciserver" / "sciscript.json"]


def read_config(paths: Iterable[Path] | None = None) -> dict[str, Any]:
    """What the files say together. One that is missing says nothing; a later one wins.

    Raises
    ------
    SettingsError
        A file cannot be read, or is not a JSON object; its name is told.
    """
    found: dict[str, Any] = {}
    for path in config_paths() if paths is None else paths:
        try:
            value = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"it is not JSON: {error}"
            raise SettingsError(f"The settings in {path} cannot be read: {reason}. Correct or remove it.") from None
        if not isinstance(value, dict):
            raise SettingsError(f"The settings in {path} are no JSON object. Correct or remove the file.")
        found |= value
    return found


@dataclass(frozen=True)
class Settings:
    """Addresses of the services, and where the token is.

    ``Settings()`` names the public SciServer, as the contract does; `Settings.load` reads this machine's files.

    Attributes
    ----------
    casjobs_url, authentication_url, scidrive_url, racm_url
        Base addresses, without a slash at the end.
    token_path
        File with the token. Inside a container the platform keeps it current.
    trusted_origins
        More origins (``https://files.example.org``) that the token may be sent to. Those of the addresses above always
        may; another one is needed only where a deployment's file service is on a machine of its own.
    """

    casjobs_url: str = "https://skyserver.sdss.org/CasJobs/RestApi"
    authentication_url: str = "https://apps.sciserver.org/login-portal/keystone/v3/tokens"
    scidrive_url: str = "https://www.scidrive.org"
    racm_url: str = "https://apps.sciserver.org/racm"
    token_path: str = "/home/idies/keystone.token"  # noqa: S105 - a path
    trusted_origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_url"):
                parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
                if parts.scheme not in {"http", "https"} or not parts.hostname:
                    raise SettingsError(
                        f"{field.name} is no address such as https://sciserver.example.org: {value!r}."
                    )
                object.__setattr__(self, field.name, value.rstrip("/"))
        token_path: object = self.token_path
        if not isinstance(token_path, str):
            raise SettingsError(f"token_path is no path of a file: {token_path!r}.")
        trusted: object = self.trusted_origins
        if not isinstance(trusted, list | tuple) or not all(isinstance(each, str) for each in trusted):
            raise SettingsError(f"trusted_origins is no list of addresses: {self.trusted_origins!r}.")
        object.__setattr__(self, "trusted_origins", tuple(origin(each) for each in self.trusted_origins))

    @classmethod
    def load(cls, paths: Iterable[Path] | None = None, **explicit: Any) -> Settings:
        """The settings of this machine's files, by default `config_paths`; `explicit` attributes win.

        Raises
        ------
        SettingsError
            A file or a value cannot be used.
        """
        return replace(cls.of(read_config(paths)), **explicit)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Settings:
        """The settings that an object such as `sciscript.json` has; keys that it lacks keep their defaults."""
        return cls(**{name: config[key] for key, name in _KEYS.items() if key in config})

    @property
    def origins(self) -> frozenset[str]:
        """Where the token may be sent, and nowhere else."""
        urls = (self.casjobs_url, self.authentication_url, self.scidrive_url, self.racm_url)
        return frozenset({*map(origin, urls), *self.trusted_origins})


def origin(url: str) -> str:
    """Scheme, host and port of an address: ``https://host:443``."""
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError):
        raise SettingsError(f"This is no address such as https://sciserver.example.org: {url!r}.") from None
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"
