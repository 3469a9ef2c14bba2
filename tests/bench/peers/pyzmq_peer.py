"""Peer: one-way PUB/SUB in plain pyzmq, as its manual shows it. ``feed bench ... --vs pyzmq`` runs it.

    python pyzmq_peer.py pub URL TICKS      GAP_NS HWM MESSAGE STAMP_AT VALUES_AT
    python pyzmq_peer.py sub URL TICKS WARM SPIN   HWM TOPIC   STAMP_AT VALUES_AT LATE

The same measurement, arguments and output as libzmq_c.c, where they are explained. It imports nothing of tickcast.
"""

import array
import ctypes
import gc
import json
import struct
import sys
import time
from pathlib import Path

import zmq

PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29
QUIET_MS = 4000
U64 = struct.Struct("<Q")
VALUES = struct.Struct("<QQ")
MASK = 2**64 - 1


def say(**figures: object) -> None:
    print(json.dumps(figures), flush=True)


def publish(url: str, *, ticks: int, gap: int, hwm: int, message: str, stamp_at: int, values_at: int) -> None:
    body = bytearray(Path(message).read_bytes())
    socket = zmq.Context().socket(zmq.XPUB)
    socket.setsockopt(zmq.SNDHWM, hwm)
    socket.setsockopt(zmq.LINGER, 0)
    if not gap:
        socket.setsockopt(zmq.XPUB_NODROP, 1)
    socket.bind(url)
    say(endpoint=socket.getsockopt_string(zmq.LAST_ENDPOINT))
    socket.recv()

    at = time.time_ns() + 100_000_000
    checksum = 0
    for i in range(ticks):
        value = (i * 0x9E3779B97F4A7C15 & MASK) >> 24
        VALUES.pack_into(body, values_at, value, value + 1 + (i & 255))
        checksum += 2 * value + 1 + (i & 255)
        if gap:
            at += gap
            wait = at - time.time_ns()
            if wait > 0:
                time.sleep(wait / 1e9)
            stamp = time.time_ns()
            U64.pack_into(body, stamp_at, at if stamp > at + gap else stamp)
        socket.send(body)
    say(sent=ticks, checksum=checksum & MASK)
    sys.stdin.read()


def subscribe(
    url: str, *, ticks: int, warm: int, spin: int, hwm: int, topic: str, stamp_at: int, values_at: int, late_file: str
) -> None:
    socket = zmq.Context().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, hwm)
    socket.setsockopt(zmq.RCVTIMEO, QUIET_MS)
    socket.setsockopt_string(zmq.SUBSCRIBE, topic)
    socket.connect(url)

    timed = late_file != "-"
    late = array.array("Q", bytes(8 * ticks))
    got = checksum = first = last = 0
    try:
        while got < ticks:
            while spin and got and not socket.poll(0):
                pass
            message = socket.recv()
            if timed:
                last = time.time_ns()
                late[got] = max(0, last - U64.unpack_from(message, stamp_at)[0])
            if got == warm:
                first = last if timed else time.time_ns()
            bid, ask = VALUES.unpack_from(message, values_at)
            checksum += bid + ask
            got += 1
    except zmq.Again:
        pass
    if timed:
        Path(late_file).write_bytes(late[warm:got].tobytes())
    else:
        last = time.time_ns()
    say(got=got, first_ns=first, last_ns=last, checksum=checksum & MASK)


def main() -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)
    gc.freeze()
    side, url, *rest = sys.argv[1:]
    if side == "pub":
        ticks, gap, hwm, message, stamp_at, values_at = rest
        publish(
            url,
            ticks=int(ticks),
            gap=int(gap),
            hwm=int(hwm),
            message=message,
            stamp_at=int(stamp_at),
            values_at=int(values_at),
        )
    else:
        ticks, warm, spin, hwm, topic, stamp_at, values_at, late_file = rest
        subscribe(
            url,
            ticks=int(ticks),
            warm=int(warm),
            spin=int(spin),
            hwm=int(hwm),
            topic=topic,
            stamp_at=int(stamp_at),
            values_at=int(values_at),
            late_file=late_file,
        )


if __name__ == "__main__":
    main()
