"""The context Stripe82: identifiers, fields, matches, and the queries of tutorials."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from casjobs_service.demo import sky
from casjobs_service.demo.stripe82 import matching


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


def test_the_query_of_the_documentation(stripe: SimpleNamespace) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "stripe82.md").read_text()
    (query,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    curve = stripe.tsql(query)
    assert curve.num_rows > 20
    # It is that of a variable star.
    assert np.ptp(curve["psfMag_r"].to_numpy()) > 10 * np.mean(curve["psfMagErr_r"].to_numpy())
