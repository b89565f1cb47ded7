"""SQL queries and tables, with the functions of SciScript-Python 2.2 (contract §3), and as older notebooks call them.

Notebooks from before 2.0 give each call the token: ``executeQuery(sql, "Stripe82", token=token)``. All functions here
take it, and use it. In `executeQuery` it also decides what comes back: **with** ``token=`` a readable CSV stream, as
then, **without** a DataFrame, as in 2.2. A ``format`` that is given wins over both.
"""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from SciServer import Authentication, Config, _legacy
from SciServer.core import JobStatus, NotSignedInError
from SciServer.core.policy import SIGN_IN

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_ACCEPT: Final = {
    "pandas": "application/json+array",
    "json": "application/json+array",
    "dict": "application/json+array",
    "csv": "text/plain",
    "readable": "text/plain",
    "StringIO": "text/plain",
    "fits": "application/fits",
    "BytesIO": "application/fits",
}
"""``Accept`` by format."""

_EXACT = 2**53
"""Up to here a double holds every integer."""


class _Default(str):
    """A default that can be told from the same text when it is given."""

    __slots__ = ()


_PANDAS: Final = _Default("pandas")
_NO_TOKEN: Final = _Default("")


def getSchemaName(token: str | None = None) -> str:
    """Name of your schema in MyScratch, such as ``wsid_7``."""
    known = token or Authentication.getToken()
    if not known:
        raise NotSignedInError(f"User token is not defined: nobody is signed in. {SIGN_IN}")
    user = Authentication.getKeystoneUserWithToken(known)
    url = f"{_base()}/users/{_legacy.spelled(user.id)}"
    found = _legacy.call("GET", url, "CasJobs.getSchemaName", token=token).json()
    return f"wsid_{found['WebServicesId']}"


def getTables(context: str = "MyDB", token: str | None = None) -> list[dict[str, Any]]:
    """The tables of a database: ``Name``, ``Rows``, ``Size`` in kB, ``Date`` in .NET ticks."""
    found: list[dict[str, Any]] = _legacy.call(
        "GET", f"{_base(context)}/Tables", "CasJobs.getTables", token=token
    ).json()
    return found


def executeQuery(sql: str, context: str = "MyDB", format: str = _PANDAS, token: str | None = _NO_TOKEN) -> Any:
    """Run a quick query.

    Parameters
    ----------
    format
        ``pandas``: a DataFrame, or a list of them if the query has several results. ``json``: text. ``dict``: the same
        as Python objects. ``csv``: text. ``readable`` or ``StringIO``: CSV to read from. ``fits`` or ``BytesIO``: FITS
        to read from. A media type, which was the third parameter before 2.0, counts as ``readable``.
    token
        As before 2.0; with it, and without `format`, the result is ``readable``. Without any token the query is sent
        all the same, for services that answer anybody.

    Raises
    ------
    ValueError
        There is no such format; nothing was sent.
    QueryError
        The query cannot be run, or has failed.
    """
    return _execute(sql, context, _chosen(format, token is not _NO_TOKEN), token, "CasJobs.executeQuery")


def submitJob(sql: str, context: str = "MyDB", token: str | None = None) -> int:
    """Send a query to the long queue; the number of the job."""
    name = "CasJobs.submitJob"
    answer = _legacy.call(
        "PUT",
        f"{_base(context)}/jobs",
        name,
        token=token,
        body=_body(sql, name),
        headers={"Content-Type": "application/json", "Accept": "text/plain"},
    )
    return int(answer.text)


def getJobStatus(jobId: int | str, token: str | None = None) -> Any:
    """A job's record: ``JobID``, ``Status`` and more; for ``""`` a list of all your jobs.

    ``Status`` is 0 ready, 1 started, 2 being cancelled, 3 cancelled, 4 failed, 5 finished.
    """
    return _legacy.call("GET", f"{_base()}/jobs/{jobId}", "CasJobs.getJobStatus", token=token).json()


def cancelJob(jobId: int | str, token: str | None = None) -> bool:
    """Cancel a job; True."""
    _legacy.call("DELETE", f"{_base()}/jobs/{jobId}", "CasJobs.cancelJob", token=token, repeatable=True)
    return True


def waitForJob(jobId: int | str, verbose: bool = False, pollTime: float = 5, token: str | None = None) -> Any:
    """Wait until a job has ended, in whatever way; its record.

    Parameters
    ----------
    verbose
        Print that it is waited for.
    pollTime
        Seconds between two questions, 5 at least.
    """
    if verbose:
        print(f"Waiting for job {jobId} ...")
    while True:
        found = getJobStatus(jobId, token=token)
        if JobStatus(int(found["Status"])).ended:
            break
        time.sleep(max(5.0, pollTime))
    if verbose:
        print("Done!")
    return found


def writeFitsFileFromQuery(fileName: str, queryString: str, context: str = "MyDB", token: str | None = None) -> bool:
    """Run a quick query and store its result as a FITS file; True."""
    content = _execute(queryString, context, "fits", token, "CasJobs.writeFitsFileFromQuery")
    Path(fileName).write_bytes(content.getvalue())
    return True


def getPandasDataFrameFromQuery(queryString: str, context: str = "MyDB", token: str | None = None) -> pd.DataFrame:
    """Run a quick query; a DataFrame, made of CSV."""
    import pandas as pd

    text = _execute(queryString, context, "readable", token, "CasJobs.getPandasDataFrameFromQuery")
    return pd.read_csv(text)


def getNumpyArrayFromQuery(
    queryString: str, context: str = "MyDB", token: str | None = None
) -> np.ndarray[Any, np.dtype[Any]]:
    """Run a quick query; an array of numpy, without the columns' names."""
    import pandas as pd

    text = _execute(queryString, context, "readable", token, "CasJobs.getNumpyArrayFromQuery")
    array: np.ndarray[Any, np.dtype[Any]] = pd.read_csv(text).to_numpy()
    return array


def uploadPandasDataFrameToTable(
    dataFrame: pd.DataFrame, tableName: str, context: str = "MyDB", token: str | None = None
) -> bool:
    """Make a table of a DataFrame, or add to one; True. An index becomes a column if it has a name."""
    text = dataFrame.to_csv(index=dataFrame.index.name is not None)
    return _upload(text, tableName, context, token, "CasJobs.uploadPandasDataFrameToTable")


def uploadCSVDataToTable(
    csvData: str | bytes, tableName: str, context: str = "MyDB", token: str | None = None
) -> bool:
    """Make a table of CSV with a header line, or add to one; True."""
    return _upload(csvData, tableName, context, token, "CasJobs.uploadCSVDataToTable")


uploadCVSDataToTable = uploadCSVDataToTable
"""As notebooks from before 2.0 spell it."""


def _base(context: str | None = None) -> str:
    base = Config.CasJobsRESTUri.rstrip("/")
    return base if context is None else f"{base}/contexts/{_legacy.spelled(context)}"


def _body(sql: str, name: str) -> bytes:
    return json.dumps({"Query": sql, "TaskName": _legacy.task(name)}).encode()


def _chosen(format: str, is_old_call: bool) -> str:
    if format is _PANDAS:
        return "readable" if is_old_call else "pandas"
    if "/" in format:
        return "readable"
    if format not in _ACCEPT:
        raise ValueError(f"There is no format {format!r}: use {', '.join(_ACCEPT)}.")
    return format


def _execute(sql: str, context: str, format: str, token: str | None, name: str) -> Any:
    answer = _legacy.call(
        "POST",
        f"{_base(context)}/query",
        name,
        token=token,
        auth="if known",
        body=_body(sql, name),
        headers={"Content-Type": "application/json", "Accept": _ACCEPT[format]},
    )
    if format in {"readable", "StringIO"}:
        return io.StringIO(answer.text)
    if format in {"fits", "BytesIO"}:
        return io.BytesIO(answer.body)
    if format in {"csv", "json"}:
        return answer.text
    found = answer.json()
    if format == "dict":
        return found
    frames = [_frame(result["Columns"], result["Data"]) for result in found["Result"]]
    return frames if len(frames) > 1 else frames[0]


def _frame(columns: list[str], rows: list[list[Any]]) -> pd.DataFrame:
    """A DataFrame. Integers beside missing values become floats, as in 2.2, but not those that a float cannot hold."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=columns)
    for position, kind in enumerate(frame.dtypes):
        if kind != "float64" or not frame.iloc[:, position].abs().max() >= _EXACT:
            continue
        values = [row[position] for row in rows]
        if all(value is None or isinstance(value, int) for value in values):
            frame.isetitem(position, pd.array(values, dtype="Int64"))
    return frame


def _upload(data: str | bytes, table: str, context: str, token: str | None, name: str) -> bool:
    # No Content-Type: CSV is what it means then (contract §3).
    url = f"{_base(context)}/Tables/{_legacy.spelled(table)}"
    _legacy.call("POST", url, name, token=token, body=data.encode() if isinstance(data, str) else data)
    return True
