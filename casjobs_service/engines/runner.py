"""The process in which one remote statement runs: ``python -m casjobs_service.engines.runner``.

It gets its task as a line of JSON on standard input, with the password, and open files by number; nothing of it is in
its arguments or its environment. It answers with lines of JSON. When standard input ends, the service has cancelled
the statement, or is gone: then the server is asked to end it, and the process ends.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from casjobs_service.engines import connect
from casjobs_service.engines.base import Engine, Login
from casjobs_service.engines.decimals import Decimals
from casjobs_service.errors import Kind, QueryError
from casjobs_service.parameters import Parameter, one

CANCEL_SECONDS = 0.4
"""How long the server may take to confirm that it has ended the statement."""

_NOBODY = 65534


class _Watch:
    """Ends the statement, and the process, when standard input does."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        while os.read(0, 4096):
            pass
        threading.Thread(target=self._cancel, daemon=True).start()
        time.sleep(CANCEL_SECONDS)
        os._exit(1)

    def _cancel(self) -> None:
        if self.engine is not None:
            self.engine.cancel()


def main() -> None:
    """Do one task."""
    task = json.loads(sys.stdin.buffer.readline())
    memory = max(task["memory"], 1 << 30)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    watch = _Watch()
    try:
        answer = _answer(task, watch)
    except QueryError as error:
        answer = {
            "error": error.to_json(),
            "detail": str(error.__cause__ or "").replace(task["password"] or "\0", "***"),
        }
    except (MemoryError, pa.ArrowMemoryError):
        answer = {"error": QueryError("The rows need more memory than a query may use.", Kind.LIMIT).to_json()}
    _say(answer)
    # Whatever the driver's threads and destructors would still wait for.
    os._exit(0)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _answer(task: dict[str, Any], watch: _Watch) -> dict[str, Any]:
    engine = connect(task["engine"], Login(task["url"], task["password"]), task["seconds"])
    watch.engine = engine
    _say({"connected": True})
    if task["do"] == "catalog":
        return {"catalog": engine.catalog(task["database"]).to_json()}
    if task["do"] == "explain":
        return {"explanation": asdict(engine.explain(task["sql"], _parameters(task)))}
    if task["uploads"]:
        # These files come from the user's sandbox. Reading them needs no rights, and a fault in it shall give none.
        _drop_privileges()
        for name, descriptor in task["uploads"]:
            _upload(engine, name, descriptor)
    return _save(engine.run(task["sql"], _parameters(task)), task)


def _parameters(task: dict[str, Any]) -> list[Parameter]:
    return [one(name, value) for name, value in task["parameters"]]


def _drop_privileges() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def _upload(engine: Engine, name: str, descriptor: int) -> None:
    with os.fdopen(descriptor, "rb") as file, pa.ipc.open_stream(file) as reader:

        def checked() -> Iterator[pa.RecordBatch]:
            for batch in reader:
                batch.validate(full=True)
                yield batch

        try:
            engine.upload(name, pa.RecordBatchReader.from_batches(reader.schema, checked()))
        except pa.ArrowInvalid as error:
            raise QueryError(f"The table {name} cannot be sent to the database of this context.") from error


class _Output:
    """Batches as an Arrow IPC stream into an open file, within the limits of a result."""

    def __init__(self, descriptor: int, schema: pa.Schema, task: dict[str, Any]) -> None:
        self._file = os.fdopen(descriptor, "wb", closefd=False)
        self._writer = pa.ipc.new_stream(self._file, schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))
        self._most_bytes, self._most_rows = task["result"], task["rows"]
        self.rows = self.bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        self.bytes += batch.nbytes
        if self._most_rows and self.rows > self._most_rows:
            raise QueryError(
                f"The result has more than {self._most_rows} rows.", Kind.LIMIT, hint="Ask for less, or use TOP."
            )
        if self.bytes > self._most_bytes:
            raise QueryError(
                f"The result is larger than {self._most_bytes / 1e6:g} MB.",
                Kind.LIMIT,
                hint="Select fewer columns or rows, or use SELECT … INTO MyDB in parts.",
            )
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()
        self._file.close()


def _save(reader: pa.RecordBatchReader, task: dict[str, Any]) -> dict[str, Any]:
    decimals = Decimals(reader.schema)
    output = _Output(task["scratch"] if decimals else task["target"], reader.schema, task)
    most = task["most"]
    for batch in reader:
        part = batch.slice(0, most - output.rows) if most else batch
        if part.num_rows:
            decimals.look(part)
            output.write(part)
        if most and output.rows >= most:
            # What else the engine would send is ended with this process.
            break
    output.close()
    if decimals:
        schema = decimals.schema()
        os.lseek(task["scratch"], 0, os.SEEK_SET)
        with os.fdopen(task["scratch"], "rb") as file, pa.ipc.open_stream(file) as again:
            output = _Output(task["target"], schema, task)
            for batch in again:
                output.write(decimals.cast(batch, schema))
            output.close()
    return {"rows": output.rows, "bytes": output.bytes}


if __name__ == "__main__":
    main()
