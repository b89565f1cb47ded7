"""Compressed streams are whole, and come in pieces."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator

import pytest
import zstandard

from casjobs_service.results import ENCODINGS, compressor

DECODERS = {
    "gzip": gzip.decompress,
    "zstd": lambda content: zstandard.ZstdDecompressor().decompressobj().decompress(content),
    "identity": bytes,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_round_trip(encoding: str) -> None:
    source = random.Random(1)
    pieces = [source.randbytes(source.randrange(3)) * source.randrange(1000) for _ in range(200)]
    for given in (pieces, [], [b""], [b"x"]):
        assert DECODERS[encoding](b"".join(compressor(encoding)(given))) == b"".join(given)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pieces_come_while_the_source_runs(encoding: str) -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield random.Random(taken).randbytes(200_000)

    stream = compressor(encoding)(pieces())
    next(stream)
    next(stream)
    assert taken < 10


def test_level_changes_the_size() -> None:
    source = random.Random(1)
    words = [b"GALAXY,%d" % number for number in range(500)]
    text = [b"\n".join(source.choice(words) for _ in range(50_000))]
    for encoding, option in (("gzip", "gzip_level"), ("zstd", "zstd_level")):
        quick, small = (b"".join(compressor(encoding, **{option: level})(text)) for level in (1, 6))
        assert len(small) < len(quick) < len(text[0])


def test_unknown_encoding() -> None:
    with pytest.raises(ValueError, match="brotli"):
        compressor("brotli")
