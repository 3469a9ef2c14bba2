"""Restarts: agents of a feed are killed with -9, and how long it takes until a bot hears of them again."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from bots.directory import ControlClient
from feed.bench.children import Children
from feed.bench.recovery.daemon import Daemon
from feed.bench.recovery.recorder import Recorder, sdk_lost
from feed.bench.recovery.result import Row
from feed.clock import now_ns
from feed.errors import ControlError, HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.bench.recovery.plan import Options, Restart
    from feed.bench.recovery.ticks import Taken

__all__ = ["measure"]

_OTHER_BYTES = 64 << 20
_WARM_S = 1.5
_AGENTS = ("ingest", "publish.tcp", "control")
_ASK_S = 0.1
"""How long one request waits for its answer: those that were under way when control died have none."""

_ANSWER_S = 30.0


class _Outage(NamedTuple):
    """When an agent was killed, control answered next, and all bots had everything again; ns since 1970."""

    killed_ns: int
    answered_ns: int
    over_ns: int


def measure(options: Options, progress: Callable[[str], None]) -> list[Row]:
    """From kill -9 to the first tick behind the pause at a bot on shm and one on tcp; of control to its first answer.

    The kills take turns, so that each agent has run long enough to be started again at once.
    """
    size, rounds = options.restart, options.few
    settings = {"source.sim.kind": "sim", "source.sim.symbols": size.symbols, "source.sim.rate": size.rate}
    outages: dict[str, list[_Outage]] = {agent: [] for agent in _AGENTS}
    with Children(options.log_bytes + _OTHER_BYTES) as children, Daemon(children, options.log_bytes, settings) as feed:
        bots = {transport: Recorder(children, feed, transport, transport) for transport in ("shm", "tcp")}
        for bot in bots.values():
            bot.opened()
        client = ControlClient(feed.address)
        try:
            client.directory(_ANSWER_S)
            time.sleep(_WARM_S)
            for i in range(rounds):
                for agent in _AGENTS:
                    progress(f"restart, {i + 1} of {rounds}: kill -9 of {agent}")
                    killed_ns = feed.kill(agent)
                    answered_ns = _first_answer(client)
                    feed.until_again(agent, killed_ns)
                    time.sleep(size.steady_s / len(_AGENTS))
                    for bot in bots.values():
                        bot.until_well()
                    outages[agent].append(_Outage(killed_ns, answered_ns, now_ns()))
        finally:
            client.close()
        heard = {transport: bot.end() for transport, bot in bots.items()}
    rows = [
        _row(size, agent, transport, _pauses(heard[transport][0], outages[agent]), [heard[transport]])
        for agent, transport in (("ingest", "shm"), ("ingest", "tcp"), ("publish.tcp", "tcp"))
    ]
    waits = [(each.answered_ns - each.killed_ns) / 1e6 for each in outages["control"]]
    return [*rows, _row(size, "control", "tcp", waits, list(heard.values()))]


def _first_answer(client: ControlClient) -> int:
    """When control first answers, asked as bots ask."""
    deadline = time.monotonic() + _ANSWER_S
    while time.monotonic() < deadline:
        try:
            client.directory(_ASK_S)
        except ControlError:
            continue
        return now_ns()
    raise HostError("control does not answer again", expected=f"within {_ANSWER_S:.0f} s")


def _pauses(taken: Taken, outages: list[_Outage]) -> list[float]:
    """ms from each kill to the first tick behind the pause that it made."""
    return [(taken.resumed_ns(each.killed_ns, each.over_ns) - each.killed_ns) / 1e6 for each in outages]


def _row(size: Restart, agent: str, transport: str, ms: list[float], heard: list[tuple[Taken, dict[str, Any]]]) -> Row:
    what = "answer" if agent == "control" else "tick"
    return Row(
        measure="restart",
        what=f"kill -9 of {agent}, until the next {what}",
        transport=transport,
        engine={"shm": "log", "tcp": "libzmq"}[transport],
        bots=len(heard),
        rate_hz=size.rate,
        rounds=len(ms),
        ticks=sum(len(taken) for taken, _ in heard),
        lost=sum(max(taken.lost(), sdk_lost(figures)) for taken, figures in heard),
        ms=round(median(ms), 2),
        detail={"ms": [round(each, 3) for each in ms]},
    )
