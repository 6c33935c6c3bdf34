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

  /* Arrows and Enter in a list that belongs to a field. */
  const mark = (input, all, at) => all.forEach((option, n) => {
    option.toggleAttribute("data-selected", n === at);
    if (!option.id) return;
    option.setAttribute("aria-selected", String(n === at));
    if (n === at) input.setAttribute("aria-activedescendant", option.id);
  });
  const steer = (input, options, choose) => input.addEventListener("keydown", (event) => {
    const all = options(), at = all.findIndex((option) => option.hasAttribute("data-selected"));
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && all.length) {
      event.preventDefault();
      const to = at < 0 && event.key === "ArrowUp" ? all.length - 1 : (at + (event.key === "ArrowDown" ? 1 : -1) + all.length) % all.length;
      mark(input, all, to);
      all[to].scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" && at >= 0) choose(all[at], event);
  });
  const later = (input, run) => {
    let timer = 0;
    input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(run, 180); });
  };

  /* Live search: the same address with ?q=, its result region put in place of ours. */
  for (const input of document.querySelectorAll("input[data-live]")) {
    const form = input.form, region = document.getElementById(input.dataset.live);
    if (!form || !region) continue;
    let turn = 0;
    const options = () => [...region.querySelectorAll("[data-option]")];
    later(input, async () => {
      const mine = ++turn, url = new URL(form.action);
      url.search = new URLSearchParams(new FormData(form));
      url.searchParams.set("solo", "1");
      try {
        const fresh = (await load(url)).getElementById(region.id);
        if (mine === turn && fresh) { region.replaceChildren(...fresh.childNodes); mark(input, options(), 0); }
      } catch { /* the submitted form is still there */ }
    });
    /* What is shown is not yet what was typed: Enter sends the form. */
    input.addEventListener("input", () => { turn++; mark(input, options(), -1); });
    steer(input, options, (option, event) => {
      const link = option.querySelector("a[href]");
      if (link && input.dataset.pick !== "off") { event.preventDefault(); link.click(); }
    });
  }

  /* Suggestions under a field; without them the typed text is read when the form is sent. */
  for (const input of document.querySelectorAll("input[data-ask]")) {
    const list = document.createElement("ul");
    list.id = `${input.id}-options`;
    list.className = "panel rows";
    list.setAttribute("role", "listbox");
    input.parentElement.append(list);
    input.removeAttribute("list");
    for (const [name, value] of [["role", "combobox"], ["aria-controls", list.id], ["aria-autocomplete", "list"]]) input.setAttribute(name, value);
    let turn = 0;
    const show = (found) => {
      list.replaceChildren(...found.map((text, n) => {
        const option = document.createElement("li"), line = document.createElement("a");
        option.id = `${list.id}-${n}`;
        option.setAttribute("role", "option");
        line.className = "item";
        line.textContent = text;
        option.append(line);
        return option;
      }));
      list.hidden = !found.length;
      input.setAttribute("aria-expanded", String(found.length > 0));
      input.removeAttribute("aria-activedescendant");
    };
    const choose = (option, event) => {
      event.preventDefault();
      input.value = option.textContent;
      turn++;
      show([]);
    };
    show([]);
    later(input, async () => {
      const mine = ++turn;
      try {
        const response = await fetch(`${input.dataset.ask}?q=${encodeURIComponent(input.value)}`, { credentials: "same-origin" });
        const found = response.ok ? await response.json() : [];
        if (mine === turn && document.activeElement === input) show(found);
      } catch { /* the text is read all the same */ }
    });
    steer(input, () => [...list.children], choose);
    list.addEventListener("mousedown", (event) => { const option = event.target.closest("li"); if (option) choose(option, event); });
    input.addEventListener("keydown", (event) => { if (event.key === "Escape") show([]); });
    input.addEventListener("blur", () => show([]));
  }

  /* What a form may run into is looked up while it is filled: who is registered already. */
  for (const form of document.querySelectorAll("form[data-check]")) {
    const names = form.dataset.check.split(" ");
    let turn = 0;
    form.addEventListener("change", async (event) => {
      if (!names.includes(event.target.name)) return;
      const mine = ++turn, body = new URLSearchParams(new FormData(form));
      body.set("mirar", "1");
      try {
        const fresh = await load(form.action, { method: "POST", body, headers: { Accept: "text/html" } });
        if (mine !== turn) return;
        for (const region of form.querySelectorAll("[data-checked], .hint[id]")) {
          const found = fresh.getElementById(region.id);
          if (found && found.innerHTML !== region.innerHTML) region.replaceChildren(...found.childNodes);
        }
      } catch { /* it is said when the form is sent */ }
    });
  }

  /* What others add meanwhile is told, not pushed under the pointer. */
  for (const region of document.querySelectorAll("[data-refresh]")) {
    const button = document.getElementById(region.dataset.news);
    const look = async () => {
      if (document.hidden || !button) return;
      try {
        const response = await fetch(region.dataset.look, poll);
        const news = response.ok ? await response.json() : {};
        button.hidden = !news.text;
        button.textContent = news.text || "";
      } catch { /* the next time */ }
    };
    setInterval(look, 1000 * Math.max(10, Number(region.dataset.refresh)));
    if (button) button.addEventListener("click", async () => {
      try {
        const fresh = (await load(location.href)).getElementById(region.id);
        if (!fresh) return;
        region.replaceChildren(...fresh.childNodes);
        region.dataset.look = fresh.dataset.look;
        button.hidden = true;
      } catch { location.reload(); }
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
