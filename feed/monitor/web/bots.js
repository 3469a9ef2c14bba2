// The bots' table, and which of them want looking at.

import { put } from "./elements.js";
import { Table } from "./tables.js";
import { UNKNOWN, age, bounded, causes, count, duration, rate, total } from "./units.js";

// Silent and lagging as feed/monitor/events.py has it: the events and this table tell of the same bots.
const SILENT_NS = 5e9; // they report every second
const LAG_LEAST_NS = 100e6;
const LAG_TIMES_TARGET = 10; // of the strictest quantile
const FILLING_NS = 10e9; // since a tick that was missing came later
const SLOW_BY = 4; // times the median p50 of the bots that have the same transport

export class BotsTable {
  constructor(table, filter, only, found) {
    this.filter = filter;
    this.only = only;
    this.found = found;
    this.all = [];
    this.fills = new Map(); // bot -> {filled, grew_ns}
    this.targets = {};
    const over = (q, key) => (bot) => bot[key] != null && bot[key] > this.targets[q] ? "over" : "";
    this.table = new Table(
      table,
      [
        { text: (bot) => bot.bot, value: (bot) => bot.bot },
        { text: (bot) => bot.state.words, state: (bot) => bot.state.class, value: (bot) => bot.state.rank },
        { text: (bot) => bot.transport ?? UNKNOWN, value: (bot) => bot.transport },
        number((bot) => rate(bot.per_s), (bot) => bot.per_s),
        number((bot) => duration(bot.lag_ns), (bot) => bot.lag_ns, (bot) => (bot.lag_ns > this.bound_ns ? "bad" : "")),
        number((bot) => duration(bot.skew_ns), (bot) => bot.skew_ns),
        number((bot) => duration(bot.p50_ns), (bot) => bot.p50_ns, over("0.5", "p50_ns")),
        number((bot) => duration(bot.p99_ns), (bot) => bot.p99_ns, over("0.99", "p99_ns")),
        number((bot) => count(bot.filled), (bot) => bot.filled, (bot) => (bot.filling ? "warn" : bot.filled ? "" : "dim")),
        {
          ...number((bot) => count(total(bot.gaps)), (bot) => total(bot.gaps), (bot) => (total(bot.gaps) ? "warn" : "dim")),
          title: (bot) => causes(bot.gaps),
        },
        number((bot) => causes(bot.lost), (bot) => total(bot.lost), (bot) => (total(bot.lost) ? "bad" : "dim")),
        number(
          (bot) => bounded(bot.clock_offset_ns, bot.clock_uncertainty_ns),
          (bot) => (bot.clock_offset_ns == null ? null : Math.abs(bot.clock_offset_ns)),
        ),
        number(
          (bot) => age(bot.report_age_ns),
          (bot) => bot.report_age_ns,
          (bot) => (bot.report_age_ns > SILENT_NS ? "bad" : ""),
        ),
      ],
      (bot) => `${bot.bot} ${bot.transport}`,
      { sort: { column: 1, descending: true }, hold: true },
    );
    filter.addEventListener("input", () => this.#show());
    only.addEventListener("change", () => this.#show());
  }

  /** Take the bots of an answer in; gives {silent, lagging, slow, filling}, how many of each. */
  update({ at_ns, now: { bots }, targets_ns: targets }) {
    this.targets = targets;
    const strictest = Object.keys(targets).sort().pop();
    this.bound_ns = Math.max(LAG_LEAST_NS, LAG_TIMES_TARGET * (targets[strictest] ?? 0));
    const usual = usualByTransport(bots);
    this.#watchFills(bots, at_ns);
    for (const bot of bots) bot.state = judge(bot, this.bound_ns, usual.get(bot.transport), targets["0.5"] ?? 0);
    this.all = bots;
    this.#show();
    const having = (kind) => bots.filter((bot) => bot.state.kind === kind).length;
    return { silent: having("silent"), lagging: having("lagging"), slow: having("slow"), filling: having("filling") };
  }

  /** `filling`: did what was missing at first grow lately? */
  #watchFills(bots, at_ns) {
    const fills = new Map();
    for (const bot of bots) {
      const was = this.fills.get(bot.bot);
      const grew_ns = was && bot.filled > was.filled ? at_ns : (was?.grew_ns ?? 0);
      fills.set(bot.bot, { filled: bot.filled, grew_ns });
      bot.filling = at_ns - grew_ns < FILLING_NS;
    }
    this.fills = fills;
  }

  #show() {
    const wanted = this.filter.value.trim().toLowerCase();
    const shown = this.all.filter(
      (bot) =>
        (!this.only.checked || bot.state.kind !== "ok") &&
        (!wanted || `${bot.bot} ${bot.transport} ${bot.state.words}`.toLowerCase().includes(wanted)),
    );
    this.table.update(shown);
    const all = shown.length === this.all.length ? "" : ` of ${count(this.all.length)}`;
    put(this.found, `${count(shown.length)}${all}`);
  }
}

const number = (text, value, state) => ({ text, value, state, kind: "num" });

/** {transport: the median p50 of its bots, ns}, where at least three have one. */
function usualByTransport(bots) {
  const found = new Map();
  for (const { transport, p50_ns: p50 } of bots) {
    if (p50 == null) continue;
    if (!found.has(transport)) found.set(transport, []);
    found.get(transport).push(p50);
  }
  const usual = new Map();
  for (const [transport, values] of found) {
    if (values.length >= 3) usual.set(transport, values.sort((a, b) => a - b)[values.length >> 1]);
  }
  return usual;
}

/** The worst that is true of a bot. `rank` puts the worst first, and within a kind the slower one. */
function judge(bot, bound_ns, usual, target) {
  const of = (kind, words, tone, rank) => ({ kind, words, class: tone, rank: rank + weight(bot) });
  if (bot.report_age_ns > SILENT_NS) return of("silent", `silent ${count(bot.report_age_ns / 1e9)} s`, "bad", 400);
  if (bot.lag_ns > bound_ns) return of("lagging", "lagging", "bad", 300);
  if (usual && bot.p50_ns > target && bot.p50_ns > SLOW_BY * usual) {
    return of("slow", `slow, ${Math.round(bot.p50_ns / usual)}× the others`, "warn", 200);
  }
  if (bot.filling) return of("filling", "ticks lost, filled", "warn", 150);
  if (total(bot.lost)) return of("lost", "lost ticks", "warn", 100);
  return of("ok", "ok", "good", 0);
}

/** 0 to 99 by lag and p99, in steps of a quarter octave: rows don't change places for a hair. */
function weight(bot) {
  const ns = Math.max(1, bot.lag_ns ?? 0, bot.p99_ns ?? 0);
  return Math.min(99, Math.round(4 * Math.log2(ns)) / 2);
}
