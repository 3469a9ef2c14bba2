// Tables that keep their rows: a row is made once for each key, and a cell is touched only when its text changes.

import { make } from "./elements.js";

const LONG = 40; // rows; shorter tables are written whole each time
const OUT_OF_SIGHT = 5; // rows that nobody sees are written each fifth time
const MARGIN = 4; // rows

export class Table {
  /**
   * `columns`: one for each th of the table's head, each {text(item), state?, value?, title?}: what a cell says, the
   * class that colours it, what it is sorted by (a th with a button sorts), more to say on pointing at it. `key(item)` names a row.
   */
  constructor(table, columns, key, { sort = null, hold = false } = {}) {
    this.table = table;
    this.body = table.tBodies[0];
    this.columns = columns;
    this.key = key;
    this.rows = new Map();
    this.items = [];
    this.sort = sort; // {column, descending}, or null: as the items come
    this.hold = hold; // rows keep their places while somebody points at them
    this.turn = 0;
    this.heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    this.heads.forEach((head, column) => {
      const button = head.querySelector("button");
      if (button) button.addEventListener("click", () => this.#sortBy(column, head.dataset.first !== "up"));
    });
    this.table.parentElement.addEventListener("scroll", () => this.#writeAll(), { passive: true });
    this.#say();
  }

  update(items) {
    const inSight = this.#inSight();
    this.items = items;
    const seen = new Set();
    for (const item of items) {
      const key = this.key(item);
      seen.add(key);
      (this.rows.get(key) ?? this.#make(key)).item = item;
    }
    for (const [key, row] of this.rows) {
      if (seen.has(key)) continue;
      row.element.remove();
      this.rows.delete(key);
    }
    this.#order(false);
    this.turn += 1;
    let place = 0;
    for (const { key } of this.body.rows) {
      if (inSight(place) || (place + this.turn) % OUT_OF_SIGHT === 0) this.#write(this.rows.get(key));
      place += 1;
    }
  }

  /** Is the row of that place to be seen? Asked before anything is written, so that nothing is laid out for it. */
  #inSight() {
    const scroll = this.table.parentElement;
    const height = this.body.firstElementChild?.offsetHeight;
    if (!height || this.rows.size < LONG) return () => true;
    const box = scroll.getBoundingClientRect();
    const begin = scroll.scrollTop - this.body.offsetTop + Math.max(0, -box.top);
    const end = scroll.scrollTop - this.body.offsetTop + Math.min(scroll.clientHeight, innerHeight - box.top);
    return (place) => (place + MARGIN) * height >= begin && (place - MARGIN) * height <= end;
  }

  #write(row) {
    if (row.written === row.item) return;
    row.written = row.item;
    this.columns.forEach((column, i) => {
      const text = column.text(row.item);
      const state = column.state?.(row.item) ?? "";
      if (row.texts[i] !== text) {
        row.cells[i].textContent = row.texts[i] = text;
        if (column.title) row.cells[i].title = column.title(row.item);
      }
      if (row.states[i] !== state) row.cells[i].className = `${column.kind ?? ""} ${(row.states[i] = state)}`;
    });
  }

  #make(key) {
    const element = make("tr");
    const cells = this.columns.map((column, i) => {
      const cell = make(i ? "td" : "th", { className: column.kind ?? "" });
      if (!i) cell.scope = "row";
      return cell;
    });
    element.append(...cells);
    this.body.append(element);
    element.key = key;
    const row = { element, cells, texts: [], states: [], item: null, written: null };
    this.rows.set(key, row);
    return row;
  }

  #sortBy(column, descending) {
    const same = this.sort?.column === column;
    this.sort = { column, descending: same ? !this.sort.descending : descending };
    this.#say();
    this.#order(true);
    this.#writeAll();
  }

  #writeAll() {
    for (const row of this.rows.values()) this.#write(row);
  }

  #say() {
    this.heads.forEach((head, column) => {
      if (!head.querySelector("button")) return;
      if (this.sort?.column === column) head.ariaSort = this.sort.descending ? "descending" : "ascending";
      else head.removeAttribute("aria-sort");
    });
  }

  #order(asked) {
    if (!asked && this.hold && this.body.matches(":hover")) return;
    const wanted = this.items.map((item) => this.rows.get(this.key(item)));
    if (this.sort) {
      const { value } = this.columns[this.sort.column];
      const sign = this.sort.descending ? -1 : 1;
      const by = new Map(wanted.map((row) => [row, value(row.item)]));
      wanted.sort((a, b) => compare(by.get(a), by.get(b), sign) || compare(this.key(a.item), this.key(b.item), 1));
    }
    let at = this.body.firstElementChild;
    for (const { element } of wanted) {
      if (element === at) at = at.nextElementSibling;
      else this.body.insertBefore(element, at);
    }
  }
}

/** Unknown comes last, whichever way. */
function compare(a, b, sign) {
  if (a == null || b == null) return (a == null) - (b == null);
  return a < b ? -sign : a > b ? sign : 0;
}
