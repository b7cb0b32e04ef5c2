// Live figures rest while nobody looks or nobody has acted for a while, so that looking at a page
// does not keep a session alive for ever (GB/T 22239: log-out on time-out).
"use strict";
(() => {
  const IDLE_MS = 10 * 60 * 1000;
  let acted = Date.now();
  for (const name of ["pointerdown", "keydown", "scroll"]) {
    document.addEventListener(name, () => { acted = Date.now(); }, { passive: true });
  }
  document.addEventListener("htmx:beforeRequest", (event) => {
    const isLive = event.target.hasAttribute("data-live");
    if (isLive && (document.hidden || Date.now() - acted > IDLE_MS)) event.preventDefault();
  });
})();

// What changed since the last look shines for a moment, so that the eye finds what flows.
(() => {
  let before = new Map();
  const standing = () => [...document.querySelectorAll("[data-flow]")];
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!event.target.hasAttribute("data-live")) return;
    before = new Map(standing().map((one) => [one.dataset.flow, words(one)]));
  });
  document.addEventListener("htmx:afterSettle", () => {
    for (const one of standing()) {
      if (before.has(one.dataset.flow) && before.get(one.dataset.flow) !== words(one)) one.classList.add("flowed");
    }
    before = new Map();
  });
  // Without the times, which change by themselves.
  function words(one) {
    const copy = one.cloneNode(true);
    for (const time of copy.querySelectorAll("time")) time.remove();
    return copy.textContent;
  }
})();

// A file on its way: how much is sent, and what to do when no answer comes. The server's refusals of
// a form that says so take the form's place; the chosen file stays chosen.
(() => {
  const find = (id) => document.getElementById(id);
  let kept = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    if (!target.hasAttribute("data-swap-refusals") || !xhr.responseText.includes(`id="${target.id}"`)) return;
    event.detail.shouldSwap = true;
    event.detail.isError = false;
    kept = target.querySelector("[data-keep]"); // hx-preserve would break the CSP with an inline style
  });
  document.addEventListener("htmx:afterSwap", () => {
    if (kept && find(kept.id)) find(kept.id).replaceWith(kept);
    kept = null;
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.id !== "deliver") return;
    for (const id of ["broken", "stale"]) find(id).hidden = true;
    find("sending").hidden = false;
    say(0);
  });
  document.addEventListener("htmx:xhr:progress", (event) => {
    const { loaded, total, lengthComputable } = event.detail;
    if (event.target.id === "deliver" && lengthComputable && find("sent").value < 100) say(Math.round(loaded / total * 100));
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.target.id !== "deliver") return;
    if (find("sending")) find("sending").hidden = true;
    const { xhr, successful } = event.detail; // a refusal that took the form's place counts as success
    if (successful || !find("broken")) return;
    find(xhr && xhr.status >= 400 && xhr.status < 500 ? "stale" : "broken").hidden = false;
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (!find("file-remark")) return;
    if (find("file-remark").hidden) find("file").removeAttribute("aria-invalid");
    else find("file").setAttribute("aria-invalid", "true");
  });
  function say(percent) {
    find("sent").value = percent;
    find("sending-words").textContent = percent < 100 ? `已上传 ${percent}%` : "已上传，正在读取并加密入湖…";
  }
})();

// Copying: the buttons appear only where copying can work; without it the text can be selected by hand.
(() => {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll("[data-copy]")) {
    const words = button.firstChild;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      words.data = "已复制";
      setTimeout(() => { words.data = "复制"; }, 2000);
    });
  }
})();
