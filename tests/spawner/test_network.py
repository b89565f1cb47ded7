"""The network on which users' containers cannot reach each other."""

import docker
import pytest
from docker.errors import APIError

from sciserver_spawner.network import ensure_network
from tests.fakes.engine import Refuse


@pytest.fixture
def client(fake):
    return docker.APIClient(fake.url, version="1.44")


def test_containers_on_it_cannot_talk_to_each_other(client, fake):
    ensure_network(client, "sciserver-d", "d")
    assert fake.networks["sciserver-d"]["Options"]["com.docker.network.bridge.enable_icc"] == "false"
    assert fake.networks["sciserver-d"]["Driver"] == "bridge"
    assert fake.networks["sciserver-d"]["Labels"] == {"org.sciserver.deployment": "d"}


def test_its_gateway_is_where_the_hub_listens(client, fake):
    gateway = ensure_network(client, "sciserver-d", "d")
    assert gateway == fake.networks["sciserver-d"]["IPAM"]["Config"][0]["Gateway"]


def test_it_is_made_once(client, fake):
    assert ensure_network(client, "sciserver-d", "d") == ensure_network(client, "sciserver-d", "d")
    assert len(fake.asked("create_network")) == 1


def test_losing_the_race_to_make_it_is_no_error(client, fake, monkeypatch):
    # Between our question and our order, another process makes it.
    inspect = client.inspect_network

    def inspect_then_lose(name):
        monkeypatch.setattr(client, "inspect_network", inspect)
        try:
            return inspect(name)
        finally:
            ensure_network(docker.APIClient(fake.url, version="1.44"), name, "d")

    monkeypatch.setattr(client, "inspect_network", inspect_then_lose)
    assert ensure_network(client, "sciserver-d", "d") == "172.18.0.1"
    assert len(fake.asked("create_network")) == 2


def test_a_refusal_is_reported(client, fake):
    fake.fault("create_network", Refuse(500, "all predefined address pools have been fully subnetted"))
    with pytest.raises(APIError, match="address pools"):
        ensure_network(client, "sciserver-d", "d")
