# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The resting orders of every `order` topic, in order of priority, so that a late bot can be given the book.

The rules are those of DBN's MBO records. A (Add) rests behind the others; with the flag TOB (64) it is all there is on its
side, and without a price that side is empty. C (Cancel) takes its size off; at none left the order goes. M (Modify) keeps its
place if the price stays and the size does not grow, else goes behind the others; of an order that is not known it is an Add.
R (Clear) ends all orders of its publisher. T, F and N change nothing. An order is known by topic, publisher_id and order_id:
what venues that share a topic number alike must not mix.

A book is only whole from its beginning (topic_seq 1) or a Clear on. Where a record was missed it is emptied, because an order
may have gone unseen, and holds what came since.

Books lie in the file `books` (layout.h) and outlive a control that is killed, unless it was just changing one: then they begin
anew.
"""

import errno
import mmap
import os
from pathlib import Path

from libc.string cimport memset

from feed.control.layout cimport (
    TC_BOOK_HOLED,
    TC_BOOK_ROLLED,
    TC_BOOK_TOO_LARGE,
    TC_BOOK_WHOLE,
    TC_BOOKS_MAGIC,
    TC_STATE_HEADER_BYTES,
    tc_keep_order,
    tc_say_busy,
    tc_say_done,
)
from feed.wire.frames cimport TC_FLAG_LOSS
from feed.wire.records cimport TC_UNDEF_PRICE

from feed.errors import LogSpace

cdef extern from "<fcntl.h>" nogil:
    int posix_fallocate(int fd, long offset, long length)

cdef enum:
    DBN_TOB = 64                # flag: the record is the new top of book, not one order among others
    RESERVE = 1024 * 1024       # bytes of shared memory taken at a time


cdef class Books:
    """The file at `path`; make it with :meth:`open`. One thread uses it."""

    @staticmethod
    def open(path: Path, *, epoch: int, limit: int, max_topics: int, topics: list[int]) -> Books:
        """Take up the books as they were left, or begin with empty ones.

        :param limit: orders that may rest in all of them together.
        :param topics: ids of the order topics that are known.
        :raises LogSpace: shared memory is too small.
        """
        cdef Books self = Books.__new__(Books)
        cdef uint64_t buckets = 16
        while buckets < <uint64_t>limit:
            buckets *= 2
        self._path = path
        self.mask = <uint32_t>(buckets - 1)
        self.books_at = TC_STATE_HEADER_BYTES
        self.buckets_at = self.books_at + <size_t>max_topics * sizeof(tc_state_book)
        self.orders_at = self.buckets_at + buckets * sizeof(uint32_t)
        self.nbytes = self.orders_at + (<size_t>limit + 1) * sizeof(tc_state_order)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            self._begin(epoch, limit, max_topics, topics)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        self.header = NULL
        self._map = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __cinit__(self) -> None:
        self.fd = -1

    # --- one record -------------------------------------------------------------------------------------------------

    cdef void apply(self, uint32_t topic_id, uint64_t topic_seq, uint64_t seq, uint64_t ts_in, uint16_t flags, const tc_order* record) noexcept nogil:
        cdef tc_state_book* book = &self.books[topic_id]
        if topic_seq <= book.topic_seq:
            return
        tc_say_busy(self.header)
        if topic_seq != book.topic_seq + 1 or flags & TC_FLAG_LOSS:
            self._missed(topic_id, topic_seq - 1)
        book.topic_seq = topic_seq
        book.seq = seq
        book.ts_in = ts_in
        book.last = record[0]
        self._apply(book, topic_id, record)
        tc_say_done(self.header)

    cdef void miss(self, uint32_t topic_id, uint64_t topic_seq) noexcept nogil:
        tc_say_busy(self.header)
        self._missed(topic_id, topic_seq)
        tc_say_done(self.header)

    cdef void roll(self, uint32_t topic_id) noexcept nogil:
        tc_say_busy(self.header)
        self._empty(topic_id)
        self.books[topic_id].standing = TC_BOOK_ROLLED
        tc_say_done(self.header)

    cdef void _apply(self, tc_state_book* book, uint32_t topic_id, const tc_order* record) noexcept nogil:
        if record.action == c"R":
            self._clear(topic_id, record.publisher_id)
        elif book.standing == TC_BOOK_TOO_LARGE:
            return
        elif record.action == c"A":
            self._add(topic_id, record)
        elif record.action == c"C":
            self._cancel(topic_id, record)
        elif record.action == c"M":
            self._modify(topic_id, record)

    cdef void _missed(self, uint32_t topic_id, uint64_t topic_seq) noexcept nogil:
        cdef tc_state_book* book = &self.books[topic_id]
        self._empty(topic_id)
        if book.standing != TC_BOOK_TOO_LARGE:
            book.standing = TC_BOOK_HOLED
        book.topic_seq = topic_seq

    cdef void _add(self, uint32_t topic_id, const tc_order* record) noexcept nogil:
        cdef tc_state_book* book = &self.books[topic_id]
        cdef uint32_t at
        cdef uint32_t* bucket
        if record.flags & DBN_TOB:
            self._clear_side(topic_id, record.publisher_id, record.side)
            if record.price == TC_UNDEF_PRICE:
                return
        at = self._find(topic_id, record.publisher_id, record.order_id)
        if at:
            self._remove(at)
        at = self._room() if book.resting < BOOK_ORDERS_MAX else 0
        if at == 0:
            self._empty(topic_id)
            book.standing = TC_BOOK_TOO_LARGE
            self.given_up += 1
            return
        bucket = self._bucket(topic_id, record.publisher_id, record.order_id)
        self.orders[at].record = record[0]
        self.orders[at].topic = topic_id
        self.orders[at].chain = bucket[0]
        bucket[0] = at
        self._link_last(book, at)
        book.resting += 1
        self.header.resting += 1

    cdef void _modify(self, uint32_t topic_id, const tc_order* record) noexcept nogil:
        cdef tc_state_book* book = &self.books[topic_id]
        cdef uint32_t at = self._find(topic_id, record.publisher_id, record.order_id)
        cdef tc_state_order* order = &self.orders[at]
        cdef bint stays
        if at == 0:
            if book.standing == TC_BOOK_ROLLED:
                book.standing = TC_BOOK_HOLED
            self._add(topic_id, record)
            return
        stays = record.price == order.record.price and record.side == order.record.side and record.size <= order.record.size
        order.record = record[0]
        if not stays:
            self._unlink(book, at)
            self._link_last(book, at)

    cdef void _cancel(self, uint32_t topic_id, const tc_order* record) noexcept nogil:
        cdef tc_state_book* book = &self.books[topic_id]
        cdef uint32_t at = self._find(topic_id, record.publisher_id, record.order_id)
        if at == 0:
            if book.standing == TC_BOOK_ROLLED:
                book.standing = TC_BOOK_HOLED
        elif record.size < self.orders[at].record.size:
            self.orders[at].record.size -= record.size
        else:
            self._remove(at)

    cdef void _clear(self, uint32_t topic_id, uint16_t publisher_id) noexcept nogil:
        cdef tc_state_book* book = &self.books[topic_id]
        cdef uint32_t at = book.first
        cdef uint32_t after
        while at:
            after = self.orders[at].after
            if self.orders[at].record.publisher_id == publisher_id:
                self._remove(at)
            at = after
        if book.resting == 0:
            book.standing = TC_BOOK_WHOLE

    cdef void _clear_side(self, uint32_t topic_id, uint16_t publisher_id, char side) noexcept nogil:
        cdef uint32_t at = self.books[topic_id].first
        cdef uint32_t after
        while at:
            after = self.orders[at].after
            if self.orders[at].record.publisher_id == publisher_id and self.orders[at].record.side == side:
                self._remove(at)
            at = after

    cdef void _empty(self, uint32_t topic_id) noexcept nogil:
        while self.books[topic_id].first:
            self._remove(self.books[topic_id].first)

    # --- where orders lie -------------------------------------------------------------------------------------------

    cdef uint32_t* _bucket(self, uint32_t topic_id, uint16_t publisher_id, uint64_t order_id) noexcept nogil:
        cdef uint64_t h = order_id ^ ((<uint64_t>topic_id << 16 | publisher_id) * 0x9E3779B97F4A7C15ull)
        h = (h ^ h >> 32) * 0xD6E8FEB86659FD93ull
        return &self.buckets[<uint32_t>(h ^ h >> 32) & self.mask]

    cdef uint32_t _find(self, uint32_t topic_id, uint16_t publisher_id, uint64_t order_id) noexcept nogil:
        cdef uint32_t at = self._bucket(topic_id, publisher_id, order_id)[0]
        cdef tc_state_order* order
        while at:
            order = &self.orders[at]
            if order.record.order_id == order_id and order.topic == topic_id and order.record.publisher_id == publisher_id:
                break
            at = order.chain
        return at

    cdef uint32_t _room(self) noexcept nogil:
        """An order that is free; 0: there is none, or no memory for it."""
        cdef uint32_t at = self.header.free
        cdef size_t end
        if at:
            self.header.free = self.orders[at].chain
            return at
        at = self.header.unused
        if at > self.header.limit:
            return 0
        end = self.orders_at + (<size_t>at + 1) * sizeof(tc_state_order)
        if end > self.orders_reserved:
            end = min(end + RESERVE, self.nbytes)
            if posix_fallocate(self.fd, self.orders_reserved, end - self.orders_reserved) != 0:
                return 0
            self.orders_reserved = end
        self.header.unused = at + 1
        return at

    cdef void _remove(self, uint32_t at) noexcept nogil:
        cdef tc_state_order* order = &self.orders[at]
        cdef tc_state_book* book = &self.books[order.topic]
        cdef uint32_t* link = self._bucket(order.topic, order.record.publisher_id, order.record.order_id)
        while link[0] != at:
            link = &self.orders[link[0]].chain
        link[0] = order.chain
        self._unlink(book, at)
        book.resting -= 1
        self.header.resting -= 1
        memset(order, 0, sizeof(tc_state_order))
        order.chain = self.header.free
        self.header.free = at

    cdef void _link_last(self, tc_state_book* book, uint32_t at) noexcept nogil:
        self.orders[at].after = 0
        self.orders[at].before = book.end
        if book.end:
            self.orders[book.end].after = at
        else:
            book.first = at
        book.end = at

    cdef void _unlink(self, tc_state_book* book, uint32_t at) noexcept nogil:
        cdef tc_state_order* order = &self.orders[at]
        if order.before:
            self.orders[order.before].after = order.after
        else:
            book.first = order.after
        if order.after:
            self.orders[order.after].before = order.before
        else:
            book.end = order.before

    # --- the file ---------------------------------------------------------------------------------------------------

    cdef int reserve(self, uint32_t topic_id) except -1:
        cdef size_t end = self.books_at + (<size_t>topic_id + 1) * sizeof(tc_state_book)
        if end > self.books_reserved:
            if self.books_reserved == self.books_at:
                self._reserve(self.buckets_at, self.orders_at)
            end = min(end + RESERVE, self.buckets_at)
            self._reserve(self.books_reserved, end)
            self.books_reserved = end
        return 0

    def _reserve(self, start: int, end: int) -> None:
        """Take shared memory: a store into a page that can't be had would be the end (SIGBUS)."""
        try:
            os.posix_fallocate(self.fd, start, end - start)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise LogSpace(
                "no room in shared memory for the order books", expected=f"{end - start} bytes more", found=error.strerror,
                where=str(self._path), remedy="Enlarge /dev/shm, or set a smaller control.book_orders",
            ) from None

    def _begin(self, epoch: int, limit: int, max_topics: int, topics: list[int]) -> None:
        if os.fstat(self.fd).st_size == self.nbytes:
            self._map_file()
            if (
                self.header.magic == TC_BOOKS_MAGIC and self.header.epoch == <uint64_t>epoch and not self.header.busy
                and self.header.limit == <uint32_t>limit and self.header.max_topics == <uint32_t>max_topics
                and 1 <= self.header.unused <= self.header.limit + 1
            ):
                for topic_id in topics:
                    self.reserve(topic_id)
                if self._whole(topics):
                    self.kept = True
                    return
        os.ftruncate(self.fd, 0)
        os.ftruncate(self.fd, self.nbytes)
        self._map_file()
        self.header.epoch = epoch
        self.header.limit = limit
        self.header.max_topics = max_topics
        self.header.unused = 1
        tc_keep_order()
        self.header.magic = TC_BOOKS_MAGIC
        for topic_id in topics:
            self.reserve(topic_id)

    def _map_file(self) -> None:
        self._reserve(0, TC_STATE_HEADER_BYTES)
        self._map = mmap.mmap(self.fd, self.nbytes)
        cdef uint8_t[::1] view = self._map
        self.header = <tc_state_books*>&view[0]
        self.books = <tc_state_book*>(&view[0] + self.books_at)
        self.buckets = <uint32_t*>(&view[0] + self.buckets_at)
        self.orders = <tc_state_order*>(&view[0] + self.orders_at)
        self.books_reserved = self.books_at
        self.orders_reserved = self.orders_at

    def _whole(self, topics: list[int]) -> bool:
        """Does all hang together? Nobody else writes the file, but a wrong number in it would lead anywhere."""
        cdef uint32_t unused = self.header.unused
        cdef uint32_t i, at, resting = 0, chained = 0
        if not topics:
            return False        # whatever is there, nobody knows of what
        self.orders_reserved = min(self.orders_at + unused * sizeof(tc_state_order) + RESERVE, self.nbytes)
        self._reserve(self.orders_at, self.orders_reserved)
        for i in range(self.mask + 1):
            at = self.buckets[i]
            while at:
                chained += 1
                if at >= unused or chained > self.header.resting:
                    return False
                at = self.orders[at].chain
        for topic_id in topics:
            if not self._sound(topic_id, &resting):
                return False
        at = self.header.free
        for i in range(unused):
            if at == 0:
                break
            if at >= unused:
                return False
            at = self.orders[at].chain
        return at == 0 and resting == chained == self.header.resting

    cdef bint _sound(self, uint32_t topic_id, uint32_t* counted) noexcept nogil:
        """Is one book a list of orders that its buckets know?"""
        cdef tc_state_book* book = &self.books[topic_id]
        cdef tc_state_order* order
        cdef uint32_t at = book.first
        cdef uint32_t before = 0
        cdef uint32_t resting = 0
        while at:
            if at >= self.header.unused or resting == book.resting:
                return False
            order = &self.orders[at]
            if order.topic != topic_id or order.before != before:
                return False
            if self._find(topic_id, order.record.publisher_id, order.record.order_id) != at:
                return False
            resting += 1
            before = at
            at = order.after
        counted[0] += resting
        return book.end == before and resting == book.resting and book.standing <= TC_BOOK_TOO_LARGE
