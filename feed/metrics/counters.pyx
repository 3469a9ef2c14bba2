# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The counters file of a feed: every process counts into its own rows, anybody reads them all.

A process asks once for a handle by the metric's name and labels (slow: a lock, system calls) and then bumps a word in
shared memory (about a nanosecond). The same name and labels find the same row after a restart, and count on.
Layout: counters.h; names, kinds and labels: table.py.
"""

cimport cython
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

import errno
import fcntl
import mmap
import os
from array import array
from collections import namedtuple
from pathlib import Path

from feed.clock import monotonic_ns, now_ns, sleep_until_ns
from feed.errors import CallerError, HostError, LogMissing, LogSpace
from feed.metrics.histogram cimport tc_histogram
from feed.metrics.table import BY_NAME

_KINDS = {"counter": TC_ROW_COUNTER, "gauge": TC_ROW_GAUGE, "histogram": TC_ROW_HISTOGRAM}
_KIND_NAMES = {number: word for word, number in _KINDS.items()}
_LOCK_NS = 5_000_000_000

Row = namedtuple("Row", "name labels kind value histogram pid")
Row.__doc__ = """One row as it is now.

`value` of a counter or gauge (0 for a histogram) is in the metric's unit; `histogram` is a private copy, None for the
other kinds; `pid` is the process that last asked for a handle.
"""


@cython.final
cdef class Counter:
    """A count that only grows. One process writes it."""

    cpdef void add(self, uint64_t n) noexcept nogil:
        """Count `n` more."""
        tc_counter_add(self.slot, n)

    def set(self, uint64_t value):
        """Take over a total that somebody else keeps; the caller sees to it that it only grows."""
        tc_counter_put(self.slot, value)

    @property
    def value(self) -> int:
        return tc_counter_load(self.slot)


@cython.final
cdef class Gauge:
    """A figure that rises and falls, signed. One process writes it."""

    cpdef void put(self, int64_t value) noexcept nogil:
        """The figure is now `value`, in the metric's unit."""
        tc_counter_put(self.slot, <uint64_t>value)

    cpdef void add(self, int64_t n) noexcept nogil:
        """The figure changed by `n`."""
        tc_counter_add(self.slot, <uint64_t>n)

    def set(self, int64_t value):
        """The same as `put`."""
        tc_counter_put(self.slot, <uint64_t>value)

    @property
    def value(self) -> int:
        return <int64_t>tc_counter_load(self.slot)


@cython.final
cdef class Counters:
    """DIRECTORY/counters, mapped. Handles given out stay valid after `close` and even after the file is gone."""

    def __init__(self):
        raise TypeError("use Counters.open(directory)")

    @classmethod
    def open(cls, directory, create=False, *, writable=True):
        """Map the counters file of the feed whose log directory is `directory`.

        `create` makes the file where there is none (or one of another version) and keeps what is in one that is there;
        `writable=False` maps it for reading only. LogMissing: there is none; LogSpace: no memory for a new one.
        """
        cdef Counters self = cls.__new__(cls)
        cdef const unsigned char[::1] view
        self.directory = Path(directory)
        path = self.directory / "counters"
        self._fd = _Descriptor(_open_file(path, create, writable))
        _check_file(self._fd.number, path)
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        # A view, not the mmap itself: as long as a handle holds it nobody can unmap what the handle points to.
        self._map = memoryview(mmap.mmap(self._fd.number, TC_COUNTERS_BYTES, access=access))
        view = self._map
        self.base = <char*>&view[0]
        self.header = <tc_counters_header*>self.base
        self.table = <tc_counter_row*>(self.base + TC_COUNTERS_PAGE)
        self._found = {}
        self._keys = [None] * TC_COUNTERS_ROWS
        self._stamps = array("I", bytes(4 * TC_COUNTERS_ROWS))
        self._writable = writable
        return self

    def counter(self, name, /, **labels) -> Counter:
        """The handle of a counter; CallerError if the table has no counter `name` with just these labels.

        Where no row is left the handle counts into private memory, and the refusal is counted. Label values are cut to
        63 bytes of UTF-8, characters that do not print become `?`.
        """
        cdef Counter handle = Counter.__new__(Counter)
        handle._owner, address = self._value("counter", name, labels)
        handle.slot = <uint64_t*><uintptr_t>address
        return handle

    def gauge(self, name, /, **labels) -> Gauge:
        """The handle of a gauge; as `counter`."""
        cdef Gauge handle = Gauge.__new__(Gauge)
        handle._owner, address = self._value("gauge", name, labels)
        handle.slot = <uint64_t*><uintptr_t>address
        return handle

    def histogram(self, name, /, **labels) -> Histogram:
        """The histogram of these labels, in shared memory; as `counter`."""
        owner, address = self._value("histogram", name, labels)
        return Histogram.at(<tc_histogram*><uintptr_t>address, owner)

    def retire(self, name, /, **labels) -> bool:
        """Take a row out, so that its room serves another of the same kind; only its writer may, having dropped the
        handle. False: there was none."""
        metric = BY_NAME.get(name)
        metric, values = _identity(metric.kind if metric else "counter", name, labels)
        cdef tc_counter_row* row
        with _lock(self._fd.number, self.directory / "counters"):
            index = self._find((name, values))
            if index is None:
                return False
            row = &self.table[<uint32_t>index]
            tc_counters_begin_row(row)
            row.kind = TC_ROW_RETIRED
            tc_counters_publish_row(row)
        return True

    def rows(self):
        """Every row there is, as `Row`s, in the order in which they were made."""
        cdef tc_counter_row row
        cdef uint32_t index
        cdef uint64_t word
        cdef object value
        for index in range(min(tc_counters_used(self.header), TC_COUNTERS_ROWS)):
            if not tc_counters_copy_row(&self.table[index], &row) or row.kind == TC_ROW_RETIRED:
                continue
            histogram = None
            value = 0
            if row.kind == TC_ROW_HISTOGRAM:
                histogram = Histogram.at(<tc_histogram*>(self.base + row.value), self._map).copy()
            else:
                word = tc_counter_load(<uint64_t*>(self.base + row.value))
                value = word
                if row.kind == TC_ROW_GAUGE:
                    value = <int64_t>word
            if self.table[index].stamp != row.stamp:
                continue  # retired meanwhile: the value may be another's already
            yield Row(_name(&row), _labels(&row), _KIND_NAMES[row.kind], value, histogram, row.pid)

    @property
    def refused(self) -> int:
        """Rows that were asked for and not given, by all processes together."""
        return tc_counter_load(&self.header.refused)

    @property
    def used_rows(self) -> int:
        """Rows that have been made, retired ones too."""
        return tc_counters_used(self.header)

    def close(self):
        """Close the file; the mapping goes when the last handle does."""
        self._fd.close()

    cdef tuple _value(self, str kind, str name, dict labels):
        """(what keeps the value's memory alive, its address); the row is made if need be."""
        cdef Histogram private
        metric, values = _identity(kind, name, labels)
        if not self._writable:
            raise CallerError("these counters were opened for reading", where=str(self.directory / "counters"))
        key = (name, values)
        index = self._find(key)
        if index is None:
            with _lock(self._fd.number, self.directory / "counters"):
                index = self._find(key)
                if index is None:
                    index = self._make(metric, key)
        if index is None:
            private = Histogram()
            return private, <uintptr_t>private.h
        self.table[<uint32_t>index].pid = os.getpid()
        return self._map, <uintptr_t>(self.base + self.table[<uint32_t>index].value)

    cdef object _find(self, tuple key):
        """Index of the row of `key`, None if there is none. Looks at every stamp, reads the rows that have changed."""
        cdef tc_counter_row row
        cdef uint32_t index
        for index in range(min(tc_counters_used(self.header), TC_COUNTERS_ROWS)):
            if self.table[index].stamp == self._stamps[index]:
                continue
            known = self._keys[index]
            if known is not None and self._found.get(known) == index:
                del self._found[known]
            self._keys[index] = None
            if not tc_counters_copy_row(&self.table[index], &row):
                continue
            self._stamps[index] = row.stamp
            if row.kind != TC_ROW_RETIRED:
                known = (_name(&row), tuple(_labels(&row).values()))
                self._keys[index] = known
                self._found[known] = index
        return self._found.get(key)

    cdef object _make(self, object metric, tuple key):
        """Under the lock: give a row to `key`, a retired one of its size or a new one; None if there is no room."""
        cdef tc_counter_row* row = NULL
        cdef uint32_t used = min(tc_counters_used(self.header), TC_COUNTERS_ROWS), index
        cdef uint32_t nbytes = sizeof(tc_histogram) if metric.kind == "histogram" else TC_COUNTERS_SLOT
        cdef uint64_t value = self.header.next_value
        if sum(1 for name, _ in list(self._found) if name == metric.name) >= metric.limit:
            self.header.refused += 1
            return None
        for index in range(used):
            row = &self.table[index]
            # An odd stamp under the lock: whoever was making this row died over it.
            if row.value_bytes == nbytes and (row.stamp & 1 or row.kind == TC_ROW_RETIRED):
                value = row.value
                break
        else:
            index = used
            if used >= TC_COUNTERS_ROWS or not self._reserve(value, nbytes):
                self.header.refused += 1
                return None
            row = &self.table[index]
        tc_counters_begin_row(row)
        memset(self.base + value, 0, nbytes)
        row.kind = _KINDS[metric.kind]
        row.value = value
        row.value_bytes = nbytes
        _text(row.name, metric.name.encode(), TC_COUNTERS_NAME)
        pairs = zip(metric.labels, key[1], strict=True)
        _text(row.labels, b"".join(f"{label}={text}".encode() + b"\0" for label, text in pairs), TC_COUNTERS_LABELS)
        tc_counters_publish_row(row)
        if index == used:
            self.header.next_value = value + nbytes
            tc_counters_set_used(self.header, used + 1)
        return self._find(key)

    def _reserve(self, value: int, nbytes: int) -> bool:
        """Have the kernel set memory aside now: a full /dev/shm must refuse a row here, not kill its writer later."""
        if value + nbytes > TC_COUNTERS_BYTES:
            return False
        try:
            os.posix_fallocate(self._fd.number, value, nbytes)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return False
        return True


class _Descriptor:
    """An open file that closes itself once."""

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    def __del__(self) -> None:
        self.close()


class _lock:
    """flock() of a file through an opening of its own, so that it keeps threads of one process apart as well."""

    def __init__(self, fd: int, path: Path) -> None:
        self.path = path
        self.fd = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)

    def __enter__(self) -> None:
        deadline = monotonic_ns() + _LOCK_NS
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if monotonic_ns() > deadline:
                    os.close(self.fd)
                    raise HostError(
                        "the counters file has been locked for 5 s",
                        where=str(self.path),
                        remedy="A stopped process of this feed may hold it: /proc/locks tells which",
                    ) from None
                sleep_until_ns(now_ns() + 1_000_000)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_UN)  # closing alone would not do it if a fork has copied the descriptor
        os.close(self.fd)


def _identity(kind: str, name: str, labels: dict) -> tuple:
    """(metric, label values as they are stored); CallerError unless the table has it so."""
    metric = BY_NAME.get(name)
    if metric is None or metric.derived or metric.kind != kind:
        found = "no such name" if metric is None else f"a {metric.kind}{' that the exporter derives' if metric.derived else ''}"
        raise CallerError(f"{name} cannot be counted here", expected=f"a {kind} of feed/metrics/table.py", found=found)
    if labels.keys() != set(metric.labels):
        raise CallerError(f"labels of {name}", expected=", ".join(metric.labels) or "none", found=", ".join(labels) or "none")
    return metric, tuple(_label_value(labels[label]) for label in metric.labels)


def _label_value(value: object) -> str:
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return text.encode(errors="replace")[:TC_COUNTERS_LABEL_VALUE].decode(errors="ignore")


def _open_file(path: Path, create: bool, writable: bool) -> int:
    """Open the counters file, made or made anew if `create`."""
    if not create:
        try:
            return os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        except FileNotFoundError:
            raise LogMissing(
                "no counters of a feed are here", where=str(path), remedy="Start the feed with `feed run`"
            ) from None
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        with _lock(fd, path):
            if path.exists() and path.samefile(f"/proc/self/fd/{fd}"):
                version = _version(fd)
                if version == 0:
                    _make_file(fd, path)
                if version in (0, TC_COUNTERS_VERSION):
                    return fd
                # Of another version, and perhaps still mapped by a process of that one: truncating would kill it.
                path.unlink()
        os.close(fd)


def _version(fd: int) -> int:
    """0: not made yet; -1: something else."""
    cdef tc_counters_header header
    cdef bytes text = os.pread(fd, sizeof(header), 0)
    memset(&header, 0, sizeof(header))
    memcpy(&header, <const char*>text, len(text))
    if header.magic == TC_COUNTERS_MAGIC and header.file_bytes == TC_COUNTERS_BYTES:
        return header.version
    return 0 if header.magic == 0 else -1


def _make_file(fd: int, path: Path) -> None:
    """Under the lock: give a new file its size and header; the magic comes last."""
    cdef tc_counters_header header
    memset(&header, 0, sizeof(header))
    header.version = TC_COUNTERS_VERSION
    header.max_rows = TC_COUNTERS_ROWS
    header.values_at = TC_COUNTERS_PAGE + TC_COUNTERS_ROWS * sizeof(tc_counter_row)
    header.next_value = header.values_at
    header.file_bytes = TC_COUNTERS_BYTES
    try:
        os.ftruncate(fd, TC_COUNTERS_BYTES)
        os.posix_fallocate(fd, 0, header.values_at)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise LogSpace(
            "no room for the counters file",
            expected=f"{header.values_at} bytes",
            where=str(path),
            remedy="Enlarge it (docker: --shm-size), or move it with log.root",
        ) from error
    os.pwrite(fd, (<char*>&header)[: sizeof(header)], 0)
    header.magic = TC_COUNTERS_MAGIC
    os.pwrite(fd, (<char*>&header)[:8], 0)


def _check_file(fd: int, path: Path) -> None:
    version = _version(fd)
    if version != TC_COUNTERS_VERSION:
        raise HostError(
            "not a counters file that this version reads",
            expected=f"version {TC_COUNTERS_VERSION}",
            found=f"version {version}" if version > 0 else "something else",
            where=str(path),
            remedy="Restart the feed with this version",
        )


cdef void _text(char* at, bytes text, size_t room) except *:
    if len(text) >= room:
        raise ValueError(f"{text!r} does not fit in {room} bytes")
    memset(at, 0, room)
    memcpy(at, <const char*>text, len(text))


cdef str _name(const tc_counter_row* row):
    return (<bytes>row.name[:TC_COUNTERS_NAME]).rstrip(b"\0").decode()


cdef dict _labels(const tc_counter_row* row):
    parts = (<bytes>row.labels[:TC_COUNTERS_LABELS]).rstrip(b"\0").decode().split("\0")
    return dict(part.split("=", 1) for part in parts if part)
