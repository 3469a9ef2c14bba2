"""Fixtures for every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("tickcast", deadline=None)  # how long a test takes says nothing of whether it is right
settings.load_profile("tickcast")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real captures. Without them a test is skipped; in CI it fails."""
    default = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("TICKCAST_TEST_DATA", default))
    if not path.is_dir():
        missing = f"no captures at {path}: set TICKCAST_TEST_DATA"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return path
