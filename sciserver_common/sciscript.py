"""`sciscript.json`: where SciServer's client libraries find the services of this deployment (contract §0.1)."""

from __future__ import annotations

from collections.abc import Callable


def sciscript(service_url: Callable[[str], str]) -> dict[str, str]:
    """Settings of the client libraries.

    Every address of the contract is named, also of services that a deployment does not run: for a missing key the
    libraries fall back to the public SciServer, and would send this deployment's tokens there.

    Parameters
    ----------
    service_url
        Gives a service's address without a trailing slash: as browsers see it (`Deployment.service_url`) or as
        containers do (`Deployment.container_url`).
    """
    return {
        "AuthenticationURL": service_url("portal") + "/keystone/v3/tokens",
        "CasJobsRESTUri": service_url("casjobs") + "/RestApi",
        "ComputeJobDirectoryFile": "/home/idies/jobs.path",
        "ComputeUrl": service_url("compute"),
        "ComputeWorkDir": "/home/idies/workspace/",
        "DataRelease": "",
        "KeystoneTokenPath": "/home/idies/keystone.token",
        "RacmApiURL": service_url("racm"),
        "SciDriveHost": service_url("scidrive"),
        "SciqueryURL": service_url("sciquery") + "-api",
        "SkyQueryUrl": service_url("skyquery") + "/Api/V1",
        "SkyServerWSurl": service_url("skyserver"),
        "version": "sciserver-v2.2.0",
    }
