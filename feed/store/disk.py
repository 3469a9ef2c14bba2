"""Every operation by which the archive's writers change files, in one place: a test that records them can rebuild
whatever a crash may leave, and one that fails them shows what a full or broken disk does.

All raise OSError. What each promises about a power cut is POSIX: bytes and length of a file are safe once `sync`
returned, an entry of the folder (created, renamed, removed) once `sync_folder` returned, and nothing before.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Disk", "is_full"]


class Disk:
    """The real one."""

    def create(self, path: Path) -> int:
        """A new file, for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def open(self, path: Path) -> int:
        """A file that is there, for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        os.close(fd)

    def write(self, fd: int, offset: int, data: bytes | memoryview) -> int:
        """Gives how many bytes were written, which may be fewer."""
        return os.pwrite(fd, data, offset)

    def truncate(self, fd: int, nbytes: int) -> None:
        os.ftruncate(fd, nbytes)

    def sync(self, fd: int) -> None:
        os.fdatasync(fd)

    def sync_folder(self, folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def unlink(self, path: Path) -> None:
        path.unlink()


def is_full(e: OSError) -> bool:
    """Is it for want of room?"""
    return e.errno in {errno.ENOSPC, errno.EDQUOT}
