# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""SoupBinTCP packets (Nasdaq's specification, version 3.00, and 4.x where it differs): bytes out of a connection and back.

    u16 length, big endian, of what follows · type, one character · content

    from a server   A accepted  J rejected  S sequenced  U unsequenced  H heartbeat  Z end of session  + debug
    from a client   L login     U unsequenced            R heartbeat    O logout     + debug

Nothing here does I/O or reads a clock; soup_session.py says what the packets mean. The messages of sequenced packets
are taken out natively, behind each other, each with its length in two bytes before it, as MoldUDP64 has them.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from feed.errors import CallerError

cdef enum:
    LENGTH_BYTES = 2
    PACKET_MAX = 2 + 0xFFFF

CONTENT_MAX = 0xFFFE
ROOM_MIN = PACKET_MAX
"""So much room :meth:`SoupPackets.messages` needs to go on in any case."""


def packet(kind: bytes, content: bytes = b"") -> bytes:
    """One packet. Raises CallerError for what is too long."""
    if len(kind) != 1 or len(content) > CONTENT_MAX:
        raise CallerError("not a SoupBinTCP packet", expected=f"a type and at most {CONTENT_MAX} bytes", found=len(content))
    return (1 + len(content)).to_bytes(LENGTH_BYTES, "big") + kind + content


cdef class SoupPackets:
    """What came out of a connection, in pieces as they came.

    `broken`: a packet without a type, after which nothing can be understood. `sequenced`: messages taken out since `begin`.
    """

    cdef object _buffer
    cdef uint8_t* bytes
    cdef size_t at, end
    cdef readonly bint broken
    cdef readonly uint64_t sequenced       # messages taken out since begin()

    def __cinit__(self, buffer_bytes: int = 1 << 18):
        self._buffer = bytearray(max(2 * PACKET_MAX, buffer_bytes))
        self.bytes = <uint8_t*>PyByteArray_AS_STRING(self._buffer)

    def begin(self) -> None:
        """Another connection."""
        self.at = self.end = 0
        self.sequenced = 0
        self.broken = False

    def space(self) -> memoryview:
        """Room for more bytes: none only while `messages` and `control` have not been called."""
        memmove(self.bytes, self.bytes + self.at, self.end - self.at)
        self.end -= self.at
        self.at = 0
        return memoryview(self._buffer)[self.end :]

    def filled(self, n: int) -> None:
        """`n` bytes were written to :meth:`space`."""
        self.end += n

    def messages(self, uint8_t[::1] into not None) -> int:
        """Put the messages of the sequenced packets that come next into `into`; how many bytes that were.

        It stops at a packet of another type, where no whole one is left, and where `into` has no room.
        """
        cdef size_t put = 0, room = into.shape[0]
        cdef uint32_t length
        with nogil:
            while True:
                length = self._whole()
                # A type less and a length of its own more: the message takes one byte less than its packet.
                if length == 0 or self.bytes[self.at + LENGTH_BYTES] != c"S" or room - put < length + 1:
                    break
                into[put] = <uint8_t>((length - 1) >> 8)
                into[put + 1] = <uint8_t>(length - 1)
                if length > 1:
                    memcpy(&into[put + LENGTH_BYTES], self.bytes + self.at + LENGTH_BYTES + 1, length - 1)
                put += length + 1
                self.at += LENGTH_BYTES + length
                self.sequenced += 1
        return put

    def control(self):
        """The next packet if it is whole and not a sequenced one, as its type and its content; else None."""
        cdef uint32_t length = self._whole()
        if length == 0 or self.bytes[self.at + LENGTH_BYTES] == c"S":
            return None
        raw = (<const char*>self.bytes)[self.at + LENGTH_BYTES : self.at + LENGTH_BYTES + length]
        self.at += LENGTH_BYTES + length
        return raw[:1], raw[1:]

    cdef uint32_t _whole(self) noexcept nogil:
        """Length of the next packet, type and content; 0: it is not whole, or there can be none."""
        cdef uint32_t length
        if self.broken or self.end - self.at < LENGTH_BYTES:
            return 0
        length = <uint32_t>self.bytes[self.at] << 8 | self.bytes[self.at + 1]
        if length == 0:
            self.broken = True
        return length if self.end - self.at >= LENGTH_BYTES + length else 0
