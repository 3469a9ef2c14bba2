"""Pushing into a feed as a user runs it: everything arrives once, whoever is killed, held up or talks nonsense."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zmq

from feed.errors import CallerError, PushBehind, PushError
from feed.push import Pusher
from feed.wire.records import BY_WORD
from tests.e2e import processes
from tests.e2e.processes import REPOSITORY, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.processes import Stage

TOPICS = 40

KEEPS_PUSHING = """
import sys
from feed.push import Pusher
with Pusher(sys.argv[1], name="mortal") as push:
    print("from", push.last + 1, flush=True)
    while push.last < 1_000_000:
        push.trade("KILLED", price=1, size=push.last + 1)
        if push.last % 100 == 0:
            print(push.committed, flush=True)
"""


@pytest.fixture(scope="module")
def feed() -> Iterator[Stage]:
    """A push source at a Unix socket and a TCP address, and another source beside it."""
    with processes.stage() as made:
        tcp = f"tcp://127.0.0.1:{free_port()}"
        settings = {
            "source__push__kind": "push",
            "source__push__tcp": tcp,
            "source__push__window": "256KiB",
            "source__push__topics": TOPICS,
        }
        made.up(made.feed(source__sim__rate=1000, **settings))
        yield made


def sizes(stage: Stage, symbol: str) -> list[int]:
    """The `size` of each trade of a symbol in the log."""
    return [struct.unpack_from("<I", record, 24)[0] for _, _, record in stage.log().get(f"trade.{symbol}", [])]


def rejected(stage: Stage) -> dict[str, int]:
    return dict(stage.stat()["sources"].get("push", {"rejected": {}})["rejected"])


@pytest.mark.parametrize(
    ("other", "transport"),
    [("", "shm"), ("[source.sim]\nticks = 1\n", "tcp")],
    ids=["straight into the log", "through a ring"],
)
def test_a_killed_ingest_loses_nothing_and_doubles_nothing(other: str, transport: str) -> None:
    with processes.stage() as stage:
        file = stage.temporary / "feed.toml"
        file.write_text(f"[source.push]\n{other}")
        stage.up(stage.feed("run", file))
        bot = stage.bot("bot", transport, "*", "trade")
        wait_for(lambda: "live" in bot.collected.states)
        pushed = 0
        with Pusher(stage.address, name="steady", timeout=30) as push:
            for round_ in range(2):
                for pushed in range(1500 * round_ + 1, 1500 * round_ + 1501):
                    push.trade(f"S{pushed % 5}", price="0.01", size=pushed)
                if not round_:
                    os.kill(stage.agent("ingest")["pid"], signal.SIGKILL)
            assert push.flush() == pushed
        there = stage.log()
        ours = sorted((seq, struct.unpack_from("<I", record, 24)[0]) for name, ticks in there.items()
                      if name.startswith("trade.S") for seq, _, record in ticks)  # fmt: skip
        assert [size for _, size in ours] == list(range(1, pushed + 1))
        bot.reaches(pushed)
        got = {name: ticks for name, ticks in bot.collected.ticks.items() if name.startswith("trade.S")}
        assert got == {name: ticks for name, ticks in there.items() if name.startswith("trade.S")}
        assert bot.collected.gaps == []


def test_a_killed_pusher_had_what_was_acknowledged(feed: Stage) -> None:
    said: list[int] = []
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", KEEPS_PUSHING, feed.address], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        assert child.stdout is not None
        first = int(child.stdout.readline().split()[1])
        assert not said or first > said[-1], "it goes on behind what the one before was told"
        said += [int(child.stdout.readline()) for _ in range(20)]
        child.kill()
        said += [int(line) for line in child.stdout.read().split("\n")[:-1]]
        child.wait()
        child.stdout.close()
    there = sizes(feed, "KILLED")
    assert there == list(range(1, len(there) + 1))
    assert max(said) <= len(there)


def test_a_feed_that_stands_still_makes_pushers_wait(feed: Stage) -> None:
    ingest = feed.agent("ingest")["pid"]
    pushed = 0
    with Pusher(feed.address, name="hasty", timeout=0.2) as push:
        os.kill(ingest, signal.SIGSTOP)
        try:
            with pytest.raises(PushBehind, match="without acknowledgement"):  # noqa: PT012 - one of many
                while True:
                    pushed = push.trade("HASTY", price=1, size=pushed + 1)
            with pytest.raises(PushBehind, match="has not taken all of it in"):
                push.flush(0.05)
            assert push.last == pushed
        finally:
            os.kill(ingest, signal.SIGCONT)
        assert push.flush(30) == pushed
    assert sizes(feed, "HASTY") == list(range(1, pushed + 1))
    assert 256 << 10 < pushed * 64 < 1 << 20


def test_many_at_once_by_both_entrances(feed: Stage) -> None:
    records = np.zeros(20_000, BY_WORD["quote"].dtype)
    records["bid_sz"] = np.arange(len(records))
    names = np.array([f"ARRAY{n % 7}" for n in range(len(records))])
    tcp = next(each["endpoint"] for each in feed.ask("directory")["push"] if each["endpoint"].startswith("tcp"))
    pushers = [Pusher(feed.address), Pusher(tcp)]
    for push in pushers:
        push.records(records, names, schema="quote")
    for push in pushers:
        assert push.flush() == len(records)
        push.close()
    there = [tick for name, ticks in feed.log().items() if name.startswith("quote.ARRAY") for tick in ticks]
    got = np.frombuffer(b"".join(record for _, _, record in sorted(there)), BY_WORD["quote"].dtype)["bid_sz"]
    assert sorted(got) == sorted([*range(len(records))] * 2)


def test_nonsense_on_the_socket_hurts_nobody_else(feed: Stage) -> None:
    chance = random.Random(5)
    before = rejected(feed)
    with Pusher(feed.address) as push, zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(push.endpoint)
        for n in range(50):
            dealer.send(b"?" + chance.randbytes(n))
            dealer.send_multipart([b"", chance.randbytes(30)] * (n % 3 + 1))
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(push.endpoint.removeprefix("ipc://"))
                raw.sendall(chance.randbytes(chance.randrange(200)))
        for size in range(1, 101):
            push.trade("CALM", price=1, size=size)
        wait_for(lambda: rejected(feed).get("malformed", 0) >= before.get("malformed", 0) + 100, lambda: rejected(feed))
        dealer.send(bytes(5 << 20))
        push.flush()
    assert sizes(feed, "CALM") == list(range(1, 101))


def test_what_is_wrong_is_said_before_it_is_pushed(feed: Stage) -> None:
    push = Pusher(feed.address)
    with pytest.raises(CallerError, match="a symbol has a character"):
        push.trade("A|B", price=1)
    with pytest.raises(CallerError, match="not allowed"):
        push.trade("A", price="1.2345678901")
    with pytest.raises(CallerError, match="length or rtype"):
        push.records(np.zeros(1, BY_WORD["trade"].dtype), "A")
    assert push.last == 0
    push.close()
    with pytest.raises(CallerError, match="closed"):
        push.trade("A", price=1)


def test_what_it_says_when_nobody_is_there(feed: Stage) -> None:
    with pytest.raises(PushError, match="nobody answers"):
        Pusher(f"tcp://127.0.0.1:{free_port()}", timeout=0.1)
    with pytest.raises(PushError, match="no such push source"):
        Pusher(feed.address, source="other")
    with pytest.raises(CallerError, match="not a pusher's name"):
        Pusher(feed.address, name="no name")


def test_a_name_belongs_to_the_last_who_took_it(feed: Stage) -> None:
    first = Pusher(feed.address, name="desk")
    first.trade("DESK", price=1, size=1)
    first.flush()
    with Pusher(feed.address, name="desk") as second:
        assert second.last == second.committed == 1
        second.trade("DESK", price=1, size=2)
        second.flush()
        with pytest.raises(PushError, match="another process pushes under this name"):  # noqa: PT012 - as soon as it hears of it
            for _ in range(500):
                first.trade("DESK", price=1, size=3)
                time.sleep(0.01)
    first.close()
    assert sizes(feed, "DESK")[:2] == [1, 2]
    assert 3 not in sizes(feed, "DESK")


def test_the_pages_program_pushes(feed: Stage, tmp_path: Path) -> None:
    page = (REPOSITORY / "feed" / "sources" / "PUSH.md").read_text()
    (program,) = re.findall(r"<!-- example plain -->\n```python\n(.*?)```\n<!-- end -->", page, re.S)
    tcp = next(each["endpoint"] for each in feed.ask("directory")["push"] if each["endpoint"].startswith("tcp"))
    file = tmp_path / "plain.py"
    file.write_text(program.replace("tcp://127.0.0.1:5552", tcp))
    for last in (10, 20):
        said = subprocess.run(
            [sys.executable, str(file)], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        assert said == f"committed {last} refused 0\n"
    assert sizes(feed, "PLAIN") == [*range(1, 11)] * 2


def test_a_process_that_pushes_has_nothing_of_the_daemon() -> None:
    code = "import feed.push, sys; print(*sorted(m for m in sys.modules if m.split('.')[0] in ('feed', 'bots')))"
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded = {re.sub(r"^feed\.(\w+).*", r"\1", name) for name in found.stdout.split()} - {"feed"}
    assert loaded == {"push", "wire", "clock", "errors"}


def test_a_refusal_is_raised_with_its_reason(feed: Stage) -> None:
    told: list[str] = []
    with Pusher(feed.address, on_refused=lambda answer: told.append(answer.text)) as listens:
        listens.trade("CALM", price=1, size=100)  # has its topic before there is no more room
        for n in range(TOPICS + 1):
            listens.trade(f"MANY{n}", price=1)
            listens.flush()
        wait_for(lambda: told)
        assert told[0].startswith("topic_refused: trade.MANY")
        assert listens.refused == len(told)
    push = Pusher(feed.address)
    push.trade("MANYMORE", price=1)
    with pytest.raises(PushError, match=r"topic_refused: trade\.MANYMORE is one more than source\.push\.topics allows"):
        push.flush()
    push.trade("CALM", price=1, size=101)
    assert push.flush() == 2
    assert sizes(feed, "CALM")[-1] == 101
    push.close()
