"""Keeps a delivery attached to its feed: finds the feed, chooses the way, notices when it goes and comes back.

    nothing ──attach──▶ live ◀──heard again── stale (log's writer died, publisher hung up, heartbeats missing)
       ▲                 │ log closed, or the directory names another place
       └────detach───────┘

A feed that is not there is waited for with growing pauses and said once in the log. The numbering outlives every change
of link, so what was missed meanwhile is told as gaps.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import zmq

from bots.delivery import Delivery
from bots.directory import ControlClient, Directory
from bots.gap import EVERYTHING, Gap, Losses
from bots.links.shm import ShmLink
from bots.links.zmq import ZmqLink
from bots.report import Reporter
from feed.clock import boot_id, monotonic_ns, now_ns
from feed.errors import ControlError, LogError, TickcastError
from feed.log.place import directory as log_directory
from feed.wire.records import BY_ID, BY_WORD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bots.links.link import Link
    from feed.wire.topics import Pattern

__all__ = ["TRANSPORTS", "Connection"]

TRANSPORTS = ("auto", "shm", "ipc", "tcp")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
ASK_S = 0.25
PROVE_SLICE_NS = 100_000_000
RESTART_NS = 3_000_000_000
"""How long `auto` waits for a log that was there before, rather than take tcp."""
LATE_NS = 200_000_000
"""How late a heartbeat may be beyond two intervals."""

log = logging.getLogger("bots")


class Connection:
    """Where a subscriber's ticks come from. `log_at` or `endpoint` names the place, without a control address."""

    def __init__(
        self,
        patterns: Sequence[Pattern],
        schemas: Sequence[str] | None,
        *,
        feed: str,
        transport: str,
        log_at: Path | None,
        endpoint: str | None,
        hwm: int,
        start: str | int,
        name: str,
        stream: bool,
        spin: bool,
    ) -> None:
        self.patterns = patterns
        self.schemas = schemas
        self.delivery = Delivery(self, stream, spin)
        self.losses = Losses()
        self.on_gap: Callable[[Gap], object] | None = None
        self.on_stale: Callable[[], object] | None = None
        self.on_live: Callable[[], object] | None = None
        self.link: Link | None = None
        self.live = False
        self.overruns = 0
        self.overrun_records = 0
        self._feed = feed
        self._transport = transport
        self._log_at = log_at
        self._endpoint = endpoint
        self._hwm = hwm
        self._start = start
        self._name = name
        self._control: ControlClient | None = None
        self._reporter: Reporter | None = None
        self._heartbeat_ns = 1_000_000_000
        self._frames = 0
        self._heard_ns = 0
        self._caught_up = True
        self._shm_failed_ns = 0
        self._outdated = 0
        self._told_why = ""
        self._pause_s = FIRST_PAUSE_S
        self._try_at_ns = 0
        self._left: tuple[int, int] | None = None
        self._logged_gaps = 0
        self._log_gaps_at_ns = 0

    # --- opening and closing --------------------------------------------------------------------------------------

    def open(self, timeout: float | None) -> None:
        """Attach, waiting for the feed if need be, and see the subscription proved.

        :raises ControlError: `timeout` seconds went by (None: wait for ever).
        """
        if self._log_at is None and self._endpoint is None and self._control is None:
            self._control = ControlClient(self._feed)
            self._reporter = Reporter(self._control, self._name)
        deadline_ns = monotonic_ns() + int(timeout * 1e9) if timeout is not None else None
        while not self.delivery.stopped:
            why = "" if self.link is not None else self._try(wait=True)
            if self.link is not None:
                why = self._prove(deadline_ns)
                if not why:
                    break
            assert why is not None
            self._say_waiting(why)
            if deadline_ns is not None and monotonic_ns() >= deadline_ns:
                raise ControlError(why, remedy=f"Gave up after {timeout} s")
            if self.link is None:
                self._pause(deadline_ns)
        self._heard()

    def close(self) -> None:
        """Let go of feed and control address. The delivery ends, also one in another thread."""
        self.delivery.stop()
        while self.link is not None and self.link.busy:
            time.sleep(0.001)
        if self._reporter is not None and self.link is not None:
            self._report(now_ns())  # the last second's figures
        self._drop()
        if self._control is not None:
            self._control.close()
            self._control = None
            self._reporter = None

    def lag(self) -> tuple[int, int | None]:
        """How far behind: ns, and ticks of all topics where the transport can tell."""
        ticks = self.link.lag() if self.link is not None else None
        caught_up = self._caught_up if ticks is None else ticks == 0
        return (0 if caught_up else self.delivery.last_lag_ns), ticks

    # --- what the delivery tells (bots.delivery.Hooks) --------------------------------------------------------------

    def wanted(self, schema_id: int, symbol: str) -> bool:
        schema = BY_ID.get(schema_id)
        if schema is None or (self.schemas is not None and schema.word not in self.schemas):
            return False
        return any(pattern.matches(symbol) for pattern in self.patterns)

    def hole(self, topic: tuple[int, str], first: int, last: int, cause: str) -> None:
        schema_id, symbol = topic
        self._tell_gap(Gap(f"{BY_ID[schema_id].word}.{symbol}", first, last, cause, self.delivery.epoch))

    def epoch(self, old: int, new: int) -> None:
        log.warning("the feed began a new epoch: its log was lost, so what the old one still had is not known")
        self._tell_gap(Gap(EVERYTHING, 0, 0, "epoch", new))

    def overrun(self, first: int, last: int) -> None:
        self.overruns += 1
        self.overrun_records += last - first + 1
        log.warning("too slow: overtaken by the feed, %d records of all topics went by unread", last - first + 1)

    def closed(self) -> None:
        """The log ended: leave it, and look for the feed again."""
        self._drop()
        self._lose("the feed ended")
        self._try_at_ns = 0

    def look(self, now_ns: int, idle: bool) -> None:
        self._caught_up = idle
        if self.link is None:
            if monotonic_ns() >= self._try_at_ns:
                self._look_for_feed()
        else:
            self._check_life()
        if self._reporter is not None and self.link is not None and self._reporter.due(now_ns, idle):
            self._report(now_ns)
        if self._logged_gaps != sum(self.losses.gaps.values()) and monotonic_ns() >= self._log_gaps_at_ns:
            self._log_gaps()

    def _report(self, wall_ns: int) -> None:
        assert self._reporter is not None
        assert self.link is not None
        self._reporter.report(wall_ns, self.delivery, self.losses, self.link.transport, *self.lag())

    # --- live and stale ---------------------------------------------------------------------------------------------

    def _check_life(self) -> None:
        assert self.link is not None
        now = monotonic_ns()
        if self.delivery.frames != self._frames:
            self._heard()
        elif self.link.gone():
            self._lose("the feed hung up")
        elif self.link.transport == "shm":
            if not self.live:
                self._heard()
        elif now - self._heard_ns > 2 * self._heartbeat_ns + LATE_NS:
            self._lose(f"nothing heard of the feed for {(now - self._heard_ns) / 1e9:.1f} s")
        # Only the directory tells a clock that was set back (a new epoch that looks older) from stragglers.
        lost = not self.live or self.delivery.outdated != self._outdated
        if lost and self._control is not None and now >= self._try_at_ns:
            self._look_for_feed()

    def _heard(self) -> None:
        self._frames = self.delivery.frames
        self._heard_ns = monotonic_ns()
        if self.link is not None and not self.live:
            self.live = True
            if self._told_why:
                log.warning("the feed is there, over %s", self.link.transport)
                self._told_why = ""
            if self.on_live is not None:
                self.on_live()

    def _lose(self, why: str) -> None:
        if not self.live:
            return
        self.live = False
        self._pause_s = FIRST_PAUSE_S
        self._try_at_ns = monotonic_ns() + int(FIRST_PAUSE_S * 1e9)
        self._say_waiting(why)
        if self.on_stale is not None:
            self.on_stale()

    # --- finding the feed -------------------------------------------------------------------------------------------

    def _look_for_feed(self) -> None:
        """One attempt, without waiting for anybody, and a longer pause before the next if it fails."""
        before = self.link
        why = self._try(wait=False)
        if why is None:
            return
        self._outdated = self.delivery.outdated
        if self.link is not None and self.link is not before:
            if isinstance(self.link, ShmLink):  # of the others, only what comes tells that somebody is there
                self._heard()
            return
        self._say_waiting(why)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._try_at_ns = monotonic_ns() + int(self._pause_s * 1e9)

    def _try(self, wait: bool) -> str | None:
        """Attach to where the feed is now; a link that is right already is kept.

        Gives why it could not, "" where it could, None while the control address has not answered (never with `wait`).
        """
        try:
            if self._log_at is not None:
                self._take(self._open_log(self._log_at))
            elif self._endpoint is not None:
                self._take(self._open_endpoint(self._endpoint))
            else:
                assert self._control is not None
                directory = self._control.directory(ASK_S) if wait else self._control.directory_soon(ASK_S)
                if directory is None:
                    return None
                self._follow(directory)
        except TickcastError as error:
            return str(error)
        except zmq.ZMQError as error:
            raise ControlError("not an endpoint", found=self._endpoint, where=str(error)) from error
        return ""

    def _follow(self, directory: Directory) -> None:
        """Attach where the directory says."""
        here = directory.boot_id == boot_id()
        same_epoch = directory.epoch == self.delivery.epoch
        if self._transport == "shm" or (self._transport == "auto" and here):
            if isinstance(self.link, ShmLink) and same_epoch:
                return
            try:
                link = self._open_log(log_directory(directory.feed))
                if link.epoch != directory.epoch:
                    found = link.epoch
                    link.close()
                    raise LogError(
                        "the log on this host is another feed's",
                        expected=directory.epoch,
                        found=found,
                        where=directory.log_path,
                        remedy="Is TICKCAST_LOG_ROOT the same for feed and bot?",
                    )
            except LogError as error:
                if self._transport == "shm" or self._between_logs():
                    raise
                log.info("no shared memory, so tcp: %s", error)
            else:
                self._take(link)
                return
        wanted = "tcp" if self._transport == "auto" else self._transport
        publisher = directory.find(wanted)
        if publisher is None:
            offered = ", ".join(sorted({each.transport for each in directory.transports})) or "none"
            raise ControlError(f"the feed does not publish over {wanted}", expected=offered, where=self._feed)
        assert self._control is not None
        endpoint = self._control.reach(publisher.endpoint)
        self._heartbeat_ns = publisher.heartbeat_ns
        if isinstance(self.link, ZmqLink) and self.link.endpoint == endpoint and same_epoch:
            return
        self._take(self._open_endpoint(endpoint), directory.epoch)

    def _between_logs(self) -> bool:
        """Was the log readable here until just now? Then the feed is only starting again, and tcp would be hasty."""
        now = monotonic_ns()
        self._shm_failed_ns = self._shm_failed_ns or now
        return self._left is not None and now - self._shm_failed_ns < RESTART_NS

    def _open_log(self, at: Path) -> ShmLink:
        """A link on a log: where the last one left it, from its first record if it is a new one, else as was asked."""
        self._remember()
        if self._left is None:
            return ShmLink(at, self._name, self._start)
        epoch, position = self._left
        link = ShmLink(at, self._name)
        same = link.epoch == epoch
        link.close()
        return ShmLink(at, self._name, position if same else "begin")

    def _open_endpoint(self, endpoint: str) -> ZmqLink:
        schemas = self.schemas if self.schemas is not None else list(BY_WORD)
        prefixes = {pattern.prefix(schema) for pattern in self.patterns for schema in schemas}
        return ZmqLink(endpoint, sorted(prefixes), self._hwm)

    def _take(self, link: ShmLink | ZmqLink, epoch: int = 0) -> None:
        self._drop()
        self._shm_failed_ns = 0
        self.link = link
        self._frames = -1
        if isinstance(link, ShmLink):
            self.delivery.attach(link, link.epoch, "overrun")
        else:
            self.delivery.attach(link, epoch, "slow")

    def _drop(self) -> None:
        self._remember()
        if self.link is not None:
            left, self.link = self.link, None
            self.delivery.detach()
            left.close()

    def _remember(self) -> None:
        if isinstance(self.link, ShmLink):
            self._left = self.link.epoch, self.link.position

    def _prove(self, deadline_ns: int | None) -> str:
        """Wait until the subscription is in force; gives why it is not, after a heartbeat's time at most."""
        if not isinstance(self.link, ZmqLink):
            return ""
        until_ns = monotonic_ns() + self._heartbeat_ns + LATE_NS
        if deadline_ns is not None:
            until_ns = min(until_ns, deadline_ns)
        while not self.delivery.stopped:
            if self.link.prove(PROVE_SLICE_NS):
                return ""
            if monotonic_ns() >= until_ns:
                return f"{self.link.endpoint}: no publisher proves the subscription"
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
        self._log_gaps_at_ns = monotonic_ns() + 1_000_000_000
        causes = ", ".join(f"{n} ({cause})" for cause, n in sorted(self.losses.ticks.items()))
        log.warning("%d gaps so far; ticks lost: %s", self._logged_gaps, causes)
