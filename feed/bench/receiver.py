"""The bot of a benchmark, a process of its own: everything through the public SDK, as a user's bot would.

It says when it has heard all of its topics, counts from the start marks on, and ends when it has all or nothing has
come for a while. A bot that is timed takes the clock as the first thing in its callback.
"""

from __future__ import annotations

import gc
import resource
import signal
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import zmq

from bots import Bot, Subscriber, run
from feed.bench import children, plan
from feed.bench.loops import Heard, read_log, read_zmq
from feed.clock import now_ns
from feed.log.reader import LogReader
from feed.wire.frames import decode
from feed.wire.topics import topic

if TYPE_CHECKING:
    from bots.ticks import Quote

__all__ = ["BotSpec"]

_MANY = 8192
_SLICE_NS = 100_000_000


class BotSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One bot, on shared memory (`directory`) or an `endpoint`. It must get `ticks`; the first `warm` don't count.

    `timed`: latency and stamp of each of the others go to the files ``out.late`` and ``out.stamps`` (u64 ns).
    """

    name: str
    directory: str
    endpoint: str
    symbols: tuple[str, ...]
    ticks: int
    warm: int
    idle: plan.Idle
    api: str
    timed: bool
    quiet_s: float
    out: str


def main() -> None:
    spec = children.begin(BotSpec)
    room = spec.ticks if spec.timed else 0
    late, stamps = array("Q", bytes(8 * room)), array("Q", bytes(8 * room))
    heard, cpu_s = (_native if spec.api == "native" else _bot)(spec, late, stamps)
    if spec.timed:
        for name, values in (("late", late), ("stamps", stamps)):
            np.frombuffer(values, np.uint64)[spec.warm : max(spec.warm, heard.ticks)].tofile(f"{spec.out}.{name}")
    children.say(**heard._asdict(), cpu_s=cpu_s)


class _Marks:
    """Which topics have been heard: first the probes, then the last ticks that do not count."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self._probed, self._started = set(symbols), set(symbols)

    def take(self, symbol: str, ts_event: int) -> bool:
        """True at the last mark of all: what comes next counts."""
        if ts_event == plan.START:
            self._started.discard(symbol)
            return not self._started
        if self._probed:
            self._probed.discard(symbol)
            if not self._probed:
                children.say(ready=True)
        return False


# --- through the SDK ------------------------------------------------------------------------------------------------


def _bot(spec: BotSpec, late: array[int], stamps: array[int]) -> tuple[Heard, float]:
    sub = Subscriber(
        spec.symbols,
        [plan.SCHEMA.word],
        log=spec.directory or None,
        endpoint=spec.endpoint or None,
        idle=spec.idle,
        slow="fill",  # every tick counts, also to a bot that is behind
        hwm=plan.HWM,
        name=spec.name,
    )
    with sub:
        marks = _Marks(spec.symbols)
        while (tick := sub.recv()) is not None:
            if marks.take(tick.symbol, tick.ts_event):
                break
        gc.collect()
        gc.freeze()
        cpu = _cpu_s()
        if spec.api == "batch":
            heard = _time_batches(sub, spec, late, stamps) if spec.timed else _sum_batches(sub, spec)
        else:
            watch = _Watch(sub, spec)
            heard = _run_timed(sub, spec, late, stamps) if spec.timed else _run_summing(sub, spec, watch)
            watch.end()
        return heard, _cpu_s() - cpu


class _Timed(Bot):
    """Takes the clock first, then keeps what it found."""

    def __init__(self, ticks: int, late: array[int], stamps: array[int]) -> None:
        self.ticks = 0
        self._all, self._late, self._stamps = ticks, late, stamps

    def on_quote(self, q: Quote) -> None:
        now = now_ns()
        stamp = q.ts_event
        i = self.ticks
        self._late[i] = now - stamp if now > stamp else 0
        self._stamps[i] = stamp
        self.ticks = i = i + 1
        if i == self._all:
            self.subscriber.stop()


class _Summing(Bot):
    """Reads two fields of each tick and adds them up; how many came is known to its subscriber."""

    def __init__(self, ticks: int, sub: Subscriber) -> None:
        self.total = 0
        self.end_ns = 0
        self._delivery = sub.delivery
        self._all = self._delivery.ticks + ticks

    def on_quote(self, q: Quote) -> None:
        self.total += q.bid_px_raw + q.ask_px_raw

    def on_batch_end(self) -> None:
        if self._delivery.ticks >= self._all:
            self.end_ns = now_ns()
            self.subscriber.stop()


class _Watch:
    """Looks now and then how far a subscriber is: notes the warm-up's end, and ends it when nothing comes any more."""

    def __init__(self, sub: Subscriber, spec: BotSpec) -> None:
        self.first_ns = self.last_ns = now_ns()
        self.first = self._last = 0
        self._sub, self._warm, self._quiet_ns = sub, spec.warm, int(spec.quiet_s * 1e9)
        self._before = sub.delivery.ticks
        self._warmed = False
        signal.signal(signal.SIGALRM, lambda *_: self._look())
        # Each look costs microseconds: ten a second would show in the latencies of a bot that is timed.
        every_s = 1.0 if spec.timed else 0.1
        signal.setitimer(signal.ITIMER_REAL, every_s, every_s)

    def end(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    @property
    def ticks(self) -> int:
        return self._sub.delivery.ticks - self._before

    def _look(self) -> None:
        now, ticks = now_ns(), self.ticks
        if ticks == self._last:
            if now - self.last_ns > self._quiet_ns:
                self._sub.stop()
            return
        self.last_ns, self._last = now, ticks
        if not self._warmed:
            self.first_ns, self.first = now, ticks
            self._warmed = ticks >= self._warm


def _run_timed(sub: Subscriber, spec: BotSpec, late: array[int], stamps: array[int]) -> Heard:
    bot = _Timed(spec.ticks, late, stamps)
    run(bot, sub)
    return _of_timed(bot.ticks, spec.warm, late, stamps)


def _run_summing(sub: Subscriber, spec: BotSpec, watch: _Watch) -> Heard:
    bot = _Summing(spec.ticks, sub)
    run(bot, sub)
    end_ns = bot.end_ns or watch.last_ns
    return Heard(watch.ticks, watch.ticks - watch.first, watch.first_ns, end_ns, bot.total % 2**64)


def _time_batches(sub: Subscriber, spec: BotSpec, late: array[int], stamps: array[int]) -> Heard:
    all_late, all_stamps = np.frombuffer(late, np.uint64), np.frombuffer(stamps, np.uint64)
    got = 0
    while got < spec.ticks and (batch := sub.recv_many(_MANY, spec.quiet_s)) is not None:
        now = now_ns()
        sent = batch.records["ts_event"]
        upto = got + len(sent)
        all_stamps[got:upto] = sent
        all_late[got:upto] = now - np.minimum(sent, now)
        got = upto
    return _of_timed(got, spec.warm, late, stamps)


def _sum_batches(sub: Subscriber, spec: BotSpec) -> Heard:
    got = total = first = first_ns = 0
    while got < spec.ticks and (batch := sub.recv_many(_MANY, spec.quiet_s)) is not None:
        records = batch.records
        total += int(records["bid_px"].sum()) + int(records["ask_px"].sum())
        got += len(batch)
        if not first and got > spec.warm:
            first, first_ns = got, now_ns()
    return Heard(got, got - first, first_ns, now_ns(), total % 2**64)


def _of_timed(got: int, warm: int, late: array[int], stamps: array[int]) -> Heard:
    """First and last arrival from what was kept."""
    if got <= warm + 1:
        return Heard(got, 0, 0, 0, 0)
    return Heard(got, got - warm - 1, stamps[warm] + late[warm], stamps[got - 1] + late[got - 1], 0)


# --- native ---------------------------------------------------------------------------------------------------------


def _native(spec: BotSpec, late: array[int], stamps: array[int]) -> tuple[Heard, float]:
    marks, spin, quiet_ns = _Marks(spec.symbols), spec.idle == "spin", int(spec.quiet_s * 1e9)
    if spec.directory:
        with LogReader.open(Path(spec.directory), name=spec.name) as reader:
            _await_start_in_log(reader, marks)
            names = {reader.topic(i)[1]: i for i in range(reader.topic_count)}
            wanted = bytearray(reader.topic_count)
            for symbol in spec.symbols:
                wanted[names[symbol]] = 1
            gc.freeze()
            cpu = _cpu_s()
            heard = read_log(reader, wanted, spec.ticks, spec.warm, spin, quiet_ns, late, stamps)
            return heard, _cpu_s() - cpu
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.setsockopt(zmq.RCVHWM, plan.HWM)
        sub.setsockopt(zmq.LINGER, 0)
        for symbol in spec.symbols:
            sub.setsockopt(zmq.SUBSCRIBE, topic(plan.SCHEMA.word, symbol))
        sub.connect(spec.endpoint)
        _await_start_on_wire(sub, marks)
        gc.freeze()
        cpu = _cpu_s()
        return read_zmq(sub, spec.ticks, spec.warm, spin, quiet_ns, late, stamps), _cpu_s() - cpu


def _await_start_in_log(reader: LogReader, marks: _Marks) -> None:
    while True:
        reader.wait(_SLICE_NS)
        while (tick := reader.read()) is not None:
            if tick.kind == 0 and marks.take(reader.topic(tick.topic_id)[1], _stamp(tick.record)):
                return


def _await_start_on_wire(sub: zmq.Socket[bytes], marks: _Marks) -> None:
    while True:
        frame = decode(sub.recv())
        for record in frame.records:
            if marks.take(frame.symbol, int(record["ts_event"])):
                return


def _stamp(record: bytes) -> int:
    return int.from_bytes(record[plan.STAMP_AT : plan.STAMP_AT + 8], "little")


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
