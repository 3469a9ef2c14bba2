"""What happened, in sentences: each change of state once, figures of one kind summed up. Pure: figures in, events out.

agent     down, stuck, up again, restarted
source    silent for 5 s though it had ticks, and back
bot       new, silent, reporting again, lagging, caught up
gap       gaps and lost ticks of a bot by cause: at most one event each 5 s
drop      what a publisher skipped, by cause: likewise
log       closed, replaced, gone, without a writer, and back
archive   stopped, goes on, ticks that it will never have
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Level = Literal["bad", "good", "note"]
    Event = dict[str, Any]

__all__ = ["LAG_LEAST_NS", "SILENT_NS", "Events"]

SILENT_NS = 5_000_000_000
"""A bot without a report, or a source without a tick, for longer than this is silent, ns."""

LAG_LEAST_NS = 100_000_000
LAG_TIMES_TARGET = 10
"""A bot lags when it is farther behind than both: 100 ms, and so many times the strictest quantile's target. It has
caught up when it is behind by less than half of that."""

SUM_NS = 5_000_000_000
"""Figures of one bot (publisher) and cause are summed up for so long, ns."""

MANY = 10
"""What happens to more than so many at once is one event."""


class Events:
    """Remembers the state last seen; `put` tells what has changed since. The first state itself is no event, unless it
    is a bad one of the log or an agent."""

    def __init__(self) -> None:
        self._first = True
        self._agents: dict[str, tuple[str, int]] = {}
        self._bots: dict[str, str] = {}  # name to reports, silent
        self._lagging: set[str] = set()
        self._sources: dict[str, bool] = {}  # name to silent
        self._log: tuple[str, int] = ("open", 0)
        self._stopped = False
        self._sums = _Sums()

    def put(self, at_ns: int, steady_ns: int, now: Mapping[str, Any]) -> list[Event]:
        """What changed: ``at_ns, kind, level`` (bad, good, note), ``text``.

        `now` holds ``agents, sources, publishers, bots, log, archive, targets_ns`` as Recent.answer shows them.
        """
        found = [
            *self._of_log(now["log"]),
            *self._of_agents(now["agents"]),
            *self._of_archive(now["archive"]),
            *self._of_sources(now["sources"], at_ns),
            *self._of_bots(now["bots"], now["targets_ns"]),
            *self._counted(now, steady_ns),
        ]
        self._first = False
        return [{"at_ns": at_ns, "kind": kind, "level": level, "text": text} for kind, level, text in found]

    def _of_log(self, log: Mapping[str, Any] | None) -> Iterator[tuple[str, Level, str]]:
        was, was_epoch = self._log
        state, epoch = ("gone", was_epoch) if log is None else (log["state"], log["epoch"])
        if log is not None and state == "open" and not log["writer_alive"]:
            state = "without a writer"
        self._log = (state, epoch)
        if state != was:
            if state == "open":
                yield "log", "good", "the log is open again"
            else:
                yield "log", "bad", f"the log is {state}"
        if epoch != was_epoch and not self._first:
            yield "log", "note", "a new epoch of the log began: sequence numbers start again at 1"

    def _of_agents(self, agents: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Level, str]]:
        for agent in agents:
            name, state, restarts = agent["agent"], agent["state"], agent["restarts"]
            was, had = self._agents.get(name, ("up", restarts))
            if state == "starting":  # on its way up: what it was before is still to be told
                state = was
            self._agents[name] = (state, restarts if state == "up" else had)
            if state != was:
                if state == "up":
                    again = f" (restart {restarts})" if restarts > had else ""
                    yield "agent", "good", f"agent {name} is up again{again}"
                else:
                    silent = ": its loop no longer turns" if state == "stuck" else ""
                    yield "agent", "bad", f"agent {name} is {state}{silent}"
            elif restarts > had and state == "up":
                yield "agent", "bad", f"agent {name} died and was started again (restart {restarts})"

    def _of_archive(self, archive: Mapping[str, Any] | None) -> Iterator[tuple[str, Level, str]]:
        stopped = archive is not None and archive["stopped"]
        if stopped != self._stopped:
            self._stopped = stopped
            if stopped:
                yield "archive", "bad", "the archive has stopped: its disk is full or fails"
            else:
                yield "archive", "good", "the archive goes on"

    def _of_sources(self, sources: Iterable[Mapping[str, Any]], at_ns: int) -> Iterator[tuple[str, Level, str]]:
        for source in sources:
            name, last_ns = source["source"], source["last_ns"]
            silent = last_ns is not None and at_ns - last_ns > SILENT_NS
            if silent != self._sources.get(name, silent if self._first else False):
                if silent:
                    yield "source", "bad", f"source {name} is silent: no tick for {SILENT_NS // 10**9} s"
                else:
                    yield "source", "good", f"source {name} ticks again"
            self._sources[name] = silent

    def _of_bots(
        self, bots: Sequence[Mapping[str, Any]], targets_ns: Mapping[str, int]
    ) -> Iterator[tuple[str, Level, str]]:
        strictest = max(targets_ns, key=float, default=None)
        bound_ns = LAG_LEAST_NS
        if strictest is not None:
            bound_ns = max(bound_ns, LAG_TIMES_TARGET * targets_ns[strictest])
        changes: dict[tuple[Level, str], list[str]] = {}
        states: dict[str, str] = {}
        for bot in bots:
            name, age_ns, lag_ns = bot["bot"], bot["report_age_ns"], bot["lag_ns"] or 0
            was = self._bots.get(name)
            states[name] = state = "silent" if age_ns is not None and age_ns > SILENT_NS else "reports"
            if was is None:
                if not self._first:
                    changes.setdefault(("note", "new"), []).append(f"bot {name} is new")
            elif state != was:
                told: tuple[Level, str] = ("bad", "silent") if state == "silent" else ("good", "reporting again")
                changes.setdefault(told, []).append(f"bot {name} is {told[1]}")
            if lag_ns > bound_ns and name not in self._lagging:
                self._lagging.add(name)
                changes.setdefault(("bad", "lagging"), []).append(f"bot {name} lags by {lag_ns / 1e6:,.0f} ms")
            elif lag_ns < bound_ns // 2 and name in self._lagging:
                self._lagging.remove(name)
                changes.setdefault(("good", "no longer behind"), []).append(f"bot {name} has caught up")
        self._bots = states
        self._lagging &= states.keys()
        for (level, what), texts in changes.items():
            told_of = texts if len(texts) <= MANY else [f"{len(texts)} bots are {what}"]
            yield from (("bot", level, text) for text in told_of)

    def _counted(self, now: Mapping[str, Any], steady_ns: int) -> Iterator[tuple[str, Level, str]]:
        counts: dict[tuple[str, str, str], int] = {}
        for bot in now["bots"]:
            counts |= {("gaps", bot["bot"], cause): n for cause, n in bot["gaps"].items()}
            counts |= {("lost", bot["bot"], cause): n for cause, n in bot["lost"].items()}
        for one in now["publishers"]:
            counts |= {("dropped", one["publisher"], cause): n for cause, n in one["dropped"].items()}
        if now["archive"] is not None:
            counts |= {("missing", "", cause): n for cause, n in now["archive"]["missing"].items()}
        due = self._sums.due(steady_ns, counts, silent=self._first)
        by_cause: dict[str, list[tuple[str, dict[str, int]]]] = {}
        for (group, name, cause), added in due.items():
            if group == "bot":
                by_cause.setdefault(cause, []).append((name, added))
            elif group == "publisher":
                yield "drop", "bad", f"publisher {name} dropped {_of(added['dropped'], 'tick')}: {cause}"
            else:
                yield "archive", "bad", f"the archive will never have {_of(added['missing'], 'tick')}: {cause}"
        for cause, bots in by_cause.items():
            if len(bots) > MANY:
                summed = {key: sum(added.get(key, 0) for _, added in bots) for key in ("gaps", "lost")}
                yield _gap(f"{len(bots)} bots", summed, cause)
            else:
                yield from (_gap(f"bot {name}", added, cause) for name, added in bots)


class _Sums:
    """Counts that grow, told at most once in `SUM_NS` for each (group, name, cause)."""

    GROUPS: Final = {"gaps": "bot", "lost": "bot", "dropped": "publisher", "missing": "archive"}

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}
        self._waiting: dict[tuple[str, str, str], dict[str, int]] = {}
        self._told_ns: dict[tuple[str, str, str], int] = {}

    def due(
        self, steady_ns: int, counts: Mapping[tuple[str, str, str], int], *, silent: bool
    ) -> dict[tuple[str, str, str], dict[str, int]]:
        """{(group, name, cause): {what: how much came}} of those that may be told now; nothing at all if `silent`."""
        for key, n in counts.items():
            what, name, cause = key
            was = self._counts.get(key, 0)
            came = n - was if n >= was else n  # it fell: it began anew
            if came and not silent:
                sums = self._waiting.setdefault((self.GROUPS[what], name, cause), {})
                sums[what] = sums.get(what, 0) + came
        self._counts = dict(counts)
        self._told_ns = {key: told for key, told in self._told_ns.items() if steady_ns - told < SUM_NS}
        due = {key: sums for key, sums in self._waiting.items() if key not in self._told_ns}
        for key in due:
            del self._waiting[key]
            self._told_ns[key] = steady_ns
        return due


def _gap(who: str, added: Mapping[str, int], cause: str) -> tuple[str, Level, str]:
    gaps, lost = added.get("gaps", 0), added.get("lost", 0)
    what = ", ".join([_of(gaps, "gap")] * bool(gaps) + [f"{_of(lost, 'tick')} lost"] * bool(lost))
    return "gap", "bad" if lost else "note", f"{who}: {what} ({cause})"


def _of(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
