"""Chance in tests: the profiles of hypothesis, and which tests have a second try."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import hypothesis
import pytest

# A busy machine is not a fault. What fails by chance can be repeated with what is printed.
_COMMON = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
}


def load_profiles() -> None:
    """Have hypothesis try new examples; with ``--hypothesis-profile=same`` the same ones each time."""
    hypothesis.settings.register_profile("chance", **_COMMON)
    # A submission is tried with the same examples each time: whether it passes is not for chance to decide.
    hypothesis.settings.register_profile("same", **_COMMON, derandomize=True, database=None)
    hypothesis.settings.load_profile("chance")


def second_try_only_for(processes: Collection[str], items: Iterable[pytest.Item]) -> None:
    """A second try (`.ci/run`) is for tests that use one of these fixtures: the machine may hold processes up."""
    for item in items:
        if not set(processes) & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.flaky(reruns=0))
