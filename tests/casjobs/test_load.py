"""Loading: what becomes of files, how tables with positions are ordered, and what is left after a fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.table import Table as AstropyTable

from casjobs_service.catalog import Sky, Table
from casjobs_service.contexts import ContextError, Contexts
from casjobs_service.load import ZONE_HEIGHT, load_table

ROWS = 3000


@pytest.fixture
def contexts(tmp_path: Path) -> Contexts:
    contexts = Contexts(tmp_path / "casjobs/contexts")
    contexts.create("Sky")
    return contexts


def _stars() -> AstropyTable:
    random = np.random.default_rng(1)
    table = AstropyTable(
        {
            "objID": np.arange(ROWS) + (1 << 60),
            "ra": random.random(ROWS) * 360,
            "dec": np.degrees(np.arcsin(random.random(ROWS) * 2 - 1)),
            "g": random.random(ROWS).astype("f4"),
            "name": [f"Star {number}" for number in range(ROWS)],
        }
    )
    table["ra"].unit = table["dec"].unit = units.deg
    table["g"].unit = units.mag
    table["g"].description = "Magnitude in g"
    return table


def _write(path: Path, table: AstropyTable) -> Path:
    if path.suffix == ".parquet":
        fields = [
            pa.field(name, pa.array(np.asarray(table[name])).type, metadata={"unit": str(table[name].unit or "")})
            for name in table.colnames
        ]
        pq.write_table(
            pa.table([pa.array(np.asarray(table[name])) for name in table.colnames], pa.schema(fields)), path
        )
    elif path.suffix == ".arrow":
        rows = pa.table({name: np.asarray(table[name]) for name in table.colnames})
        with pa.ipc.new_file(str(path), rows.schema) as writer:
            writer.write_table(rows)
    else:
        table.write(path, format={".vot": "votable", ".csv": "ascii.csv"}.get(path.suffix))
    return path


def _rows(contexts: Contexts, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(contexts.require("Sky").data_file), read_only=True) as connection:
        return list(connection.execute(sql).fetchall())


def _table(contexts: Contexts, name: str) -> Table:
    catalog = contexts.catalog("Sky")
    assert catalog is not None
    table = catalog.table(name)
    assert table is not None
    return table


@pytest.mark.parametrize("ending", ["fits", "vot", "csv", "parquet", "arrow"])
def test_each_format_becomes_a_table_sorted_by_position(contexts: Contexts, tmp_path: Path, ending: str) -> None:
    stars = _stars()
    loaded = load_table(contexts, "sky", "Stars", [_write(tmp_path / f"stars.{ending}", stars)], description="All")
    sky = Sky("ra", "dec", "zoneID", ZONE_HEIGHT)
    assert (loaded.rows, loaded.sky) == (ROWS, sky)
    table = _table(contexts, "stars")
    assert (table.name, table.rows, table.sky, table.description) == ("Stars", ROWS, sky, "All")
    assert table.date
    assert [column.name for column in table.columns] == ["objID", "ra", "dec", "g", "name", "zoneID"]
    types = [column.type for column in table.columns]
    assert types == ["BIGINT", "DOUBLE", "DOUBLE", "DOUBLE" if ending == "csv" else "FLOAT", "VARCHAR", "INTEGER"]
    if ending in ("fits", "vot", "parquet"):
        assert [column.unit for column in table.columns[1:4]] == ["deg", "deg", "mag"]
    # Everything, exactly, and in order.
    rows = _rows(contexts, "SELECT objID, ra, dec, CAST(g AS FLOAT), name, zoneID FROM Stars")
    zones = np.floor((np.asarray(stars["dec"]) + 90) / ZONE_HEIGHT).astype(int)
    order = np.lexsort((np.asarray(stars["ra"]), zones))
    expected = [
        (*map(lambda value: getattr(value, "item", lambda v=value: v)(), stars[int(i)]), int(zones[i])) for i in order
    ]
    assert rows == expected


def test_units_are_written_in_the_standard_and_the_operators_word_is_last(contexts: Contexts, tmp_path: Path) -> None:
    stars = _stars()
    stars["pm"] = np.ones(ROWS) * units.mas / units.yr
    stars["odd"] = np.ones(ROWS)
    file = _write(tmp_path / "stars.fits", stars)
    load_table(contexts, "Sky", "Stars", [file], units={"G": "mmag", "ODD": "furlongs per fortnight"})
    found = {column.name: column.unit for column in _table(contexts, "Stars").columns}
    assert (found["pm"], found["g"], found["odd"]) == ("mas.yr**-1", "mmag", "furlongs per fortnight")
    with pytest.raises(ContextError, match="no column nope"):
        load_table(contexts, "Sky", "Stars", [file], units={"nope": "m"}, mode="replace")


def test_positions_are_found_by_ucd_before_names(contexts: Contexts, tmp_path: Path) -> None:
    file = tmp_path / "t.arrow"
    schema = pa.schema(
        [
            pa.field("ra", pa.float64()),
            pa.field("dec", pa.float64()),
            pa.field("alpha", pa.float64(), metadata={"ucd": "pos.eq.ra;meta.main"}),
            pa.field("delta", pa.float64(), metadata={"ucd": "pos.eq.dec;meta.main"}),
        ]
    )
    with pa.ipc.new_file(str(file), schema) as writer:
        writer.write_table(pa.table([[1.0], [2.0], [3.0], [4.0]], schema=schema))
    loaded = load_table(contexts, "Sky", "t", [file])
    assert loaded.sky == Sky("alpha", "delta", "zoneID", ZONE_HEIGHT)
    assert _rows(contexts, "SELECT zoneID FROM t") == [(94 * 120,)]
    loaded = load_table(contexts, "Sky", "t", [file], ra="RA", dec="Dec", mode="replace")
    assert loaded.sky == Sky("ra", "dec", "zoneID", ZONE_HEIGHT)


def _csv(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_positions_that_searches_would_miss_are_not_sorted_for_them(contexts: Contexts, tmp_path: Path) -> None:
    file = _csv(tmp_path / "west.csv", "ra,dec\n-10.5,1.5\n20.5,2.5\n")
    said: list[str] = []
    loaded = load_table(contexts, "Sky", "West", [file], progress=said.append)
    assert loaded.sky is None
    assert any("goes from -10.5 to 20.5" in text for text in said)
    assert [column.name for column in _table(contexts, "West").columns] == ["ra", "dec"]
    with pytest.raises(ContextError, match=r"goes from -10.5 to 20.5.*Nothing was changed"):
        load_table(contexts, "Sky", "West2", [file], ra="ra", dec="dec")
    file = _csv(tmp_path / "far.csv", "ra,dec\n10.5,91.5\n")
    with pytest.raises(ContextError, match="declination from -90 to 90"):
        load_table(contexts, "Sky", "Far", [file], ra="ra", dec="dec")
    file = _csv(tmp_path / "text.csv", "ra,dec\n10:00:00,1\n")
    with pytest.raises(ContextError, match="ra is VARCHAR"):
        load_table(contexts, "Sky", "Text", [file], ra="ra", dec="dec")


def test_poles_and_missing_positions_have_their_zone_or_none(contexts: Contexts, tmp_path: Path) -> None:
    file = _csv(tmp_path / "t.csv", "id,ra,dec\n1,0.0,90.0\n2,360.0,-90.0\n3,,\n4,nan,nan\n5,1.5,0.0\n")
    assert load_table(contexts, "Sky", "t", [file]).sky is not None
    assert _rows(contexts, "SELECT id, zoneID FROM t WHERE zoneID IS NOT NULL") == [(2, 0), (5, 10800), (1, 21600)]
    assert _rows(contexts, "SELECT count(*) FROM t WHERE zoneID IS NULL") == [(2,)]


def test_a_zone_that_the_file_brings_is_used_if_it_is_right(contexts: Contexts, tmp_path: Path) -> None:
    right = _csv(tmp_path / "right.csv", "zoneid,ra,dec\n10801,1.5,0.0125\n10800,1.5,0.0\n")
    assert load_table(contexts, "Sky", "R", [right]).sky == Sky("ra", "dec", "zoneid", ZONE_HEIGHT)
    wrong = _csv(tmp_path / "wrong.csv", "zoneid,ra,dec\n5,1.5,0.0125\n")
    loaded = load_table(contexts, "Sky", "W", [wrong])
    assert loaded.sky is None
    assert _rows(contexts, "SELECT zoneid FROM W") == [(5,)]


def test_without_sorting_the_order_of_the_file_stays(contexts: Contexts, tmp_path: Path) -> None:
    file = _csv(tmp_path / "t.csv", "ra,dec\n20.5,1.5\n10.5,-50.5\n30.5,0.5\n")
    loaded = load_table(contexts, "Sky", "t", [file], zone_sort=False)
    assert loaded.sky is None
    assert _rows(contexts, "SELECT ra FROM t") == [(20.5,), (10.5,), (30.5,)]


def test_create_replace_append(contexts: Contexts, tmp_path: Path) -> None:
    first = _csv(tmp_path / "1.csv", "id,ra,dec\n1,10.5,50.5\n")
    second = _csv(tmp_path / "2.csv", "dec,id,ra\n-50.5,2,20.5\n")
    load_table(contexts, "Sky", "t", [first], units={"ra": "deg"}, description="Mine")
    with pytest.raises(ContextError, match="has a table t already"):
        load_table(contexts, "Sky", "T", [second])
    assert load_table(contexts, "Sky", "T", [second], mode="append").rows == 2
    assert _rows(contexts, "SELECT id, zoneID FROM t") == [(2, 4740), (1, 16860)]
    table = _table(contexts, "t")
    assert (table.name, table.description, table.columns[1].unit, table.sky is not None) == ("t", "Mine", "deg", True)
    with pytest.raises(ContextError, match="missing dec; not in the table x"):
        load_table(contexts, "Sky", "t", [_csv(tmp_path / "3.csv", "id,ra,x\n1,2,3\n")], mode="append")
    assert load_table(contexts, "Sky", "t", [second], mode="replace").rows == 1
    with pytest.raises(ContextError, match="no table u"):
        load_table(contexts, "Sky", "u", [second], mode="append")


def test_several_files_are_one_table(contexts: Contexts, tmp_path: Path) -> None:
    """A column is what all files agree to: the second makes text of numbers."""
    files = [_csv(tmp_path / "1.csv", "a,b\n1,2\n"), _csv(tmp_path / "2.csv", "a,b\n2.5,007\n")]
    load_table(contexts, "Sky", "c", files)
    assert _rows(contexts, "SELECT * FROM c ORDER BY a") == [(1.0, "2"), (2.5, "007")]
    with pytest.raises(ContextError, match=r"2\.csv: Line 2 has 3 fields"):
        load_table(contexts, "Sky", "d", [files[0], _csv(tmp_path / "2.csv", "a,b\n1,2,3\n")])
    with pytest.raises(ContextError, match=r"header of 2\.csv differs"):
        load_table(contexts, "Sky", "d", [files[0], _csv(tmp_path / "2.csv", "a,c\n1,2\n")])
    stars = _stars()
    parts = [_write(tmp_path / "a.fits", stars[:1000]), _write(tmp_path / "b.fits", stars[1000:])]
    load_table(contexts, "Sky", "s", parts)
    assert _rows(contexts, "SELECT count(DISTINCT objID), sum(ra) FROM s") == [
        (ROWS, pytest.approx(float(stars["ra"].sum())))
    ]


def test_types_without_sign_become_the_next_with_one(contexts: Contexts, tmp_path: Path) -> None:
    file = tmp_path / "u.parquet"
    columns = {f"u{bits}": pa.array([0, (1 << bits) - 1], getattr(pa, f"uint{bits}")()) for bits in (8, 16, 32)}
    pq.write_table(pa.table(columns), file)
    load_table(contexts, "Sky", "u", [file])
    assert [column.type for column in _table(contexts, "u").columns] == ["SMALLINT", "INTEGER", "BIGINT"]
    assert _rows(contexts, "SELECT * FROM u")[1] == (255, 65535, (1 << 32) - 1)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", "a,b\n1\n", "Line 2 has 1 fields"),
        ("t.fits", "nonsense", "does not begin as FITS does"),
        ("t.parquet", "nonsense", "damaged"),
        ("t.dat", "a\n1\n", "--format"),
    ],
)
def test_a_fault_is_told_and_nothing_is_changed(
    contexts: Contexts, tmp_path: Path, name: str, content: str, words: str
) -> None:
    before = contexts.require("Sky")
    with pytest.raises(ContextError, match=words):
        load_table(contexts, "Sky", "t", [_csv(tmp_path / name, content)])
    assert contexts.require("Sky") == before
    assert {path.name for path in before.directory.iterdir()} == {"context.json", "catalog-0.json", "data-0.duckdb"}


def test_a_full_disk_is_told_and_nothing_is_changed(tmp_path: Path) -> None:
    """A file system of 6 MB of its own, which a load of 16 MB of numbers that cannot be compressed fills."""
    pq.write_table(pa.table({"x": np.random.default_rng(1).random(2_000_000)}), tmp_path / "t.parquet")
    script = f"""
import pathlib
from casjobs_service.contexts import *
from casjobs_service.load import load_table
contexts = Contexts(pathlib.Path('{tmp_path}/disk/casjobs/contexts'))
contexts.create('Sky')
try:
    load_table(contexts, 'Sky', 't', [pathlib.Path('{tmp_path}/t.parquet')])
except ContextError as error:
    print(error)
print(sorted(path.name for path in contexts.require('Sky').directory.iterdir()), contexts.catalog('Sky').tables)
"""
    (tmp_path / "disk").mkdir()
    mount = f'mount -t tmpfs -o size=6m none {tmp_path}/disk && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "is full. Nothing was changed." in done.stdout
    assert done.stdout.splitlines()[-1] == "['catalog-0.json', 'context.json', 'data-0.duckdb'] []"
