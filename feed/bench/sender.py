"""The sending process of a benchmark: the log's writer, with the publisher in the same thread if that is asked for.

It publishes probes until the bots have heard one on every topic, then the start marks, then the ticks, and says what it
did. Paced, it is one Python publish call per tick; for many bots, or flat out, it is native code.
"""

from __future__ import annotations

import gc
import resource
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from feed.bench import children, plan
from feed.bench.loops import checksum, send_flat_out, send_paced
from feed.bench.publisher import PublisherSpec, open_publisher
from feed.clock import now_ns, sleep_until_ns
from feed.log.writer import LogWriter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from feed.publish.mold import MoldPublisher
    from feed.publish.zmq import ZmqPublisher

    Publisher = ZmqPublisher | MoldPublisher

__all__ = ["SenderSpec"]

_LEAD_NS = 200_000_000
"""Between the start marks and the first tick: bots and publisher come to rest."""

_READY_NS = 1_000_000
"""From the start of the clocks to the first tick that is due."""

_CHUNK = 256
_GATE_NS = 30_000_000_000
"""A gating reader is waited for so long: a benchmark's bot is never dropped for being slow, only for being dead."""


class SenderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. `gap_ns` 0: flat out, flushed every `told` ticks; `publisher`: pumped by this thread as well."""

    directory: str
    log_bytes: int
    symbols: int
    ticks: int
    gap_ns: float
    native: bool
    told: int = 64
    gating: tuple[str, ...] = ()
    publisher: PublisherSpec | None = None


def main() -> None:
    spec = children.begin(SenderSpec)
    writer = LogWriter.open(
        Path(spec.directory),
        log_bytes=spec.log_bytes,
        max_topics=4096,
        gating=spec.gating,
        gate_timeout_ns=_GATE_NS,
    )
    topics = [writer.topic(plan.SCHEMA.word, name) for name in plan.symbols(spec.symbols)]
    publisher = open_publisher(spec.publisher) if spec.publisher else None
    children.say(endpoint=publisher.endpoint if publisher else "")

    def mark(kind: int) -> None:
        for topic in topics:
            writer.publish(topic, plan.record(ts_event=kind))
        if publisher:
            _pump(publisher)

    for _ in children.until_told(0.02):
        mark(plan.PROBE)
    mark(plan.START)
    drawn = plan.draw(spec.symbols)
    gc.collect()
    gc.freeze()
    sleep_until_ns(now_ns() + _LEAD_NS)

    rings, wall = writer.rings, time.monotonic_ns()
    cpu, used = time.thread_time_ns(), resource.getrusage(resource.RUSAGE_SELF)
    behind = 0
    if not spec.gap_ns:
        batches = _flat_out(writer, publisher, drawn, spec)
    elif spec.native:
        batches = send_paced(writer, plan.record(), drawn, spec.ticks, now_ns() + _READY_NS, spec.gap_ns)
    else:
        behind = _paced(writer, publisher, drawn, spec)
        batches = spec.ticks
    cpu, after = time.thread_time_ns() - cpu, resource.getrusage(resource.RUSAGE_SELF)
    children.say(
        sent=spec.ticks,
        checksum=checksum(0, spec.ticks),
        seconds=(time.monotonic_ns() - wall) / 1e9,
        thread_cpu_ns=cpu,
        cpu_s=after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime,
        batches=batches,
        rings=writer.rings - rings,
        behind=behind,
        evictions=writer.evictions,
    )
    for _ in children.until_told(0.001):
        if publisher:
            publisher.poll()
    if publisher:
        publisher.close()
    writer.close(remove=True)


def _paced(writer: LogWriter, publisher: Publisher | None, topics: NDArray[np.uint32], spec: SenderSpec) -> int:
    """One Python call per tick, stamped just before it, or with when it was due, if that is more than one gap ago.

    Gives how many were so late.
    """
    stamp_at = plan.STAMP_AT
    head, tail = plan.record()[:stamp_at], plan.record()[stamp_at + 8 :]
    quote = struct.Struct(f"<{len(head)}sQ{len(tail)}s").pack
    publish, poll = writer.publish, publisher.poll if publisher else None
    ids = topics.tolist()
    cycle = len(ids)
    start, gap, late_by, behind = now_ns() + _READY_NS, spec.gap_ns, int(spec.gap_ns), 0
    for i in range(spec.ticks):
        due = start + int(i * gap)
        topic = ids[i % cycle]
        sleep_until_ns(due)
        stamp = now_ns()
        if stamp - due > late_by:
            stamp = due
            behind += 1
        publish(topic, quote(head, stamp, tail))
        if poll is not None:
            poll()
    return behind


def _flat_out(writer: LogWriter, publisher: Publisher | None, topics: NDArray[np.uint32], spec: SenderSpec) -> int:
    template = plan.record()
    if publisher is None:
        return send_flat_out(writer, template, topics, 0, spec.ticks, spec.told)
    batches = 0
    for first in range(0, spec.ticks, _CHUNK):
        batches += send_flat_out(writer, template, topics, first, min(_CHUNK, spec.ticks - first), _CHUNK)
        _pump(publisher)
    return batches


def _pump(publisher: Publisher) -> None:
    """Until all that the log holds is handed over."""
    while not publisher.drain():
        if not publisher.poll():
            publisher.park(1_000_000)


if __name__ == "__main__":
    main()
