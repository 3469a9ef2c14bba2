"""Programs that only tests need, from Debian: deploy/system-packages.sh test."""

from __future__ import annotations

import os
import shutil

import pytest

__all__ = ["needed"]


def needed(program: str) -> str:
    """Where it is. Without it a test is skipped; in CI it fails."""
    path = shutil.which(program)
    if path is None:
        missing = f"no {program} here: deploy/system-packages.sh test"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return path
