"""The words behind a magic: cut, and read by what its commands declare. Completion uses the same declarations."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from SciServer.magics.errors import MagicError
from SciServer.magics.sqltext import template_end

SIGN = "%"
"""Before the name of a magic. argparse cannot have it in a program's name: it formats what it has formatted before."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a command.

    Attributes
    ----------
    flags
        With their dashes.
    help
        For `%casjobs help`.
    value
        Name of its value for people; empty for one that has none.
    kind
        Makes the value of the text, and raises `argparse.ArgumentTypeError`.
    choices
        The values there are; empty if there is no list.
    takes
        What a value is, for completion: ``context``, ``table`` …
    """

    flags: tuple[str, ...]
    help: str
    value: str = ""
    kind: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    takes: str = ""

    @property
    def name(self) -> str:
        """Under which its value is found."""
        return self.flags[0].lstrip("-").replace("-", "_")


@dataclass(frozen=True, slots=True)
class Positional:
    """A word that is no option.

    Attributes
    ----------
    count
        As in argparse: ``None`` for one, ``?``, ``*`` or ``+``.
    """

    name: str
    help: str
    count: str | None = None
    takes: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a magic, e.g. ``tables`` of ``%casjobs``."""

    name: str
    help: str
    words: tuple[Positional, ...] = ()
    options: tuple[Option, ...] = ()

    def parse(self, words: Sequence[str], prefix: str) -> argparse.Namespace:
        """What the words mean.

        Raises
        ------
        MagicError
            They are wrong.
        """
        return self._parser(prefix).parse_intermixed_args(list(words))

    def usage(self, prefix: str) -> str:
        """A page for people."""
        return self._parser(prefix).format_help().replace("usage: ", f"usage: {SIGN}", 1)

    def _parser(self, prefix: str) -> argparse.ArgumentParser:
        parser = _Parser(
            prog=f"{prefix} {self.name}".strip().removeprefix(SIGN),
            description=self.help,
            add_help=False,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for word in self.words:
            parser.add_argument(word.name, help=word.help, nargs=word.count, metavar=word.name.upper())
        for option in self.options:
            _add(parser, option)
        return parser


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    if not option.value:
        parser.add_argument(*option.flags, help=option.help, action="store_true", dest=option.name)
        return
    parser.add_argument(
        *option.flags,
        help=option.help,
        metavar=option.value,
        type=_kind(option),
        choices=option.choices or None,
        dest=option.name,
    )


def _kind(option: Option) -> Callable[[str], Any]:
    return lambda word: option.kind(text_of(word))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        usage = " ".join(self.format_usage().removeprefix("usage: ").split())
        raise MagicError(f"{message[:1].upper()}{message[1:]}.", f"Usage: {SIGN}{usage}")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line, without the quotes around it.

    Attributes
    ----------
    start, end
        In the line, quotes included.
    """

    text: str
    start: int
    end: int


class Given(str):
    """A word with a template: to the parser it is what was typed, so that no value is ever taken for an option.

    Attributes
    ----------
    value
        Of the expression, if the word is nothing else; or the text with all values in it.
    """

    __slots__ = ("value",)
    value: object

    @classmethod
    def of(cls, typed: str, value: object) -> Given:
        """A word and its value."""
        word = cls(typed)
        word.value = value
        return word


def text_of(word: str) -> str:
    """A word as text."""
    return str(word.value) if isinstance(word, Given) else word


_PLAIN = re.compile(r"[^\s'\"{]+|\{(?!\{)")


def words(line: str, start: int = 0) -> Iterator[Word]:
    """The words of a line, one after the other, so that a caller can stop where SQL begins.

    Blanks divide, quotes of either kind hold together, and so do double braces. A backslash is a letter like others.

    Raises
    ------
    MagicError
        A quote is not closed.
    """
    position = start
    while (position := _skip(line, position)) < len(line):
        begin, text = position, ""
        while position < len(line) and not line[position].isspace():
            piece_end = _piece_end(line, position)
            piece = line[position:piece_end]
            if piece.startswith(("'", '"')):
                piece = piece[1:-1]
            text += piece
            position = piece_end
        yield Word(text, begin, position)


def _skip(line: str, position: int) -> int:
    while position < len(line) and line[position].isspace():
        position += 1
    return position


def _piece_end(line: str, position: int) -> int:
    if line.startswith("{{", position):
        return template_end(line, position)
    if line[position] in "'\"":
        end = line.find(line[position], position + 1)
        if end == -1:
            raise MagicError(f"A quote is not closed: {line[position:]}")
        return end + 1
    found = _PLAIN.match(line, position)
    return found.end() if found else position + 1


@dataclass(frozen=True, slots=True)
class Leading:
    """Options at the beginning of a line, and what follows.

    Attributes
    ----------
    words
        The options with their values.
    rest
        Position of the first word that is none of them.
    """

    words: list[Word] = field(default_factory=list)
    rest: int = 0


def leading(line: str, options: Iterable[Option]) -> Leading:
    """Divide a line into the options at its beginning and the rest, of which nothing is read."""
    with_value = {flag: bool(option.value) for option in options for flag in option.flags}
    found: list[Word] = []
    needs_value = False
    end = 0
    while (position := _skip(line, end)) < len(line):
        is_option = line.startswith("-", position)
        if not is_option and not needs_value:
            break
        word = next(words(line, position))
        if word.text in {"-", "--"}:
            break
        needs_value = not needs_value and with_value.get(word.text, False)
        found.append(word)
        end = word.end
    return Leading(found, _skip(line, end))


def closest(word: str, known: Iterable[str]) -> str:
    """The one that was probably meant; empty if none is near."""
    return next(iter(difflib.get_close_matches(word, known, 1, 0.7)), "")


def help_text(word: str | None, commands: Mapping[str, Command], page: str, prefix: str) -> str:
    """What a magic's ``help`` says: of all, or of one command.

    Raises
    ------
    MagicError
        There is no such command.
    """
    if word is None:
        return page
    command = commands.get(text_of(word))
    if command is None:
        raise MagicError(f"There is no command {text_of(word)}.", f"See {prefix} help.")
    return command.usage(prefix)


def whole_number(text: str) -> int:
    """A number of rows or jobs, from 1.

    Raises
    ------
    argparse.ArgumentTypeError
        It is not one.
    """
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)
