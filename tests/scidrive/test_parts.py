"""How transfers share memory, and how long work shares threads."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scidrive_service.handlers.parts import BUFFERS, LEAST, LONG_EACH, MOST, Parts, Traffic


@given(st.lists(st.integers(1, 4 * MOST), max_size=500))
def test_pieces_stay_within_the_budget(wanted: list[int]) -> None:
    traffic = Traffic()
    taken = [traffic.take(most) for most in wanted]
    assert all(0 < size <= min(most, MOST) for size, most in zip(taken, wanted, strict=True))
    assert traffic.held == sum(taken) <= BUFFERS + len(taken) * LEAST
    for size in taken:
        traffic.give(size)
    assert traffic.held == 0


def test_the_first_gets_a_large_piece_and_the_hundredth_some() -> None:
    traffic = Traffic()
    sizes = [traffic.take() for _ in range(100)]
    assert sizes[0] == MOST
    assert sizes[-1] == LEAST


async def test_one_person_does_not_take_all_threads() -> None:
    """Who copies twenty folders waits for themselves, and not others for them."""
    running: dict[str, int] = {"greedy": 0, "modest": 0}
    most = dict(running)
    lock = threading.Lock()

    def work(name: str) -> None:
        with lock:
            running[name] += 1
            most[name] = max(most[name], running[name])
        time.sleep(0.05)
        with lock:
            running[name] -= 1

    nothing: Any = None
    with ThreadPoolExecutor(1) as threads:
        parts = Parts(nothing, nothing, nothing, threads, "", "", "", 1, 1)
        with parts.long_threads:
            greedy = [asyncio.create_task(parts.run_long("greedy", lambda: work("greedy"))) for _ in range(20)]
            await asyncio.sleep(0)
            await parts.run_long("modest", lambda: work("modest"))
            assert sum(task.done() for task in greedy) < 20
            await asyncio.gather(*greedy)
    assert most == {"greedy": LONG_EACH, "modest": 1}
