"""The simulated fragments of `FragData`: bodies that are closed and fill the cube, and numbers as in impact tests."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest
from scipy.stats import kstest

from casjobs_service.demo.fragdata import build, grains

SIDE = 0.1


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The small mode, read back from its file; `corners` are those of each element, of shape (n, 4, 3)."""
    path: Path = tmp_path_factory.mktemp("body") / "data.duckdb"
    catalog = build.build(path, False, 2)
    with duckdb.connect(str(path), read_only=True) as connection:

        def columns(query: str) -> SimpleNamespace:
            found = connection.execute(query).fetchnumpy()
            return SimpleNamespace(**{name: np.asarray(values) for name, values in found.items()})

        elements = columns("SELECT * FROM elements ORDER BY fragId, elemId")
        vertices = columns("SELECT * FROM vertices ORDER BY fragId, vertId")
        fragments = columns("SELECT * FROM fragments ORDER BY fragId")
    first = np.searchsorted(vertices.fragId, np.arange(1, len(fragments.fragId) + 1))
    rows = first[elements.fragId - 1][:, None] + np.stack([elements.v1, elements.v2, elements.v3, elements.v4], axis=1)
    places = np.stack([vertices.x, vertices.y, vertices.z], axis=1)
    return SimpleNamespace(
        path=path,
        catalog=catalog,
        elements=elements,
        vertices=vertices,
        fragments=fragments,
        places=places,
        rows=rows,
        corners=places[rows],
    )


def _volumes(corners: np.ndarray) -> np.ndarray:
    """With their sign."""
    a, b, c = (corners[:, corner] - corners[:, 3] for corner in range(3))
    return np.einsum("ij,ij->i", a, np.cross(b, c)) / 6


def test_it_is_small_and_says_what_it_is(body: SimpleNamespace) -> None:
    assert body.path.stat().st_size < 10e6
    assert [table.name for table in body.catalog.tables] == ["fragments", "elements", "vertices"]
    for table in body.catalog.tables:
        assert "Simulated" in table.description
        assert all(column.description for column in table.columns)
    assert body.catalog.table("fragments").column("mass").unit == "kg"


def test_the_same_program_breaks_the_same_body() -> None:
    one, other = (build.relations(200) for _ in range(2))
    assert all(one[name].equals(other[name]) for name in one)


def test_numbers_run_without_a_gap(body: SimpleNamespace) -> None:
    fragments, elements, vertices = body.fragments, body.elements, body.vertices
    assert np.array_equal(fragments.fragId, np.arange(1, len(fragments.fragId) + 1))
    for owner, number in ((elements.fragId, elements.elemId), (vertices.fragId, vertices.vertId)):
        first = np.r_[True, np.diff(owner) > 0]
        assert np.all(number[first] == 0)
        assert np.all(np.diff(number)[~first[1:]] == 1)
        assert np.array_equal(np.unique(owner), fragments.fragId)
    # Every vertex is a corner, and every corner a vertex of its fragment.
    assert np.array_equal(np.unique(body.rows), np.arange(len(vertices.vertId)))
    assert np.array_equal(vertices.fragId[body.rows], np.repeat(elements.fragId[:, None], 4, axis=1))
    assert len(np.unique(np.c_[vertices.fragId, body.places], axis=0)) == len(body.places)


def test_the_elements_fill_the_body_without_overlap(body: SimpleNamespace) -> None:
    volume = _volumes(body.corners)
    assert volume.min() > 0
    assert volume == pytest.approx(body.elements.volume, rel=1e-9)
    assert volume.sum() == pytest.approx(SIDE**3, rel=1e-9)
    assert body.places.min() == 0
    assert body.places.max() == SIDE
    # Any place is in exactly one element.
    for place in np.random.default_rng(1).uniform(0, SIDE, (25, 3)):
        parts = np.repeat(body.corners[None], 4, axis=0)
        for corner in range(4):
            parts[corner, :, corner] = place
        assert np.sum(np.min([_volumes(part) for part in parts], axis=0) > 0) == 1


def test_surfaces_of_fragments_are_closed(body: SimpleNamespace) -> None:
    """Each edge of a surface is passed as often in one direction as in the other."""
    outside = body.elements.surface > 0
    triangles = body.rows[outside][:, :3]
    edges = np.concatenate([triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    low, high = np.sort(edges, axis=1).T
    direction = np.where(edges[:, 0] < edges[:, 1], 1, -1)
    _, number = np.unique(low * len(body.places) + high, return_inverse=True)
    assert np.all(np.bincount(number, weights=direction) == 0)
    # Gauss: the flux of the place through the surface is three times the volume.
    a, b, c = (body.places[triangles[:, corner]] for corner in range(3))
    flux = np.einsum("ij,ij->i", (a + b + c) / 3, np.cross(b - a, c - a) / 2)
    owner = body.elements.fragId[outside] - 1
    assert np.bincount(owner, weights=flux) / 3 == pytest.approx(body.fragments.volume, rel=1e-6)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    assert np.bincount(owner, weights=area) == pytest.approx(body.fragments.area, rel=1e-9)
    whole = area[body.elements.surface[outside] == 2]
    assert whole.sum() == pytest.approx(6 * SIDE**2, rel=1e-9)


def test_masses_centres_and_moments_are_those_of_the_elements(body: SimpleNamespace) -> None:
    fragments, elements = body.fragments, body.elements
    assert np.all(np.diff(fragments.mass) <= 0)
    assert fragments.mass == pytest.approx(2700 * fragments.volume)
    assert fragments.mass.sum() == pytest.approx(2.7)
    assert np.bincount(elements.fragId)[1:] == pytest.approx(fragments.elements)
    # By many random places in each element, for the heaviest fragments.
    random = np.random.default_rng(2)
    for number in (1, 2, 40):
        mine = elements.fragId == number
        weights = random.dirichlet(np.ones(4), (mine.sum(), 200))
        places = np.einsum("nks,nsd->nkd", weights, body.corners[mine])
        masses = 2700 * elements.volume[mine][:, None] / 200
        row = number - 1
        centre = np.array([fragments.x[row], fragments.y[row], fragments.z[row]])
        size = np.cbrt(fragments.volume[row])
        found = np.sum(masses[..., None] * places, axis=(0, 1)) / fragments.mass[row]
        assert found == pytest.approx(centre, abs=5e-3 * size)
        x, y, z = np.moveaxis(places - centre, -1, 0)
        moment = fragments.ixx[row] + fragments.iyy[row] + fragments.izz[row]
        for name, value in {"ixx": y * y + z * z, "iyy": x * x + z * z, "izz": x * x + y * y, "ixy": -x * y,
                            "ixz": -x * z, "iyz": -y * z}.items():  # fmt: skip
            assert getattr(fragments, name)[row] == pytest.approx(np.sum(masses * value), abs=5e-3 * moment)


def test_fragments_are_connected_grains(body: SimpleNamespace) -> None:
    elements = body.elements
    owner = {}
    for grain, fragment in zip(elements.grainId.tolist(), elements.fragId.tolist(), strict=True):
        assert owner.setdefault(grain, fragment) == fragment
    assert len(owner) == build.SMALL
    assert np.bincount(list(owner.values()))[1:] == pytest.approx(body.fragments.grains)
    # A fragment of one grain has no faces within; others have at least what a tree of grains needs.
    inner = np.bincount(elements.fragId, weights=elements.surface == 0)[1:]
    assert np.all((inner > 0) == (body.fragments.grains > 1))


def test_together_they_rest_and_small_ones_are_fast(body: SimpleNamespace) -> None:
    fragments = body.fragments
    velocity = np.stack([fragments.vx, fragments.vy, fragments.vz])
    momentum = velocity @ fragments.mass
    speed = np.linalg.norm(velocity, axis=0)
    assert np.abs(momentum).max() < 1e-12 * np.sum(fragments.mass * speed)
    slope = np.polyfit(np.log(fragments.mass), np.log(speed), 1)[0]
    assert slope == pytest.approx(-1 / 6, abs=0.05)


def test_numbers_fall_as_a_power_of_mass(body: SimpleNamespace) -> None:
    """Over a factor of 60 in mass, an exponent as clusters have about the threshold of percolation."""
    grain = 2.7 / build.SMALL
    low, high = 3 * grain, 200 * grain
    mass = body.fragments.mass[(body.fragments.mass >= low) & (body.fragments.mass < high)]
    assert len(mass) > 100
    width = np.log(high / low)

    def cumulative(value: np.ndarray, exponent: float) -> np.ndarray:
        return (1 - (value / low) ** -exponent) / (1 - np.exp(-exponent * width))

    exponents = np.linspace(0.5, 3, 251)
    likelihood = [len(mass) * np.log(b / (1 - np.exp(-b * width))) - b * np.sum(np.log(mass / low)) for b in exponents]
    best = exponents[np.argmax(likelihood)]
    # Of an infinite body it is 1.19.
    assert 1.1 < best < 1.7
    assert kstest(mass, lambda value: cumulative(value, best)).pvalue > 0.01


def test_a_weak_impact_breaks_less(monkeypatch: pytest.MonkeyPatch) -> None:
    made = grains.polycrystal(np.random.default_rng(4), 500)
    counts = []
    for stress in (0.0, 1.0, 1.8, 10.0):
        monkeypatch.setattr(grains, "STRESS", stress)
        gone = grains.broken(np.random.default_rng(5), made)
        counts.append(len(np.unique(grains.fragment_of(made, gone))))
    assert counts[0] == 1
    assert counts[-1] == 500
    assert counts == sorted(counts)


def test_grains_that_are_not_bounded_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grains, "_MARGIN", 0.0)
    with pytest.raises(grains.FragmentError, match="mirrored"):
        grains.polycrystal(np.random.default_rng(6), 50)
