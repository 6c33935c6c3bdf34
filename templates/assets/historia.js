/* What pages do more with scripts; without them everything works. No text stands here: pages bring theirs in data-*. */
(() => {
  "use strict";
  const poll = { headers: { "X-Historia-Poll": "1" }, credentials: "same-origin" };
  const parse = (text) => new DOMParser().parseFromString(text, "text/html");
  const load = async (url, options) => {
    const response = await fetch(url, { credentials: "same-origin", ...options });
    if (!response.ok || response.redirected) throw new Error(String(response.status));
    return parse(await response.text());
  };

  /* A sent form says so, and is not sent twice. */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    const button = event.submitter;
    if (button && button.dataset.busy) {
      button.dataset.idle = button.textContent;
      setTimeout(() => { button.textContent = button.dataset.busy; button.setAttribute("aria-disabled", "true"); });
    }
  });
  /* Back again: the form can be sent, and what was typed stays. */
  window.addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
    for (const button of document.querySelectorAll("button[data-idle]")) {
      button.textContent = button.dataset.idle;
      button.removeAttribute("aria-disabled");
    }
  });

  /* Live search: the same address with ?q=, its result region put in place of ours. */
  for (const input of document.querySelectorAll("input[data-live]")) {
    const form = input.form, region = document.getElementById(input.dataset.live);
    if (!form || !region) continue;
    let timer = 0, turn = 0;
    const options = () => [...region.querySelectorAll("[data-option]")];
    const mark = (at) => options().forEach((option, n) => option.toggleAttribute("data-selected", n === at));
    const run = async () => {
      const mine = ++turn, url = new URL(form.action);
      url.search = new URLSearchParams(new FormData(form));
      try {
        const fresh = (await load(url)).getElementById(region.id);
        if (mine === turn && fresh) { region.replaceChildren(...fresh.childNodes); if (options().length) mark(0); }
      } catch { /* the submitted form is still there */ }
    };
    input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(run, 180); });
    input.addEventListener("keydown", (event) => {
      const all = options(), at = all.findIndex((option) => option.hasAttribute("data-selected"));
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        if (!all.length) return;
        event.preventDefault();
        const to = (at + (event.key === "ArrowDown" ? 1 : -1) + all.length) % all.length;
        mark(to);
        all[to].scrollIntoView({ block: "nearest" });
      } else if (event.key === "Enter" && at >= 0 && input.dataset.pick !== "off") {
        const link = all[at].querySelector("a[href]");
        if (link) { event.preventDefault(); link.click(); }
      }
    });
  }

  /* What others add meanwhile is told, not pushed under the pointer. */
  for (const region of document.querySelectorAll("[data-refresh]")) {
    const button = document.getElementById(region.dataset.news);
    let fresh = null;
    const look = async () => {
      if (document.hidden) return;
      try {
        const found = (await load(location.href, poll)).getElementById(region.id);
        if (!found || found.dataset.version === region.dataset.version) return;
        fresh = found;
        const more = Number(found.dataset.total) - Number(region.dataset.total);
        if (button) { button.hidden = false; button.textContent = more > 0 ? button.dataset.many.replace("{n}", more) : button.dataset.some; }
      } catch { /* the next time */ }
    };
    setInterval(look, 1000 * Math.max(10, Number(region.dataset.refresh)));
    if (button) button.addEventListener("click", () => {
      if (!fresh) return;
      region.replaceChildren(...fresh.childNodes);
      region.dataset.version = fresh.dataset.version;
      region.dataset.total = fresh.dataset.total;
      button.hidden = true;
    });
  }

  /* Two minutes before the session ends. */
  const warning = document.getElementById("session-warning");
  if (warning) {
    let timer = 0;
    const arm = () => {
      clearTimeout(timer);
      warning.hidden = true;
      timer = setTimeout(() => { warning.hidden = false; }, 1000 * Math.max(1, Number(warning.dataset.seconds) - 120));
    };
    arm();
    const go = warning.querySelector("a");
    if (go) go.addEventListener("click", async (event) => {
      event.preventDefault();
      try { await fetch(go.href, { credentials: "same-origin" }); arm(); } catch { /* it stays */ }
    });
  }

  /* Passwords can be looked at; "back" goes back; the first error has the focus. */
  for (const button of document.querySelectorAll("button[data-show]")) {
    const input = document.getElementById(button.dataset.show);
    button.hidden = false;
    button.addEventListener("click", () => {
      const shown = input.type === "text";
      input.type = shown ? "password" : "text";
      button.setAttribute("aria-pressed", String(!shown));
    });
  }
  for (const link of document.querySelectorAll("a[data-back]")) {
    link.addEventListener("click", (event) => { if (history.length > 1) { event.preventDefault(); history.back(); } });
  }
  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }
  const summary = document.getElementById("errors");
  if (summary) summary.focus();
})();
