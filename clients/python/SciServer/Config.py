"""Addresses of the services, as SciScript-Python 2.2 has them (contract §0.1).

They are read from `sciscript.json` when this module is imported. Values may be assigned at run time, e.g.
``Config.CasJobsRESTUri = "https://…"``: the functions of the other modules look here each time.
"""

from __future__ import annotations

import os
from typing import Any

from SciServer.core.settings import Settings, read_config

_config: dict[str, Any] = read_config()

CasJobsRESTUri: str = _config.get("CasJobsRESTUri", Settings.casjobs_url)
AuthenticationURL: str = _config.get("AuthenticationURL", Settings.authentication_url)
SciDriveHost: str = _config.get("SciDriveHost", Settings.scidrive_url)
SkyQueryUrl: str = _config.get("SkyQueryUrl", "http://voservices.net/skyquery/Api/V1")
SkyServerWSurl: str = _config.get("SkyServerWSurl", "https://skyserver.sdss.org")
RacmApiURL: str = _config.get("RacmApiURL", Settings.racm_url)
DataRelease: str = _config.get("DataRelease", "DR15")
KeystoneTokenPath: str = _config.get("KeystoneTokenPath", Settings.token_path)
version: str = _config.get("version", "sciserver-v2.2.0")
ComputeJobDirectoryFile: str = _config.get("ComputeJobDirectoryFile", "/home/idies/jobs.path")
ComputeUrl: str = _config.get("ComputeUrl", "https://apps.sciserver.org/compute")
SciqueryURL: str = _config.get("SciqueryURL", "https://apps.sciserver.org/sciquery-api")
ComputeWorkDir: str = _config.get("ComputeWorkDir", "/home/idies/workspace/")

TrustedOrigins: list[str] = _config.get("TrustedOrigins", [])
"""Ours: see `SciServer.core.Settings`."""


def isSciServerComputeEnvironment() -> bool:
    """Whether this runs inside a container: whether there is a token file (contract §0.2)."""
    return os.path.isfile(KeystoneTokenPath)  # noqa: PTH113 - any text that Config has
