"""Contexts on files that stay where they are, and the operator's command."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from casjobs_service import adopt
from casjobs_service.catalog import Catalog, Sky
from casjobs_service.contexts import ContextError, Contexts
from casjobs_service.load import ZONE_HEIGHT, load_table
from sciserver_cli.contexts import add_parser
from sciserver_cli.errors import OperatorError
from sciserver_common.deployment import Deployment
from tests.casjobs.engines_support import PASSWORD, shared_server


@pytest.fixture
def contexts(tmp_path: Path) -> Contexts:
    return Contexts(tmp_path / "casjobs/contexts")


def _catalog(contexts: Contexts, name: str) -> Catalog:
    catalog = contexts.catalog(name)
    assert catalog is not None
    return catalog


def _parquet(path: Path, rows: int, first: int = 0, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dec = np.linspace(-80, 80, rows)
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), metadata={"description": "Number"}),
            pa.field("ra", pa.float64(), metadata={"unit": "degrees", "ucd": "pos.eq.ra"}),
            pa.field("dec", pa.float64()),
            *(pa.field(name, pa.array(values).type) for name, values in more.items()),
        ]
    )
    columns = [np.arange(rows) + first, np.linspace(0, 359, rows), dec, *more.values()]
    pq.write_table(pa.table([pa.array(column) for column in columns], schema=schema), path)
    return path


def test_a_directory_of_parquet_files(contexts: Contexts, tmp_path: Path) -> None:
    folder = tmp_path / "it's data"
    zones = np.floor((np.linspace(-80, 80, 10) + 90) / ZONE_HEIGHT).astype("i4")
    _parquet(folder / "Stars.parquet", 10, zoneID=zones)
    _parquet(folder / "Wrong.parquet", 10, zoneID=zones + 1)
    _parquet(folder / "parts/a/1.parquet", 5)
    _parquet(folder / "parts/b/2.parquet", 5, first=5)
    (folder / "empty").mkdir()
    (folder / "README").touch()
    context = adopt.add(contexts, "Files", str(folder), public=True)
    source = context.source()
    assert source.folder == folder
    catalog = _catalog(contexts, "Files")
    assert [(table.name, table.kind, table.rows) for table in catalog.tables] == [
        ("parts", "table", 10),
        ("Stars", "table", 10),
        ("Wrong", "table", 10),
    ]
    stars = catalog.table("stars")
    assert stars is not None
    assert (stars.columns[0].description, stars.columns[1].unit, stars.columns[1].ucd) == (
        "Number",
        "deg",
        "pos.eq.ra",
    )
    assert [table.sky for table in catalog.tables] == [None, Sky("ra", "dec", "zoneID", ZONE_HEIGHT), None]
    with duckdb.connect() as connection:
        # As the worker does it: the file read-only under the context's name, and then nothing but the directory.
        connection.execute(f"ATTACH '{source.data}' AS \"Files\" (READ_ONLY)")
        connection.execute("ATTACH ':memory:' AS other; USE other")
        connection.execute("SET allowed_directories = $1", [[f"{folder}/"]])
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        found = connection.execute('SELECT count(*), sum(id) FROM "Files".main.parts').fetchall()
        assert found == [(10, 45)]
    # What is added is in the next query; a new table after a new look.
    _parquet(folder / "parts/c.parquet", 1, first=100)
    _parquet(folder / "New.parquet", 1)
    adopt.refresh(contexts, "Files")
    assert [table.name for table in _catalog(contexts, "Files").tables] == ["New", "parts", "Stars", "Wrong"]
    assert [table.rows for table in _catalog(contexts, "Files").tables][1] == 11
    contexts.remove("Files")
    assert (folder / "New.parquet").exists()


def test_a_duckdb_file(contexts: Contexts, tmp_path: Path) -> None:
    file = tmp_path / "made.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 10801 AS zoneID, 1.5 AS ra, 0.0125 AS dec")
        connection.execute("CREATE VIEW v AS SELECT ra FROM t")
        connection.execute('COMMENT ON COLUMN t.ra IS \'{"unit": "deg"}\'')
    file.chmod(0o600)
    with pytest.raises(ContextError, match="chmod o"):
        adopt.add(contexts, "Made", str(file))
    assert contexts.get("Made") is None
    file.chmod(0o644)
    context = adopt.add(contexts, "Made", f"duckdb://{file}")
    assert context.source().data == file
    catalog = _catalog(contexts, "Made")
    assert [(table.name, table.kind, table.rows) for table in catalog.tables] == [
        ("t", "table", 1),
        ("v", "view", None),
    ]
    assert catalog.tables[0].columns[1].unit == "deg"
    assert catalog.tables[0].sky is not None
    with pytest.raises(ContextError, match="change it where it is"):
        load_table(contexts, "Made", "x", [file])
    contexts.update("Made", title="T")
    contexts.remove("Made")
    assert file.exists()


@pytest.mark.parametrize("kind", ["nothing", "empty", "other", "damaged"])
def test_what_cannot_be_a_context(contexts: Contexts, tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "empty":
        path.mkdir()
    elif kind == "other":
        path.write_text("not a database")
    elif kind == "damaged":
        path.mkdir()
        (path / "t.parquet").write_text("not parquet")
    with pytest.raises(ContextError):
        adopt.add(contexts, "X", str(path))
    assert contexts.all() == []


# -- the command


class Command:
    """``sciserver context …`` of a deployment, as the command line gives it to the functions."""

    def __init__(self, home: Path) -> None:
        common = argparse.ArgumentParser(add_help=False)
        common.add_argument("--home", default=str(home))
        self._parser = argparse.ArgumentParser()
        add_parser(self._parser.add_subparsers(required=True), common)

    def __call__(self, *arguments: str) -> dict[str, Any]:
        options = self._parser.parse_args(["context", *arguments])
        result: dict[str, Any] = options.run(options)
        return result


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path / "home")


def test_from_nothing_to_a_table_and_back(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "There are no contexts" in command("list")["text"]
    made = command("add", "Survey", "--title", "My survey", "--rights", "CC0", "--cite", "Me", "--source", "Here")
    assert "Nobody may read it yet" in made["text"]
    assert command("set", "survey", "--group", "a", "--group", "b")["groups"] == ("a", "b")
    assert command("set", "Survey", "--public")["public"] is True
    (tmp_path / "t.csv").write_text("objID,ra,dec,g\n2,10.5,20.5,21.5\n1,9.5,-20.5,\n")
    arguments = ("load", "Survey", "Objects", str(tmp_path / "t.csv"), "--unit", "g=mag", "--description", "All")
    loaded = command(*arguments)
    assert (loaded["rows"], loaded["positions"]) == (2, ["ra", "dec"])
    assert "sorted by zone and ra" in capsys.readouterr().err
    with pytest.raises(OperatorError, match="--replace"):
        command(*arguments)
    assert command(*arguments, "--append")["rows"] == 4
    assert command(*arguments, "--replace", "--no-zone-sort")["positions"] is None
    shown = command("show", "survey", "objects")
    column = {"name": "g", "type": "DOUBLE", "unit": "mag", "ucd": "", "description": ""}
    assert shown["table"]["columns"][3] == column
    shown = command("show", "survey")
    assert (shown["rights"], shown["cite"], shown["source"]) == ("CC0", "Me", "Here")
    assert "read by: everybody" in shown["text"]
    assert "2 rows" in shown["text"]
    listed = command("list")
    assert [one["name"] for one in listed["contexts"]] == ["Survey"]
    assert "My survey" in listed["text"]
    command("drop", "Survey", "Objects")
    assert command("show", "Survey")["tables"] == []
    with pytest.raises(OperatorError, match="--yes"):
        command("remove", "Survey")
    command("remove", "Survey", "--yes")
    assert command("list")["contexts"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "Nope"), "no context Nope"),
        (("load", "Nope", "t", "x.csv"), "no context Nope"),
        (("set", "Nope"), "Say what to change"),
        (("add", "MyDB"), "meaning of its own"),
        (("add", "X", "--engine-url", "postgresql://u:pw@h/d", "--password-stdin"), "Leave the password out"),
        (("refresh", "Nope"), "no context Nope"),
    ],
)
def test_faults_say_what_to_do(
    command: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(OperatorError, match=words):
        command(*arguments)


def test_a_server_with_its_password(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = shared_server()
    arguments = ("add", "PG", "--engine-url", server.url, "--public", "--password-stdin")
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
    with pytest.raises(OperatorError, match="password authentication failed"):
        command(*arguments)
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert command(*arguments)["tables"] == len(command("show", "PG")["tables"]) >= 3
    shown = command("show", "PG", "stars")
    assert "Right ascension" in shown["text"]
    assert PASSWORD not in str(command("show", "PG")) + str(command("list"))
    # Another password is kept when it has been tried.
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
    with pytest.raises(OperatorError, match="password authentication failed"):
        command("password", "PG", "--password-stdin")
    contexts = Contexts.of(Deployment.load(tmp_path / "home"))
    assert contexts.require("PG").password() == PASSWORD
    command("refresh", "PG")
