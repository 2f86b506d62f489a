// The form of a review: what is still missing, one answer to Airflow's own API, whose answer counts, and what follows.
"use strict";
(() => {
  const EVERY = 4000; // milliseconds between looks, while it waits for a person
  const SOON = 1000; // while the task has something to do
  const RARELY = 30000; // when it is over
  const WITHIN = 20000; // for Airflow's answer

  const sent = document.querySelector("[data-sent]");
  const changed = document.querySelector("[data-changed]");
  let touched = false; // somebody has begun to choose, so nothing is replaced under their hands
  let sending = false;
  let done = false; // an answer has arrived, and the page follows what comes of it

  const area = () => document.querySelector("[data-review]");
  const form = () => document.querySelector("[data-form]");
  const say = (text) => {
    sent.textContent = text;
    sent.hidden = !text;
    sent.classList.toggle("hidden", text === area().dataset.says); // it stands below, and is read aloud all the same
  };

  // What is chosen

  const kept = () =>
    [...form().querySelectorAll("input[name=keep]:checked, input[value=keep]:checked")].map(
      (input) => input.dataset.sha256 ?? input.value,
    );
  const isOpen = () => area().dataset.wait === "0" && !sending && !done;
  const missing = () => {
    const number = Number(form().dataset.number);
    const choose = form().dataset.choose;
    if (number === 1) return form().querySelector("input[type=radio]:checked") ? "" : "Keep the clip, or reject it.";
    if (choose === "any") {
      const left = number - form().querySelectorAll("input[type=radio]:checked").length;
      if (!left) return "";
      return `Keep or reject each: ${left} of ${number} not decided yet.`;
    }
    const chosen = kept().length;
    if (chosen === Number(choose)) return "";
    return `Choose ${choose} of ${number}: ${chosen || "none"} chosen${chosen < Number(choose) ? " yet" : ""}.`;
  };
  const state = () => {
    if (sending) return "Sending …";
    if (done) return "Sent.";
    if ("replaced" in form().dataset) return "Clips have been replaced. Show the new ones first.";
    const left = missing();
    if (!isOpen()) return `You can send in a moment. ${left}`.trim();
    if (left) return left;
    if (form().dataset.number === "1") return `Ready to send: ${kept().length ? "kept" : "rejected"}.`;
    return `Ready to send: ${kept().length} of ${form().dataset.number} kept.`;
  };
  const sync = () => {
    if (!form()) return;
    const line = form().querySelector("[data-missing]");
    if (line.textContent !== state()) line.textContent = state();
    if (!missing()) line.classList.remove("bad");
    form().querySelector("[type=submit]").disabled = !isOpen() || "replaced" in form().dataset;
    form().querySelector("[data-none]").disabled = form().querySelector("[type=submit]").disabled;
    for (const button of document.querySelectorAll("[data-anew]")) button.disabled = !isOpen();
  };
  const open = (wait) => {
    area().dataset.wait = wait > 0 ? "soon" : "0";
    if (wait > 0) setTimeout(() => { area().dataset.wait = "0"; sync(); }, wait);
    sync();
  };

  // Sending

  const filled = (text) => text.value.trim();
  const answer = (option, clips) => {
    const notes = {};
    for (const text of form().querySelectorAll("[data-note]")) {
      if (filled(text)) notes[text.dataset.note] = [notes[text.dataset.note], filled(text)].filter(Boolean).join("\n");
    }
    const note = filled(form().querySelector("[data-note-for-all]")) || null;
    return { chosen_options: [option], params_input: { clips, shown: form().dataset.shown, note, notes } };
  };
  const ask = (method, body) =>
    fetch(form().dataset.answer, {
      method,
      body: body && JSON.stringify(body),
      headers: { Accept: "application/json", "Content-Type": "application/json" },
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(WITHIN),
    });
  const inOrder = (_, value) =>
    value && typeof value === "object" && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort()) : value;
  const same = (one, other) => JSON.stringify(one, inOrder) === JSON.stringify(other, inOrder);

  // Several answers at once may each be told that they were taken, and one is stored: so it is read back.
  const whose = async (body, received) => {
    const stored = await (await ask("GET")).json();
    const by = stored.responded_by_user;
    if (!stored.response_received || !by) return received;
    const { chosen_options, params_input } = stored;
    if (by.id === form().dataset.me && same({ chosen_options, params_input }, body)) return received;
    const number = chosen_options?.[0] === form().dataset.keep ? (params_input?.clips?.length ?? 0) : 0;
    const what = number ? `${number} ${number === 1 ? "clip" : "clips"} kept` : "all rejected";
    return `${by.name || by.id} answered first: ${what}.`;
  };
  const detail = async (response) => {
    const told = (await response.json().catch(() => ({}))).detail;
    return typeof told === "string" ? told : JSON.stringify(told ?? "");
  };
  const outcome = async (body, received) => {
    const response = await ask("PATCH", body);
    done = response.ok || response.status === 409;
    if (done) {
      const otherwise = response.ok ? received : "Somebody answered first.";
      return (await whose(body, response.ok ? received : "Your decision was received.").catch(() => null)) ?? otherwise;
    }
    if (response.status === 401) return "You are not signed in any more. Sign in to Airflow, and send again.";
    if (response.status === 403) return `You may not decide here. ${await detail(response)}`;
    if (response.status === 404) return "Nothing is asked here any more: the run, its task or the question is gone.";
    if (response.status < 500) return `Airflow does not take that: ${await detail(response)}`;
    return `Airflow has had an error (${response.status}). Send again.`;
  };
  const send = async (option, clips, received = "Your decision was received.") => {
    if (!isOpen()) return;
    sending = true;
    say("");
    sync();
    for (const video of document.querySelectorAll("video")) video.pause();
    try {
      say(await outcome(answer(option, clips), received));
    } catch {
      say("Airflow cannot be reached, so your decision may not have arrived. Send again: it counts once.");
    }
    sending = false;
    if (done) touched = false;
    sync();
    look();
  };

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-form]")) return;
    event.preventDefault();
    if (missing()) {
      form().querySelector("[data-missing]").classList.add("bad");
      const open = [...form().querySelectorAll("fieldset")].filter((set) => !set.querySelector("fieldset, :checked"));
      (open[0] ?? form()).querySelector("input:not(:disabled)")?.focus();
    } else if (kept().length) {
      send(form().dataset.keep, kept());
    } else {
      send(form().dataset.reject, []);
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-none]")) send(form().dataset.reject, []);
    if (event.target.closest("[data-anew]")) send(form().dataset.keep, [], "The task asks again, about the new clips.");
    if (event.target.closest("[data-load]")) renew().catch(() => {});
  });
  document.addEventListener("input", (event) => {
    if (!event.target.closest("[data-form]")) return;
    touched = true;
    sync();
  });

  // Following

  const isInUse = () => touched || isPlaying();
  const isPlaying = () => [...document.querySelectorAll("video")].some((video) => !video.paused && !video.ended);
  let timer = 0;
  const look = async () => {
    clearTimeout(timer);
    try {
      if (!document.hidden && !sending) await compare();
    } catch {
      // the server restarts, or the session has ended: the next look may tell
    }
    const phase = area().dataset.phase;
    const isSoon = done || ["asking", "answered"].includes(phase);
    clearTimeout(timer);
    timer = setTimeout(look, ["decided", "ended"].includes(phase) ? RARELY : isSoon ? SOON : EVERY);
  };
  const compare = async () => {
    const answer = await fetch(area().dataset.review, { headers: { Accept: "application/json" }, cache: "no-store" });
    if (!answer.ok || sending) return;
    const now = await answer.json();
    if (now.version !== area().dataset.version) {
      if (isInUse()) changed.hidden = false;
      else await renew(isInUse);
    } else if (now.wait !== null && area().dataset.wait === "") {
      area().dataset.phase = now.phase;
      open(now.wait * 1000);
    }
  };
  const renew = async (isUnwanted = () => false) => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    const text = await answer.text();
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("[data-review]");
    if (!answer.ok || !fresh || sending) return;
    if (isUnwanted()) { // somebody has begun while it was on its way
      changed.hidden = false;
      return;
    }
    area().replaceWith(document.adoptNode(fresh));
    touched = false;
    changed.hidden = true;
    if (done) say(fresh.dataset.phase === "answered" ? sent.textContent : fresh.dataset.says);
    if (fresh.dataset.phase !== "answered") done = false;
    if (document.activeElement === document.body) document.getElementById("main").focus();
    begin();
  };
  const begin = () => {
    if (area().dataset.wait !== "") open(Number(area().dataset.wait));
    sync();
  };
  begin();
  look();
})();
