"""The Docker network of a deployment: containers reach the hub and the world, but not each other."""

from __future__ import annotations

import docker
from docker.errors import APIError, NotFound

from sciserver_spawner.naming import LABEL


def ensure_network(client: docker.APIClient, name: str, deployment_id: str) -> str:
    """Make the network if it is missing; returns the address of this host on it (its gateway).

    Inter-container communication is off: the engine drops packets between two containers of the bridge, so one
    user's code cannot even connect to another user's server.

    Raises
    ------
    docker.errors.APIError
        The engine refuses, e.g. because all of its address ranges are taken.
    """
    try:
        network = client.inspect_network(name)
    except NotFound:
        try:
            client.create_network(
                name,
                driver="bridge",
                options={"com.docker.network.bridge.enable_icc": "false"},
                labels={f"{LABEL}.deployment": deployment_id},
                check_duplicate=True,
            )
        except APIError as error:
            # Another process made it in the meantime.
            if error.status_code != 409:
                raise
        network = client.inspect_network(name)
    return str(network["IPAM"]["Config"][0]["Gateway"])
