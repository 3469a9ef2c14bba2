// Everything below the charts but the bots: windows, sources, topics, publishers, agents, readers, log and archive.

import { at, make, put } from "./elements.js";
import { inOrder } from "./palette.js";
import { Table } from "./tables.js";
import { UNKNOWN, age, bytes, causes, count, duration, rate, share, total } from "./units.js";

const WINDOWS = ["10s", "1m", "15m"];
const QUANTILES = { p50_ns: "0.5", p90_ns: "0.9", p99_ns: "0.99", p999_ns: "0.999", max_ns: "1" };
const STAGES = ["venue", "ingest", "publish", "wire", "total", "handler"];

const text = (key) => ({ text: (item) => String(item[key] ?? UNKNOWN) });
const number = (say, state) => ({ text: say, state, kind: "num" });

export class Detail {
  constructor() {
    this.windows = new Table(at("windows"), this.#windowColumns(), (row) => `${row.stage} ${row.transport}`);
    this.sources = new Table(
      at("sources"),
      [
        text("source"),
        number((one) => rate(one.per_s)),
        number((one) => count(typeof one.ticks === "number" ? one.ticks : total(one.ticks))),
        number((one) => causes(one.rejected), (one) => (total(one.rejected) ? "warn" : "dim")),
        number((one) => age(one.last_ns == null ? null : this.now - one.last_ns)),
      ],
      (one) => one.source,
    );
    this.topics = new Table(at("symbols"), [text("topic"), number((one) => rate(one.per_s))], (one) => one.topic);
    this.publishers = new Table(
      at("publishers"),
      [
        text("publisher"),
        number((one) => rate(one.per_s)),
        number((one) => count(one.sent)),
        number((one) => causes(one.dropped), (one) => (total(one.dropped) ? "bad" : "dim")),
      ],
      (one) => one.publisher,
    );
    this.agents = new Table(
      at("agents"),
      [
        text("agent"),
        { ...text("state"), state: (one) => ({ up: "good", starting: "warn" })[one.state] ?? "bad" },
        number((one) => String(one.pid || UNKNOWN)),
        number((one) => count(one.restarts), (one) => (one.restarts ? "warn" : "dim")),
        number((one) => (one.cpu == null ? UNKNOWN : `${(100 * one.cpu).toFixed(0)} %`)),
        number((one) => bytes(one.resident_bytes)),
        number((one) => age(one.heartbeat_age_ns)),
      ],
      (one) => one.agent,
    );
    this.readers = new Table(
      at("readers"),
      [
        { text: (one) => one.name || UNKNOWN },
        number((one) => String(one.pid)),
        number((one) => bytes(one.lag_bytes)),
        { text: (one) => (one.parked ? "asleep" : "reads") },
        { ...text("gating"), state: (one) => (one.gating === "evicted" ? "bad" : "") },
      ],
      (one) => `${one.name} ${one.pid}`,
    );
    this.log = new Facts(at("log"), "Log");
    this.archive = new Facts(at("archive"), "Archive");
  }

  update(answer) {
    const { now } = answer;
    this.now = answer.at_ns;
    this.targets = answer.targets_ns;
    this.windows.update(byStage(now.windows));
    this.sources.update(now.sources);
    this.topics.update(now.symbols.busiest);
    this.publishers.update(now.publishers);
    this.agents.update(now.agents);
    this.readers.update([...now.readers].sort((a, b) => b.lag_bytes - a.lag_bytes));
    this.log.update(...logFacts(now.log, answer.at_ns));
    this.archive.update(...archiveFacts(now.archive, now.log));
    const shown = now.symbols.busiest.length;
    put("symbols-found", `${count(shown)} of ${count(now.symbols.total)}`);
  }

  #windowColumns() {
    const figures = WINDOWS.flatMap((name) =>
      Object.entries(QUANTILES).map(([key, q], i) => ({
        kind: i ? "num" : "num first",
        text: (row) => duration(row.of[name]?.[key]),
        state: (row) => (row.stage === "total" && row.of[name]?.[key] > this.targets[q] ? "over" : ""),
      })),
    );
    return [
      text("stage"),
      text("transport"),
      ...figures,
      { kind: "num first", text: (row) => count(row.of["15m"]?.count) },
      number((row) => count(row.of["15m"]?.negative), (row) => (row.of["15m"]?.negative ? "warn" : "dim")),
    ];
  }
}

/** One row for each stage and transport, in the tick's order, of the three lists. */
function byStage(windows) {
  const rows = new Map();
  for (const name of WINDOWS) {
    for (const figures of windows[name] ?? []) {
      const key = `${figures.stage} ${figures.transport}`;
      if (!rows.has(key)) rows.set(key, { stage: figures.stage, transport: figures.transport, of: {} });
      rows.get(key).of[name] = figures;
    }
  }
  const ways = inOrder(new Set([...rows.values()].map((row) => row.transport)));
  const place = (row) => STAGES.indexOf(row.stage) * 100 + ways.indexOf(row.transport);
  return [...rows.values()].sort((a, b) => place(a) - place(b));
}

function logFacts(log, now) {
  if (!log) return [null, [["there is no log", "", "bad"]]];
  const filled = Math.min(1, log.tail / log.log_bytes);
  const writes = log.state === "open" && log.writer_alive;
  return [
    { share: filled, words: `Log filled: ${share(filled)}` },
    [
      ["state", writes ? log.state : log.state === "open" ? `nobody writes (process ${log.writer_pid})` : log.state, writes ? "good" : "bad"],
      ["filled", `${share(filled)} of ${bytes(log.log_bytes)}`],
      ["holds", duration(log.horizon_ns)],
      ["last tick", age(log.tail_ns ? now - log.tail_ns : null)],
      ["next number", count(log.next_seq)],
      ["topics", count(log.topics)],
      ["free beside it", bytes(log.free_bytes)],
    ],
  ];
}

function archiveFacts(archive, log) {
  if (!archive) return [null, [["none (archive.path)", ""]]];
  const disk = archive.free_bytes == null ? null : archive.bytes / (archive.bytes + archive.free_bytes || 1);
  const behind = log && archive.durable_seq != null ? Math.max(0, log.next_seq - 1 - archive.durable_seq) : null;
  return [
    disk == null ? null : { share: disk, words: `Archive's share of its room: ${share(disk)}` },
    [
      ["state", archive.stopped ? "stopped" : "writes", archive.stopped ? "bad" : "good"],
      ["behind", behind == null ? UNKNOWN : `${count(behind)} ticks`],
      ["on disk", bytes(archive.bytes)],
      ["free", bytes(archive.free_bytes)],
      ["errors", causes(archive.errors), total(archive.errors) ? "bad" : ""],
      ["missing", causes(archive.missing), total(archive.missing) ? "bad" : ""],
    ],
  ];
}

/** A dl with a heading line, a fill bar and facts; made once, then only texts change. */
class Facts {
  constructor(list, title) {
    this.list = list;
    this.title = title;
    this.made = "";
  }

  update(fill, facts) {
    const shape = `${fill != null} ${facts.map(([term]) => term).join()}`;
    if (shape !== this.made) this.#make(fill, facts, shape);
    if (fill) {
      this.bar.value = fill.share;
      this.bar.ariaLabel = fill.words;
    }
    facts.forEach(([, value, state], i) => {
      const cell = this.values[i];
      put(cell, value);
      if (cell.className !== (state ?? "")) cell.className = state ?? "";
    });
  }

  #make(fill, facts, shape) {
    this.made = shape;
    this.bar = make("progress", { className: "fill", max: 1 });
    this.values = facts.map(() => make("dd"));
    const head = [make("dt", { className: "head", textContent: this.title }), fill ? make("dd", { className: "meter" }) : make("dd", {})];
    if (fill) head[1].append(this.bar);
    const rows = facts.flatMap(([term], i) => [make("dt", { textContent: term }), this.values[i]]);
    this.list.replaceChildren(...head, ...rows);
  }
}
