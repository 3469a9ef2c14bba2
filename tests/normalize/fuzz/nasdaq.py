"""Noise for Nasdaq's protocols. By hand: python -m tests.normalize.fuzz.nasdaq [itch mold soup] --messages 1000000

Sound messages of a real morning of which each is damaged: as ITCH messages, as MoldUDP64 datagrams of some of them on
two lines, as SoupBinTCP packets in pieces of any size. Whatever comes, nothing is raised, everything comes to an end,
memory stays bounded, and what is refused is counted.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feed.metrics.counters import Counters
from feed.normalize.itch import NO_TOPIC, SCHEMAS, Itch
from feed.normalize.itch_frames import ItchFrames, Want
from feed.normalize.itch_lines import OTHER, ItchLines
from feed.sources.mold_sessions import MoldSessions
from feed.sources.source import Tally
from feed.wire import mold
from feed.wire.soup import SoupPackets, packet
from feed.wire.soup_session import SoupSession, State
from tests.normalize.itch_messages import split
from tests.normalize.itch_play import MIDNIGHT
from tests.sources.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IN_THE_SUITE = 7_000
"""Messages of each protocol."""

MEMORY_BYTES = 96 << 20
HELD_BYTES = 1 << 20
KINDS, WEIGHTS = (b"S", b"H", b"+", b"U", b"?", b"A", b"J", b"Z"), (900, 30, 30, 30, 5, 1, 1, 1)


class Books:
    """Where messages go: frames that take packets, and names for all stocks."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.tape = Tape(directory / "feed", max_topics=1 << 17)
        self.counters = Counters.open(directory, create=True)
        self.itch = Itch("XNAS", orders=100_000)
        self.itch.begin(MIDNIGHT)
        self.frames = ItchFrames(self.itch, packets=True)
        self.seen: Counter[str] = Counter()

    def pour(self) -> None:
        """Deal with all that is in the frames."""
        while True:
            self.seen["records"] += self.frames.pour(self.tape.sink, 1 << 20, 0)
            self.frames.flush(self.tape.sink)
            if self.frames.want != Want.NAME:
                break
            locate, stock = self.itch.waiting
            topics = [self.tape.sink.topic(word, f"S{locate % 4000}") for word in SCHEMAS[:2]]
            self.itch.bind(locate, stock, [*topics, *[NO_TOPIC] * (len(SCHEMAS) - 2)])
        assert self.frames.dealt or self.frames.want == Want.LIVE
        self.count(self.itch.take_rejected())
        assert self.itch.memory_bytes < MEMORY_BYTES

    def count(self, rejected: Sequence[tuple[str, int]]) -> None:
        for reason, n in rejected:
            self.seen[reason] += n

    def close(self) -> None:
        self.tape.close()
        self.counters.close()


def damaged(raw: bytes, rnd: random.Random, first: int = 0, *, length: bool = True) -> bytes:
    """One to three bytes from `first` on are others; now and then some are left out, or come twice, unless its `length`
    is to stay."""
    out = bytearray(raw)
    for _ in range(rnd.randint(1, 3)):
        if len(out) > first:
            at = rnd.randrange(first, len(out))
            out[at] = rnd.choice((0, 255, rnd.randrange(256)))
    if not length:
        return bytes(out)
    if rnd.random() < 0.05:
        at = rnd.randrange(first, len(out) + 1)
        del out[at : at + rnd.randint(1, 8)]
    elif rnd.random() < 0.05:
        at = rnd.randrange(first, len(out) + 1)
        out[at:at] = out[max(first, at - 8) : at]
    return bytes(out)


def itch(messages: Sequence[bytes], many: int, rnd: random.Random, books: Books) -> None:
    """Each by itself, with and without a snapshot before it."""
    for n in range(many):
        if n % 20_000 == 19_999:
            (books.itch.begin, books.itch.begin_snapshot)[rnd.randrange(2)](MIDNIGHT)
        if n % 5_000 == 4_999:
            books.frames.skip(n)
        raw = damaged(messages[n % len(messages)], rnd) if rnd.random() < 0.999 else b"G" + damaged(b"%20d" % n, rnd)
        room = books.frames.space()
        framed = len(raw).to_bytes(2, "big") + raw
        room[: len(framed)] = framed
        books.frames.filled(len(framed))
        if n % 50 == 0:
            books.pour()
            books.frames.live_from  # noqa: B018 - whatever it was that stood there
    books.pour()


def mold_datagrams(messages: Sequence[bytes], many: int, rnd: random.Random, books: Books) -> None:
    """On two lines that are a little apart; sessions change as they please."""
    lines = ItchLines(books.frames, 2, held_bytes=HELD_BYTES)
    sessions = MoldSessions(lines, Tally(books.counters, "fuzz"))
    numbers = [1, 1]
    for n in range(many):
        if n % 2_000 == 0:
            numbers = [1, 1]
        line = rnd.randrange(2)
        at = numbers[line] % (len(messages) - 1)
        sound = mold.encode(b"SESSION%03d" % (n // 2_000 % 1000), numbers[line], messages[at : at + rnd.randint(0, 2)])
        numbers[line] += 1 + (rnd.random() < 0.01)
        dirty = damaged(
            sound, rnd, rnd.choice((0, 10, 20, 22, 22, 22, 22)) if sound[20:] else 0, length=rnd.random() < 0.1
        )
        if lines.take(line, dirty, n) == OTHER:
            sessions.other(line, dirty)
        if rnd.random() < 0.02:
            lines.arbiter.ask(n, n, n)
            lines.arbiter.give_up(n - 50 if n > 50 else 0)
        if n % 20 == 0:
            _turn(lines, sessions, books, n)
        assert lines.held_bytes < 2 * HELD_BYTES
    _turn(lines, sessions, books, many)
    books.count(lines.take_rejected())
    for row in books.counters.rows():
        if row.name == "tickcast_rejected_total":
            books.seen[row.labels["reason"]] += row.value


def _turn(lines: ItchLines, sessions: MoldSessions, books: Books, now: int) -> None:
    """As a source: deal with what is there, go on behind what is lost, begin the session that follows."""
    while True:
        books.pour()
        if sessions.changes:
            session, first, kept = sessions.take()
            lines.begin(session, first)
            books.seen["messages"] += books.frames.messages
            books.itch.begin(MIDNIGHT)
            books.frames.number(first)
            books.seen["sessions"] += 1
            for line, datagram in kept:
                lines.take(line, datagram, now)
            continue
        lines.release()
        if books.frames.left:
            continue
        if not lines.lost:
            return
        books.seen["losses"] += 1
        lines.skip()


def soup(messages: Sequence[bytes], many: int, rnd: random.Random, books: Books) -> None:
    """Connection after connection, each until its session is over or it has brought a thousand packets."""
    packets = SoupPackets()
    done = 0
    while done < many:
        packets.begin()
        session = SoupSession("user", "secret", "", 1, 0)
        sent = packet(b"A", b"%10s%20d" % (b"S1", 1))
        if rnd.random() < 0.3:
            sent = damaged(sent, rnd, 2)
        for n in range(rnd.randint(1, 1000)):
            kind = rnd.choices(KINDS, WEIGHTS)[0]
            whole = packet(kind, messages[n % len(messages)])
            sent += damaged(whole, rnd, 3, length=False) if rnd.random() < 0.999 else damaged(whole, rnd)
            done += 1
        books.seen["connections"] += 1
        while sent and not session.over:
            piece = sent[: rnd.randint(1, 60_000)]
            sent = sent[len(piece) :]
            space = packets.space()
            space[: len(piece)] = piece
            packets.filled(len(piece))
            session.heard(0)
            _read(packets, session, books)
        books.seen[session.state.name.lower()] += 1


def _read(packets: SoupPackets, session: SoupSession, books: Books) -> None:
    while not session.over:
        if n := packets.messages(books.frames.space()):
            if session.state is not State.LIVE:
                session.fail("messages before the login was answered")
            books.frames.filled(n)
            books.pour()
        elif (control := packets.control()) is not None:
            books.seen["unknown_packet"] += not session.take(*control)
        else:
            if packets.broken:
                session.fail("a packet without a type")
            return


PROTOCOLS: dict[str, Callable[[Sequence[bytes], int, random.Random, Books], None]] = {
    "itch": itch,
    "mold": mold_datagrams,
    "soup": soup,
}


def run(protocol: str, messages: Sequence[bytes], many: int, seed: int) -> Counter[str]:
    """What came of `many` damaged messages."""
    root = Path(tempfile.mkdtemp(prefix="tickcast-fuzz-", dir="/dev/shm"))
    books = Books(root / "books")
    try:
        PROTOCOLS[protocol](messages, many, random.Random(seed), books)
        books.seen["messages"] += books.frames.messages
        return books.seen
    finally:
        books.close()
        shutil.rmtree(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocols", nargs="*", metavar="PROTOCOL", help=", ".join(PROTOCOLS))
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    data = Path(os.environ.get("TICKCAST_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
    messages = split((data / "runk-itch/test/locate-13-10k.bin").read_bytes())
    for protocol in args.protocols or PROTOCOLS:
        began = time.monotonic()
        seen: dict[str, Any] = dict(sorted(run(protocol, messages, args.messages, args.seed).items()))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(f"{protocol}: {args.messages:,} in {time.monotonic() - began:.0f} s, peak {peak} MiB: {seen}", flush=True)


if __name__ == "__main__":
    main()
