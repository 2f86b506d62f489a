// Light or dark as Airflow is, at once and whenever it changes: its class in the frame around us, or what it has stored.
"use strict";
(() => {
  const here = document.documentElement;
  let outer = null;
  try {
    outer = window.parent === window ? null : window.parent.document.documentElement;
  } catch {
    outer = null; // another site's frame
  }
  const stored = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null;
    }
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => {
    if (outer) return outer.classList.contains("dark");
    const theme = stored();
    return theme === "dark" || (theme !== "light" && system.matches);
  };
  const follow = () => here.classList.toggle("dark", isDark());
  follow();
  if (outer) new MutationObserver(follow).observe(outer, { attributes: true, attributeFilter: ["class"] });
  window.addEventListener("storage", follow);
  system.addEventListener("change", follow);
})();
