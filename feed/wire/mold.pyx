# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, freethreading_compatible=False
"""MoldUDP64 datagrams for Python: bytes to `Packet` and back. Hot loops call mold.h themselves.

Specification: mold.h, and README.md for what this feed puts into the blocks. Nothing here does I/O or reads a clock.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from typing import NamedTuple

from feed.errors import CallerError, WireError

HEADER_BYTES = TC_MOLD_HEADER
COUNT_MAX = TC_MOLD_COUNT_MAX
REQUEST_MAX = TC_MOLD_END


class Packet(NamedTuple):
    """One downstream datagram. No blocks and not the end: a heartbeat; `sequence` is then the next to come.

    ``rest`` is what follows the header of a heartbeat or of an end of session; the protocol gives it no meaning.
    """

    session: bytes
    sequence: int
    blocks: tuple
    end: bool
    rest: bytes


class Request(NamedTuple):
    """Asks for `count` messages from `sequence` on."""

    session: bytes
    sequence: int
    count: int


def decode(data):
    """Read one datagram. Raises WireError saying why it is none."""
    cdef const uint8_t[::1] view = data
    cdef tc_mold_packet packet
    cdef const uint8_t* at
    cdef const uint8_t* block
    cdef uint32_t i, length
    _check(tc_mold_parse(&view[0], view.shape[0], &packet) if view.shape[0] else TC_MOLD_SHORT, view)
    blocks = []
    at = packet.blocks
    for i in range(packet.count):
        block = tc_mold_block(&at, &length)
        blocks.append(block[:length])
    return Packet(
        packet.session[:TC_MOLD_SESSION],
        packet.sequence,
        tuple(blocks),
        packet.end != 0,
        packet.rest[: packet.rest_length],
    )


def encode(bytes session not None, sequence, blocks):
    """The datagram of messages `sequence` and following. Raises CallerError for what no datagram can hold."""
    if len(blocks) > TC_MOLD_COUNT_MAX:
        raise CallerError("too many messages for a datagram", expected=f"at most {TC_MOLD_COUNT_MAX}", found=len(blocks))
    datagram = bytearray(_header(session, sequence, len(blocks)))
    for block in blocks:
        if len(block) > 0xFFFF:
            raise CallerError("too long for a block", expected="at most 65535 bytes", found=len(block))
        datagram += len(block).to_bytes(TC_MOLD_LENGTH, "big")
        datagram += block
    if len(datagram) > TC_MOLD_DATAGRAM_MAX:
        raise CallerError(
            "too long for a datagram", expected=f"at most {TC_MOLD_DATAGRAM_MAX} bytes", found=len(datagram))
    return bytes(datagram)


def heartbeat(bytes session not None, sequence, bytes rest not None=b""):
    """Alive, and `sequence` is the next to come."""
    return _header(session, sequence, 0) + rest


def end_of_session(bytes session not None, sequence):
    """The session is over; `sequence` is one more than its last."""
    return _header(session, sequence, TC_MOLD_END)


def decode_request(data):
    """Read one request. Raises WireError saying why it is none."""
    cdef const uint8_t[::1] view = data
    cdef tc_mold_request request
    _check(tc_mold_parse_request(&view[0], view.shape[0], &request) if view.shape[0] else TC_MOLD_SHORT, view)
    return Request(request.session[:TC_MOLD_SESSION], request.sequence, request.count)


def request(bytes session not None, sequence, count):
    """The request for `count` messages (1 to 65,535) from `sequence` on."""
    if not 0 < count <= TC_MOLD_END:
        raise CallerError("nobody can ask for so many messages", expected="1 to 65535", found=count)
    return _header(session, sequence, count)


cdef bytes _header(bytes session, sequence, count):
    cdef uint8_t header[TC_MOLD_HEADER]
    cdef const uint8_t* text = session
    if len(session) != TC_MOLD_SESSION or not session.isascii():
        raise CallerError("not a session", expected="10 ASCII characters", found=repr(session))
    if sequence < 1:
        raise CallerError("not a sequence", expected="1 or more", found=sequence)
    tc_mold_put_header(header, text, sequence, count)
    return header[:TC_MOLD_HEADER]


cdef int _check(int reason, const uint8_t[::1] view) except -1:
    if reason != TC_MOLD_OK:
        raise WireError(
            tc_mold_reason(reason).decode("ascii"), found=bytes(view[:60]), where=f"datagram of {view.shape[0]} bytes")
    return 0
