# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Where a durable bot stands: a file in memory that a kill -9 leaves as it was.

For each topic the next topic_seq, and for the stream a seq below which nothing is missing: where to read on from. A tick
counts as dealt with when the bot comes for the next one. The one in hand at a kill therefore comes again, flagged
replayed; so do all that were handed out and not counted.

Each number is one aligned word that only rises, so whatever prefix of the stores survives is a place to go on from: a
killed process leaves them all, a power loss those that the kernel had written (fewer, never wrong ones:
ticks come again, none is skipped). A new epoch is written beside the old file and renamed over it.
"""

import fcntl
import mmap
import os
from pathlib import Path

from libc.string cimport memcpy

from feed.errors import CallerError, ConfigError
from feed.wire.records import BY_ID

MAGIC = 0x31534F504B434954      # "TICKPOS1"
ROOM = 1024


cdef class Position:
    """The position in `path`, made if it is not there.

    :raises CallerError: another process is this bot.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._fd = -1
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._fd, 20, 0).decode() or "?"
            os.close(self._fd)
            self._fd = -1
            raise CallerError(
                "a bot of this durable name is running", found=f"process {holder}", where=str(self._path),
                remedy="Give each bot a name of its own; bots that share the work have a group",
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)
        try:
            self._open()
        except BaseException:
            os.close(self._fd)
            self._fd = -1
            raise

    def close(self) -> None:
        if self._fd >= 0:
            self._map.flush()
            self.header = NULL
            self.entries = NULL
            self._map = None
            os.close(self._fd)
            self._fd = -1

    @property
    def epoch(self) -> int:
        return self.header.epoch

    @property
    def seq(self) -> int:
        """Where to read on from, in the epoch."""
        return self.header.seq

    @property
    def proved(self) -> int:
        """Where to read on from if the epoch is over: later frames would have shown what was lost, and none will come."""
        return self.header.proved

    @property
    def handed(self) -> int:
        """The highest seq that was handed out."""
        return self.header.handed

    def dues(self) -> dict[tuple[int, str], int]:
        """(schema id, symbol) -> the next topic_seq."""
        return {key: self.entries[<uint32_t>i].due for key, i in self.index.items() if self.entries[<uint32_t>i].due}

    def begin(self, epoch: int, seq: int = 1) -> None:
        """Another epoch, to be read from `seq` on: topics known already are due at 1, and keep their entries."""
        _create(self._path, epoch, seq, self.room, (<const char*>self.entries)[: self.header.count * sizeof(position_entry_t)])
        self._open()

    def put(self, schema_id: int, symbol: str, due: int = 0) -> int:
        """The entry of a topic. A new one begins at `due`."""
        found = self.index.get((schema_id, symbol))
        if found is not None:
            return found
        if self.header.count == self.room:
            self._grow()
        cdef uint32_t i = self.header.count
        cdef position_entry_t* entry = &self.entries[i]
        text = symbol.encode("ascii")
        entry.due = due
        entry.schema = schema_id
        memcpy(entry.symbol, <const char*>text, len(text))
        entry.symbol_length = len(text)
        self.header.count = i + 1
        self.index[schema_id, symbol] = i
        return i

    cdef position_entry_t* entry(self, uint32_t index) noexcept nogil:
        return &self.entries[index]

    def _open(self) -> None:
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            _create(self._path, 0, 0, ROOM, b"")
            size = self._path.stat().st_size
        with self._path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size) if size >= sizeof(position_header_t) else None
        self._look(size)
        if self._map is None or self.header.magic != MAGIC:
            raise ConfigError(
                "not a bot's position", where=str(self._path), remedy="Remove it, and the bot begins where `start` says"
            )
        self.index = {}
        # A power loss may have left a count of entries that the file does not hold.
        self.header.count = min(self.header.count, self.room)
        for i in range(self.header.count):
            entry = self.entries[<uint32_t>i]
            if entry.symbol_length and entry.schema in BY_ID:
                self.index[entry.schema, entry.symbol[: entry.symbol_length].decode("ascii", "replace")] = i

    def _grow(self) -> None:
        size = sizeof(position_header_t) + 2 * self.room * sizeof(position_entry_t)
        self._map.resize(size)
        self._look(size)

    def _look(self, size: int) -> None:
        cdef uint8_t[::1] view
        if self._map is not None:
            view = self._map
            self.header = <position_header_t*>&view[0]
            self.entries = <position_entry_t*>(&view[0] + sizeof(position_header_t))
            self.room = (size - sizeof(position_header_t)) // sizeof(position_entry_t)


def _create(path: Path, epoch: int, seq: int, room: int, known: bytes) -> None:
    """A new file in place of `path`, whole or not at all; topics `known`, entries of the old one, are due at 1."""
    cdef position_header_t header
    cdef bytearray entries = bytearray(known)
    cdef position_entry_t* entry = <position_entry_t*><char*>entries
    cdef uint32_t i
    header.magic = MAGIC
    header.epoch = epoch
    header.seq = header.proved = seq
    header.handed = header.reserved = 0
    header.count = len(known) // sizeof(position_entry_t)
    for i in range(header.count):
        entry[i].due = 1
    fresh = path.with_suffix(".tmp")
    with fresh.open("wb") as file:
        file.write((<const char*>&header)[: sizeof(header)])
        file.write(entries)
        file.truncate(sizeof(position_header_t) + room * sizeof(position_entry_t))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
