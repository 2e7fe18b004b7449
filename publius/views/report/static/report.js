// The interactive part of a report: theme, filters, prompts with all their answers, word diffs, keys.
// All text of models and users is inserted with textContent, and never as markup.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const MAX_DIFF_CELLS = 6e6; // words of one text times words of the other
  const FILTERS = {
    answer: { all: "all", failed: "failed a check", passed: "passed all checks", different: "different answers", flipped: "checks flipped", fixed: "fixed", broken: "broken", cut: "cut off" },
    flips: { all: "all" },
    decisions: { all: "all" },
  };
  FILTERS.loop = { ...FILTERS.answer, discarded: "revision discarded" };

  const element = (tag, className = "", text = "") => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== "") made.textContent = text;
    return made;
  };

  // ---- Theme

  const root = document.documentElement;
  const remembered = (value) => {
    try { // a file opened from a disk may have no storage
      if (value !== undefined) localStorage.setItem("publius-theme", value);
      return localStorage.getItem("publius-theme");
    } catch { return null; }
  };
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  const switchTheme = () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    remembered(root.dataset.theme);
  };
  addEventListener("message", (event) => { // a page that shows the report in a frame has a theme of its own
    const wanted = event.source === parent && parent !== window ? event.data?.theme : null;
    if (["light", "dark"].includes(wanted)) root.dataset.theme = wanted;
  });
  byId("theme").addEventListener("click", switchTheme);
  byId("help").addEventListener("click", () => byId("help-dialog").showModal());

  // ---- Word diff: the longest common subsequence of words

  const wordsOf = (text) => text.match(/\S+\s*/g) ?? [];
  const bare = (word) => word.trimEnd();

  function diff(before, after) {
    const a = wordsOf(before), b = wordsOf(after);
    let start = 0, end = 0;
    while (start < a.length && start < b.length && bare(a[start]) === bare(b[start])) start++;
    while (end < a.length - start && end < b.length - start && bare(a[a.length - 1 - end]) === bare(b[b.length - 1 - end])) end++;
    const n = a.length - start - end, m = b.length - start - end;
    if ((n + 1) * (m + 1) > MAX_DIFF_CELLS) return null;
    const lengths = new Uint16Array((n + 1) * (m + 1));
    for (let i = n - 1; i >= 0; i--) {
      for (let j = m - 1; j >= 0; j--) {
        const place = i * (m + 1) + j;
        lengths[place] = bare(a[start + i]) === bare(b[start + j])
          ? lengths[place + m + 2] + 1
          : Math.max(lengths[place + m + 1], lengths[place + 1]);
      }
    }
    const parts = [];
    const push = (kind, word) => {
      const last = parts[parts.length - 1];
      if (last && last.kind === kind) last.text += word; else parts.push({ kind, text: word });
    };
    for (let i = 0; i < start; i++) push("same", b[i]);
    let i = 0, j = 0;
    while (i < n || j < m) {
      if (i < n && j < m && bare(a[start + i]) === bare(b[start + j])) { push("same", b[start + j]); i++; j++; }
      else if (j >= m || (i < n && lengths[(i + 1) * (m + 1) + j] >= lengths[i * (m + 1) + j + 1])) push("removed", a[start + i++]);
      else push("added", b[start + j++]);
    }
    for (let k = b.length - end; k < b.length; k++) push("same", b[k]);
    return parts;
  }

  /** Fill an element with a text; `kinds` says which parts of the diff are shown in it. */
  function fill(target, parts, kinds) {
    for (const part of parts) {
      if (part.kind === "same") target.append(part.text);
      else if (kinds.includes(part.kind)) target.append(element(part.kind === "added" ? "ins" : "del", "", part.text));
    }
  }

  // ---- State

  const state = { list: "answer", selected: -1, rows: [] };
  const controls = Object.fromEntries(["from", "to", "filter", "tag", "search", "steps", "marks", "all-columns", "excerpts"].map((id) => [id, byId(id)]));
  const textOf = (answer) => data.texts[answer.t];
  const several = new Set(data.columns.map((column) => column.run)).size > 1;
  const keyOf = (run) => data.keys[run] ?? run;
  const titleOf = (column) => (several ? `${column.title} · ${keyOf(column.run)}` : column.title);
  const answerIn = (prompt, column) => prompt.answers.find((answer) => answer.c === column);
  const failures = (answer) => Object.values(answer?.checks ?? {}).filter((passed) => !passed).length;
  const isChecked = (answer) => Object.keys(answer?.checks ?? {}).length > 0;
  const columnsOf = (kind) => data.columns.map((column, number) => ({ ...column, number })).filter((column) => column.kind === kind);
  const lastMessage = (messages) => data.texts[messages[messages.length - 1][1]];
  const lists = {
    answer: data.prompts.filter((prompt) => prompt.kinds.includes("answer")),
    loop: data.prompts.filter((prompt) => prompt.kinds.includes("loop")),
    flips: data.flips,
    decisions: data.decisions,
  };
  const PAIRS = { flips: ["then", "now"], decisions: ["chosen", "rejected"] }; // lists of pairs of answers, not of prompts
  const isPairs = () => state.list in PAIRS;

  const FIELDS = {
    fixed: (from, to) => isChecked(from) && failures(from) > 0 && isChecked(to) && failures(to) === 0,
    broken: (from, to) => isChecked(from) && failures(from) === 0 && failures(to) > 0,
  };
  const PASSES = {
    all: () => true,
    failed: (from, to) => failures(to) > 0,
    passed: (from, to) => isChecked(to) && failures(to) === 0,
    different: (from, to) => from && to && textOf(from) !== textOf(to),
    flipped: (from, to) => Object.entries(to?.checks ?? {}).some(([name, passed]) => name in (from?.checks ?? {}) && from.checks[name] !== passed),
    ...FIELDS,
    cut: (from, to) => Boolean(to?.cut),
    discarded: (from, to, prompt) => prompt.answers.some((answer) => answer.kept === false),
  };

  /** Show beside each filter how many prompts it leaves. */
  function countFilters() {
    const chips = [...controls.filter.options].map((option) => {
      const count = matching(option.value).length, name = FILTERS[state.list][option.value];
      option.textContent = `${name} (${count})`;
      const chip = element("button", "", name);
      chip.type = "button";
      chip.dataset.filter = option.value;
      chip.setAttribute("aria-pressed", String(option.selected));
      chip.append(element("span", "count", String(count)));
      return chip;
    });
    const focused = document.activeElement?.closest?.("#shows") && document.activeElement.dataset.filter;
    byId("shows").replaceChildren(...chips);
    if (focused) chips.find((chip) => chip.dataset.filter === focused)?.focus();
  }

  const filtered = () => matching(controls.filter.value);

  function matching(filter) {
    const wanted = controls.search.value.trim().toLowerCase(), tag = controls.tag.value;
    if (isPairs()) {
      return lists[state.list].filter((pair) => {
        const texts = [...pair.messages.map(([, text]) => text), ...PAIRS[state.list].map((side) => pair[side])].map((text) => data.texts[text]);
        const principle = pair.principle === null ? "" : data.principles[pair.principle];
        return (!tag || principle === tag) && (!wanted || texts.some((text) => text.toLowerCase().includes(wanted)));
      });
    }
    const from = Number(controls.from.value), to = Number(controls.to.value), passes = PASSES[filter] ?? PASSES.all;
    return lists[state.list].filter((prompt) => {
      if (tag && !prompt.tags.includes(tag)) return false;
      if (!passes(answerIn(prompt, from), answerIn(prompt, to), prompt)) return false;
      if (!wanted) return true;
      const texts = [...prompt.messages.map(([, text]) => data.texts[text]), ...prompt.answers.map(textOf)];
      return texts.some((text) => text.toLowerCase().includes(wanted));
    });
  }

  // ---- Controls

  function options(select, entries, chosen) {
    select.replaceChildren(...entries.map(([value, text]) => {
      const option = element("option", "", text);
      option.value = value;
      option.selected = String(value) === String(chosen);
      return option;
    }));
  }

  function showList(list, chosenTag = "") {
    state.list = list;
    for (const tab of document.querySelectorAll(".tabs [data-list]")) tab.setAttribute("aria-selected", String(tab.dataset.list === list));
    const columns = columnsOf(list);
    for (const label of document.querySelectorAll(".pair")) label.hidden = isPairs();
    controls.filter.parentElement.hidden = isPairs();
    controls.steps.parentElement.hidden = isPairs();
    controls["all-columns"].parentElement.hidden = isPairs() || columns.length <= 2;
    controls.excerpts.parentElement.hidden = isPairs();
    options(controls.filter, Object.entries(FILTERS[list]), "all");
    const pairs = columns.map((column) => [column.number, titleOf(column)]);
    const [from, to] = [columns[0], columns[columns.length - 1]].map((column, side) => {
      const [run, origin] = data.pair[side] ?? [];
      return columns.find((one) => one.run === run && one.origin === origin) ?? column;
    });
    options(controls.from, pairs, from?.number);
    options(controls.to, pairs, to?.number);
    controls["all-columns"].checked = columns.length <= 6;
    const tags = isPairs()
      ? new Set(lists[list].flatMap((pair) => (pair.principle === null ? [] : [data.principles[pair.principle]])))
      : new Set(lists[list].flatMap((prompt) => prompt.tags));
    options(controls.tag, [["", "all"], ...[...tags].sort().map((tag) => [tag, tag])], chosenTag);
    controls.tag.parentElement.hidden = tags.size === 0;
    controls.tag.parentElement.firstChild.textContent = isPairs() ? "Principle " : "Tag ";
    draw();
  }

  // ---- The matrix

  const shownColumns = () => {
    const columns = columnsOf(state.list);
    if (controls["all-columns"].checked) return columns;
    return columns.filter((column) => [controls.from.value, controls.to.value].includes(String(column.number)));
  };

  function draw() {
    const entries = filtered(), total = lists[state.list].length;
    const what = { flips: "flipped preferences", decisions: "examples of decided preferences" }[state.list] ?? "prompts";
    byId("matrix").classList.toggle("excerpts", controls.excerpts.checked && !isPairs());
    byId("shows").hidden = isPairs();
    if (!isPairs()) countFilters();
    byId("shown").textContent = `${entries.length} of ${total} ${what}`;
    state.selected = -1;
    const entryFor = { flips: flipEntry, decisions: decisionEntry }[state.list] ?? promptEntry;
    const parts = entries.map((entry) => entryFor(entry));
    state.rows = parts;
    if (!isPairs() && parts.length) parts.unshift(heading(entries));
    byId("matrix").replaceChildren(...(parts.length ? parts : [element("p", "empty", "Nothing matches. Choose another filter.")]));
    state.rows = [...byId("matrix").querySelectorAll(".entry")];
  }

  function heading(entries) {
    const row = element("div", "row head");
    row.setAttribute("role", "row");
    const prompt = element("div", "", "prompt");
    prompt.setAttribute("role", "columnheader");
    const cells = element("div", "cells");
    for (const column of shownColumns()) {
      const cell = element("div", "cell", titleOf(column));
      cell.title = column.run;
      const checked = entries.map((prompt) => answerIn(prompt, column.number)).filter(isChecked);
      if (checked.length) cell.append(element("span", "rate", `${checked.filter((answer) => !failures(answer)).length}/${checked.length} pass`));
      cell.setAttribute("role", "columnheader");
      cells.append(cell);
    }
    row.append(prompt, cells);
    return row;
  }

  function entryOf(text, tags, cells, detail) {
    const entry = element("div", "entry"), row = element("div", "row"), open = element("button", "open");
    row.setAttribute("role", "row");
    open.type = "button";
    open.setAttribute("aria-expanded", "false");
    const what = element("span", "what", text);
    what.dir = "auto";
    open.append(what);
    if (tags.length) {
      const shown = element("span", "tags");
      shown.append(...tags.map((tag) => element("span", "", tag)));
      open.append(shown);
    }
    const first = element("div");
    first.setAttribute("role", "rowheader");
    first.append(open);
    row.append(first, cells);
    entry.append(row);
    entry.toggle = (isOpen = open.getAttribute("aria-expanded") === "false") => {
      open.setAttribute("aria-expanded", String(isOpen));
      entry.querySelector(":scope > .detail")?.remove();
      if (isOpen) entry.append(detail());
    };
    open.addEventListener("click", () => { state.selected = state.rows.indexOf(entry); entry.toggle(); entry.scrollIntoView({ block: "nearest" }); });
    return entry;
  }

  function promptEntry(prompt) {
    const cells = element("div", "cells"), from = answerIn(prompt, Number(controls.from.value));
    for (const column of shownColumns()) cells.append(cellOf(column, answerIn(prompt, column.number), from));
    const entry = entryOf(lastMessage(prompt.messages), prompt.tags, cells, () => promptDetail(prompt));
    entry.dataset.id = prompt.id;
    return entry;
  }

  function cellOf(column, answer, from) {
    const cell = element("div", "cell");
    cell.setAttribute("role", "cell");
    cell.dataset.column = titleOf(column);
    if (!answer) { cell.textContent = "–"; return cell; }
    const failed = Object.entries(answer.checks ?? {}).filter(([, passed]) => !passed).map(([name]) => data.principles[name]);
    if (isChecked(answer)) {
      const total = Object.keys(answer.checks).length;
      cell.classList.add(failed.length ? "fail" : "pass");
      cell.append(element("span", "mark", failed.length ? `✗ ${total - failed.length}/${total}` : "✓"));
      cell.append(element("span", "hidden", failed.length ? `fails ${failed.join(", ")}; ` : "passes; "));
    }
    cell.title = failed.length ? `fails: ${failed.join(", ")}` : "";
    const words = element("span", "", `${answer.words} w${answer.cut ? " …" : ""}`);
    cell.append(words);
    if (controls.excerpts.checked) {
      const excerpt = element("span", "excerpt", textOf(answer).slice(0, 400));
      excerpt.dir = "auto";
      cell.append(excerpt);
    }
    if (from && from !== answer && textOf(from) === textOf(answer)) { cell.classList.add("same"); cell.title += " same text"; words.prepend("= "); }
    return cell;
  }

  function flipEntry(flip) {
    const cells = element("div", "cells");
    const principle = flip.principle === null ? "" : data.principles[flip.principle];
    const odds = element("div", "cell", `p ${flip.p[0].toFixed(2)} → ${flip.p[1].toFixed(2)}`);
    odds.title = "probability that the answer preferred now is better";
    cells.append(odds);
    const tags = [principle && `moved by ${principle}`, several && `${keyOf(flip.runs[0])} → ${keyOf(flip.runs[1])}`].filter(Boolean);
    return entryOf(lastMessage(flip.messages), tags, cells, () => {
      const detail = element("div", "detail"), panes = element("div", "panes");
      detail.append(...turnsOf(flip.messages), panes);
      const texts = [data.texts[flip.then], data.texts[flip.now]];
      const parts = controls.marks.checked ? diff(...texts) : null;
      [["preferred in", flip.runs[0], "removed"], ["preferred in", flip.runs[1], "added"]].forEach(([what, run, kind], side) => {
        const pane = element("div", "pane"), header = element("header");
        header.append(element("b", "", `${what} ${keyOf(run)}`));
        pane.append(header, textElement(texts[side], parts, [kind]));
        panes.append(pane);
      });
      return detail;
    });
  }

  function decisionEntry(one) {
    const cells = element("div", "cells"), odds = element("div", "cell", `p ${one.p.toFixed(2)}`);
    odds.title = "probability that the chosen answer is better";
    cells.append(odds);
    const tags = [`decided by ${data.principles[one.principle]}`, several && keyOf(one.run)].filter(Boolean);
    return entryOf(lastMessage(one.messages), tags, cells, () => {
      const detail = element("div", "detail"), panes = element("div", "panes"), pushes = element("div", "chips");
      for (const [name, push] of one.pushes) {
        const points = `${push < 0 ? "−" : "+"}${Math.abs(100 * push).toFixed(1)}`;
        pushes.append(element("span", push < 0 ? "chip fail" : "chip pass", `${data.principles[name]} ${points} points`));
      }
      detail.append(...turnsOf(one.messages), pushes, panes);
      const texts = [data.texts[one.chosen], data.texts[one.rejected]];
      const parts = controls.marks.checked ? diff(texts[1], texts[0]) : null;
      ["chosen", "rejected"].forEach((what, side) => {
        const pane = element("div", "pane"), header = element("header");
        header.append(element("b", "", what), element("span", "meta", one.origins[side].replace(":", " ")));
        pane.append(header, textElement(texts[side], parts, [side ? "removed" : "added"]));
        panes.append(pane);
      });
      return detail;
    });
  }

  // ---- One prompt

  const turnsOf = (messages) => messages.map(([role, text]) => {
    const turn = element("div", "turn");
    turn.append(element("h4", "", role), textElement(data.texts[text]));
    return turn;
  });

  function textElement(text, parts = null, kinds = []) {
    const shown = element("div", "text");
    shown.dir = "auto";
    if (parts) fill(shown, parts, kinds); else shown.textContent = text || "(empty)";
    return shown;
  }

  function promptDetail(prompt) {
    const detail = element("div", "detail");
    const body = element("div");
    detail.append(...turnsOf(prompt.messages), body);
    const fresh = () => body.replaceChildren(controls.steps.checked ? steps(prompt) : sides(prompt));
    fresh();
    return detail;
  }

  function sides(prompt) {
    const panes = element("div", "panes");
    const numbers = prompt.answers.map((answer) => answer.c);
    const chosen = [controls.from, controls.to].map((select, side) => {
      const wanted = Number(select.value);
      return numbers.includes(wanted) ? wanted : numbers[side ? numbers.length - 1 : 0];
    });
    const redraw = () => {
      const answers = chosen.map((number) => answerIn(prompt, number));
      const parts = controls.marks.checked ? diff(textOf(answers[0]), textOf(answers[1])) : null;
      panes.replaceChildren(...answers.map((answer, side) => {
        const pane = element("div", "pane"), header = element("header"), select = element("select");
        select.setAttribute("aria-label", side ? "Right answer" : "Left answer");
        options(select, numbers.map((number) => [number, titleOf(data.columns[number])]), answer.c);
        select.addEventListener("change", () => {
          chosen[side] = Number(select.value);
          redraw();
          panes.querySelectorAll("select")[side].focus();
        });
        header.append(select, metaOf(answer));
        pane.append(header, chipsOf(answer), ...critiqueOf(answer), textElement(textOf(answer), parts, [side ? "added" : "removed"]));
        return pane;
      }));
    };
    redraw();
    return panes;
  }

  function steps(prompt) {
    const panes = element("div", "panes single");
    let before = null;
    for (const answer of prompt.answers) {
      const pane = element("div", answer.kept === false ? "pane discarded" : "pane"), header = element("header");
      header.append(element("b", "", titleOf(data.columns[answer.c])), metaOf(answer));
      const parts = controls.marks.checked && before ? diff(textOf(before), textOf(answer)) : null;
      pane.append(header, chipsOf(answer), ...critiqueOf(answer), textElement(textOf(answer), parts, ["removed", "added"]));
      panes.append(pane);
      if (answer.kept !== false) before = answer; // the next round starts from the answer that was kept
    }
    return panes;
  }

  function metaOf(answer) {
    const facts = [`${answer.words} words`];
    if (answer.cut) facts.push("cut off");
    if (answer.kept === true) facts.push("kept");
    if (answer.kept === false) facts.push(`discarded${answer.dropped ? ` by ${answer.dropped}` : ""}`);
    if (answer.flags) facts.push(...answer.flags.map((flag) => flag.replaceAll("_", " ")));
    return element("span", "meta", facts.join(" · "));
  }

  function chipsOf(answer) {
    const chips = element("div", "chips");
    for (const [name, passed] of Object.entries(answer.checks ?? {})) {
      chips.append(element("span", passed ? "chip pass" : "chip fail", `${passed ? "✓" : "✗"} ${data.principles[name]}`));
    }
    return chips;
  }

  function critiqueOf(answer) {
    if (!answer.principles) return [];
    const names = answer.principles.map((name) => data.principles[name]).join(", ");
    const critique = element("div", "critique");
    critique.append(element("h4", "", `critique under ${names}`));
    if (answer.critique !== undefined) critique.append(textElement(data.texts[answer.critique]));
    return [critique];
  }

  // ---- Keys

  function select(number) {
    if (!state.rows.length) return;
    state.selected = Math.max(0, Math.min(state.rows.length - 1, number));
    const open = state.rows[state.selected].querySelector(".open");
    open.focus({ preventScroll: true });
    open.scrollIntoView({ block: "nearest" });
  }

  const again = () => state.rows.forEach((entry) => { if (entry.querySelector(":scope > .detail")) entry.toggle(true); });
  const flip = (id) => { controls[id].checked = !controls[id].checked; again(); };
  const openAll = (isOpen) => state.rows.forEach((entry) => entry.toggle(isOpen));
  const KEYS = {
    j: () => select(state.selected + 1),
    k: () => select(state.selected - 1),
    s: () => flip("steps"),
    d: () => flip("marks"),
    x: () => { controls.excerpts.checked = !controls.excerpts.checked; draw(); },
    e: () => openAll(!state.rows.some((entry) => entry.querySelector(":scope > .detail"))),
    f: () => (controls.filter.offsetParent ? controls.filter : document.querySelector('#shows [aria-pressed="true"]'))?.focus(),
    "/": () => controls.search.focus(),
    1: () => showList("answer"),
    2: () => lists.loop.length && showList("loop"),
    3: () => lists.flips.length && showList("flips"),
    4: () => lists.decisions.length && showList("decisions"),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help-dialog").open) return;
    const isField = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape" && isField) { event.target.blur(); return; }
    if (isField) return;
    if (event.key === "?") byId("help-dialog").showModal();
    else if (event.key === "t") switchTheme();
    else if (event.key in KEYS && byId("explorer")) KEYS[event.key]();
    else return;
    event.preventDefault();
  });

  // ---- Numbers as CSV

  byId("save").addEventListener("click", () => {
    const columns = ["name", "value", "unit", "n", "low", "high", "p_value", "simultaneous_low", "simultaneous_high"];
    const quoted = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
    const { figures } = JSON.parse(byId("numbers").textContent);
    const lines = [columns, ...figures.map((figure) => columns.map((name) => figure[name] ?? ""))];
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([lines.map((line) => line.map(quoted).join(",")).join("\n") + "\n"], { type: "text/csv" }));
    link.download = "publius-report.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });

  // ---- Start

  if (byId("explorer")) {
    byId("explorer").hidden = false;
    for (const button of document.querySelectorAll("[data-list]")) {
      const list = button.dataset.list;
      button.hidden = lists[list].length === 0;
      const count = button.querySelector(".count");
      if (count) count.textContent = lists[list].length;
      button.addEventListener("click", () => { showList(list, button.dataset.tag); if (!button.closest(".tabs")) byId("answers").scrollIntoView(); });
    }
    for (const id of ["from", "to", "filter", "tag", "all-columns", "excerpts"]) controls[id].addEventListener("change", draw);
    for (const id of ["steps", "marks"]) controls[id].addEventListener("change", again);
    controls.search.addEventListener("input", draw);
    byId("shows").addEventListener("click", (event) => {
      const chip = event.target.closest("button");
      if (chip) { controls.filter.value = chip.dataset.filter; draw(); }
    });
    showList(Object.keys(lists).find((list) => lists[list].length) ?? "answer");
  }
  for (const link of document.querySelectorAll("a.line")) { // the constitution is folded
    link.addEventListener("click", () => { byId(link.hash.slice(1)).closest("details").open = true; });
  }
  let opened = [];
  addEventListener("beforeprint", () => { // settings and the like stay closed, unless the reader opened them
    opened = [...document.querySelectorAll("details:not(.aside, [open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
  const links = [...document.querySelectorAll(".top nav a")];
  const inView = new Map(); // by id of a section: whether it is in the band near the top, also after the page has changed its size
  const watched = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) inView.set(target.id, isIntersecting);
    const current = links.find((one) => inView.get(one.hash.slice(1)));
    if (!current) return;
    for (const one of links) one.removeAttribute("aria-current");
    current.setAttribute("aria-current", "true");
  }, { rootMargin: "-15% 0px -75% 0px" });
  for (const link of links) { const target = byId(link.hash.slice(1)); if (target) watched.observe(target); }
})();
