"""The Docker network of a deployment: containers reach the hub and the world, but not each other."""

from __future__ import annotations

import docker
from docker.errors import APIError, NotFound

from sciserver_common.deployment import Deployment
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


def with_network(deployment: Deployment, client: docker.APIClient | None = None) -> Deployment:
    """The deployment with its directories and network made, and the network's address saved in it.

    Without a `client`, a deployment that knows its address is taken as it is: the hub starts without the engine.

    Raises
    ------
    docker.errors.DockerException
        The engine does not answer, or refuses.
    sciserver_common.deployment.DeploymentError
        A directory cannot be used.
    """
    deployment.make_directories()
    if client is None and deployment.internal_host:
        return deployment
    client = client or docker.from_env().api
    deployment = deployment.replace(internal_host=ensure_network(client, deployment.network, deployment.id))
    deployment.save()
    return deployment
