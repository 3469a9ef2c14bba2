"""A feed for each test, below a directory in shared memory that is removed afterwards."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.publish.harness import Feed

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def feed() -> Iterator[Feed]:
    root = Path(tempfile.mkdtemp(prefix="tickcast-test-", dir="/dev/shm"))
    feed = Feed(root / "feed")
    try:
        yield feed
    finally:
        feed.close()
        shutil.rmtree(root)
