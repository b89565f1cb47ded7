"""The context Stripe82: what is real agrees with the catalogues, what is simulated with the stated models."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import astropy.units as u
import duckdb
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_sun
from astropy.time import Time

from casjobs_service.contexts import Contexts
from casjobs_service.demo import loading, objects, sky, sources
from casjobs_service.demo.stripe82 import build, matching, population, variables
from tests.casjobs.spatial_support import World

BANDS = "ugriz"
# Not an astropy site name: that would be downloaded.
APACHE_POINT = EarthLocation.from_geodetic(-105.82 * u.deg, 32.78 * u.deg, 2788 * u.m)


@pytest.fixture(scope="module")
def stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The context as `sciserver up` makes it, for DuckDB's SQL and for T-SQL."""
    contexts = Contexts(tmp_path_factory.mktemp("casjobs") / "contexts")
    assert loading.load(contexts, ["stripe82"], full=False, say=print) == ["Stripe82"]
    context = contexts.require("Stripe82")
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{context.data_file}' AS Stripe82 (READ_ONLY)")
        connection.execute("USE Stripe82")
        catalog = contexts.catalog("Stripe82")
        assert catalog is not None
        world = World(connection, {"stripe82": catalog})
        yield SimpleNamespace(
            context=context,
            catalog=catalog,
            rows=lambda query: connection.execute(query).fetchall(),
            one=lambda query: connection.execute(query).fetchall()[0],
            columns=lambda query: connection.execute(query).fetchnumpy(),
            tsql=lambda query: world.run(query, "Stripe82"),
        )


# -- the whole


def test_it_is_small_and_has_what_it_says(stripe: SimpleNamespace) -> None:
    assert stripe.context.data_file.stat().st_size < 30e6
    real, stars, galaxies = stripe.one(
        "SELECT count(catalogue), count(*) FILTER (catalogue IS NULL AND type = 6), "
        "count(*) FILTER (catalogue IS NULL AND type = 3) FROM DemoSource"
    )
    # A few are so near to brighter ones that they are left out.
    assert 760 < real < 774
    assert 7_980 < stars <= 8_000
    assert 4_980 < galaxies <= 5_000
    assert stripe.one("SELECT count(*), count(DISTINCT objID) FROM PhotoObjAll WHERE mode = 2")[0] > 200_000


def test_it_is_the_same_each_time(stripe: SimpleNamespace) -> None:
    again = build.simulate(objects.small_objects(), 1)["photo"]
    names = {"objid": "objID", "ra": "ra", "dec": "dec", "psf_g": "psfMag_g", "model_error_z": "modelMagErr_z"}
    found = stripe.columns(f"SELECT {', '.join(names.values())} FROM PhotoObjAll")  # noqa: S608 - our own names
    assert again.num_rows == len(found["objID"])
    for ours, theirs in names.items():
        np.testing.assert_array_equal(again[ours].to_numpy().astype(found[theirs].dtype), found[theirs])


def test_every_table_says_what_is_real_derived_and_simulated(stripe: SimpleNamespace) -> None:
    for table in stripe.catalog.tables:
        if table.kind == "table":
            assert "imulated" in table.description or "Computed" in table.description, table.name
        assert table.description.endswith((".", "Simulated.")), table.name
    photo = stripe.catalog.table("PhotoObjAll")
    assert "Real" in photo.description
    for name in (*(f"{kind}Mag_{band}" for kind in ("psf", "model") for band in BANDS), "ra", "dec", "mjd", "run"):
        assert "Simulated" in photo.column(name).description, name
    truth = stripe.catalog.table("DemoSource")
    for name in ("ra", "dec", "pmRA"):
        assert "Real if catalogue is given" in truth.column(name).description
    assert "Derived" in truth.column("r").description


# -- what is real


def test_positions_are_those_of_hipparcos_at_the_time_of_each_visit(stripe: SimpleNamespace) -> None:
    found = stripe.columns(
        "SELECT d.identifier, p.ra, p.dec, p.raErr, f.mjd_r FROM DemoSource d JOIN PhotoObjAll p USING (thingId) "
        "JOIN Field f ON p.fieldID = f.fieldID WHERE d.catalogue = 'Hipparcos' AND p.mode = 2"
    )
    stars = sources.hipparcos()
    row = {number: index for index, number in enumerate(stars["HIP"].tolist())}
    index = np.array([row[number] for number in found["identifier"].tolist()])
    catalogue = SkyCoord(
        stars["RArad"][index] * u.rad,
        stars["DErad"][index] * u.rad,
        pm_ra_cosdec=stars["pmRA"][index] * u.mas / u.yr,
        pm_dec=stars["pmDE"][index] * u.mas / u.yr,
        # So that nothing but the proper motion counts.
        distance=np.full(len(index), 100) * u.pc,
        obstime=Time(1991.25, format="jyear"),
    )
    there = catalogue.apply_space_motion(new_obstime=Time(found["mjd_r"], format="mjd"))
    east = (found["ra"] - there.ra.deg + 180) % 360 - 180
    pulls = np.concatenate([east * np.cos(there.dec.rad), found["dec"] - there.dec.deg]) * 3600
    pulls /= np.tile(found["raErr"], 2)
    assert len(pulls) > 20_000
    assert abs(pulls.mean()) < 0.03
    assert pulls.std() == pytest.approx(1, abs=0.02)
    assert np.abs(pulls).max() < 6
    # Some of them moved so far that this test would notice if they had not.
    speed = np.hypot(stars["pmRA"][index], stars["pmDE"][index])
    assert (speed > 500).any()


def test_true_magnitudes_of_real_objects_are_those_of_skydemo(stripe: SimpleNamespace) -> None:
    from casjobs_service.demo import photometry

    small = objects.small_objects()
    expected = photometry.derive(small.v, small.b_v, small.v_i, small.measured_b_v, small.measured_v_i)
    row = {name: index for index, name in enumerate(small.name.tolist())}
    found = stripe.columns("SELECT name, u, g, r, i, z, ra, dec FROM DemoSource WHERE catalogue IS NOT NULL")
    index = np.array([row[name] for name in found["name"]])
    for band in BANDS:
        np.testing.assert_allclose(found[band], expected.values[band][index], atol=1e-3)
    np.testing.assert_allclose(found["dec"], small.dec[index], atol=1e-8)
    assert np.abs(found["dec"]).max() < 1.25
    assert not ((found["ra"] > 59) & (found["ra"] < 310)).any()


# -- what is simulated


def test_the_scatter_of_magnitudes_is_that_of_the_stated_errors(stripe: SimpleNamespace) -> None:
    for number, band in enumerate(BANDS):
        for kind, type_, limit in (("psf", 6, 20), ("model", 3, 19.5)):
            # In fluxes, by the service's own functions: faint magnitudes are not normally distributed.
            (row,) = stripe.tsql(
                f"SELECT COUNT(*) AS n, AVG(x.pull) AS mean, STDEV(x.pull) AS scatter, AVG(x.err) AS err FROM ("  # noqa: S608
                f" SELECT (dbo.fMagToFlux(p.{kind}Mag_{band}, {number}) - 3630.78e9 * POWER(10e0, -0.4 * d.{band}))"
                f" / dbo.fMagToFluxErr(p.{kind}Mag_{band}, p.{kind}MagErr_{band}, {number}) AS pull,"
                f" p.{kind}MagErr_{band} AS err FROM PhotoObj p JOIN DemoSource d ON d.thingId = p.thingId"
                f" WHERE p.mode = 2 AND p.type = {type_} AND d.r < {limit} AND d.variable IS NULL) x"
            ).to_pylist()
            assert row["n"] > 10_000
            assert abs(row["mean"]) < 0.03, (band, kind)
            assert row["scatter"] == pytest.approx(1, abs=0.02), (band, kind)
            assert row["err"] >= (0.02 if band in "uz" else 0.01)


def test_errors_grow_as_sky_and_photons_make_them(stripe: SimpleNamespace) -> None:
    bright, faint, worse = stripe.one(
        """SELECT median(psfMagErr_r) FILTER (psfMag_r < 15),
        median(psfMagErr_r) FILTER (psfMag_r BETWEEN 21 AND 21.1),
        median(psfMagErr_r) FILTER (psfMag_r BETWEEN 21 AND 21.1 AND psfWidth_r > 1.6)
        FROM PhotoObjAll JOIN Field USING (fieldID) WHERE type = 6 AND mode = 2"""
    )
    assert bright == pytest.approx(0.01 * 1.0857, abs=0.0005)
    # A fifth at 22.70 in usual seeing: at 21.05 it is a fifth times 10^(-0.4 * 1.65), and the photons.
    x = 10 ** (-0.4 * 1.65)
    assert faint == pytest.approx(1.0857 * np.sqrt(0.001 * x + 0.039 * x**2 + 0.01**2), rel=0.05)
    assert worse > 1.15 * faint


def test_sums_are_deeper_than_visits_by_the_root_of_their_number(stripe: SimpleNamespace) -> None:
    ratio, count = stripe.one(
        """SELECT median(v.err / s.psfMagErr_r / sqrt(v.n)), count(*) FROM PhotoPrimary s JOIN (SELECT thingId,
        sqrt(1 / avg(psfMagErr_r ** -2)) AS err, count(*) AS n FROM PhotoSecondary GROUP BY thingId) v USING (thingId)
        WHERE s.type = 6 AND s.r < 19"""
    )
    assert count > 2_000
    assert ratio == pytest.approx(1, abs=0.01)


def test_one_simulated_star_in_a_hundred_varies_and_the_light_curves_show_which(stripe: SimpleNamespace) -> None:
    every, varies = stripe.one("SELECT count(*), count(variable) FROM DemoSource WHERE catalogue IS NULL AND type = 6")
    assert varies == 2 * round(every * variables.FRACTION / 2)
    assert stripe.one("SELECT count(variable) FROM DemoSource WHERE catalogue IS NOT NULL OR type = 3") == (0,)
    found = stripe.rows(
        """SELECT d.variable, d.amplitude, chi FROM DemoSource d JOIN (
            SELECT thingId, var_samp(psfMag_g) / avg(psfMagErr_g ** 2) AS chi
            FROM PhotoSecondary WHERE type = 6 GROUP BY thingId HAVING count(*) >= 10) USING (thingId)
        WHERE d.g < 19.5"""
    )
    quiet = [chi for kind, _, chi in found if kind is None]
    pulsating = [chi for kind, _, chi in found if kind == "RR Lyrae"]
    assert len(quiet) > 2_000
    assert max(quiet) < 5
    assert len(pulsating) > 30
    assert min(pulsating) > 50
    # Eclipses are short: some binaries were never seen in one.
    eclipsing = [chi for kind, _, chi in found if kind == "eclipsing binary"]
    assert 0.3 < np.mean(np.array(eclipsing) > 5) < 1


def test_variable_stars_follow_their_period_and_amplitude(stripe: SimpleNamespace) -> None:
    for number, band in enumerate(BANDS):
        found = stripe.columns(
            f"""SELECT d.variable, d.period, d.epoch, d.amplitude, p.psfMag_{band} - d.{band} AS off,
            p.psfMagErr_{band} AS error, f.mjd_{band} AS mjd FROM DemoSource d JOIN PhotoSecondary p USING (thingId)
            JOIN Field f ON f.fieldID = p.fieldID WHERE d.variable = 'RR Lyrae' AND d.u < 19.5"""  # noqa: S608
        )
        phase = variables.phases(found["mjd"], found["period"], found["epoch"])
        # Without the model: brightest at the epoch, faintest before the rise, and in between a decline.
        early, late = (phase > 0.02) & (phase < 0.12), (phase > 0.72) & (phase < 0.82)
        scaled = found["off"] / found["amplitude"]
        ratio = variables.RR_LYRAE_RATIO[number]
        assert scaled[early].mean() == pytest.approx(-0.42 * ratio, abs=0.04)
        assert scaled[late].mean() == pytest.approx(0.41 * ratio, abs=0.04)
        kind = np.full(len(phase), variables.RR_LYRAE, np.int16)
        model = variables.change(kind, phase, found["amplitude"], np.ones(len(phase)), number)
        pulls = (found["off"] - model) / found["error"]
        assert len(pulls) > 300
        assert pulls.std() == pytest.approx(1, abs=0.12)


def test_runs_are_observed_on_the_meridian_in_the_dark(stripe: SimpleNamespace) -> None:
    found = stripe.columns(
        "SELECT mjd_r, raMin, mjd_i - mjd_r AS i, mjd_g - mjd_r AS g FROM Field WHERE mjd_r IS NOT NULL "
        "USING SAMPLE 400 ROWS (reservoir, 5)"
    )
    time = Time(found["mjd_r"], format="mjd", scale="utc", location=APACHE_POINT)
    time.delta_ut1_utc = 0
    sidereal = time.sidereal_time("mean", longitude=APACHE_POINT.lon).deg
    assert np.abs((sidereal - found["raMin"] + 180) % 360 - 180).max() < 0.01
    altitude = get_sun(time).transform_to(AltAz(obstime=time, location=APACHE_POINT)).alt.deg
    assert altitude.max() < -12
    assert found["i"] * 86400 == pytest.approx(71.72, abs=0.01)
    assert found["g"] * 86400 == pytest.approx(4 * 71.72, abs=0.01)
    assert stripe.one("SELECT min(mjd) > 50960, max(mjd) < 54500, count(DISTINCT mjd) = count(mjd) FROM Run") == (
        True,
        True,
        True,
    )


def test_each_place_is_visited_twenty_times_on_average(stripe: SimpleNamespace) -> None:
    mean, least, most = stripe.one("SELECT avg(nObserve), min(nObserve), max(nObserve) FROM DemoSource")
    # Both strips have one Poisson number of runs each.
    assert mean == pytest.approx(20, abs=3)
    assert least >= 8
    assert most <= 40


def test_stars_crowd_towards_the_milky_way_and_galaxies_do_not(stripe: SimpleNamespace) -> None:
    found = stripe.rows(
        """SELECT type, count(*) FILTER (ra BETWEEN 310 AND 325) / count(*) FILTER (ra BETWEEN 20 AND 35)
        FROM DemoSource WHERE catalogue IS NULL GROUP BY type ORDER BY type"""
    )
    (_, galaxies), (_, stars) = found
    assert galaxies == pytest.approx(1, abs=0.12)
    assert stars > 2.5
    counts = [
        stripe.one(
            f"SELECT count(*) FROM DemoSource JOIN Galaxy USING (thingId) WHERE DemoSource.catalogue IS NULL "  # noqa: S608
            f"AND DemoSource.r - extinction_r BETWEEN {limit} AND {limit} + 0.5"
        )[0]
        for limit in (19, 20)
    ]
    assert counts[1] / counts[0] == pytest.approx(10**0.6, rel=0.15)


# -- identifiers, fields and matches


def test_identifiers_hold_their_parts_for_the_dialects_functions(stripe: SimpleNamespace) -> None:
    wrong = stripe.tsql(
        "SELECT COUNT(*) AS n FROM photoobjall WHERE dbo.fRun(objID) <> run OR dbo.fCamcol(objID) <> camcol OR "
        "dbo.fField(objID) <> field OR dbo.fObj(objID) <> obj OR dbo.fRerun(objID) <> rerun OR "
        "dbo.fSkyVersion(objID) <> skyVersion OR dbo.fObj(fieldID) <> 0 OR dbo.fField(fieldID) <> field"
    )
    assert wrong["n"].to_pylist() == [0]


def test_fields_hold_their_measurements(stripe: SimpleNamespace) -> None:
    fields, distinct, total, stars = stripe.one(
        "SELECT count(*), count(DISTINCT fieldID), sum(nTotal), sum(nStars) FROM Field"
    )
    assert fields == distinct
    assert (total, stars) == stripe.one("SELECT count(*), count(*) FILTER (type = 6) FROM PhotoObjAll")
    outside = stripe.one(
        "SELECT count(*) FROM PhotoObjAll p LEFT JOIN Field f ON p.fieldID = f.fieldID WHERE f.run IS NULL "
        "OR p.run <> f.run OR p.camcol <> f.camcol OR p.dec < f.decMin OR p.dec >= f.decMax "
        "OR (p.ra - f.raMin + 360) % 360 > 0.15 OR (p.mode = 2) <> (f.mjd_r IS NOT NULL)"
    )
    assert outside == (0,)


def test_there_are_no_orphans_among_the_matches(stripe: SimpleNamespace) -> None:
    assert stripe.one("SELECT count(*) FROM Match m ANTI JOIN PhotoObjAll p ON m.objID1 = p.objID") == stripe.one(
        "SELECT count(*) FROM Match m ANTI JOIN PhotoObjAll p ON m.objID2 = p.objID"
    )
    assert stripe.one("SELECT count(*) FROM Match m ANTI JOIN MatchHead h ON m.matchHead = h.objID") == (0,)
    assert stripe.one(
        "SELECT count(*) FROM Match m ANTI JOIN Match n ON m.objID1 = n.objID2 AND n.objID1 = m.objID2"
    ) == (0,)
    assert stripe.one("SELECT count(*) FROM MatchHead h ANTI JOIN PhotoObjAll p ON h.objID = p.objID") == (0,)
    assert stripe.one("SELECT count(*) FROM Match WHERE objID1 < matchHead OR run1 = run2") == (0,)


def test_counts_of_matches_are_consistent(stripe: SimpleNamespace) -> None:
    wrong = stripe.one(
        "SELECT count(*) FROM MatchHead h LEFT JOIN (SELECT objID1, count(*) AS n FROM Match GROUP BY objID1) m "
        "ON h.objID = m.objID1 WHERE m.n IS DISTINCT FROM h.matchCount OR h.matchCount < 1 OR h.missCount < 0"
    )
    assert wrong == (0,)
    # Who has a head that is the sum has been seen as often as it has matches, and was visited the rest of the times.
    visits = stripe.one(
        "SELECT count(*) FILTER (d.nObserve <> h.matchCount + h.missCount), count(*) FROM MatchHead h "
        "JOIN PhotoPrimary p ON h.objID = p.objID JOIN DemoSource d USING (thingId)"
    )
    assert visits[0] == 0
    assert visits[1] > 13_000
    misses = stripe.one("SELECT sum(missCount) FROM MatchHead JOIN PhotoPrimary USING (objID) WHERE r > 20")[0]
    assert misses > 100


def test_groups_are_the_true_objects_unless_they_moved(stripe: SimpleNamespace) -> None:
    mixed = stripe.one(
        "SELECT count(*) FROM (SELECT matchHead FROM PhotoObjAll WHERE matchHead IS NOT NULL GROUP BY matchHead "
        "HAVING count(DISTINCT thingId) > 1)"
    )
    assert mixed == (0,)
    split = stripe.rows(
        "SELECT sqrt(d.pmRA ** 2 + d.pmDec ** 2), d.r, d.name FROM (SELECT thingId FROM PhotoObjAll GROUP BY thingId "
        "HAVING count(DISTINCT coalesce(matchHead, objID)) > 1) JOIN DemoSource d USING (thingId)"
    )
    assert 1 <= len(split) < 60
    assert all(speed > 150 or magnitude > 20 for speed, magnitude, _ in split), split
    assert any(speed > 900 for speed, *_ in split)


def test_matches_are_those_that_the_services_own_search_finds(stripe: SimpleNamespace) -> None:
    searched = stripe.tsql(
        "SELECT a.objID AS one, n.objID AS other, n.distance FROM PhotoObjAll a "
        "CROSS APPLY dbo.fGetNearbyObjAllEq(a.ra, a.dec, 1.0 / 60) n "
        "WHERE n.run <> a.run AND a.ra BETWEEN 358 AND 360 AND a.dec BETWEEN -0.5 AND 0.5"
    )
    listed = stripe.tsql(
        "SELECT m.objID1 AS one, m.objID2 AS other, m.distance FROM Match m JOIN PhotoObjAll a ON a.objID = m.objID1 "
        "WHERE m.distance < 1.0 / 60 AND a.ra BETWEEN 358 AND 360 AND a.dec BETWEEN -0.5 AND 0.5"
    )

    def pairs(table: object) -> dict[tuple[int, int], float]:
        return {(row["one"], row["other"]): row["distance"] for row in table.to_pylist()}  # type: ignore[attr-defined]

    found, expected = pairs(listed), pairs(searched)
    assert len(found) > 20_000
    assert found.keys() == expected.keys()
    assert all(distance == pytest.approx(expected[pair], abs=1e-6) for pair, distance in found.items())


def test_means_of_matches(stripe: SimpleNamespace) -> None:
    off, spread = stripe.one(
        """SELECT max(3600 * sqrt((h.averageDec - m.d) ** 2 + ((h.averageRa - m.a + 180) % 360 - 180) ** 2)),
        max(abs(h.varDec - m.v)) FROM MatchHead h JOIN (
        SELECT matchHead, avg(dec) AS d, 3600.0 ** 2 * var_pop(dec) AS v, avg(if(ra < 180, ra + 360, ra)) % 360 AS a
        FROM PhotoObjAll GROUP BY matchHead) m ON m.matchHead = h.objID"""
    )
    assert off < 1e-4
    assert spread < 1e-4


def test_stars_without_colours_of_their_own_are_in_the_stripe() -> None:
    star = objects.Objects.of(
        "Tycho-2",
        np.array([7, 8]),
        np.array(["Tycho-2 row 7", "Tycho-2 row 8"]),
        ra=np.array([359.5, 10.0]),
        dec=np.array([0.5, 20.0]),
        v=np.array([11.0, 11.0]),
        b_v=np.array([0.6, 0.6]),
    )
    small = objects.small_objects()
    things = population.populate(objects.Objects.joined(small, star), 1, np.random.default_rng(1))
    (row,) = np.flatnonzero(things.catalogue == objects.CATALOGUES["Tycho-2"])
    assert things.name[row] == "Tycho-2 row 7"
    # As other stars of that B-V: r by its relation, i and z from the mean V-I.
    r, i, z = things.magnitudes[2:, row]
    assert r == pytest.approx(11 - 0.42 * 0.6 + 0.11, abs=1e-3)
    assert 0.05 < r - i < 0.25
    assert -0.1 < i - z < 0.15


def test_pairs_are_those_that_a_comparison_of_all_finds() -> None:
    random = np.random.default_rng(3)
    ra, dec = random.uniform(359.99, 360.01, 900), random.uniform(-0.01, 0.01, 900)
    # Also at the far end of the stripe, where a column is narrower than a zone is high.
    ra, dec = np.r_[ra, 310 + ra - 359.99], np.r_[dec, 1.24 + dec]
    one, other = matching.pairs(ra, dec, 3.0)
    vectors = sky.unit_vectors(ra, dec).T
    distance = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    near = np.argwhere(np.triu(distance < 2 * np.sin(np.radians(3 / 3600) / 2), 1))
    assert len(near) > 1_000
    assert set(zip(one.tolist(), other.tolist(), strict=True)) == set(map(tuple, near.tolist()))


def test_groups_are_what_is_connected() -> None:
    random = np.random.default_rng(8)
    # A long chain in disorder, two that meet, and one alone.
    chain = random.permutation(40)
    one, other = np.r_[chain[:-1], [40, 42]], np.r_[chain[1:], [41, 41]]
    groups = matching.groups(44, one, other)
    assert (groups[:40] == 0).all()
    assert groups[40:].tolist() == [40, 40, 40, 43]


# -- the queries of tutorials


def test_a_light_curve(stripe: SimpleNamespace) -> None:
    (head,) = stripe.tsql(
        "SELECT TOP 1 mh.objID, mh.matchCount, d.period, d.amplitude, d.variable FROM matchhead mh "
        "JOIN photoobj h ON h.objid = mh.objid JOIN DemoSource d ON d.thingId = h.thingId "
        "WHERE d.variable = 'RR Lyrae' AND mh.matchCount > 15 ORDER BY d.amplitude DESC"
    ).to_pylist()
    curve = stripe.tsql(
        f"""select f.mjd_r, p.psfmag_r, p.psfmagerr_r, p.run, dbo.fGetUrlFitsCFrame(f.fieldID, 'r') as url
        from matchhead mh, match m, photoobj p, field f
        where mh.objid = {head["objID"]} and m.objid1 = mh.objid and p.objid = m.objid2 and f.fieldid = p.fieldid
        order by f.mjd_r"""  # noqa: S608 - a number
    )
    assert curve.num_rows == head["matchCount"]
    mjd, magnitudes = (curve[name].to_numpy() for name in ("mjd_r", "psfmag_r"))
    assert (np.diff(mjd) > 0).all()
    assert 0.3 * head["amplitude"] < np.ptp(magnitudes) < 0.71 * head["amplitude"] + 0.1
    run = curve["run"].to_pylist()[0]
    assert f"/frames/301/{run}/" in curve["url"].to_pylist()[0]


def test_addresses_of_corrected_frames(stripe: SimpleNamespace) -> None:
    (row,) = stripe.tsql(
        "SELECT TOP 1 run, camcol, field, dbo.fGetUrlFitsCFrame(fieldID, 'r') AS url FROM field ORDER BY fieldID DESC"
    ).to_pylist()
    run, camcol, field = row["run"], row["camcol"], row["field"]
    assert row["url"] == (
        f"https://data.sdss.org/sas/dr17/eboss/photoObj/frames/301/{run}/{camcol}/"
        f"frame-r-{run:06d}-{camcol}-{field:04d}.fits.bz2"
    )
    galaxies = stripe.tsql(
        "select top 16 g.objId, g.ra, g.dec, g.petror90_r, dbo.fGetUrlFitsCFrame(F.FIELDiD,'r') as fieldURL "
        "from galaxy g, field f where f.run=g.run and f.camcol=g.camcol and f.field=g.field and f.rerun=g.rerun"
    )
    assert galaxies.num_rows == 16
    assert min(galaxies["petror90_r"].to_pylist()) > 0


def test_a_selection_by_colour(stripe: SimpleNamespace) -> None:
    # The box of RR Lyrae stars of Ivezic et al. (2005), in magnitudes corrected for extinction.
    found = stripe.tsql(
        """SELECT s.objID, d.variable FROM Star s JOIN DemoSource d ON d.objID = s.objID
        WHERE s.dered_u - s.dered_g BETWEEN 0.98 AND 1.30 AND s.dered_g - s.dered_r BETWEEN -0.05 AND 0.35
        AND s.dered_r - s.dered_i BETWEEN -0.15 AND 0.22 AND s.dered_i - s.dered_z BETWEEN -0.21 AND 0.25
        AND s.dered_r BETWEEN 14 AND 19 AND (s.flags & (dbo.fPhotoFlags('SATURATED') | dbo.fPhotoFlags('EDGE'))) = 0"""
    )
    kinds = found["variable"].to_pylist()
    every = stripe.one("SELECT count(*) FROM DemoSource WHERE variable = 'RR Lyrae'")[0]
    assert kinds.count("RR Lyrae") > 0.85 * every
    # Stars of the main sequence that are as blue are the rest.
    assert kinds.count(None) > 10
    coadded = stripe.tsql(
        "SELECT COUNT(*) AS n FROM Stripe82.PhotoObjAll WHERE run IN (106, 206) AND psfMag_r BETWEEN -9999 AND 20.0 "
        "AND type = 3 AND (Ra BETWEEN 0.0 AND 60.0 OR Ra BETWEEN 300.0 AND 360.0) AND Dec BETWEEN -1.25 AND 1.25"
    )
    assert coadded["n"].to_pylist()[0] > 200


def test_searches_by_position_find_each_object_once(stripe: SimpleNamespace) -> None:
    found = stripe.tsql(
        "SELECT n.objID, p.mode FROM dbo.fGetNearbyObjEq(359.9, 0.1, 30) n JOIN PhotoObj p ON p.objID = n.objID"
    )
    every = stripe.tsql("SELECT n.objID FROM dbo.fGetNearbyObjAllEq(359.9, 0.1, 30) n")
    assert set(found["mode"].to_pylist()) == {1}
    assert every.num_rows > 8 * found.num_rows > 100
