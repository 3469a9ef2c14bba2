"""The fixture `feed`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bots.testing.local import LocalFeed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["feed"]


@pytest.fixture
def feed(request: pytest.FixtureRequest) -> Iterator[LocalFeed]:
    """A LocalFeed for this test. With settings of its own:

    @pytest.mark.parametrize("feed", [{"log.bytes": "16MiB", "archive": True}], indirect=True)
    """
    settings = dict(getattr(request, "param", {}))
    with LocalFeed(settings, archive=settings.pop("archive", False)) as local:
        yield local
