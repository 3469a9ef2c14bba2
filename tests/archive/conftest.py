from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from feed.metrics.counters import Counters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[Counters]:
    """A counters file of its own."""
    (tmp_path / "counters").mkdir()
    counters = Counters.open(tmp_path / "counters", create=True)
    yield counters
    counters.close()
