"""Fixtures of the image tests: the engine, and the images as the checkout describes them."""

import pytest

from sciserver_spawner import images


@pytest.fixture(scope="session")
def base_image(engine):
    return images.find("base").tag


@pytest.fixture(scope="session")
def astro_image(engine):
    return images.find("python-astro").tag


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
