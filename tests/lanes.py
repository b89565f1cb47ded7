"""Which worker process of pytest-xdist runs which tests (`make test`).

pytest-xdist's own schedulers do not do here. ``loadgroup`` writes the group's name into an attribute that pytest 9 no
longer reads, so that every test is a group of its own, and those of one file go to different processes. And all that
keep tests together know a test by its id only: of tests with the same id, as schemathesis makes them, one is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import pytest
from xdist.remote import Producer
from xdist.workermanage import WorkerController

UNDIVIDED = ("tests/integration", "tests/browser", "tests/images")
"""Directories with fixtures that take long, such as a whole deployment: one process runs all of it."""

LANES = (
    ("tests/integration", "tests/browser", "tests/images", "tests/cli"),
    ("tests/auth", "tests/common", "tests/spawner"),
)
"""Where each worker begins: the first with the real engine, the second with the sign-on. Then both share the rest."""

APART = ("tests/integration", "tests/casjobs")
"""Not at the same time. The first makes the kernel end a process for want of memory, which is counted for the whole
machine, and CasJobs takes a worker that is killed meanwhile for one that needed too much."""


def unit_of(nodeid: str) -> str:
    """What is not divided: a file, or a directory of `UNDIVIDED`."""
    path = nodeid.partition("::")[0]
    return next((directory for directory in UNDIVIDED if path.startswith(f"{directory}/")), path)


def directory_of(unit: str) -> str:
    """``tests/auth`` of ``tests/auth/test_oidc.py``."""
    return "/".join(unit.split("/")[:2])


Unit = tuple[str, list[int]]


class Lanes:
    """A scheduler (`xdist.scheduler.protocol.Scheduling`) that gives away whole files and directories.

    Tests are known by their number in the collection. A worker runs a test when it knows the next one, on which it
    depends what fixtures are kept, or that there is none. So it has always got one more.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        self.config = config
        self.log = log.lanes
        self._expected = len(config.getoption("tx"))
        self._collections: dict[WorkerController, list[str]] = {}
        self._collected: list[str] | None = None
        self._waiting: list[Unit] = []
        self._pending: dict[WorkerController, list[int]] = {}
        self._lanes: dict[WorkerController, int] = {}

    # -- what pytest-xdist asks

    @property
    def nodes(self) -> list[WorkerController]:
        return list(self._pending)

    @property
    def collection_is_completed(self) -> bool:
        return len(self._collections) >= self._expected

    @property
    def has_pending(self) -> bool:
        return bool(self._waiting or any(self._pending.values()))

    @property
    def tests_finished(self) -> bool:
        few = all(len(pending) < 2 for pending in self._pending.values())
        return self.collection_is_completed and not self._waiting and few

    # -- what pytest-xdist tells

    def add_node(self, node: WorkerController) -> None:
        self._pending[node] = []
        self._lanes[node] = len(self._lanes)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        self._collections[node] = list(collection)

    def schedule(self) -> None:
        if self._collected is None:
            first, *others = self._collections.values()
            if any(other != first for other in others):
                raise pytest.UsageError("The worker processes have not found the same tests in the same order.")
            self._collected = first
            self._waiting = units(first)
        self._supply()

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        self._pending[node].remove(item_index)
        self._supply()

    def mark_test_pending(self, item: str) -> None:
        raise NotImplementedError

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        raise NotImplementedError

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended: the test that it was at, if there was one. Others get what it had still to do."""
        pending = self._pending.pop(node)
        if not pending or self._collected is None:
            return None
        crashed, *left = pending
        self._waiting = [*units(self._collected, left), *self._waiting]
        self._supply()
        return self._collected[crashed]

    # -- what it does

    def _supply(self) -> None:
        for node, pending in self._pending.items():
            if node not in self._collections:
                # It has taken the place of one that crashed, and still looks for the tests.
                continue
            while not node.shutting_down and len(pending) < 2 and (unit := self._next(node)) is not None:
                self._waiting.remove(unit)
                pending += unit[1]
                node.send_runtest_some(unit[1])
        if not self._waiting:
            for node in self._pending:
                if not node.shutting_down:
                    node.shutdown()

    def _next(self, node: WorkerController) -> Unit | None:
        """What a worker does next: of its own lane, then of nobody's, then of another one's."""
        lane = self._lanes[node]
        own, shared, others = [], [], []
        busy = self._busy(node)
        for unit in self._waiting:
            directory = directory_of(unit[0])
            if busy & set(APART) - {directory} and directory in APART:
                continue
            place = next((number for number, names in enumerate(LANES) if directory in names), None)
            (own if place == lane else shared if place is None else others).append(unit)
        return next(iter([*own, *shared, *others]), None)

    def _busy(self, node: WorkerController) -> set[str]:
        """Directories of which the other workers run tests."""
        assert self._collected is not None
        return {
            directory_of(unit_of(self._collected[index]))
            for other, pending in self._pending.items()
            if other is not node
            for index in pending
        }


def units(collected: Sequence[str], indices: Sequence[int] | None = None) -> list[Unit]:
    """Tests of the collection, by default all, in what is not divided; in the order in which it is given away."""
    indices = range(len(collected)) if indices is None else indices
    found = [(unit, list(part)) for unit, part in groupby(indices, key=lambda index: unit_of(collected[index]))]
    order = [directory for lane in LANES for directory in lane]

    def rank(unit: Unit) -> int:
        directory = directory_of(unit[0])
        return order.index(directory) if directory in order else len(order)

    return sorted(found, key=rank)
