"""Runs a notebook inside a container: ``python3 -c THIS NOTEBOOK DIRECTORY``.

In the directory it leaves the executed notebook and each figure as a file, and prints what happened as JSON.
"""

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from PIL import Image


def execute(path: Path, results: Path) -> dict[str, Any]:
    """Run all cells, also those behind one that fails."""
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, allow_errors=True, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    results.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, results / path.name)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    figures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return {
        "cells": sum(cell.cell_type == "code" for cell in notebook.cells),
        "executed": sum(cell.get("execution_count") is not None for cell in notebook.cells),
        "errors": [f"{one.ename}: {one.evalue}" for one in outputs if one.output_type == "error"],
        "stderr": [one.text for one in outputs if one.output_type == "stream" and one.name == "stderr"],
        "figures": [
            measure(base64.b64decode(figure), results / f"{path.stem}-{number}.png")
            for number, figure in enumerate(figures, 1)
        ],
    }


def measure(png: bytes, path: Path) -> dict[str, Any]:
    """Store a figure; its size, and how much of it is not background."""
    path.write_bytes(png)
    image = Image.open(io.BytesIO(png)).convert("RGB")
    counts = sorted((count for count, _ in image.getcolors(image.width * image.height)), reverse=True)
    return {"size": image.size, "drawn": 1 - counts[0] / sum(counts), "colours": len(counts)}


if __name__ == "__main__":
    print(json.dumps(execute(Path(sys.argv[1]), Path(sys.argv[2]))))
