"""The change log has fixed headings, and its newest version is the one that is installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import feed

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CHANGELOG.md").read_text()


def test_the_newest_version_is_ours() -> None:
    newest = re.search(r"^## (\S+) - (\d{4}-\d{2}-\d{2}|unreleased)$", TEXT, re.M)
    assert newest is not None
    assert newest[1] == feed.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_headings_are_the_four() -> None:
    assert set(re.findall(r"^### (.+)$", TEXT, re.M)) <= {"Added", "Changed", "Fixed", "Removed"}
