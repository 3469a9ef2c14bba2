"""A log of its own for each test, below a directory in shared memory that is removed afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """A feed's directory that does not exist yet."""
    root = Path(tempfile.mkdtemp(prefix="tickcast-test-", dir="/dev/shm"))
    yield root / "feed"
    shutil.rmtree(root)
