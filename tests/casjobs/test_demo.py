"""The demonstration contexts as `sciserver up` makes them, read back from their files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io.votable.ucd import check_ucd
from astropy.units import Unit

from casjobs_service.catalog import Catalog
from casjobs_service.contexts import Contexts
from casjobs_service.demo import loading, sky

BANDS = "ugriz"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """All contexts of the small mode, attached to one engine."""
    contexts = Contexts(tmp_path_factory.mktemp("casjobs") / "contexts")
    said: list[str] = []
    made = loading.ensure_demo(contexts, said.append)
    with duckdb.connect() as connection:
        for context in contexts.all():
            connection.execute(f"ATTACH '{context.data_file}' AS \"{context.name}\" (READ_ONLY)")
        connection.execute("USE SkyDemo")

        def one(query: str) -> tuple:
            [row] = connection.execute(query).fetchall()
            return row

        yield SimpleNamespace(
            contexts=contexts,
            made=made,
            said=said,
            one=one,
            rows=lambda query: connection.execute(query).fetchall(),
            columns=lambda query: connection.execute(query).fetchnumpy(),
            catalog=contexts.catalog("SkyDemo"),
        )


def test_the_small_mode_makes_contexts_that_everybody_may_read(demo: SimpleNamespace) -> None:
    assert demo.made == list(loading.SMALL)
    assert len(demo.said) == len(loading.SMALL)
    assert all(context.public for context in demo.contexts.all())
    size = sum(context.data_file.stat().st_size for context in demo.contexts.all())
    assert size < 120e6


def test_counts_are_those_of_the_catalogues(demo: SimpleNamespace) -> None:
    assert demo.one("SELECT count(*), count(DISTINCT HIP) FROM Hipparcos.stars") == (117_955, 117_955)
    assert demo.one("SELECT count(*), count(redshift) FILTER (type = 'G') FROM OpenNGC.objects") == (14_033, 9_980)
    assert demo.one("SELECT count(*) FROM OpenNGC.identifiers") == (38_936,)
    assert demo.one("SELECT count(*), count(DISTINCT objID) FROM PhotoObjAll") == (128_476, 128_476)
    assert demo.one("SELECT (SELECT count(*) FROM Star), (SELECT count(*) FROM Galaxy)") == (117_955, 10_521)
    assert demo.one("SELECT count(*), count(DISTINCT specObjID) FROM SpecObj") == (9_980, 9_980)


def test_vega(demo: SimpleNamespace) -> None:
    ra, dec, parallax, magnitude = demo.one("SELECT ra, dec, Plx, Hpmag FROM Hipparcos.stars WHERE HIP = 91262")
    # van Leeuwen (2007), at J1991.25.
    assert (ra, dec) == (pytest.approx(279.23410825, abs=1e-7), pytest.approx(38.78299326, abs=1e-7))
    assert (parallax, magnitude) == (130.23, pytest.approx(0.0868))
    ra, dec, *magnitudes = demo.one(
        "SELECT ra, dec, u, g, r, i, z FROM Star JOIN DemoSource ON Star.objID = DemoSource.objID "
        "WHERE name = 'HIP 91262'"
    )
    j2000 = SkyCoord("18h36m56.33635s", "+38d47m01.2802s")
    assert SkyCoord(ra, dec, unit="deg").separation(j2000).arcsec < 0.02
    # SDSS's own estimate of Vega's magnitudes, for V = 0.03 and all colours 0.
    g = -0.08
    expected = [g + 1.02, g, g + 0.25, g + 0.25 + 0.23, g + 0.25 + 0.23 + 0.17]
    assert magnitudes == pytest.approx(expected, abs=0.2)


def test_the_andromeda_galaxy(demo: SimpleNamespace) -> None:
    ra, dec, type_, b, v, redshift = demo.one(
        "SELECT ra, dec, type, bmag, vmag, redshift FROM OpenNGC.objects WHERE messier = '031'"
    )
    m31 = SkyCoord("00h42m44.35s", "+41d16m08.6s")
    assert SkyCoord(ra, dec, unit="deg").separation(m31).arcsec < 1
    assert (type_, b, v, redshift) == ("G", pytest.approx(4.29), pytest.approx(3.44), -0.001)
    names = {name for (name,) in demo.rows("SELECT identifier FROM OpenNGC.identifiers WHERE name = 'NGC0224'")}
    assert {"NGC0224", "UGC00454"} <= names
    g, r, axis_ratio, angle, z = demo.one(
        "SELECT p.g, p.r, p.expAB_r, p.expPhi_r, s.z FROM Galaxy p JOIN SpecObj s ON p.specObjID = s.specObjID "
        "JOIN DemoSource d ON d.objID = p.objID WHERE d.name = 'NGC0224'"
    )
    assert (g, r) == (
        pytest.approx(3.44 + 0.60 * 0.85 - 0.12, abs=1e-3),
        pytest.approx(3.44 - 0.42 * 0.85 + 0.11, abs=1e-3),
    )
    assert (axis_ratio, angle, z) == (pytest.approx(69.66 / 177.83, abs=1e-3), 35, pytest.approx(-0.001))


def test_identifiers_of_objects_hold_their_parts_as_sdss_packs_them(demo: SimpleNamespace) -> None:
    wrong = demo.one(
        """SELECT count(*) FROM PhotoObjAll WHERE objID < 0
        OR (objID >> 59) & 15 <> skyVersion OR (objID >> 48) & 2047 <> rerun OR (objID >> 32) & 65535 <> run
        OR (objID >> 29) & 7 <> camcol OR (objID >> 28) & 1 <> (field = 11)::int OR (objID >> 16) & 4095 <> field
        OR objID & 65535 <> obj OR fieldID <> objID - obj OR camcol NOT BETWEEN 1 AND 6"""
    )
    assert wrong == (0,)


def test_an_identifier_of_sdss_is_made_of_its_parts() -> None:
    from casjobs_service.demo import survey

    one = np.array([1])
    # An object and a spectrum of SDSS, from its public pages.
    assert survey.photo_id(752 * one, 1 * one, 373 * one, 40 * one).tolist() == [1237648702973476904]
    assert survey.spectrum_id(266 * one, 1 * one, mjd=51602, run2d=26).tolist() == [299489676975171584]


def test_fields_hold_their_objects(demo: SimpleNamespace) -> None:
    assert demo.one("SELECT count(*), sum(nObjects) FROM Field") == (
        demo.one("SELECT count(DISTINCT fieldID) FROM PhotoObjAll")[0],
        128_476,
    )
    outside = demo.one(
        "SELECT count(*) FROM PhotoObjAll p JOIN Field f ON p.fieldID = f.fieldID WHERE p.ra NOT BETWEEN f.raMin AND "
        "f.raMax OR p.dec NOT BETWEEN f.decMin AND f.decMax OR p.run <> f.run OR p.camcol <> f.camcol"
    )
    assert outside == (0,)
    assert demo.one(
        "SELECT min(dec) >= -1.25, max(dec) < 1.25, count(*) > 1000 FROM PhotoObj WHERE run IN (106, 206)"
    ) == (
        True,
        True,
        True,
    )
    runs = demo.one("SELECT count(*) FROM (SELECT DISTINCT run FROM PhotoObjAll) ANTI JOIN Run USING (run)")
    assert runs == (0,)


def test_spectra_belong_to_galaxies_and_to_plates(demo: SimpleNamespace) -> None:
    wrong = demo.one(
        """SELECT count(*) FROM SpecObjAll s LEFT JOIN PhotoObjAll p ON s.bestObjID = p.objID
        LEFT JOIN PlateX x ON s.plateID = x.plateID
        WHERE p.objID IS NULL OR p.specObjID <> s.specObjID OR p.type <> 3 OR p.ra <> s.ra OR p.dec <> s.dec
        OR x.plate <> s.plate OR s.specObjID >> 50 <> s.plate OR (s.specObjID >> 38) & 4095 <> s.fiberID
        OR ((s.specObjID >> 24) & 16383) + 50000 <> s.mjd OR s.fiberID NOT BETWEEN 1 AND 640"""
    )
    assert wrong == (0,)
    assert demo.one("SELECT count(*) FROM PhotoObjAll WHERE specObjID <> 0") == (9_980,)
    assert demo.one("SELECT count(*), max(abs(p.z - s.zFinal)) FROM SpecPhoto p JOIN SpecObj s USING (specObjID)") == (
        9_980,
        0.0,
    )
    plates = demo.one("SELECT count(*), sum(nGalaxy), max(nGalaxy) <= 640 FROM PlateX")
    assert plates == (16, 9_980, True)


@pytest.mark.parametrize(
    "table",
    ["SkyDemo.PhotoObjAll", "SkyDemo.SpecObjAll", "Stripe82.PhotoObjAll", "Hipparcos.stars", "OpenNGC.objects"],
)
def test_rows_are_sorted_by_zone_and_right_ascension(demo: SimpleNamespace, table: str) -> None:
    columns = demo.columns(f"SELECT zoneID, ra, dec FROM {table} WHERE ra IS NOT NULL")  # noqa: S608 - our own texts
    zone, ra, dec = (np.asarray(columns[name]) for name in ("zoneID", "ra", "dec"))
    assert len(ra) > 9_000
    assert (zone == np.floor((dec + 90) * 120)).all()
    assert ((np.diff(zone) > 0) | ((np.diff(zone) == 0) & (np.diff(ra) >= 0))).all()
    database, name = table.split(".")
    place = demo.contexts.catalog(database).table(name).sky
    assert (place.ra, place.dec, place.zone, place.zone_height) == ("ra", "dec", "zoneID", 30 / 3600)


def test_unit_vectors_and_galactic_coordinates(demo: SimpleNamespace) -> None:
    columns = demo.columns("SELECT ra, dec, cx, cy, cz, l, b FROM PhotoObjAll USING SAMPLE 500 ROWS (reservoir, 1)")
    there = SkyCoord(columns["ra"], columns["dec"], unit="deg")
    vectors = np.stack([columns[name] for name in ("cx", "cy", "cz")])
    assert np.abs(vectors - there.cartesian.xyz.value).max() < 1e-11
    galactic = SkyCoord(columns["l"], columns["b"], unit="deg", frame="galactic")
    assert galactic.separation(there.galactic).arcsec.max() < 0.05


def test_triangles_of_the_mesh_are_exact(demo: SimpleNamespace) -> None:
    columns = demo.columns("SELECT htmID, cx, cy, cz FROM PhotoObjAll USING SAMPLE 60 ROWS (reservoir, 7)")
    for htm, *vector in zip(*(columns[name] for name in ("htmID", "cx", "cy", "cz")), strict=True):
        assert _in_triangle(int(htm), np.array(vector))


def _in_triangle(htm: int, point: np.ndarray) -> bool:
    """Whether a point is in a triangle, whose corners are worked out from its number alone."""
    x, y, z = np.eye(3)
    faces = ((x, -z, y), (y, -z, -x), (-x, -z, -y), (-y, -z, x), (x, z, -y), (-y, z, -x), (-x, z, y), (y, z, x))
    digits = [(htm >> shift) & 3 for shift in range(38, -1, -2)]
    assert htm.bit_length() == 44
    a, b, c = faces[(htm >> 40) - 8]
    for digit in digits:
        ab, bc, ca = ((p + q) / np.linalg.norm(p + q) for p, q in ((a, b), (b, c), (c, a)))
        a, b, c = ((a, ab, ca), (b, bc, ab), (c, ca, bc), (bc, ca, ab))[digit]
    return all(np.dot(np.cross(p, q), point) > -1e-12 for p, q in ((a, b), (b, c), (c, a)))


def test_neighbours_are_those_that_a_comparison_of_all_pairs_finds(demo: SimpleNamespace) -> None:
    rows = demo.rows("SELECT objID, NeighborObjID, distance, type, neighborType FROM Neighbors")
    pairs = {(one, other): distance for one, other, distance, *_ in rows}
    assert len(pairs) == len(rows) > 2_000
    assert all(pairs[other, one] == pytest.approx(distance) for (one, other), distance in pairs.items())
    assert max(pairs.values()) < 0.5
    # The Pleiades and, where right ascension is of no use, the north pole; and both sides of right ascension 0.
    for where in ("ra BETWEEN 50 AND 62 AND dec BETWEEN 18 AND 30", "dec > 85", "ra < 5 OR ra > 355"):
        columns = demo.columns(f"SELECT objID, ra, dec FROM PhotoObjAll WHERE {where}")  # noqa: S608 - our own texts
        ids, vectors = columns["objID"], sky.unit_vectors(columns["ra"], columns["dec"]).T
        near = set()
        for number, vector in enumerate(vectors):
            distance = 2 * np.arcsin(np.linalg.norm(vectors - vector, axis=1) / 2)
            near |= {
                (ids[number], ids[other])
                for other in np.flatnonzero(distance < np.radians(0.5 / 60))
                if other != number
            }
        members = set(ids)
        assert near == {pair for pair in pairs if pair[0] in members and pair[1] in members}


def test_every_table_and_view_is_as_the_catalogue_says(demo: SimpleNamespace) -> None:
    for context in demo.contexts.all():
        catalog = demo.contexts.catalog(context.name)
        for table in catalog.tables:
            place = f'"{context.name}"."{table.name}"'
            found = demo.rows(f"DESCRIBE {place}")
            assert [(name, kind) for name, kind, *_ in found] == [(one.name, one.type) for one in table.columns]
            [(count,)] = demo.rows(f"SELECT count(*) FROM {place}")  # noqa: S608 - our own texts
            assert count == table.rows, table.name
            demo.rows(f"SELECT * FROM {place} LIMIT 1")  # noqa: S608 - our own texts


def test_units_and_ucds_are_standard(demo: SimpleNamespace) -> None:
    columns = [
        one
        for context in demo.contexts.all()
        for table in demo.contexts.catalog(context.name).tables
        for one in table.columns
    ]
    with warnings.catch_warnings():
        # The standard keeps the Angstrom, and would rather have 0.1nm.
        warnings.filterwarnings("ignore", "The unit 'Angstrom'")
        for unit in {one.unit for one in columns} - {""}:
            Unit(unit, format="vounit")
    for ucd in {one.ucd for one in columns} - {""}:
        assert check_ucd(ucd, check_controlled_vocabulary=True), ucd
    photo = demo.catalog.table("PhotoObjAll")
    assert photo.column("RA").ucd == "pos.eq.ra;meta.main"
    assert photo.column("psfMag_r").unit == "mag"


def test_what_is_derived_says_so_and_what_is_empty_too(demo: SimpleNamespace) -> None:
    photo = demo.catalog.table("PhotoObjAll")
    for name in [*BANDS, *(f"{kind}Mag_{band}" for kind in ("psf", "petro", "model", "cModel") for band in BANDS)]:
        assert "Derived" in photo.column(name).description, name
    assert "Real" in photo.column("ra").description
    assert "Derived" in photo.column("extinction_r").description
    for table in demo.catalog.tables:
        assert table.description, table.name
        if table.kind == "table":
            assert table.description.startswith("Empty in this demonstration") == (table.rows == 0), table.name
        elif table.rows == 0:
            assert re.search("none|[Ee]mpty", table.description), table.name


@pytest.mark.parametrize(
    ("name", "rights", "cite"),
    [
        ("OpenNGC", "CC BY-SA 4.0", "OpenNGC"),
        ("Hipparcos", "citation", "van Leeuwen"),
        ("SkyDemo", "CC BY-SA 4.0", "Jester et al. 2005"),
        ("Stripe82", "CC BY-SA 4.0", "Juric et al. 2008"),
        ("FragData", "as you like", "Weibull"),
        ("SimulationDB", "as you like", "Tinker et al. 2008"),
    ],
)
def test_contexts_say_their_licence_source_and_citation(
    demo: SimpleNamespace, name: str, rights: str, cite: str
) -> None:
    context = demo.contexts.get(name)
    assert rights in context.rights
    assert cite in context.cite
    assert context.title
    assert context.source_text
    assert context.loaded
    assert re.search("real", context.description, re.IGNORECASE)


@pytest.mark.parametrize("name", loading.FULL)
def test_each_context_of_either_mode_has_a_text_of_its_own(name: str) -> None:
    from casjobs_service.demo.about import about

    for said in (about(name, False), about(name, True)):
        assert min(map(len, (said.title, said.description, said.source_text, said.rights, said.cite))) > 15
        # Share-alike data keeps its licence also when it is mixed with others.
        assert ("CC BY-SA 3.0 IGO" in said.rights) == ("Gaia DR3" in said.source_text)


def test_the_database_describes_itself(demo: SimpleNamespace) -> None:
    listed = dict(demo.rows("SELECT name, type FROM DBObjects WHERE type IN ('U', 'V')"))
    assert {
        name: {"table": "U", "view": "V"}[kind] for name, kind in ((one.name, one.kind) for one in demo.catalog.tables)
    } == listed
    described = demo.one("SELECT count(*) FROM DBColumns")[0]
    assert described == sum(len(table.columns) for table in demo.catalog.tables)
    assert demo.one("SELECT value FROM DataConstants WHERE field = 'PhotoFlags' AND name = 'BINNED1'") == (1 << 28,)
    assert demo.one("SELECT value FROM PhotoType WHERE name = 'GALAXY'") == (3,)
    assert demo.one(
        "SELECT count(*) FROM PhotoObjAll WHERE flags <> (SELECT value FROM PhotoFlags WHERE name = 'BINNED1')"
    ) == (0,)


# What scripts for releases 7 to 17 name most, beyond what the other tests use.
NAMES = {
    "PhotoObjAll": "objID skyVersion run rerun camcol field obj mode nChild type probPSF insideMask flags rowc colc "
    "psfMag_u psfMagErr_z fiberMag_r fiber2Mag_i petroMag_g petroRad_r petroR50_r petroR90_r isoA_r isoB_r q_r u_r "
    "mE1_r mRrCc_r mCr4PSF_r deVRad_r deVAB_r expRad_r expAB_r modelMag_u cModelMag_r lnLStar_r lnLExp_r lnLDeV_r "
    "fracDeV_r flags_r type_r status ra dec cx cy cz raErr decErr b l offsetRa_u extinction_r psffwhm_r airmass_r "
    "loadVersion htmID fieldID parentID specObjID u g r i z Err_u dered_r nDetect resolveStatus thingId balkanId "
    "calibStatus_r nMgyPerCount_r TAI_r score clean primTarget secTarget psfFlux_r aperFlux7_r mjd rowv colv sky_r",
    "SpecObjAll": "specObjID bestObjID targetObjID plate mjd fiberID z zErr zWarning zConf zStatus class subClass "
    "specClass sciencePrimary legacyPrimary ra dec velDisp snMedian primTarget legacy_target1 boss_target1 "
    "eboss_target1 survey programname instrument run2d "
    "z_noqso class_noqso elodieTEff sn_0 mag_1 eClass eCoeff_0 xFocal theta_0 waveMin",
    "SpecPhoto": "specObjID objID z class modelMag_u dered_g petroRad_r extinction_r type plate mjd fiberID ra dec",
    "galSpecLine": "h_alpha_flux h_alpha_flux_err nii_6584_flux oiii_5007_flux h_beta_eqw sii_6731_flux oi_6300_flux",
    "galSpecExtra": "bptclass lgm_tot_p50 sfr_tot_p50 oh_p50 specsfr_tot_p50",
    "galSpecInfo": "v_disp sn_median reliable targettype spectrotype",
    "galSpecIndx": "lick_hd_a d4000_n lick_mgb lick_hb_sub_err",
    "emissionLinesPort": "bpt Flux_Ha_6562 Flux_NII_6583 Flux_OIII_5006 Flux_Hb_4861 Flux_Hb_4861_Err sigmaStars",
    "stellarMassPCAWiscBC03": "mstellar_median vdisp_median warning",
    "stellarMassFSPSGranWideDust": "logMass ssfr age",
    "stellarMassStarformingPort": "logMass SFR",
    "sppParams": "teffadop fehadop loggadop elodiervfinal snr flag sciencePrimary",
    "sppLines": "Hdelta12side KP12cont",
    "apogeeStar": "apogee_id apstar_id nvisits vhelio_avg vscatter starflag snr glon glat location_id",
    "aspcapStar": "teff logg fe_h mg_fe aspcapflag alpha_m apstar_id m_h param_m_h metals metals_err alphafe",
    "apogeeVisit": "visit_id vhelio mjd plate fiberid",
    "apogeeObject": "apogee_id j h k ak_targ wash_m",
    "mangaDRPall": "plateifu mangaid nsa_z nsa_elpetro_absmag_r objra objdec mngtarg1",
    "mangaDAPall": "plateifu daptype stellar_sigma_1re emline_gflux_1re_ha_6564 sfr_tot",
    "mangaTarget": "mangaID manga_target1 nsa_z",
    "zooSpec": "p_el p_cs spiral elliptical uncertain nvote p_el_debiased dr7objid",
    "zooVotes": "nvote_tot p_mg",
    "zoo2MainSpecz": "gz2class t01_smooth_or_features_a01_smooth_debiased",
    "Photoz": "z zErr nnCount absMagR kcorrR chisq",
    "PhotozRF": "z zErr",
    "Photoz2": "photozcc2 photozd1",
    "First": "objID peak integr rms major minor",
    "Rosat": "objID cps",
    "RC3": "PGC HUBBLE BT",
    "TwoMass": "objID j h k phQual",
    "TwoMassXSC": "objID j_m_k20fe",
    "USNO": "objID mag_b1 propermotion",
    "ProperMotions": "objid delta match pmRa pmDec pmRaErr sigRa sigDec nFit dist22",
    "WISE_xmatch": "sdss_objid wise_cntr match_dist",
    "WISE_allsky": "cntr w1mpro w2sigmpro w3snr j_m_2mass w4mag_8",
    "wiseForcedTarget": "objid w1_nanomaggies w1_mag",
    "Neighbors": "objID neighborObjID distance type neighborType mode neighborMode",
    "Zone": "zoneID ra dec objID cx",
    "Match": "objid1 objid2 distance",
    "MatchHead": "objid matchCount averageRa",
    "Field": "fieldID run rerun camcol field raMin quality psfWidth_r nObjects pspStatus sky_r mjd_r",
    "Frame": "fieldID zoom stripe strip ra dec img a b",
    "Run": "run stripe strip",
    "Segment": "segmentID run camcol",
    "Chunk": "chunkID stripe",
    "StripeDefs": "stripe hemisphere eta lambdaMin htmArea",
    "Mask": "maskID ra dec radius type",
    "AtlasOutline": "objID span rmin",
    "Region": "regionid type area",
    "RegionPatch": "regionid convexid patchid",
    "HalfSpace": "regionid convexid x y z c",
    "sdssPolygons": "sdssPolygonID primaryFieldID",
    "PhotoFlags": "name value description",
    "PhotoType": "name value",
    "ApogeeAspcapFlag": "name value",
    "SpecClass": "name value",
    "SpecLineNames": "name value",
    "mangaGalaxyZoo": "mangaid",
    "TilingGeometry": "tilingGeometryID stripe isMask",
    "sdssTileAll": "tile raCen decCen",
    "Target": "targetID run bestObjID",
    "TargetInfo": "targetObjID primTarget",
    "QuasarCatalog": "specObjID z SDSSName",
    "SpecLine": "specobjID lineID ew sigma wave nSigma height",
    "SpecLineAll": "specLineID category",
    "SpecLineIndex": "specobjID name ew",
    "XCRedshift": "specobjID z r tempNo peakNo",
    "ELRedshift": "specobjID quality",
    "PlateX": "plateID plate mjd ra dec programName tile expTime nExp sn1_g survey",
    "Plate2Target": "plateid objid",
    "segueTargetAll": "objid segue1_target1",
    "qsoVarPTF": "VAR_OBJID VAR_CHI2",
    "PhotoTag": "objID ra dec modelMag_r size",
    "PhotoPrimaryDR7": "dr7objid dr8objid",
    "SpecDR7": "specObjID dr7objid",
    "TargPhotoObjAll": "objID psfMag_r",
    "SiteConstants": "name value comment",
    "Versions": "version",
}


def test_names_of_constants_have_views(demo: SimpleNamespace) -> None:
    assert demo.rows("SELECT value FROM PhotoFlags WHERE name = 'SATURATED'") == [(262144,)]
    assert demo.rows("SELECT name FROM PhotoType WHERE value = 3") == [("GALAXY",)]
    fields = demo.rows("SELECT DISTINCT field FROM DataConstants WHERE name <> ''")
    assert all(demo.catalog.table(field) for (field,) in fields)


def test_the_survey_has_one_region_which_is_the_sky(demo: SimpleNamespace) -> None:
    assert demo.rows("SELECT x, y, z, c FROM HalfSpace") == [(0, 0, 1, -1)]
    inside = "sdssPolygonID = Region.id AND primaryFieldID IN (SELECT fieldID FROM Field)"
    assert demo.rows(f"SELECT regionid FROM Region JOIN sdssPolygons ON {inside}") == [(1,)]  # noqa: S608 - ours


def test_names_that_scripts_use_are_there(demo: SimpleNamespace) -> None:
    missing = [
        f"{table}.{column}"
        for table, columns in NAMES.items()
        for column in columns.split()
        if (found := demo.catalog.table(table)) is None or found.column(column) is None
    ]
    assert missing == []


def test_the_catalogue_survives_a_round_trip(demo: SimpleNamespace, tmp_path: Path) -> None:
    demo.catalog.save(tmp_path / "catalog.json")
    assert Catalog.load(tmp_path / "catalog.json") == demo.catalog
