"""The macros answer what SDSS's and SQL Server's functions answer."""

from __future__ import annotations

import itertools
from typing import Any

import astropy.coordinates as coordinates
import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp, parse_one

from casjobs_service.catalog import Catalog
from casjobs_service.dialect import functions, translate
from casjobs_service.dialect.functions_constants import FIELDS, sdss_constants
from casjobs_service.errors import Kind, QueryError


@pytest.fixture(scope="module")
def engine() -> duckdb.DuckDBPyConnection:
    """A session in which all macros are made."""
    connection = duckdb.connect()
    for statement in functions.prelude(functions.FUNCTIONS):
        connection.execute(statement)
    return connection


def value(engine: duckdb.DuckDBPyConnection, expression: str) -> Any:
    return engine.execute(f"SELECT {expression}").fetchall()[0][0]


def test_every_macro_is_described_and_has_the_type_that_it_says(engine: duckdb.DuckDBPyConnection) -> None:
    for macro in functions.FUNCTIONS.values():
        assert macro.description
        assert macro.accepts(len(macro.parameters))
        if macro.returns == "ANY":
            continue
        arguments = ", ".join(f"CAST(NULL AS {parameter.type})" for parameter in macro.parameters)
        kind = engine.execute(f"DESCRIBE SELECT {macro.call}({arguments})").fetchall()[0][1]
        assert kind == macro.returns, macro.name
    shown = {function.name for function in functions.catalog_functions()}
    assert {"fPhotoFlags", "fHtmEq", "fCosmoDl"} <= shown
    assert "STR" not in shown


def test_macros_are_made_with_what_they_need() -> None:
    for name, macro in functions.FUNCTIONS.items():
        if not macro.needs:
            continue
        connection = duckdb.connect()
        for statement in functions.prelude([name]):
            connection.execute(statement)
        connection.execute(f"SELECT {macro.call}({', '.join(['NULL'] * len(macro.parameters))})")


class TestFlags:
    @pytest.mark.parametrize(
        ("call", "expected"),
        [
            ("fPhotoFlags('SATURATED')", 0x40000),
            ("fPhotoFlags('moved')", 0x80000000),
            ("fPhotoFlags('HAS_CENTER')", 1 << 62),
            ("fPhotoFlags('RESERVED')", -(1 << 63)),
            ("fPhotoStatus('PRIMARY')", 0x2000),
            ("fPhotoType('Galaxy')", 3),
            ("fPhotoMode('SECONDARY')", 2),
            ("fPrimTarget('GALAXY_RED_II')", 0x4000000),
            ("fPrimTarget('SOUTHERN_SURVEY')", 0x80000000),
            ("fSecTarget('HOT_STD')", 0x200),
            ("fSpecialTarget1('LOWZ_LOVEDAY')", 1 << 38),
            ("fSegue1Target1('SEG1LOW_AGB')", 0x8000000),
            ("fBossTarget1('QSO_KNOWN_SUPPZ')", 1 << 44),
            ("fAncillaryTarget2('ELAIS_N1_JVLA')", 1 << 62),
            ("fApogeeTarget2('APOGEE_TELLURIC')", 0x200),
            ("fEbossTarget0('SEQUELS_COLLIDED')", 1 << 41),
            ("fSpecZWarning('UNPLUGGED')", 0x80),
            ("fSpecZWarning('OK')", 0),
            ("fSpecClass('HIZ_QSO')", 4),
            ("fInsideMask('INMASK_HOLE')", 8),
            ("fSourceType('STAR_PN')", 24),
            ("fProgramType('south')", 2),
            ("fFieldQuality('HOLE')", 5),
            ("fFramesStatus('TOO_LONG')", 3),
        ],
    )
    def test_values(self, engine: duckdb.DuckDBPyConnection, call: str, expected: int) -> None:
        tree = parse_one(call)
        found = functions.constant(tree.name, tree.expressions)
        assert found is not None
        assert value(engine, found.sql("duckdb")) == expected
        macro = functions.FUNCTIONS[tree.name.lower()]
        assert value(engine, f"{macro.call}({tree.expressions[0].sql()})") == expected

    def test_a_misspelt_name_is_an_error(self) -> None:
        with pytest.raises(QueryError, match="Did you mean SATURATED") as raised:
            functions.constant("fPhotoFlags", [exp.Literal.string("SATURATE")])
        assert raised.value.kind is Kind.NAME
        assert functions.constant("fPhotoFlags", [exp.column("name")]) is None
        assert functions.constant("fPhotoFlagsN", [exp.Literal.number(1)]) is None

    def test_names_of_all_bits(self, engine: duckdb.DuckDBPyConnection) -> None:
        for field in FIELDS.values():
            call = functions.FUNCTIONS[f"f{field.name}N".lower()].call
            calls = ", ".join(f"{call}(CAST('{constant.value}' AS BIGINT))" for constant in field.constants)
            names = [name.rstrip() for name in value(engine, f"[{calls}]")]
            assert names == [constant.name for constant in field.constants]
        flags = 0x10000010
        assert value(engine, f"ss_fphotoflagsn({flags})") == "BINNED1 CHILD "
        assert value(engine, "ss_fphotoflagsn(0)") == ""
        assert value(engine, "ss_fspeczwarningn(0)") == "OK"
        assert value(engine, "ss_fphotoflagsn(NULL)") is None

    def test_rows_of_data_constants(self) -> None:
        rows = sdss_constants()
        keys = [(field, name) for field, name, _, _ in rows]
        assert len(keys) == len(set(keys))
        assert ("PhotoFlags", "SATURATED", 0x40000) in [row[:3] for row in rows]
        assert sum(field == "PhotoFlags" for field, *_ in rows) == 65
        for field in FIELDS.values():
            values = [constant.value for constant in field.constants]
            assert len(values) == len(set(values))


class TestIdentifiers:
    @given(st.tuples(*(st.integers(0, (1 << bits) - 1) for bits in (4, 16, 11, 3, 12, 16, 1))))
    @settings(max_examples=40, deadline=None)
    def test_objects(self, engine: duckdb.DuckDBPyConnection, parts: tuple[int, ...]) -> None:
        sky, run, rerun, camcol, field, obj, first = parts
        key = sky << 59 | rerun << 48 | run << 32 | camcol << 29 | first << 28 | field << 16 | obj
        call = f"ss_fobjidfromsdsswithff({sky}, {run}, {rerun}, {camcol}, {field}, {obj}, {first})"
        assert value(engine, call) == key
        names = ("fskyversion", "frun", "frerun", "fcamcol", "ffield", "fobj", "ffirstfield")
        assert value(engine, "[" + ", ".join(f"ss_{name}({key})" for name in names) + "]") == list(parts)
        assert value(engine, f"ss_fsdss({key})") == f"{sky}-{run}-{rerun}-{camcol}-{field}-{obj}"

    def test_published_ones(self, engine: duckdb.DuckDBPyConnection) -> None:
        # Run 756, rerun 301, column 2, field 427, object 14 of data release 8.
        assert value(engine, "ss_fobjidfromsdss(2, 756, 301, 2, 427, 14)") == 1237648720693755918
        assert value(engine, "ss_fspecidfromsdss(266, 51602, 1, 26)") == 299489676975171584
        key = 865922932356966400
        assert value(engine, f"[ss_fplate({key}), ss_fmjd({key}), ss_ffiber({key})]") == [769, 54530, 385]
        # Plates above 8191 need the 64th bit.
        high = int(value(engine, "ss_fspecidfromsdss(15000, 59000, 500, 1302)"))
        assert high > 1 << 63
        assert value(engine, f"[ss_fplate({high}), ss_fmjd({high}), ss_ffiber({high})]") == [15000, 59000, 500]

    def test_addresses(self, engine: duckdb.DuckDBPyConnection) -> None:
        assert value(engine, "ss_fgeturlfitsspectrum(299489676975171584)") == (
            "https://data.sdss.org/sas/dr17/sdss/spectro/redux/26/spectra/lite/0266/spec-0266-51602-0001.fits"
        )
        boss = int(value(engine, "ss_fspecidfromsdss(4055, 55359, 1, 1302)"))
        assert value(engine, f"ss_fgeturlfitsplate({boss})") == (
            "https://data.sdss.org/sas/dr17/eboss/spectro/redux/v5_13_2/4055/spPlate-4055-55359.fits"
        )
        assert value(engine, "ss_fgeturlfitscframe(1237648720693755904, 'r')").endswith(
            "/eboss/photoObj/frames/301/756/2/frame-r-000756-2-0427.fits.bz2"
        )
        assert value(engine, "ss_fgeturlexpid(1237648720693755918)").endswith("?id=1237648720693755918")
        assert value(engine, "ss_fgeturlnaveq(185, -0.5)").endswith("?ra=185.000000&dec=-0.500000")


class TestPositions:
    def test_distances(self, engine: duckdb.DuckDBPyConnection) -> None:
        random = np.random.default_rng(5)
        ra, dec = random.uniform(0, 360, (2, 500)), np.degrees(np.arcsin(random.uniform(-1, 1, (2, 500))))
        ra[1, :250], dec[1, :250] = ra[0, :250] + 1e-7, dec[0, :250]
        one, other = (coordinates.SkyCoord(ra[k], dec[k], unit="deg") for k in (0, 1))
        expected = one.separation(other).arcmin
        table = pa.table({"a": ra[0], "b": dec[0], "c": ra[1], "d": dec[1]})
        engine.register("positions", table)
        found = engine.sql("SELECT ss_fdistancearcmineq(a, b, c, d) AS x FROM positions").to_arrow_table()
        np.testing.assert_allclose(np.asarray(found["x"]), expected, rtol=1e-9, atol=1e-12)
        vectors = [list(position.cartesian.xyz.value.T) for position in (one, other)]
        calls = [
            f"ss_fdistancearcminxyz({', '.join(repr(float(part)) for part in (*vectors[0][row], *vectors[1][row]))})"
            for row in range(250, 260)
        ]
        answers = value(engine, "[" + ", ".join(calls) + "]")
        np.testing.assert_allclose(answers, expected[250:260], rtol=1e-9)

    def test_galactic_coordinates(self, engine: duckdb.DuckDBPyConnection) -> None:
        for ra, dec in itertools.product((0.0, 83.6, 192.8, 266.4, 359.0), (-80.0, -29.0, 0.0, 45.0)):
            expected = coordinates.SkyCoord(ra, dec, unit="deg").galactic
            x, y, z = coordinates.SkyCoord(ra, dec, unit="deg").cartesian.xyz.value
            latitude = value(engine, f"ss_fgetlat('J2G', {x!r}, {y!r}, {z!r})".replace("np.float64", ""))
            longitude = value(engine, f"ss_fgetlon('j2g', {x!r}, {y!r}, {z!r})".replace("np.float64", ""))
            found = coordinates.SkyCoord(longitude, latitude, unit="deg", frame="galactic")
            # SDSS's matrix has four to six digits.
            assert found.separation(expected).arcsec < 5

    def test_survey_coordinates(self, engine: duckdb.DuckDBPyConnection) -> None:
        # Of SDSS's own comments on fCoordsFromEq.
        expected = {184.0: -1.0, 185.0: 0.0, 186.0: 1.0, 4.0: 179.0, 5.0: -180.0, 6.0: -179.0}
        for ra, longitude in expected.items():
            assert value(engine, f"ss_flambdafromeq({ra}, 0)") == pytest.approx(longitude, abs=1e-9)
            assert value(engine, f"ss_fetafromeq({ra}, 0)") == pytest.approx(-32.5)
        # The centre of the survey, and stripe 10 on the equator.
        assert value(engine, "[ss_flambdafromeq(185, 32.5), ss_fetafromeq(185, 32.5)]") == pytest.approx(
            [0, 0], abs=1e-9
        )
        assert value(engine, "[ss_fmufromeq(200, 0), ss_fnufromeq(200, 0.3)]") == pytest.approx([200, 0.3])

    def test_triangles_of_the_mesh(self, engine: duckdb.DuckDBPyConnection) -> None:
        random = np.random.default_rng(11)
        ra, dec = random.uniform(0, 360, 300), np.degrees(np.arcsin(random.uniform(-1, 1, 300)))
        ra[:7], dec[:7] = [0, 90, 180, 270, 45, 0, 359.99999], [0, 0, 0, 90, -90, 45, 1e-9]
        engine.register("positions", pa.table({"ra": ra, "dec": dec}))
        found = engine.sql(
            "SELECT ss_fhtmeq(ra, dec) AS id, ss_fhtmtostring(id) AS name FROM positions"
        ).to_arrow_table()
        for row, key, name in zip(range(300), found["id"].to_pylist(), found["name"].to_pylist(), strict=True):
            position = coordinates.SkyCoord(ra[row], dec[row], unit="deg").cartesian.xyz.value
            assert key == mesh(position)
            assert len(name) == 22
            assert int("".join(f"{int(digit):02b}" for digit in name[1:]), 2) == key & ((1 << 42) - 1)
            assert name[0] == ("S" if dec[row] < 0 else "N") or abs(dec[row]) < 1e-6
        assert value(engine, "[ss_fhtmtostring(8), ss_fhtmtostring(15 * 4 + 2)]") == ["S0", "N32"]
        assert value(engine, "ss_fhtmxyz(1, 2, 3)") == value(engine, "ss_fhtmxyz(10, 20, 30)")

    def test_names(self, engine: duckdb.DuckDBPyConnection) -> None:
        assert value(engine, "ss_fiaufromeq(182.25, -12.5)") == "SDSS J120900.00-123000.0"
        # Cut, not rounded.
        assert value(engine, "ss_fiaufromeq(10.684708, 41.268749)") == "SDSS J004244.32+411607.4"
        assert value(engine, "[ss_fhms(187.5), ss_fdms(87.5), ss_fdms(-0.5)]") == [
            "12:30:00.00",
            "+87:30:00.00",
            "-00:30:00.00",
        ]
        assert value(engine, "ss_fhmsbase(187.50999, 1, 3)") == "12:30:02.397"


def mesh(point: np.ndarray, depth: int = 20) -> int:
    """Triangle of the mesh, by the textbook: descend into the child whose sides have the point on their left."""
    axes = np.eye(3)
    x, y, z = axes
    faces = [(x, -z, y), (y, -z, -x), (-x, -z, -y), (-y, -z, x), (x, z, -y), (-y, z, -x), (-x, z, y), (y, z, x)]

    def holds(triangle: Any) -> bool:
        a, b, c = triangle
        return all(np.cross(one, two) @ point >= 0 for one, two in ((a, b), (b, c), (c, a)))

    def middle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a + b) / np.sqrt(((a + b) ** 2).sum())

    number, triangle = next((8 + k, face) for k, face in enumerate(faces) if holds(face))
    for _ in range(depth):
        v0, v1, v2 = triangle
        w0, w1, w2 = middle(v1, v2), middle(v0, v2), middle(v0, v1)
        children = [(v0, w2, w1), (v1, w0, w2), (v2, w1, w0), (w0, w1, w2)]
        child = next((k for k, inner in enumerate(children[:3]) if np.cross(inner[1], inner[2]) @ point >= 0), 3)
        number, triangle = number * 4 + child, children[child]
    return number


class TestPhysics:
    def test_fluxes(self, engine: duckdb.DuckDBPyConnection) -> None:
        # An asinh magnitude and its definition: m = -2.5/ln 10 (asinh(f / 2b) + ln b), zero point 3631 Jy.
        for band, softening in enumerate((1.4e-10, 0.9e-10, 1.2e-10, 1.8e-10, 7.4e-10)):
            for magnitude in (14.0, 20.0, 24.5):
                flux = value(engine, f"ss_fmagtoflux({magnitude}, {band})")
                relative = flux / 1e9 / 3630.78
                back = -1.0857362048 * (np.arcsinh(relative / (2 * softening)) + np.log(softening))
                assert back == pytest.approx(magnitude, rel=1e-6)
                # d m / d f
                error = value(engine, f"ss_fmagtofluxerr({magnitude}, 0.1, {band})")
                slope = 1.0857362048 / np.sqrt(relative**2 + 4 * softening**2) / 3630.78e9
                assert error * slope == pytest.approx(0.1, rel=1e-5)

    def test_dates(self, engine: duckdb.DuckDBPyConnection) -> None:
        assert value(engine, "ss_fmjdtogmt(0)") == "1858-11-17:00:00:00.000"
        assert value(engine, "ss_fmjdtogmt(51544)") == "2000-01-01:00:00:00.000"
        assert value(engine, "ss_fmjdtogmt(99999.5)") == "2132-08-31:12:00:00.000"
        assert value(engine, "ss_fmjdtogmt(49987.999999999)") == "1995-09-28:00:00:00.000"

    @pytest.mark.parametrize(
        ("matter", "dark", "radiation", "state", "hubble"),
        [(0.3, 0.7, 0, -1, 70), (0.25, 0.6, 1e-4, -0.9, 73), (0.4, 0.8, 8.493e-5, -1.1, 65), (1, 0, 0, -1, 50)],
    )
    def test_cosmology(
        self,
        engine: duckdb.DuckDBPyConnection,
        matter: float,
        dark: float,
        radiation: float,
        state: float,
        hubble: float,
    ) -> None:
        curvature = 1 - matter - dark - radiation
        length, age = 299792.458 / hubble, 977.7922216807891 / hubble

        def expansion(growth: np.ndarray) -> np.ndarray:
            terms = radiation * growth**4 + matter * growth**3 + curvature * growth**2
            return np.sqrt(terms + dark * growth ** (3 + 3 * state))

        for redshift in (0.001, 0.1, 1.0, 3.0, 9.0):
            z = np.linspace(0, redshift, 100_001)
            along = length * np.trapezoid(1 / expansion(1 + z), z)
            root = np.sqrt(abs(curvature))
            bent = np.sinh if curvature > 0 else np.sin
            across = length / root * bent(root * along / length) if root > 1e-6 else along
            # From the big bang, evenly in the square root of the scale factor.
            s = np.linspace(0, 1 / np.sqrt(1 + redshift), 200_001)[1:]
            then = age * np.trapezoid(2 / (s * expansion(1 / s**2)), s)
            arguments = f"({redshift}, {matter}, {dark}, {radiation}, {state}, {hubble / 100})"
            for name, expected in (
                ("dc", along),
                ("dm", across),
                ("dl", across * (1 + redshift)),
                ("da", across / (1 + redshift)),
                ("distancemodulus", 5 * np.log10(across * (1 + redshift)) + 25),
                ("ageofuniverse", then),
            ):
                assert value(engine, f"ss_fcosmo{name}{arguments}") == pytest.approx(expected, rel=1e-6), name
        # Einstein and de Sitter's universe is as old as two thirds of the Hubble time.
        now = 977.7922216807891 / 75
        assert value(engine, "ss_fcosmoageofuniverse(0, 1, 0, 0, -1, 0.5)") == pytest.approx(now)
        assert value(engine, "ss_fcosmolookbacktime(3, 1, 0, 0, -1, 0.5)") == pytest.approx(now * 7 / 8)
        assert value(engine, "ss_fcosmotimeinterval(0, 3, 1, 0, 0, -1, 0.5)") == pytest.approx(now * 7 / 8)
        assert value(engine, "ss_fcosmodl(0)") == 0
        # SDSS's own parameters.
        own = "0.27891507, 0.721, 8.493e-5, -1, 0.701"
        assert value(engine, "ss_fcosmodl(0.1)") == value(engine, f"ss_fcosmodl(0.1, {own})")
        assert value(engine, "ss_fcosmoabsmag(20, 0.1)") == 20 - value(engine, f"ss_fcosmodistancemodulus(0.1, {own})")


class TestLanguage:
    @pytest.mark.parametrize(
        ("call", "expected"),
        [
            ("ss_str(123.456, 8, 2)", "  123.46"),
            ("ss_str(123.456)", "       123"),
            ("ss_str(123.456, 2, 2)", "**"),
            ("ss_str(123.45, 6, 1)", " 123.5"),
            ("ss_str(-0.5, 6, 2)", " -0.50"),
            ("ss_str(123.456, 6, 4)", "123.46"),
            ("ss_str(NULL, 6, 4)", None),
            ("ss_round(748.58, -3)", 1000),
            ("ss_round(150.75, 0)", 151),
            ("ss_round(150.75, 0, 1)", 150),
            ("ss_round(-2.567, 2, 1)", -2.56),
            ("ss_patindex('%en_ure%', 'Please ensure the door is locked')", 8),
            ("ss_patindex('%[^0-9A-Za-z]%', 'Please ensure')", 7),
            ("ss_patindex('a%', 'ABC')", 1),
            ("ss_patindex('%c', 'abc')", 3),
            ("ss_patindex('b%', 'abc')", 0),
            ("ss_patindex('%[_]%', 'a_c')", 2),
            ("ss_patindex('%(x)+%', 'ab(x)+')", 3),
            ("ss_patindex('abc', 'abc')", 1),
            ("ss_patindex('%x%', NULL)", None),
            ("ss_stuff('abcdef', 2, 3, 'ijklmn')", "aijklmnef"),
            ("ss_stuff('abc', 0, 1, 'x')", None),
            ("ss_stuff('abc', 4, 1, 'x')", None),
            ("ss_stuff('abc', 1, 0, NULL)", "abc"),
            ("ss_quotename('abc[]def')", "[abc[]]def]"),
            ("ss_quotename('a''b', '''')", "'a''b'"),
            ("ss_isnumeric('1e5')", 1),
            ("ss_isnumeric('one')", 0),
            ("ss_len('ab  ')", 2),
        ],
    )
    def test_as_in_sql_server(self, engine: duckdb.DuckDBPyConnection, call: str, expected: Any) -> None:
        found = value(engine, call)
        assert (float(found) if isinstance(expected, float) else found) == expected


class Nothing:
    """A context without tables."""

    def catalog(self, name: str) -> Catalog | None:
        return Catalog("SkyDemo") if name.lower() == "skydemo" else None

    def names(self) -> list[str]:
        return ["SkyDemo"]


def test_through_the_translator(engine: duckdb.DuckDBPyConnection) -> None:
    (statement,) = translate(
        "SELECT dbo.fPhotoFlags('SATURATED') | dbo.fPhotoFlags('EDGE') AS f, SkyDemo.dbo.fPhotoTypeN(3) AS t,"
        " dbo.fIAUFromEq(182.25, -12.5) AS n, dbo.fDistanceArcMinEq(0, 0, 0, 1) AS d",
        Nothing(),
        "SkyDemo",
    )
    connection = duckdb.connect()
    for text in statement.prelude:
        connection.execute(text)
    row = connection.execute(statement.sql).fetchone()
    assert row is not None
    assert row[:3] == (0x40004, "GALAXY", "SDSS J120900.00-123000.0")
    assert row[3] == pytest.approx(60)
    for query, kind, part in (
        ("SELECT dbo.fPhotoFlags('SATURATE')", Kind.NAME, "Did you mean SATURATED"),
        ("SELECT dbo.fPhotoFlag('SATURATED')", Kind.NAME, "fPhotoFlags"),
        ("SELECT dbo.fSpecZStatus('FAILED')", Kind.UNSUPPORTED, "number"),
        ("SELECT dbo.fRun()", Kind.SYNTAX, "1 argument"),
    ):
        with pytest.raises(QueryError) as raised:
            translate(query, Nothing(), "SkyDemo")
        assert raised.value.kind is kind
        assert part in str(raised.value)
        assert raised.value.line == 1
