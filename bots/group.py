"""Keeps a bot's share of a stream: asks control who else is there, and reads what is taken over from others.

What is decided, and why, stands in bots/membership.py; which record is whose, in bots/share.pyx.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
from typing import TYPE_CHECKING, Any

import msgspec

from bots.history import ControlBlocks
from bots.links.history import HistoryLink
from bots.membership import Generation, Membership
from bots.share import Share
from feed.clock import monotonic_ns
from feed.errors import ConfigError, ControlError
from feed.wire.frames import FLAG_REPLAYED

if TYPE_CHECKING:
    from pathlib import Path

    from bots.delivery import Delivery
    from bots.directory import ControlClient
    from bots.membership import Kind, Place
    from bots.position import Position
    from bots.route import Route

__all__ = ["Group"]

ASK_S = 0.25
LOOK_NS = 100_000_000
HURRY_LOOK_NS = 5_000_000
"""How often it is looked whether an answer has come, while something is about to change."""

NAME = re.compile(r"[A-Za-z0-9_.:@-]{1,64}")

log = logging.getLogger("bots")


class Group:
    """This bot in the group `name`; `kind` is how the group shares.

    :param bot: this bot's name, for people; a durable one's is its own for ever.
    :raises ConfigError: a name that is none.
    """

    def __init__(self, name: str, kind: Kind, bot: str, durable: str | None) -> None:
        if not NAME.fullmatch(name):
            raise ConfigError("not a group's name", expected="1 to 64 letters, digits or _.:@-", found=repr(name))
        own = f"{durable}@{socket.gethostname()}" if durable else f"{bot[:31]}-{os.getpid()}-{secrets.token_hex(3)}"
        self.name = name
        self.share = Share(re.sub(r"[^A-Za-z0-9_.:@-]", "_", own)[:64], kind == "turn")
        self._kind = kind
        self._durable = durable is not None
        self._known: Generation | None = None
        self._kept_at: Path | None = None
        self._position: Position | None = None
        self._membership: Membership | None = None
        self._number: int | None = None
        self._asked_ns = 0
        self._expired = False
        self.entered = False

    # --- beginning and end --------------------------------------------------------------------------------------------

    def remember(self, position: Position, path: Path) -> None:
        """Be a durable bot, whose place is kept in `position`; what belongs to it is kept beside it."""
        self._position = position
        self._kept_at = path.with_suffix(".group")
        self.share.remember(position)
        if position.epoch and self._kept_at.exists():
            try:
                self._known = msgspec.json.decode(self._kept_at.read_bytes(), type=Generation)
            except msgspec.DecodeError:
                log.warning("%s is damaged: the group decides anew what this bot has dealt with", self._kept_at)

    def bind(self, delivery: Delivery, control: ControlClient, route: Route) -> None:
        """What it works with, once there is a control address."""
        self._delivery, self._control, self._route = delivery, control, route
        self._patterns = [pattern.text for pattern in route.patterns]
        self._membership = Membership(
            self.name,
            self._kind,
            self.share,
            self._patterns,
            route.schemas,
            durable=self._durable,
            known=self._known,
        )

    def enter(self) -> None:
        """Before there is a link: what does control know? The route learns where to begin.

        :raises ControlError: it does not answer, or refuses.
        """
        membership = self._membership
        assert membership is not None
        for _ in range(2):  # asked to tell what this bot knows, it tells
            now = monotonic_ns()
            membership.heard(self._control.ask("group", ASK_S, **membership.request(now, held=True)), now, now)
            if not membership.telling:
                break
        if membership.refused:
            raise ControlError(membership.refused, where=f"group {self.name}")
        self.entered = True
        if membership.generation is not None and self._position is not None:
            self._route.left = (self._position.epoch, self._position.proved)
            membership.resume()
        elif membership.coming is not None or membership.exists:
            self._route.left = None  # the group is somewhere already; this bot begins where the others stop
        elif self._position is not None and self._position.epoch:
            self._route.left = (self._position.epoch, self._position.proved)

    def leave(self) -> None:
        """Tell the others where this bot stopped, without waiting for anybody."""
        membership = self._membership
        if membership is None or (membership.generation is None and not self.share.ready):
            return
        self._control.request("group", **membership.request(monotonic_ns(), self._holds, leave=True))

    # --- while it runs ------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Take an answer that has come, act on it, ask. Never waits."""
        membership = self._membership
        assert membership is not None
        now = monotonic_ns()
        self._hear(membership, now)
        membership.steer(now)
        if self.share.still and not self._holds and membership.acts:
            if self.share.aside:
                self._delivery.take_up().close()
            if membership.act(now):
                self._keep(membership)
        self.share.prune()
        if self.share.taking and not self.share.aside and self._delivery.attached:
            self._take_over()
        if membership.due(now, self._number is not None):
            if self._number is not None:
                self._control.forget(self._number)
            self._number = self._control.request("group", **membership.request(now, self._holds))
            self._asked_ns = now
        self._delivery.pause_ns = HURRY_LOOK_NS if membership.hurry else LOOK_NS

    def taken(self) -> None:
        """All that was to be taken over has come: the stream goes on."""
        self._delivery.take_up().close()
        self.share.stand_at()

    @property
    def place(self) -> Place:
        """Where the stream stands: what comes next over a new link."""
        return self.share.main

    @property
    def settled(self) -> bool:
        """Does it deal with its share, and with nothing else?"""
        return self.share.me >= 0 and not self.share.taking and not self._lapsed(monotonic_ns())

    @property
    def waits(self) -> bool:
        """Does the stream wait, so that what it carries is not heard?"""
        return self.share.stood or self.share.aside

    def lapsed(self) -> str:
        """Why nothing is dealt with any more, told once; "" while there is no reason."""
        before, self._expired = self._expired, self._lapsed(monotonic_ns())
        if before or not self._expired:
            return ""
        return "control does not answer, so that others may have this bot's share by now"

    def figures(self) -> dict[str, Any]:
        """For Subscriber.stats()."""
        membership = self._membership
        generation = None if membership is None else membership.generation
        return {
            "name": self.name,
            "member": self.share.member,
            "generation": 0 if generation is None else generation.number,
            "members": [] if generation is None else list(generation.members),
            "taking_over": self.share.taking,
        }

    # --- inside -------------------------------------------------------------------------------------------------------

    @property
    def _holds(self) -> bool:
        return self._delivery.recovery.holes != 0

    def _lapsed(self, now_ns: int) -> bool:
        return self._membership is not None and self.share.me >= 0 and now_ns >= self._membership.deadline_ns

    def _hear(self, membership: Membership, now_ns: int) -> None:
        answer = None if self._number is None else self._control.answer(self._number)
        if answer is None:
            return
        self._number = None
        before = membership.refused
        membership.heard(answer[0], self._asked_ns, now_ns)
        if membership.refused and not before:
            log.warning("group %s: %s", self.name, membership.refused)

    def _take_over(self) -> None:
        epoch, seq = self.share.place
        log.info("group %s: reading from seq %d what others have left", self.name, seq)
        blocks = ControlBlocks(self._control, epoch, seq, self._patterns, self._route.schemas, until=self.share.main)
        self._delivery.lay_aside(HistoryLink(blocks, "history", seq, FLAG_REPLAYED, epoch))

    def _keep(self, membership: Membership) -> None:
        """Keep what a durable bot acts on; where it stands is kept already, and must be first."""
        if self._kept_at is None:
            return
        fresh = self._kept_at.with_suffix(".group.tmp")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(membership.kept()))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._kept_at)
