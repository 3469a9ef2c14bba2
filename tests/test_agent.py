"""The duty loop: turning, waiting, draining, closing, pinning."""

from __future__ import annotations

import gc
import os
import threading
from typing import TYPE_CHECKING

import pytest

from feed import agent
from feed.errors import ConfigError
from feed.metrics.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def _thaw() -> Iterator[None]:
    yield
    gc.unfreeze()


class Scripted:
    """An agent whose polls return the given numbers, then 0; it writes down what is done with it."""

    def __init__(self, name: str, works: list[int], waiting: int = 0) -> None:
        self.name = name
        self.works = works
        self.waiting = waiting
        self.calls: list[str] = []
        self.closed = 0

    def poll(self) -> int:
        self.calls.append("poll")
        if self.waiting and not self.works:
            self.waiting -= 1
            return 1
        return self.works.pop(0) if self.works else 0

    def park(self, timeout_ns: int) -> None:
        self.calls.append("park")
        assert 0 < timeout_ns <= agent.PARK_NS

    def drain(self) -> bool:
        self.calls.append("drain")
        return self.waiting == 0

    def close(self) -> None:
        self.closed += 1


def after(turns: int) -> Callable[[], bool]:
    left = iter(range(turns))
    return lambda: next(left, None) is None


def test_an_agent_is_an_agent() -> None:
    assert isinstance(Scripted("a", []), agent.Agent)
    assert not isinstance(object(), agent.Agent)


def test_parks_only_when_idle() -> None:
    one = Scripted("a", [3, 1, 0, 2])
    agent.run([one], idle="park", stop=after(5))
    assert one.calls == ["poll", "poll", "poll", "park", "poll", "poll", "park", "drain"]
    assert one.closed == 1


@pytest.mark.parametrize("idle", ["spin", "yield"])
def test_never_parks_otherwise(idle: str) -> None:
    one = Scripted("a", [])
    agent.run([one], idle=idle, stop=after(3))
    assert one.calls == ["poll", "poll", "poll", "drain"]


def test_agents_of_a_thread_take_turns_and_none_waits_while_another_works() -> None:
    one, other = Scripted("a", []), Scripted("b", [1, 1])
    agent.run([one, other], idle="park", stop=after(3))
    assert one.calls == ["poll", "poll", "poll", "park", "drain"]
    assert other.calls == one.calls


def test_drains_what_is_left() -> None:
    one = Scripted("a", [], waiting=3)
    agent.run([one], idle="spin", stop=lambda: True)
    assert one.waiting == 0
    assert one.calls[-1] == "drain"


def test_draining_has_an_end() -> None:
    one = Scripted("a", [], waiting=1 << 60)
    agent.run([one], idle="spin", stop=lambda: True, drain_ns=1_000_000)
    assert one.closed == 1


def test_an_error_names_the_agent_and_closes_all() -> None:
    class Broken(Scripted):
        def poll(self) -> int:
            raise ValueError("no")

    one, broken = Scripted("a", []), Broken("b", [])
    with pytest.raises(ValueError, match="no") as raised:
        agent.run([one, broken], idle="park", stop=lambda: False)
    assert raised.value.__notes__ == ["in agent b"]
    assert (one.closed, broken.closed) == (1, 1)


def test_beats_while_it_turns() -> None:
    beats: list[int] = []
    agent.run([Scripted("a", [])], idle="spin", stop=after(3), beat=beats.append)
    assert len(beats) == 1
    assert beats[0] > 1_600_000_000 * 10**9


def test_objects_from_before_are_frozen() -> None:
    agent.run([Scripted("a", [])], idle="spin", stop=lambda: True)
    assert gc.get_freeze_count() > 0


def test_stop_is_noticed_by_a_parked_agent() -> None:
    stop = threading.Event()

    class Sleeper(Scripted):
        def park(self, timeout_ns: int) -> None:
            stop.wait(timeout_ns / 1e9)

    one = Sleeper("a", [])
    thread = threading.Thread(target=agent.run, args=([one],), kwargs={"idle": "park", "stop": stop.is_set})
    thread.start()
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert one.closed == 1


def test_pins_the_thread() -> None:
    allowed = os.sched_getaffinity(0)
    seen: list[set[int]] = []

    class Where(Scripted):
        def poll(self) -> int:
            seen.append(os.sched_getaffinity(0))
            return 0

    cpu = max(allowed)
    thread = threading.Thread(
        target=agent.run, args=([Where("a", [])],), kwargs={"idle": "spin", "stop": after(1), "cpu": cpu}
    )
    thread.start()
    thread.join(20)
    assert seen[0] == {cpu}
    assert os.sched_getaffinity(0) == allowed


def test_a_processor_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"expected one of .*, found 4095"):
        agent.pin(4095)


def test_an_idle_strategy_that_is_none() -> None:
    with pytest.raises(ConfigError, match='expected "park", "spin" or "yield"'):
        agent.run([], idle="sleep", stop=lambda: True)


def test_a_long_turn_is_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0, 10_000, 10_000 + agent.STALL_NS, 11_000 + agent.STALL_NS, *(3 * agent.STALL_NS,) * 9])
    monkeypatch.setattr(agent, "monotonic_ns", lambda: next(clock))
    stalls = Histogram()
    turns = iter([False] * 4 + [True])
    agent.run([Scripted("one", [1, 1, 1])], idle="park", stop=lambda: next(turns), stalls=stalls, drain_ns=0)
    assert (stalls.count, stalls.max_ns) == (1, agent.STALL_NS)


def test_collections_are_timed() -> None:
    collections = Histogram()

    def stop() -> bool:
        gc.collect()
        return True

    agent.run([Scripted("one", [])], idle="park", stop=stop, collections=collections)
    assert collections.count == 1
    gc.collect()
    assert collections.count == 1
