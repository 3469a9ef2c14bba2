"""The answer to `group`: bots that share a stream: who is in, and where one division of it ends and the next begins.

Pure: time, the log's end and the counting of records come in by argument.

    asks for the first time ──▶ joins ───────────────┐
    leaves, or its lease ends ─────────────────────▶ │ change is pending: told to all
                                                     ▼
                       all members that live were told: all are to stop
                                                     ▼
    the next generation ◀── all have stopped, each has said where and been proved right
        └─ the one before goes into `past`, with the places at which its members stopped

A place is (epoch, seq): all ticks of one's share below it have been dealt with. A tick is its owner's in the first
generation whose owner of it stopped above it, else its owner's in the present one. So every tick has one owner at any
time, whatever the members know of each other, and the places alone say what has been dealt with: one that is too low
makes ticks come again, and none is lost by it. They are forgotten here when control ends; members then tell what they
know, and for one lease nothing changes, so that none is taken for dead that only has not asked yet. Who comes later
than that may find a group that others began anew: what it knows is added to what is past, and all look there again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from feed.control.selection import Selection
from feed.errors import ControlError, ControlRefused

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GROUPS_MAX", "KEPT_NS", "MEMBERS_MAX", "PAST_MAX", "GroupRequest", "Groups", "Past", "Place", "parse_group"]

GROUPS_MAX = 256
MEMBERS_MAX = 64
PAST_MAX = 32
"""Generations of which it is remembered where their members stopped; what is older may come again, flagged replayed."""

KEPT_NS = 60_000_000_000
"""How long a group without durable members is remembered after its last one died, ns."""

Place = tuple[int, int]
NOWHERE: Place = (0, 0)

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:@-]{1,64}$")]
Members = Annotated[list[Name], msgspec.Meta(max_length=MEMBERS_MAX)]


class Past(msgspec.Struct, frozen=True):
    """A generation that is over: its members in order, where each stopped, a place above all that they handed out, and
    the one from which on the stream was theirs.

    Without members: what they were and did is not known any more.
    """

    members: Members
    stops: Annotated[list[tuple[Number, Number]], msgspec.Meta(max_length=MEMBERS_MAX)]
    fence: tuple[Number, Number]
    begin: tuple[Number, Number]


class Memory(msgspec.Struct, frozen=True):
    """What a member knows of its group: the generation it acts on, and the places that it last heard of."""

    generation: Number
    born: Number
    members: Members
    past: Annotated[list[Past], msgspec.Meta(max_length=PAST_MAX)]
    begin: tuple[Number, Number]
    at: Annotated[dict[Name, tuple[Number, Number]], msgspec.Meta(max_length=MEMBERS_MAX)]


class GroupRequest(msgspec.Struct, frozen=True):
    """`born`: the first generation of the line of generations that the member was last in; 0: of none.

    `since`: it has counted `count` records from there to `upto`; None: on its way in none can be lost in silence.
    """

    group: Name
    member: Name
    subscription: Annotated[str, msgspec.Meta(max_length=64)]
    share: Literal["symbol", "turn"] = "symbol"
    generation: Number = 0
    born: Number = 0
    epoch: Number = 0
    seq: Number = 0
    since: Number | None = None
    upto: Number = 0
    count: Number = 0
    stopped: bool = False
    leave: bool = False
    durable: bool = False
    patterns: list[str] | None = None
    schemas: list[str] | None = None
    memory: Memory | None = None


def parse_group(asked: dict[str, Any]) -> GroupRequest:
    """Raises ControlError saying which field is wrong."""
    try:
        request = msgspec.convert(asked, GroupRequest)
    except msgspec.ValidationError as error:
        raise ControlError(f"not a request of a group's member: {error}") from None
    memory = request.memory
    if memory is not None and any(
        len(each.members) != len(each.stops) or sorted(set(each.members)) != each.members for each in memory.past
    ):
        raise ControlError("not a request of a group's member: `past` contradicts itself")
    return request


@dataclass(slots=True, eq=False)
class _Proof:
    """Have all records come to a member? It says how many it has counted; this is how far that was found to be true."""

    since: Place  # where it began to count
    place: Place  # true up to here,
    count: int  # where it had counted so many
    to: Place | None = None  # what is being counted now: up to here,
    said: int = 0  # where it has counted so many;
    next: int = 0  # come so far,
    found: int = 0  # and found so many since `place`
    doubt: bool = False  # the last one was not true


@dataclass(slots=True, eq=False)
class _Member:
    place: Place
    heard_ns: int
    claim: Place = NOWHERE  # where it says that it stands; `place` is no more than what was proved of it
    told: bool = False
    stopped: bool = False
    gone: Literal["", "left", "died"] = ""
    proof: _Proof | None = None


@dataclass(slots=True, eq=False)
class _Group:
    share: str
    subscription: str
    selection: Selection | None = None
    durable: bool = False
    generation: int = 0
    born: int = 0
    added: list[int] = field(default_factory=list)  # lines that began elsewhere
    again: Place | None = None  # from here all have to look in the next generation, for what is owed by those
    looked: Place | None = None  # the same, of this one
    members: dict[str, _Member] = field(default_factory=dict)  # of the present generation, by name in order
    joining: dict[str, _Member] = field(default_factory=dict)
    past: list[Past] = field(default_factory=list)
    begin: Place = NOWHERE
    heard_ns: int = 0

    def living(self) -> list[_Member]:
        return [each for each in self.members.values() if not each.gone]


class Groups:
    """All groups of a feed.

    :param lease_ns: a member that is not heard of for so long has lost its share.
    :param now_ns: monotonic. Members of before may still hold a lease until one later.
    :param end: the log's end as (epoch, next seq); None: there is no log now.
    :param count: (selection, epoch, first, behind the last) -> (how far it came, records) within a bounded time; None:
        they are gone from the log.
    :param wall_ms: for the numbers of generations, which have to rise from one control to the next.
    """

    def __init__(
        self,
        lease_ns: int,
        now_ns: int,
        end: Callable[[], Place | None],
        count: Callable[[Selection, int, int, int], tuple[int, int] | None],
        wall_ms: Callable[[], int],
    ) -> None:
        self.lease_ns = lease_ns
        self._gathers_until_ns = now_ns + lease_ns
        self._end = end
        self._count = count
        self._wall_ms = wall_ms
        self._groups: dict[str, _Group] = {}
        self._counting: list[tuple[_Group, _Member]] = []

    def __len__(self) -> int:
        return len(self._groups)

    def hear(self, request: GroupRequest, now_ns: int) -> dict[str, Any]:
        """The answer to one request. Raises ControlError, ControlRefused for what is too much."""
        gathers = now_ns < self._gathers_until_ns
        group = self._group(request, now_ns)
        group.heard_ns = now_ns
        if request.patterns is not None:
            group.selection = Selection.of(request.patterns, request.schemas)
        if request.memory is not None:
            self._remember(group, request.memory, now_ns)
        group.durable |= request.durable
        known = request.born in {0, group.born, *group.added}
        if known and request.leave:
            self._leave(group, request)
        elif known:
            self._present(group, request, now_ns)
        if not gathers:
            self._advance(group, now_ns)
        answer = self._answer(group, request, gathers, known)
        if self._left_for_good(group):
            del self._groups[request.group]
        return answer

    def poll(self) -> int:
        """Count on for those whose word is to be proved; 0: there is nothing to do."""
        work = 0
        for group, member in self._counting[:]:
            proof = member.proof
            if proof is None or proof.to is None or group.selection is None:
                self._counting.remove((group, member))
                continue
            came = self._count(group.selection, proof.to[0], proof.next, proof.to[1])
            if came is not None and came[0] == proof.next < proof.to[1]:
                continue  # there is no log now
            work += 1
            if came is not None:
                proof.next = came[0]
                proof.found += came[1]
            if came is None or proof.next >= proof.to[1]:
                self._counting.remove((group, member))
                self._judge(member, proof, came is not None)
        return work

    # --- who is in --------------------------------------------------------------------------------------------------

    def _group(self, request: GroupRequest, now_ns: int) -> _Group:
        group = self._groups.get(request.group)
        if group is not None and self._deserted(group, now_ns):
            forgotten = not group.durable and now_ns - group.heard_ns > KEPT_NS
            if forgotten or group.share != request.share or group.subscription != request.subscription:
                del self._groups[request.group]
                group = None
        if group is None:
            if len(self._groups) >= GROUPS_MAX:
                self._make_room(now_ns)
            group = self._groups[request.group] = _Group(request.share, request.subscription)
        if (group.share, group.subscription) != (request.share, request.subscription):
            raise ControlRefused(
                "subscription",
                "the members of a group have the same symbols, schemas and share",
                expected=f"share {group.share!r} and what {', '.join([*group.members, *group.joining])} subscribed to",
                where=request.group,
            )
        return group

    def _make_room(self, now_ns: int) -> None:
        """Forget the deserted group that was heard of longest ago. Raises ControlRefused."""
        deserted = [(group.heard_ns, name) for name, group in self._groups.items() if self._deserted(group, now_ns)]
        if not deserted:
            raise ControlRefused("groups", "too many groups", expected=f"at most {GROUPS_MAX}")
        del self._groups[min(deserted)[1]]

    def _deserted(self, group: _Group, now_ns: int) -> bool:
        if now_ns >= self._gathers_until_ns:
            self._expire(group, now_ns)
        return not group.living() and not group.joining

    def _left_for_good(self, group: _Group) -> bool:
        """Has everybody gone as one should, and is nobody to come back?"""
        return not (group.durable or group.joining) and all(each.gone == "left" for each in group.members.values())

    def _remember(self, group: _Group, memory: Memory, now_ns: int) -> None:
        """Take what a member knows for what control has forgotten, where it is newer."""
        stops = [stop for each in memory.past[-1:] for stop in each.stops]
        lowest = min([*stops, *memory.at.values()], default=memory.begin)
        if group.generation and memory.born not in {group.born, *group.added}:
            self._add(group, memory, lowest)
        elif memory.born in group.added:
            return
        elif memory.generation > group.generation:
            heard = {**group.members, **group.joining}
            group.generation, group.born = memory.generation, memory.born
            group.past, group.begin = list(memory.past), memory.begin
            group.members = {
                name: _Member(memory.at.get(name, lowest), heard[name].heard_ns if name in heard else now_ns)
                for name in sorted(memory.members)
            }
            group.joining = {name: each for name, each in group.joining.items() if name not in group.members}
        elif memory.generation == group.generation:
            for name, place in memory.at.items():
                if name in group.members:
                    group.members[name].place = max(group.members[name].place, place)

    def _add(self, group: _Group, memory: Memory, lowest: Place) -> None:
        """Another line of generations, that ended when this group began anew: it may owe some ticks."""
        stops = [memory.at.get(name, lowest) for name in sorted(memory.members)]
        fence = max(self._end() or NOWHERE, *stops, lowest)
        group.past = [*memory.past, Past(sorted(memory.members), stops, fence, memory.begin), *group.past]
        group.again = min(group.again or lowest, lowest)
        group.added = [*group.added[1 - PAST_MAX :], memory.born]

    def _present(self, group: _Group, request: GroupRequest, now_ns: int) -> None:
        member = group.members.get(request.member)
        place = (request.epoch, request.seq)
        if member is None:
            if not request.seq:
                return
            if len(group.members) + len(group.joining) >= MEMBERS_MAX and request.member not in group.joining:
                raise ControlRefused(
                    "members", "too many members", expected=f"at most {MEMBERS_MAX}", where=request.group
                )
            group.joining[request.member] = _Member(place, now_ns)
            return
        member.heard_ns = now_ns
        member.gone = ""
        member.stopped = False
        if request.generation == group.generation and request.seq:
            self._claim(group, member, request)
            member.stopped = request.stopped and member.place >= place

    def _leave(self, group: _Group, request: GroupRequest) -> None:
        group.joining.pop(request.member, None)
        member = group.members.get(request.member)
        if member is None:
            return
        member.gone = "left"
        if request.generation == group.generation and request.seq:
            self._claim(group, member, request)

    def _expire(self, group: _Group, now_ns: int) -> None:
        for member in group.living():
            if now_ns - member.heard_ns > self.lease_ns:
                member.gone = "died"
        group.joining = {name: each for name, each in group.joining.items() if now_ns - each.heard_ns <= self.lease_ns}

    # --- is it true that all below a place has come? ------------------------------------------------------------------

    def _claim(self, group: _Group, member: _Member, request: GroupRequest) -> None:
        """A member has dealt with all below a place, it says; where records may be lost on the way, that is proved."""
        member.claim = (request.epoch, request.seq)
        if request.since is None:
            member.place, member.proof = max(member.place, member.claim), None
            return
        since = (request.epoch, request.since)
        proof = member.proof
        if proof is None or proof.since != since:
            proof = member.proof = _Proof(since, since, 0)
        if proof.to is None and request.upto >= proof.place[1]:
            proof.to, proof.said = (request.epoch, request.upto), request.count
            proof.next, proof.found = proof.place[1], 0
            if proof.next == request.upto:
                self._judge(member, proof, True)
            else:
                self._counting.append((group, member))
        member.place = max(member.place, min(member.claim, proof.place))

    def _judge(self, member: _Member, proof: _Proof, counted: bool) -> None:
        assert proof.to is not None
        proof.doubt = not counted or proof.said - proof.count != proof.found
        if not proof.doubt:
            proof.place, proof.count = proof.to, proof.said
            member.place = max(member.place, min(member.claim, proof.place))
        proof.to = None

    # --- from one generation to the next ------------------------------------------------------------------------------

    def _advance(self, group: _Group, now_ns: int) -> None:
        living = group.living()
        if not self._changing(group):
            for each in living:
                each.told = each.stopped = False
            return
        gone = [each for each in group.members.values() if each.gone]
        if (
            not (living or group.joining)
            or not all(each.stopped for each in living)
            or any(each.proof is not None and each.proof.to is not None for each in gone)
        ):
            return
        end = self._end()
        if end is None and gone:
            return  # how far those have come that are gone, only the log's end can tell
        self._begin(group, end or NOWHERE, now_ns)

    def _changing(self, group: _Group) -> bool:
        return bool(group.joining) or any(each.gone for each in group.members.values())

    def _begin(self, group: _Group, end: Place, now_ns: int) -> None:
        """The next generation."""
        stops = [each.place for each in group.members.values()]
        if group.again is not None or not group.born:
            group.past.append(Past([], [], end, NOWHERE))  # who else may have dealt with some of it, is not known
        if stops:
            group.past.append(Past(list(group.members), stops, max(end, *stops), group.begin))
            lowest = min(stops) if group.again is None else min(*stops, group.again)
        else:
            lowest = min(each.place for each in group.joining.values())
        group.begin = lowest  # all below has been dealt with
        members = {name: each.heard_ns for name, each in group.members.items() if not each.gone}
        members |= {name: each.heard_ns for name, each in group.joining.items()}
        group.members = {name: _Member(lowest, members[name]) for name in sorted(members)}
        group.joining = {}
        group.looked, group.again = group.again, None
        group.generation = max(group.generation + 1, self._wall_ms())
        group.born = group.born or group.generation
        group.past = [each for each in group.past if max(each.fence, *each.stops, NOWHERE) > lowest]
        if len(group.past) > PAST_MAX:
            fence = max(each.fence for each in group.past[: 1 - PAST_MAX])
            group.past = [Past([], [], fence, NOWHERE), *group.past[1 - PAST_MAX :]]

    # --- the answer ---------------------------------------------------------------------------------------------------

    def _answer(self, group: _Group, request: GroupRequest, gathers: bool, known: bool) -> dict[str, Any]:
        member = group.members.get(request.member)
        changing = self._changing(group) and not gathers
        if member is not None:
            member.told |= changing
        proof = None if member is None else member.proof
        behind = request.generation > group.generation
        answer: dict[str, Any] = {
            "generation": group.generation,
            "members": list(group.members),
            "fence": group.past[-1].fence if group.past else group.begin,
            "lease_ns": self.lease_ns,
            "at": {name: each.place for name, each in group.members.items()},
            "pending": changing,
            "stop": changing and all(each.told for each in group.living()),
            "gathers": gathers,
            "revives": not gathers and group.again is None,
            "over": request.born in group.added,
            "tell": behind or not known or group.selection is None,
            "proved": None if proof is None else proof.place,
            "doubt": proof is not None and proof.doubt,
        }
        if request.generation != group.generation:
            past = [msgspec.to_builtins(each) for each in group.past]
            answer |= {"born": group.born, "past": past, "begin": group.begin, "again": group.looked}
        return answer
