from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feed.metrics.counters import Counters
from tests.sources.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tape() -> Iterator[Tape]:
    root = Path(tempfile.mkdtemp(prefix="tickcast-test-", dir="/dev/shm"))
    tape = Tape(root / "feed")
    yield tape
    tape.close()
    shutil.rmtree(root)


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[Counters]:
    counters = Counters.open(tmp_path, create=True)
    yield counters
    counters.close()
