"""What `%scidrive` understands. Parsing, help and completion read it from here."""

from __future__ import annotations

import argparse

from SciServer.magics.arguments import Command, Option, Positional


def _duration(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return found


RECURSIVE = Option(("--recursive", "-r"), "Folders with everything in them.")
OVERWRITE = Option(("--overwrite", "-f"), "Replace files that are there.")

COMMANDS = (
    Command(
        "ls",
        "What is in a folder.",
        (Positional("path", "Folders or files; the whole drive if none is given.", "*"),),
        (Option(("--recursive", "-r"), "Also what is in the folders below."),),
    ),
    Command(
        "get",
        "Fetch files to this machine.",
        (Positional("path", "In SciDrive; the last one, if there are several, is the place here.", "+"),),
        (RECURSIVE, OVERWRITE),
    ),
    Command(
        "put",
        "Send files to SciDrive.",
        (Positional("path", "Here; the last one, if there are several, is the place in SciDrive.", "+"),),
        (RECURSIVE, OVERWRITE),
    ),
    Command(
        "share",
        "Make a link that opens a file, or a folder as a ZIP archive, for everybody who has it.",
        (Positional("path", "In SciDrive."),),
        (
            Option(("--hours",), "How long the link lives; four hours if not given.", "N", _duration),
            Option(("--days",), "The same, in days.", "N", _duration),
        ),
    ),
    Command(
        "rm",
        "Remove files.",
        (Positional("path", "In SciDrive.", "+"),),
        (
            Option(("--recursive", "-r"), "Folders with everything in them; you are asked before."),
            Option(("--yes", "-y"), "Do not ask."),
        ),
    ),
    Command("usage", "How much is used, and the quota."),
    Command("help", "This page, or that of a command.", (Positional("command", "A command.", "?", takes="command"),)),
)
BY_NAME = {command.name: command for command in COMMANDS}

PAGE = """%scidrive COMMAND …    your files in SciDrive; %scidrive help COMMAND says more

Paths begin at the top of your drive. * ? and [] in them match names. {{python}} is the value of an expression, and
never a pattern or an option.
"""


def page() -> str:
    """All there is, for `%scidrive help`."""
    commands = "\n".join(f"  {command.name:<6} {command.help}" for command in COMMANDS)
    return f"{PAGE}\nCommands:\n{commands}\n"
