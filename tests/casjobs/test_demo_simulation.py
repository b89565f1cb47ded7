# ruff: noqa: S608  (queries of our own)
"""The simulated universe `SimulationDB` against the relations that it is made from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.spatial import cKDTree
from scipy.stats import kstest

from casjobs_service.demo.simulation import build, cosmology, field, halos, particles, trees

GRAVITY = 4.30092e-9
SIDE = 62.5


@pytest.fixture(scope="module")
def universe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The small mode, read back from its file."""
    path: Path = tmp_path_factory.mktemp("universe") / "data.duckdb"
    catalog = build.build(path, False, 2)
    with duckdb.connect(str(path), read_only=True) as connection:

        def columns(query: str) -> SimpleNamespace:
            found = connection.execute(query).fetchnumpy()
            return SimpleNamespace(**{name: np.asarray(values) for name, values in found.items()})

        yield SimpleNamespace(
            catalog=catalog, path=path, columns=columns, rows=lambda query: connection.execute(query).fetchall()
        )


@pytest.fixture(scope="module")
def today(universe: SimpleNamespace) -> SimpleNamespace:
    """Haloes at redshift 0, the heaviest first."""
    return universe.columns("SELECT * FROM mr WHERE snapnum = 63 ORDER BY haloId")


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """From `other` to `one` in the periodic box."""
    return (one - other + SIDE / 2) % SIDE - SIDE / 2


@pytest.fixture(scope="module")
def many() -> halos.Halos:
    """Haloes down to 2e10, as the full mode has them."""
    random = np.random.default_rng(7)
    return halos.random_halos(random, field.random_field(random), 2e10)


def test_it_is_small_and_says_what_it_is(universe: SimpleNamespace) -> None:
    assert universe.path.stat().st_size < 15e6
    names = {table.name: table for table in universe.catalog.tables}
    assert list(names) == ["Snapshots", "Particles", "mr", "FOF", "SubHalo"]
    assert names["mr"].schema == "mpahalotrees"
    assert names["Particles"].grid == particles.GRID
    for table in names.values():
        assert "simulated" in table.description.lower()
        assert all(column.description for column in table.columns)


def test_the_same_program_makes_the_same_universe() -> None:
    one, other = (build.relations(16) for _ in range(2))
    assert one.keys() == other.keys()
    assert all(one[name].equals(other[name]) for name in one)


def test_snapshots_are_those_of_the_millennium_simulation(universe: SimpleNamespace) -> None:
    rows = dict(universe.rows("SELECT snapnum, redshift FROM Snapshots"))
    assert len(rows) == 64
    for number, redshift in {0: 127, 3: 30, 32: 2.070, 41: 0.989, 50: 0.408, 63: 0}.items():
        assert rows[number] == pytest.approx(redshift, abs=1e-3)
    assert universe.rows("SELECT particles FROM Snapshots WHERE particles > 0") == [(64**3,)]


def test_haloes_follow_the_mass_function(many: halos.Halos, today: SimpleNamespace) -> None:
    from colossus.lss import mass_function

    cosmology.cosmology()
    for mass in (many.mass, today.m_crit200 * 1e10):
        edges = np.geomspace(mass.min() * 1.0001, 3e14, 9)
        for low, high in itertools.pairwise(edges):
            grid = np.geomspace(low, high, 200)
            density = mass_function.massFunction(grid, 0.0, mdef="200c", model="tinker08", q_out="dndlnM")
            expected = np.trapezoid(density, np.log(grid)) * SIDE**3
            found = np.sum((mass >= low) & (mass < high))
            assert abs(found - expected) < 4 * np.sqrt(expected) + 1, (low, found, expected)


def test_the_power_of_the_field_is_the_linear_power_spectrum() -> None:
    made = field.random_field(np.random.default_rng(1))
    modes = np.abs(np.fft.fftn(made.density)) ** 2 * (SIDE / field.CELLS**2) ** 3
    wave = 2 * np.pi * np.fft.fftfreq(field.CELLS, SIDE / field.CELLS)
    length = np.sqrt(sum(axis**2 for axis in np.meshgrid(wave, wave, wave, indexing="ij")))
    for low in (0.25, 0.5):
        shell = (length > low) & (length < low * 1.4)
        expected = cosmology.cosmology().matterPowerSpectrum(length[shell]) * np.exp(
            -((length[shell] * field.smoothing()) ** 2)
        )
        assert np.mean(modes[shell] / expected) == pytest.approx(1, abs=5 / np.sqrt(shell.sum() / 2))
    # What moves away leaves a void: the divergence of the displacement is minus the density.
    divergence = sum(np.gradient(made.displacement[axis], SIDE / field.CELLS, axis=axis) for axis in range(3))
    inner = (slice(2, -2),) * 3
    assert np.corrcoef(divergence[inner].ravel(), made.density[inner].ravel())[0, 1] < -0.97


def test_haloes_are_clustered_and_do_not_overlap(many: halos.Halos) -> None:
    reach = cosmology.radius(many.mass, np.array(0.0))
    tree = cKDTree(many.place.T, boxsize=SIDE)
    pairs = tree.query_pairs(2 * reach[0], output_type="ndarray")
    distance = np.linalg.norm(_apart(many.place[:, pairs[:, 0]], many.place[:, pairs[:, 1]]), axis=0)
    assert np.all(distance >= reach[pairs].sum(axis=1))
    # Pairs between 2 and 5 Mpc/h against those of random places.
    excess = []
    for chosen in (many.mass > 2e12, many.mass < 2e11):
        tree, count = cKDTree(many.place[:, chosen].T, boxsize=SIDE), chosen.sum()
        near = (tree.count_neighbors(tree, 5) - tree.count_neighbors(tree, 2)) / 2
        excess.append(near / (count**2 / 2 * 4 / 3 * np.pi * (5**3 - 2**3) / SIDE**3))
    assert excess[1] > 1.2
    assert excess[0] > excess[1]


def test_all_matter_is_there_and_sorted_by_cells(universe: SimpleNamespace) -> None:
    found = universe.columns("SELECT x, y, z, phkey, partId FROM Particles ORDER BY partId")
    assert len(found.x) == 64**3
    place = np.stack([found.x, found.y, found.z]).astype(float)
    assert place.min() >= 0
    assert place.max() < SIDE
    cells = np.floor(place / (SIDE / 32)).astype(int)
    key = sum(((cells[axis] >> bit) & 1) << (3 * bit + axis) for axis in range(3) for bit in range(5))
    assert np.array_equal(found.phkey, key)
    assert np.all(np.diff(found.phkey) >= 0)


def test_haloes_have_the_particles_that_they_say(universe: SimpleNamespace, today: SimpleNamespace) -> None:
    found = universe.columns(
        "SELECT m.haloId, m.np, m.r_crit200 r200, m.halfmassRadius half, p.x px, p.y py, p.z pz, m.x, m.y, m.z "
        "FROM mr m JOIN Particles p ON p.fofId = m.haloId ORDER BY m.haloId"
    )
    identifier, row, count = np.unique(found.haloId, return_inverse=True, return_counts=True)
    assert np.array_equal(identifier, today.haloId)
    assert np.array_equal(count, today.np)
    mass = 0.25 * 2.7754e11 * SIDE**3 / 64**3
    assert np.allclose(count * mass, today.m_crit200 * 1e10, rtol=0.5 / count.min() + 1e-6)
    distance = np.linalg.norm(
        [_apart(found.px, found.x), _apart(found.py, found.y), _apart(found.pz, found.z)], axis=0
    )
    assert np.all(distance < found.r200 * 1.001)
    # Mean density within R200.
    assert today.m_crit200 * 1e10 / (4 / 3 * np.pi * today.r_crit200**3) == pytest.approx(200 * 2.7754e11, rel=1e-4)
    # Half of the particles within the half-mass radius: all haloes together, and each of the heavy ones.
    inside = np.bincount(row, weights=distance < found.half)
    assert abs(inside.sum() / count.sum() - 0.5) < 4 * 0.5 / np.sqrt(count.sum())
    assert np.all(np.abs(inside - count / 2)[:30] < 4.5 * np.sqrt(count[:30]) / 2)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_particles_follow_nfw_profiles_and_jeans_equation(universe: SimpleNamespace, number: int) -> None:
    [(c, r200, mass, count)] = universe.rows(
        f"SELECT concentration, r_crit200, m_crit200 * 1e10, np FROM mr WHERE haloId = {number * trees.TREE}"
    )
    found = universe.columns(
        "SELECT p.x - m.x x, p.y - m.y y, p.z - m.z z, vx - velX vx, vy - velY vy, vz - velZ vz "
        f"FROM Particles p JOIN mr m ON p.fofId = m.haloId WHERE m.haloId = {number * trees.TREE}"
    )
    x = np.linalg.norm([_apart(found.x, 0), _apart(found.y, 0), _apart(found.z, 0)], axis=0) * c / r200

    def within(value: np.ndarray) -> np.ndarray:
        return np.log(1 + value) - value / (1 + value)

    assert kstest(x, lambda value: within(np.minimum(value, c)) / within(c)).pvalue > 1e-3
    # By quadrature, for the radius of each particle.
    unit = GRAVITY * mass / within(c) * c / r200
    expected = [
        r * (1 + r) ** 2 * quad(lambda y: within(y) / (y**3 * (1 + y) ** 2), r, np.inf)[0] * unit for r in x[:400]
    ]
    for velocity in (found.vx, found.vy, found.vz):
        assert kstest(velocity[:400] / np.sqrt(expected), "norm").pvalue > 1e-3
        assert abs(velocity.mean()) < 4 * velocity.std() / np.sqrt(count)


def test_what_is_between_haloes_is_in_none(universe: SimpleNamespace, today: SimpleNamespace) -> None:
    found = universe.columns("SELECT x, y, z FROM Particles WHERE fofId IS NULL")
    tree = cKDTree(np.stack([found.x, found.y, found.z], axis=1), boxsize=SIDE)
    centres = np.stack([today.x, today.y, today.z], axis=1)
    assert tree.query_ball_point(centres, today.r_crit200 * 0.9999, return_length=True).sum() == 0


def test_identifiers_run_through_the_trees(universe: SimpleNamespace) -> None:
    for condition in (
        "d.snapnum <> p.snapnum + 1",
        "p.haloId NOT BETWEEN d.haloId + 1 AND d.lastProgenitorId",
        "p.lastProgenitorId > d.lastProgenitorId",
        "p.treeId <> d.treeId",
        "p.m_crit200 > d.m_crit200 * 1.0001",
    ):
        query = f"SELECT count(*) FROM mr p JOIN mr d ON p.descendantId = d.haloId WHERE {condition}"
        assert universe.rows(query) == [(0,)], condition
    assert universe.rows(
        "SELECT count(*) FROM mr p LEFT JOIN mr d ON p.descendantId = d.haloId "
        "WHERE (d.haloId IS NULL) <> (p.snapnum = 63) OR (p.descendantId = -1) <> (p.snapnum = 63)"
    ) == [(0,)]
    # As many haloes as the range of identifiers says, all of them in the tree.
    assert universe.rows(
        "SELECT count(*) FROM (SELECT d.haloId, d.lastProgenitorId - d.haloId + 1 size, count(*) found FROM mr d "
        "JOIN mr p ON p.haloId BETWEEN d.haloId AND d.lastProgenitorId AND p.treeId = d.treeId "
        "WHERE d.snapnum IN (63, 55) GROUP BY ALL) WHERE size <> found"
    ) == [(0,)]
    # The first progenitor is the heaviest, the next ones follow in order of mass.
    assert universe.rows(
        "SELECT count(*) FROM mr p JOIN mr n ON p.nextProgenitorId = n.haloId "
        "WHERE p.descendantId <> n.descendantId OR n.m_crit200 > p.m_crit200"
    ) == [(0,)]
    assert universe.rows(
        "SELECT count(*) FROM mr p JOIN mr d ON p.descendantId = d.haloId WHERE d.firstProgenitorId = -1"
    ) == [(0,)]
    # The main branch is one halo per snapshot.
    assert universe.rows(
        "SELECT count(*) FROM (SELECT d.mainLeafId - d.haloId + 1 length, count(DISTINCT p.snapnum) snapshots "
        "FROM mr d JOIN mr p ON p.haloId BETWEEN d.haloId AND d.mainLeafId WHERE d.snapnum = 63 "
        "GROUP BY d.haloId, length) WHERE length <> snapshots"
    ) == [(0,)]


def test_growth_and_mergers_have_the_published_rates(many: halos.Halos) -> None:
    found = trees.histories(np.random.default_rng(3), many, 2e10)
    z, age = cosmology.redshifts(), cosmology.ages()
    now = np.flatnonzero(found.snapshot == 63)
    before = found.take(found.snapshot == 62)
    main = before.take(before.main)
    # dM/dt of haloes of 10^12 solar masses is 46.1 solar masses per year today (Fakhouri et al. 2010, eq. 2).
    heir = np.searchsorted(main.descendant, now)
    solar = many.mass / 0.73
    chosen = np.flatnonzero((solar > 8e11) & (solar < 1.25e12))
    grown = (many.mass[chosen] - main.mass[heir[chosen]]) / 0.73 / (age[63] - age[62]) / 1e9
    rate = 46.1 * (solar[chosen] / 1e12) ** 1.1 * (1 + 1.11 * z[62] / 2)
    assert np.mean(grown / rate) == pytest.approx(np.exp(0.3**2 / 2), abs=4 * 0.3 / np.sqrt(len(chosen)) + 0.01)
    # Mergers with at least a tenth of the mass, over all snapshots to redshift 1 (eq. 1).
    old = (found.snapshot >= 41) & (found.snapshot < 63)
    ratio = np.zeros(len(found))
    mains = np.full(len(found), np.nan)
    mains[found.descendant[found.main & old]] = found.mass[found.main & old]
    ratio[old] = found.mass[old] / mains[found.descendant[old]]
    heavy = found.mass > 4e11
    others = old & ~found.main & (ratio >= 0.1) & heavy[found.descendant]
    integral = quad(lambda xi: 0.0104 * xi**-1.995 * np.exp((xi / 9.72e-3) ** 0.263), 0.1, 1)[0]
    parents = heavy & (found.snapshot > 41)
    mass, at = found.mass[parents] / 0.73 / 1e12, found.snapshot[parents]
    expected = np.sum(mass**0.133 * (1 + z[at - 1]) ** 0.0993 * (z[at - 1] - z[at]) * integral)
    assert abs(others.sum() - expected) < 4 * np.sqrt(expected)


def test_progenitors_come_from_near_and_fall_in(universe: SimpleNamespace) -> None:
    found = universe.columns(
        "SELECT p.x - d.x x, p.y - d.y y, p.z - d.z z, p.velX - d.velX vx, p.velY - d.velY vy, p.velZ - d.velZ vz, "
        "p.r_crit200 + d.r_crit200 reach FROM mr p JOIN mr d ON p.descendantId = d.haloId "
        "WHERE d.firstProgenitorId <> p.haloId"
    )
    apart = np.array([_apart(found.x, 0), _apart(found.y, 0), _apart(found.z, 0)])
    distance = np.linalg.norm(apart, axis=0)
    assert np.quantile(distance / found.reach, 0.95) < 1.3
    inwards = np.sum(apart * [found.vx, found.vy, found.vz], axis=0)
    assert np.mean(inwards < 0) > 0.95


def test_groups_and_subhaloes_are_the_haloes(universe: SimpleNamespace) -> None:
    assert universe.rows(
        "SELECT count(*) FROM mr m JOIN FOF f ON f.fofId = m.haloId JOIN SubHalo s ON s.subhaloId = f.firstSubhaloId "
        "AND s.fofId = f.fofId WHERE f.numSubs = 1 AND f.x = m.x AND s.np = m.np AND s.vx = m.velX"
    ) == universe.rows("SELECT count(*) FROM mr")
