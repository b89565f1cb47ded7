"""Which form an answer has, for what clients ask."""

from __future__ import annotations

import pytest

from casjobs_service.negotiate import Form, NotAcceptable, choose, encoding

TYPES = {
    "json-array": "application/json+array",
    "csv": "text/csv; charset=utf-8; header=present",
    "fits": "application/fits",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
    "votable": "application/x-votable+xml",
    "ndjson": "application/x-ndjson",
    "votable-td": "application/x-votable+xml; serialization=tabledata",
}


@pytest.mark.parametrize(
    ("accept", "format_name", "media_type"),
    [
        (None, "json-array", "application/json+array"),
        ("", "json-array", "application/json+array"),
        ("*/*", "json-array", "application/json+array"),
        ("*", "json-array", "application/json+array"),
        ("application/json+array", "json-array", "application/json+array"),
        ("application/json", "json-array", "application/json"),
        ("text/plain", "csv", "text/plain"),
        ("TEXT/CSV", "csv", "text/csv"),
        ("text/*", "csv", "text/csv"),
        ("application/fits", "fits", "application/fits"),
        ("application/fits;q=0.2, text/plain;q=0.9", "csv", "text/plain"),
        ("text/plain;q=0.5, application/*;q=0.1, application/vnd.apache.parquet;q=0.7", "parquet", None),
        ("application/fits, text/plain", "fits", "application/fits"),
        ("text/plain, application/fits", "csv", "text/plain"),
        ("*/*;q=0.1, application/json+array;q=0, application/json;q=0, text/*;q=0", "fits", None),
        ("text/html, application/xhtml+xml, */*;q=0.8", "json-array", "application/json+array"),
        ("application/x-votable+xml;serialization=binary2", "votable", None),
        ("application/x-votable+xml", "votable", None),
        ("application/x-votable+xml;serialization=TABLEDATA", "votable-td", "application/x-votable+xml"),
        ("image/png, application/x-ndjson; q=0.001", "ndjson", None),
        (",;=, /, text/, nonsense", "json-array", "application/json+array"),
    ],
)
def test_the_header(accept: str | None, format_name: str, media_type: str | None) -> None:
    assert choose(TYPES, accept) == Form(format_name, media_type or TYPES[format_name])


@pytest.mark.parametrize(
    ("wanted", "format_name"),
    [("csv", "csv"), ("CSV ", "csv"), ("json", "json-array"), ("pandas", "json-array"), ("vot", "votable")],
)
def test_the_parameter_wins(wanted: str, format_name: str) -> None:
    assert choose(TYPES, "image/png", wanted).format == format_name


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("image/png", None),
        ("application/fits;q=0", None),
        ("application/fits;q=much", None),
        ("*/*", "hdf5"),
        ("*/*", "a" * 1000),
    ],
)
def test_nothing_fits(accept: str, wanted: str | None) -> None:
    with pytest.raises(NotAcceptable) as caught:
        choose(TYPES, accept, wanted)
    text = str(caught.value)
    assert all(media_type.split(";")[0] in text for media_type in TYPES.values())
    assert len(text) < 600


@pytest.mark.parametrize(
    ("accept", "of_text", "of_binary"),
    [
        (None, "identity", "identity"),
        ("", "identity", "identity"),
        ("identity", "identity", "identity"),
        ("gzip, deflate", "gzip", "identity"),
        ("gzip, deflate, br, zstd", "zstd", "identity"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip", "identity"),
        ("zstd, identity;q=0.5", "zstd", "zstd"),
        ("gzip, identity;q=0", "gzip", "gzip"),
        ("gzip, *;q=0", "gzip", "gzip"),
        ("identity, gzip;q=0.5", "identity", "identity"),
        ("gzip, identity", "gzip", "identity"),
        ("*", "zstd", "identity"),
        ("gzip;q=0, zstd;q=0", "identity", "identity"),
        ("br", "identity", "identity"),
        ("gzip;q=nonsense", "identity", "identity"),
    ],
)
def test_compression(accept: str | None, of_text: str, of_binary: str) -> None:
    assert encoding(accept, "csv") == of_text
    assert encoding(accept, "arrow") == of_binary
