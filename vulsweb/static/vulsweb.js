// What HTMX does not do: theme, busy buttons, relative times, following and pausing the log, keyboard
// shortcuts, lost connections, selections that survive a swap, no polling in hidden tabs.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  function theme(choice) {
    if (choice === "light" || choice === "dark") root.dataset.theme = choice;
    else delete root.dataset.theme;
  }
  // If the browser blocks storage, reading localStorage throws.
  let settings = {};
  try {
    settings = localStorage;
  } catch {}
  theme(settings.theme);

  // The server formats times in the user's time zone, which only the browser knows.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax${secure}`;
  }

  // Same output as in vulsweb/views/filters.py.
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
  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }
  function updateTimes() {
    for (const element of document.querySelectorAll("time[data-relative]")) {
      const distance = (Date.parse(element.dateTime) - Date.now()) / 1000;
      const due = element.dataset.relative === "due";
      if (distance >= 5) setText(element, `in ${roughly(distance)}`);
      else if (distance > -5 || due) setText(element, due ? "due now" : "just now");
      else setText(element, `${roughly(-distance)} ago`);
    }
    for (const element of document.querySelectorAll("[data-since]")) {
      setText(element, duration(Math.max(0, Math.floor((Date.now() - Date.parse(element.dataset.since)) / 1000))));
    }
  }
  setInterval(updateTimes, 1000);

  // The browser keeps this many lines of a live log; earlier ones are on other pages.
  const MAX_LINES = 2000;
  // The last lines of a run replace the tail, and are followed too. Other parts may be swapped before they settle.
  let endsNow = false;
  document.addEventListener("htmx:beforeSwap", ({ target }) => {
    if (target.id === "log-tail") endsNow = true;
    if (target.id === "log-view") endsNow = false;
  });
  function followLog() {
    const log = document.getElementById("log"), follow = document.getElementById("follow");
    if (!log || !follow || !follow.checked || !(endsNow || document.getElementById("log-tail"))) return;
    while (log.children.length > MAX_LINES) log.firstElementChild.remove();
    log.scrollTop = log.scrollHeight;
  }
  // While paused, no lines are added: the tail only asks for the number of new lines, and later resumes.
  const paused = () => document.getElementById("pause")?.getAttribute("aria-pressed") === "true";
  function togglePause() {
    const button = document.getElementById("pause");
    if (!button || !document.getElementById("log-tail")) return;
    button.setAttribute("aria-pressed", String(!paused()));
    if (!paused()) refresh(document.getElementById("log-tail"));
  }
  document.addEventListener("htmx:configRequest", ({ target, detail }) => {
    // What a page asks by itself is nobody's activity, and does not keep a session alive.
    if (!detail.triggeringEvent?.isTrusted) detail.headers["X-Poll"] = "yes";
    if (target.id === "log-tail" && paused()) detail.parameters.paused = "yes";
  });
  // Drop the response to a request from before the pause: the next request counts these lines.
  document.addEventListener("htmx:beforeSwap", ({ target, detail }) => {
    if (target.id === "log-tail" && paused() && !detail.requestConfig.parameters.paused) detail.shouldSwap = false;
  });

  // The list may be replaced while the user selects rows.
  const checkboxes = () => [...document.querySelectorAll("input[name=ids][form=bulk]")];
  let selected = new Set();
  function showSelection() {
    const all = document.getElementById("select-all"), text = document.getElementById("selected");
    const count = checkboxes().filter((box) => box.checked).length;
    if (text) setText(text, count ? `${count} selected` : "");
    if (!all) return;
    all.checked = count > 0 && count === checkboxes().length;
    all.indeterminate = count > 0 && !all.checked;
  }
  document.addEventListener("htmx:beforeSwap", () => {
    selected = new Set(checkboxes().filter((box) => box.checked).map((box) => box.value));
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const box of checkboxes()) box.checked = selected.has(box.value);
    showSelection();
  });

  // Do not poll in a hidden tab; refresh everything when it is visible again.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.matches("[hx-trigger*='every ']")) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !window.htmx) return;
    for (const source of document.querySelectorAll("[hx-trigger*='every ']")) refresh(source);
  });
  function refresh(source) {
    window.htmx.ajax("GET", source.getAttribute("hx-get"), { source });
  }

  document.addEventListener("DOMContentLoaded", () => {
    showSelection();
    const chosen = settings.theme || "system";
    for (const input of document.querySelectorAll("#theme input")) input.checked = input.value === chosen;
    for (const input of document.querySelectorAll("#slash")) input.checked = settings.slash !== "off";
    followLog();
  });
  let lastTop = 0;
  // Scroll events do not bubble, so listen in the capture phase.
  document.addEventListener("scroll", ({ target }) => {
    const follow = document.getElementById("follow");
    if (!follow || target.id !== "log") return;
    // Only who scrolls up stops following: new lines put the end away too.
    if (target.scrollTop + target.clientHeight > target.scrollHeight - 24) follow.checked = true;
    else if (target.scrollTop < lastTop) follow.checked = false;
    lastTop = target.scrollTop;
  }, true);

  document.addEventListener("change", ({ target }) => {
    if (target.name === "theme") {
      settings.theme = target.value;
      theme(target.value);
    }
    if (target.id === "slash") settings.slash = target.checked ? "on" : "off";
    if (target.id === "follow") followLog();
    if (target.id === "select-all") for (const box of checkboxes()) box.checked = target.checked;
    if (target.id === "select-all" || target.name === "ids") showSelection();
  });

  document.addEventListener("click", ({ target }) => {
    if (target.closest("#pause")) togglePause();
    const chip = target.closest("[data-fill]");
    if (!chip) return;
    const field = document.getElementById(chip.dataset.fill);
    field.value = chip.value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });

  // Send a form only once; its button is busy until the next page loads.
  document.addEventListener("submit", (event) => {
    const { target, submitter } = event;
    if (target.method !== "post") return;
    if (target.dataset.sent) event.preventDefault();
    target.dataset.sent = "yes";
    submitter?.setAttribute("aria-busy", "true");
  });
  // Ask before typed text is lost. A form that is sent loses nothing.
  const typed = new Set();
  document.addEventListener("input", ({ target }) => {
    const form = target.form;
    if (form?.method === "post" && target.matches("textarea, input[type=text], input:not([type])")) typed.add(form);
  });
  document.addEventListener("submit", ({ target }) => typed.delete(target));
  addEventListener("beforeunload", (event) => {
    if ([...typed].some((form) => form.isConnected)) event.preventDefault();
  });

  // After the back button, the browser may restore this page in its last state.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
    for (const button of document.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
  });

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // Letter keys work only when the log has focus, so that typing or speech input elsewhere does not trigger them.
    if (target.id === "log" && key === "p") togglePause();
    if (target.id === "log" && key === "f") document.getElementById("follow")?.click();
    if (key !== "/" || settings.slash === "off" || target.closest("input, textarea, select")) return;
    const field = document.querySelector("input[type=search]");
    if (field) {
      event.preventDefault();
      field.focus();
    }
  });

  function setConnected(connected) {
    const message = document.getElementById("connection");
    if (message) message.hidden = connected;
  }
  document.addEventListener("htmx:sendError", () => setConnected(false));
  document.addEventListener("htmx:responseError", () => setConnected(false));
  document.addEventListener("htmx:beforeSwap", () => setConnected(true));
  document.addEventListener("htmx:afterRequest", ({ detail }) => detail.successful && setConnected(true));
  document.addEventListener("htmx:afterSettle", () => {
    updateTimes();
    followLog();
  });
})();
