from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
