"""The page's files: read once from the package's folder `web`, served under fixed names and no others."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Asset", "assets"]

WEB: Final = Path(__file__).with_name("web")
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


class Asset(NamedTuple):
    """One file as HTTP wants it; `etag` changes with its content."""

    body: bytes
    content_type: str
    etag: str


def assets(folder: Path = WEB) -> dict[str, Asset]:
    """Every file of the folder that a page may ask for, by name."""
    found: dict[str, Asset] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in TYPES and path.is_file():
            body = path.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            found[path.name] = Asset(body, TYPES[path.suffix], etag)
    return found
