"""Tables on their way to the service: which format something is sent in, and its pieces."""

from __future__ import annotations

import io
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SciServer.core.errors import SciServerError
from SciServer.core.models import Progress
from SciServer.core.rows import Report

if TYPE_CHECKING:
    import pyarrow as pa

PIECE = 1024 * 1024
ARROW = "application/vnd.apache.arrow.stream"

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".fits": "application/fits",
    ".fit": "application/fits",
    ".fts": "application/fits",
    ".vot": "application/x-votable+xml",
    ".votable": "application/x-votable+xml",
    ".xml": "application/x-votable+xml",
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file",
    ".feather": "application/vnd.apache.arrow.file",
    ".arrows": ARROW,
}
"""Of files, by the end of their names."""


@dataclass(frozen=True)
class Body:
    """Something to send.

    Attributes
    ----------
    pieces
        Gives them anew with each call.
    length
        Bytes; None if it is known only at the end.
    """

    pieces: Callable[[], Iterator[bytes]]
    length: int | None
    media_type: str = ""

    def counted(self, progress: Report | None, message: str = "") -> Callable[[], Iterator[bytes]]:
        """The pieces, and a word about each."""
        if progress is None:
            return self.pieces

        def pieces() -> Iterator[bytes]:
            started, sent = time.monotonic(), 0
            for piece in self.pieces():
                yield piece
                sent += len(piece)
                seconds = time.monotonic() - started
                progress(Progress("sending", seconds, bytes=sent, total_bytes=self.length, message=message))

        return pieces


def of_file(path: Path, media_type: str = "") -> Body:
    """A file, read in pieces. What is added while it is sent is not sent.

    Raises
    ------
    OSError
        It is not there.
    SciServerError
        It is neither a file nor a folder, or becomes shorter while it is sent.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise SciServerError(f"{path} is no file that could be sent.")

    def pieces() -> Iterator[bytes]:
        left = state.st_size
        with path.open("rb") as file:
            while left and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece
        if left:
            raise SciServerError(f"{path} became shorter while it was sent: send it again.")

    return Body(pieces, state.st_size, media_type)


def of_table(data: Any) -> Body:
    """A table: a DataFrame of pandas or polars, an Arrow table, an astropy table, or a file that holds one.

    Raises
    ------
    SciServerError
        It is nothing that can become a table.
    """
    if isinstance(data, str | Path):
        path = Path(data)
        media_type = MEDIA_TYPES.get(path.suffix.lower())
        if media_type is None:
            raise SciServerError(
                f"What is in {path.name}? Names of files to upload end with {', '.join(MEDIA_TYPES)}."
            )
        return of_file(path, media_type)
    module = type(data).__module__.partition(".")[0]
    if module == "astropy" and hasattr(data, "colnames"):
        content = _votable(data)
        return Body(lambda: iter([content]), len(content), MEDIA_TYPES[".votable"])
    table = _arrow(data, module)
    return Body(lambda: _stream(table), None, ARROW)


def _arrow(data: Any, module: str) -> pa.Table:
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    try:
        if module == "pandas" and hasattr(data, "columns"):
            # An index without a name is only a count; with one it is a column, as in contract §3.
            return pa.Table.from_pandas(
                data.reset_index() if data.index.name is not None else data, preserve_index=False
            )
        if module == "polars" and hasattr(data, "to_arrow") and hasattr(data, "columns"):
            return data.to_arrow()
    except (pa.ArrowException, TypeError) as error:
        raise SciServerError(f"A column cannot be sent: {error}") from None
    raise SciServerError(
        f"A {type(data).__name__} cannot become a table: give a DataFrame, an Arrow or astropy table, or a path."
    )


def _votable(data: Any) -> bytes:
    target = io.BytesIO()
    data.write(target, format="votable", tabledata_format="binary2")
    return target.getvalue()


def _stream(table: pa.Table) -> Iterator[bytes]:
    import pyarrow as pa

    target = io.BytesIO()

    def fetch() -> bytes:
        piece = target.getvalue()
        target.seek(0)
        target.truncate()
        return piece

    with pa.ipc.new_stream(target, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=65_536):
            writer.write_batch(batch)
            yield fetch()
    yield fetch()
