"""A sequencer that is stopped, but not dead: nobody may take its silence for a quiet market."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import zmq

from bots.links.shm import ShmLink
from tests.e2e.processes import wait_for

if TYPE_CHECKING:
    from tests.e2e.processes import Stage

PATIENCE_NS = 300_000_000
"""How long the publisher bears a silent sequencer, where the heartbeat is short."""


def test_a_stopped_sequencer_is_silent_on_every_transport_until_it_goes_on(stage: Stage) -> None:
    feed = stage.up(stage.feed(source__sim__rate=0.01, publish__tcp__heartbeat="100ms"))
    ingest = stage.agent("ingest")["pid"]
    link = ShmLink(stage.directory)
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        socket.connect(f"tcp://127.0.0.1:{stage.tcp_port}")
        socket.subscribe(b"heartbeat|")

        def heard() -> int:
            n = 0
            while socket.poll(0):
                socket.recv()
                n += 1
            return n

        def both_hear() -> bool:
            return link.silent_ns() < PATIENCE_NS and heard() > 0

        def neither_hears(seconds: float) -> bool:
            heard()
            time.sleep(seconds)
            return heard() == 0 and link.silent_ns() > PATIENCE_NS

        for _ in range(3):
            wait_for(both_hear, "heartbeats of a quiet feed")
            time.sleep(0.2)
        os.kill(ingest, signal.SIGSTOP)
        try:
            wait_for(lambda: neither_hears(0.3), "silence")
            assert neither_hears(0.5)
            assert link.silent_ns() > 500_000_000
            assert not link.gone(), "the process is there"
        finally:
            os.kill(ingest, signal.SIGCONT)
        wait_for(both_hear, "heartbeats again")
    link.close()
    assert stage.agent("ingest")["restarts"] == 0
    assert feed.end(signal.SIGTERM) == 0, feed.said
