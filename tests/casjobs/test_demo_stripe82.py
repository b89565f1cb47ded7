"""The context Stripe82: what is real agrees with the catalogues, what is simulated with the stated models."""

from __future__ import annotations

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_sun
from astropy.time import Time

from casjobs_service.demo import objects, sources
from casjobs_service.demo.stripe82 import build, population, variables

BANDS = "ugriz"
# Not an astropy site name: that would be downloaded.
APACHE_POINT = EarthLocation.from_geodetic(-105.82 * u.deg, 32.78 * u.deg, 2788 * u.m)


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
