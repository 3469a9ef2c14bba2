# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The search in the archive, for what the log no longer has and for epochs that are over.

Whoever catches up asks again and again from where the answer before ended, so a few places are kept open.
"""

from libc.stdint cimport UINT64_MAX, uint8_t, uint64_t
from libc.string cimport memcpy

from feed.clock cimport mono_ns
from feed.control.scan cimport SCAN_END, SCAN_FAILED, SCAN_FULL, Scan
from feed.log.layout cimport TC_FRAME_HEADER, TC_KIND_RECORD, tc_topic_entry
from feed.store.reader cimport Block, StoreReader
from feed.wire.frames cimport tc_wire_log_at, tc_wire_log_header

from pathlib import Path
from typing import NamedTuple

cdef enum:
    PLACES = 8
    MISSING_MAX = 1000      # ranges in one answer
    UNNAMED = 100           # beside SCAN_*: a record of a topic that the archive does not name

DAMAGE = "damage"


class Found(NamedTuple):
    """How a search ended: in the words of Scan.search(), or "epoch": the archive goes on with `next_epoch`.

    `missing` lists [first, last, cause] that will never come.
    """

    outcome: str
    missing: list
    next_epoch: int


cdef class _Place:
    cdef StoreReader reader
    cdef Block block            # that is being searched; None: the next one has to be read
    cdef size_t offset          # in it
    cdef uint64_t epoch, next   # where whoever goes on here will ask from


cdef class Past:
    """The archive in `folder`, which may be empty and may grow."""

    cdef object _folder
    cdef StoreReader _guide     # for questions about the whole
    cdef list _places           # the one used last is the last

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guide = StoreReader(folder)
        self._places = []

    def close(self) -> None:
        self._guide.close()
        for place in self._places:
            (<_Place>place).reader.close()
        self._places = []

    def epochs(self) -> dict[int, tuple[int, int]]:
        """The epochs that there are records of, oldest first, each with first and last seq. Raises StoreError."""
        return {
            each.epoch: (each.first_seq, each.last_seq) for each in self._guide.epochs() if each.last_seq >= each.first_seq
        }

    def search(self, Scan scan not None, epoch: int) -> Found:
        """Go through the archive from the seq with which `scan` began.

        :raises StoreError: a file cannot be read.
        """
        cdef _Place place = self._place(epoch, scan.next)
        cdef Block block
        cdef int what
        cdef str outcome = ""
        next_epoch = 0
        missing = []
        while not outcome:
            if place.block is None:
                place.block = place.reader.read_block()
                place.offset = 0
            block = place.block
            what = scan.satisfied()
            if what:
                outcome = scan.outcome(what)
            elif block is None:
                outcome = "end"
            elif block.epoch != <uint64_t>epoch:
                outcome = "epoch"
                next_epoch = block.epoch
            elif len(missing) == MISSING_MAX or mono_ns() >= scan.deadline_ns and scan.next > scan.first:
                outcome = "time"
            elif block.missing:
                _miss(missing, scan, block.last_seq, block.missing)
                if scan.next > block.last_seq:
                    place.block = None
            elif block.first_seq > scan.next:
                _miss(missing, scan, block.first_seq - 1, DAMAGE)
            else:
                with nogil:
                    what = _search(scan, block, place.reader, &place.offset)
                if what == UNNAMED:
                    _miss(missing, scan, scan.next, DAMAGE)
                elif what != SCAN_END:
                    outcome = scan.outcome(what)
                else:
                    place.block = None
        place.epoch = epoch
        place.next = scan.next
        if outcome == "epoch":
            place.epoch = next_epoch
            place.next = block.first_seq
        return Found(outcome, missing, next_epoch)

    def at_time(self, time_ns: int, epoch: int = 0) -> tuple[int, int] | None:
        """(epoch, seq) of the first record with a ts_in of `time_ns` or later, of all epochs or of one. None: there is none.

        :raises StoreError: a file cannot be read.
        """
        cdef Block block
        cdef uint64_t seq
        self._guide.seek(epoch=epoch, time_ns=time_ns)
        while True:
            block = self._guide.read_block()
            if block is None or (epoch and block.epoch != <uint64_t>epoch):
                return None
            if block.missing:
                continue
            seq = _first_since(block, time_ns)
            if seq:
                return block.epoch, seq

    cdef _Place _place(self, uint64_t epoch, uint64_t seq):
        """A place from which to go on there: the one that was left there, a new one, or that which was used longest ago."""
        cdef _Place place
        for i, kept in enumerate(self._places):
            place = kept
            if place.epoch == epoch and place.next == seq:
                self._places.append(self._places.pop(i))
                return place
        if len(self._places) < PLACES:
            place = _Place.__new__(_Place)
            place.reader = StoreReader(self._folder, epoch=epoch, seq=seq)
        else:
            place = self._places.pop(0)
            place.reader.seek(epoch=epoch, seq=seq)
        place.block = None
        place.epoch = place.next = 0
        self._places.append(place)
        return place


cdef _miss(list missing, Scan scan, uint64_t upto, str cause):
    """Everything from scan.next to `upto` is missing, as far as it is wanted at all."""
    cdef uint64_t last = min(upto, scan.last)
    if last >= scan.next:
        before = missing[len(missing) - 1] if missing else None
        if before is not None and before[1] + 1 == scan.next and before[2] == cause:
            before[1] = last
        else:
            missing.append([scan.next, last, cause])
    scan.next = max(scan.next, last + 1)


cdef int _search(Scan scan, Block block, StoreReader reader, size_t* offset) noexcept nogil:
    """Search one block from `offset` on, which moves. Returns SCAN_*, SCAN_END behind the block's last frame; or UNNAMED."""
    cdef tc_wire_log_header head
    cdef const tc_topic_entry* entry
    cdef uint8_t* copy
    cdef int what
    while offset[0] + TC_FRAME_HEADER <= block.nbytes:
        head = tc_wire_log_at(block.at + offset[0])
        if head.kind == TC_KIND_RECORD and head.seq >= scan.next:
            scan.next = head.seq
            what = scan.satisfied()
            if what:
                return what
            entry = reader.entry(head.topic_id)
            if entry == NULL:
                offset[0] += head.length
                return UNNAMED
            if scan.wants(&head, entry):
                copy = scan.append(&head, block.at + offset[0], entry)
                if copy == NULL:
                    return SCAN_FAILED if scan.runs.failed else SCAN_FULL
                scan.runs.keep(copy, head.length)
            scan.next = head.seq + 1
        offset[0] += head.length
    scan.next = max(scan.next, block.last_seq + 1)
    return scan.satisfied()


cdef uint64_t _first_since(Block block, uint64_t time_ns) noexcept nogil:
    """seq of the first record of a block with this ts_in or a later one; 0: it has none."""
    cdef tc_wire_log_header head
    cdef size_t offset = 0
    while offset + TC_FRAME_HEADER <= block.nbytes:
        head = tc_wire_log_at(block.at + offset)
        if head.kind == TC_KIND_RECORD and head.ts_in >= time_ns:
            return head.seq
        offset += head.length
    return 0
