// The editor of the SSH configuration: line numbers, templates at the end of the text, ways to a line.
(() => {
  "use strict";
  const text = document.getElementById("content"), lines = document.getElementById("content-lines");

  function number() {
    const count = text.value.split("\n").length;
    while (lines.children.length < count) lines.append(document.createElement("li"));
    while (lines.children.length > count) lines.lastChild.remove();
    const wrong = new Set([...document.querySelectorAll("#refusals [data-line]")].map((link) => link.dataset.line));
    [...lines.children].forEach((line, index) => line.classList.toggle("wrong", wrong.has(String(index + 1))));
    follow();
  }
  function follow() {
    lines.scrollTop = text.scrollTop;
  }
  function goTo(line) {
    const before = text.value.split("\n").slice(0, line - 1);
    const start = before.join("\n").length + (before.length ? 1 : 0), end = text.value.indexOf("\n", start);
    text.focus();
    text.setSelectionRange(start, end < 0 ? text.value.length : end);
    text.scrollTop = (line - 4) * parseFloat(getComputedStyle(text).lineHeight);
  }

  text.addEventListener("input", number);
  text.addEventListener("scroll", follow);
  document.addEventListener("htmx:afterSettle", number);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-line]"), chip = event.target.closest("[data-insert]");
    if (link) {
      event.preventDefault();
      goTo(Number(link.dataset.line));
    }
    if (chip) {
      const kept = text.value.trimEnd();
      const start = kept ? kept.split("\n").length + 2 : 1;
      text.value = kept + (kept ? "\n\n" : "") + chip.value;
      text.dispatchEvent(new Event("input", { bubbles: true }));
      goTo(start);
    }
  });
  number();
})();
