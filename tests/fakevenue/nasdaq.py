"""Nasdaq on loopback: TotalView-ITCH over MoldUDP64 with two lines and a request server, over SoupBinTCP, and GLIMPSE.

    python -m tests.fakevenue.nasdaq FILE --mold 239.1.1.1:26400 239.1.1.2:26400 --request 26401 --lose 0.01
    python -m tests.fakevenue.nasdaq FILE --soup 26402 --glimpse 26403 --user user --password secret --cut 3000

FILE holds messages with their length before them. Each server can misbehave, as its class says.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.normalize.itch_messages import PlainBooks, message, split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEARTBEAT_S = 1.0
_MTU = 1400


def snapshot(messages: Sequence[bytes], upto: int) -> list[bytes]:
    """What GLIMPSE says after the first `upto` messages: every stock, its state, its orders; then the next number."""
    books = PlainBooks()
    stocks: dict[int, bytes] = {}
    states: dict[tuple[int, str], bytes] = {}
    system: bytes | None = None
    for each in messages[:upto]:
        books.apply(each)
        kind = chr(each[0])
        locate = int.from_bytes(each[1:3], "big")
        if kind == "R":
            stocks[locate] = each
        elif kind in "AF":
            stocks.setdefault(locate, message("R", locate, stock=each[24:32].decode("ascii")))
        elif kind in "HY":
            states[locate, kind] = each
        elif kind == "S":
            system = each
    told = [system] if system else []
    told += [stocks[locate] for locate in sorted(stocks)]
    told += [states[key] for key in sorted(states)]
    for reference, (locate, side, price, size) in books.orders.items():
        name = stocks[locate][11:19].decode("ascii")
        told.append(message("A", locate, reference=reference, side="BS"[side], shares=size, stock=name, price=price))
    return [*told, b"G" + b"%20d" % (upto + 1)]


@dataclass
class SoupServer:
    """SoupBinTCP on a port of loopback, 0 for any. `cuts`: after these messages the connection ends, each once.
    `refusals`: letters for the next logins. `forgotten`: so many messages are not given any more. `silent`: no
    heartbeats. `ends`: end of session after the last message, else heartbeats. `rate`: messages/s, 0 all at once."""

    messages: Sequence[bytes]
    session: str = "S1"
    user: str = "user"
    password: str = "secret"
    port: int = 0
    cuts: list[int] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    forgotten: int = 0
    silent: bool = False
    ends: bool = False
    rate: float = 0
    noise: bytes = b""
    """Sent after the login was accepted: what is no packet."""
    logins: list[tuple[str, int]] = field(default_factory=list)
    """Session and sequence of each that came."""
    heartbeats: int = 0
    """Of clients."""

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listening.getsockname()[1]
        self._closing = threading.Event()
        self._changing = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def next_session(self, session: str, messages: Sequence[bytes]) -> None:
        """From here on there is another session; who is connected is cut off."""
        with self._changing:
            self.session, self.messages = session, messages
        self.cut()

    def go_on(self, messages: Sequence[bytes], forgotten: int) -> None:
        """From here on it has these messages but the first `forgotten`; who is connected is cut off without them."""
        with self._changing:
            self.messages, self.forgotten = messages, forgotten
        self.cut()

    def cut(self) -> None:
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._open.add(client)
            thread = threading.Thread(target=self._run, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, client: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                self._serve(client)
        finally:
            self._open.discard(client)
            client.close()

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kind, content = _receive(client)
        user, password = content[:6].strip().decode(), content[6:16].strip().decode()
        session, sequence = content[16:26].strip().decode(), int(content[26:46])
        self.logins.append((session, sequence))
        with self._changing:
            current, messages, forgotten = self.session, self.messages, self.forgotten
        refusal = self.refusals.pop(0) if self.refusals else ""
        if kind != b"L" or (user, password) != (self.user, self.password):
            refusal = "A"
        elif session not in ("", current):
            refusal = refusal or "S"
        if refusal:
            client.sendall(_packet(b"J", refusal.encode()))
            return
        last = len(messages) + 1
        first = min(max(sequence or last, forgotten + 1), last)
        client.sendall(_packet(b"A", f"{current:>10}{first:>20}".encode()) + self.noise)
        client.setblocking(False)
        began, n = time.monotonic(), first
        said = time.monotonic()
        while not self._closing.is_set() and self.session == current:
            self._hear(client)
            due = last if not self.rate else min(first + int(self.rate * (time.monotonic() - began)), last)
            stop = min((cut for cut in self.cuts if n <= cut < due), default=0)
            upto = stop + 1 if stop else due
            if upto > n:
                _send(client, b"".join(_packet(b"S", each) for each in messages[n - 1 : upto - 1]))
                n, said = upto, time.monotonic()
            if stop:
                self.cuts.remove(stop)
                return
            if self.ends and n == last:
                _send(client, _packet(b"Z"))
                return
            if time.monotonic() - said > HEARTBEAT_S and not self.silent:
                _send(client, _packet(b"H"))
                said = time.monotonic()
            self._closing.wait(0.002)

    def _hear(self, client: socket.socket) -> None:
        try:
            heard = client.recv(1 << 16)
        except BlockingIOError:
            return
        if not heard:
            raise ConnectionResetError
        self.heartbeats += heard.count(b"\0\1R")


@dataclass
class Line:
    """One multicast line: group, port, and the shares of datagrams that it loses, doubles and swaps with the next."""

    group: str
    port: int
    lose: float = 0.0
    double: float = 0.0
    swap: float = 0.0
    seed: int = 0
    sent: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.seed} {self.group}")
        self._kept: bytes | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)

    def send(self, datagram: bytes) -> None:
        if self._random.random() < self.lose:
            return
        if self._kept is None and self._random.random() < self.swap:
            self._kept = datagram
            return
        self._put(datagram)
        if self._random.random() < self.double:
            self._put(datagram)
        if self._kept is not None:
            kept, self._kept = self._kept, None
            self._put(kept)

    def close(self) -> None:
        self._socket.close()

    def _put(self, datagram: bytes) -> None:
        self._socket.sendto(datagram, (self.group, self.port))
        self.sent += 1


class RequestServer:
    """Gives messages again by unicast, of one session; `gone`: numbers that it does not have. `asked`: what came in."""

    def __init__(self, messages: Sequence[bytes], session: bytes, port: int = 0) -> None:
        self.messages = messages
        self.session = session
        self.gone: set[int] = set()
        self.asked: list[tuple[int, int]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self._socket.settimeout(0.1)
        self.port = self._socket.getsockname()[1]
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._closing:
            try:
                data, client = self._socket.recvfrom(1 << 16)
            except TimeoutError:
                continue
            if len(data) != 20:
                continue
            session, first, count = struct.unpack(">10sQH", data)
            self.asked.append((first, count))
            numbers = range(first, min(first + count, len(self.messages) + 1))
            if session != self.session or not numbers or first in self.gone:
                continue
            upto = next((n for n in numbers if n in self.gone), numbers.stop)
            sequence, datagram = next(datagrams(self.messages[first - 1 : upto - 1], session, first))
            assert sequence == first
            self._socket.sendto(datagram, client)


def datagrams(messages: Sequence[bytes], session: bytes, first: int = 1, most: int = 40) -> Iterator[tuple[int, bytes]]:
    """Messages as MoldUDP64 datagrams, each with the number of its first; of at most `most` and 1,400 bytes."""
    at = 0
    while at < len(messages):
        body, count = b"", 0
        while at + count < len(messages) and count < most and len(body) + 2 + len(messages[at + count]) <= _MTU:
            each = messages[at + count]
            body += struct.pack(">H", len(each)) + each
            count += 1
        yield first + at, struct.pack(">10sQH", session, first + at, count) + body
        at += count


def publish(
    messages: Sequence[bytes],
    session: bytes,
    lines: Sequence[Line],
    *,
    first: int = 1,
    most: int = 40,
    pause_s: float = 0.0002,
) -> None:
    """Send messages on all lines, as fast as `pause_s` between datagrams allows."""
    for _, datagram in datagrams(messages, session, first, most):
        for line in lines:
            line.send(datagram)
        time.sleep(pause_s)


def heartbeat(session: bytes, sequence: int, lines: Sequence[Line], *, end: bool = False) -> None:
    """The next message is `sequence`; or the session has ended before it."""
    for line in lines:
        line.send(struct.pack(">10sQH", session, sequence, 0xFFFF if end else 0))


def _packet(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">H", 1 + len(content)) + kind + content


def _receive(client: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(client, 2)
    body = _exactly(client, int.from_bytes(head, "big"))
    return body[:1], body[1:]


def _exactly(client: socket.socket, n: int) -> bytes:
    got = b""
    while len(got) < n:
        piece = client.recv(n - len(got))
        if not piece:
            raise ConnectionResetError
        got += piece
    return got


def _send(client: socket.socket, data: bytes) -> None:
    client.setblocking(True)
    client.sendall(data)
    client.setblocking(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--session", default="SESSION001")
    parser.add_argument("--mold", nargs="*", default=[], metavar="GROUP:PORT")
    parser.add_argument("--request", type=int, default=0, metavar="PORT")
    parser.add_argument("--soup", type=int, default=0, metavar="PORT")
    parser.add_argument("--glimpse", type=int, default=0, metavar="PORT")
    parser.add_argument("--snapshot", type=int, default=0, metavar="MESSAGES", help="what the snapshot holds")
    parser.add_argument("--user", default="user")
    parser.add_argument("--password", default="secret")
    parser.add_argument("--rate", type=float, default=5000.0, help="messages/s")
    parser.add_argument("--lose", type=float, default=0.0, help="share of datagrams, each line by itself")
    parser.add_argument("--double", type=float, default=0.0)
    parser.add_argument("--swap", type=float, default=0.0)
    parser.add_argument(
        "--cut", type=int, nargs="*", default=[], help="end SoupBinTCP connections after these messages"
    )
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    messages = split(args.file.read_bytes())
    login = {"user": args.user, "password": args.password}
    if args.soup:
        SoupServer(messages, args.session, port=args.soup, cuts=args.cut, rate=args.rate, **login)
    if args.glimpse:
        SoupServer(snapshot(messages, args.snapshot), args.session, port=args.glimpse, ends=True, **login)
    session = args.session.encode().ljust(10)
    if args.request:
        RequestServer(messages, session, args.request)
    lines = []
    for each in args.mold:
        group, _, port = each.rpartition(":")
        lines.append(Line(group, int(port), args.lose, args.double, args.swap, args.seed))
    if lines:
        publish(messages, session, lines, most=20, pause_s=20 / args.rate)
    print(f"{len(messages):,} messages of session {args.session} are out; Ctrl-C ends it", flush=True)
    while True:
        heartbeat(session, len(messages) + 1, lines)
        time.sleep(HEARTBEAT_S)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
