// Light or dark: the user's choice, otherwise the system's. It runs before the page is painted.

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

const apply = () => {
  root.dataset.theme = localStorage.getItem("theme") ?? (system.matches ? "dark" : "light");
};

apply();
system.addEventListener("change", apply);
addEventListener("publius-theme", () => {
  localStorage.setItem("theme", root.dataset.theme === "dark" ? "light" : "dark");
  apply();
});
