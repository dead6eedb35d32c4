"use strict";
// Everything that a model, a judge or a file name says is put on the page as a text node: no innerHTML anywhere.
(() => {
  const $ = (id) => document.getElementById(id);
  const el = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined && text !== null) node.textContent = text;
    return node;
  };
  const number = (value) => Number(value).toLocaleString("en-US", { maximumFractionDigits: value < 10 ? 2 : 0 });

  // -- light and dark

  const themes = ["system", "light", "dark"];
  const show = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    $("theme").textContent = "Theme: " + theme;
  };
  let theme = "system";
  try { theme = localStorage.getItem("loopguard-theme") || "system"; } catch { /* not from disk, in some browsers */ }
  if (!themes.includes(theme)) theme = "system";
  show(theme);
  $("theme").addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    show(theme);
    try { localStorage.setItem("loopguard-theme", theme); } catch { /* as above */ }
  });

  // -- what a mark of a chart stands for

  const tip = $("tip");
  const point = (event) => {
    const mark = event.target.closest ? event.target.closest("figure svg [aria-label]") : null;
    const label = mark && mark.getAttribute("aria-roledescription") !== "axis" ? mark.getAttribute("aria-label") : null;
    tip.hidden = !label;
    if (!label) return;
    tip.textContent = label;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(event.clientX + 12, innerWidth - box.width - 4)) + "px";
    tip.style.top = Math.max(4, event.clientY - box.height - 10) + "px";
  };
  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);

  // -- the browser of outputs

  if (!$("data")) return;
  const STEP = 150;
  let all = [], found = [], at = -1, drawn = 0, unfolded = false, head = {};
  const filters = new Map();

  const read = async () => {
    const raw = Uint8Array.from(atob($("data").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };

  const plain = (segments) => (segments || []).map((s) => (s[0] === "t" ? s[1] : s[0] === "l" ? s[2].join("") : " ")).join("");
  const asked = (item) => {
    const said = item.prompt.filter((m) => m[0] !== "system").pop() || item.prompt[item.prompt.length - 1];
    return said ? plain(said[1]) : plain((item.sides[0][0] || {}).body).slice(0, 200);
  };
  const prepare = (item) => {
    item.outputs = item.sides.flat();
    item.ask = asked(item).trim().slice(0, 240) || "(empty)";
    item.text = [item.key, item.reason, ...Object.values(item.about || {}), ...item.prompt.map((m) => plain(m[1])), ...item.outputs.map((o) => plain(o.body) + " " + Object.values(o.labels || {}).join(" "))].join("\n").toLowerCase();
  };

  // each filter: its name, the value of an item or of one output, and whether it looks at outputs
  const kinds = [
    ["change", "Change", (item) => item.change, false],
    ["reason", "Reason", (item) => (head.compare ? undefined : item.reason), false],
    ["kind", "Kind", (o) => (o.looping ? (o.loop ? o.loop.kind : "stopped") : "no loop"), true],
    ["decoding", "Decoding", (o) => o.decoding, true],
    ["used", "Used as", (o) => o.used, true],
  ];

  const offer = () => {
    const own = (values, name) => (values && Object.hasOwn(values, name) ? values[name] : undefined);  // a column may be called "constructor"
    const ofPrompts = head.about.map((name) => ["about:" + name, name, (item) => own(item.about, name), false]);
    const offered = [...kinds, ...ofPrompts, ...head.labels.map((name) => ["label:" + name, name, (o) => own(o.labels, name), true])];
    for (const [key, name, value, ofOutput] of offered) {
      const counts = new Map();
      for (const item of all) {
        const values = new Set((ofOutput ? item.outputs : [item]).map(value).filter((v) => v !== undefined && v !== null));
        for (const one of values) counts.set(one, (counts.get(one) || 0) + 1);
      }
      if (counts.size < 2) continue;
      const label = el("label", "", name + " ");
      const select = el("select");
      select.id = "filter-" + key.replace(/[^a-z]/g, "-");
      select.append(new Option("any", ""));
      const sorted = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
      sorted.forEach(([one, count], k) => select.append(new Option(one + " (" + number(count) + ")", String(k + 1))));
      select.addEventListener("change", () => {
        const index = Number(select.value);
        if (index) filters.set(key, { want: sorted[index - 1][0], value, ofOutput });
        else filters.delete(key);
        refresh();
      });
      label.append(select);
      $("filters").append(label);
    }
  };

  const fits = (item) => {
    const words = $("search").value.toLowerCase();
    if (words && !item.text.includes(words)) return false;
    const ofItem = [...filters.values()].filter((f) => !f.ofOutput), ofOutput = [...filters.values()].filter((f) => f.ofOutput);
    if (!ofItem.every((f) => f.value(item) === f.want)) return false;
    return !ofOutput.length || item.outputs.some((o) => ofOutput.every((f) => f.value(o) === f.want));
  };

  const orders = {
    waste: (a, b) => b.waste - a.waste || b.margin - a.margin || a.order - b.order,
    margin: (a, b) => b.margin - a.margin || b.waste - a.waste || a.order - b.order,
    row: (a, b) => (a.row ?? a.key) - (b.row ?? b.key) || a.order - b.order,
  };

  const entry = (item, index) => {
    const node = el("li");
    node.dataset.index = index;
    const ask = el("div", "ask", item.ask);
    ask.dir = "auto";
    const meta = el("div", "meta");
    meta.append(el("span", "", head.compare ? item.change : (item.reason + (item.kind ? ", " + item.kind : ""))));
    meta.append(el("span", "", head.compare ? item.sides.map((side) => side.filter((o) => o.looping).length + " of " + side.length).join(" → ") : item.waste ? number(item.waste) + " wasted" : item.margin ? "margin " + item.margin.toFixed(2) : ""));
    node.append(ask, meta);
    return node;
  };

  const more = () => {
    const list = $("list"), last = list.querySelector("button");
    if (last) last.parentNode.remove();
    const end = Math.min(found.length, drawn + STEP);
    for (; drawn < end; drawn++) list.append(entry(found[drawn], drawn));
    if (drawn < found.length) {
      const rest = el("li"), button = el("button", "", number(found.length - drawn) + " more");
      button.type = "button";
      button.addEventListener("click", (event) => { event.stopPropagation(); more(); });
      rest.append(button);
      list.append(rest);
    }
  };

  const refresh = () => {
    found = all.filter(fits).sort(orders[$("sort").value]);
    drawn = 0;
    $("list").replaceChildren();
    $("list").scrollTop = 0;
    more();
    $("count").textContent = number(found.length) + " of " + number(all.length);
    select(found.length ? 0 : -1, false);
  };

  const select = (index, scroll = true) => {
    at = index;
    for (const node of $("list").querySelectorAll("[aria-current]")) node.removeAttribute("aria-current");
    if (at < 0) {
      $("detail").replaceChildren(el("p", "none", "Nothing fits. Esc clears the search and the filters."));
      return;
    }
    while (drawn <= at) more();
    const node = $("list").querySelector('[data-index="' + at + '"]');
    node.setAttribute("aria-current", "true");
    if (scroll) node.scrollIntoView({ block: "nearest" });
    unfolded = false;
    detail(found[at]);
  };

  const body = (segments) => {
    const node = el("pre", "body");
    node.dir = "auto";
    if (!segments) node.append(el("span", "gap", "no text in the file"));
    else if (!segments.length) node.append(el("span", "gap", "(empty)"));
    for (const segment of segments || []) {
      if (segment[0] === "t") node.append(document.createTextNode(segment[1]));
      else if (segment[0] === "g") node.append(el("span", "gap", " [… " + number(segment[1]) + " " + segment[2] + " left out …] "));
      else node.append(folded(segment));
    }
    return node;
  };

  const folded = ([, kind, copies, repeats, rest]) => {
    const part = el("span", "loop"), hidden = el("span", "copies");
    copies.slice(0, 2).forEach((copy, k) => part.append(el("mark", k ? "again" : "first", copy)));
    if (copies.length <= 2 && !rest) return part;
    const fold = el("button", "fold", "× " + number(repeats));
    fold.type = "button";
    fold.setAttribute("aria-expanded", "false");
    fold.title = kind + " loop: unfold its copies";
    hidden.hidden = true;
    for (const copy of copies.slice(2)) hidden.append(el("mark", "again", copy));
    if (rest) hidden.append(el("span", "gap", " [… " + number(rest) + " more of the loop left out …] "));
    fold.addEventListener("click", () => {
      hidden.hidden = !hidden.hidden;
      fold.setAttribute("aria-expanded", String(!hidden.hidden));
    });
    part.append(fold, hidden);
    return part;
  };

  const verdict = (o) => {
    if (!o.looping) return o.why && o.why !== "clean" ? o.why : "no loop";
    if (!o.loop) return o.why || "stopped for repetition";
    const unit = head.unit;
    const where = o.loop.terminal ? "to the end" : "left again";
    const wasted = o.wasted ? ", " + number(o.wasted) + " " + unit + " wasted" + (o.share ? " (" + Math.round(100 * o.share) + " %)" : "") : "";
    const others = o.loops > 1 ? ", one of " + o.loops + " loops" : "";
    return o.loop.kind + " × " + number(o.loop.repeats) + " " + where + wasted + others + (o.why ? " · " + o.why : "");
  };

  const output = (o) => {
    const node = el("article", "output" + (o.used ? " " + o.used : "")), line = el("header");
    if (o.used) line.append(el("span", "tag " + o.used, o.used));
    const name = o.decoding === "greedy" ? "greedy" : o.decoding ? "sample " + o.index + (o.temperature ? ", T " + o.temperature : "") : "output";
    line.append(el("b", "", name));
    for (const [label, value] of Object.entries(o.labels || {})) line.append(el("span", "", label + ": " + value));
    if (o.score !== undefined) line.append(el("span", "", "score " + o.score.toFixed(2)));
    if (o.error) line.append(el("span", "", "no score: " + o.error));
    if (o.length !== undefined) line.append(el("span", "", number(o.length) + " " + head.unit));
    if (o.finish) line.append(el("span", "", o.finish));
    if (o.equal !== undefined) line.append(el("span", "", "equal to sample " + o.equal));
    if (o.looping) line.append(el("span", "tag loop", "loop"));
    line.append(el("span", "why", verdict(o)));
    node.append(line, body(o.body));
    return node;
  };

  const detail = (item) => {
    const back = el("button", "back", "← all prompts");
    back.type = "button";
    back.addEventListener("click", close);
    const parts = [back];
    if (item.prompt.length) {
      const prompt = el("article", "prompt");
      for (const [role, segments] of item.prompt) prompt.append(el("div", "role", role), body(segments));
      parts.push(prompt);
    }
    const about = Object.entries(item.about || {}).map(([name, value]) => name + ": " + value);
    const said = [item.row ? "row " + item.row : "", ...about, item.change || "", head.source === "run" && !head.compare ? "pair: " + item.reason : "", item.margin && !head.compare ? "margin " + item.margin.toFixed(2) : "", item.waste ? number(item.waste) + " " + head.unit + " wasted" : ""];
    parts.push(el("p", "said", said.filter(Boolean).join(" · ")));
    if (item.sides.length > 1) {
      const two = el("div", "two");
      item.sides.forEach((side, k) => {
        const column = el("div");
        column.append(el("h4", "", head.sides[k]), ...side.map(output));
        two.append(column);
      });
      parts.push(two);
    } else parts.push(...item.sides[0].map(output));
    $("detail").replaceChildren(...parts);
    $("detail").scrollTop = 0;
  };

  const open = () => {
    document.querySelector(".reader").classList.add("open");
    $("read").classList.add("reading");
    if (matchMedia("(max-width: 760px)").matches) $("read").scrollIntoView();
  };
  const close = () => {
    document.querySelector(".reader").classList.remove("open");
    $("read").classList.remove("reading");
    if (at >= 0) $("list").querySelector('[data-index="' + at + '"]').scrollIntoView({ block: "nearest" });
  };
  const clear = () => {
    $("search").value = "";
    filters.clear();
    for (const select of $("filters").querySelectorAll("select")) select.value = "";
    close();
    refresh();
  };
  const unfold = () => {
    unfolded = !unfolded;
    for (const fold of $("detail").querySelectorAll(".fold")) if ((fold.getAttribute("aria-expanded") === "true") !== unfolded) fold.click();
  };

  const keys = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape") { clear(); event.target.blur(); return; }
    if (typing) return;
    const inList = $("read").contains(event.target);
    const step = { j: 1, k: -1, ...(inList ? { ArrowDown: 1, ArrowUp: -1 } : {}) }[event.key];
    if (step) { if (found.length) select(Math.max(0, Math.min(found.length - 1, at + step))); event.preventDefault(); }
    else if (event.key === "/") { $("search").focus(); event.preventDefault(); }
    else if (event.key === "u") unfold();
    else if (event.key === "Enter" && event.target === $("list") && at >= 0) open();
  };

  read().then((data) => {
    head = data.head;
    if (head.compare) {
      $("sort").querySelector('[value="margin"]').textContent = "largest change first";
      $("sort").value = "margin";
    }
    all = data.items;
    all.forEach((item, order) => { item.order = order; prepare(item); });
    offer();
    $("search").addEventListener("input", refresh);
    $("sort").addEventListener("change", refresh);
    $("list").addEventListener("click", (event) => {
      const node = event.target.closest("li[data-index]");
      if (node) { select(Number(node.dataset.index), false); open(); }
    });
    document.addEventListener("keydown", keys);
    refresh();
    document.documentElement.dataset.ready = "yes";
  }).catch((error) => {
    $("detail").replaceChildren(el("p", "none", "This browser cannot unpack the outputs (" + error.message + "); one of 2023 or later can."));
  });
})();
