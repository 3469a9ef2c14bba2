"""An execution as people read one: line after line, a column for each thread."""

from __future__ import annotations

from .event import INITIAL, Event
from .explore import Execution
from .program import RLX, Fence, Load, Rmw, Store


def show(execution: Execution) -> str:
    """The events in an order as near to plain interleaving as this execution allows.

    What no interleaving explains is said beside it: a read that misses a store above it, a store that goes below one.
    """
    lines = {e: number for number, e in enumerate(_interleaving(execution), 1)}
    texts = {e: _text(execution.events[e]) + _remark(execution, e, lines) for e in lines}
    widths = [
        max([len(name), *(len(texts[e]) for e in lines if execution.events[e].thread == t)])
        for t, name in enumerate(execution.names)
    ]
    starts = [4 + sum(widths[:t]) + 3 * t for t in range(len(widths))]
    table = ["".join(f"{name:{width + 3}}" for name, width in zip(execution.names, widths, strict=True))]
    table = ["    " + table[0].rstrip()]
    table += [f"{number:3}{'':{starts[execution.events[e].thread] - 3}}{texts[e]}" for e, number in lines.items()]
    ends = zip(starts, execution.results.values(), strict=True)
    return "\n".join(table + [f"{'':{start}}: {result}" for start, result in ends if result is not None])


def _text(event: Event) -> str:
    op = event.op
    order = "" if op.order is RLX else f" {op.order.value}"
    if isinstance(op, Fence):
        return f"fence{order}"
    if isinstance(op, Store):
        return f"{op.at} = {op.value}{order}"
    if isinstance(op, Rmw):
        return f"{op.at}: {event.read} -> {event.wrote}{order}"
    return f"{'wakes: ' if op.until else 'read '}{op.at} is {event.read}{order}"


def _remark(execution: Execution, e: int, lines: dict[int, int]) -> str:
    """Which stores stand above `e` and yet come after it in memory."""
    event = execution.events[e]
    above = sorted(lines[w] for w in _later(execution, event, e) if lines.get(w, lines[e]) < lines[e])
    if not above:
        return ""
    return f" ({'misses' if isinstance(event.op, Load) else 'below'} {', '.join(map(str, above))})"


def _later(execution: Execution, event: Event, e: int) -> tuple[int, ...]:
    """The writes that come in memory after this access: after itself, or after what it read."""
    if event.word is None:
        return ()
    writes = execution.mo[event.word]
    return writes[writes.index(event.source if isinstance(event.op, Load) else e) + 1 :]


def _interleaving(execution: Execution) -> list[int]:
    """Never an event before one of its thread that comes first, or before the write that it reads.

    And as seldom as can be a store before one that memory has first, or before a read that misses it.
    """
    events = execution.events
    left = [e for e, event in enumerate(events) if event.thread != INITIAL]
    order: list[int] = []
    while left:
        heads: dict[int, int] = {}
        for e in left:
            heads.setdefault(events[e].thread, e)
        ready = [e for e in heads.values() if events[e].source not in left]

        def price(e: int) -> tuple[int, int, bool]:
            overtaken = [
                x for x in left if x != e and events[x].word == events[e].word and e in _later(execution, events[x], x)
            ]
            stores = sum(not isinstance(events[x].op, Load) for x in overtaken)
            return stores, len(overtaken), not order or events[e].thread != events[order[-1]].thread

        order.append(min(ready, key=price))
        left.remove(order[-1])
    return order
