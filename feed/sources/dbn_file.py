"""A DBN file on disk, raw or zstd: its metadata, and its records as decompressed bytes in pieces of bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import databento_dbn
import zstandard

from feed.errors import SourceError
from feed.normalize.dbn import BUFFER_BYTES_MIN, PARTIAL, DbnStream
from feed.normalize.dbn_symbols import DbnSymbols

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["VERSIONS", "DbnFile"]

VERSIONS = (1, 2, 3)

_PRELUDE_BYTES = 8  # "DBN", version, length of the rest of the metadata
_METADATA_BYTES_MAX = 1 << 29
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # behind a first byte 0x50 to 0x5f
_PIECE_BYTES = 1024
"""Compressed bytes at a time: a block of 4 can say 128 KiB, so this bounds what one piece may grow to (32 MiB; usual
files: some KiB)."""


class DbnFile:
    """One file; when it has been made, its header has been read and it is closed again.

    ``version`` 1 to 3, ``ts_out``, ``symbols``; ``first_ts`` is the time of the first record, 0 if that is not known;
    ``file_bytes`` is its size, ``read_bytes`` how much of that has been read, ``header_bytes`` where records begin,
    counted after decompression.

    :raises SourceError: with file and byte, also from every method that reads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_bytes = 0
        self.file_bytes = 0
        self._raw: BinaryIO | None = None
        self._zstd = False
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._rest = b""  # compressed bytes behind the end of a zstd frame
        self._ready = memoryview(b"")  # decompressed bytes not handed out yet
        self.open()
        self.first_ts = self._first_ts()
        self.close()

    def open(self) -> None:
        """Begin at the first record."""
        self.close()
        self.read_bytes = 0
        try:
            self._raw = self.path.open("rb")
            self.file_bytes = self._raw.seek(0, 2)
            self._raw.seek(0)
            magic = self._raw.read(4)
            self._raw.seek(0)
            self._zstd = magic == _ZSTD_MAGIC or magic[1:] == _ZSTD_SKIPPABLE
            self._read_header()
        except OSError as e:
            self.close()
            raise SourceError("the file cannot be read", found=e.strerror or str(e), where=str(self.path)) from e
        except SourceError:
            self.close()
            raise

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()
        self._raw = self._frame = None
        self._rest = b""
        self._ready = memoryview(b"")

    @property
    def is_open(self) -> bool:
        return self._raw is not None

    def readinto(self, space: memoryview) -> int:
        """Fill the beginning of `space` with the bytes that come next; 0: the file has ended, and as it should.

        :raises SourceError: a zstd frame is damaged or cut off; what could be had before it was handed out already.
        """
        assert self._raw is not None
        try:
            while not self._ready:
                if not self._zstd:
                    n = self._raw.readinto(space)  # type: ignore[attr-defined]
                    self.read_bytes += n
                    return int(n)
                piece = self._rest or self._raw.read(_PIECE_BYTES)
                if not piece:
                    if self._frame is not None:
                        raise SourceError("a zstd frame is cut off", where=f"{self.path}, byte {self.file_bytes}")
                    return 0
                self._ready = memoryview(self._decompress(piece))
        except OSError as e:
            raise SourceError("the file cannot be read", found=e.strerror, where=str(self.path)) from e
        n = min(len(space), len(self._ready))
        space[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n

    # --- inside -----------------------------------------------------------------------------------------------------

    def _decompress(self, piece: bytes) -> bytes:
        if not self._rest:
            self.read_bytes += len(piece)
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor().decompressobj(write_size=1 << 15)
        try:
            ready = self._frame.decompress(piece)
        except zstandard.ZstdError as e:
            raise SourceError(
                "a zstd frame is damaged", found=str(e), where=f"{self.path}, before byte {self.read_bytes}"
            ) from e
        self._rest = b""
        if self._frame.eof:
            self._rest = self._frame.unused_data
            self._frame = None
        return ready

    def _read_header(self) -> None:
        prelude = self._exactly(_PRELUDE_BYTES, b"")
        if prelude[:3] != b"DBN":
            raise SourceError(
                "this is no DBN file", expected="'DBN'", found=repr(prelude[:3]), where=f"{self.path}, byte 0"
            )
        version, length = prelude[3], int.from_bytes(prelude[4:], "little")
        if version not in VERSIONS:
            raise SourceError("unknown DBN version", expected="1 to 3", found=version, where=f"{self.path}, byte 3")
        if length > _METADATA_BYTES_MAX:
            raise SourceError(
                "the metadata is too long",
                expected=f"at most {_METADATA_BYTES_MAX}",
                found=length,
                where=f"{self.path}, byte 4",
            )
        header = self._exactly(_PRELUDE_BYTES + length, prelude)
        try:
            metadata = databento_dbn.Metadata.decode(header)
            self.symbols = DbnSymbols(metadata)
        except (databento_dbn.DBNError, ValueError, OverflowError) as e:
            raise SourceError("the metadata is damaged", found=str(e), where=f"{self.path}, byte 8") from e
        self.version = version
        self.ts_out = bool(metadata.ts_out)
        self.header_bytes = len(header)

    def _exactly(self, n: int, begun: bytes) -> bytes:
        """The first `n` bytes of the file, of which `begun` have been read."""
        have = bytearray(begun)
        space = memoryview(bytearray(min(n, 1 << 16)))
        while len(have) < n:
            got = self.readinto(space[: n - len(have)])
            if not got:
                raise SourceError(
                    "the file ends within its header",
                    expected=f"{n} bytes",
                    found=len(have),
                    where=f"{self.path}, byte {len(have)}",
                )
            have += space[:got]
        return bytes(have)

    def _first_ts(self) -> int:
        stream = DbnStream(0, self.version, self.ts_out, buffer_bytes=BUFFER_BYTES_MIN)
        try:
            while True:
                found = stream.next()
                if found.record:
                    return found.ts if found.ts < 2**64 - 1 else 0
                if found.kind == PARTIAL:
                    got = self.readinto(stream.space())
                    if not got:
                        return 0
                    stream.filled(got)
                elif found.kind < PARTIAL:
                    return 0
        except SourceError:
            return 0  # replay meets it again, after the records before it
