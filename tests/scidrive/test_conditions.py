"""Conditional requests, ranges, names and digests in headers; without a server."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders

from scidrive_service.errors import FileError, Kind
from scidrive_service.handlers import conditions, content
from scidrive_service.tree import Entry
from sciserver_common.requests import Problem

ENTRY = Entry(("a.txt",), False, 100, 1_800_000_000.7, 1_800_000_000.0, "sha256-ab")
EMPTY = Entry(("a.txt",), False, 0, 1_800_000_000.0, 1_800_000_000.0, "sha256-00")
DATE = conditions.http_date(ENTRY.modified)
BEFORE = conditions.http_date(ENTRY.modified - 10)
AFTER = conditions.http_date(ENTRY.modified + 10)


def headers(**values: str) -> HTTPHeaders:
    return HTTPHeaders({name.replace("_", "-"): value for name, value in values.items()})


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-1", (99, 100)),
        ("bytes=-1000", (0, 100)),
        ("Bytes = 5 - 6", (5, 7)),
        # None of these is a range, or one of a kind that we know: the whole file.
        ("", None),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=a-b", None),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=0-1 and more", None),
        ("bytes=" + "9" * 30 + "-", None),
        ("bytes=\u0661-\u0662", None),
    ],
)
def test_ranges(value: str, part: tuple[int, int] | None) -> None:
    assert conditions.part(headers(Range=value), ENTRY) == part


@pytest.mark.parametrize(("value", "entry"), [("bytes=100-", ENTRY), ("bytes=-0", ENTRY), ("bytes=0-", EMPTY)])
def test_ranges_that_there_are_not(value: str, entry: Entry) -> None:
    with pytest.raises(FileError) as raised:
        conditions.part(headers(Range=value), entry)
    assert raised.value.kind is Kind.RANGE


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        ('"sha256-ab"', True),
        ('W/"sha256-ab"', False),
        ('"other"', False),
        (DATE, True),
        (AFTER, False),
        ("nonsense", False),
    ],
)
def test_if_range(value: str, counts: bool) -> None:
    expected = (0, 5) if counts else None
    assert conditions.part(headers(Range="bytes=0-4", If_Range=value), ENTRY) == expected


@pytest.mark.parametrize(
    ("values", "result"),
    [
        ({}, False),
        ({"If_None_Match": '"sha256-ab"'}, True),
        ({"If_None_Match": 'W/"sha256-ab"'}, True),
        ({"If_None_Match": '"x", "sha256-ab" , W/"y"'}, True),
        ({"If_None_Match": "*"}, True),
        ({"If_None_Match": '"x"'}, False),
        ({"If_None_Match": "nonsense"}, False),
        ({"If_None_Match": '"x"', "If_Modified_Since": AFTER}, False),
        ({"If_Modified_Since": DATE}, True),
        ({"If_Modified_Since": BEFORE}, False),
        ({"If_Modified_Since": "tomorrow"}, False),
        ({"If_Modified_Since": "Thu, 99 Foo 99999 99:99:99 GMT"}, False),
        ({"If_Match": '"sha256-ab"'}, False),
        ({"If_Match": "*"}, False),
        ({"If_Match": 'W/"sha256-ab"'}, Kind.CHANGED),
        ({"If_Match": '"x"'}, Kind.CHANGED),
        ({"If_Unmodified_Since": BEFORE}, Kind.CHANGED),
        ({"If_Unmodified_Since": DATE}, False),
        ({"If_Match": '"sha256-ab"', "If_Unmodified_Since": BEFORE}, False),
    ],
    ids=str,
)
def test_reading_under_conditions(values: dict[str, str], result: Any) -> None:
    if isinstance(result, bool):
        assert conditions.is_current(headers(**values), ENTRY) is result
    else:
        with pytest.raises(FileError) as raised:
            conditions.is_current(headers(**values), ENTRY)
        assert raised.value.kind is result


@pytest.mark.parametrize(
    ("values", "there", "is_right"),
    [
        ({"If_None_Match": "*"}, None, True),
        ({"If_None_Match": "*"}, ENTRY, False),
        ({"If_None_Match": '"x"'}, ENTRY, True),
        ({"If_Match": "*"}, None, False),
        ({"If_Match": "*"}, ENTRY, True),
        ({"If_Match": '"sha256-ab"'}, ENTRY, True),
        ({"If_Match": '"x"'}, ENTRY, False),
        ({"If_Unmodified_Since": BEFORE}, ENTRY, False),
        ({"If_Unmodified_Since": AFTER}, None, False),
    ],
    ids=str,
)
def test_writing_under_conditions(values: dict[str, str], there: Entry | None, is_right: bool) -> None:
    check = conditions.of_write(headers(**values))
    assert check is not None
    if is_right:
        check(there)
    else:
        with pytest.raises(FileError) as raised:
            check(there)
        assert raised.value.kind is Kind.CHANGED


def test_writing_without_conditions() -> None:
    assert conditions.of_write(headers()) is None


@pytest.mark.parametrize(
    "name",
    [
        "page.html",
        "PAGE.HTM",
        "x.xhtml",
        "x.svg",
        "x.xml",
        "x.js",
        "x.mjs",
        "x.css",
        "x.swf",
        "x.html.gz",
        "x",
        "x.pdf",
        "a:b.html",
        "http://x.png/y.html",
        "x.wasm",
        "data:,x.html",
        "x.shtml",
        "x.hta",
        "x.mht",
    ],
)
def test_what_browsers_run_is_kept(name: str) -> None:
    assert content.disposition(name).startswith("attachment")
    assert content.media_type(name) in {content.OCTETS, "application/gzip", "application/pdf"}


def test_what_browsers_may_show() -> None:
    for name, media_type in [
        ("a.png", "image/png"),
        ("a.JPG", "image/jpeg"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.py", "text/plain; charset=utf-8"),
    ]:
        assert content.disposition(name).startswith("inline")
        assert content.content_type(name) == media_type
    assert content.content_type("a.csv") == "text/csv; charset=utf-8"
    assert content.content_type("a.fits.gz") == "application/gzip"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plain name.dat", 'attachment; filename="plain name.dat"'),
        ("ü.dat", "attachment; filename=\"_.dat\"; filename*=UTF-8''%C3%BC.dat"),
        ('a"b\\c;d', "attachment; filename=\"a_b_c_d\"; filename*=UTF-8''a%22b%5Cc%3Bd"),
        ("a\r\nSet-Cookie: x", "attachment; filename=\"a__Set-Cookie_ x\"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x"),
        ("\udcff", "attachment; filename=\"_\"; filename*=UTF-8''%3F"),
        ("100%", "attachment; filename=\"100_\"; filename*=UTF-8''100%25"),
    ],
)
def test_names_in_headers(name: str, written: str) -> None:
    assert content.disposition(name) == written


def encoded(algorithm: str, data: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm, data).digest()).decode()


def test_digests() -> None:
    sha, md5 = encoded("sha256", b"x"), encoded("md5", b"x")
    found = content.digests(
        headers(
            Content_MD5=md5,
            Digest=f"SHA-256={sha},unixsum=30637",
            Repr_Digest=f"sha-256=:{sha}:, adler=:AAAA:",
            Content_Digest=f"sha-512=:{encoded('sha512', b'x')}:",
        )
    )
    assert [digest.name for digest in found] == ["md5", "sha-256", "sha-512", "sha-256"]
    for digest in found:
        digest.state.update(b"x")
        assert digest.state.digest() == digest.wanted
    assert content.digests(headers()) == []


@pytest.mark.parametrize("value", ["sha-256=:AAAA:", "sha-256=", "sha-256=::", "sha-256=ü"])
def test_digests_that_are_none(value: str) -> None:
    with pytest.raises(Problem):
        content.digests(headers(Repr_Digest=value))
