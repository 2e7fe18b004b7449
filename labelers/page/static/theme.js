// Light or dark theme: the user's choice, otherwise the system's. Runs before the page is painted.
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = localStorage.getItem("theme");
  const apply = () => { root.dataset.theme = chosen ?? (system.matches ? "dark" : "light"); };
  apply();
  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      chosen = root.dataset.theme === "dark" ? "light" : "dark";
      localStorage.setItem("theme", chosen);
      apply();
    });
  });
})();
