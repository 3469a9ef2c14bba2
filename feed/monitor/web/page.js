// The page: asks /api/recent each second while it is seen, and hands the answer to the parts.

import { BotsTable } from "./bots.js";
import { Histogram, LatencyChart, RateChart } from "./charts.js";
import { Detail } from "./detail.js";
import { at, put } from "./elements.js";
import { Events } from "./events.js";
import { Headline } from "./headline.js";
import { History } from "./history.js";
import { choose, chosen } from "./palette.js";
import { Stages } from "./stages.js";
import { clock, duration, quantile, rate, share } from "./units.js";

const EVERY_MS = 1000;
const ANSWER_MS = 5000; // an answer that takes longer is none
const STUCK_MS = 5000; // without a newer sample for so long

const history = new History();
const events = new Events(at("events"));
const headline = new Headline();
const detail = new Detail();
const latency = new LatencyChart(at("latency"), {
  keys: ["p50_ns", "p99_ns", "p999_ns"],
  legend: at("latency-legend"),
});
const spread = new Histogram(at("spread"), at("spread-reading"));
const stages = new Stages(at("stages"));
const rates = new RateChart(at("rates"), at("rates-reading"));
const bots = new BotsTable(at("bots-table"), at("bots-filter"), at("bots-only"), at("bots-found"));

let newest_ns = 0;
let renewed_ms = Date.now(); // when a newer sample last came
let failing_ms = null; // since when there is no answer
let timer = null;
let asking = null;

async function poll() {
  clearTimeout(timer);
  asking?.abort();
  const request = (asking = new AbortController());
  const began = performance.now();
  try {
    const answer = await ask(request);
    if (request !== asking) return;
    show(answer);
    failing_ms = null;
  } catch (error) {
    if (request !== asking) return;
    failing_ms ??= Date.now();
    if (!(error instanceof TypeError || error instanceof DOMException || error instanceof Refused)) console.error(error);
  }
  say();
  asking = null;
  if (!document.hidden) timer = setTimeout(poll, Math.max(50, EVERY_MS - (performance.now() - began)));
}

class Refused extends Error {}

async function ask(request) {
  const symbols = encodeURIComponent(at("symbols-filter").value.trim());
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(ANSWER_MS)]);
  const answer = await fetch(`/api/recent?since=${newest_ns}&symbols=${symbols}`, { signal, cache: "no-store" });
  if (!answer.ok) throw new Refused(`${answer.status}`);
  return answer.json();
}

function show(answer) {
  if (answer.at_ns < newest_ns - 1e9) {
    // another feed, or a clock that was set back: what is here is no past of it
    history.clear();
    events.clear();
    newest_ns = 0;
    return;
  }
  if (answer.at_ns > newest_ns || !newest_ns) renewed_ms = Date.now();
  newest_ns = answer.at_ns;
  const ailing = bots.update(answer);
  history.add(answer);
  events.add(answer.events);
  headline.update(answer, ailing);
  detail.update(answer);
  drawCharts(answer);
}

function drawCharts({ now, targets_ns: targets }) {
  const ten = now.windows["10s"];
  latency.update(history, history.stages.get("total") ?? new Map(), targets);
  stages.update(history, ten, targets);
  spread.update(now.histogram, targets);
  rates.update(history);
  const totals = ten.filter((row) => row.stage === "total" && row.count);
  put("latency-text", totals.map((row) => `${row.transport}: p50 ${duration(row.p50_ns)}, p99 ${duration(row.p99_ns)}, p99.9 ${duration(row.p999_ns)}`).join("; ") || "nothing measured in 10 s");
  put("spread-text", `${inWords(targets, now.within["1m"])} in the last minute`);
  put("rates-text", `now ${rate(history.ticks[history.ticks.length - 1])} ticks/s`);
}

function inWords(targets, within) {
  const parts = Object.keys(targets).sort().map((q) => `${share(within?.[q])} within the ${quantile(q)} target of ${duration(targets[q])}`);
  return parts.join(", ") || "no target";
}

/** The banner: no answer, or an answer without news. */
function say() {
  const stuck = Date.now() - renewed_ms > STUCK_MS;
  let text = "";
  if (failing_ms != null) text = `The monitor does not answer since ${clock(failing_ms * 1e6)}. What is below is of then; it is asked again each second.`;
  else if (stuck) text = `The monitor answers, but has nothing newer than ${clock(newest_ns)}.`;
  put("silence", text);
  at("silence").hidden = !text;
  document.body.classList.toggle("stale", Boolean(text));
}

const theme = () => put("theme", `Theme: ${chosen() ?? "system"}`);

at("theme").addEventListener("click", () => {
  choose({ null: "dark", dark: "light", light: null }[chosen()]);
  theme();
});
theme();

let typing = null;
at("symbols-filter").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(poll, 250);
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(timer);
  } else {
    renewed_ms = Date.now();
    poll();
  }
});
poll();
