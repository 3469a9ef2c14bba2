"""The bytes of a segment, for cimport."""

from libc.stdint cimport uint8_t, uint64_t


cdef class Content:
    cdef readonly object path
    cdef readonly bint compressed
    cdef int fd
    # Compressed: where each zstd frame begins, in the content and in the file, and where the last one ends.
    cdef list _content, _packed
    cdef object _zstd, _unpacked
    cdef Py_ssize_t _unpacked_frame

    # How many bytes there are now.
    cdef uint64_t size(self) except? 0
    # Bytes from `offset` on, fewer than `most` only at the end, or at the end of a zstd frame; how many. A zstd frame that is
    # damaged has none.
    cdef Py_ssize_t fill(self, uint64_t offset, uint8_t* to, size_t most) except -1
    # Was the file removed or replaced since it was opened?
    cdef bint removed(self) noexcept nogil

    cdef Py_ssize_t _unpack(self, Py_ssize_t frame, uint8_t* to, size_t nbytes) except -1
    cdef bint _read_seek_table(self) except -1
