"""What came in from outside, kept as it came: `capture` of a live source, for looking at it and for playing it again.

A file is one zstd stream, little-endian, nothing aligned:

    magic       8 bytes  "TCRAW" 0 0 1
    about       u32 length, then JSON: source, kind, settings (the source's table), started_ns
    entries     u64 received, ns since 1970 · u32 length · u16 channel · u16 what · `length` bytes

``what`` is 0 for a message of a channel, 1 for a channel's name, before its first message, and 2 where messages are
missing: u64, how many. A channel is a source's own word for where a message came from: a connection, a line, a request.
Every second all that came is in the file up to a whole block, so that a process that is killed costs a second.

The hot thread copies a message into memory and goes on; compressing and writing is another thread's. Beyond
`PENDING_BYTES` that are not written yet, or once the disk has failed, messages are counted as lost instead.
"""

from __future__ import annotations

import datetime
import logging
import struct
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import orjson
import zstandard

from feed.clock import now_ns
from feed.config.sources import CAPTURE_SUFFIX
from feed.errors import HostError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from feed.config import LiveTable
    from feed.metrics.counters import Counters

__all__ = ["MAGIC", "PENDING_BYTES", "Capture", "CaptureFile", "Entry", "capture_of"]

log = logging.getLogger("tickcast.ingest")

MAGIC: Final = b"TCRAW\x00\x00\x01"
PENDING_BYTES: Final = 32 << 20
"""What may wait to be written."""

_ENTRY = struct.Struct("<QIHH")
_MESSAGE, _CHANNEL, _MISSING = 0, 1, 2
_HURRY_BYTES = 1 << 20
"""So much is written at once, less once a second."""

_EVERY_S = 1.0
_PIECE_BYTES = 64 << 10
_ABOUT_BYTES_MAX = 1 << 20
_PAYLOAD_BYTES_MAX = 1 << 28


class Entry(NamedTuple):
    """One message. `received_ns`: ns since 1970, when the feed had it."""

    channel: str
    received_ns: int
    payload: bytes


class Capture:
    """A new file in `folder` for source `name`, whose table `settings` is. `keep` is for one thread.

    :raises HostError: the file can't be made.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        settings: dict[str, Any],
        counters: Counters,
        *,
        clock: Callable[[], int] = now_ns,
        pending_bytes: int = PENDING_BYTES,
    ) -> None:
        started = clock()
        moment = datetime.datetime.fromtimestamp(started // 10**9, datetime.UTC).strftime("%Y%m%dT%H%M%S")
        self.path = folder / f"{name}-{moment}.{started % 10**9:09d}{CAPTURE_SUFFIX}"
        self.lost = 0
        """Messages that are not in the file."""
        self._lost = counters.counter("tickcast_capture_lost_total", source=name)
        self._written = counters.counter("tickcast_capture_bytes_total", source=name)
        self._pending_bytes = pending_bytes
        self._channels: dict[str, int] = {}
        self._missing = 0
        self._taking = threading.Lock()
        self._wake = threading.Event()
        self._ended = self._failed = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb", buffering=0)
        except OSError as e:
            where = f"source.{name}.capture"
            raise HostError("the capture can't be written", found=e.strerror, where=f"{where}, {self.path}") from e
        about = orjson.dumps(
            {"source": name, "kind": settings.get("kind", ""), "settings": settings, "started_ns": started}
        )
        self._waiting = bytearray(MAGIC + len(about).to_bytes(4, "little") + about)
        self._messages = 0
        self._zstd = zstandard.ZstdCompressor(level=3).compressobj()
        self._thread = threading.Thread(target=self._write, name=f"{name}.capture", daemon=True)
        self._thread.start()

    def keep(self, channel: str, payload: bytes | bytearray | memoryview, received_ns: int) -> None:
        """One message as it came; it is copied. Never waits, never raises."""
        n = len(payload)
        with self._taking:
            if self._failed or len(self._waiting) + n > self._pending_bytes:
                self._missing += 1
                self._lose(1)
                return
            number = self._channels.get(channel)
            if number is None:
                number = self._channels[channel] = len(self._channels)
                name = channel.encode()
                self._waiting += _ENTRY.pack(received_ns, len(name), number, _CHANNEL)
                self._waiting += name
            if self._missing:
                self._waiting += _ENTRY.pack(received_ns, 8, number, _MISSING)
                self._waiting += self._missing.to_bytes(8, "little")
                self._missing = 0
            self._waiting += _ENTRY.pack(received_ns, n, number, _MESSAGE)
            self._waiting += payload
            self._messages += 1
        if len(self._waiting) >= _HURRY_BYTES:
            self._wake.set()

    def close(self) -> None:
        """Write what waits and end the file."""
        self._ended = True
        self._wake.set()
        self._thread.join()
        self._file.close()

    def _write(self) -> None:
        while not self._failed:
            ended = self._ended
            with self._taking:
                taken, self._waiting = self._waiting, bytearray()
                messages, self._messages = self._messages, 0
            try:
                packed = self._zstd.compress(taken)
                if ended:
                    packed += self._zstd.flush()
                elif taken:
                    packed += self._zstd.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
                self._put(packed)
            except OSError as e:
                with self._taking:
                    self._failed = True  # what was taken is in the file up to some byte: a reader sees it break off
                    self._lose(messages + self._messages)
                    self._waiting.clear()
                log.error("%s can't be written, what comes is lost: %s", self.path, e.strerror)
            if ended:
                return
            self._wake.wait(_EVERY_S)
            self._wake.clear()

    def _lose(self, messages: int) -> None:
        self.lost += messages
        self._lost.add(messages)

    def _put(self, packed: bytes) -> None:
        rest = memoryview(packed)
        while rest:
            done = self._file.write(rest)
            self._written.add(done)
            rest = rest[done:]


def capture_of(name: str, config: LiveTable, counters: Counters) -> Capture | None:
    """What a live source keeps its messages with; None: its table names no folder. Raises HostError."""
    if not config.capture:
        return None
    from pathlib import Path  # noqa: PLC0415 - most feeds keep nothing

    return Capture(Path(config.capture), name, msgspec.to_builtins(config), counters)


class CaptureFile:
    """A capture, read from its beginning. ``about`` is its head; ``file_bytes`` its size, ``read_bytes`` how much of
    that has been read; ``lost`` how many messages it says are missing so far.

    :raises SourceError: it is no capture, or can't be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = 0
        self.read_bytes = 0
        self._have = bytearray()
        self._at = 0
        self._channels: dict[int, str] = {}
        try:
            self._file = path.open("rb")
            self.file_bytes = self._file.seek(0, 2)
            self._file.seek(0)
        except OSError as e:
            raise SourceError("the file cannot be read", found=e.strerror, where=str(path)) from e
        self._zstd = zstandard.ZstdDecompressor().decompressobj()
        try:
            self.about: dict[str, Any] = self._head()
        except SourceError:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Entry]:
        """Every message, in the order in which they came.

        :raises SourceError: the file breaks off or is damaged; all whole messages before that place have been given.
        """
        while self._more(_ENTRY.size):
            received_ns, n, number, what = _ENTRY.unpack_from(self._have, self._at)
            if n > _PAYLOAD_BYTES_MAX or what > _MISSING or (what != _CHANNEL and number not in self._channels):
                raise self._damaged("this is no entry")
            if not self._more(_ENTRY.size + n):
                break
            start = self._at + _ENTRY.size
            payload = bytes(memoryview(self._have)[start : start + n])
            self._at = start + n
            if what == _CHANNEL:
                self._channels[number] = payload.decode("utf-8", "replace")
            elif what == _MISSING:
                self.lost += int.from_bytes(payload, "little")
            else:
                yield Entry(self._channels[number], received_ns, payload)
        if len(self._have) > self._at or not self._zstd.eof:
            raise SourceError(
                "the capture breaks off", found="all whole messages before are played", where=str(self.path)
            )

    def _head(self) -> dict[str, Any]:
        if not self._more(12) or self._have[:8] != MAGIC:
            raise SourceError(
                "this is no capture", expected=repr(MAGIC), found=repr(bytes(self._have[:8])), where=str(self.path)
            )
        n = int.from_bytes(self._have[8:12], "little")
        if n > _ABOUT_BYTES_MAX or not self._more(12 + n):
            raise self._damaged("its head is not whole")
        try:
            about = orjson.loads(self._have[12 : 12 + n])
        except orjson.JSONDecodeError as e:
            raise self._damaged(str(e)) from None
        self._at = 12 + n
        if not isinstance(about, dict) or not isinstance(about.get("settings"), dict):
            raise self._damaged("its head names no settings")
        return about

    def _more(self, n: int) -> bool:
        """Have `n` bytes from where it stands; False: the file has no more of them."""
        while len(self._have) - self._at < n and not self._zstd.eof:
            if self._at > _PIECE_BYTES:
                del self._have[: self._at]
                self._at = 0
            try:
                piece = self._file.read(_PIECE_BYTES)
                self.read_bytes += len(piece)
                if not piece:
                    return False
                self._have += self._zstd.decompress(piece)
            except OSError as e:
                raise SourceError("the file cannot be read", found=e.strerror, where=str(self.path)) from e
            except zstandard.ZstdError as e:
                raise self._damaged(str(e)) from None
        return len(self._have) - self._at >= n

    def _damaged(self, why: str) -> SourceError:
        return SourceError("the capture is damaged", found=why, where=f"{self.path}, before byte {self.read_bytes}")
