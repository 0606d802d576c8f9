// The editor of the SSH configuration: line numbers, inserted templates, links to lines.
(() => {
  "use strict";
  const text = document.getElementById("content"), lines = document.getElementById("content-lines");

  function updateLines() {
    const count = text.value.split("\n").length;
    while (lines.children.length < count) lines.append(document.createElement("li"));
    while (lines.children.length > count) lines.lastChild.remove();
    const wrong = new Set([...document.querySelectorAll("#problems [data-line]")].map((link) => link.dataset.line));
    [...lines.children].forEach((line, index) => line.classList.toggle("wrong", wrong.has(String(index + 1))));
    syncScroll();
  }
  function syncScroll() {
    lines.scrollTop = text.scrollTop;
  }
  function goTo(line) {
    const before = text.value.split("\n").slice(0, line - 1);
    const start = before.join("\n").length + (before.length ? 1 : 0), end = text.value.indexOf("\n", start);
    text.focus();
    text.setSelectionRange(start, end < 0 ? text.value.length : end);
    text.scrollTop = (line - 4) * parseFloat(getComputedStyle(text).lineHeight);
  }

  text.addEventListener("input", updateLines);
  text.addEventListener("scroll", syncScroll);
  document.addEventListener("htmx:afterSettle", updateLines);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-line]"), chip = event.target.closest("[data-insert]");
    if (link) {
      event.preventDefault();
      goTo(Number(link.dataset.line));
    }
    if (chip) {
      const existing = text.value.trimEnd();
      const start = existing ? existing.split("\n").length + 2 : 1;
      text.value = existing + (existing ? "\n\n" : "") + chip.value;
      text.dispatchEvent(new Event("input", { bubbles: true }));
      goTo(start);
    }
  });
  updateLines();
})();
