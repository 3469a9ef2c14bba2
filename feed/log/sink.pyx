# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Where a source puts its ticks: the log itself, or a ring in front of it."""


cdef class Sink:
    """What LogWriter and Ring have in common; a source knows nothing more about where its ticks go."""

    cdef int append(self, uint32_t topic, const void* record, uint32_t nbytes, uint64_t ts_in, uint16_t flags) noexcept nogil:
        return 0

    cdef void flush(self) noexcept nogil:
        pass

    def topic(self, schema: str, symbol: str) -> int:
        """This sink's id of a topic, announced to readers when it is new.

        :raises SymbolError: the symbol or the schema word is none.
        """
        raise NotImplementedError
