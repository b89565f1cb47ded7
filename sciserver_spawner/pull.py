"""Fetching an image from its registry, with the layers counted for the person who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import docker
from docker.errors import APIError, NotFound
from jupyterhub.spawner import SpawnException

from sciserver_spawner import errors
from sciserver_spawner.engine import Engine

_DONE = {"Pull complete", "Already exists"}


async def pull(engine: Engine, image: str, report: Callable[[str], None]) -> None:
    """Pull `image` in the engine's lane for pulls, calling `report` with a text as layers arrive.

    Raises
    ------
    jupyterhub.spawner.SpawnException
        The registry does not give the image.
    One of `sciserver_spawner.engine.UNREACHABLE`
        The engine does not answer.
    """
    report("Fetching the image; the first time this can take minutes")
    loop = asyncio.get_running_loop()

    def run(client: docker.APIClient) -> None:
        layers: dict[str, str] = {}
        for line in client.pull(image, stream=True, decode=True):
            if "error" in line:
                raise NotFound(line["error"])
            if line.get("id"):
                layers[line["id"]] = line.get("status", "")
                done = sum(status in _DONE for status in layers.values())
                loop.call_soon_threadsafe(report, f"Fetching the image: {done} of {len(layers)} layers")

    try:
        await engine.run(run, "pull")
    except APIError as error:
        # A full disk is the same news here as at any other step.
        full = "no space left" in str(error).lower()
        raise (errors.from_engine(error) if full else _refused(image, error)) from error


def _refused(image: str, error: APIError) -> SpawnException:
    return errors.failure(
        f"The image {image} cannot be fetched: {error.explanation or error}. Tell the operator.", reason="image"
    )
