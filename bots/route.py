"""Which link takes a bot to its feed: shared memory on the feed's host, else multicast where it is offered and comes
through, else tcp; and history before any of them.

left = where the bot is to go on: None for live, or (epoch, seq), epoch 0 for the present one

the log still has it ─────────────────────────────▶ shm
it does not: archive's files, or control ──history──▶ shm
others: control ──history──▶ live; what lies between is a hole in each topic, and recovery fills it
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bots.history import ArchiveBlocks, ControlBlocks
from bots.links.frames import FrameLink
from bots.links.history import HistoryLink
from bots.links.mold import MoldLink
from bots.links.shm import ShmLink
from bots.links.zmq import ZmqLink
from feed.clock import boot_id, monotonic_ns
from feed.errors import ConfigError, ControlError, HostError, LogError, StoreError
from feed.log.place import directory as log_directory
from feed.wire import pgm
from feed.wire.frames import FLAG_REPLAYED
from feed.wire.groups import parse_mold
from feed.wire.interfaces import choose
from feed.wire.records import BY_WORD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bots.directory import ControlClient, Directory, Transport
    from bots.links.link import Link
    from feed.wire.topics import Pattern

__all__ = ["TRANSPORTS", "Route", "Start"]

MOLD = "mold"
MULTICAST = (MOLD, *pgm.PGM)
TRANSPORTS = ("auto", "shm", "ipc", "tcp", *MULTICAST)
RESTART_NS = 3_000_000_000
"""How long `auto` waits for a log that was there before, rather than take tcp."""

ASK_S = 2.0
NEAR = 0.75
"""Of the log: who is further behind than that reads on in the archive, for the log would overtake it at once."""

Start = str | int | datetime

log = logging.getLogger("bots")


class Route:
    """Opens links. `left` says where the next one is to begin; `durable` bots finish an old epoch first. `next_seq` is
    the feed's as of the directory followed last. `interface`: which one multicast comes in by, name or address, or two
    for two lines; "": the one that leads there. `spin` and `in_order` are how the bot takes its ticks.

    :raises ConfigError: `start` is none.
    :raises HostError: there is no such interface, or this Python does not have the transport.
    """

    def __init__(
        self,
        patterns: Sequence[Pattern],
        *,
        feed: str,
        transport: str,
        name: str,
        hwm: int,
        start: Start,
        durable: bool,
        interface: str = "",
    ) -> None:
        self.patterns = patterns
        self.schemas: Sequence[str] | None = None
        self.left: tuple[int, int] | None = None
        self.heartbeat_ns = 1_000_000_000
        self.next_seq = 0
        self.archive: Path | None = None
        self._at_ns = 0
        self._feed = feed
        self._transport = transport
        self._name = name
        self._hwm = hwm
        self._durable = durable
        self._ahead: ShmLink | None = None
        self._shm_failed_ns = 0
        self._interface = interface
        self._trying = ""  # multicast that `auto` has chosen
        self._untrusted: set[str] = set()
        self.spin = self.in_order = False
        self._begin_at(start)
        for each in filter(None, interface.split(",")):
            choose(each, "", where="interface", loopback=transport in ("auto", MOLD))
        if transport in pgm.PGM:
            pgm.require(pgm.Group(transport, "", "", 0), where="transport")

    def _begin_at(self, start: Start) -> None:
        if isinstance(start, int):
            self.left = (0, start)
        elif isinstance(start, datetime):
            self._at_ns = _ns(start)
        elif start == "begin":
            self.left = (0, 0)
        elif start not in ("live", "snapshot"):
            try:
                self._at_ns = _ns(datetime.fromisoformat(start))
            except ValueError:
                allowed = '"live", "snapshot", "begin", a time, or a sequence number'
                raise ConfigError(
                    "not a place to start at", expected=allowed, found=repr(start), where="start"
                ) from None

    # --- with a directory ---------------------------------------------------------------------------------------------

    def follow(self, directory: Directory, control: ControlClient, link: Link | None, epoch: int) -> Link | None:
        """The link to take now; None if `link`, of `epoch`, is right already.

        :raises LogError: the feed's log is on this host but can't be read.
        :raises ControlError: the feed does not offer the transport.
        """
        here = directory.boot_id == boot_id()
        same_epoch = directory.epoch == epoch
        self.next_seq = directory.next_seq
        self.archive = Path(directory.archive.path) if directory.archive is not None and here else None
        if self._at_ns:
            self.left = self._seq_at(control)
        if self._transport == "shm" or (self._transport == "auto" and here):
            if isinstance(link, ShmLink) and same_epoch:
                return None
            try:
                shm = self._open_log(log_directory(directory.feed), directory)
            except LogError as error:
                if self._transport == "shm" or self._between_logs():
                    raise
                log.info("no shared memory: %s", error)
            else:
                self._shm_failed_ns = 0
                return self.begin(shm, control)
        publisher, endpoint = self._choose(directory, control)
        self.heartbeat_ns = publisher.heartbeat_ns
        if isinstance(link, FrameLink) and link.endpoint == endpoint and same_epoch:
            return None
        if self.left is not None:
            return self._history(
                self._from_control(control, self.left[0] or directory.epoch), self.left[0] or directory.epoch
            )
        return self.open_endpoint(endpoint, publisher.window)

    def _choose(self, directory: Directory, control: ControlClient) -> tuple[Transport, str]:
        """The publisher to take ticks from, and its endpoint as this host has it.

        :raises ControlError: the feed has none that will do.
        :raises HostError: what was asked for can't be had on this host.
        """
        auto = self._transport == "auto"
        for transport in (*MULTICAST, "tcp") if auto else (self._transport,):
            publisher = directory.find(transport)
            if publisher is None or transport in self._untrusted:
                continue
            if transport not in MULTICAST:
                return publisher, control.reach(publisher.endpoint)
            self._trying = transport if auto else ""
            try:
                if publisher.window is None:
                    return publisher, self._groups(publisher.endpoint, control.host)
                return publisher, self._join(publisher.endpoint, publisher.window)
            except HostError as error:
                if not self.distrust(transport, str(error)):
                    raise
        wanted = "tcp" if auto else self._transport
        offered = ", ".join(sorted({each.transport for each in directory.transports})) or "none"
        raise ControlError(f"the feed does not publish over {wanted}", expected=offered, where=self._feed)

    def _join(self, endpoint: str, window: pgm.Window) -> str:
        """A group's endpoint over an interface of this host. Raises HostError."""
        group = pgm.parse_group(endpoint)
        pgm.require(group, where=self._feed)
        return str(pgm.here(group.over(self._interface or group.interface), window, where=self._feed))

    def _groups(self, endpoint: str, host: str) -> str:
        """An endpoint of mold over interfaces of this host; `host` is where what did not come is asked for if the feed
        does not say. Raises HostError.
        """
        address = parse_mold(endpoint, where=self._feed)
        if self._interface:
            address = address.over(self._interface.split(","))
        for line in address.lines:
            choose(line.interface, line.group, where=self._feed, loopback=True)
        if address.requests.startswith("*:"):
            address = replace(address, requests=host + address.requests[1:])
        if self.in_order and len(address.shards.of_patterns(each.text for each in self.patterns)) > 1:
            raise HostError(
                "several groups have no order between them",
                expected="one shard",
                found=endpoint,
                where=self._feed,
                remedy='Take order="topic", fewer symbols, or another transport',
            )
        return str(address)

    def distrust(self, transport: str, why: str) -> bool:
        """Multicast does not come through here. True: it was `auto` that chose it, and takes tcp from now on."""
        if transport != self._trying:
            return False
        self._trying = ""
        self._untrusted.add(transport)
        log.warning("no %s, so tcp: %s", transport, why)
        return True

    def begin(self, shm: ShmLink, control: ControlClient | None) -> Link:
        """`shm` at the place where the bot is to go on, or the history before it."""
        if self.left is None:
            return shm
        epoch, seq = self.left
        present = epoch in (0, shm.epoch)
        if present and shm.seek(max(1, seq)):
            self.left = None
            return shm
        blocks: ArchiveBlocks | ControlBlocks | None = None
        if present or self._durable:
            blocks = self._from_archive(shm, epoch or shm.epoch)
            if blocks is None and control is not None and self.archive is not None:
                blocks = self._from_control(control, epoch or shm.epoch)
        if blocks is None:
            shm.seek(1)
            self.left = None
            return shm
        self._ahead = shm
        return self._history(blocks, epoch or shm.epoch)

    def after(self, history: HistoryLink) -> ShmLink | None:
        """What follows this history: the log where it ends, or None, and the directory is to be asked anew."""
        shm, self._ahead = self._ahead, None
        self.left = None
        if shm is None:
            return None
        if not shm.seek(history.seq if shm.epoch == history.epoch else 1):
            log.warning("the archive ends before the log begins: what lies between is lost")
        return shm

    def close(self) -> None:
        """Let go of what waits behind a history."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    # --- links --------------------------------------------------------------------------------------------------------

    def open_log(self, at: Path) -> ShmLink:
        """A link on the log in `at`, without a control address."""
        if self._at_ns:
            raise ConfigError(
                "only the control address knows which tick was when", where="start", remedy="Leave out log="
            )
        return ShmLink(at, self._name)

    def open_endpoint(self, endpoint: str, window: pgm.Window | None = None) -> FrameLink:
        """A link on a publisher; PGM's has a `window`, the usual one where nobody says. Raises HostError."""
        if endpoint.startswith(f"{MOLD}://"):
            return MoldLink(self._groups(endpoint, ""), [each.text for each in self.patterns], self.spin)
        if window is None and endpoint.partition("://")[0] in pgm.PGM:
            window = pgm.Window()
            endpoint = self._join(endpoint, window)
        schemas = self.schemas if self.schemas is not None else list(BY_WORD)
        prefixes = {pattern.prefix(schema) for pattern in self.patterns for schema in schemas}
        return ZmqLink(endpoint, sorted(prefixes), self._hwm, window)

    def _open_log(self, at: Path, directory: Directory) -> ShmLink:
        if self._ahead is not None and self._ahead.epoch == directory.epoch:
            shm, self._ahead = self._ahead, None
            return shm
        shm = ShmLink(at, self._name)
        if shm.epoch == directory.epoch:
            return shm
        found = shm.epoch
        shm.close()
        raise LogError(
            "the log on this host is another feed's",
            expected=directory.epoch,
            found=found,
            where=directory.log_path,
            remedy="Is TICKCAST_LOG_ROOT the same for feed and bot?",
        )

    def _between_logs(self) -> bool:
        """Was the log readable here until just now? Then the feed is only starting again, and tcp would be hasty."""
        now = monotonic_ns()
        self._shm_failed_ns = self._shm_failed_ns or now
        return self.left is not None and now - self._shm_failed_ns < RESTART_NS

    # --- history ------------------------------------------------------------------------------------------------------

    def _history(self, blocks: ArchiveBlocks | ControlBlocks, epoch: int) -> HistoryLink:
        assert self.left is not None
        log.info("catching up from seq %d", self.left[1])
        return HistoryLink(blocks, "history", self.left[1], FLAG_REPLAYED, epoch)

    def _from_archive(self, shm: ShmLink, epoch: int) -> ArchiveBlocks | None:
        """The archive's files, if they can be read here, until the log has the rest well within its reach."""
        assert self.left is not None
        if self.archive is None or not self.archive.is_dir():
            return None

        def enough(epoch: int, seq: int) -> bool:
            return epoch == shm.epoch and shm.seek(seq) and shm.behind() < NEAR

        try:
            return ArchiveBlocks(self.archive, epoch, self.left[1], enough)
        except StoreError as error:
            log.info("the archive's files can't be read here, so control is asked: %s", error)
            return None

    def _from_control(self, control: ControlClient, epoch: int) -> ControlBlocks:
        assert self.left is not None
        texts = [pattern.text for pattern in self.patterns]
        return ControlBlocks(control, epoch, self.left[1], texts, self.schemas)

    def _seq_at(self, control: ControlClient) -> tuple[int, int]:
        """The first tick that the feed had at or after the time asked for."""
        answer = control.ask("replay", ASK_S, patterns=[], bytes=0, from_time=self._at_ns)
        self._at_ns = 0
        return answer["epoch"], answer["from"]


def _ns(moment: datetime) -> int:
    """A time without a zone is UTC."""
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
