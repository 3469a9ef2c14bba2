# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""The resting orders of every `order` topic, in order of priority, so that a late bot can be given the book.

The rules are those of DBN's MBO records. A (Add) rests behind the others; with the flag TOB (128 >> 1) it is all there is
on its side, and without a price that side is empty. C (Cancel) takes its size off; at none left the order goes. M (Modify)
keeps its place if the price stays and the size does not grow, else goes behind the others; of an order that is not known it
is an Add. R (Clear) ends all orders of its publisher. T, F and N change nothing. An order is known by topic, publisher_id
and order_id: what venues that share a topic number alike must not mix.

A book is only whole from its beginning (topic_seq 1) or a Clear on. Where a record was missed it is emptied, because an order
may have gone unseen, and holds what came since.
"""

import mmap

from libc.string cimport memset

from feed.wire.frames cimport TC_FLAG_LOSS
from feed.wire.records cimport TC_UNDEF_PRICE

cdef enum:
    DBN_TOB = 64                # flag: the record is the new top of book, not one order among others


cdef class Books:
    """Room for `limit` resting orders in the books of `max_topics` topics; memory that is never used is never touched."""

    def __init__(self, limit: int, max_topics: int) -> None:
        cdef uint64_t buckets = 1
        while buckets < <uint64_t>limit:
            buckets *= 2
        cdef size_t books_at = (<size_t>limit + 1) * sizeof(Order)
        cdef size_t buckets_at = books_at + <size_t>max_topics * sizeof(Book)
        self._memory = mmap.mmap(
            -1, buckets_at + buckets * sizeof(uint32_t), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        cdef uint8_t[::1] view = self._memory
        self.orders = <Order*>&view[0]
        self.books = <Book*>(&view[0] + books_at)
        self.buckets = <uint32_t*>(&view[0] + buckets_at)
        self.mask = <uint32_t>(buckets - 1)
        self.limit = limit
        self.unused = 1

    cdef void apply(self, uint32_t topic_id, uint64_t topic_seq, uint64_t seq, uint64_t ts_in, uint16_t flags, const tc_order* record) noexcept nogil:
        cdef Book* book = &self.books[topic_id]
        cdef char action = record.action
        if topic_seq <= book.topic_seq:
            return
        if topic_seq != book.topic_seq + 1 or flags & TC_FLAG_LOSS:
            self.miss(topic_id, topic_seq - 1)
        book.topic_seq = topic_seq
        book.seq = seq
        book.ts_in = ts_in
        book.last = record[0]
        if action == c"R":
            self._clear(topic_id, record.publisher_id)
        elif book.standing == BOOK_TOO_LARGE:
            return
        elif action == c"A":
            self._add(topic_id, record)
        elif action == c"C":
            self._cancel(topic_id, record)
        elif action == c"M":
            self._modify(topic_id, record)

    cdef void miss(self, uint32_t topic_id, uint64_t topic_seq) noexcept nogil:
        cdef Book* book = &self.books[topic_id]
        self._empty(topic_id)
        if book.standing != BOOK_TOO_LARGE:
            book.standing = BOOK_HOLED
        book.topic_seq = topic_seq

    cdef void roll(self, uint32_t topic_id) noexcept nogil:
        self._empty(topic_id)
        self.books[topic_id].standing = BOOK_ROLLED

    # --- one record -------------------------------------------------------------------------------------------------

    cdef void _add(self, uint32_t topic_id, const tc_order* record) noexcept nogil:
        cdef Book* book = &self.books[topic_id]
        cdef uint32_t at
        cdef uint32_t* bucket
        if record.flags & DBN_TOB:
            self._clear_side(topic_id, record.publisher_id, record.side)
            if record.price == TC_UNDEF_PRICE:
                return
        at = self._find(topic_id, record.publisher_id, record.order_id)
        if at:
            self._remove(at)
        if book.resting == BOOK_ORDERS_MAX or (self.free == 0 and self.unused > self.limit):
            self._empty(topic_id)
            book.standing = BOOK_TOO_LARGE
            self.given_up += 1
            return
        if self.free:
            at = self.free
            self.free = self.orders[at].chain
        else:
            at = self.unused
            self.unused += 1
        bucket = self._bucket(topic_id, record.publisher_id, record.order_id)
        self.orders[at].record = record[0]
        self.orders[at].topic = topic_id
        self.orders[at].chain = bucket[0]
        bucket[0] = at
        self._link_last(book, at)
        book.resting += 1
        self.resting += 1

    cdef void _modify(self, uint32_t topic_id, const tc_order* record) noexcept nogil:
        cdef Book* book = &self.books[topic_id]
        cdef uint32_t at = self._find(topic_id, record.publisher_id, record.order_id)
        cdef Order* order = &self.orders[at]
        cdef bint stays
        if at == 0:
            if book.standing == BOOK_ROLLED:
                book.standing = BOOK_HOLED
            self._add(topic_id, record)
            return
        stays = record.price == order.record.price and record.side == order.record.side and record.size <= order.record.size
        order.record = record[0]
        if not stays:
            self._unlink(book, at)
            self._link_last(book, at)

    cdef void _cancel(self, uint32_t topic_id, const tc_order* record) noexcept nogil:
        cdef Book* book = &self.books[topic_id]
        cdef uint32_t at = self._find(topic_id, record.publisher_id, record.order_id)
        if at == 0:
            if book.standing == BOOK_ROLLED:
                book.standing = BOOK_HOLED
        elif record.size < self.orders[at].record.size:
            self.orders[at].record.size -= record.size
        else:
            self._remove(at)

    cdef void _clear(self, uint32_t topic_id, uint16_t publisher_id) noexcept nogil:
        cdef Book* book = &self.books[topic_id]
        cdef uint32_t at = book.first
        cdef uint32_t after
        while at:
            after = self.orders[at].after
            if self.orders[at].record.publisher_id == publisher_id:
                self._remove(at)
            at = after
        if book.resting == 0:
            book.standing = BOOK_WHOLE

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
        cdef Order* order
        while at:
            order = &self.orders[at]
            if order.record.order_id == order_id and order.topic == topic_id and order.record.publisher_id == publisher_id:
                break
            at = order.chain
        return at

    cdef void _remove(self, uint32_t at) noexcept nogil:
        cdef Order* order = &self.orders[at]
        cdef Book* book = &self.books[order.topic]
        cdef uint32_t* link = self._bucket(order.topic, order.record.publisher_id, order.record.order_id)
        while link[0] != at:
            link = &self.orders[link[0]].chain
        link[0] = order.chain
        self._unlink(book, at)
        book.resting -= 1
        self.resting -= 1
        memset(order, 0, sizeof(Order))
        order.chain = self.free
        self.free = at

    cdef void _link_last(self, Book* book, uint32_t at) noexcept nogil:
        self.orders[at].after = 0
        self.orders[at].before = book.end
        if book.end:
            self.orders[book.end].after = at
        else:
            book.first = at
        book.end = at

    cdef void _unlink(self, Book* book, uint32_t at) noexcept nogil:
        cdef Order* order = &self.orders[at]
        if order.before:
            self.orders[order.before].after = order.after
        else:
            book.first = order.after
        if order.after:
            self.orders[order.after].before = order.before
        else:
            book.end = order.before
