"""How tests are divided between processes: each is run once, whatever its id, and nothing meets what it must not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lanes import APART, UNDIVIDED, Lanes, directory_of, unit_of

COLLECTED = [
    *[f"tests/auth/test_{name}.py::test_{number}" for name in "abcdef" for number in range(5)],
    *[f"tests/browser/test_{name}.py::test_{number}" for name in "ab" for number in range(5)],
    *[f"tests/casjobs/test_{name}.py::test_{number}" for name in "abcdefgh" for number in range(9)],
    # As schemathesis makes them.
    *["tests/casjobs/test_same.py::test_same"] * 25,
    *[f"tests/integration/test_{name}.py::test_{number}[a::b]" for name in "abc" for number in range(4)],
    "tests/test_docs.py::test_one",
]


class Worker:
    """What a scheduler sees of a process, which runs a test when it knows the next, or that none comes."""

    def __init__(self) -> None:
        self.shutting_down = False
        self.queue: list[int] = []
        self.units: list[str] = []

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        assert not self.shutting_down
        self.queue += indices
        self.units.append(unit_of(COLLECTED[indices[0]]))

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def may_run(self) -> bool:
        return len(self.queue) > 1 or (bool(self.queue) and self.shutting_down)


def lanes(number: int) -> tuple[Any, list[Worker]]:
    config: Any = SimpleNamespace(getoption=lambda name: ["popen"] * number)
    log: Any = SimpleNamespace(lanes=None)
    scheduler: Any = Lanes(config, log)
    workers = [Worker() for _ in range(number)]
    for worker in workers:
        scheduler.add_node(worker)
    for worker in workers:
        assert not scheduler.collection_is_completed
        scheduler.add_node_collection(worker, COLLECTED)
    scheduler.schedule()
    return scheduler, workers


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_test_is_run_once_by_whoever_has_its_directory(number: int, seed: int) -> None:
    chance = random.Random(seed)
    scheduler, workers = lanes(number)
    done: list[int] = []
    while able := [worker for worker in workers if worker.may_run]:
        busy = [{directory_of(unit_of(COLLECTED[index])) for index in worker.queue[:1]} for worker in workers]
        assert not set(APART) <= set().union(*busy) or any(set(APART) <= each for each in busy)
        worker = chance.choice(able)
        done.append(worker.queue.pop(0))
        scheduler.mark_test_complete(worker, done[-1])
    assert sorted(done) == list(range(len(COLLECTED)))
    assert not scheduler.has_pending
    assert scheduler.tests_finished
    given = [unit for worker in workers for unit in worker.units]
    assert [given.count(directory) for directory in UNDIVIDED] == [1, 1, 0]


def test_another_worker_takes_what_a_crashed_one_had_still_to_do() -> None:
    scheduler, (first, second) = lanes(2)
    crashed = first.queue[0]
    assert scheduler.remove_node(first) == COLLECTED[crashed]
    third = Worker()
    scheduler.add_node(third)
    done = [crashed]
    while second.may_run and len(done) < 40:
        done.append(second.queue.pop(0))
        scheduler.mark_test_complete(second, done[-1])
    # It gets none before it knows them.
    assert third.queue == []
    scheduler.add_node_collection(third, COLLECTED)
    scheduler.schedule()
    while able := [worker for worker in (second, third) if worker.may_run]:
        worker = able[-1]
        done.append(worker.queue.pop(0))
        scheduler.mark_test_complete(worker, done[-1])
    assert sorted(done) == list(range(len(COLLECTED)))


def test_processes_that_found_other_tests_are_told() -> None:
    config: Any = SimpleNamespace(getoption=lambda name: ["popen"] * 2)
    scheduler: Any = Lanes(config, SimpleNamespace(lanes=None))  # type: ignore[arg-type]
    for collected in (COLLECTED, COLLECTED[1:]):
        worker = Worker()
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, collected)
    with pytest.raises(pytest.UsageError, match="not found the same tests"):
        scheduler.schedule()
