"""Where a feed's shared memory lies, and clearing it away."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["DEFAULT_ROOT", "FILES", "directory", "require_space", "unlink"]

from feed.errors import CallerError, LogSpace

DEFAULT_ROOT = Path("/dev/shm/tickcast")
FILES = ("log", "topics", "segments", "readers")
"""The log's files but the lock, which stays as long as the directory does: it is what writers meet at."""


def directory(name: str, root: str | Path | None = None) -> Path:
    """ROOT/NAME, ROOT being `root`, else $TICKCAST_LOG_ROOT, else /dev/shm/tickcast."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise CallerError("a feed's name is one path component", found=repr(name), where="feed.name")
    return Path(root or os.environ.get("TICKCAST_LOG_ROOT") or DEFAULT_ROOT) / name


def require_space(at: Path, needed: int) -> None:
    """Refuse before the first page is touched: a full tmpfs answers a store with SIGBUS.

    :raises LogSpace: fewer than `needed` bytes are free at `at`.
    """
    vfs = os.statvfs(at)
    free = vfs.f_bavail * vfs.f_frsize
    if free < needed:
        mib = 1 << 20
        raise LogSpace(
            "shared memory is too small for the log",
            expected=f"{-(-needed // mib)} MiB free",
            found=f"{free // mib} MiB free",
            where=str(at),
            remedy=(
                f"Set a smaller log.bytes, or enlarge it: mount -o remount,size={2 * -(-needed // mib)}m /dev/shm "
                f"(in a container: --shm-size={2 * -(-needed // mib)}m)"
            ),
        )


def unlink(at: Path) -> None:
    """Remove the log's files; whoever has them mapped keeps what they hold."""
    for name in FILES:
        (at / name).unlink(missing_ok=True)
