# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""Latency histograms: nanoseconds in, quantiles within 1 % out.

A `Histogram` is its own memory (`Histogram()`) or a row of the counters file (`Counters.histogram`); one thread writes it
either way. Hot loops cimport `tc_histogram_record` and use the `h` of the object. Layout and buckets: histogram.h.
"""

cimport cython
from libc.math cimport ceil
from libc.stdlib cimport free
from libc.string cimport memset
from posix.stdlib cimport posix_memalign

import numpy as np

from feed.errors import PeerError

BUCKETS = <int>TC_HISTOGRAM_BUCKETS
TOP_NS = <uint64_t>TC_HISTOGRAM_TOP_NS

_FIGURE_MAX = (1 << 63) - 1


def bucket_index(ns: int) -> int:
    """The bucket of a value of `ns` ≥ 0."""
    cdef uint64_t value = ns
    return tc_histogram_index(value)


def bucket_floors_ns():
    """The smallest value of each bucket in ns; uint64[BUCKETS]."""
    out = np.empty(TC_HISTOGRAM_BUCKETS, dtype=np.uint64)
    cdef uint64_t[::1] view = out
    cdef uint32_t i
    for i in range(TC_HISTOGRAM_BUCKETS):
        view[i] = tc_histogram_floor(i)
    return out


def bucket_middles_ns():
    """The value that stands for each bucket in ns; float64[BUCKETS]."""
    out = np.empty(TC_HISTOGRAM_BUCKETS, dtype=np.float64)
    cdef double[::1] view = out
    cdef uint32_t i
    for i in range(TC_HISTOGRAM_BUCKETS):
        view[i] = _middle(i)
    return out


# The collector may not clear _owner first: __dealloc__ would take shared memory for its own and free it.
@cython.no_gc_clear
@cython.final
cdef class Histogram:
    """A log-linear histogram of nanoseconds, 0 to 17 s; larger values clamp into the last bucket, sum and max stay exact."""

    def __cinit__(self):
        self.h = NULL
        self._owner = None

    def __init__(self):
        cdef void* memory = NULL
        if self.h != NULL:
            return
        if posix_memalign(&memory, 64, sizeof(tc_histogram)) != 0:
            raise MemoryError
        memset(memory, 0, sizeof(tc_histogram))
        self.h = <tc_histogram*>memory

    def __dealloc__(self):
        if self._owner is None:
            free(self.h)

    @staticmethod
    cdef Histogram at(tc_histogram* h, object owner):
        cdef Histogram self = Histogram.__new__(Histogram)
        self.h = h
        self._owner = owner
        return self

    def record(self, int64_t ns):
        """Put one value in; a negative one is only counted, in `negative`."""
        tc_histogram_record(self.h, ns)

    def record_n(self, int64_t ns, uint64_t n):
        """Put the same value in `n` times."""
        tc_histogram_record_n(self.h, ns, n)

    def record_all(self, const int64_t[::1] ns):
        """Put in every value of an int64 array."""
        cdef Py_ssize_t i
        cdef tc_histogram_batch batch = tc_histogram_begin(self.h)
        with nogil:
            for i in range(ns.shape[0]):
                tc_histogram_add(&batch, ns[i])
            tc_histogram_end(&batch)

    @property
    def count(self) -> int:
        """How many values are in the buckets."""
        return _total(self.h)

    @property
    def sum_ns(self) -> int:
        return tc_histogram_load(&self.h.sum_ns)

    @property
    def max_ns(self) -> int:
        """The largest value, exactly; 0 when empty."""
        return tc_histogram_load(&self.h.max_ns)

    @property
    def negative(self) -> int:
        """How many values were below zero (clock skew); they are in no bucket."""
        return tc_histogram_load(&self.h.negative)

    def quantile(self, double q) -> float:
        """The value in ns below or at which a share `q` (0 to 1) of all values lies, within 1 %; NaN when empty.

        Nearest rank: the ceil(q * count)-th smallest. `quantile(1)` is `max_ns` exactly.
        """
        return self.quantiles((q,))[0]

    def quantiles(self, qs) -> list[float]:
        """`quantile` of each of `qs`, which must not decrease, over one and the same copy of the buckets."""
        cdef uint64_t[::1] counts = self.snapshot()
        cdef uint64_t total = 0, seen = 0, rank, max_ns = tc_histogram_load(&self.h.max_ns)
        cdef uint32_t i
        cdef double q, last = 0.0
        for i in range(TC_HISTOGRAM_BUCKETS):
            total += counts[i]
        if total == 0:
            return [float("nan") for _ in qs]
        out = []
        i = 0
        seen = counts[0]
        for q in qs:
            if not last <= q <= 1.0:
                raise ValueError(f"quantiles must lie in 0 to 1 and not decrease, found {q} after {last}")
            last = q
            rank = <uint64_t>ceil(q * <double>total)
            rank = min(max(rank, 1), total)
            while seen < rank:
                i += 1
                seen += counts[i]
            if rank == total or i == TC_HISTOGRAM_BUCKETS - 1:
                out.append(<double>max_ns)
            else:
                out.append(min(_middle(i), <double>max_ns))
        return out

    def cumulative(self, edges_ns) -> list[int]:
        """How many values are at or below each edge (ns, ascending), and last how many there are.

        A bucket counts as a whole, by its middle: an edge is exact to within 0.8 % of itself.
        """
        counts = self.snapshot().cumsum()
        ends = np.searchsorted(_MIDDLES, np.fromiter(edges_ns, dtype=np.float64), side="right")
        return [int(counts[end - 1]) if end else 0 for end in ends] + [int(counts[TC_HISTOGRAM_BUCKETS - 1])]

    def snapshot(self):
        """A copy of the buckets' counts; uint64[BUCKETS]."""
        out = np.empty(TC_HISTOGRAM_BUCKETS, dtype=np.uint64)
        cdef uint64_t[::1] view = out
        cdef uint32_t i
        for i in range(TC_HISTOGRAM_BUCKETS):
            view[i] = tc_histogram_load(&self.h.counts[i])
        return out

    def copy(self) -> Histogram:
        """A private histogram with what is in this one now."""
        cdef Histogram out = Histogram()
        _add(out.h, self.h)
        return out

    def since(self, Histogram earlier not None) -> Histogram:
        """What came in after `earlier`, a copy of this same histogram, was taken.

        Its `max_ns` is exact if this histogram's maximum is among it, else the end of its highest bucket.
        """
        cdef Histogram out = self.copy()
        cdef uint32_t i, top = 0
        for i in range(TC_HISTOGRAM_BUCKETS):
            out.h.counts[i] -= min(earlier.h.counts[i], out.h.counts[i])
            if out.h.counts[i]:
                top = i
        out.h.sum_ns -= min(earlier.h.sum_ns, out.h.sum_ns)
        out.h.negative -= min(earlier.h.negative, out.h.negative)
        if out.h.counts[top] == 0:
            out.h.max_ns = 0
        elif tc_histogram_index(out.h.max_ns) != top:
            out.h.max_ns = tc_histogram_floor(top) + tc_histogram_width(top) - 1
        return out

    def merge(self, Histogram other not None):
        """Put in everything that is in `other`."""
        _add(self.h, other.h)

    def report(self) -> dict:
        """The filled buckets as plain numbers for JSON: counts [[index, count], ...], sum_ns, max_ns, negative."""
        counts = self.snapshot()
        filled = np.flatnonzero(counts)
        return {
            "counts": [[int(i), int(counts[i])] for i in filled],
            "sum_ns": self.sum_ns,
            "max_ns": self.max_ns,
            "negative": self.negative,
        }

    def merge_report(self, report):
        """Put in what a `report` holds. All of it or, when it is not one (PeerError), nothing."""
        cdef uint64_t index, count
        cdef uint64_t sum_ns, max_ns, negative
        try:
            pairs = [(_figure(index_), _figure(count_)) for index_, count_ in report["counts"]]
            sum_ns, max_ns, negative = (_figure(report[key]) for key in ("sum_ns", "max_ns", "negative"))
            if pairs and max(pairs)[0] >= TC_HISTOGRAM_BUCKETS:
                raise ValueError(f"bucket {max(pairs)[0]} of {BUCKETS}")
        except (KeyError, TypeError, ValueError) as error:
            raise PeerError("not a report of a histogram", found=repr(error)) from error
        for index, count in pairs:
            tc_histogram_bump(&self.h.counts[index], count)
        tc_histogram_bump(&self.h.sum_ns, sum_ns)
        tc_histogram_bump(&self.h.negative, negative)
        _raise_max(self.h, max_ns)

    def clear(self):
        """Empty it. Readers in other processes see values go back: for private histograms and before first use."""
        memset(self.h, 0, sizeof(tc_histogram))


def _figure(value) -> int:
    if type(value) is not int or not 0 <= value <= _FIGURE_MAX:
        raise ValueError(f"{value!r} is not a count")
    return value


cdef inline double _middle(uint32_t index) noexcept nogil:
    return <double>tc_histogram_floor(index) + <double>(tc_histogram_width(index) - 1) / 2


cdef uint64_t _total(const tc_histogram* h) noexcept nogil:
    cdef uint64_t total = 0
    cdef uint32_t i
    for i in range(TC_HISTOGRAM_BUCKETS):
        total += tc_histogram_load(&h.counts[i])
    return total


cdef void _raise_max(tc_histogram* into, uint64_t max_ns) noexcept nogil:
    # A bump by the difference: the writer's own whole-word store, as readers may be watching.
    if max_ns > into.max_ns:
        tc_histogram_bump(&into.max_ns, max_ns - into.max_ns)


cdef void _add(tc_histogram* into, const tc_histogram* other) noexcept nogil:
    cdef uint64_t n
    cdef uint32_t i
    for i in range(TC_HISTOGRAM_BUCKETS):
        n = tc_histogram_load(&other.counts[i])
        if n:
            tc_histogram_bump(&into.counts[i], n)
    tc_histogram_bump(&into.sum_ns, tc_histogram_load(&other.sum_ns))
    tc_histogram_bump(&into.negative, tc_histogram_load(&other.negative))
    _raise_max(into, tc_histogram_load(&other.max_ns))


_MIDDLES = bucket_middles_ns()
