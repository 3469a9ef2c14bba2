"""Keeps a delivery attached to its feed: finds the feed, notices when it goes and comes back, asks for what is missing.

    nothing ──attach──▶ history ──caught up──▶ live ◀──heard again── stale (log's writer died, publisher hung up,
       ▲                   ▲                    │ │                          heartbeats missing)
       │                   └────overtaken───────┘ │ log closed, or the directory names another place
       └────detach────────────────────────────────┘

A feed that is not there is waited for with growing pauses and said once in the log. The numbering outlives every change
of link, so what was missed meanwhile is fetched, or told as gaps. Which link it is to be, bots/route.py says.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import zmq

from bots.delivery import Delivery
from bots.directory import ControlClient, Directory
from bots.exporter import Exporter
from bots.gap import EVERYTHING, Gap, Losses
from bots.links.frames import FrameLink
from bots.links.history import HistoryLink
from bots.links.shm import ShmLink
from bots.mending import Mender
from bots.offset import Offset
from bots.report import Reporter
from bots.route import MULTICAST
from bots.staleness import FeedWatch, Stale, SymbolState, symbol_state
from bots.status import Trading
from feed.clock import boot_id, monotonic_ns, now_ns
from feed.errors import ControlError, StaleData, TickcastError
from feed.wire.records import BY_ID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bots.group import Group
    from bots.links.link import Link
    from bots.position import Position
    from bots.route import Route
    from bots.slow import Policies

__all__ = ["Connection"]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
ASK_S = 0.25
PROVE_SLICE_NS = 100_000_000
LATE_NS = 200_000_000
"""How late the heartbeat that proves a subscription may be beyond an interval."""

NOTHING_TO_MEND_NS = 100_000_000

TRIPS, TRIP_S = 8, 0.1
"""Comparing the clocks, before the first tick: how often, and how long each may take, s."""

TRIP_EVERY_NS, TRIP_PATIENCE_S = 10_000_000_000, 0.002
"""And later, while nothing is waiting: longer than this it must not keep the bot from its ticks, s."""

CAUGHT_UP_TICKS, CAUGHT_UP_NS = 1000, 100_000_000
"""Who is no further behind than that is live: a moving feed always has some ticks under way."""

LOG_EVERY_NS = 1_000_000_000
"""What goes on is said so often at most, ns."""

log = logging.getLogger("bots")


class Connection:
    """Where a subscriber's ticks come from. `log_at` or `endpoint` names the place, without a control address; `group`
    divides them with other bots.
    """

    def __init__(
        self,
        route: Route,
        policies: Policies,
        *,
        feed: str,
        log_at: Path | None,
        endpoint: str | None,
        name: str,
        state: bool,
        stream: bool,
        spin: bool,
        behind_ns: int,
        patience_ns: int,
        group: Group | None = None,
        metrics_port: int | str | None = None,
    ) -> None:
        self.route = route
        route.spin, route.in_order = spin, stream
        self.policies = policies
        self.delivery = Delivery(
            self,
            stream,
            spin,
            patience_ns=patience_ns,
            latest=frozenset() if stream else policies.having("latest"),
            behind_ns=behind_ns,
            stop=policies.having("stop"),
            share=None if group is None else group.share,
        )
        self.losses = Losses()
        self.on_gap: Callable[[Gap], object] | None = None
        self.on_stale: Callable[[Stale], object] | None = None
        self.on_live: Callable[[], object] | None = None
        self.link: Link | None = None
        self.live = False
        self.overruns = 0
        self.overrun_records = 0
        self._feed = feed
        self._log_at = log_at
        self._endpoint = endpoint
        self._name = name
        self._metrics_port = metrics_port
        self._state = state
        self._stream = stream
        self._every_symbol = any(pattern.text == "*" for pattern in route.patterns)
        self._position: Position | None = None
        self._group = group
        self._complete = 0  # an epoch of which history had everything
        self._control: ControlClient | None = None
        self._reporter: Reporter | None = None
        self._mender: Mender | None = None
        self._exporter: Exporter | None = None
        self._watch = FeedWatch(route.heartbeat_ns, monotonic_ns())
        self._stale: Stale | None = Stale("feed", "not found yet", 0)
        self._trading: dict[str, Trading] = {}
        self._frames = self._signs = 0
        self._joined = False
        self._same_host = True
        self._trip_at_ns = 0
        self._outdated = 0
        self._told_why = ""
        self._pause_s = FIRST_PAUSE_S
        self._try_at_ns = 0
        self._logged_gaps = 0
        self._log_gaps_at_ns = 0
        self._log_overrun_at_ns = 0

    # --- opening and closing --------------------------------------------------------------------------------------

    def open(self, timeout: float | None) -> None:
        """Attach, waiting for the feed if need be, and see the subscription proved.

        :raises ControlError: `timeout` seconds went by (None: wait for ever).
        """
        if self._metrics_port is not None and self._exporter is None:
            self._exporter = Exporter(self._metrics_port, self._name, self.delivery, self.losses)
        if self._log_at is None and self._endpoint is None and self._control is None:
            self._control = ControlClient(self._feed)
            self._reporter = Reporter(self._control, self._name, self._exporter.address if self._exporter else "")
            texts = [pattern.text for pattern in self.route.patterns]
            self._mender = Mender(self.delivery.recovery, self._control, texts, self.route.schemas)
            if self._group is not None:
                self._group.bind(self.delivery, self._control, self.route)
        deadline_ns = monotonic_ns() + int(timeout * 1e9) if timeout is not None else None
        while not self.delivery.stopped:
            why = "" if self.link is not None else self._try(wait=True)
            if self.link is not None:
                why = self._prove(deadline_ns) or self._number()
                if not why:
                    break
                if self.route.distrust(self.link.transport, why):
                    self._drop()
                    continue
            assert why is not None
            self._say_waiting(why)
            if deadline_ns is not None and monotonic_ns() >= deadline_ns:
                raise ControlError(why, remedy=f"Gave up after {timeout} s")
            if self.link is None:
                self._pause(deadline_ns)
        self._check_life(idle=False)

    def close(self, done: bool = True) -> None:
        """Let go of feed and control address. The delivery ends, also one in another thread.

        :param done: the bot has dealt with what it was given last.
        """
        self.delivery.stop()
        while self.delivery.busy:
            time.sleep(0.001)
        if self._group is not None and self._control is not None:
            if done:
                self.delivery.finish_off()
            self._group.leave()
        if self._reporter is not None and self.link is not None:
            self._report(now_ns())  # the last second's figures
        self._drop()
        self.route.close()
        if self._reporter is not None:
            self._reporter.close()
        if self._exporter is not None:
            self._exporter.close()
            self._exporter = None
        if self._control is not None:
            self._control.close()
            self._control = self._reporter = self._mender = None
            self._group = None
        if self._position is not None:
            self.delivery.forget()
            self._position.close()

    def remember(self, position: Position, path: Path) -> None:
        """Be a durable bot: go on where `position` stands, and keep it; `path` is where it is kept."""
        self._position = position
        if self._group is not None:
            self._group.remember(position, path)
            return
        self.delivery.remember(position)
        if position.epoch:
            self.route.left = (position.epoch, position.seq)

    def lag(self) -> tuple[int, int | None]:
        """How far behind: ns, and ticks of all topics where the transport can tell."""
        ticks = self.link.lag() if self.link is not None else None
        caught_up = self.delivery.dry if ticks is None else ticks == 0
        if ticks is None and self._control is not None and self.link is not None:
            behind = self._control.next_seq - max(self.delivery.seq, self.link.passed())
            ticks = 0 if self.delivery.dry and self.live else max(0, behind)
        return (0 if caught_up else self.delivery.last_lag_ns), ticks

    def clock(self) -> Offset | None:
        """This host's clock against the feed's; None where that is not known."""
        if self._control is None:
            return None
        return Offset(0, 0) if self._same_host else self._control.trips.best(monotonic_ns())

    def state(self, symbol: str) -> SymbolState:
        """What is known of a symbol now."""
        trading = self._trading.get(symbol)
        last_ns = self.delivery.last_sent(symbol)
        return symbol_state(self._stale, trading, last_ns, now_ns(), self.route.heartbeat_ns)

    # --- what the delivery tells (bots.delivery.Hooks) --------------------------------------------------------------

    def wanted(self, schema_id: int, symbol: str) -> bool:
        schema = BY_ID.get(schema_id)
        if schema is None or (self.route.schemas is not None and schema.word not in self.route.schemas):
            return False
        return self._every_symbol or any(pattern.matches(symbol) for pattern in self.route.patterns)

    def newest(self, schema_id: int) -> bool:
        return not self._stream and self.policies.of(schema_id) == "latest"

    def fills(self, topic: tuple[int, str], first: int, last: int, cause: str) -> bool:
        """Ask for a hole? What the log has lost only an archive can still have."""
        if self._mender is None or self.policies.of(topic[0]) == "stop":
            return False
        return not isinstance(self.link, ShmLink) or self.route.archive is not None

    def gap(self, topic: tuple[int, str], first: int, last: int, cause: str) -> None:
        schema_id, symbol = topic
        if self._group is not None and not self._group.share.owns(symbol):
            return
        gap = Gap(f"{BY_ID[schema_id].word}.{symbol}", first, last, cause, self.delivery.epoch)
        self._tell_gap(gap)
        if self.policies.of(schema_id) == "stop":
            found = f"{first} to {last} of {gap.topic} did not come: {cause}"
            raise StaleData("ticks are missing", found=found, remedy="slow=fill goes on without them")

    def status(self, symbol: str, action: int, reason: int, is_trading: str, ts_event: int) -> None:
        self._trading.setdefault(symbol, Trading()).take(action, reason, is_trading, ts_event)

    def late(self, topic: str, age_ns: int) -> None:
        raise StaleData("the bot is behind", found=f"{topic} is {age_ns / 1e6:.1f} ms old")

    def epoch(self, old: int, new: int) -> None:
        if isinstance(self.link, HistoryLink):
            log.info("the old epoch is complete; a new one begins")
        else:
            log.warning("the feed began a new epoch: its log was lost, so what the old one still had is not known")
        self._tell_gap(Gap(EVERYTHING, 0, 0, "epoch", new))

    def leaves(self) -> bool:
        """A new epoch shows: a durable bot finishes the old one from history first."""
        if not self._finishes or isinstance(self.link, HistoryLink) or self._control is None:
            return False
        left = self._place()
        self._drop()
        self.route.left = left
        self._try_at_ns = 0
        return True

    def overrun(self, first: int, last: int) -> None:
        self.overruns += 1
        self.overrun_records += last - first + 1
        if self._group is not None and self._group.share.aside:
            self._tell_gap(Gap(EVERYTHING, first, last, "expired", self._group.share.epoch))
            return
        if isinstance(self.link, HistoryLink):
            log.warning("history lacks %d records of all topics", last - first + 1)
            return
        if monotonic_ns() >= self._log_overrun_at_ns:
            self._log_overrun_at_ns = monotonic_ns() + LOG_EVERY_NS
            log.warning("too slow: overtaken by the feed, %d records of all topics unread so far", self.overrun_records)
        if isinstance(self.link, ShmLink) and self._needs_all() and self.route.archive is not None:
            shm = self.link
            self.route.left = (shm.epoch, first)
            link = self.route.begin(shm, self._control)
            if link is not shm:
                self.delivery.detach()
                self._attach(link, shm.epoch)

    def closed(self) -> None:
        """History has ended, and the log follows; or the log ended: leave it, and look for the feed again."""
        if isinstance(self.link, HistoryLink):
            history = self.link
            self._complete = self.delivery.epoch if history.reached != self.delivery.epoch else 0
            link = self.route.after(history)
            self.link = None
            self.delivery.detach()
            history.close()
            if link is not None:
                self._attach(link)
        else:
            self._drop()
            self._watch.ended()
            self._lose(self._watch.judge(monotonic_ns()).stale(now_ns()))
        self._try_at_ns = 0

    def taken(self) -> None:
        if self._group is not None:
            self._group.taken()

    def look(self, now_ns: int, idle: bool) -> None:
        if self.link is None:
            if monotonic_ns() >= self._try_at_ns:
                self._look_for_feed()
        elif not isinstance(self.link, HistoryLink) and not (self._group is not None and self._group.waits):
            self._check_life(idle)
        if self._group is not None and self._control is not None:
            self._group.look()
            self._look_at_share(now_ns)
        if idle and not self._same_host:
            self._compare_clocks()
        if self._reporter is not None and self.link is not None and self._reporter.due(now_ns, idle):
            self._report(now_ns)
        if self._logged_gaps != sum(self.losses.gaps.values()) and monotonic_ns() >= self._log_gaps_at_ns:
            self._log_gaps()

    def mend(self) -> int:
        """Ask for what is missing; gives in how many ns to do so again."""
        if self._mender is None or self.link is None:
            return NOTHING_TO_MEND_NS
        now = monotonic_ns()
        rest_ns = self._mender.look(now)
        self.delivery.overdue(now)
        return rest_ns

    def _report(self, wall_ns: int) -> None:
        assert self._reporter is not None
        assert self.link is not None
        lines = self.link.line_ticks()
        self._reporter.report(
            wall_ns, self.delivery, self.losses, self.link.transport, *self.lag(), self.clock(), lines
        )

    def _meet_clock(self, same_host: bool) -> None:
        """A feed was found, on this host or on one whose clock is another."""
        assert self._control is not None
        self._same_host = same_host
        self._trip_at_ns = 0
        for _ in range(0 if same_host else TRIPS):
            if not self._control.compare_clocks(TRIP_S):
                break
        self._set_offset()

    def _compare_clocks(self) -> None:
        """Once in a while, and only for a moment."""
        assert self._control is not None
        now = monotonic_ns()
        if now >= self._trip_at_ns:
            self._trip_at_ns = now + TRIP_EVERY_NS
            self._control.compare_clocks(TRIP_PATIENCE_S)
            self._set_offset()

    def _set_offset(self) -> None:
        offset = self.clock()
        self.delivery.offset_ns = 0 if offset is None else offset.ns

    def _look_at_share(self, wall_ns: int) -> None:
        """Nobody may deal with this bot's share while others may have it."""
        assert self._group is not None
        why = self._group.lapsed()
        if why:
            self._lose(Stale("network", why, wall_ns))

    # --- live and stale ---------------------------------------------------------------------------------------------

    def _check_life(self, idle: bool) -> None:
        """Is the feed there? What was not read yet was not heard, so silence counts only while nothing is waiting."""
        now = monotonic_ns()
        if self._sign_of_life(now):
            self._go_live()
        ask = not self.live
        if idle:
            verdict = self._watch.judge(now)
            ask = ask or verdict.ask
            self._lose(verdict.stale(now_ns()))
            if verdict.state == "network cut" and self.link is not None:
                ask = self.route.distrust(self.link.transport, verdict.why) or ask
        # Only the directory tells a clock that was set back (a new epoch that looks older) from stragglers.
        ask = ask or self.delivery.outdated != self._outdated
        if ask and self._control is not None and now >= self._try_at_ns:
            self._look_for_feed()

    def _sign_of_life(self, now: int) -> bool:
        assert self.link is not None
        if self.link.gone():
            self._watch.hung_up(now)
        elif isinstance(self.link, ShmLink):
            silent = self.link.silent_ns()
            self._watch.heard(now - silent)
            return silent < self.route.heartbeat_ns
        frames, self._frames = self._frames, self.delivery.frames
        if isinstance(self.link, FrameLink) and self.link.signs != self._signs:
            self._signs = self.link.signs
            self._watch.heard(now)
            return True
        if self._frames != frames:
            self._watch.spoke(now)
        return False

    def _go_live(self) -> None:
        if self.link is None or self.live or not self._settled():
            return
        self.live = True
        self._stale = None
        if self._told_why:
            log.warning("the feed is there, over %s", self.link.transport)
            self._told_why = ""
        if self.on_live is not None:
            self.on_live()

    def _settled(self) -> bool:
        """Is what the bot began with over: states asked for, history, its last holes?"""
        if isinstance(self.link, HistoryLink) or self.delivery.recovery.joining:
            return False
        if self._group is not None and not self._group.settled:
            return False
        if self._joined:
            return True
        lag = self.link.lag() if self.link is not None else None
        if lag is None:
            caught_up = self.delivery.dry or self.delivery.last_lag_ns < CAUGHT_UP_NS
        else:
            caught_up = lag < CAUGHT_UP_TICKS
        self._joined = caught_up and self.delivery.recovery.holes == 0
        return self._joined

    def _lose(self, stale: Stale | None) -> None:
        """The feed is not heard of any more, if `stale` says so."""
        if stale is None or not self.live:
            return
        self.live = False
        self._stale = stale
        self._pause_s = FIRST_PAUSE_S
        self._try_at_ns = monotonic_ns()
        self._say_waiting(stale.why)
        if self.on_stale is not None:
            self.on_stale(stale)

    # --- finding the feed -------------------------------------------------------------------------------------------

    def _look_for_feed(self) -> None:
        """One attempt, without waiting for anybody, and a longer pause before the next if it fails."""
        before = self.link
        why = self._try(wait=False)
        if why is None:
            return
        self._outdated = self.delivery.outdated
        if self.link is not None and self.link is not before:
            if isinstance(self.link, ShmLink) and self._sign_of_life(monotonic_ns()):
                self._go_live()
            return
        self._say_waiting(why)
        self._pause_s = FIRST_PAUSE_S if self.live else min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._try_at_ns = monotonic_ns() + int(self._pause_s * 1e9)

    def _try(self, wait: bool) -> str | None:
        """Attach to where the feed is now; a link that is right already is kept.

        Gives why it could not, "" where it could, None while the control address has not answered (never with `wait`).
        """
        try:
            if self._log_at is not None:
                self._take(self.route.begin(self.route.open_log(self._log_at), None))
            elif self._endpoint is not None:
                self._take(self.route.open_endpoint(self._endpoint))
            else:
                assert self._control is not None
                if self._group is not None and not self._group.entered:
                    self._group.enter()
                directory = self._control.directory(ASK_S) if wait else self._control.directory_soon(ASK_S)
                if directory is None:
                    return None
                self._follow(directory)
        except TickcastError as error:
            return str(error)
        except zmq.ZMQError as error:
            raise ControlError("not an endpoint", found=self._endpoint, where=str(error)) from error
        return ""

    @property
    def _finishes(self) -> bool:
        """Is an old epoch to be read to its end, after a new one has begun?"""
        return self._position is not None or self._group is not None

    def _place(self) -> tuple[int, int]:
        """Where to go on in the stream."""
        return (self.delivery.epoch, self.delivery.proved) if self._group is None else self._group.place

    def _follow(self, directory: Directory) -> None:
        """Attach where the directory says."""
        assert self._control is not None
        if self.link is None:
            self._meet_clock(directory.boot_id == boot_id())
        self._watch.answered(self._control.asked_ns, directory.alive_age_ns)
        epoch = self.delivery.epoch
        finishes = self._finishes and not isinstance(self.link, ShmLink)
        if finishes and epoch not in (0, directory.epoch, self._complete):
            self.route.left = self._place()
        link = self.route.follow(directory, self._control, self.link, epoch)
        if link is not None:
            self._take(link, directory.epoch)

    def _take(self, link: Link, epoch: int = 0) -> None:
        left = self.route.left
        self._drop()
        self.route.left = left
        self._attach(link, epoch)

    def _attach(self, link: Link, epoch: int = 0) -> None:
        self.link = link
        self._frames = self._signs = 0
        self._joined = False
        self._watch = FeedWatch(
            self.route.heartbeat_ns,
            monotonic_ns(),
            local=isinstance(link, ShmLink),
            asks=self._control is not None,
        )
        first = self.delivery.epoch == 0
        if isinstance(link, ShmLink):
            epoch = link.epoch
            self.delivery.attach(link, epoch, "overrun")
        elif isinstance(link, HistoryLink):
            epoch = link.first_epoch
            self.live = False
            self.delivery.attach(link, epoch, "expired")
        else:
            self.delivery.attach(link, epoch, "slow")
        if first and self._state and self._mender is not None and not isinstance(link, HistoryLink):
            self.delivery.recovery.join()
        if self._position is not None and not self._position.epoch and epoch and self._group is None:
            self._position.begin(epoch, max(1, link.passed() or self.route.next_seq))

    def _drop(self) -> None:
        if self._group is not None and self._group.share.ready:
            self.route.left = None if isinstance(self.link, FrameLink) else self._group.place
        elif isinstance(self.link, ShmLink):
            self.route.left = self.link.epoch, self.link.passed()
        elif isinstance(self.link, HistoryLink):
            self.route.left = self.link.epoch or self.link.first_epoch, self.link.passed()
        elif self._position is not None and self.delivery.epoch:
            self.route.left = self.delivery.epoch, self.delivery.seq
        if self.link is not None:
            left, self.link = self.link, None
            self.delivery.detach()
            left.close()

    def _needs_all(self) -> bool:
        """Is there a schema of which every tick counts?"""
        words = self.route.schemas
        return any(words is None or BY_ID[each].word in words for each in self.policies.having("fill"))

    def _prove(self, deadline_ns: int | None) -> str:
        """Wait until the subscription is in force; gives why it is not, after a heartbeat's time at most."""
        if not isinstance(self.link, FrameLink):
            return ""
        until_ns = monotonic_ns() + self.route.heartbeat_ns + LATE_NS
        if deadline_ns is not None:
            until_ns = min(until_ns, deadline_ns)
        while not self.delivery.stopped:
            if self.link.prove(PROVE_SLICE_NS):
                return ""
            if monotonic_ns() >= until_ns:
                return f"{self.link.endpoint}: no publisher proves the subscription"
        return ""

    def _number(self) -> str:
        """Nobody tells a bot that has joined a group where the numbering of each topic stands: ask. Gives why not."""
        if self._control is None or not isinstance(self.link, FrameLink) or self.link.transport not in MULTICAST:
            return ""
        try:
            self.link.expect(*self._control.due([pattern.text for pattern in self.route.patterns], ASK_S))
        except ControlError as error:
            return str(error)
        return ""

    # --- saying so --------------------------------------------------------------------------------------------------

    def _pause(self, deadline_ns: int | None) -> None:
        until_ns = monotonic_ns() + int(self._pause_s * 1e9)
        if deadline_ns is not None:
            until_ns = min(until_ns, deadline_ns)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        while not self.delivery.stopped and (rest_ns := until_ns - monotonic_ns()) > 0:
            time.sleep(min(rest_ns / 1e9, 0.1))

    def _say_waiting(self, why: str) -> None:
        if why and not self._told_why:
            log.warning("waiting for the feed: %s", why)
            self._told_why = why

    def _tell_gap(self, gap: Gap) -> None:
        self.losses.add(gap)
        if self.on_gap is not None:
            self._logged_gaps += 1
            self.on_gap(gap)

    def _log_gaps(self) -> None:
        """Gaps that nobody handles: said at most once a second."""
        self._logged_gaps = sum(self.losses.gaps.values())
        self._log_gaps_at_ns = monotonic_ns() + LOG_EVERY_NS
        causes = ", ".join(f"{n} ({cause})" for cause, n in sorted(self.losses.ticks.items()))
        log.warning("%d gaps so far; ticks lost: %s", self._logged_gaps, causes)
