"""A world for bots that share a stream: the feed is a list, control a call, time a number; the bots are real ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from bots import group as group_module
from bots import history
from bots.delivery import Delivery
from bots.group import Group
from bots.links.frames import Script
from bots.links.history import HistoryLink
from bots.mending import Mender
from feed.clock import monotonic_ns
from feed.control.groups import Groups, parse_group
from feed.errors import ControlError, TickcastError
from feed.wire import topics
from feed.wire.frames import FLAG_REPLAYED, LogFrame, encode, encode_firehose, heartbeat, log_frames
from feed.wire.topics import Pattern

if TYPE_CHECKING:
    import pytest

EPOCH = 1_700_000_000_000_000_000
LEASE_NS = 2_000_000_000
TICK_BYTES = 48
SYMBOLS = [f"S{i}" for i in range(7)]
AHEAD_NS = 10**15
"""The world's time is ahead of the machine's: a lease is over when the world says so."""


def announcement(topic_id: int) -> LogFrame:
    symbol = SYMBOLS[topic_id].encode()
    record = (1).to_bytes(2, "little") + len(symbol).to_bytes(2, "little") + topic_id.to_bytes(4, "little")
    return LogFrame(topic_id, 0, 0, 0, 0, 1, 0, record + symbol.ljust(72, b"\0"))


@dataclass
class Tick:
    seq: int
    topic_id: int
    topic_seq: int

    @property
    def frame(self) -> LogFrame:
        return LogFrame(self.topic_id, self.seq, self.topic_seq, self.seq, 0, 0, 0, bytes(TICK_BYTES))

    @property
    def wire(self) -> bytes:
        topic = topics.topic("trade", SYMBOLS[self.topic_id])
        return encode(topic, bytes(TICK_BYTES), epoch=EPOCH, seq=self.seq, topic_seq=self.topic_seq, ts_in=self.seq)


class World:
    """`trade` ticks of a few symbols; `control` is None while it is down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = monotonic_ns() + AHEAD_NS
        self.stream: list[Tick] = []
        self.counts = [0] * len(SYMBOLS)
        self.bots: list[World.Bot] = []
        self.made = 0
        self.control: Groups | None = None
        for module in (group_module, history):
            monkeypatch.setattr(module, "monotonic_ns", lambda: self.now_ns)
        monkeypatch.setattr(group_module, "LOOK_NS", 0)
        monkeypatch.setattr(group_module, "HURRY_LOOK_NS", 0)
        self.start_control()

    @property
    def next_seq(self) -> int:
        return len(self.stream) + 1

    def start_control(self) -> None:
        self.control = Groups(
            LEASE_NS, self.now_ns, lambda: (EPOCH, self.next_seq), self._count, lambda: self.now_ns // 1_000_000
        )

    def _count(self, _: object, epoch: int, first: int, behind: int) -> tuple[int, int] | None:
        behind = min(behind, first + 5, self.next_seq)
        return (behind, behind - first) if epoch == EPOCH else None

    def publish(self, topic_id: int) -> None:
        self.counts[topic_id] += 1
        tick = Tick(self.next_seq, topic_id, self.counts[topic_id])
        self.stream.append(tick)
        for bot in self.bots:
            bot.send(tick)

    def beat(self) -> None:
        """What publishers send while it is quiet."""
        for bot in self.bots:
            bot.beat()

    def ask(self, request: str, fields: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        asked = orjson.loads(orjson.dumps({"request": request, **fields}))
        if self.control is None:
            return {"error": "down"}, []
        try:
            if request == "group":
                return orjson.loads(orjson.dumps(self.control.hear(parse_group(asked), self.now_ns))), []
            return self._replay(asked)
        except TickcastError as error:
            return {"error": str(error)}, []

    def _replay(self, asked: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        first = max(1, asked["from"])
        last = min(asked.get("to", self.next_seq - 1), self.next_seq - 1)
        wanted = self.stream[first - 1 : last]
        behind = last + 1
        if "topics" in asked:
            ranges = {SYMBOLS.index(symbol): (low, high) for _, symbol, low, high in asked["topics"]}
            wanted = [
                tick
                for tick in wanted
                if tick.topic_id in ranges and ranges[tick.topic_id][0] <= tick.topic_seq <= ranges[tick.topic_id][1]
            ]
        elif len(wanted) > 4:
            wanted = wanted[:4]
            behind = wanted[-1].seq + 1
        frames = [announcement(i) for i in range(len(SYMBOLS))] + [tick.frame for tick in wanted]
        words = {
            "epoch": EPOCH,
            "from": first,
            "next": max(first, behind),
            "end": behind >= self.next_seq,
            "next_epoch": None,
            "missing": [],
        }
        return words, [encode_firehose(frames, epoch=EPOCH, seq=first, flags=FLAG_REPLAYED)]

    @dataclass(eq=False)
    class Client:
        """What a bot has of the control address; `lost` answers do not come."""

        world: World
        lost: int = 0
        numbers: int = 0
        answers: dict[int, Any] = field(default_factory=dict)

        def ask(self, request: str, _: float, **fields: Any) -> dict[str, Any]:
            words, _pieces = self.world.ask(request, fields)
            if words.get("error") == "down":
                raise ControlError("no feed answers")
            return words

        def request(self, request: str, **fields: Any) -> int | None:
            if self.world.control is None:
                return None
            self.numbers += 1
            answer = self.world.ask(request, fields)
            self.lost -= self.lost > 0
            self.answers[self.numbers] = None if self.lost else answer
            return self.numbers

        def answer(self, number: int) -> Any:
            answer = self.answers[number]
            if answer is not None:
                del self.answers[number]
            return answer

        def forget(self, number: int) -> None:
            self.answers.pop(number, None)

        def wait(self, _: float) -> bool:
            return True

    class Blocks:
        """The stream from a place on, as an exact link reads it."""

        ended = False

        def __init__(self, world: World, seq: int) -> None:
            self.world, self.seq = world, seq
            self.announced = False

        def next_block(self) -> Any:
            ticks = self.world.stream[self.seq - 1 : self.seq + 2]
            if not ticks:
                return None
            self.seq += len(ticks)
            frames = [announcement(i) for i in range(len(SYMBOLS))] + [tick.frame for tick in ticks]
            return EPOCH, bytes(log_frames(encode_firehose(frames, epoch=EPOCH, seq=1))), None

        def wait(self, _: float) -> bool:
            return True

        def topic(self, topic_id: int) -> Any:
            raise KeyError(topic_id)

        def close(self) -> None:
            pass

    class Bot:
        """A bot with the stack of a Subscriber; only what finds the feed is left out."""

        def __init__(self, world: World, share: str, lossy: bool, durable: bool, name: str = "") -> None:
            world.made += 1
            self.world = world
            self.lossy = lossy
            self.name = name or f"bot{world.made}"
            self.loses = 0
            self.lost = 0
            self.dealt: list[tuple[int, bool]] = []
            self.in_hand: tuple[int, bool] | None = None
            self.gaps: list[Any] = []
            self.group = Group("g", share, self.name, None)  # type: ignore[arg-type]
            self.group._durable = durable
            self.delivery = Delivery(self, True, share=self.group.share, patience_ns=10**18)
            self.client = World.Client(world)
            self.patterns = [Pattern("*")]
            self.schemas = ["trade"]
            self.left: tuple[int, int] | None = None
            self.group.bind(self.delivery, self.client, self)  # type: ignore[arg-type]
            self.mender = Mender(self.delivery.recovery, self.client, ["*"], self.schemas)  # type: ignore[arg-type]
            self.script = Script("tcp") if lossy else None

        def enter(self) -> None:
            """Raises ControlError while control is down."""
            self.group.enter()
            seq = self.world.next_seq if self.left is None else self.left[1]
            if self.script is not None:
                self.delivery.attach(self.script, EPOCH)
                self.beat()
            else:
                self.delivery.attach(HistoryLink(World.Blocks(self.world, seq), "history", seq, 0, EPOCH), EPOCH)
            self.world.bots.append(self)

        # --- what comes in ---

        def send(self, tick: Tick) -> None:
            if self.script is None:
                return
            if self.loses:
                self.loses -= 1
                self.lost += 1
            else:
                self.script.put(tick.wire)

        def beat(self) -> None:
            if self.script is None:
                return
            seq = self.world.next_seq
            for i, count in enumerate(self.world.counts):
                topic = topics.topic("trade", SYMBOLS[i])
                if count:
                    self.script.put(encode(topic, epoch=EPOCH, seq=seq, topic_seq=count + 1, record_bytes=TICK_BYTES))
            self.script.put(heartbeat(epoch=EPOCH, seq=seq))

        # --- what goes out ---

        def turn(self, ticks: int, looks: int = 3) -> None:
            """Take some ticks; the last one stays in hand."""
            for _ in range(ticks + looks):
                membership = self.group._membership
                assert membership is not None
                over = membership.deadline_ns <= self.world.now_ns
                self.group.share.lease(0 if over else membership.deadline_ns)
                tick = self.delivery.poll()
                if self.in_hand is not None:
                    self.dealt.append(self.in_hand)
                self.in_hand = None
                if tick is not None:
                    self.in_hand = (tick.seq, bool(tick.flags & FLAG_REPLAYED))
                    ticks -= 1
                    if not ticks:
                        return

        def stop(self, leaves: bool) -> None:
            self.world.bots.remove(self)
            if leaves:
                self.delivery.finish_off()
                self.dealt += [] if self.in_hand is None else [self.in_hand]
                self.in_hand = None
                self.group.leave()

        # --- hooks of the delivery ---

        def wanted(self, schema_id: int, symbol: str) -> bool:
            return True

        def newest(self, schema_id: int) -> bool:
            return False

        def fills(self, topic: Any, first: int, last: int, cause: str) -> bool:
            return True

        def gap(self, topic: Any, first: int, last: int, cause: str) -> None:
            self.gaps.append((topic, first, last, cause))

        def status(self, symbol: str, action: int, reason: int, is_trading: str, ts_event: int) -> None: ...

        def late(self, topic: str, age_ns: int) -> None: ...

        def epoch(self, old: int, new: int) -> None: ...

        def leaves(self) -> bool:
            return False

        def overrun(self, first: int, last: int) -> None:
            raise AssertionError

        def closed(self) -> None:
            raise AssertionError

        def taken(self) -> None:
            self.group.taken()

        def look(self, now_ns: int, idle: bool) -> None:
            self.group.look()
            assert self.world.control is None or self.world.control.poll() >= 0

        def mend(self) -> int:
            rest_ns = self.mender.look(self.world.now_ns)
            self.delivery.overdue(self.world.now_ns)
            assert self.world.control is None or self.world.control.poll() >= 0
            return rest_ns
