"""A minute of the chaos run; `make soak` makes ten."""

from __future__ import annotations

import os

import pytest
from rich.console import Console

from tests.chaos import soak

SECONDS = 60.0


@pytest.mark.timeout(900)
def test_every_bot_is_told_the_truth_whatever_dies() -> None:
    seed = int(os.environ.get("TICKCAST_SOAK_SEED", "20260101"))
    wrong = soak.run(SECONDS, seed=seed, console=Console(width=140))
    assert wrong == [], f"seed {seed}"
