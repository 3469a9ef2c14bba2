"""Whose turn it is: requests whose answers are work wait here, so that no bot has to wait for another's greed.

Bots take turns, one answer each. A bot has one request of a kind waiting; the next one of that kind takes its place,
because whoever asks again no longer waits for the answer to the first. What a bot is given is taken from its allowance,
which grows with time up to a quarter of a second's worth; while it is used up the bot is passed over. Pure: time comes
in by argument.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from feed.errors import ControlRefused

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ALLOWANCE_BYTES_MIN", "BOTS_MAX", "Turns"]

ALLOWANCE_BYTES_MIN = 1 << 20
"""A bot that was quiet may be given this much at once, whatever the rate: one answer."""

BOTS_MAX = 4096
"""Bots whose allowance is remembered; beyond that the one that asked longest ago begins anew."""

Job = TypeVar("Job")


@dataclass(slots=True)
class _Bot(Generic[Job]):
    waiting: dict[str, Job] = field(default_factory=dict)
    allowance: float = 0.0  # bytes; below 0: what was given in advance
    counted_ns: int = 0  # when it was last brought up to date, monotonic


class Turns(Generic[Job]):
    """`bytes_per_s` for each bot, `waiting_max` jobs of all together."""

    def __init__(self, bytes_per_s: int, waiting_max: int) -> None:
        self._rate = bytes_per_s / 1e9
        self._allowance_max = float(max(bytes_per_s // 4, ALLOWANCE_BYTES_MIN))
        self._waiting_max = waiting_max
        self._bots: OrderedDict[bytes, _Bot[Job]] = OrderedDict()
        self._order: OrderedDict[bytes, None] = OrderedDict()  # bots that have something waiting
        self._waiting = 0

    def __len__(self) -> int:
        """Jobs that wait."""
        return self._waiting

    def put(self, bot: bytes, kind: str, job: Job, now_ns: int) -> Job | None:
        """Let a job wait; gives the one whose place it takes, if any. Raises ControlRefused when there is no room."""
        known = self._bots.get(bot)
        before = None if known is None else known.waiting.pop(kind, None)
        if before is None and self._waiting >= self._waiting_max:
            raise ControlRefused("waiting", "too many bots wait for answers", expected=f"at most {self._waiting_max}")
        if known is None:
            known = self._bots[bot] = _Bot(allowance=self._allowance_max, counted_ns=now_ns)
            self._forget_oldest()
        self._bots.move_to_end(bot)
        known.waiting[kind] = job
        self._order.setdefault(bot)
        self._waiting += before is None
        return before

    def take(self, now_ns: int, ready: Callable[[Job], bool]) -> tuple[bytes, Job] | None:
        """The next job that is ready, of the bot whose turn it is; None: nobody's now."""
        for bot in list(self._order):
            known = self._bots[bot]
            if self._allowance(known, now_ns) <= 0:
                continue
            for kind, job in known.waiting.items():
                if ready(job):
                    del known.waiting[kind]
                    self._waiting -= 1
                    self._order.move_to_end(bot)
                    if not known.waiting:
                        del self._order[bot]
                    return bot, job
        return None

    def charge(self, bot: bytes, nbytes: int) -> None:
        """The bot was given so much."""
        if bot in self._bots:
            self._bots[bot].allowance -= nbytes

    def wait_ns(self, now_ns: int) -> int | None:
        """How long until a bot that waits has an allowance again; 0: one has; None: nobody waits."""
        if not self._order:
            return None
        most = max(self._allowance(self._bots[bot], now_ns) for bot in self._order)
        return 0 if most > 0 else int(-most / self._rate) + 1

    def drop(self, bot: bytes) -> None:
        """The bot has gone."""
        known = self._bots.pop(bot, None)
        if known is not None:
            self._waiting -= len(known.waiting)
            self._order.pop(bot, None)

    def _allowance(self, known: _Bot[Job], now_ns: int) -> float:
        grown = known.allowance + (now_ns - known.counted_ns) * self._rate
        known.allowance, known.counted_ns = min(grown, self._allowance_max), now_ns
        return known.allowance

    def _forget_oldest(self) -> None:
        if len(self._bots) > BOTS_MAX:
            for bot, known in self._bots.items():
                if not known.waiting:
                    del self._bots[bot]
                    return
