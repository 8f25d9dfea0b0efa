// The curves; stands behind tables.js.

const entries = JSON.parse(byId("curves").textContent);
const svg = byId("lines");
const boxes = all("#choices input");
const PALETTE = 8;
const colours = new Map();
let drawn = { curves: [], epochs: [] };
let marked = null;

function colour(index) {
  if (!colours.has(index)) {
    const taken = new Set(colours.values());
    const free = [...Array(PALETTE).keys()].find((number) => !taken.has(number));
    colours.set(index, free ?? colours.size % PALETTE);
  }
  return colours.get(index);
}

function make(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  Object.entries(attributes).forEach(([attribute, value]) => element.setAttribute(attribute, value));
  if (text !== undefined) element.textContent = text;
  svg.append(element);
  return element;
}

const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

// The columns of a history that show a metric; an evaluation on held-out images is called val.
function columnsOf(metric, columns) {
  if (metric === "lr") return [["lr", false]];
  const evaluated = `val_${metric}` in columns ? `val_${metric}` : `test_${metric}`;
  return byId("train").checked ? [[evaluated, false], [`train_${metric}`, true]] : [[evaluated, false]];
}

// Several seeds are one line, their mean at the epochs that all have, in a band from the lowest to the highest of them.
function together(runs, name) {
  const [first, ...others] = runs.map((run) =>
    new Map(run.columns.epoch.map((epoch, place) => [epoch, run.columns[name]?.[place] ?? null])));
  const epochs = [...first.keys()].filter((epoch) => others.every((one) => one.has(epoch)));
  const at = (epoch) => [first, ...others].map((one) => one.get(epoch));
  const of = (pick) => epochs.map((epoch) => (at(epoch).includes(null) ? null : pick(at(epoch))));
  return { epochs, values: of((values) => values.reduce((a, b) => a + b) / values.length),
    low: of((values) => Math.min(...values)), high: of((values) => Math.max(...values)) };
}

const single = (run, name) => ({ epochs: run.columns.epoch, values: run.columns[name] ?? [] });

function curvesOf(metric) {
  const curves = [];
  boxes.filter((box) => box.checked).forEach((box) => {
    const { label, runs } = entries[box.value];
    const seeds = runs.filter((run) => run.seed !== null);
    const printed = runs.filter((run) => run.seed === null).map((run) => [run, "published"]);
    const groups = seeds.length > 1 ? [[seeds, `mean of ${seeds.length} seeds`]] : seeds.map((run) => [run, ""]);
    [...groups, ...printed].forEach(([run, what]) =>
      columnsOf(metric, (run[0] ?? run).columns).forEach(([name, dashed]) => {
        const curve = Array.isArray(run) ? together(run, name) : single(run, name);
        if (curve.values.some((value) => value !== null)) {
          curves.push({ index: Number(box.value), label, what, dashed, ...curve });
        }
      }));
  });
  return curves;
}

function ticks(low, high, most) {
  const raw = (high - low || Math.abs(high) || 1) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((size) => size * power).find((size) => size >= raw);
  const first = Math.ceil(low / step - 1e-9);
  const found = [];
  for (let n = first; n * step <= high + step * 1e-9; n += 1) found.push(Number((n * step).toPrecision(12)));
  return found;
}

// Like the dot plot: a few very low (loss: very high) values don't squeeze the rest.
function range(values, metric) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  let low = sorted[0];
  let high = sorted[sorted.length - 1];
  if (metric === "accuracy") low = Math.max(low, middle - 5 * Math.max(high - middle, 0.01));
  if (metric === "loss") high = Math.min(high, middle + 5 * Math.max(middle - low, 0.01));
  if (metric === "lr") low = 0;
  const margin = (high - low || Math.abs(high) || 1) * 0.04;
  return [metric === "lr" ? low : low - margin, high + margin];
}

function draw() {
  const metric = chosen("metric");
  const curves = curvesOf(metric);
  const width = Math.max(300, Math.round(svg.parentElement.clientWidth));
  const height = Math.round(Math.min(width * (width < 560 ? 0.8 : 0.5625), 500));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  boxes.filter((box) => !box.checked).forEach((box) => colours.delete(Number(box.value)));
  boxes.forEach((box) => {
    const look = box.checked ? `swatch c${colour(Number(box.value))}` : "swatch";
    box.nextElementSibling.setAttribute("class", look);
  });
  drawn = { curves, epochs: [...new Set(curves.flatMap((curve) => curve.epochs))].sort((a, b) => a - b) };
  mark(null);
  if (!curves.length) {
    make("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "nothing to draw: choose a run");
    svg.setAttribute("aria-label", "No curves are chosen");
    return;
  }
  const [low, high] = range(curves.flatMap((curve) => [...curve.values, ...(curve.low ?? []), ...(curve.high ?? [])]).filter((value) => value !== null), metric);
  const last = drawn.epochs[drawn.epochs.length - 1];
  const names = width >= 560 ? Math.min(230, width * 0.28) : 12;
  const box = { left: 58, right: width - names, top: 26, bottom: height - 40 };
  const x = (epoch) => box.left + (last > 1 ? (epoch - 1) / (last - 1) : 0.5) * (box.right - box.left);
  const y = (value) => box.bottom - (Math.min(Math.max(value, low), high) - low) / (high - low) * (box.bottom - box.top);
  drawn.x = x;
  drawn.box = box;
  axes(box, x, y, low, high, last, metric);
  curves.forEach((curve) => { if (curve.low) band(curve, x, y); });
  curves.forEach((curve) => line(curve, x, y));
  if (names > 12) nameEnds(curves, x, y, box, width);
  const best = curves.filter((curve) => !curve.dashed).map((curve) => `${title(curve)} ends at ${said(curve, curve.values.length - 1)}`);
  svg.setAttribute("aria-label", `${metric} by epoch. ${best.slice(0, 8).join("; ")}. Arrow keys read the epochs.`);
}

const title = (curve) => (curve.what ? `${curve.label}, ${curve.what}` : curve.label);

const short = (value) => Number(value.toPrecision(4));

// The value at a place of a curve, with the band around it.
function said(curve, place) {
  const value = curve.values[place];
  if (value === null || value === undefined) return "";
  return curve.low ? `${short(value)} (${curve.low[place]}–${curve.high[place]})` : String(value);
}

function axes(box, x, y, low, high, last, metric) {
  const values = ticks(low, high, 6);
  const digits = Math.max(...values.map((value) => (String(value).split(".")[1] ?? "").length));
  values.forEach((value) => {
    make("line", { class: "grid", x1: box.left, x2: box.right, y1: y(value), y2: y(value) });
    make("text", { x: box.left - 8, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(Math.min(digits, 6)));
  });
  ticks(1, Math.max(last, 2), 10).filter((value) => Number.isInteger(value) && value <= last).forEach((value) =>
    make("text", { x: x(value), y: box.bottom + 18, "text-anchor": "middle" }, String(value)));
  make("text", { x: (box.left + box.right) / 2, y: box.bottom + 34, "text-anchor": "middle" }, "epoch");
  make("text", { x: 8, y: 14, "text-anchor": "start" }, metric === "lr" ? "learning rate" : metric);
}

function band(curve, x, y) {
  const places = [...curve.values.keys()].filter((place) => curve.values[place] !== null);
  const edge = (values) => places.map((place) => `${x(curve.epochs[place]).toFixed(1)} ${y(values[place]).toFixed(1)}`);
  const points = [...edge(curve.high), ...edge(curve.low).reverse()].join(" ");
  make("polygon", { class: `c${colour(curve.index)}`, points, "data-index": curve.index });
}

function line(curve, x, y) {
  let path = "";
  curve.values.forEach((value, place) => {
    if (value === null) return;
    const before = place > 0 && curve.values[place - 1] !== null;
    path += `${before ? "L" : "M"}${x(curve.epochs[place]).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  const look = `c${colour(curve.index)}${curve.dashed ? " dashed" : ""}`;
  make("path", { class: look, d: path, "data-index": curve.index });
  if (curve.values.length === 1) make("circle", { class: look, cx: x(curve.epochs[0]), cy: y(curve.values[0]), r: 4, "data-index": curve.index });
}

// Names at the right end of the lines, pushed down where they would overlap.
function nameEnds(curves, x, y, box, width) {
  const ends = new Map();
  curves.filter((curve) => !curve.dashed).forEach((curve) => {
    const place = curve.values.findLastIndex((value) => value !== null);
    if (!ends.has(curve.index)) ends.set(curve.index, { curve, x: x(curve.epochs[place]) + 8, y: y(curve.values[place]) + 4 });
  });
  const placed = [];
  [...ends.values()].sort((a, b) => a.y - b.y).forEach((end) => {
    const above = placed.filter((other) => Math.abs(other.x - end.x) < 120).map((other) => other.y + 15);
    end.y = Math.max(end.y, ...above);
    placed.push(end);
  });
  const over = Math.max(0, ...placed.map((end) => end.y - box.bottom));
  const most = Math.floor((width - box.right - 12) / 7.4);
  placed.forEach((end) => {
    const text = end.curve.label.length > most ? `${end.curve.label.slice(0, most - 1)}…` : end.curve.label;
    make("text", { class: `name c${colour(end.curve.index)}`, x: end.x, y: end.y - over, "data-index": end.curve.index }, text);
  });
}

// Read the values at an epoch, by pointer or arrow keys.
function mark(epoch) {
  marked = epoch;
  all(".rule", svg).forEach((old) => old.remove());
  const readout = byId("readout");
  readout.textContent = "";
  if (epoch === null || !drawn.x) return;
  make("line", { class: "rule", x1: drawn.x(epoch), x2: drawn.x(epoch), y1: drawn.box.top, y2: drawn.box.bottom });
  const parts = drawn.curves.filter((curve) => !curve.dashed).flatMap((curve) => {
    const value = said(curve, curve.epochs.indexOf(epoch));
    return value ? [`${title(curve)}: ${value}`] : [];
  });
  readout.textContent = `epoch ${epoch}: ${parts.slice(0, 10).join(" · ")}`;
}

function step(by) {
  const place = drawn.epochs.indexOf(marked);
  const next = marked === null ? (by > 0 ? 0 : drawn.epochs.length - 1) : place + by;
  if (drawn.epochs[next] !== undefined) mark(drawn.epochs[next]);
}

const light = (index) => all("[data-index]", svg).forEach((element) =>
  element.classList.toggle("faded", index !== null && element.dataset.index !== index));

svg.addEventListener("pointermove", (event) => {
  if (!drawn.epochs.length) return;
  const scale = svg.viewBox.baseVal.width / svg.clientWidth;
  const at = (event.clientX - svg.getBoundingClientRect().left) * scale;
  const near = drawn.epochs.reduce((a, b) => (Math.abs(drawn.x(b) - at) < Math.abs(drawn.x(a) - at) ? b : a));
  if (near !== marked) mark(near);
});
svg.addEventListener("pointerleave", () => mark(null));
svg.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (by) { event.preventDefault(); step(by); }
});
boxes.forEach((box) => {
  const label = box.closest("label");
  box.addEventListener("change", draw);
  label.addEventListener("pointerenter", () => light(box.checked ? box.value : null));
  label.addEventListener("pointerleave", () => light(null));
});
all(".metrics input").forEach((input) => input.addEventListener("change", draw));
byId("none").addEventListener("click", () => { boxes.forEach((box) => { box.checked = false; }); draw(); });
byId("choose")?.addEventListener("input", (event) => {
  const fits = matcher(event.target.value);
  boxes.forEach((box) => { box.closest("label").hidden = !fits(box.closest("label").textContent.toLowerCase()); });
});
byId("chart").hidden = false;
let known = 0;
new ResizeObserver(([change]) => {
  if (change.contentRect.width === known) return;
  known = change.contentRect.width;
  draw();
}).observe(svg.parentElement);
