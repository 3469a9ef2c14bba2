// A classic script, run before the first paint: the theme chosen on this machine, else the system's.
"use strict";
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("tickcast.theme");
  } catch {
    // storage is switched off: the system's theme
  }
  const system = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  document.documentElement.dataset.theme = chosen === "dark" || chosen === "light" ? chosen : system;
}
