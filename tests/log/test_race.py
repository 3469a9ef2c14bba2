"""The log keeps its promises between real processes, and the harness that says so finds planted faults.

TICKCAST_SOAK_SECONDS makes the sound runs longer; so does `python -m tests.log.race`.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.log.race.race import handshakes, race
from tests.log.race.seeded import MODULES, NO_STORELOAD, NO_VALIDATION, build

SECONDS = float(os.environ.get("TICKCAST_SOAK_SECONDS", "2"))
pytestmark = pytest.mark.timeout(120 + 4 * SECONDS)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A copy of the feed for each fault, compiled side by side."""
    with ThreadPoolExecutor() as pool:
        return dict(
            zip(MODULES, pool.map(lambda fault: build(fault, tmp_path_factory.mktemp(fault)), MODULES), strict=True)
        )


def test_every_record_is_whole_and_every_loss_reported(place: Path) -> None:
    verdict = race(place, SECONDS)
    print(verdict)
    assert verdict.wrong == []
    assert verdict.delivered > 0
    assert verdict.losses > 0, "no reader was ever overtaken: nothing was tried"
    assert verdict.readers_killed > 0


@pytest.mark.parametrize("sleepers", [1, 4])
def test_no_sleeper_is_left_asleep(place: Path, sleepers: int) -> None:
    verdict = handshakes(place, SECONDS, sleepers=sleepers)
    print(verdict)
    assert verdict.wrong == []
    assert verdict.rings > 0, "the sleeper never slept: nothing was tried"


def test_missing_validation_is_found(place: Path, faulty: dict[str, Path]) -> None:
    verdict = race(place, 30, feed=faulty[NO_VALIDATION])
    print(verdict)
    assert any(re.search("torn|nothing was reported lost|SIGSEGV|SIGBUS", wrong) for wrong in verdict.wrong)


def test_missing_storeload_fence_is_found(place: Path, faulty: dict[str, Path]) -> None:
    verdict = handshakes(place, 30, feed=faulty[NO_STORELOAD])
    print(verdict)
    assert len(verdict.wrong) == 1
    assert "was not woken" in verdict.wrong[0]
