"""The decoders of the catalogues, the matching of the full mode on slices, and what magnitudes are derived from."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from casjobs_service.demo import objects, photometry, schema, sky, sources


def _index_of_tycho(path: Path, ra: np.ndarray, dec: np.ndarray, magnitudes: np.ndarray) -> None:
    """Write an index as astrometry.net does: raw arrays in FITS tables."""
    vectors = sky.unit_vectors(ra, dec).T
    steps = 2**32 / 2.1
    limits = np.array([-1.05] * 3 + [1.05] * 3 + [steps], "<f8")
    data = np.round((vectors - limits[:3]) * steps).astype("<u4")

    tables = [("kdtree_range_stars", limits), ("kdtree_data_stars", data)]
    units = []
    for name, array in tables:
        rows = array.reshape(len(array), -1)
        width = rows.shape[1] * rows.itemsize
        raw = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), width)
        units.append(fits.BinTableHDU.from_columns([fits.Column(name, f"{width}B", array=raw)]))
    units.append(fits.BinTableHDU.from_columns([fits.Column("MAG_VT", "E", array=magnitudes)]))
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)


def test_tycho_is_decoded_from_the_index_of_debian(tmp_path: Path) -> None:
    ra = np.array([0.0, 279.23473479, 45.0, 359.9999])
    dec = np.array([-89.9, 38.78368896, 0.0, 60.5])
    _index_of_tycho(tmp_path / "index.fits", ra, dec, np.array([11.5, 0.03, 9.25, 12.0]))
    stars = sources.tycho(tmp_path / "index.fits")
    assert stars["vt"].tolist() == pytest.approx([11.5, 0.03, 9.25, 12.0])
    difference = sky.unit_vectors(stars["ra"], stars["dec"]) - sky.unit_vectors(ra, dec)
    # Steps of 0.1 mas.
    assert np.degrees(np.linalg.norm(difference, axis=0)).max() * 3_600_000 < 0.2


def test_another_file_is_not_taken_for_tycho(tmp_path: Path) -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("MAG_VT", "E", array=np.ones(3))])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "other.fits")
    with pytest.raises(sources.SourceError, match="not an index of Tycho-2"):
        sources.tycho(tmp_path / "other.fits")


def test_without_apt_the_operator_hears_how_to_get_tycho(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sources, "_TYCHO_INSTALLED", tmp_path)
    with pytest.raises(sources.SourceError, match="apt-get install astrometry-data-tycho2"):
        sources.obtain_tycho(print)


def test_gaia_is_decoded(tmp_path: Path) -> None:
    records = [(1576683529448755328, 193.5, 55.9, 1.73, 2.5, -2.1), (-91262, 279.2, 38.8, 0.03, 0.0, 0.0)]
    path = tmp_path / "gaia.bin"
    path.write_bytes(struct.pack("<4sIQ", b"GDR3", 1, 2) + b"".join(struct.pack("<qddfff", *row) for row in records))
    stars = sources.gaia(path)
    assert stars["source_id"].tolist() == [1576683529448755328, -91262]
    assert stars["ra"].tolist() == [193.5, 279.2]
    assert stars["pmdec"][0] == pytest.approx(-2.1)
    assert np.isnan(stars["pmra"][1])
    path.write_bytes(path.read_bytes()[:-36])
    with pytest.raises(sources.SourceError, match="cut off"):
        sources.gaia(path)
    path.write_bytes(b"GDR4" + path.read_bytes()[4:])
    with pytest.raises(sources.SourceError, match="another form"):
        sources.gaia(path)


def test_the_packages_file_of_gaia_has_the_stars_it_promises() -> None:
    stars = sources.gaia()
    assert len(stars["ra"]) == 482_176
    assert (stars["source_id"] < 0).sum() == 70
    assert stars["g"].max() < 10


def test_nearest_finds_what_a_comparison_of_all_pairs_finds() -> None:
    random = np.random.default_rng(4)
    # Over the sky, around both poles, and around right ascension 0.
    ra = np.concatenate([random.uniform(0, 360, 800), random.uniform(359.99, 360.01, 200) % 360])
    dec = np.concatenate(
        [random.uniform(-90, 90, 400), random.uniform(89.998, 90, 200), random.uniform(-90, -89.998, 200)]
    )
    dec = np.concatenate([dec, random.uniform(-1, 1, 200)])
    vectors = sky.unit_vectors(ra, dec)
    there = vectors + np.radians(random.normal(0, 0.8, vectors.shape) / 3600)
    other_ra, other_dec = sky.angles(there)
    index = objects.nearest(ra, dec, other_ra, other_dec, 2.0)
    there /= np.linalg.norm(there, axis=0)
    distance = 2 * np.arcsin(np.linalg.norm(vectors[:, :, None] - there[:, None, :], axis=0) / 2)
    reach = np.radians(2 / 3600)
    best = np.where(distance.min(axis=1) < reach, distance.argmin(axis=1), -1)
    # Each other position goes to the one that is nearest among those that want it.
    for number in np.unique(best[best >= 0]):
        rivals = np.flatnonzero(best == number)
        best[np.setdiff1d(rivals, rivals[[distance[rivals, number].argmin()]])] = -1
    assert (index == best).all()
    assert 500 < (index >= 0).sum() < 1000


def test_the_full_mode_has_each_star_once() -> None:
    hipparcos = objects.hipparcos_stars(sources.hipparcos())
    gaia = sources.gaia()
    # A Tycho-2 of one in ten stars of Hipparcos, one in ten of Gaia, and two that nobody else has.
    some, few = slice(None, None, 10), slice(1_000, None, 10)
    ra, dec = sky.at_epoch(gaia["ra"], gaia["dec"], gaia["pmra"], gaia["pmdec"], -16.0)
    tycho = {
        "ra": np.concatenate([hipparcos.ra[some], ra[few], [10.0, 200.0]]),
        "dec": np.concatenate([hipparcos.dec[some], dec[few], [-89.5, 89.5]]),
        "vt": np.concatenate([hipparcos.v[some], gaia["g"][few] + 0.2, [11.0, 12.0]]).astype(np.float32),
    }
    found = objects.all_objects(tycho)
    counts = {name: int((found.source == number).sum()) for name, number in objects.CATALOGUES.items()}
    assert counts["Hipparcos"] == 117_955
    assert counts["OpenNGC"] == 10_521
    assert 370_000 < counts["Gaia DR3"] < 482_106 - 80_000
    # Beside the two: components of double stars, for which Gaia and Hipparcos have different positions.
    assert 2 <= counts["Tycho-2"] < 60
    names = found.name[found.source == objects.CATALOGUES["Tycho-2"]]
    last = len(tycho["ra"])
    assert {f"Tycho-2 row {last - 1}", f"Tycho-2 row {last}"} <= set(names)
    stars = found.source == objects.CATALOGUES["Gaia DR3"]
    with_colour = stars & np.isfinite(found.b_v)
    assert 20_000 < with_colour.sum() < stars.sum()
    assert not found.measured_b_v[stars].any()
    assert np.isnan(found.v[stars & ~np.isfinite(found.b_v)]).all()


def test_positions_move_with_the_proper_motion() -> None:
    # Barnard's star: 10.4 arcsec a year.
    ra, dec = sky.at_epoch(np.array([269.45]), np.array([4.69]), np.array([-798.6]), np.array([10328.1]), 8.75)
    assert ra[0] == pytest.approx(269.45 - 8.75 * 0.7986 / 3600 / np.cos(np.radians(4.69)), abs=1e-6)
    assert dec[0] == pytest.approx(4.69 + 8.75 * 10.3281 / 3600, abs=1e-6)
    ra, dec = sky.at_epoch(np.array([0.0]), np.array([0.0]), np.array([np.nan]), np.array([np.nan]), 100.0)
    assert (ra[0], dec[0]) == (0, 0)


def test_magnitudes_of_the_sun_are_near_sdss_s_estimate() -> None:
    one = np.ones(1, bool)
    sun = photometry.derive(np.array([4.82]), np.array([0.65]), np.array([0.70]), one, one)
    g = sun.values["g"][0]
    assert g == pytest.approx(5.12, abs=0.05)
    assert g - sun.values["r"][0] == pytest.approx(0.44, abs=0.05)
    assert sun.values["r"][0] - sun.values["i"][0] == pytest.approx(0.11, abs=0.08)
    assert sun.values["i"][0] - sun.values["z"][0] == pytest.approx(0.03, abs=0.08)
    assert sun.values["u"][0] - g == pytest.approx(1.43, abs=0.1)


def test_what_is_not_known_stays_unknown() -> None:
    unknown = np.array([np.nan])
    no = np.zeros(1, bool)
    magnitudes = photometry.derive(np.array([5.0]), unknown, unknown, no, no)
    assert all(np.isnan(values).all() for values in (*magnitudes.values.values(), *magnitudes.errors.values()))


@pytest.mark.parametrize(
    ("b_v", "difference"),
    # V - Hp by Bessell (2000, PASP 112, 961, table 2), with B-V = 0.850 (BT-VT).
    [(0.0, -0.011), (0.4675, -0.114), (0.68, -0.137), (0.85, -0.155), (1.02, -0.162)],
)
def test_v_from_hipparcos_agrees_with_another_author(b_v: float, difference: float) -> None:
    assert photometry.johnson_v(np.array([0.0]), np.array([b_v]))[0] == pytest.approx(difference, abs=0.02)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("E", 1), ("E?", 1), ("E-S0", 2), ("S0", 2), ("S0-a", 2), ("SB0-a", 2), ("SBa", 3), ("Sab", 3)),
        *(("SABb", 4), ("Sbc", 4), ("Sc", 5), ("SBcd", 5), ("Sm", 6), ("IB", 6), ("", 0), ("S?", 0)),
    ],
)
def test_hubble_types(text: str, number: int) -> None:
    assert objects.hubble_class(text) == number


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ra | float | deg", "line 1: a column before the first table"),
        ("table T from t: Text.\nra | floaty", "line 2: 'floaty'"),
        ("table T from t: Text.\nra | float\nRA | real", "T has twice: ra"),
        ("table T from t: Text.\nview V of T: Text.\nnone", "line 3: T has no column none"),
        ("table T from t: Text.\na b | float", "'a b' is no name"),
        ("table T from t: Text.\na | int\ntable t: Text.", "t is there twice"),
        ("table T: Text.", "T has no columns"),
    ],
)
def test_a_fault_in_a_schema_file_is_located(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "faulty.txt").write_text(text)
    with pytest.raises(schema.SchemaError, match=complaint):
        schema.read([tmp_path / "faulty.txt"])


def test_patterns_of_names() -> None:
    assert schema.expand("psfMag_{ugriz}, w{1..2}_{a,bc}") == [
        *((f"psfMag_{band}", band) for band in "ugriz"),
        ("w1_a", "1"),
        ("w1_bc", "1"),
        ("w2_a", "2"),
        ("w2_bc", "2"),
    ]
