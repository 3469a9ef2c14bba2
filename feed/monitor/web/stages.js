// Small multiples: one chart for each stage of a tick's way, in its order, all on one scale.

import { LatencyChart } from "./charts.js";
import { make, put } from "./elements.js";
import { hue, inOrder } from "./palette.js";
import { duration } from "./units.js";

const STAGES = {
  venue: "stamped by the venue to tick in",
  ingest: "tick in to in the log",
  publish: "in the log to sent",
  wire: "sent to at the bot",
  total: "tick in to callback",
  handler: "the callback itself",
};
const KEYS = ["p50_ns", "p99_ns"];

export class Stages {
  constructor(box) {
    this.stages = Object.entries(STAGES).map(([stage, words]) => new Stage(box, stage, words));
  }

  /** `windows` is the list of the last 10 s, for the figures above each chart. */
  update(history, windows, targets) {
    const columns = [Object.values(targets)];
    for (const { stage } of this.stages) {
      for (const transport of history.stages.get(stage)?.values() ?? []) columns.push(...KEYS.map((key) => transport[key]));
    }
    const range = LatencyChart.range(columns);
    for (const one of this.stages) one.update(history, windows, one.stage === "total" ? targets : {}, range);
  }
}

class Stage {
  constructor(box, stage, words) {
    this.stage = stage;
    const figure = make("div", { className: "stage" });
    const title = make("h3", { id: `stage-${stage}`, textContent: stage });
    title.append(make("small", { textContent: words }));
    this.list = make("ul", { id: `stage-${stage}-text` });
    this.plot = make("div", { className: "plot" });
    this.plot.setAttribute("role", "img");
    this.plot.setAttribute("aria-labelledby", `${title.id} ${this.list.id}`);
    this.empty = make("p", { className: "none", textContent: "not measured in these 15 min" });
    this.plot.append(this.empty);
    figure.append(title, this.list, this.plot);
    box.append(figure);
    this.chart = new LatencyChart(this.plot, { keys: KEYS, small: true });
    this.lines = new Map();
  }

  update(history, windows, targets, range) {
    const transports = history.stages.get(this.stage);
    if (!transports) return;
    this.chart.update(history, transports, targets, range);
    const now = new Map(windows.filter((row) => row.stage === this.stage).map((row) => [row.transport, row]));
    for (const transport of inOrder(transports.keys())) {
      const value = this.lines.get(transport) ?? this.#line(transport);
      const row = now.get(transport);
      const text = row?.count ? `${duration(row.p50_ns)} · ${duration(row.p99_ns)}` : "none in 10 s";
      put(value, text);
    }
  }

  #line(transport) {
    const item = make("li", { className: `hue-${hue(transport)}` });
    const value = make("b");
    item.append(make("span", { className: "swatch" }), `${transport} `, value);
    this.list.append(item);
    this.lines.set(transport, value);
    return value;
  }
}
