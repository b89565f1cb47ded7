"""Headers of FITS files: lines of 80 characters in blocks of 2880 (FITS 4.0, section 4)."""

from __future__ import annotations

from collections.abc import Iterator

from casjobs_service.results.stats import escape

BLOCK = 2880
_LINE = 80
_FIXED_END = 30
"""Numbers and truth values end in this column (section 4.2.3)."""
_TEXT = 68
"""Characters between the quotes of one line; with more the text goes on in ``CONTINUE`` (section 4.2.1.2)."""

_NAME = 60


def card(keyword: str, value: str | int | bool) -> str:
    """One line, or several for a long text.

    Text that is no printable ASCII is written in the form of `escape`.
    """
    if isinstance(value, bool):
        value = "T" if value else "F"
    elif isinstance(value, str):
        return _text_card(keyword, value)
    return f"{keyword:<8}= {value:>{_FIXED_END - 10}}".ljust(_LINE)


def comments(text: str) -> str:
    """A text as lines of ``COMMENT``."""
    text = header_text(text)
    return "".join(f"COMMENT {text[start : start + 72]}".ljust(_LINE) for start in range(0, len(text), 72))


def header_text(text: str) -> str:
    """Text as a header can have it: one line of printable ASCII."""
    text = " ".join(text.split())
    return text if text.isascii() and text.isprintable() else escape(text).decode()


def short_name(name: str) -> str:
    """A column's name as one line can have it, with room for a number after it."""
    name = header_text(name)
    while len(name.replace("'", "''")) > _NAME:
        name = name[:-1]
    return name


def block(cards: str) -> bytes:
    """A whole header of the cards, with its end."""
    return padded((cards + "END").encode(), b" ")


def padded(content: bytes, filler: bytes) -> bytes:
    """Content filled up to a whole number of blocks."""
    return content + padding(len(content), filler)


def padding(length: int, filler: bytes) -> bytes:
    """What is missing to a whole number of blocks after `length` bytes."""
    return filler * (-length % BLOCK)


def _text_card(keyword: str, value: str) -> str:
    lines = list(_pieces(header_text(value)))
    last = len(lines) - 1
    found = []
    for number, piece in enumerate(lines):
        start = f"{keyword:<8}= " if number == 0 else "CONTINUE  "
        content = piece + ("&" if number < last else "")
        found.append(f"{start}'{content:<8}'".ljust(_LINE))
    return "".join(found)


def _pieces(value: str) -> Iterator[str]:
    """The text with doubled quotes, in pieces; a doubled quote is never cut."""
    doubled = [letter * 2 if letter == "'" else letter for letter in value]
    if sum(map(len, doubled)) <= _TEXT:
        yield "".join(doubled)
        return
    piece = ""
    for letter in doubled:
        if len(piece) + len(letter) > _TEXT - 1:
            yield piece
            piece = ""
        piece += letter
    yield piece
