from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.processes import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    with processes.stage() as made:
        yield made
