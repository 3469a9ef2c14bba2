"""Is silence a dead feed, a cut network, a halted symbol or a quiet one? Facts in, a verdict and its reason out.

No input or output, no clock. What a bot hears: while the sequencer lives, its publisher gives a heartbeat at each
interval, and a log in shared memory has the sequencer's own signs. What it may ask: the control address, which knows
how old the sequencer's last sign of life is. A heartbeat that is overdue is a reason to ask:

    the feed ended, or (shared memory) its process did          feed dead
    control: no sign of life for longer than `patience`         feed dead
    the publisher speaks, but gives no heartbeat                feed dead
    control: the sequencer lived when the heartbeat was due     network cut
    silence for an interval and `patience`, nobody answers      network cut;  feed dead on the same host
    the publisher hung up, and for `patience` nobody answers    feed dead: whoever hangs up can still be heard

`patience` is half an interval, at least 0.3 s, as much as publishers have with a silent sequencer. So each is known
within two intervals, or one and 0.6 s where that is longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from bots.status import Trading

__all__ = ["FeedWatch", "Stale", "SymbolState", "Verdict", "symbol_state"]

PATIENCE_MIN_NS = 300_000_000

State = Literal["live", "feed dead", "network cut"]


@dataclass(frozen=True, slots=True)
class Stale:
    """What comes no longer says anything about now.

    `cause`: "feed" (its sequencer is dead, or stopped) or "network" (the feed lives, as far as can be known, but does
    not reach us). `since_ns`: the last sign of life, ns since 1970.
    """

    cause: Literal["feed", "network"]
    why: str
    since_ns: int


@dataclass(frozen=True, slots=True)
class SymbolState:
    """One symbol now.

    `state`: "live" (a tick within the last two heartbeats), "quiet" (none, though the feed lives), "halted" (its venue
    says so), "stale" (the feed does not reach us: nothing is known). `since_ns`: the last tick, the halt, or the feed's
    last sign of life, ns since 1970; 0: never.
    """

    state: Literal["live", "quiet", "halted", "stale"]
    why: str
    since_ns: int


class Verdict(NamedTuple):
    """What silence means. `ask`: what control says would decide or confirm it; ask, and again once it has answered."""

    state: State
    why: str
    silent_ns: int
    ask: bool

    def stale(self, wall_ns: int) -> Stale | None:
        """What a bot is told; None while the feed is live. `wall_ns`: now, ns since 1970."""
        if self.state == "live":
            return None
        return Stale("feed" if self.state == "feed dead" else "network", self.why, wall_ns - self.silent_ns)


class FeedWatch:
    """One feed over one link. All times are monotonic ns and never go back.

    :param heartbeat_ns: the publisher's interval.
    :param local: the link is the log itself, in shared memory: there is no network to be cut, and nobody to be asked.
    :param asks: there is a control address to be asked.
    """

    def __init__(self, heartbeat_ns: int, now_ns: int, *, local: bool = False, asks: bool = True) -> None:
        self.heartbeat_ns = heartbeat_ns
        self.patience_ns = max(heartbeat_ns // 2, PATIENCE_MIN_NS)
        self.local = local
        self.asks = asks and not local
        self._heard_ns = self._spoke_ns = now_ns
        self._hung_up_ns: int | None = None
        self._answer: tuple[int, int | None] | None = None
        self._ended = False

    def heard(self, at_ns: int) -> None:
        """A sign of life came: a heartbeat, a record, or (shared memory) the sequencer's own, at that time."""
        self._heard_ns = self._spoke_ns = max(at_ns, self._heard_ns)
        self._hung_up_ns = self._answer = None
        self._ended = False

    def spoke(self, at_ns: int) -> None:
        """A frame came that is no sign of life: an empty one of a topic, which a publisher sends by itself."""
        self._spoke_ns = at_ns

    def hung_up(self, at_ns: int) -> None:
        """The other side closed the connection, or (shared memory) the writer's process is gone."""
        if self._hung_up_ns is None:
            self._hung_up_ns = at_ns

    def ended(self) -> None:
        """The feed said that this was its end."""
        self._ended = True

    def answered(self, asked_ns: int, alive_age_ns: int | None) -> None:
        """Control answered what it was asked then: the age of the sequencer's last sign; None: there is none."""
        self._answer = asked_ns, alive_age_ns

    def judge(self, now_ns: int) -> Verdict:
        """What all that means. To be asked for while nothing is waiting: what was not read was not heard."""
        silent = now_ns - self._heard_ns
        if self._ended:
            return Verdict("feed dead", "the feed ended", silent, False)
        suspected = self._heard_ns + self.heartbeat_ns
        if self._hung_up_ns is not None:
            suspected = min(suspected, self._hung_up_ns)
        if now_ns <= suspected:
            return Verdict("live", "", silent, False)
        state, why = self._of_this_host(silent) if self.local else self._of_afar(now_ns, silent, suspected)
        return Verdict(state, why, silent, self.asks)

    def _of_this_host(self, silent: int) -> tuple[State, str]:
        if self._hung_up_ns is not None:
            return "feed dead", "the feed's process is gone"
        if silent > self.heartbeat_ns + self.patience_ns:
            return "feed dead", f"its sequencer gave no sign of life for {_seconds(silent)}"
        return "live", ""

    def _of_afar(self, now_ns: int, silent: int, suspected: int) -> tuple[State, str]:
        overdue = silent > self.heartbeat_ns + self.patience_ns
        if self._answer is not None and self._answer[0] >= suspected:
            found = self._by_control(*self._answer, overdue)
            if found is not None:
                return found
            if now_ns - self._answer[0] <= self.patience_ns:
                return "live", ""  # the next answer tells
        if self._spoke_ns > self._heard_ns + self.heartbeat_ns + self.patience_ns:
            return "feed dead", "its publisher speaks, but gives no heartbeat"
        nobody = ", and control does not answer" if self.asks else ""
        if self._hung_up_ns is not None:
            if not self.asks or now_ns > self._hung_up_ns + self.patience_ns:
                return "feed dead", f"the publisher hung up{nobody}"
        elif overdue:
            return "network cut", f"nothing heard for {_seconds(silent)}{nobody}"
        return "live", ""

    def _by_control(self, asked_ns: int, age_ns: int | None, overdue: bool) -> tuple[State, str] | None:
        """What its answer proves; None: nothing yet."""
        if age_ns is None:
            return "feed dead", "control says that no sequencer runs"
        if age_ns > self.patience_ns:
            return "feed dead", f"control says that its sequencer gave no sign of life for {_seconds(age_ns)}"
        lived_ns = asked_ns - age_ns  # at least: the answer may have been under way for long
        if self._hung_up_ns is not None:
            if lived_ns > self._hung_up_ns:
                return "network cut", "the publisher hung up, but control says that the feed lives"
        elif overdue and lived_ns > self._heard_ns + self.heartbeat_ns:
            return "network cut", "no heartbeat comes, but control says that the feed lives"
        return None


def symbol_state(
    stale: Stale | None, trading: Trading | None, last_tick_ns: int, now_ns: int, heartbeat_ns: int
) -> SymbolState:
    """A symbol, from what is known of its feed and of itself; times in ns since 1970, `last_tick_ns` 0: none yet.

    `trading`: None where no status is subscribed to, so that a halt can't be told from quiet.
    """
    if stale is not None:
        return SymbolState("stale", stale.why, stale.since_ns)
    if trading is not None and trading.halted:
        return SymbolState("halted", trading.why, trading.since_ns)
    if not last_tick_ns:
        return SymbolState("quiet", "no tick yet", 0)
    age = max(0, now_ns - last_tick_ns)
    if age <= 2 * heartbeat_ns:
        return SymbolState("live", "", last_tick_ns)
    closed = f" ({trading.why})" if trading is not None and trading.closed else ""
    return SymbolState("quiet", f"no tick for {_seconds(age)}{closed}", last_tick_ns)


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.1f} s"
