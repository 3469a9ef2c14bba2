// What can be read from two metres: is the feed well, how much flows, is it in time, does anybody miss anything.

import { at, make, put } from "./elements.js";
import { inOrder } from "./palette.js";
import { Table } from "./tables.js";
import { UNKNOWN, clock, count, duration, quantile, rate, share, times, total } from "./units.js";

const WINDOWS = ["10s", "1m", "15m"];

export class Headline {
  constructor() {
    const window = (name) => ({
      kind: "num",
      text: (row) => row.say(row.of[name]),
      state: (row) => (row.burn[name] == null ? "dim" : row.burn[name] > 1 ? "bad" : "good"),
    });
    this.kept = new Table(at("kept"), [{ text: (row) => row.what }, ...WINDOWS.map(window)], (row) => row.what);
    this.lanes = { 0.5: new Lanes(at("p50")), 0.99: new Lanes(at("p99")) };
  }

  /** `ailing`: how many bots are {silent, lagging, slow, filling}. */
  update(answer, ailing) {
    const { now, targets_ns: targets } = answer;
    const well = now.health.status === "well";
    put("feed", answer.feed);
    put("version", `version ${answer.version}`);
    put("asof", `as of ${clock(answer.at_ns)}`);
    put("health", well ? "Well" : "Ill");
    put("ills", now.health.ills.join("; ") || agentsInWords(now.agents));
    tone("tile-health", well ? "good" : "bad");
    at("health").className = `figure ${well ? "good" : "bad"}`;

    const per_s = answer.ticks_per_s.findLast((n) => n != null);
    if (answer.ticks_per_s.length) put("rate", rate(per_s));
    put("topics", `${count(now.symbols.total)} topics, ${count(now.sources.length)} ${now.sources.length === 1 ? "source" : "sources"}`);

    const totals = now.windows["10s"].filter((row) => row.stage === "total");
    for (const [q, key, id] of [["0.5", "p50_ns", "p50"], ["0.99", "p99_ns", "p99"]]) {
      const worst = this.lanes[q].update(totals, key, targets[q]);
      const burn = now.burn["10s"]?.[q];
      const kept = burn == null ? "" : burn <= 1 ? ", kept" : ", missed";
      tone(`tile-${id}`, burn > 1 ? "bad" : worst === "bad" ? "warn" : worst);
      put(`${id}-target`, targets[q] == null ? "no target set" : `${duration(targets[q])}: ${share(now.within["10s"]?.[q])} of all ticks${kept}`);
    }
    this.kept.update(
      Object.keys(targets).sort().flatMap((q) => {
        const of = (figures) => Object.fromEntries(WINDOWS.map((name) => [name, figures[name]?.[q]]));
        const burn = of(now.burn);
        return [
          { what: `${quantile(q)} ≤ ${duration(targets[q])}`, say: share, of: of(now.within), burn },
          { what: `${quantile(q)} burn ≤ 1×`, say: times, of: burn, burn },
        ];
      }),
    );

    const ill = Object.entries(ailing).filter(([, n]) => n).map(([kind, n]) => `${n} ${kind}`);
    put("bots-count", count(now.bots.length));
    put("bots-ill", ill.join(", ") || (now.bots.length ? "all keep up" : "none has reported"));
    tone("tile-bots", ailing.silent || ailing.lagging ? "bad" : ailing.slow || ailing.filling ? "warn" : now.bots.length ? "good" : "");

    const ever = now.bots.reduce((sum, bot) => sum + total(bot.gaps), 0);
    const lost = now.bots.reduce((sum, bot) => sum + total(bot.lost), 0);
    put("gaps", count(now.gaps_15m));
    put("gaps-ever", `since the start: ${count(ever)}, ${count(lost)} ticks lost`);
    tone("tile-gaps", now.gaps_15m ? "warn" : "good");
    document.title = `${well ? "" : "ILL "}${answer.feed}: ${rate(per_s)}/s – tickcast`;
  }
}

/** A quantile's figure and verdict, one line for each transport. */
class Lanes {
  constructor(box) {
    this.box = box;
    this.lanes = new Map();
  }

  /** Gives "good", "bad", or "" without a figure or a target. */
  update(totals, key, target) {
    const rows = new Map(totals.filter((row) => row[key] != null).map((row) => [row.transport, row]));
    const names = inOrder(rows.keys());
    if (names.join() !== [...this.lanes.keys()].join()) this.#make(names);
    let worst = "";
    for (const [transport, lane] of this.lanes) {
      const ns = rows.get(transport)[key];
      const verdict = target == null ? "" : ns <= target ? "good" : "bad";
      if (verdict === "bad" || !worst) worst = verdict;
      put(lane.value, duration(ns));
      put(lane.verdict, { good: "within target", bad: "over target", "": "" }[verdict]);
      lane.value.className = `value ${verdict}`;
      lane.verdict.className = verdict;
    }
    return worst;
  }

  #make(names) {
    this.lanes = new Map();
    this.box.className = `lanes of-${Math.min(3, names.length)}`;
    this.box.replaceChildren();
    for (const transport of names) {
      const lane = { value: make("span"), verdict: make("b") };
      const words = make("span", { className: "verdict" });
      words.append(`${transport} `, lane.verdict);
      this.box.append(lane.value, words);
      this.lanes.set(transport, lane);
    }
    if (!names.length) this.box.append(make("span", { className: "value", textContent: UNKNOWN }));
  }
}

function agentsInWords(agents) {
  const restarts = agents.reduce((sum, agent) => sum + agent.restarts, 0);
  return `${agents.length} agents${restarts ? `, ${count(restarts)} restart${restarts === 1 ? "" : "s"}` : ""}`;
}

function tone(id, name) {
  const tile = at(id);
  for (const one of ["good", "warn", "bad"]) tile.classList.toggle(`is-${one}`, one === name);
}
