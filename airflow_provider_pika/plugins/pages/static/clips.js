"use strict";
(() => {
  const EVERY = 4000; // milliseconds, while something runs
  const RARELY = 30000; // while nothing does

  // Airflow's frame lets no link lead out of it, but a link of the page around us may.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-leave]");
    if (!link || window.parent === window || event.ctrlKey || event.metaKey || event.shiftKey) return;
    try {
      const outer = window.parent.document.createElement("a");
      outer.href = link.href;
      window.parent.document.body.append(outer);
      outer.click();
      outer.remove();
      event.preventDefault();
    } catch {
      // another site's frame: the link works as any
    }
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const path = button.parentElement.querySelector("[data-path]");
    const said = button.parentElement.querySelector("[data-said]");
    try {
      await navigator.clipboard.writeText(path.textContent);
      said.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(path); // without HTTPS, and in some frames, a page may not copy
      said.textContent = document.execCommand("copy") ? "Copied" : "Selected: press Ctrl+C";
    }
  });

  document.addEventListener("keydown", (event) => {
    const field = document.querySelector("[data-slash]");
    if (event.key !== "/" || !field || event.target.closest("input, textarea")) return;
    event.preventDefault();
    field.focus();
  });

  // A picture that cannot be had is a blank one; a clip that cannot be played says why.
  const failed = (event) => {
    const what = event.target;
    if (what.matches?.(".picture img")) {
      what.parentElement.classList.add("missing");
      what.remove();
    } else if (what.matches?.("[data-video]")) {
      why(what);
    }
  };
  document.addEventListener("error", failed, true);

  const why = async (video) => {
    const said = video.parentElement.querySelector("[data-trouble]");
    if (!said) return;
    try {
      const answer = await fetch(video.src, { headers: { Accept: "application/json", Range: "bytes=0-0" } });
      if (!answer.ok) said.textContent = (await answer.json()).detail;
    } catch {
      // the store's own address, which only a player may read
    }
    said.hidden = false;
  };

  // What is shown is fetched anew when the server says that it has changed, but not while a clip plays.
  const isPlaying = () => [...document.querySelectorAll("video")].some((video) => !video.paused && !video.ended);
  const watch = () => {
    const area = document.querySelector("[data-watch]");
    if (!area || area.hasAttribute("data-still")) return;
    setTimeout(look, area.dataset.busy === "yes" ? EVERY : RARELY);
  };
  const look = async () => {
    const area = document.querySelector("[data-watch]");
    try {
      if (!document.hidden && !isPlaying()) {
        const now = await (await fetch(area.dataset.watch, { headers: { Accept: "application/json" } })).json();
        if (now.version && now.version !== area.dataset.version) await renew(area);
        else if (now.version) area.dataset.busy = now.busy ? "yes" : "no";
      }
    } catch {
      // the server restarts, or the session has ended: the next look may tell
    }
    watch();
  };
  const renew = async (area) => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-watch]");
    if (!fresh || isPlaying()) return; // one may have begun while it was on its way
    const focused = document.activeElement?.getAttribute?.("href");
    area.replaceWith(document.adoptNode(fresh));
    if (focused) fresh.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  };
  watch();
})();
