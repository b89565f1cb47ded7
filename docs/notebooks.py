"""Pages of the example notebooks, made from the files in the images: what is read here is what the tests run."""

from __future__ import annotations

from pathlib import Path

import nbformat

IMAGES = Path(__file__).resolve().parents[1] / "images"


def write(directory: Path) -> None:
    """Write a page for each notebook; a file that would not change is left alone."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in sorted(IMAGES.glob("*/workspace/*.ipynb")):
        path = directory / f"{slug(file)}.md"
        text = page(file)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def slug(file: Path) -> str:
    """Name of a notebook's page: ``stripe-82-light-curves``."""
    return "-".join(file.stem.lower().split())


def page(file: Path) -> str:
    """Text and code of a notebook, in Markdown."""
    cells = nbformat.read(file, as_version=4).cells
    where = f"*`{file.name}` in the workspace of the image `{file.parents[1].name}`; shown without its results.*"
    parts = [cells[0].source, where, *(_part(cell) for cell in cells[1:])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _part(cell: nbformat.NotebookNode) -> str:
    if cell.cell_type == "markdown":
        return str(cell.source)
    # Cells with magics are no Python.
    language = "text" if any(line.startswith("%") for line in cell.source.splitlines()) else "python"
    return f"```{language}\n{cell.source}\n```"
