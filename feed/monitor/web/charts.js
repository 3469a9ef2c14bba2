// The charts, over uPlot (a classic script, hence the global): time lines, and the histogram of the last minute.

import { make, put } from "./elements.js";
import { colour, hue, inOrder, onTheme } from "./palette.js";
import { clock, count, duration, mark, quantile, rate, share, short } from "./units.js";

const { uPlot } = window;
const FONT = '11px Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
const LINES = {
  p50_ns: { label: "p50", width: 2, alpha: 1 },
  p99_ns: { label: "p99", width: 1.25, alpha: 0.85 },
  p999_ns: { label: "p99.9", width: 1, alpha: 0.5 },
};

/** One uPlot that fills its box, whose size is page.css's, and follows the theme. */
class Chart {
  constructor(box) {
    this.box = box;
    this.plot = null;
    this.drawn = 0; // s since 1970, end of what is drawn
    new ResizeObserver(() => this.#fit()).observe(box);
    onTheme(() => this.plot?.redraw(false));
  }

  draw(options, data) {
    this.plot?.destroy();
    this.box.replaceChildren();
    this.plot = new uPlot({ ...this.#size(), legend: { show: false }, ...options }, data, this.box);
  }

  /** Would what came since it was last drawn move a line by a pixel? A narrow chart is drawn every few seconds. */
  moved(history) {
    if (this.plot && history.end >= this.drawn && (history.end - this.drawn) * this.plot.width < history.end - history.begin) return false;
    this.drawn = history.end;
    return true;
  }

  #size() {
    return { width: Math.max(120, this.box.clientWidth), height: Math.max(80, this.box.clientHeight) };
  }

  #fit() {
    const { width, height } = this.#size();
    if (this.plot && (width !== this.plot.width || height !== this.plot.height)) this.plot.setSize({ width, height });
  }
}

const axis = (more) => ({
  stroke: () => colour("dim"),
  font: FONT,
  grid: { stroke: () => colour("line"), width: 1 },
  ticks: { show: false },
  ...more,
});

const marks = (_, splits) => splits.map(mark);

const timeAxis = (more) =>
  axis({ space: 64, size: 22, gap: 4, values: (_, splits) => splits.map((s) => clock(s * 1e9).slice(0, 5)), ...more });

const latencyAxis = (more) =>
  axis({ size: 54, gap: 4, splits: eachDecade(22), filter: (_, splits) => splits, values: marks, ...more });

/** A line at each decade, at every second one where the axis is short; in pixels `space` apart at least. */
const eachDecade = (space) => (plot, axis_at, low, high) => {
  const length = plot.axes[axis_at].side % 2 ? plot.bbox.height : plot.bbox.width;
  const decades = Math.round(Math.log10(high / low));
  const step = Math.max(1, Math.ceil((decades * space * devicePixelRatio) / length));
  return Array.from({ length: Math.floor(decades / step) + 1 }, (_, i) => low * 10 ** (i * step));
};

/** Whole decades about all that is shown, so that the scale seldom moves. */
function decades(values) {
  let low = Infinity;
  let high = 0;
  for (const column of values) {
    for (const ns of column) {
      if (ns > 0 && ns < low) low = ns;
      if (ns > high) high = ns;
    }
  }
  if (!high) return [1e3, 1e6];
  const bottom = 10 ** Math.floor(Math.log10(low));
  return [bottom, Math.max(10 * bottom, 10 ** Math.ceil(Math.log10(high)))];
}

/** Dashed lines at the targets across the axis "x" or "y"; with `label` their names stand beside them. */
function drawTargets(plot, targets, axis_name, label) {
  for (const [q, ns] of Object.entries(targets)) {
    const { min, max } = plot.scales[axis_name];
    if (ns < min || ns > max) continue;
    plot.ctx.save();
    drawTarget(plot, axis_name, Math.round(plot.valToPos(ns, axis_name, true)) + 0.5);
    if (label) nameTarget(plot, axis_name, q, ns);
    plot.ctx.restore();
  }
}

function drawTarget({ ctx, bbox }, axis_name, at) {
  const ratio = devicePixelRatio;
  const flat = axis_name === "y";
  ctx.strokeStyle = colour("text");
  ctx.globalAlpha = 0.75;
  ctx.lineWidth = ratio;
  ctx.setLineDash([5 * ratio, 4 * ratio]);
  ctx.beginPath();
  ctx.moveTo(...(flat ? [bbox.left, at] : [at, bbox.top]));
  ctx.lineTo(...(flat ? [bbox.left + bbox.width, at] : [at, bbox.top + bbox.height]));
  ctx.stroke();
}

function nameTarget(plot, axis_name, q, ns) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  const flat = axis_name === "y";
  const left = !flat && Number(q) <= 0.5; // one on this side of its line, one on that: they never meet
  const at = plot.valToPos(ns, axis_name, true);
  const where = flat ? [bbox.left + 6 * ratio, at - 3 * ratio] : [at + (left ? -5 : 5) * ratio, bbox.top + 2 * ratio];
  const text = `${quantile(q)} target ${mark(ns)}`;
  ctx.font = FONT.replace("11px", `${11 * ratio}px`);
  ctx.globalAlpha = 1;
  ctx.textAlign = left ? "right" : "left";
  ctx.textBaseline = flat ? "bottom" : "top";
  ctx.setLineDash([]);
  ctx.lineJoin = "round";
  ctx.lineWidth = 4 * ratio;
  ctx.strokeStyle = colour("panel");
  ctx.strokeText(text, ...where);
  ctx.fillStyle = colour("text");
  ctx.fillText(text, ...where);
}

/** Latency of one stage over 15 minutes, a line per transport and quantile, on a log scale. */
export class LatencyChart {
  /** `keys`: of LINES. `legend`: where buttons that show and hide lines stand, or null. `sync` ties the cursors. */
  constructor(box, { keys, legend = null, small = false }) {
    this.chart = new Chart(box);
    this.keys = keys;
    this.legend = legend;
    this.small = small;
    this.targets = {};
    this.lines = [];
    this.hidden = new Set();
    this.range = [1e3, 1e6];
  }

  /** `transports` is a stage of History; `range` in ns, where several charts share one. */
  update(history, transports, targets, range = null) {
    const names = inOrder(transports.keys());
    const lines = names.flatMap((transport) => this.keys.map((key) => ({ transport, key })));
    this.targets = targets;
    this.history = history;
    const data = [history.times, ...lines.map(({ transport, key }) => transports.get(transport)[key])];
    const shown = data.slice(1).filter((_, i) => !this.hidden.has(name(lines[i])));
    const was = this.range.join();
    this.range = range ?? decades([...shown, Object.values(targets)]);
    const moved = this.chart.moved(history) || this.range.join() !== was;
    if (lines.map(name).join() !== this.lines.map(name).join() || !this.chart.plot) {
      this.lines = lines;
      this.#make(data);
    } else if (moved) {
      this.chart.plot.setData(data);
    }
    this.#read();
  }

  static range = decades;

  #make(data) {
    this.chart.draw(
      {
        padding: [8, 8, 0, 0],
        cursor: { sync: { key: "time" }, drag: { x: false, y: false }, points: { size: 5 }, y: false },
        scales: {
          x: { range: () => [this.history.begin, this.history.end] },
          y: { distr: 3, range: () => this.range, clamp: (_, ns, low) => Math.max(ns, low) }, // 0 lies on the floor
        },
        axes: [timeAxis(this.small ? { space: 70 } : {}), latencyAxis({ size: this.small ? 48 : 54 })],
        series: [
          {},
          ...this.lines.map((line) => ({
            stroke: () => colour(hue(line.transport)),
            width: LINES[line.key].width,
            alpha: LINES[line.key].alpha,
            points: { show: false },
            show: !this.hidden.has(name(line)),
          })),
        ],
        hooks: {
          draw: [(plot) => drawTargets(plot, this.targets, "y", !this.small)],
          setCursor: [() => this.#read()],
        },
      },
      data,
    );
    if (this.legend) this.#makeLegend();
  }

  #makeLegend() {
    this.readings = this.lines.map((line, i) => {
      const button = make("button", { type: "button", className: `key hue-${hue(line.transport)} line-${line.key}` });
      const value = make("b");
      button.ariaPressed = String(!this.hidden.has(name(line)));
      button.append(make("span", { className: "swatch" }), `${line.transport} ${LINES[line.key].label} `, value);
      button.addEventListener("click", () => {
        const show = this.hidden.delete(name(line));
        if (!show) this.hidden.add(name(line));
        button.ariaPressed = String(show);
        this.chart.plot.setSeries(i + 1, { show });
      });
      return value;
    });
    this.legend.replaceChildren(...this.readings.map((value) => value.parentElement));
  }

  /** The legend's values: at the cursor, else the newest. */
  #read() {
    if (!this.legend || !this.chart.plot) return;
    const { idx } = this.chart.plot.cursor;
    const at = idx ?? this.history.times.length - 1;
    this.lines.forEach((_, i) => put(this.readings[i], duration(this.chart.plot.data[i + 1][at])));
  }
}

const name = ({ transport, key }) => `${transport}.${key}`;

/** Ticks per second over 15 minutes. */
export class RateChart {
  constructor(box, reading) {
    this.chart = new Chart(box);
    this.reading = reading;
  }

  update(history) {
    this.history = history;
    const data = [history.times, history.ticks];
    const moved = this.chart.moved(history);
    if (!this.chart.plot) this.#make(data);
    else if (moved) this.chart.plot.setData(data);
    this.#read();
  }

  #make(data) {
    this.chart.draw(
      {
        padding: [8, 8, 0, 0],
        cursor: { sync: { key: "time" }, drag: { x: false, y: false }, points: { size: 5 }, y: false },
        scales: {
          x: { range: () => [this.history.begin, this.history.end] },
          y: { range: (_, low, high) => [0, uPlot.rangeNum(0, high || 1, 0.1, true)[1]] },
        },
        axes: [timeAxis(), axis({ size: 44, gap: 4, values: (_, splits) => splits.map(short) })],
        series: [{}, { stroke: () => colour("bars"), width: 1.5, points: { show: false } }],
        hooks: { setCursor: [() => this.#read()] },
      },
      data,
    );
  }

  #read() {
    if (!this.chart.plot) return;
    const { idx } = this.chart.plot.cursor;
    const at = idx ?? this.history.times.length - 1;
    const when = idx == null ? "" : ` at ${clock(this.history.times[at] * 1e9)}`;
    put(this.reading, `${rate(this.history.ticks[at])}/s${when}`);
  }
}

/** How the last minute's ticks are spread over latency: log-spaced bars, their height the share of ticks. */
export class Histogram {
  constructor(box, reading) {
    this.chart = new Chart(box);
    this.reading = reading;
    this.range = [1e3, 1e6];
    this.targets = {};
  }

  update({ edges_ns: edges, counts }, targets) {
    this.targets = targets;
    this.sum = counts.reduce((sum, n) => sum + n, 0);
    this.counts = counts;
    const used = edges.filter((_, i) => counts[i] || counts[i - 1]);
    this.range = decades([used, Object.values(targets)]);
    const shares = counts.map((n) => n / (this.sum || 1));
    const data = [edges, [...shares, shares[shares.length - 1] ?? 0]];
    if (!edges.length) data.fill([]);
    if (this.chart.plot) this.chart.plot.setData(data);
    else this.#make(data);
    this.#read();
  }

  #make(data) {
    this.chart.draw(
      {
        padding: [8, 22, 0, 0],
        cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
        scales: {
          x: { time: false, distr: 3, range: () => this.range },
          y: { range: (_, low, high) => [0, (high || 1) * 1.15] },
        },
        axes: [
          axis({ size: 22, gap: 4, splits: eachDecade(56), filter: (_, splits) => splits, values: marks }),
          axis({ size: 44, gap: 4, space: 44, values: (_, splits) => splits.map((part) => `${+(100 * part).toPrecision(3)} %`) }),
        ],
        series: [
          {},
          {
            stroke: () => colour("bars"),
            fill: () => `color-mix(in srgb, ${colour("bars")} 28%, transparent)`,
            width: 1,
            points: { show: false },
            paths: uPlot.paths.stepped({ align: 1 }),
          },
        ],
        hooks: { draw: [(plot) => drawTargets(plot, this.targets, "x", true)], setCursor: [() => this.#read()] },
      },
      data,
    );
  }

  #read() {
    if (!this.chart.plot) return;
    const { left, idx } = this.chart.plot.cursor;
    const edges = this.chart.plot.data[0];
    if (left >= 0 && idx != null && idx < this.counts.length) {
      const n = this.counts[idx];
      const part = n / (this.sum || 1);
      put(this.reading, `${mark(edges[idx])} to ${mark(edges[idx + 1])}: ${count(n)} ticks, ${share(part)}`);
    } else {
      put(this.reading, `${count(this.sum)} ticks`);
    }
  }
}
