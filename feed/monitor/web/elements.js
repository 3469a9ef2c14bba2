// Elements of the page. Texts go in as text alone: bots call themselves anything.

export const at = (id) => document.getElementById(id);

export const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);

/** Make `text` what an element (or the one of that id) says; untouched if it does already. */
export function put(element, text) {
  const found = typeof element === "string" ? at(element) : element;
  if (found.textContent !== text) found.textContent = text;
}
