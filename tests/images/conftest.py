"""Fixtures of the image tests: the engine, and the images as the checkout describes them."""

import docker
import pytest

from sciserver_spawner import images


@pytest.fixture(scope="session")
def engine():
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def base_image(engine):
    image = images.find("base")
    images.build(engine, image)
    return image.tag


@pytest.fixture(scope="session")
def astro_image(engine):
    image = images.find("python-astro")
    images.build(engine, image)
    return image.tag


@pytest.fixture
def run(engine):
    """Run a command in a container, closed in as a user's container is, and without a network."""

    def run(image, command, **options):
        return engine.containers.run(
            image,
            command,
            remove=True,
            init=True,
            network_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            stderr=True,
            **options,
        ).decode()

    return run
