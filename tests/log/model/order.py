"""RC11's rule for the events that are sequentially consistent: the relation psc has no cycle.

A relation is kept as rows: row e is the set of all that comes before event e in it. For r;s ("by r, then by s") row
e is the union of the rows in r of all that is in row e of s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from .event import Event, bits, mask
from .program import Fence, Load

Rows: TypeAlias = list[int]
Mo: TypeAlias = Mapping[str, Sequence[int]]


def is_sc_ordered(events: Sequence[Event], mo: Mo, readers: Sequence[int], strong: int) -> bool:
    """Is psc = psc_F | psc_base without a cycle? `strong`: the events that are sequentially consistent.

    `events` end with the newest, and without it all was in order. So a cycle would lead through it: from a strong
    event that happens before it, on to a write that it goes before or misses, and from there to a strong event again.
    """
    newest = events[-1]
    if not strong & (newest.before | 1 << len(events) - 1):
        return True
    later = _later(len(events) - 1, newest, mo, readers)
    if not later or not any(later & (events[e].before | 1 << e) for e in bits(strong)):
        return True
    fences = mask(e for e in bits(strong) if isinstance(events[e].op, Fence))
    hb = [event.before for event in events]
    eco = _eco(events, mo, readers)
    psc = [0] * len(events)
    for f in bits(fences):  # psc_F = [F] ; (hb | hb;eco;hb) ; [F]
        psc[f] = (hb[f] | _through(hb, _through(eco, hb[f]))) & fences
    if strong != fences:  # psc_base = ([SC] | [F];hb?) ; scb ; ([SC] | hb?;[F]); of fences alone psc_F says as much
        scb = _scb(events, mo, hb, eco)
        for e in bits(strong):
            starts = _through(scb, 1 << e | (hb[e] if fences >> e & 1 else 0))
            psc[e] |= starts & strong | _through(hb, starts) & fences
    return _is_acyclic(psc, strong)


def _later(e: int, event: Event, mo: Mo, readers: Sequence[int]) -> int:
    """The writes that come after an access in memory, and those who read them."""
    if event.word is None:
        return 0
    writes = mo[event.word]
    found = 0
    for w in reversed(writes):
        if w in (e, event.source):
            break
        found |= 1 << w | readers[w]
    return found


def _through(rows: Rows, ends: int) -> int:
    """All that comes before any of `ends`."""
    found = 0
    while ends:  # bits(), without the generator: half of all the time goes here
        lowest = ends & -ends
        found |= rows[lowest.bit_length() - 1]
        ends ^= lowest
    return found


def _eco(events: Sequence[Event], mo: Mo, readers: Sequence[int]) -> Rows:
    """What reaches an event through memory: eco = rf | mo | fr | mo;rf | fr;rf."""
    rows = [0] * len(events)
    for writes in mo.values():
        older = 0
        for w in writes:
            rows[w] = older & ~(1 << w)
            for r in bits(readers[w]):
                rows[r] = (older | 1 << w) & ~(1 << r)
            older |= 1 << w | readers[w]
    return rows


def _scb(events: Sequence[Event], mo: Mo, hb: Rows, eco: Rows) -> Rows:
    """scb = sb | (sb - loc);hb;(sb - loc) | (hb & loc) | mo | fr."""
    threads: dict[int, int] = {}
    words: dict[str, int] = {}
    sb, elsewhere, scb = [], [], []  # elsewhere: sb - loc
    for e, event in enumerate(events):
        sb.append(threads.get(event.thread, 0))
        threads[event.thread] = sb[e] | 1 << e
        same = words.get(event.word, 0) if event.word else 0
        if event.word:
            words[event.word] = same | 1 << e
        elsewhere.append(sb[e] & ~same)
        memory = 0 if isinstance(event.op, Load | Fence) else eco[e]
        scb.append(sb[e] | _through(elsewhere, _through(hb, elsewhere[e])) | hb[e] & same | memory)
    return scb


def _is_acyclic(rows: Rows, left: int) -> bool:
    """Take away from `left` what nothing in it comes before, until nothing is left."""
    while left:
        free = mask(e for e in bits(left) if not rows[e] & left)
        if not free:
            return False
        left ^= free
    return True
