// Figures as text, each with its unit. Unknown (null, undefined) is an en dash everywhere.

export const UNKNOWN = "–";

const SIZES = [["s", 1e9], ["ms", 1e6], ["µs", 1e3]];

/** Nanoseconds with three figures and a unit: 834 ns, 13.4 µs, 2.10 ms, 1.20 s; minutes and hours from 120 s on. */
export function duration(ns) {
  if (ns == null) return UNKNOWN;
  if (ns === 0) return "0";
  if (ns < 0) return `−${duration(-ns)}`;
  if (ns >= 120e9) return ns >= 7200e9 ? `${trimmed(ns / 3600e9)} h` : `${trimmed(ns / 60e9)} min`;
  for (const [unit, ns_each] of SIZES) if (ns >= ns_each * 0.9995) return `${three(ns / ns_each)} ${unit}`;
  return `${Math.round(ns)} ns`;
}

/** The same for an axis, without zeros behind the point: 10 µs. */
export function mark(ns) {
  for (const [unit, ns_each] of SIZES) if (Math.abs(ns) >= ns_each * 0.9995) return `${+(ns / ns_each).toPrecision(3)} ${unit}`;
  return `${+ns.toPrecision(3)} ns`;
}

/** An age in seconds, one place: 0.4 s, 14.2 s; from 120 s on in minutes and hours. */
export function age(ns) {
  if (ns == null) return UNKNOWN;
  return ns >= 120e9 ? duration(ns) : `${(Math.max(0, ns) / 1e9).toFixed(1)} s`;
}

/** A difference and its bound, the unit once where it is the same: +3.44 ± 4.20 µs. */
export function bounded(ns, bound_ns) {
  if (ns == null) return UNKNOWN;
  const value = `${ns > 0 ? "+" : ""}${duration(ns)}`;
  if (bound_ns == null) return value;
  const bound = duration(bound_ns);
  const unit = /[^0-9]*$/.exec(bound)[0];
  return `${unit && value.endsWith(unit) ? value.slice(0, -unit.length) : value} ± ${bound}`;
}

/** A whole number, by thousands: 1,234,567. */
export const count = (n) => (n == null ? UNKNOWN : WHOLE.format(Math.round(n)));

/** Ticks per second: whole from 10 on, else one place. */
export const rate = (per_s) => (per_s == null ? UNKNOWN : (per_s >= 9.95 || per_s === 0 ? WHOLE : TENTHS).format(per_s));

/** For an axis: 50 k, 1.2 M. */
export function short(n) {
  if (Math.abs(n) >= 1e6) return `${+(n / 1e6).toPrecision(3)} M`;
  return Math.abs(n) >= 1e3 ? `${+(n / 1e3).toPrecision(3)} k` : `${+n.toPrecision(3)}`;
}

/** Bytes in binary units: 12 B, 1.50 KiB, 256 MiB. */
export function bytes(n) {
  if (n == null) return UNKNOWN;
  let unit = 0;
  while (Math.abs(n) >= 1023.5 && unit < BYTES.length - 1) {
    n /= 1024;
    unit += 1;
  }
  return `${unit ? three(n) : Math.round(n)} ${BYTES[unit]}`;
}

/** A share in percent, with more places the nearer it is to all: 62.1 %, 99.94 %, never 100 % before it is all. */
export function share(part) {
  if (part == null) return UNKNOWN;
  const percent = 100 * part;
  const places = percent > 99.9 && percent < 100 ? 3 : percent > 99 && percent < 100 ? 2 : 1;
  const floored = Math.floor(percent * 10 ** places + 1e-9) / 10 ** places;
  return percent === 100 ? "100 %" : `${floored.toFixed(places)} %`;
}

/** How many times as much: 0.42×, 12×. */
export const times = (n) => (n == null ? UNKNOWN : `${n >= 9.95 ? count(n) : n.toFixed(2)}×`);

/** Counts by cause, the non-zero ones: "overrun 12, hwm 3"; "0" when there are none. */
export function causes(counts) {
  const parts = Object.entries(counts ?? {}).filter(([, n]) => n).map(([cause, n]) => `${cause} ${count(n)}`);
  return parts.join(", ") || "0";
}

export const total = (counts) => Object.values(counts ?? {}).reduce((sum, n) => sum + n, 0);

/** Time of day of ns since 1970, where the reader is: 12:03:05. */
export const clock = (ns) => CLOCK.format(ns / 1e6);

/** A quantile by its usual name: "0.999" is p99.9, "1" the longest. */
export const quantile = (q) => (Number(q) === 1 ? "max" : `p${+(100 * q).toPrecision(6)}`);

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

const three = (n) => (Math.abs(n) >= 99.95 ? WHOLE.format(n) : n.toFixed(Math.abs(n) >= 9.995 ? 1 : 2));
const trimmed = (n) => `${+n.toPrecision(3)}`;
