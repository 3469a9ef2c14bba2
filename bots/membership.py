"""A bot's part in a group that shares a stream: what it asks control, and what follows from the answers.

    alone ──asks, stands still──▶ told a generation with it ──adopts──▶ deals with its share ◀── it was called off
      ▲                                      ▲                           │          │                       │
      │  told one without it                 │                           │          ▼                       │
      └──────────────────────────────────────┼───────────────────────────┘   told to stop: stands still, says where
                                             └─────────────────────────────────────┘

No input or output, no clock. Where a generation begins for this bot, follows from where those before it stopped
(feed/control/groups.py): from the lowest place at which somebody stopped whose ticks may be this bot's now. What lies
between there and where its own stream stands is read elsewhere first.

A share is held for one lease from the moment at which the last request was sent that was answered. Then nothing more is
dealt with until control says that nobody else has it: a control that was just started can't say that for one lease.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import orjson

from feed.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bots.share import Share

__all__ = ["Generation", "Kind", "Membership", "Past", "Place"]

HURRY_NS = 20_000_000
"""Between two requests while something is about to change, ns."""

ANSWER_NS = 150_000_000
"""How long an answer is awaited then before the request is sent again, ns."""

ASKED_PER_LEASE = 4
MARGIN = 8
"""The part of a lease that is left unused: a tick that was found to be ours may take a moment to reach the bot."""

Kind = Literal["symbol", "turn"]
Place = tuple[int, int]


class Past(msgspec.Struct, frozen=True):
    """A generation that is over: its members in order, where each stopped, a place above all that they handed out, and
    the one from which on the stream was theirs.
    """

    members: list[str]
    stops: list[Place]
    fence: Place
    begin: Place


class Generation(msgspec.Struct, frozen=True):
    """Who shares the stream, and what those before them have dealt with. Nothing below `begin` is the group's.

    `born`: the first in this line of generations. `again`: from there all look for what another line has left.
    """

    number: int
    born: int
    members: list[str]
    past: list[Past]
    begin: Place
    at: dict[str, Place]
    again: Place | None = None


class _Answer(msgspec.Struct, frozen=True):
    generation: int
    members: list[str]
    lease_ns: int
    at: dict[str, Place]
    pending: bool
    stop: bool
    gathers: bool
    revives: bool
    over: bool
    tell: bool
    doubt: bool
    proved: Place | None = None
    past: list[Past] | None = None
    begin: Place | None = None
    born: int = 0
    again: Place | None = None


class Membership:
    """This bot in `group`. `share` is told what is its own, and says where it stands.

    :param known: the generation that a durable bot acted on before it was started again.

    :ivar generation: what it acts on; None: nothing is its own.
    :ivar coming: the next one, to be adopted once the bot stands still.
    """

    def __init__(
        self,
        group: str,
        kind: Kind,
        share: Share,
        patterns: Sequence[str],
        schemas: Sequence[str] | None,
        *,
        durable: bool = False,
        known: Generation | None = None,
    ) -> None:
        self.share = share
        self.generation = known
        self.coming: Generation | None = None
        self.lease_ns = 0
        self.deadline_ns = 0
        self.refused = ""
        self._what: dict[str, Any] = {
            "patterns": list(patterns),
            "schemas": schemas if schemas is None else list(schemas),
        }
        subscription = [sorted(set(patterns)), schemas if schemas is None else sorted(set(schemas))]
        self._who: dict[str, Any] = {
            "group": group,
            "member": share.member,
            "share": kind,
            "durable": durable,
            "subscription": hashlib.blake2b(orjson.dumps(subscription), digest_size=16).hexdigest(),
        }
        self._last = known  # what it acts on, or acted on last
        self._at: dict[str, Place] = known.at if known is not None else {}
        self._tell = known is not None
        self._pending = False
        self._stop = False
        self._said_stopped = False
        self._adopted = False
        self._exists = False
        self._coming_until_ns = 0
        self._asked_ns = 0
        self._answered_ns = 0
        self._doubt_since_ns = 0
        self._healing = False

    # --- asking -------------------------------------------------------------------------------------------------------

    @property
    def hurry(self) -> bool:
        """Is something about to change?"""
        return self._pending or self._tell or self.generation is None or self.coming is not None or self._healing

    @property
    def telling(self) -> bool:
        """Has control asked for what this bot knows?"""
        return self._tell

    @property
    def exists(self) -> bool:
        """Has the group begun, with others?"""
        return self._exists

    @property
    def acts(self) -> bool:
        """Is there something to be done as soon as the bot stands still?"""
        return self.coming is not None or (self._healing and not self.share.taking)

    def due(self, now_ns: int, awaited: bool) -> bool:
        """Is it time for a request? `awaited`: the last one has not been answered."""
        pause = HURRY_NS if self.hurry else self.lease_ns // ASKED_PER_LEASE
        if awaited:
            pause = max(pause, ANSWER_NS)
        return now_ns - self._asked_ns >= pause

    def request(self, now_ns: int, held: bool, leave: bool = False) -> dict[str, Any]:
        """The request to be sent now. `held`: ticks are missing, so it is not known what has come."""
        share = self.share
        self._asked_ns = now_ns
        fields: dict[str, Any] = {**self._who, "generation": self.generation.number if self.generation else 0}
        if self._last is not None:
            fields["born"] = self._last.born
        if share.ready:
            fields["epoch"], fields["seq"] = share.place
            if share.proving and not share.taking:
                fields["since"] = share.base[1]
                fields["upto"], fields["count"] = (share.base[1], 0) if held else (share.high, share.counted)
        if leave:
            fields["leave"] = True
        elif self._stop and share.stopping and share.still and not share.healing:
            fields["stopped"] = self._said_stopped = True
        if self._tell:
            fields |= self._what
            if self._last is not None:
                memory = msgspec.to_builtins(self._last)
                fields["memory"] = {**memory, "generation": memory.pop("number"), "at": self._at}
        return fields

    def heard(self, words: dict[str, Any], asked_ns: int, now_ns: int) -> None:
        """The answer to the request that was sent at `asked_ns`.

        :raises ControlError: it makes no sense.
        """
        self.refused = str(words.get("error", ""))
        if self.refused:
            return
        try:
            answer = msgspec.convert(words, _Answer)
        except msgspec.ValidationError as error:
            raise ControlError(f"not an answer to a group's member: {error}") from None
        self._answered_ns = now_ns
        self._tell = answer.tell
        self._exists = answer.generation != 0
        self.lease_ns = answer.lease_ns
        until_ns = asked_ns + answer.lease_ns - answer.lease_ns // MARGIN
        mine = self.generation.number if self.generation is not None else 0
        if answer.over and mine and answer.generation <= mine:
            self._lose_share()  # others began anew meanwhile, and what this bot knew has been added to that
            mine = 0
        if answer.generation > mine:
            self._told(answer, until_ns)
        elif mine and (now_ns < self.deadline_ns or (answer.revives and answer.generation == mine)):
            self.deadline_ns = until_ns
            self.share.lease(until_ns)
        if answer.generation == mine and mine:
            self._at = answer.at
            if not answer.gathers:
                self._pending, self._stop = answer.pending, answer.stop
                self._said_stopped = self._said_stopped and answer.stop
            self._proved(answer, now_ns)
        self.steer(now_ns)

    def _told(self, answer: _Answer, until_ns: int) -> None:
        """A newer generation: with this bot, or without it because its lease was over."""
        if not self._said_stopped:
            self._lose_share()
        if self.share.member not in answer.members:
            self._lose_share()
            self.coming = None
            return
        if answer.past is None or answer.begin is None:
            return  # control was not asked by one that acts on another generation
        self.coming = Generation(
            answer.generation, answer.born, answer.members, answer.past, answer.begin, answer.at, answer.again
        )
        self._coming_until_ns = until_ns

    def _lose_share(self) -> None:
        if self.generation is not None and not self.share.proving:
            self._at = {**self._at, self.share.member: self.share.place}
        self.generation = None
        self._pending = self._stop = self._said_stopped = False
        self._doubt_since_ns = 0
        self.share.disown()

    def _proved(self, answer: _Answer, now_ns: int) -> None:
        if answer.proved is not None:
            self.share.prove(*answer.proved)
        if not answer.doubt or not self.share.proving:
            self._doubt_since_ns = 0
        elif not self._doubt_since_ns:
            self._doubt_since_ns = now_ns

    # --- acting on the answers ----------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Go on as a member of `generation`, from where the share stands."""
        assert self.generation is not None
        self._own(self.generation)

    def steer(self, now_ns: int) -> None:
        """Let the share stand still where it has to. To be called again and again."""
        share = self.share
        self._healing = share.ready and self._heals(now_ns)
        silent = self._adopted and now_ns - self._answered_ns > self.lease_ns
        joins = self.generation is None and share.ready and not silent
        stops = (self._stop and not share.healing) or (self._healing and not share.taking)
        share.stopping = joins or stops or self.coming is not None

    def act(self, now_ns: int) -> bool:
        """The bot stands still, with nothing in its hands. True: there is a new generation to be kept. Whether there
        is something to be read elsewhere, the share says (taking).
        """
        if self.coming is not None:
            self._adopt(self.coming)
            self.steer(now_ns)
            return True
        if self._healing and not self.share.taking:
            self.share.heal()
            self._doubt_since_ns = 0
            self.steer(now_ns)
        return False

    def kept(self) -> Generation:
        """What a durable bot should know when it is started again."""
        assert self.generation is not None
        return msgspec.structs.replace(self.generation, at=self._at)

    def _heals(self, now_ns: int) -> bool:
        """Is what was lost on the way to be looked for, since it does not show? At once where the bot has to stop."""
        if not self._doubt_since_ns or self.generation is None:
            return False
        return self._stop or now_ns - self._doubt_since_ns > self.lease_ns

    def _adopt(self, generation: Generation) -> None:
        start = self._begins(generation)
        self._own(generation)
        if start < self.share.main:
            self.share.go_back(*start)
        else:
            self.share.stand_at()
        self.share.keep()
        self.generation = self._last = generation
        self.coming = None
        self._at = generation.at
        self._pending = self._stop = self._said_stopped = False
        self.deadline_ns = self._coming_until_ns
        self.share.lease(self.deadline_ns)

    def _own(self, generation: Generation) -> None:
        past = [(each.members, each.stops, each.fence, each.begin) for each in generation.past]
        self.share.own(generation.members, past, generation.begin)
        self._adopted = True

    def _begins(self, generation: Generation) -> Place:
        """The lowest place of a tick that may be this bot's and has not been dealt with."""
        me = self.share.member
        last = generation.past[-1] if generation.past else None
        if last is None or not last.members:
            start = generation.begin
        elif me not in last.members:
            start = min(last.stops)
        else:
            # Symbols come only from members that have gone; in turn, everybody has other ticks now.
            stops = zip(last.members, last.stops, strict=True)
            start = min(stop for name, stop in stops if name == me or self.share.turn or name not in generation.members)
        start = max(start, generation.at.get(me, start))
        return start if generation.again is None else min(start, generation.again)
