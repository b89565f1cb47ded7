# ruff: noqa: S608  (queries of our own)
"""Queries as notebooks of SciServer have them, in the simulated contexts, over the service."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from casjobs_service.demo import loading
from tests.casjobs.casjobs_platform import CasJobsPlatform, Client
from tests.casjobs.test_rest_requests import is_error

NAMES = ("FragData", "SimulationDB")


@pytest.fixture(scope="module")
def simulated(platform: CasJobsPlatform) -> Iterator[None]:
    """The contexts, as `sciserver data load` makes them; other tests do not expect them."""
    assert loading.load(platform.contexts, NAMES, full=False, say=print) == list(NAMES)
    yield
    for name in NAMES:
        platform.contexts.remove(name)


pytestmark = pytest.mark.usefixtures("simulated")


def _frame(client: Client, query: str, context: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(client.csv(query, context)), index_col=None)


def test_particles_around_a_halo(ada: Client) -> None:
    halo = _frame(ada, "select * from mpahalotrees.mr where haloId = 3000000", "SimulationDB").iloc[0]
    query = (
        "select top 100000 p.x-hh.x as x, p.y-hh.y as y, p.z-hh.z as z from mpahalotrees.mr hh cross apply "
        "dbo.MillenniumParticles(hh.snapnum, dbo.Sphere::New(hh.x,hh.y,hh.z,3*hh.halfmassradius).ToString()) p "
        "where hh.haloId=3000000 order by newid()"
    )
    particles = _frame(ada, query, "SimulationDB")
    assert list(particles.columns) == ["x", "y", "z"]
    distance = np.linalg.norm(particles, axis=1)
    radius = 3 * halo["halfmassRadius"]
    assert distance.max() <= radius * (1 + 1e-5)
    # Half of the halo's particles within a third of it, and nothing else around that counts.
    assert np.sum(distance < radius / 3) == pytest.approx(halo["np"] / 2, abs=4 * np.sqrt(halo["np"]) / 2)
    plain = _frame(
        ada,
        "select count(*) as n from mr hh join Particles p on square(p.x-hh.x)+square(p.y-hh.y)+square(p.z-hh.z) <= "
        "square(3*hh.halfmassradius) where hh.haloId=3000000",
        "SimulationDB",
    )
    assert len(particles) == plain["n"][0]
    # In another order each time.
    assert not particles.equals(_frame(ada, query, "SimulationDB"))


def test_the_same_from_a_database_of_ones_own(ada: Client) -> None:
    call = "SimulationDB.dbo.MillenniumParticles(63, dbo.Sphere::New(h.x,h.y,h.z,2).ToString())"
    inside = f"SELECT p.* FROM (SELECT x,y,z FROM mpahalotrees..mr WHERE haloId=3000000) h cross apply {call} p"
    particles = _frame(ada, inside, "SimulationDB")
    assert particles.columns[0] == "partId"
    outside = f"SELECT p.* FROM SimulationDB.mpahalotrees.mr h cross apply {call} p WHERE h.haloId=3000000"
    assert set(_frame(ada, outside, "MyDB")["partId"]) == set(particles["partId"])


def test_a_fragment(ada: Client) -> None:
    fragments = _frame(ada, "select fragId, mass from fragments order by mass desc", "FragData")
    assert fragments["mass"].sum() == pytest.approx(2.7)
    elements = _frame(ada, "select v1, v2, v3, v4 from elements where fragId = 1 order by elemId", "FragData")
    vertices = _frame(ada, "select x, y, z from FragData.dbo.vertices where fragId = 1 order by vertId", "FragData")
    corners = vertices.to_numpy()[elements.to_numpy()]
    volume = np.linalg.det(corners[:, :3] - corners[:, 3:]).sum() / 6
    assert volume * 2700 == pytest.approx(fragments["mass"][0])


def test_shapes_that_are_wrong(ada: Client) -> None:
    def message(call: str) -> str:
        answer = ada.query(
            f"select count(*) from mr h cross apply dbo.MillenniumParticles(63, {call}) p", "SimulationDB"
        )
        return str(is_error(answer, 400)["error"])

    # Known before the query runs, and only when it does.
    assert "takes a SPHERE x y z r or a BOX x1 y1 z1 x2 y2 z2, not SPHERE 1 2" in message("'SPHERE 1 2'")
    assert "takes 4 arguments" in message("Sphere::New(h.x, h.y, h.z)")
    for call, words in {
        "Sphere::New(h.x, h.y, h.z, -1 * h.np)": "The radius of a Sphere must not be negative: -",
        "Sphere::New(h.x, h.y, h.z, 100 * h.r_crit200)": "wider than the box of the simulation, 62.5.",
        "'BALL ' + cast(h.np as varchar(9))": "y2 z2, not BALL ",
    }.items():
        said = message(call)
        assert words in said
        assert "DOUBLE" not in said
        assert "ss_" not in said
    answer = ada.query("select * from dbo.MillenniumParticles(63, 'SPHERE 1 1 1 1')", "FragData")
    assert "There is no table function MillenniumParticles" in is_error(answer, 400)["error"]


def test_functions_are_listed_where_they_can_be_called(ada: Client) -> None:
    listed = {name: json.loads(ada.call("GET", f"contexts/{name}/Functions").content) for name in NAMES}
    names = {name: {one["Name"] for one in functions} for name, functions in listed.items()}
    assert {"MillenniumParticles", "Sphere::New", "Box::New"} <= names["SimulationDB"]
    assert not {"MillenniumParticles", "Sphere::New", "Box::New"} & names["FragData"]
    particles = next(one for one in listed["SimulationDB"] if one["Name"] == "MillenniumParticles")
    assert [one["Name"] for one in particles["Columns"]][:4] == ["partId", "x", "y", "z"]
