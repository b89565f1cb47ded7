"""Pages of the reference that are made from the code: options from traits, the command line from its parser."""

from __future__ import annotations

import argparse
import inspect
import pprint
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyter_casjobs.extension import CasJobsExtension
from jupyter_scidrive.contents import SciDriveContents
from jupyter_scidrive.extension import SciDriveExtension
from traitlets import HasTraits, TraitType, Undefined

from casjobs_service.app import CasJobs
from casjobs_service.dialect.functions import catalog_functions
from casjobs_service.dialect.spatial_functions import SCALAR_FUNCTIONS, TABLE_FUNCTIONS
from casjobs_service.queue import Scheduler
from casjobs_service.quick import Quick
from casjobs_service.worker.pool import Workers
from scidrive_service.app import SciDrive
from sciserver_auth.authenticator import SciServerAuthenticator
from sciserver_auth.portal.app import Portal
from sciserver_cli.main import _parser
from sciserver_common import scopes
from sciserver_common.hub_auth import ServiceAuth
from sciserver_spawner.spawner import SciServerSpawner

CLASSES: tuple[type[HasTraits], ...] = (
    SciServerSpawner,
    SciServerAuthenticator,
    Portal,
    CasJobs,
    Quick,
    Scheduler,
    Workers,
    SciDrive,
    ServiceAuth,
    CasJobsExtension,
    SciDriveExtension,
    SciDriveContents,
)
"""Configurable classes of this distribution, and of the server extensions."""


def write(directory: Path) -> None:
    """Write all pages; a file that would not change is left alone, so that Sphinx does not read it again."""
    directory.mkdir(parents=True, exist_ok=True)
    pages = {f"{cls.__name__}.rst": options_page(cls) for cls in CLASSES}
    pages["command-line.rst"] = command_line_page(_parser())
    pages["scopes.rst"] = scopes_table()
    pages["sql-functions.rst"] = functions_table()
    for name, text in pages.items():
        path = directory / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def ours(cls: type[HasTraits]) -> dict[str, Any]:
    """What `cls` and those of its parents that belong to this distribution declare, in the order of the source."""
    classes = [parent for parent in reversed(cls.__mro__) if _is_ours(parent)]
    return {name: value for parent in classes for name, value in vars(parent).items()}


def _is_ours(cls: type) -> bool:
    ours = ("casjobs_service", "scidrive_service", "sciserver_", "jupyter_casjobs", "jupyter_scidrive", "SciServer.")
    return cls.__module__.startswith(ours)


def own_options(cls: type[HasTraits]) -> dict[str, TraitType[Any, Any]]:
    """Options that this distribution adds in `cls`."""
    return {name: trait for name, trait in ours(cls).items() if is_option(trait)}


def is_option(value: object) -> bool:
    """Whether an attribute of a class is a trait that configuration can set."""
    return isinstance(value, TraitType) and bool(value.metadata.get("config"))


def changed_defaults(cls: type[HasTraits]) -> dict[str, Any]:
    """Inherited options that `cls` gives another default, with that default where it is a plain value."""
    instance = cls.__new__(cls)
    found = {}
    for name, trait in cls.class_traits(config=True).items():
        method = ours(cls).get(f"_{name}_default")
        if name in own_options(cls) or method is None:
            continue
        try:
            found[name] = method(instance)
        except AttributeError:
            # Computed from options that only a configured instance has.
            found[name] = Undefined
        if callable(found[name]):
            found[name] = Undefined
        del trait
    return found


def options_page(cls: type[HasTraits]) -> str:
    """Reference of one class, as reStructuredText: the language of the help texts."""
    lines = [*_heading(cls.__name__, "="), inspect.cleandoc(cls.__doc__ or ""), ""]
    for name, trait in own_options(cls).items():
        lines += [
            *_heading(f"c.{cls.__name__}.{name}", "-"),
            f":Type: {_type_name(trait)}",
            f":Default: {_shown(_default_of(trait))}",
            "",
            inspect.cleandoc(trait.help),
            "",
        ]
    changed = changed_defaults(cls)
    if changed:
        parent = next(c for c in cls.__mro__ if not _is_ours(c)).__name__
        lines += [
            *_heading("Inherited options with another default", "-"),
            f"All options of ``{parent}`` work as well. These start from another value here:",
            "",
        ]
        for name, value in sorted(changed.items()):
            shown = "computed" if value is Undefined else _shown(value)
            lines.append(f"``c.{cls.__name__}.{name}``")
            lines.append(f"   {shown}")
        lines.append("")
    return "\n".join(lines) + "\n"


def _default_of(trait: TraitType[Any, Any]) -> Any:
    value = trait.default()
    return "" if value is Undefined else value


def _type_name(trait: TraitType[Any, Any]) -> str:
    values = getattr(trait, "values", None)
    return "one of " + ", ".join(f"``{value!r}``" for value in values) if values else type(trait).__name__


def _shown(value: Any) -> str:
    text = pprint.pformat(value, width=90)
    if "\n" not in text:
        return f"``{text}``"
    # A field's body is as far in as its first line after the name: the block must be farther in than that.
    return "\n   ::\n\n" + textwrap.indent(text, "      ") + "\n"


def scopes_table() -> str:
    """Table of all scopes and of the tokens that carry them; a part of the page that includes it."""
    kinds = {
        "a person, and tokens that they make": scopes.USER_SCOPES,
        "name and password": scopes.TOKEN_API_SCOPES,
        "server": scopes.SERVER_SCOPES,
        "job": scopes.JOB_SCOPES,
    }
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - Scope", "     - Allows", "     - Carried by"]
    for name, definition in scopes.SCOPES.items():
        carried = [kind for kind, held in kinds.items() if name in _with_subscopes(held)]
        allows = definition["description"]
        if definition.get("subscopes"):
            allows += "; includes " + ", ".join(f"``{part}``" for part in definition["subscopes"])
        lines += [f"   * - ``{name}``", f"     - {allows}", f"     - {', '.join(carried) or 'the portal, services'}"]
    return "\n".join(lines) + "\n"


def functions_table() -> str:
    """Table of SDSS's functions; a part of the page that includes it."""
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - Function", "     - Gives", "     - What it does"]
    rows = [(each.name, each.parameters, each.returns, each.description) for each in catalog_functions()]
    rows += [(each.name, each.parameters, each.returns, each.description) for each in SCALAR_FUNCTIONS.values()]
    rows += [(each.name, each.parameters, "table", each.description) for each in TABLE_FUNCTIONS.values()]
    for name, parameters, gives, text in sorted(rows, key=lambda row: row[0].lower()):
        call = f"{name}({', '.join(parameter.name for parameter in parameters)})"
        lines += [f"   * - ``{call}``", f"     - {gives}", f"     - {text}"]
    return "\n".join(lines) + "\n"


def _with_subscopes(names: list[str]) -> set[str]:
    return {*names, *(part for name in names for part in scopes.SCOPES.get(name, {}).get("subscopes", []))}


def command_line_page(parser: argparse.ArgumentParser) -> str:
    """Reference of a command and its subcommands."""
    lines = [
        *_heading(f"{parser.prog}: command line", "="),
        f"{parser.description} Made from the command's own help.",
        "",
        "Exit status: 0 done; 1 could not be done (for ``doctor``: something is wrong); 2 wrong usage; "
        "3 from ``status``: not everything runs.",
        "",
        *_arguments(parser),
    ]
    for name, text, command in _commands(parser):
        lines += [*_heading(name, "-"), text, "", *_usage(command), *_arguments(command, common=False)]
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                command = action.choices[choice.dest]
                below = list(_commands(command))
                if below:
                    yield from below
                else:
                    yield command.prog, command.description or choice.help or "", command


def _usage(parser: argparse.ArgumentParser) -> list[str]:
    usage = parser.format_usage().removeprefix("usage: ")
    return ["::", "", textwrap.indent(" ".join(usage.split()), "   "), ""]


def _arguments(parser: argparse.ArgumentParser, *, common: bool = True) -> list[str]:
    lines = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        if not common and {"--home", "--json", "--help"} & set(action.option_strings):
            continue
        names = action.option_strings or [str(action.metavar or action.dest)]
        value = "" if action.nargs == 0 or not action.option_strings else f" {action.metavar or action.dest.upper()}"
        lines.append(", ".join(f"``{name}{value}``" for name in names))
        text = action.help or ""
        if action.choices:
            text = f"{text}: " if text else ""
            text += ", ".join(f"``{choice}``" for choice in action.choices)
        lines += [f"   {text or 'see above'}", ""]
    return lines


def _heading(text: str, underline: str) -> list[str]:
    return [text, underline * len(text), ""]
