"""The drive in the file browser: files and folders, by Jupyter's contents interface."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest

MEBIBYTE = 1024 * 1024

NAMES = ["plain.txt", "with space.txt", "ünï¢ode ☃.txt", "100%.txt", "a#b?c&d=e+f;g.txt", "it's [1] {2}.txt", "a\\b"]


def text(content: str) -> dict[str, str]:
    return {"type": "file", "format": "text", "content": content}


def notebook(*cells: str) -> dict:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    return {"type": "notebook", "format": "json", "content": book}


async def names(contents, path: str = "") -> dict[str, str]:
    listed = await contents("GET", path)
    return {entry["name"]: entry["type"] for entry in listed["content"]}


async def test_the_root_is_an_empty_folder(contents, drive: Path) -> None:
    model = await contents("GET")
    assert (model["name"], model["path"], model["type"], model["format"]) == ("", "", "directory", "json")
    assert model["content"] == []
    assert model["writable"] is True


@pytest.mark.parametrize("name", NAMES)
async def test_files_are_saved_and_opened(contents, drive: Path, name: str) -> None:
    saved = await contents("PUT", quote(name), text("größer\n"), status=201)
    assert (saved["name"], saved["path"], saved["type"]) == (name, name, "file")
    assert saved["content"] is None
    assert (drive / name).read_text() == "größer\n"
    opened = await contents("GET", quote(name))
    assert (opened["content"], opened["format"], opened["size"]) == ("größer\n", "text", 9)
    assert opened["last_modified"] == saved["last_modified"]
    assert await names(contents) == {name: "file"}
    assert (await contents("PUT", quote(name), text("")))["size"] == 0


async def test_what_containers_write_is_listed(contents, drive: Path) -> None:
    (drive / "folder" / "deep").mkdir(parents=True)
    (drive / "folder" / "deep" / "stars.csv").write_text("a,b\n")
    (drive / "analysis.ipynb").write_text("{}")
    (drive / os.fsdecode(b"no-unicode-\xff")).write_text("")
    assert await names(contents) == {"folder": "directory", "analysis.ipynb": "notebook"}
    listed = (await contents("GET", "folder"))["content"]
    assert [(entry["path"], entry["content"]) for entry in listed] == [("folder/deep", None)]
    stars = await contents("GET", "folder/deep/stars.csv")
    assert (stars["mimetype"], stars["content"]) == ("text/csv", "a,b\n")


async def test_bytes(contents, drive: Path) -> None:
    data = bytes(range(256))
    model = {"type": "file", "format": "base64", "content": base64.b64encode(data).decode()}
    await contents("PUT", "data.bin", model, status=201)
    assert (drive / "data.bin").read_bytes() == data
    opened = await contents("GET", "data.bin")
    assert (opened["format"], base64.b64decode(opened["content"])) == ("base64", data)
    assert opened["mimetype"] == "application/octet-stream"
    error = await contents("GET", "data.bin?format=text", status=400)
    assert "not UTF-8" in error["message"]
    (drive / "text.txt").write_text("text")
    assert (await contents("GET", "text.txt?format=base64"))["content"] == base64.b64encode(b"text").decode()


async def test_notebooks(contents, drive: Path) -> None:
    saved = await contents("PUT", "a.ipynb", notebook("1 + 1"), status=201)
    assert (saved["type"], saved["content"]) == ("notebook", None)
    assert nbformat.read(drive / "a.ipynb", as_version=4).cells[0].source == "1 + 1"
    opened = await contents("GET", "a.ipynb")
    assert (opened["format"], opened["content"]["cells"][0]["source"]) == ("json", "1 + 1")
    # Saved here, and so its outputs may be shown.
    assert opened["content"]["cells"][0]["metadata"]["trusted"] is True
    assert (await contents("GET", "a.ipynb?type=file"))["content"].startswith("{")


async def test_a_notebook_of_somebody_else_is_not_trusted(contents, drive: Path) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    html = nbformat.v4.new_output("display_data", {"text/html": "<script>alert(1)</script>"})
    book.cells[0].outputs = [html]
    nbformat.write(book, drive / "a.ipynb")
    opened = await contents("GET", "a.ipynb")
    assert opened["content"]["cells"][0]["metadata"]["trusted"] is False


@pytest.mark.parametrize("content", ["", "[]", "{", "no notebook"])
async def test_what_is_no_notebook(contents, drive: Path, content: str) -> None:
    (drive / "a.ipynb").write_text(content)
    error = await contents("GET", "a.ipynb", status=400)
    assert "is not a notebook" in error["message"]


@pytest.mark.parametrize("content", ["text", [], 1, None, {}, {"cells": 1}, {"cells": [1]}, {"cells": [{}]}])
async def test_what_is_no_notebook_is_not_saved(contents, drive: Path, content: object) -> None:
    await contents("PUT", "a.ipynb", {"type": "notebook", "format": "json", "content": content}, status=400)
    assert not (drive / "a.ipynb").exists()


async def test_an_invalid_notebook_is_saved_with_a_warning(contents, drive: Path) -> None:
    model = notebook("1")
    model["content"]["cells"][0]["cell_type"] = "unknown"
    saved = await contents("PUT", "a.ipynb", model, status=201)
    assert "validation failed" in saved["message"]
    assert (drive / "a.ipynb").exists()


@pytest.mark.parametrize(
    ("model", "kind", "name"),
    [
        (None, "file", "untitled"),
        ({"type": "file", "ext": ".py"}, "file", "untitled.py"),
        ({"type": "notebook"}, "notebook", "Untitled.ipynb"),
        ({"type": "directory"}, "directory", "Untitled Folder"),
    ],
)
async def test_new_ones_get_names(contents, drive: Path, model, kind: str, name: str) -> None:
    (drive / "folder").mkdir()
    made = [await contents("POST", "folder", model, status=201) for _ in range(3)]
    assert [(entry["type"], entry["path"].rpartition("/")[0]) for entry in made] == [(kind, "folder")] * 3
    assert made[0]["name"] == name
    assert len({entry["name"] for entry in made}) == 3
    assert set(await names(contents, "folder")) == {entry["name"] for entry in made}


async def test_folders_are_made_once(contents, drive: Path) -> None:
    await contents("PUT", "a/b", {"type": "directory"}, status=201)
    assert (drive / "a" / "b").is_dir()
    (drive / "a" / "b" / "kept").write_text("x")
    await contents("PUT", "a/b", {"type": "directory"}, status=201)
    assert (drive / "a" / "b" / "kept").exists()
    (drive / "file").write_text("x")
    await contents("PUT", "file", {"type": "directory"}, status=409)
    assert (drive / "file").read_text() == "x"


async def test_renaming_and_moving(contents, drive: Path) -> None:
    (drive / "folder").mkdir()
    (drive / "a b.txt").write_text("a")
    (drive / "other").write_text("other")
    moved = await contents("PATCH", "a%20b.txt", {"path": "folder/c d.txt"})
    assert (moved["path"], moved["name"]) == ("folder/c d.txt", "c d.txt")
    assert (drive / "folder" / "c d.txt").read_text() == "a"
    error = await contents("PATCH", "folder/c%20d.txt", {"path": "other"}, status=409)
    assert error["message"]
    assert (drive / "other").read_text() == "other"
    await contents("PATCH", "nothing", {"path": "x"}, status=404)
    await contents("PATCH", "folder", {"path": "renamed"})
    assert (drive / "renamed" / "c d.txt").exists()


async def test_copies(contents, drive: Path) -> None:
    (drive / "folder").mkdir()
    (drive / "folder" / "a.tar.gz").write_text("a")
    copied = [await contents("POST", "", {"copy_from": "folder/a.tar.gz"}, status=201) for _ in range(2)]
    assert [entry["path"] for entry in copied] == ["a.tar.gz", "a-Copy1.tar.gz"]
    again = await contents("POST", "folder", {"copy_from": "folder/a.tar.gz"}, status=201)
    assert again["path"] == "folder/a-Copy1.tar.gz"
    whole = await contents("POST", "", {"copy_from": "folder"}, status=201)
    assert (whole["path"], whole["type"]) == ("folder-Copy1", "directory")
    assert (drive / "folder-Copy1" / "a.tar.gz").read_text() == "a"


async def test_deleting(contents, drive: Path) -> None:
    (drive / "folder" / "deep").mkdir(parents=True)
    (drive / "folder" / "deep" / "a").write_text("a")
    await contents("DELETE", "folder/deep/a", status=204)
    assert not (drive / "folder" / "deep" / "a").exists()
    (drive / "folder" / "deep" / "b").write_text("b")
    await contents("DELETE", "folder", status=204)
    assert not (drive / "folder").exists()
    await contents("DELETE", "folder", status=404)
    await contents("DELETE", "", status=400)


async def test_another_programs_change_is_seen(contents, drive: Path) -> None:
    """What JupyterLab compares before it saves: time and hash."""
    saved = await contents("PUT", "a.txt", text("mine"), status=201)
    look = "a.txt?content=0&hash=1"
    before = await contents("GET", look)
    assert before["last_modified"] == saved["last_modified"]
    assert (before["hash"], before["hash_algorithm"]) == (hashlib.sha256(b"mine").hexdigest(), "sha256")
    assert before["hash"] == saved["hash"]
    assert (await contents("GET", "a.txt?content=1&hash=1"))["hash"] == saved["hash"]
    (drive / "a.txt").write_text("somebody else's")
    after = await contents("GET", look)
    assert after["hash"] not in (None, before["hash"])
    assert after["last_modified"] > before["last_modified"]


async def test_times_are_to_the_microsecond(contents, drive: Path) -> None:
    """Half a second is a long time between two programs that save."""
    path = drive / "a.txt"
    path.write_text("a")
    os.utime(path, ns=(1_700_000_000_123_456_000, 1_700_000_000_123_456_000))
    assert (await contents("GET", "a.txt"))["last_modified"] == "2023-11-14T22:13:20.123456Z"


async def test_hidden_files(contents, drive: Path) -> None:
    (drive / ".secret").write_text("x")
    (drive / ".folder").mkdir()
    (drive / ".folder" / "a").write_text("a")
    (drive / "__pycache__").mkdir()
    (drive / "seen").write_text("x")
    assert await names(contents) == {"seen": "file"}
    for path in (".secret", ".folder", ".folder/a"):
        await contents("GET", path, status=404)
        await contents("DELETE", path, status=400)
        await contents("PATCH", path, {"path": "x"}, status=400)
        await contents("POST", "", {"copy_from": path}, status=400)
    await contents("PUT", ".new", text(""), status=400)
    await contents("PUT", ".new", {"type": "directory"}, status=400)
    await contents("PATCH", "seen", {"path": ".seen"}, status=400)
    assert (drive / ".folder" / "a").exists()


class TestWithHiddenFiles:
    @pytest.fixture
    def options(self) -> dict:
        return {"ContentsManager": {"allow_hidden": True}}

    async def test_they_are_shown_if_so_configured(self, contents, drive: Path) -> None:
        (drive / ".bashrc").write_text("x")
        assert await names(contents) == {".bashrc": "file"}
        assert (await contents("GET", ".bashrc"))["content"] == "x"


async def test_wrong_requests(contents, drive: Path) -> None:
    (drive / "folder").mkdir()
    (drive / "file").write_text("x")
    assert "nothing' does not exist" in (await contents("GET", "nothing", status=404))["message"]
    assert "folder" in (await contents("GET", "folder?type=file", status=400))["message"]
    assert "file" in (await contents("GET", "file?type=directory", status=400))["message"]
    await contents("GET", "file?format=xml", status=400)
    await contents("GET", "file/below", status=404)
    await contents("PUT", "new", {"format": "text", "content": "x"}, status=201)
    await contents("PUT", "new", {"type": "file", "format": "text"}, status=400)
    await contents("PUT", "new", {"type": "file", "content": "x"}, status=400)
    await contents("PUT", "new", {"type": "file", "format": "base64", "content": "no base64"}, status=400)
    await contents("PUT", "new", {"type": "file", "format": "base64", "content": "ü"}, status=400)
    await contents("PUT", "file/below", text("x"), status=409)
    await contents("PUT", "folder", text("x"), status=409)
    await contents("POST", "file", {}, status=400)
    await contents("PUT", "%2e%2e/x", text("x"), status=400)
    await contents("GET", "a%00b", status=400)


@pytest.mark.parametrize("name", ["x" * 300, "..", ".~sciserver-x"])
async def test_names_that_cannot_be(contents, drive: Path, name: str) -> None:
    (drive / "file").write_text("x")
    for method, model in (("PUT", text("x")), ("PATCH", {"path": name})):
        answer = await contents(method, name if method == "PUT" else "file", model, status=400)
        assert answer["message"]


async def test_a_full_drive_says_so(contents, drive: Path, platform, token_path: Path) -> None:
    """The text is the service's."""
    token_path.write_text(platform.token("ada-l", "custom:sciserver:files:read"))
    error = await contents("PUT", "a", text("x"), status=403)
    assert "custom:sciserver:files:write" in error["message"]


class TestLargeFiles:
    @pytest.fixture
    def options(self) -> dict:
        return {"SciDriveContents": {"open_limit": MEBIBYTE}}

    async def test_too_large_files_are_not_opened(self, contents, drive: Path) -> None:
        (drive / "large").write_bytes(bytes(MEBIBYTE + 1))
        error = await contents("GET", "large", status=413)
        assert "download" in error["message"]
        assert (await contents("GET", "large?content=0"))["size"] == MEBIBYTE + 1
        (drive / "large").write_bytes(b"x" * MEBIBYTE)
        assert len((await contents("GET", "large"))["content"]) == MEBIBYTE


async def test_checkpoints(contents, drive: Path) -> None:
    await contents("PUT", "folder", {"type": "directory"}, status=201)
    await contents("PUT", "folder/a.ipynb", notebook("first"), status=201)
    assert await contents("GET", "folder/a.ipynb/checkpoints") == []
    made = await contents("POST", "folder/a.ipynb/checkpoints", status=201)
    assert await contents("GET", "folder/a.ipynb/checkpoints") == [made]
    # Where Jupyter has them on disk too.
    assert (drive / "folder" / ".ipynb_checkpoints" / "a-checkpoint.ipynb").exists()
    await contents("PUT", "folder/a.ipynb", notebook("second"))
    await contents("POST", f"folder/a.ipynb/checkpoints/{made['id']}", status=204)
    assert (await contents("GET", "folder/a.ipynb"))["content"]["cells"][0]["source"] == "first"
    again = await contents("POST", "folder/a.ipynb/checkpoints", status=201)
    assert again["last_modified"] >= made["last_modified"]
    await contents("PATCH", "folder/a.ipynb", {"path": "b.ipynb"})
    assert len(await contents("GET", "b.ipynb/checkpoints")) == 1
    assert await contents("GET", "folder/a.ipynb/checkpoints") == []
    await contents("DELETE", "b.ipynb/checkpoints/checkpoint", status=204)
    assert await contents("GET", "b.ipynb/checkpoints") == []
    await contents("POST", "b.ipynb/checkpoints/other", status=404)
    await contents("DELETE", "b.ipynb/checkpoints/checkpoint", status=404)
    await contents("POST", "b.ipynb/checkpoints", status=201)
    await contents("DELETE", "b.ipynb", status=204)
    assert not (drive / ".ipynb_checkpoints" / "b-checkpoint.ipynb").exists()


async def test_addresses_in_answers_are_the_drives(call, drive: Path) -> None:
    base = "sciserver/scidrive/contents"
    answer = await call("PUT", f"{base}/a%20b.txt", body=json.dumps(text("x")).encode())
    assert answer.headers["Location"] == f"/a%40b/{base}/a%20b.txt"
    answer = await call("POST", f"{base}/a%20b.txt/checkpoints", body=b"")
    assert answer.headers["Location"] == f"/a%40b/{base}/a%20b.txt/checkpoints/checkpoint"


async def test_nobody_listens_to_the_drives_paths(contents, drive: Path, jp_serverapp) -> None:
    """Who keeps account of the server's own files would take them for those."""
    told = []

    async def listener(logger, schema_id: str, data: dict) -> None:
        told.append(data)

    jp_serverapp.event_logger.add_listener(
        schema_id="https://events.jupyter.org/jupyter_server/contents_service/v1", listener=listener
    )
    await contents("PUT", "a.txt", text("x"), status=201)
    await contents("GET", "a.txt")
    await contents("DELETE", "a.txt", status=204)
    assert told == []
