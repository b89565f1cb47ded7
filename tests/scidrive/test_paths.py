"""Paths in addresses."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scidrive_service import paths
from scidrive_service.errors import FileError, Kind

NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda name: b"/" not in name and b"\x00" not in name and name not in {b".", b".."}
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("/", ()),
        ("//a///b/", ("a", "b")),
        ("a/.b/..c/...", ("a", ".b", "..c", "...")),
        (" a / b ", (" a ", " b ")),
        ("a\nb", ("a\nb",)),
        ("caf\u00e9", ("caf\u00e9",)),
        ("cafe\u0301", ("cafe\u0301",)),
        ("x" * 255, ("x" * 255,)),
    ],
)
def test_paths(text: str, path: paths.Path) -> None:
    assert paths.parse(text) == path
    assert paths.parse(paths.encoded(path), encoded=True) == path


@pytest.mark.parametrize(
    "text",
    [
        "..",
        "a/../b",
        "./a",
        "a/.",
        "a\x00b",
        "x" * 256,
        "\u00e9" * 128,
        "/".join(["abc"] * 1001),
        ".~sciserver-1",
        "\ud800",
    ],
)
def test_what_no_path_is(text: str) -> None:
    with pytest.raises(FileError) as caught:
        paths.parse(text)
    assert caught.value.kind is Kind.NAME
    caught.value.message.encode()


@pytest.mark.parametrize("text", ["%2e%2e/a", "a/%2E%2e", "a%2f..%2fb", "a%00b", "..%2f..%2fetc%2fpasswd"])
def test_encoding_hides_nothing(text: str) -> None:
    with pytest.raises(FileError) as caught:
        paths.parse(text, encoded=True)
    assert caught.value.kind is Kind.NAME


def test_what_is_decoded_once_is_not_decoded_again() -> None:
    assert paths.parse("%252e%252e", encoded=True) == ("%2e%2e",)


@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES, max_size=5))
def test_any_bytes_survive(names: list[bytes]) -> None:
    """Names that are no text, too."""
    path = tuple(map(os.fsdecode, names))
    assert paths.parse(paths.encoded(path), encoded=True) == path
    paths.shown(path).encode()
    assert paths.shown(path).isprintable()
