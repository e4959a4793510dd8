/* What a script adds to the page: choosing, sorting, filtering, links that keep the view, zoomable traces, downloads.
   Without it everything stands there as text, tables and drawings. No network, no markup made from data. */
(() => {
"use strict";
const one = (query, inside = document) => inside.querySelector(query);
const all = (query, inside = document) => [...inside.querySelectorAll(query)];
const make = (tag, css, text) => { const made = document.createElement(tag); made.className = css || ""; if (text) made.textContent = text; return made; };
document.documentElement.classList.add("js");
all("[data-js]").forEach(node => { node.hidden = false; });

/* The view is kept in the address: #b=board&m=filter&sort=-energy&loss=1&least=energy&s=section */
const view = new Map();
const readHash = () => {
  const hash = location.hash.slice(1);
  view.clear();
  if (hash.includes("=")) new URLSearchParams(hash).forEach((value, key) => view.set(key, value));
};
const writeHash = () => {
  const text = new URLSearchParams([...view].filter(([, value]) => value)).toString();
  try { history.replaceState(null, "", text ? "#" + text : location.pathname + location.search); } catch { if (text) location.hash = text; }
};
const put = (key, value) => { view.set(key, value); writeHash(); apply(); };

/* Tables: sort by the cells' data-v, filter by words, board and verdict. */
const tables = all("table.compare");
tables.forEach(table => {
  all("tbody tr", table).forEach((row, index) => { row.dataset.at = index; });
  all("thead th[data-key]", table).forEach(head => {
    const button = make("button", "sort", head.textContent.trim());
    button.type = "button";
    button.title = head.title || "";
    button.addEventListener("click", () => {
      const key = head.dataset.key, now = view.get("sort") || "", first = head.dataset.first === "high" ? "-" : "";
      const second = first ? "" : "-";
      put("sort", now === first + key ? second + key : now === second + key ? "" : first + key);
    });
    head.replaceChildren(button);
  });
});
const valueOf = (row, place) => { const cell = row.cells[place]; return cell.dataset.v === undefined ? cell.textContent.trim() : cell.dataset.v; };
const sortTables = () => {
  const sort = view.get("sort") || "", key = sort.replace(/^-/, ""), down = sort.startsWith("-") ? -1 : 1;
  tables.forEach(table => {
    const heads = all("thead th", table), place = heads.findIndex(head => head.dataset.key === key);
    heads.forEach((head, index) => {
      if (!head.dataset.key) return;
      head.setAttribute("aria-sort", index === place ? (down < 0 ? "descending" : "ascending") : "none");
    });
    const body = table.tBodies[0], rows = [...body.rows];
    rows.sort((a, b) => {
      if (place < 0) return a.dataset.at - b.dataset.at;
      const x = valueOf(a, place), y = valueOf(b, place), numeric = heads[place].dataset.kind !== "text";
      if (x === "" || y === "") return (x === "") - (y === "") || a.dataset.at - b.dataset.at;
      return down * (numeric ? x - y : x.localeCompare(y)) || a.dataset.at - b.dataset.at;
    });
    if (rows.some((row, index) => body.rows[index] !== row)) body.append(...rows);
  });
};
const words = one("#filter-words"), board = one("#filter-board"), verdict = one("#filter-verdict"), found = one("#filter-found");
const fill = (select, values) => values.forEach(value => { const item = make("option", "", value); item.value = value; select.append(item); });
if (words) {
  const boards = [...new Set(all("[data-board]").map(node => node.dataset.board))];
  fill(board, boards);
  board.parentElement.hidden = boards.length < 2;
  fill(verdict, [...new Set(all("tr[data-verdict]").map(row => row.dataset.verdict))].filter(Boolean));
  words.addEventListener("input", () => put("m", words.value));
  board.addEventListener("change", () => put("b", board.value));
  verdict.addEventListener("change", () => put("v", verdict.value));
  one("#filter-clear").addEventListener("click", () => { ["m", "b", "v", "sort"].forEach(key => view.delete(key)); writeHash(); apply(); words.focus(); });
}
const filterTables = () => {
  if (!words) return;
  const wanted = (view.get("m") || "").toLowerCase().split(/\s+/).filter(Boolean), only = view.get("b") || "", judged = view.get("v") || "";
  if (words.value !== (view.get("m") || "")) words.value = view.get("m") || "";
  board.value = only; verdict.value = judged;
  let shown = 0, total = 0;
  all("[data-board]").forEach(node => { node.hidden = only !== "" && node.dataset.board !== only; });
  all("#comparison .group").forEach(group => {
    let here = 0;
    all("tbody tr", group).forEach(row => {
      const text = (row.dataset.words || "").toLowerCase();
      const fits = wanted.every(word => text.includes(word)) && (judged === "" || row.dataset.verdict === judged);
      row.hidden = !fits;
      total += 1;
      here += fits && !(only !== "" && group.dataset.board !== only);
    });
    group.hidden = here === 0;
    shown += here;
  });
  found.textContent = shown === total ? `${total} rows` : `${shown} of ${total} rows`;
  one("#filter-clear").hidden = !["m", "b", "v", "sort"].some(key => view.get(key));
};

/* The chooser: which methods keep within limits, ranked by what counts first. Numbers and phrases stand in the rows. */
const chooser = one("#chooser"), NOT_KNOWN = " not known";
const amount = (row, key) => { const text = row.getAttribute("data-n-" + key); return text ? +text : NaN; };
/* key in the address: what it limits, in the unit of its field */
const LIMITS = {
  loss: ["accuracy", row => -amount(row, "points")], mem: ["memory", row => amount(row, "memory") / 1048576],
  joule: ["energy", row => amount(row, "energy")], kib: ["update", row => amount(row, "update") / 1024],
};
const RANKS = { time: ["time", 1, "the fastest"], points: ["points", -1, "the most accurate"], energy: ["energy", 1, "least energy"], memory: ["memory", 1, "least memory"], update: ["update", 1, "the smallest update"] };
const limitOf = key => { const text = (view.get(key) || "").trim(), limit = text === "" ? NaN : +text; return limit >= 0 ? limit : NaN; };
const choices = all("[data-answer]").map(answer => {
  const table = one("table.methods", answer), line = one(`[data-list="${answer.dataset.answer}"]`);
  const rows = table ? [...table.tBodies[0].rows] : [];
  rows.forEach(row => { row.dataset.picked = row.classList.contains("pick") ? "yes" : ""; });
  const slots = line ? all("[data-slot]", line).map(slot => [slot, [...slot.childNodes]]) : [];
  return { answer, line, rows, slots, body: table && table.tBodies[0] };
});
const misses = (row, asked) => {
  if (row.dataset.refused) return [row.dataset.refused];
  return asked.map(key => [LIMITS[key][0], LIMITS[key][1](row) - limitOf(key)]).filter(([, over]) => !(over <= 1e-9))
    .map(([name, over]) => Number.isNaN(over) ? name + NOT_KNOWN : "over the limit of " + name);
};
const inList = (choice, row) => {
  const put_ = (slot, ...nodes) => one(`[data-slot="${slot}"]`, choice.line)?.replaceChildren(...nodes);
  if (!row) { put_("do", "None fits"); ["lead", "time", "accuracy", "update"].forEach(slot => put_(slot, "–")); return; }
  const base = !one(".chip", one("[data-slot=time]", row));
  put_("do", base ? "Stay with " : "Use ", make("b", "", row.dataset.name));
  put_("lead", row.dataset.name);
  put_("update", row.cells[row.cells.length - 1].textContent);
  ["time", "accuracy"].forEach(slot => put_(slot, ...all("b, .chip, .quiet:not(.wide-only)", one(`[data-slot="${slot}"]`, row)).flatMap(node => [node.cloneNode(true), " "])));
};
const choose = () => {
  if (!chooser) return;
  const asked = Object.keys(LIMITS).filter(key => one("#limit-" + key, chooser) && !Number.isNaN(limitOf(key)));
  const first = Object.hasOwn(RANKS, view.get("least") || "") ? view.get("least") : "time", [key, way, words] = RANKS[first];
  const active = asked.length > 0 || first !== "time";
  Object.keys(LIMITS).forEach(name => { const field = one("#limit-" + name, chooser); if (field && document.activeElement !== field) field.value = asked.includes(name) ? view.get(name) : ""; });
  one("#limit-least").value = first === "time" ? "" : first;
  one("#limit-clear").hidden = !active;
  let fitting = 0, total = 0, answered = 0;
  choices.forEach(choice => {
    const { answer, line, rows, slots, body } = choice;
    if (!body) return;
    const over = new Map(rows.map(row => [row, active ? misses(row, asked) : []]));
    const by = row => { const value = amount(row, key); return Number.isNaN(value) ? Infinity : way * value; };
    const ranked = active ? [...rows].sort((a, b) => (over.get(a).length > 0) - (over.get(b).length > 0) || (by(a) === by(b) ? 0 : by(a) - by(b)) || rows.indexOf(a) - rows.indexOf(b)) : rows;
    const best = active && over.get(ranked[0]).length === 0 && by(ranked[0]) !== Infinity ? ranked[0] : null;
    if (ranked.some((row, index) => body.rows[index] !== row)) body.append(...ranked);
    rows.forEach(row => {
      row.classList.toggle("pick", active ? row === best : row.dataset.picked === "yes");
      row.classList.toggle("is-out", over.get(row).length > 0);
      one("[data-slot=out]", row).textContent = over.get(row).join(", ");
    });
    const chosen = one("[data-slot=chosen]", answer);
    one("[data-slot=claim]", answer).hidden = active;
    chosen.hidden = !active;
    all(".others", answer).forEach(list => { list.hidden = active; });
    if (active && best) chosen.replaceChildren((asked.length ? "Within these limits, " : "By the numbers, ") + words + ": ", make("em", "", best.dataset.name), `, ${best.dataset.say}.`);
    else if (active) chosen.replaceChildren("No method keeps within these limits.");
    if (line && active) inList(choice, best);
    else if (line) slots.forEach(([slot, nodes]) => slot.replaceChildren(...nodes));
    total += rows.length; fitting += rows.filter(row => over.get(row).length === 0).length; answered += Boolean(best);
  });
  one("#limit-found").textContent = !active ? "" : choices.length > 1 ? `${answered} of ${choices.length} have a method within these limits` : `${fitting} of ${total} methods fit`;
};
if (chooser) {
  Object.keys(LIMITS).forEach(key => one("#limit-" + key, chooser)?.addEventListener("input", event => put(key, event.target.value)));
  one("#limit-least").addEventListener("change", event => put("least", event.target.value));
  one("#limit-clear").addEventListener("click", () => { [...Object.keys(LIMITS), "least"].forEach(key => view.delete(key)); all("input", chooser).forEach(field => { field.value = ""; }); writeHash(); apply(); one("input, select", chooser).focus(); });
  chooser.addEventListener("submit", event => event.preventDefault());
}
all("table.answers a").forEach(link => link.addEventListener("click", event => {
  const answer = document.getElementById(link.hash.slice(1));
  event.preventDefault();
  answer.open = true; answer.scrollIntoView(); one("summary", answer).focus({ preventScroll: true });
}));

/* Panels of which one is shown: time or energy, seconds or shares. */
const tabs = all("[data-tabs]").map(box => {
  const key = box.dataset.tabs, panels = all(":scope > [data-panel]", box);
  if (panels.length < 2) return () => {};
  const bar = make("div", "tabs");
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", box.dataset.words || "Show");
  panels.forEach(panel => {
    const button = make("button", "", panel.dataset.words);
    button.type = "button";
    button.dataset.panel = panel.dataset.panel;
    button.addEventListener("click", () => put(key, panel.dataset.panel));
    bar.append(button);
  });
  box.prepend(bar);
  return () => {
    const now = panels.some(panel => panel.dataset.panel === view.get(key)) ? view.get(key) : panels[0].dataset.panel;
    panels.forEach(panel => { panel.classList.toggle("is-off", panel.dataset.panel !== now); });
    all("button", bar).forEach(button => button.setAttribute("aria-pressed", String(button.dataset.panel === now)));
  };
});

/* Light and dark: the system's, until somebody chooses. */
const themeButton = one("#theme");
const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const sayTheme = () => { themeButton.textContent = dark() ? "Light" : "Dark"; themeButton.setAttribute("aria-label", dark() ? "Switch to the light theme" : "Switch to the dark theme"); };
if (themeButton) {
  sayTheme();
  themeButton.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; sayTheme(); redraw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { sayTheme(); redraw(); });
}

/* Packed data: base64, deflate. */
const inflate = async node => {
  const bytes = Uint8Array.from(atob(node.textContent), char => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  node.dataset.decoded = "yes";
  return new Response(stream).text();
};
const decoded = new Map();
const columns = ident => {
  if (!decoded.has(ident)) decoded.set(ident, inflate(document.getElementById("data-" + ident)).then(text => { const data = JSON.parse(text);
    /* null is a gap in the line; "" is none: a slow channel was not due, which uPlot calls undefined. */
    data.channels.forEach(channel => { channel.y = channel.y.map(value => value === "" ? undefined : value); });
    return data; }));
  return decoded.get(ident);
};
all("button[data-download]").forEach(button => button.addEventListener("click", async () => {
  const text = await inflate(document.getElementById(button.dataset.download));
  const link = make("a"), url = URL.createObjectURL(new Blob([text], { type: button.dataset.mime }));
  link.href = url; link.download = button.dataset.name;
  document.body.append(link); link.click(); link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}));

/* Traces: drawn when they are unfolded and in sight. */
const plots = new Map();
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const fillOf = (css, box) => { const probe = document.createElementNS("http://www.w3.org/2000/svg", "rect"); probe.setAttribute("class", css); one("svg.defs").append(probe); const value = getComputedStyle(probe).fill; probe.remove(); return value.startsWith("url") ? colour("--rest") : value; };
const draw = async box => {
  const ident = box.dataset.plot;
  if (plots.has(ident)) return;
  plots.set(ident, []);
  let data, under = null;
  try {
    data = await columns(ident);
    if (box.dataset.under && one("input", box)?.checked) under = await columns(box.dataset.baseline);
  } catch { one(".plot-say", box).textContent = "This browser cannot unpack the data; the drawing and the numbers stand below."; return; }
  const area = one(".plot-area", box), said = one(".plot-say", box);
  box.classList.add("is-drawn");
  const width = Math.max(260, area.clientWidth), made = [];
  const sync = (u, key) => { if (key !== "x" || u.busy) return; const { min, max } = u.scales.x; made.forEach(other => { if (other !== u) { other.busy = true; other.setScale("x", { min, max }); other.busy = false; } }); };
  const bands = u => {
    const context = u.ctx, { left, top, width: wide, height } = u.bbox, at = t => Math.min(left + wide, Math.max(left, u.valToPos(t, "x", true)));
    const paint = (a, b, fill, y, h, least) => { const x = at(a), w = Math.max(at(b) - x, least); if (b < u.scales.x.min || a > u.scales.x.max) return; context.fillStyle = fill; context.fillRect(x, y, w, h); };
    context.save();
    if (data.window) { context.globalAlpha = 0.07; paint(data.window[0], data.window[1], colour("--accent"), top, height, 0); context.globalAlpha = 1; }
    data.bands.forEach(([a, b, , css]) => paint(a, b, fillOf(css), top, 5 * devicePixelRatio, 0));
    data.marks.forEach(([a, b]) => { context.globalAlpha = 0.22; paint(a, b, colour("--bad"), top, height, 2); context.globalAlpha = 1; paint(a, b, colour("--bad"), top + 5 * devicePixelRatio, 4 * devicePixelRatio, 2); });
    context.restore();
  };
  const tell = u => {
    const index = u.cursor.idx;
    if (index == null) { said.textContent = said.dataset.words; return; }
    const t = u.data[0][index], phase = data.bands.find(([a, b]) => a <= t && t < b), mark = data.marks.find(([a, b]) => a <= t && t <= b);
    const values = data.channels.map((channel, place) => { const plot = made[place], y = plot.data[1]; let i = plot.data[0].findIndex(x => x >= t); while (i > 0 && y[i] === undefined) i -= 1; const v = y[i]; return `${channel.name} ${v == null ? "not read" : v} ${v == null ? "" : channel.unit}`.trim(); });
    said.textContent = `${t.toFixed(2)} s${phase ? ", " + phase[2] : ""}${mark ? ", " + mark[2] : ""}: ${values.join("; ")}`;
  };
  const key = make("div", "key"), seen = new Set();
  data.bands.forEach(([, , phase, css]) => {
    if (seen.has(phase)) return;
    seen.add(phase);
    const item = make("span"), swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg"), field = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    swatch.setAttribute("viewBox", "0 0 10 10"); swatch.setAttribute("aria-hidden", "true");
    field.setAttribute("width", "10"); field.setAttribute("height", "10"); field.setAttribute("class", css);
    swatch.append(field); item.append(swatch, phase); key.append(item);
  });
  area.append(key);
  data.channels.forEach((channel, place) => {
    const below = channel.y.some(value => value < 0);
    const last = place === data.channels.length - 1, ink = colour("--muted"), line = colour("--line");
    const other = under && under.channels.find(c => c.name === channel.name && c.unit === channel.unit);
    const axis = { stroke: ink, font: "12px system-ui, sans-serif", grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
    const series = [{}, { label: channel.name, stroke: colour("--accent"), width: 1.5, points: { show: false } }];
    let columnsHere = [data.t, channel.y];
    if (other) { columnsHere = uPlot.join([[data.t, channel.y], [under.t, other.y]], [[1, 1], [1, 1]]); series.push({ label: "baseline", stroke: ink, width: 1.2, dash: [5, 4], points: { show: false } }); }
    const name = make("p", "plot-name", channel.unit ? `${channel.name}, ${channel.unit}` : channel.name);
    const place_ = make("div", "plot-one");
    area.append(name, place_);
    made.push(new uPlot({
      width, height: last ? 118 : 92, legend: { show: false }, padding: [6, 14, 0, 0],
      cursor: { sync: { key: ident, setSeries: false, scales: ["x", null] }, drag: { x: true, y: false }, points: { size: 6 } },
      scales: { x: { time: false, range: (u, low, high) => [low ?? 0, high ?? data.end] }, y: { range: (u, low, high) => { const flat = high - low <= Math.abs(high) * 0.001, air = flat ? Math.max(Math.abs(high) * 0.02, 0.5) : (high - low) * 0.12; return [low - air, high + air * 2]; } } },
      axes: [{ ...axis, show: last, size: 30, values: (u, ticks) => ticks.map(v => `${+v.toPrecision(6)} s`) }, { ...axis, size: 56, values: (u, ticks) => ticks.map(v => v < 0 && !below ? "" : String(+v.toPrecision(4))) }],
      series, hooks: { drawAxes: [bands], setScale: [sync], setCursor: [u => { if (u.cursor.event || u.cursor.idx == null) tell(u); }] },
    }, columnsHere, place_));
  });
  const zoom = factor => { const u = made[0], { min, max } = u.scales.x, middle = u.cursor.idx != null ? u.data[0][u.cursor.idx] : (min + max) / 2, half = (max - min) * factor / 2; u.setScale("x", factor ? { min: Math.max(0, middle - half), max: Math.min(data.end, middle + half) } : { min: 0, max: data.end }); };
  one("[data-zoom=in]", box).onclick = () => zoom(0.5);
  one("[data-zoom=out]", box).onclick = () => zoom(2);
  one("[data-zoom=all]", box).onclick = () => zoom(0);
  plots.set(ident, made);
};
const clear = box => { (plots.get(box.dataset.plot) || []).forEach(plot => plot.destroy()); plots.delete(box.dataset.plot); one(".plot-area", box).replaceChildren(); };
const redraw = () => { all(".plot.is-drawn").forEach(box => { clear(box); if (box.closest("details").open) draw(box); }); };
const inSight = "IntersectionObserver" in window ? new IntersectionObserver(seen => seen.forEach(({ target, isIntersecting }) => { if (isIntersecting && target.closest("details").open) draw(target); }), { rootMargin: "200px" }) : null;
if (typeof DecompressionStream === "function" && typeof uPlot === "function") {
  all(".plot[data-plot]").forEach(box => {
    const details = box.closest("details");
    details.addEventListener("toggle", () => {
      if (details.open && box.getBoundingClientRect().top < innerHeight + 200) draw(box);
      if (details.open && details.dataset.asked) { view.set("t", box.dataset.plot); writeHash(); }
    });
    details.querySelector("summary").addEventListener("click", () => { details.dataset.asked = "yes"; });
    one("input", box)?.addEventListener("change", event => { box.dataset.under = event.target.checked ? "yes" : ""; clear(box); draw(box); });
    inSight ? inSight.observe(box) : details.open && draw(box);
  });
  let late = 0;
  addEventListener("resize", () => { clearTimeout(late); late = setTimeout(redraw, 150); });
} else all(".plot").forEach(box => { box.hidden = true; });

/* Links to sections keep the view. */
all("nav a, a.skip").forEach(link => link.addEventListener("click", event => {
  if (![...view.values()].some(Boolean)) return;
  event.preventDefault();
  view.set("s", link.hash.slice(1)); writeHash();
  one(link.hash).scrollIntoView();
}));
const apply = () => { sortTables(); filterTables(); choose(); tabs.forEach(tab => tab()); };
const arrive = () => {
  readHash(); apply();
  const trace = view.get("t") && all(".plot").find(box => box.dataset.plot === view.get("t"));
  if (trace) { trace.closest("details").open = true; trace.closest("details").scrollIntoView(); }
  else if (view.get("s")) document.getElementById(view.get("s"))?.scrollIntoView();
};
addEventListener("hashchange", () => { if (location.hash.includes("=") || location.hash === "") arrive(); });
arrive();
})();
