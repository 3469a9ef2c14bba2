// Colours of the charts, read from page.css so that each is written once; transports keep theirs in every chart.

const NAMES = ["text", "panel", "dim", "line", "good", "bad", "shm", "ipc", "tcp", "other-1", "other-2", "other-3", "bars"];
const OWN = new Set(["shm", "ipc", "tcp"]);
const KEY = "tickcast.theme"; // theme.js reads it too
const ORDER = ["shm", "ipc", "tcp", "epgm", "pgm", "mold", "log"];

const colours = {};
const others = new Map();
const heard = new Set();

/** The colour of a name as page.css has it in the present theme. */
export const colour = (name) => colours[name];

/** "shm", "ipc", "tcp", or one of three more, as the others come. */
export function hue(transport) {
  if (OWN.has(transport)) return transport;
  if (!others.has(transport)) others.set(transport, `other-${(others.size % 3) + 1}`);
  return others.get(transport);
}

/** Nearest first: shared memory, sockets of this host, the network; others by name. */
export function inOrder(transports) {
  const place = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  return [...transports].sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
}

/** Call `listener` when the theme has changed. */
export const onTheme = (listener) => heard.add(listener);

/** Choose "dark" or "light" for this machine, or null for the system's theme, from then on. */
export function choose(theme) {
  choice = theme;
  try {
    if (theme) localStorage.setItem(KEY, theme);
    else localStorage.removeItem(KEY);
  } catch {
    // storage is switched off: until the page is loaded again
  }
  apply();
}

/** "dark", "light", or null for the system's. */
export const chosen = () => choice;

function apply() {
  document.documentElement.dataset.theme = choice ?? (light.matches ? "light" : "dark");
  read();
}

function read() {
  const style = getComputedStyle(document.documentElement);
  for (const name of NAMES) colours[name] = style.getPropertyValue(`--${name}`).trim();
  for (const listener of heard) listener();
}

function stored() {
  try {
    const theme = localStorage.getItem(KEY);
    return theme === "dark" || theme === "light" ? theme : null;
  } catch {
    return null;
  }
}

const light = matchMedia("(prefers-color-scheme: light)");
light.addEventListener("change", apply);
let choice = stored();
apply();
