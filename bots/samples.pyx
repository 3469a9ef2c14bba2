# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""When the bot had some of its ticks, so that control can compare bots: those whose seq is a multiple of a power of two.

Which power is a matter of how many come: of a full table every second one goes, and only multiples of twice as much are
taken from then on. So two bots that have the same ticks sample the same ones, at least all of the rarer sampler's.
"""

cimport cython

cdef uint64_t DENSEST = 63


@cython.final
cdef class Samples:
    def __init__(self) -> None:
        self.mask = DENSEST

    cpdef void put(self, uint64_t seq, uint64_t ns) noexcept nogil:
        cdef uint32_t i, kept
        while self.count == SAMPLES and seq & self.mask == 0:
            self.mask = 2 * self.mask + 1
            kept = 0
            for i in range(SAMPLES):
                if not self.samples[i].seq & self.mask:
                    self.samples[kept] = self.samples[i]
                    kept += 1
            self.count = kept
        if seq & self.mask == 0:
            self.samples[self.count].seq = seq
            self.samples[self.count].ns = ns
            self.count += 1

    def take(self) -> list:
        """(seq, ns since 1970 on the feed's clock) of each, at most 64; the table is empty then."""
        cdef uint32_t i
        taken = [(self.samples[i].seq, self.samples[i].ns) for i in range(self.count)]
        self.count = 0
        self.mask = DENSEST
        return taken
