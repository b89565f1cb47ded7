"""`sciserver data`: the demonstration data."""

from __future__ import annotations

import argparse
import time
from typing import Any

from casjobs_service.contexts import ContextError
from casjobs_service.demo import loading
from sciserver_cli.contexts import open_contexts, progress
from sciserver_cli.errors import OperatorError

_DESCRIPTION = (
    f"Make the contexts of the demonstration data. `sciserver up` makes {', '.join(loading.SMALL)} by itself. "
    "What is up to date is left as it is, and queries that run meanwhile see the old data to their end."
)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add `data` to the subcommands of `sciserver`."""
    data = commands.add_parser("data", help="Demonstration data.").add_subparsers(required=True)
    command = data.add_parser("load", help="Make the demonstration data.", description=_DESCRIPTION, parents=[common])
    command.set_defaults(run=load)
    command.add_argument("name", metavar="NAME", nargs="*", help=f"only these of {', '.join(loading.FULL)}")
    command.add_argument(
        "--full",
        action="store_true",
        help="with Gaia DR3 to G = 10 and Tycho-2 (fetches 88 MB from Debian): the contexts Gaia10 and Tycho2, and "
        "SkyDemo and the simulated contexts with more objects",
    )
    command.add_argument("--force", action="store_true", help="also what is up to date")
    command = data.add_parser(
        "list", help="Show what is loaded.", description="Show what is loaded.", parents=[common]
    )
    command.set_defaults(run=show)


def load(options: argparse.Namespace) -> dict[str, Any]:
    """`sciserver data load`."""
    from casjobs_service.demo.sources import SourceError

    contexts = open_contexts(options)
    started = time.monotonic()
    try:
        made = loading.load(contexts, options.name, options.full, progress, force=options.force)
    except (ContextError, SourceError) as error:
        raise OperatorError(str(error)) from error
    seconds = round(time.monotonic() - started, 1)
    text = f"Made {', '.join(made)} in {seconds} s." if made else "Everything is up to date."
    return {"made": made, "seconds": seconds, "text": text}


def show(options: argparse.Namespace) -> dict[str, Any]:
    """`sciserver data list`."""
    found = loading.states(open_contexts(options))
    lines = [f"{'NAME':<12}{'STATE':<10}{'MODE':<7}{'ROWS':>12}{'MB':>8}  LOADED"]
    for one in found:
        mode = "" if not one.rows else "full" if one.full else "small" if one.name in loading.LARGER else ""
        numbers = f"{one.rows:>12}{one.bytes / 1e6:>8.1f}" if one.rows else " " * 20
        lines.append(f"{one.name:<12}{one.state:<10}{mode:<7}{numbers}  {one.loaded}".rstrip())
    return {"contexts": [vars(one) for one in found], "text": "\n".join(lines)}
