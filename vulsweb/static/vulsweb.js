// What HTMX does not do: the theme, busy buttons, times that move on, following the log and pausing it, keys,
// lost connections, selections that outlive a swap, silence in a hidden tab.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  function theme(choice) {
    if (choice === "light" || choice === "dark") root.dataset.theme = choice;
    else delete root.dataset.theme;
  }
  // Where the browser keeps nothing for us, asking throws.
  let kept = {};
  try {
    kept = localStorage;
  } catch {}
  theme(kept.theme);

  // Pages are drawn with times in the reader's zone, which only the browser knows.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax${secure}`;
  }

  // As vulsweb/views/words.py says it.
  function roughly(seconds) {
    for (const [unit, size, least] of [["days", 86400, 172800], ["h", 3600, 5400], ["min", 60, 60]]) {
      if (seconds >= least) return `${Math.round(seconds / size)} ${unit}`;
    }
    return `${Math.floor(seconds)} s`;
  }
  function duration(seconds) {
    const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
    if (!minutes) return `${seconds} s`;
    if (!hours) return `${minutes} min ${seconds % 60} s`;
    return days ? `${days} d ${hours % 24} h` : `${hours} h ${minutes % 60} min`;
  }
  function say(element, words) {
    if (element.textContent !== words) element.textContent = words;
  }
  function moveOn() {
    for (const element of document.querySelectorAll("time[data-relative]")) {
      const away = (Date.parse(element.dateTime) - Date.now()) / 1000;
      const due = element.dataset.relative === "due";
      if (away >= 5) say(element, `in ${roughly(away)}`);
      else if (away > -5 || due) say(element, due ? "due now" : "now");
      else say(element, `${roughly(-away)} ago`);
    }
    for (const element of document.querySelectorAll("[data-since]")) {
      say(element, duration(Math.max(0, Math.floor((Date.now() - Date.parse(element.dataset.since)) / 1000))));
    }
  }
  setInterval(moveOn, 1000);

  // So many lines the browser keeps of a log that goes on; earlier ones are on pages of their own.
  const MOST_LINES = 2000;
  function followLog() {
    const log = document.getElementById("log"), follow = document.getElementById("follow");
    if (!log || !follow || !follow.checked || !document.getElementById("log-tail")) return;
    while (log.children.length > MOST_LINES) log.firstElementChild.remove();
    log.scrollTop = log.scrollHeight;
  }
  // Pausing leaves the lines as they are: the tail then asks how many have come, and goes on where it was.
  const paused = () => document.getElementById("pause")?.getAttribute("aria-pressed") === "true";
  function pause() {
    const button = document.getElementById("pause");
    if (!button || !document.getElementById("log-tail")) return;
    button.setAttribute("aria-pressed", String(!paused()));
    if (!paused()) ask(document.getElementById("log-tail"));
  }
  document.addEventListener("htmx:configRequest", ({ target, detail }) => {
    if (target.id === "log-tail" && paused()) detail.parameters.paused = "yes";
  });
  // What was asked before somebody paused and is answered after it: the next question counts these lines.
  document.addEventListener("htmx:beforeSwap", ({ target, detail }) => {
    if (target.id === "log-tail" && paused() && !detail.requestConfig.parameters.paused) detail.shouldSwap = false;
  });

  // The list of tasks is drawn anew while somebody selects.
  const picks = () => [...document.querySelectorAll("input[name=ids][form=bulk]")];
  let picked = new Set();
  function tellPicked() {
    const all = document.getElementById("pick-all"), words = document.getElementById("picked");
    const count = picks().filter((box) => box.checked).length;
    if (words) say(words, count ? `${count} selected` : "");
    if (!all) return;
    all.checked = count > 0 && count === picks().length;
    all.indeterminate = count > 0 && !all.checked;
  }
  document.addEventListener("htmx:beforeSwap", () => {
    picked = new Set(picks().filter((box) => box.checked).map((box) => box.value));
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const box of picks()) box.checked = picked.has(box.value);
    tellPicked();
  });

  // A hidden tab asks for nothing, and for everything at once when it is looked at again.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.matches("[hx-trigger*='every ']")) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !window.htmx) return;
    for (const source of document.querySelectorAll("[hx-trigger*='every ']")) ask(source);
  });
  function ask(source) {
    window.htmx.ajax("GET", source.getAttribute("hx-get"), { source });
  }

  document.addEventListener("DOMContentLoaded", () => {
    tellPicked();
    const chosen = kept.theme || "system";
    for (const input of document.querySelectorAll("#theme input")) input.checked = input.value === chosen;
    for (const input of document.querySelectorAll("#slash")) input.checked = kept.slash !== "off";
    followLog();
  });
  // A scroll does not bubble, but is seen on its way down.
  document.addEventListener("scroll", ({ target }) => {
    const follow = document.getElementById("follow");
    if (follow && target.id === "log") {
      follow.checked = target.scrollTop + target.clientHeight > target.scrollHeight - 24;
    }
  }, true);

  document.addEventListener("change", ({ target }) => {
    if (target.name === "theme") {
      kept.theme = target.value;
      theme(target.value);
    }
    if (target.id === "slash") kept.slash = target.checked ? "on" : "off";
    if (target.id === "follow") followLog();
    if (target.id === "pick-all") for (const box of picks()) box.checked = target.checked;
    if (target.id === "pick-all" || target.name === "ids") tellPicked();
  });

  document.addEventListener("click", ({ target }) => {
    if (target.closest("#pause")) pause();
    const chip = target.closest("[data-fill]");
    if (!chip) return;
    const field = document.getElementById(chip.dataset.fill);
    field.value = chip.value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });

  // A form is sent once: its button turns busy until the next page comes.
  document.addEventListener("submit", (event) => {
    const { target, submitter } = event;
    if (target.method !== "post") return;
    if (target.dataset.sent) event.preventDefault();
    target.dataset.sent = "yes";
    submitter?.setAttribute("aria-busy", "true");
  });
  // Back from the next page, the browser may show this one as it was left.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
    for (const button of document.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
  });

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // Letters count only where the log has the focus, so that nobody who speaks or types elsewhere meets them.
    if (target.id === "log" && key === "p") pause();
    if (target.id === "log" && key === "f") document.getElementById("follow")?.click();
    if (key !== "/" || kept.slash === "off" || target.closest("input, textarea, select")) return;
    const field = document.querySelector("input[type=search]");
    if (field) {
      event.preventDefault();
      field.focus();
    }
  });

  function connected(yes) {
    const line = document.getElementById("connection");
    if (line) line.hidden = yes;
  }
  document.addEventListener("htmx:sendError", () => connected(false));
  document.addEventListener("htmx:responseError", () => connected(false));
  document.addEventListener("htmx:beforeSwap", () => connected(true));
  document.addEventListener("htmx:afterRequest", ({ detail }) => detail.successful && connected(true));
  document.addEventListener("htmx:afterSettle", () => {
    moveOn();
    followLog();
  });
})();
