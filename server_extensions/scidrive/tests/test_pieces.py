"""Large files, which JupyterLab uploads in numbered pieces."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest

from tests.scidrive.drive_platform import Client

PIECE = 1024 * 1024


def piece(data: bytes, number: int, form: str = "base64") -> dict:
    content = base64.b64encode(data).decode() if form == "base64" else data.decode()
    return {"type": "file", "format": form, "content": content, "chunk": number, "path": "ignored", "name": "ignored"}


def unfinished(ada: Client) -> int:
    return len(ada.call("GET", "api/uploads").json())


async def test_the_file_appears_with_the_last_piece(contents, ada: Client, drive: Path) -> None:
    before = unfinished(ada)
    data = os.urandom(20 * PIECE + 17)
    path = "folder/large%20file.bin"
    parts = [data[start : start + PIECE] for start in range(0, len(data), PIECE)]
    for number, part in enumerate(parts[:-1], start=1):
        model = await contents("PUT", path, piece(part, number), status=201)
        assert (model["path"], model["type"], model["content"]) == ("folder/large file.bin", "file", None)
        assert not (drive / "folder").exists()
    model = await contents("PUT", path, piece(parts[-1], -1), status=201)
    assert (drive / "folder" / "large file.bin").read_bytes() == data
    assert (model["size"], model["hash"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert unfinished(ada) == before


async def test_a_file_that_is_there_stays_until_the_last_piece(contents, drive: Path) -> None:
    (drive / "a").write_text("before")
    await contents("PUT", "a", piece(b"one ", 1, "text"))
    await contents("PUT", "a", piece(b"two ", 2, "text"))
    assert (drive / "a").read_text() == "before"
    await contents("PUT", "a", piece(b"three", -1, "text"))
    assert (drive / "a").read_text() == "one two three"


async def test_who_begins_again_leaves_nothing_behind(contents, ada: Client, drive: Path) -> None:
    before = unfinished(ada)
    await contents("PUT", "a", piece(b"old", 1), status=201)
    await contents("PUT", "a", piece(b"old", 2), status=201)
    await contents("PUT", "a", piece(b"new ", 1), status=201)
    assert unfinished(ada) == before + 1
    await contents("PUT", "a", piece(b"one", -1), status=201)
    assert (drive / "a").read_text() == "new one"
    assert unfinished(ada) == before


@pytest.mark.parametrize("numbers", [[2], [-1], [1, 3], [1, 2, 2], [1, -1, -1], [1, 0]])
async def test_pieces_come_in_their_order(contents, drive: Path, numbers: list[int]) -> None:
    *before, last = numbers
    for number in before:
        await contents("PUT", "a", piece(b"x", number), status=201)
    was = (drive / "a").exists()
    error = await contents("PUT", "a", piece(b"x", last), status=409)
    assert "again" in error["message"]
    assert (drive / "a").exists() == was


@pytest.mark.parametrize("model", [{"type": "notebook", "content": {}}, {"type": "file", "chunk": "1"}])
async def test_only_files_come_in_pieces(contents, drive: Path, model: dict) -> None:
    await contents("PUT", "a.ipynb", piece(b"x", 1) | model, status=400)


async def test_two_files_at_once(contents, drive: Path) -> None:
    for number, last in ((1, False), (2, False), (-1, True)):
        for name in ("a", "b"):
            await contents("PUT", name, piece(f"{name}{number} ".encode(), number), status=201)
            assert (drive / name).exists() == last
    assert (drive / "a").read_text() == "a1 a2 a-1 "
    assert (drive / "b").read_text() == "b1 b2 b-1 "


async def test_hidden_names(contents, ada: Client, drive: Path) -> None:
    before = unfinished(ada)
    await contents("PUT", ".a", piece(b"x", 1), status=400)
    assert unfinished(ada) == before
