"""A small log for each test, and a folder for its archive."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.archive import Market


@pytest.fixture
def market() -> Iterator[Market]:
    root = Path(tempfile.mkdtemp(prefix="tickcast-test-", dir="/dev/shm"))
    with Market(root / "feed") as market:
        yield market
    shutil.rmtree(root)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive's folder that does not exist yet."""
    return tmp_path / "archive"
