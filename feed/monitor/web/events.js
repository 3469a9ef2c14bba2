// What happened, the newest first; spoken politely as it happens.

import { make } from "./elements.js";
import { clock } from "./units.js";

const KEPT = 500;
const SHOWN = 200;

export class Events {
  constructor(list) {
    this.list = list;
    this.kept = []; // newest last
    this.known = new Set();
    this.filled = false;
  }

  clear() {
    this.kept = [];
    this.known.clear();
    this.list.replaceChildren();
  }

  add(events) {
    const fresh = events.filter((event) => !this.known.has(identity(event)));
    this.list.ariaLive = this.filled ? "polite" : "off"; // what was there before the page is not news
    this.filled = true;
    for (const event of fresh) {
      this.known.add(identity(event));
      this.kept.push(event);
    }
    this.list.prepend(...fresh.slice(-SHOWN).reverse().map(line));
    while (this.list.childElementCount > SHOWN) this.list.lastElementChild.remove();
    if (this.kept.length <= KEPT) return;
    for (const event of this.kept.splice(0, this.kept.length - KEPT)) this.known.delete(identity(event));
  }
}

const identity = (event) => `${event.at_ns} ${event.kind} ${event.text}`;

function line(event) {
  const item = make("li");
  const time = make("time", { textContent: clock(event.at_ns), dateTime: new Date(event.at_ns / 1e6).toISOString() });
  const tone = { bad: "bad", good: "good" }[event.level] ?? "dim";
  item.append(time, make("span", { className: `kind ${tone}`, textContent: event.kind }), make("span", { textContent: event.text }));
  return item;
}
