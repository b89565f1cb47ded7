"""The file that tells client libraries where the services are."""

import pytest

from sciserver_common.sciscript import sciscript


@pytest.fixture
def settings():
    return sciscript(lambda name: f"https://example.org/services/{name}")


# The keys that the client library reads, each with the public SciServer as its default.
@pytest.mark.parametrize(
    "key",
    [
        "AuthenticationURL",
        "CasJobsRESTUri",
        "ComputeUrl",
        "RacmApiURL",
        "SciDriveHost",
        "SciqueryURL",
        "SkyQueryUrl",
        "SkyServerWSurl",
    ],
)
def test_every_service_is_named_so_that_no_token_goes_elsewhere(settings, key):
    assert settings[key].startswith("https://example.org/services/")


def test_addresses_end_as_the_library_expects(settings):
    # It appends "/contexts/…" and the like, and to the login address nothing.
    assert settings["AuthenticationURL"].endswith("/portal/keystone/v3/tokens")
    assert settings["CasJobsRESTUri"].endswith("/casjobs/RestApi")
    assert not any(value.endswith("/") for value in settings.values() if value.startswith("http"))


def test_the_token_is_where_the_spawner_puts_it(settings):
    assert settings["KeystoneTokenPath"] == "/home/idies/keystone.token"
    assert settings["ComputeWorkDir"] == "/home/idies/workspace/"


def test_every_value_is_text(settings):
    assert {type(value) for value in settings.values()} == {str}
