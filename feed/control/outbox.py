"""Answers on their way out. A bot that reads too slowly has its answers kept for a while, within bounds, then dropped:
it will ask again. The socket is a ROUTER with ROUTER_MANDATORY, so a peer without room, or gone, is noticed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import zmq

__all__ = ["HELD_ANSWERS_MAX", "HELD_BYTES_MAX", "HELD_NS", "PEER_ANSWERS", "Outbox"]

PEER_ANSWERS = 64
"""The socket's high-water mark: answers that libzmq holds for one peer, each 1 MiB at most but for large books."""

HELD_ANSWERS_MAX = 256
"""Answers that wait here for one peer beyond that."""

HELD_BYTES_MAX = 16 << 20
"""Bytes that wait here for all peers together; one answer is held whatever its size."""

HELD_NS = 5_000_000_000
"""A peer that takes nothing for so long loses what waits for it, ns."""


@dataclass(slots=True)
class _Held:
    since_ns: int
    answers: deque[list[bytes]] = field(default_factory=deque)


class Outbox:
    """In front of `socket`; used by its thread. `dropped` counts answers that nobody will get."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.dropped = 0
        self._socket = socket
        self._held: dict[bytes, _Held] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """Peers that have answers waiting."""
        return len(self._held)

    def send(self, route: list[bytes], answer: list[bytes], now_ns: int) -> bool:
        """Hand an answer over, or hold it; false: who asked has gone, or reads nothing."""
        message = [*route, *answer]
        held = self._held.get(route[0])
        if held is None:
            sent = self._try(message)
            if sent is not None:
                self.dropped += not sent
                return sent
            held = self._held[route[0]] = _Held(now_ns)
        size = sum(map(len, message))
        if len(held.answers) >= HELD_ANSWERS_MAX or (self._bytes and self._bytes + size > HELD_BYTES_MAX):
            self.dropped += 1
            return False
        held.answers.append(message)
        self._bytes += size
        return True

    def flush(self, now_ns: int) -> int:
        """Try again what is held; how many answers went out."""
        out = 0
        for peer in list(self._held):
            held = self._held[peer]
            while held.answers:
                sent = self._try(held.answers[0])
                if sent is None and now_ns - held.since_ns < HELD_NS:
                    break
                if not sent:
                    self._drop(peer)
                    break
                held.since_ns = now_ns
                self._bytes -= sum(map(len, held.answers.popleft()))
                out += 1
            if not held.answers:
                self._held.pop(peer, None)
        return out

    def _try(self, message: list[bytes]) -> bool | None:
        """None: there is no room for it now. False: there is nobody of that name any more."""
        try:
            self._socket.send_multipart(message, zmq.NOBLOCK)
        except zmq.Again:
            return None
        except zmq.ZMQError:
            return False
        return True

    def _drop(self, peer: bytes) -> None:
        answers = self._held.pop(peer).answers
        self.dropped += len(answers)
        self._bytes -= sum(len(part) for message in answers for part in message)
        answers.clear()
