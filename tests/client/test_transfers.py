"""Files that break off on their way, and names that lead elsewhere."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
from SciServer.core import SciServerError, TransferError

from tests.client.recorder import Recorder, Reply, of_json
from tests.client.support import got


def ranged(content: bytes, sizes: list[int], tags: list[str]) -> Any:
    """Answers with a file, of which so many bytes come each time."""

    def answer(asked: Any) -> Reply:
        if "/metadata/" in asked.path:
            return of_json({"path": "/x.bin", "is_dir": False, "bytes": len(content)})
        size = sizes.pop(0)
        tag = tags.pop(0) if len(tags) > 1 else tags[0]
        found = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("Range", ""))
        start = int(found.group(1)) if found and asked.headers.get("If-Range") == tag else 0
        part = content[start:]
        return Reply(206 if start else 200, part[:size], {"ETag": tag}, promised=len(part))

    return answer


async def test_a_download_goes_on_where_it_broke_off(client: Any, recorder: Recorder, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40
    recorder.default = ranged(content, [100, 300, 10**9], ['"one"'])
    seen: list[Any] = []
    await got(client.scidrive.get("x.bin", tmp_path / "y.bin", progress=seen.append))
    assert (tmp_path / "y.bin").read_bytes() == content
    assert [asked.headers.get("Range") for asked in recorder.asked[1:]] == [None, "bytes=100-", "bytes=400-"]
    assert seen[-1].bytes == seen[-1].total_bytes == len(content)


async def test_a_file_that_changes_meanwhile_is_fetched_anew(client: Any, recorder: Recorder, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40
    recorder.default = ranged(content, [100, 10**9], ['"one"', '"two"'])
    await got(client.scidrive.get("x.bin", tmp_path / "y.bin"))
    assert (tmp_path / "y.bin").read_bytes() == content


@pytest.mark.parametrize("before", [None, b"what was there"])
async def test_a_torn_download_leaves_nothing(
    client: Any, recorder: Recorder, tmp_path: Path, before: bytes | None
) -> None:
    target = tmp_path / "y.bin"
    if before:
        target.write_bytes(before)
    recorder.default = ranged(b"x" * 1000, [10] * 20, ['"one"'])
    with pytest.raises(TransferError, match="broke off"):
        await got(client.scidrive.get("x.bin", target))
    assert [path.name for path in tmp_path.iterdir()] == (["y.bin"] if before else [])
    assert not before or target.read_bytes() == before


@pytest.mark.parametrize("kind", ["files", "scidrive"])
@pytest.mark.parametrize("name", ["..", "../evil", "/etc/evil", "a/b", ".", "nul\0"])
async def test_names_that_lead_elsewhere(
    client: Any, recorder: Recorder, tmp_path: Path, name: str, kind: str
) -> None:
    """A service cannot write beside the folder that was named."""

    def answer(asked: Any) -> Reply:
        if asked.method == "HEAD":
            return Reply(409)
        if "/archive/" in asked.path:
            return Reply(404)
        if asked.path.endswith("/account/info"):
            return of_json({"uid": "ada"})
        if "fileservices" in asked.path:
            return of_json([{"apiEndpoint": recorder.url + "/"}])
        entry = {"name": name, "path": f"/folder/{name}", "is_dir": False, "bytes": 1, "size": 1}
        root = {"name": "folder", "files": [entry]}
        return of_json({"path": "/folder", "is_dir": True, "contents": [entry], "root": root})

    recorder.default = answer
    with contextlib.suppress(SciServerError):
        await got(getattr(client, kind).get("folder", tmp_path / "inside", recursive=True))
    assert recorder.asked
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert all(path.is_file() for path in (tmp_path / "inside").iterdir())
