"""Two servers never share a container's name, whatever their users are called."""

import hashlib
import itertools
import random
import re

import pytest

from sciserver_spawner.naming import container_labels, container_name

# What the engine allows.
DOCKER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def all_pairs():
    """Every short user name over the characters that matter, with server names chosen to be mistaken for others."""
    users = ["".join(letters) for length in (1, 2, 3) for letters in itertools.product("aB.-@", repeat=length)]
    users += [f"{user}--{tail}" for user in ("a", "a-", "a.") for tail in ("b", "b-c", "0b")]
    # The attack: a server named as the tail of somebody else's name.
    tails = {container_name("d", user, "").rpartition("--")[2] for user in users}
    digests = {hashlib.sha256(user.encode()).hexdigest()[:length] for user in users for length in (8, 20)}
    servers = {"", "b", "b-c", "c"} | {text for text in tails | digests if re.fullmatch(r"[a-z][a-z0-9-]*", text)}
    return [(user, server) for user in users for server in sorted(servers)]


def test_no_two_servers_share_a_name():
    pairs = all_pairs()
    names = {}
    for pair in pairs:
        names.setdefault(container_name("d", *pair), []).append(pair)
    assert [same for same in names.values() if len(same) > 1] == []


def test_no_two_servers_share_a_name_even_where_the_hub_allows_old_server_names():
    # `allow_existing_invalid_named_servers` keeps names of JupyterHub 5, which were free text.
    rng = random.Random(1)
    pairs = {
        ("".join(rng.choices("ab-.0", k=rng.randint(1, 4))), "".join(rng.choices("ab-./ 0", k=rng.randint(0, 4))))
        for _ in range(20_000)
    }
    assert len({container_name("d", *pair) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize(
    ("user", "server"),
    [
        ("ada", ""),
        ("ada", "survey-2"),
        ("Ada.Lovelace@example.org", ""),
        ("../../etc", ""),
        ("名前", ""),
        ("-", ""),
        ("a b\n", "x"),
        ("x" * 255, "y" * 30),
        ("ada", "Free text / of an old hub"),
    ],
)
def test_the_engine_accepts_every_name(user, server):
    assert DOCKER_NAME.fullmatch(container_name("12345678", user, server))


def test_a_plain_name_stays_readable():
    assert container_name("12345678", "ada", "survey") == "sciserver-12345678-ada--survey"


def test_an_unusual_name_keeps_its_readable_part():
    assert container_name("d", "Ada.Lovelace@example.org", "").startswith("sciserver-d-ada-lovelace-example-org--")


def test_deployments_do_not_share_names():
    assert container_name("one", "ada", "") != container_name("two", "ada", "")


def test_labels_keep_names_unchanged():
    labels = container_labels("d", "Ä b/ç", "s")
    assert labels == {"org.sciserver.deployment": "d", "org.sciserver.user": "Ä b/ç", "org.sciserver.server": "s"}
