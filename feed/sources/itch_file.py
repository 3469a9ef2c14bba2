"""An ITCH file on disk, plain or gzip: its bytes in pieces."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, BinaryIO

from feed.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ItchFile"]

_GZIP_MAGIC = b"\x1f\x8b"


class ItchFile:
    """``file_bytes`` is its size, ``read_bytes`` how much of that has been read. Methods raise SourceError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file_bytes = 0
        self._raw: BinaryIO | None = None
        self._unpacked: gzip.GzipFile | None = None

    @property
    def is_open(self) -> bool:
        return self._raw is not None

    @property
    def read_bytes(self) -> int:
        return self._raw.tell() if self._raw is not None else self.file_bytes

    def open(self) -> None:
        """Begin at the first message."""
        self.close()
        try:
            self._raw = self.path.open("rb", buffering=0)
            self.file_bytes = self._raw.seek(0, 2)
            self._raw.seek(0)
            packed = self._raw.read(2) == _GZIP_MAGIC  # as a length it would be 8,075: no message has that
            self._raw.seek(0)
            self._unpacked = gzip.GzipFile(fileobj=self._raw) if packed else None
        except OSError as e:
            self.close()
            raise SourceError("the file cannot be read", found=e.strerror or str(e), where=str(self.path)) from e

    def close(self) -> None:
        if self._unpacked is not None:
            self._unpacked.close()
        if self._raw is not None:
            self._raw.close()
        self._raw = self._unpacked = None

    def readinto(self, space: memoryview) -> int:
        """Fill the beginning of `space` with the bytes that come next; 0: the file has ended, and as it should."""
        assert self._raw is not None
        try:
            if self._unpacked is None:
                return int(self._raw.readinto(space))  # type: ignore[attr-defined]
            piece = self._unpacked.read1(len(space))
        except (EOFError, zlib.error, gzip.BadGzipFile) as e:
            at = f"{self.path}, before byte {self._raw.tell()}"
            raise SourceError("the gzip file is damaged or cut off", found=str(e), where=at) from e
        except OSError as e:
            raise SourceError("the file cannot be read", found=e.strerror or str(e), where=str(self.path)) from e
        space[: len(piece)] = piece
        return len(piece)
