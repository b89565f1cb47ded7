"""Whatever a client asks for, the request goes to the configured service, below its path."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from SciServer.server.addresses import Address, AddressError

SERVICE = Address.parse("http://casjobs.example.org:8003/services/casjobs/RestApi")

# Pieces of which attempts to get elsewhere are made, and anything at all.
TRICKS = st.sampled_from(
    [
        "..", ".", "/", "//", "\\", "%2e", "%2E%2e", "%2f", "%5c", "%00", "%0d%0a", "@", ":", "?", "#", ";", "&", "%",
        "http://", "https://evil.example.org", "evil.example.org", "evil.example.org:80", "\r\n", "\t", " ", "%252e",
        "%c0%af", "..;", "services", "casjobs", "RestApi", "tables", "é", "\x7f", "\x00", "[", "]", "|", "{",
    ]
)  # fmt: skip
PATHS = st.lists(TRICKS | st.text(st.characters(max_codepoint=255), max_size=5), max_size=12).map("".join)


@given(PATHS, PATHS)
def test_no_path_leads_elsewhere(path: str, query: str) -> None:
    try:
        target = SERVICE.target(path, query)
    except AddressError:
        return
    assert target.isascii()
    assert target.isprintable()
    assert " " not in target
    assert "#" not in target
    reached = target.partition("?")[0]
    assert reached.startswith("/services/casjobs/RestApi/")
    # However a server or a proxy before it reads the path: once unescaped, backslashes as slashes, dots resolved.
    for plain in (reached, unquote(reached), unquote(reached).replace("\\", "/")):
        assert posixpath.normpath(f"{plain}/.").startswith("/services/casjobs/RestApi")
    # Nobody takes it for an address with a machine.
    assert not urlsplit(target).netloc


@given(PATHS)
def test_no_path_becomes_a_machine_of_a_service_at_the_root(path: str) -> None:
    try:
        target = Address.parse("http://casjobs.example.org").target(path)
    except AddressError:
        return
    assert target.startswith("/")
    assert not target.startswith("//")


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=4))
def test_names_arrive_as_they_are(names: list[str]) -> None:
    from urllib.parse import quote

    path = "/".join(quote(name, safe="") for name in names)
    is_possible = all(
        "/" not in name and "\0" not in name and not {".", ".."} & set(name.replace("\\", "/").split("/"))
        for name in names
    )
    if is_possible:
        target = SERVICE.target(path)
        assert [unquote(name) for name in target.removeprefix("/services/casjobs/RestApi/").split("/")] == names
    else:
        with pytest.raises(AddressError):
            SERVICE.target(path)


@given(st.lists(st.sampled_from(["token", "_xsrf", "no_track_activity", "%74oken", "to%6ben", "x", "y", ""])))
def test_of_the_query_only_what_is_the_servers_is_left_out(names: list[str]) -> None:
    target = SERVICE.target("contexts", "&".join(f"{name}=1" for name in names))
    kept = [f"{name}=1" for name in names if name in {"x", "y", ""}]
    assert target == "/services/casjobs/RestApi/contexts" + ("?" + "&".join(kept) if kept else "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "casjobs.example.org",
        "/services/casjobs",
        "ftp://casjobs.example.org",
        "http://",
        "http:///services",
        "http://user:password@casjobs.example.org",
        "http://casjobs.example.org@evil.example.org",
        "http://casjobs.example.org/?x=1",
        "http://casjobs.example.org/#x",
        "http://casjobs.example.org/../x",
        "http://casjobs.example.org:port/",
        "http://casjobs.example.org:99999/",
        "http://[::1/",
    ],
)
def test_only_plain_addresses_can_be_configured(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown", "netloc"),
    [
        (" http://Casjobs.example.org/x/ ", "http://casjobs.example.org/x", "casjobs.example.org"),
        ("https://casjobs.example.org:443", "https://casjobs.example.org", "casjobs.example.org"),
        ("https://casjobs.example.org:8443/x", "https://casjobs.example.org:8443/x", "casjobs.example.org:8443"),
        ("http://[::1]:8003/x", "http://[::1]:8003/x", "[::1]:8003"),
    ],
)
def test_addresses_of_the_configuration(text: str, shown: str, netloc: str) -> None:
    address = Address.parse(text)
    assert (str(address), address.netloc) == (shown, netloc)
