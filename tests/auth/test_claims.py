"""Claims of real providers' shapes, made into names, groups and permissions."""

from __future__ import annotations

from typing import Any

import pytest
from tornado import web
from traitlets import TraitError
from traitlets.config import Config

from sciserver_auth import claims
from sciserver_auth.authenticator import SciServerAuthenticator

KEYCLOAK = {
    "sub": "f3c1",
    "preferred_username": "ada",
    "realm_access": {"roles": ["astro", "offline_access"]},
    "resource_access": {"account": {"roles": ["view-profile"]}, "sci.server": {"roles": ["operator"]}},
    "groups": ["/astro/galaxies", "/admins"],
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("realm_access.roles", ["astro", "offline_access"]),
        ("resource_access.account.roles", ["view-profile"]),
        ("resource_access.sci.server.roles", ["operator"]),
        ("groups", ["/astro/galaxies", "/admins"]),
        ("realm_access.nothing", None),
        ("groups.roles", None),
        ("nothing", None),
        ("", None),
    ],
)
def test_path(path: str, expected: Any) -> None:
    assert claims.find(KEYCLOAK, path) == expected


def test_names_with_dots_and_the_longest_one_wins() -> None:
    assert claims.find({"https://example.org/groups": ["a"]}, "https://example.org/groups") == ["a"]
    assert claims.find({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    # A longer name that leads nowhere does not hide the shorter one.
    assert claims.find({"a.b": {}, "a": {"b": {"c": 3}}}, "a.b.c") == 3


@pytest.mark.parametrize("value", [None, 7, {"roles": ["admin"]}, [["admin"]], [{"name": "admin"}], "", [""]])
def test_values_that_grant_nothing(value: Any) -> None:
    assert claims.strings(value) == []
    assert claims.satisfied({"role": value}, {"role": ["admin"]}) == [False]


def test_rules() -> None:
    rules = {"realm_access.roles": ["astro", "stars"], "staff": ["true"], "idp": ["https://idp.example.edu/"]}
    said = KEYCLOAK | {"staff": True, "idp": "https://idp.example.edu/"}
    assert claims.satisfied(said, rules) == [True, True, True]
    # Part of a value is not the value, and neither is another spelling.
    said |= {"idp": "https://idp.example.edu/evil", "staff": "True"}
    assert claims.satisfied(said, rules) == [True, False, False]


def test_groups_are_mapped_and_filtered() -> None:
    given = ["/astro", "/astro/galaxies", "/", "offline_access", "/x\x00y", "/ padded", f"/{'x' * 256}", "/línea 1"]
    names, dropped = claims.group_names(given, "/(.*)")
    assert names == {"astro", "línea 1"}
    assert dropped == ["/astro/galaxies", "/", "/x\x00y", "/ padded", f"/{'x' * 256}"]
    assert claims.group_names(["CO:members:active", "CO:COU:astro:members:active"], "CO:COU:(.+):members:active") == (
        {"astro"},
        [],
    )
    # As they are.
    assert claims.group_names(["a", "b c"], ".*") == ({"a", "b c"}, [])
    # The pattern is for the whole name: what an attacker may append does not get through.
    assert claims.group_names(["admin\n", "xadmin", "admin2"], "admin")[0] == set()


@pytest.mark.parametrize(
    ("verified", "vouched", "kept"),
    [
        ({"email_verified": True}, False, True),
        ({"email_verified": "true"}, False, True),
        ({"email_verified": False}, False, False),
        ({"email_verified": "false"}, False, False),
        ({"email_verified": 1}, False, False),
        ({}, False, False),
        ({}, True, True),
        # The provider's own word outweighs the site's trust in it.
        ({"email_verified": False}, True, False),
    ],
)
def test_unverified_addresses_are_not_seen(verified: dict[str, Any], vouched: bool, kept: bool) -> None:
    said = {"sub": "1", "email": "ada@example.edu", **verified}
    assert ("email" in claims.without_unverified_email(said, vouched=vouched)) is kept
    assert said["email"] == "ada@example.edu"


def test_domains() -> None:
    own = {"allowed_domains": ["Example.edu", "partner.org"], "strip_domains": ["example.EDU"]}
    assert claims.user_name("Ada@EXAMPLE.edu", **own) == "Ada"
    assert claims.user_name("ada@partner.org", **own) == "ada@partner.org"
    assert claims.user_name("ada@partner.org") == "ada@partner.org"
    assert claims.user_name(" ada ") == "ada"


@pytest.mark.parametrize(
    "name",
    [
        "ada@evil.example",
        "ada@example.edu.evil.example",
        "ada@evil.example@partner.org.evil",
        "ada",  # would be the same as ada@example.edu
        "@example.edu",
        "ada@partner.org@example.edu",  # would be the same as ada@partner.org
        "",
    ],
)
def test_names_that_could_be_anothers_are_refused(name: str) -> None:
    with pytest.raises(claims.NameRefused) as caught:
        claims.user_name(name, allowed_domains=["example.edu", "partner.org"], strip_domains=["example.edu"])
    assert "evil" not in str(caught.value)


def test_old_groups_do_not_live_on() -> None:
    old = {"sub": "1", "name": "Ada", "realm_access": {"roles": ["admin"]}, "groups": ["admin"], "idp": "x"}
    assert claims.without_paths(old, ["groups"]).keys() == {"sub", "name", "realm_access", "idp"}
    assert claims.without_paths(old, ["realm_access.roles", "idp"]).keys() == {"sub", "name", "groups"}
    assert claims.without_paths(old, ["group"]).keys() == old.keys()
    assert claims.without_paths(old, []) == old
    assert claims.without_paths({"https://e.org/g": ["admin"], "x": 1}, ["https://e.org/g"]) == {"x": 1}
    assert claims.without_paths(old, None).keys() == {"sub", "name"}


# -- the options


def authenticator(**options: Any) -> SciServerAuthenticator:
    config = Config()
    for name, value in options.items():
        setattr(config.SciServerAuthenticator, name, value)
    return SciServerAuthenticator(config=config)


def test_address_as_name() -> None:
    by_email = authenticator(username_claim="email")
    assert by_email.user_info_to_username({"email": "ada@e.org", "email_verified": True}) == "ada@e.org"
    with pytest.raises(web.HTTPError, match="not confirmed"):
        by_email.user_info_to_username({"email": "ada@e.org"})
    with pytest.raises(web.HTTPError, match="no user name"):
        by_email.user_info_to_username({"email_verified": True})
    trusting = authenticator(username_claim="email", provider_verifies_email=True)
    assert trusting.user_info_to_username({"email": "ada@e.org"}) == "ada@e.org"
    # A function does not see the address either.
    for function in (lambda said: said.get("email"), lambda said: said.get("email", 7)):
        with pytest.raises(web.HTTPError, match="no user name"):
            authenticator(username_claim=function).user_info_to_username({"email": "ada@e.org"})
    nested = authenticator(username_claim="account.login")
    assert nested.user_info_to_username({"account": {"login": "ada"}}) == "ada"


async def test_ways_to_name_the_groups() -> None:
    said = {"user_claims": {"groups": ["a"], "roles": "x;y", "deep": {"er": ["/b", "/c/d", 7]}}}
    assert await authenticator().get_user_groups(said) == {"a"}
    assert await authenticator(groups_claim="deep.er", group_pattern="/(.+)").get_user_groups(said) == {"b"}
    by_function = authenticator(groups_claim=lambda claims: claims["roles"].split(";"))
    assert await by_function.get_user_groups(said) == {"x", "y"}
    # oauthenticator's own option is not silently ignored.
    upstream = authenticator(auth_state_groups_key="user_claims.deep.er", group_pattern="/([^/]+)")
    assert await upstream.get_user_groups(said) == {"b"}
    upstream = authenticator(auth_state_groups_key=lambda state: state["user_claims"]["groups"])
    assert await upstream.get_user_groups(said) == {"a"}
    # A function that returns nothing, or nonsense, gives no group.
    for nonsense in (None, 7, {"admin": True}):
        assert await authenticator(groups_claim=lambda claims, it=nonsense: it).get_user_groups(said) == set()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"group_pattern": "(("}, "regular expression"),
        ({"allowed_domains": ["ada@example.edu"]}, "holds domains"),
        ({"strip_domains": ["https://example.edu/"]}, "holds domains"),
        ({"strip_domains": ["one.edu", "two.edu"], "link_existing_users": "name"}, "one origin"),
        ({"link_existing_users": "always"}, "link_existing_users"),
    ],
)
def test_mistakes_are_found_at_the_start(options: dict[str, Any], says: str) -> None:
    with pytest.raises(TraitError, match=says):
        authenticator(**options)
