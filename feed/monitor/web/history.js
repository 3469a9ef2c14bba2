// The last 15 minutes, a sample a second, as columns for the charts. What is older leaves, so it never grows.

const SPAN_S = 900;
const KEYS = ["p50_ns", "p99_ns", "p999_ns"];

export class History {
  constructor() {
    this.clear();
  }

  clear() {
    this.times = []; // s since 1970
    this.ticks = []; // per s
    this.stages = new Map(); // stage -> Map(transport -> {p50_ns: [], p99_ns: [], p999_ns: []})
  }

  get end() {
    return this.times.length ? this.times[this.times.length - 1] : Date.now() / 1000;
  }

  get begin() {
    return this.end - SPAN_S;
  }

  /** Take in the samples of one answer of /api/recent that are newer than those here. */
  add(answer) {
    const every = answer.every_ns / 1e9;
    const times = answer.times_ns.map((ns) => ns / 1e9);
    let from = 0;
    // Whole ns since 1970 are beyond a double's 53 bits: the last sample may come once more, some 100 ns off.
    if (this.times.length) while (from < times.length && times[from] <= this.end + every / 100) from += 1;
    if (from === times.length) return;
    const hole = this.times.length > 0 && times[from] - this.end > 2.5 * every;
    if (hole) this.#append([this.end + every], [null], {}, 0);
    this.#append(times, answer.ticks_per_s, answer.stages, from);
    this.#leave();
  }

  #append(times, ticks, stages, from) {
    for (const [stage, transports] of Object.entries(stages)) {
      for (const transport of Object.keys(transports)) this.#columns(stage, transport);
    }
    for (let i = from; i < times.length; i += 1) {
      this.times.push(times[i]);
      this.ticks.push(ticks[i] ?? null);
    }
    for (const [stage, transports] of this.stages) {
      for (const [transport, columns] of transports) {
        const added = stages[stage]?.[transport];
        for (const key of KEYS) {
          for (let i = from; i < times.length; i += 1) columns[key].push(added?.[key][i] ?? null);
        }
      }
    }
  }

  #columns(stage, transport) {
    if (!this.stages.has(stage)) this.stages.set(stage, new Map());
    const transports = this.stages.get(stage);
    if (transports.has(transport)) return;
    const unknown = () => new Array(this.times.length).fill(null);
    transports.set(transport, Object.fromEntries(KEYS.map((key) => [key, unknown()])));
  }

  #leave() {
    let old = 0;
    while (this.times[old] < this.begin) old += 1;
    if (!old) return;
    this.times.splice(0, old);
    this.ticks.splice(0, old);
    for (const transports of this.stages.values()) {
      for (const columns of transports.values()) for (const key of KEYS) columns[key].splice(0, old);
    }
  }
}
