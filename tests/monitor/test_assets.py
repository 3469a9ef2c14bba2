"""feed.monitor.assets: what the package's folder has, and nothing beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feed.monitor.assets import assets

if TYPE_CHECKING:
    from pathlib import Path


def test_the_packages_page() -> None:
    found = assets()
    assert found["index.html"].content_type == "text/html; charset=utf-8"
    text = found["index.html"].body.decode()
    scripts = [name for name in found if name.endswith(".js") and f"/static/{name}" in text]
    assert scripts
    assert len({asset.etag for asset in found.values()}) == len(found)


def test_only_files_of_known_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "notes.txt").write_text("no")
    (tmp_path / "folder.css").mkdir()
    found = assets(tmp_path)
    assert list(found) == ["a.js"]
    etag = found["a.js"].etag
    (tmp_path / "a.js").write_text("2")
    assert assets(tmp_path)["a.js"].etag != etag
