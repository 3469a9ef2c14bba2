# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The bytes of a segment, from its file or out of zstd frames: offsets are the same in both."""

import os
from bisect import bisect_right
from pathlib import Path
from struct import unpack, unpack_from

import zstandard
from cpython.buffer cimport PyBUF_WRITE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy
from posix.stat cimport fstat, struct_stat
from posix.types cimport off_t
from posix.unistd cimport pread

from feed.errors import StoreError
from feed.store.folder import COMPRESSED

# The zstd seekable format 0.1.0: a skippable frame at the end with the sizes of all others.
cdef enum:
    SEEK_FOOTER = 9
    SEEK_ENTRY = 8
SEEKABLE_MAGIC = 0x8F92EAB1
SKIPPABLE_MAGIC = 0x184D2A5E


cdef class Content:
    def __cinit__(self) -> None:
        self.fd = -1

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unpacked_frame = -1
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as e:
            raise StoreError("cannot open a segment", found=e.strerror, where=str(path)) from e
        self.compressed = path.suffix == COMPRESSED
        if self.compressed:
            self._zstd = zstandard.ZstdDecompressor()
            self._content = [0]
            self._packed = [0]
            self._read_seek_table()

    def __dealloc__(self) -> None:
        self.close()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def starts(self) -> list[int]:
        return self._content[: len(self._content) - 1]

    cdef bint removed(self) noexcept nogil:
        cdef struct_stat found
        return fstat(self.fd, &found) != 0 or found.st_nlink == 0

    cdef uint64_t size(self) except? 0:
        """Of the segment: of a compressed one, of its content."""
        cdef struct_stat found
        if self.compressed:
            return self._content[len(self._content) - 1]
        if fstat(self.fd, &found) != 0:
            raise StoreError("cannot read a segment", found=os.strerror(errno), where=str(self.path))
        return found.st_size

    cdef Py_ssize_t fill(self, uint64_t offset, uint8_t* to, size_t most) except -1:
        """Bytes from `offset` on, fewer than `most` only at the end, or at the end of a zstd frame; how many."""
        cdef size_t have = 0
        cdef Py_ssize_t got = 1
        cdef Py_ssize_t frame, start, nbytes
        cdef const uint8_t* unpacked
        if not self.compressed:
            with nogil:
                while have < most:
                    got = pread(self.fd, to + have, most - have, <off_t>(offset + have))
                    if got > 0:
                        have += got
                    elif got == 0 or errno != EINTR:
                        break
            if got < 0:
                raise StoreError("cannot read a segment", found=os.strerror(errno), where=str(self.path))
            return have
        frame = bisect_right(self._content, offset) - 1
        if frame >= len(self._content) - 1:
            return 0
        start = self._content[frame]
        nbytes = self._content[frame + 1] - start
        if offset == <uint64_t>start and <size_t>nbytes <= most:
            return self._unpack(frame, to, nbytes)
        if frame != self._unpacked_frame:
            self._unpacked = bytearray(nbytes)
            self._unpacked_frame = frame
            unpacked = self._unpacked
            if self._unpack(frame, <uint8_t*>unpacked, nbytes) < nbytes:
                self._unpacked = b""
        nbytes = min(len(self._unpacked) - <Py_ssize_t>(offset - start), <Py_ssize_t>most)
        if nbytes <= 0:
            return 0
        unpacked = self._unpacked
        memcpy(to, unpacked + (offset - start), nbytes)
        return nbytes

    cdef Py_ssize_t _unpack(self, Py_ssize_t frame, uint8_t* to, size_t nbytes) except -1:
        """One zstd frame; gives `nbytes`, or 0 if it is not what was written."""
        cdef size_t have = 0
        packed = os.pread(self.fd, self._packed[frame + 1] - self._packed[frame], self._packed[frame])
        try:
            with self._zstd.stream_reader(packed) as content:
                while have < nbytes:
                    got = content.readinto(PyMemoryView_FromMemory(<char*>to + have, nbytes - have, PyBUF_WRITE))
                    if got == 0:
                        return 0
                    have += got
        except zstandard.ZstdError:
            return 0
        return nbytes

    cdef bint _read_seek_table(self) except -1:
        """Where the zstd frames are; false, and no frames, if that is damaged."""
        file_bytes = os.fstat(self.fd).st_size
        footer = os.pread(self.fd, SEEK_FOOTER, max(0, file_bytes - SEEK_FOOTER))
        if len(footer) < SEEK_FOOTER:
            return False
        count, descriptor, magic = unpack("<IBI", footer)
        table_bytes = 8 + SEEK_ENTRY * count + SEEK_FOOTER
        if magic != SEEKABLE_MAGIC or descriptor != 0 or table_bytes > file_bytes:
            return False
        table = os.pread(self.fd, table_bytes, file_bytes - table_bytes)
        if unpack_from("<II", table) != (SKIPPABLE_MAGIC, table_bytes - 8):
            return False
        content = [0]
        packed = [0]
        for i in range(count):
            packed_bytes, content_bytes = unpack_from("<II", table, 8 + SEEK_ENTRY * i)
            packed.append(packed[i] + packed_bytes)
            content.append(content[i] + content_bytes)
        if packed[count] != file_bytes - table_bytes:
            return False
        self._content = content
        self._packed = packed
        return True
