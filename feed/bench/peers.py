"""The peers: what others do with the same libzmq, the same message bytes and the same high-water marks.

Their sources are under tests/bench/peers, so they are there in a checkout only; the C one is compiled at the first use.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zmq.backend.cython._zmq  # loads the libzmq that is looked for below

from feed.bench import plan
from feed.bench.children import Children
from feed.bench.hosts import Hosts
from feed.bench.result import Figures, latency_us, saturated
from feed.errors import HostError
from feed.multicast import Window
from feed.wire.frames import HEADER_BYTES, encode
from feed.wire.topics import topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feed.bench.plan import Options

__all__ = ["command", "libzmq", "message", "run"]

SOURCES = Path(__file__).parents[2] / "tests" / "bench" / "peers"

_TOPIC = topic(plan.SCHEMA.word, "AAPL")
_QUIET_S = 30.0
_JOIN_S = 0.3
"""Between a receiver's joining a group and the first message: it says when it has asked, not when it is in."""


def command(peer: str, build: Path) -> list[str]:
    """How to call a peer; compiles it in `build` if it must be.

    :raises HostError: its source or a C compiler is missing.
    """
    source = SOURCES / {"libzmq-c": "libzmq_c.c", "pyzmq": "pyzmq_peer.py", "udp-c": "udp_c.c"}[peer]
    if not source.exists():
        raise HostError(
            "the peer's source is not here",
            expected=str(source),
            remedy="Run `feed bench ... --vs` in a checkout of tickcast (make setup), which has tests/bench/peers",
        )
    if peer == "pyzmq":
        return [sys.executable, str(source)]
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise HostError(
            "no C compiler to build the peer with",
            expected="cc on the PATH",
            remedy="Install one (Debian: apt install gcc libc6-dev) or compare with --vs pyzmq",
        )
    program = build / source.stem
    done = subprocess.run(
        [compiler, "-O2", str(source), "-o", str(program), "-ldl"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HostError("the peer does not compile", found=done.stderr.strip(), where=str(source))
    return [str(program)] if peer == "udp-c" else [str(program), libzmq()]


def libzmq() -> str:
    """Path of the libzmq that pyzmq loaded in this process; its extension module if that has it inside."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        path = line.split(maxsplit=5)[-1]
        if re.fullmatch(r"libzmq(-[0-9a-f]+)?\.so(\.\d+)*", Path(path).name):
            return path
    return str(zmq.backend.cython._zmq.__file__)


def message() -> bytes:
    """A whole message as our publisher sends it: 147 bytes."""
    return encode(_TOPIC, plan.record(), epoch=1, seq=1, topic_seq=1, ts_in=1, ts_sent=1)


def run(options: Options, call: Sequence[str]) -> Figures:
    """One run of a peer, with the same number of ticks, warm-up and pace as ours.

    :raises HostError: it failed, or what it received differs from what it sent.
    """
    records_at = len(_TOPIC) + HEADER_BYTES
    places = [str(records_at + plan.STAMP_AT), str(records_at + plan.FIELDS_AT)]
    total, gap = options.total, round(options.gap_ns)
    with contextlib.ExitStack() as opened:
        net = opened.enter_context(Hosts(1)) if options.hosts else None
        children = opened.enter_context(Children(16 << 20))
        work = children.work
        (work / "message").write_bytes(message())
        late_file = work / "late"
        at_feed, at_bot, url, place = _places(options, net, work)
        sending = children.start(
            "peer-pub",
            [*at_feed, *call, "pub", url, str(total), str(gap), str(plan.HWM), str(work / "message"), *places],
        )
        endpoint = place or sending.hear(_QUIET_S)["endpoint"]
        pace = [str(options.warm), str(int(options.idle == "spin")), str(plan.HWM)]
        hearing = children.start(
            "peer-sub",
            [
                *at_bot,
                *call,
                "sub",
                endpoint,
                str(total),
                *pace,
                _TOPIC.decode(),
                *places,
                str(late_file) if gap else "-",
            ],
        )
        if place:
            sending.hear(_QUIET_S)
            hearing.hear(_QUIET_S)
            time.sleep(_JOIN_S)
            sending.tell("go")
        limit = _QUIET_S + total * (gap / 1e9 if gap else 1e-4)
        sent = sending.hear(limit)
        heard = hearing.hear(limit)
        late = np.fromfile(late_file, np.uint64) if gap else np.empty(0, np.uint64)
    seconds = (heard["last_ns"] - heard["first_ns"]) / 1e9
    equal = sent["checksum"] == heard["checksum"]
    if not equal and heard["got"] == total:
        raise HostError(
            "the peer received other values than it sent", expected=sent["checksum"], found=heard["checksum"]
        )
    queued = saturated(late, seconds * 1e9)
    return Figures(
        ticks=options.ticks or 0,
        lost=total - heard["got"],
        ticks_per_s=(heard["got"] - options.warm - 1) / seconds if seconds > 0 else 0.0,
        latency_us={} if queued else latency_us(late),
        detail={"message_bytes": len(message()), "idle": options.idle, "saturated": queued, "checksums_equal": equal},
    )


def _places(options: Options, net: Hosts | None, work: Path) -> tuple[Sequence[str], Sequence[str], str, str]:
    """What runs the sender and the receiver where they are to be, the sender's address, and the receiver's where the
    sender does not tell it: PGM's has an interface of its own."""
    if options.transport == "mold":
        group = plan.group(net is not None)
        at_feed, at_bot = (net.feed, net.bots[0]) if net is not None else (None, None)
        url, place = (f"{group}@{each.address if each is not None else '127.0.0.1'}" for each in (at_feed, at_bot))
        return at_feed.within if at_feed else (), at_bot.within if at_bot else (), url, place
    if net is None:
        return (), (), "tcp://127.0.0.1:*" if options.transport == "tcp" else f"ipc://{work / 'peer'}", ""
    feed, bot = net.feed, net.bots[0]
    if options.transport == "tcp":
        return feed.within, bot.within, f"tcp://{feed.address}:*", ""
    window = Window()
    numbers = (window.rate, window.recovery_ms, window.tpdu, window.hops, window.buffer)
    both = ("env", f"PGM={' '.join(map(str, numbers))}")
    url, place = (f"epgm://{each.address};{plan.GROUP}" for each in (feed, bot))
    return (*feed.within, *both), (*bot.within, *both), url, place
