"""The menu of images: what the start page shows and what a request may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader

from sciserver_spawner.errors import failure

_templates = Environment(loader=PackageLoader("sciserver_spawner"), autoescape=True)


@dataclass(frozen=True)
class MenuItem:
    """One image that users may choose.

    Parameters
    ----------
    name
        What a request gives as ``image``, e.g. ``python-astro``.
    image
        Reference that the engine knows, e.g. ``sciserver/python-astro:0123456789ab``.
    cmd
        Command that starts the image's server; empty for the spawner's `cmd`.
    """

    name: str
    image: str
    title: str = ""
    description: str = ""
    cmd: Sequence[str] = ()


def find(menu: list[MenuItem], name: Any) -> MenuItem:
    """The item that a request's ``image`` names; the first one where it names none.

    Raises
    ------
    jupyterhub.spawner.SpawnException
        There is no such item.
    """
    if not menu:
        raise failure(
            "No image is installed: the operator can build one with `sciserver image build`.", reason="image"
        )
    if name is None or name == "":
        return menu[0]
    for item in menu:
        if item.name == name:
            return item
    available = ", ".join(item.name for item in menu)
    raise failure(f"There is no image {str(name)[:64]!r}. Choose one of: {available}.", reason="option", status=400)


def render_form(menu: list[MenuItem], chosen: str) -> str:
    """The part of the start page that lets a person choose; empty where there is no choice."""
    if len(menu) < 2:
        return ""
    # The last choice may be of an image that the menu no longer has.
    known = any(item.name == chosen for item in menu)
    return _templates.get_template("options.html").render(menu=menu, chosen=chosen if known else menu[0].name)


def from_form(form: dict[str, list[str]]) -> dict[str, str]:
    """User options from the submitted form; fields that it does not have are ignored."""
    values = form.get("image")
    return {"image": values[0]} if values else {}
