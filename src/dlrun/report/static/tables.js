"use strict";
// Sorting and filtering of the tables; text enters the page as text nodes only.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);

const key = (cell) => {
  const text = cell.dataset.key ?? cell.textContent.trim();
  return text === "" ? null : Number.isNaN(Number(text)) ? text : Number(text);
};

const compare = (a, b) => {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b, undefined, { numeric: true });
};

function sort(table, head) {
  const place = head.cellIndex;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [key(row.cells[place]), row]);
  const numbers = rows.some(([value]) => typeof value === "number");
  const before = head.getAttribute("aria-sort");
  const descending = before ? before === "ascending" : numbers;
  rows.sort(([a], [b]) =>
    a === null || b === null ? (a === null) - (b === null) : (descending ? -1 : 1) * compare(a, b));
  all("th", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...rows.map(([, row]) => row));
}

const matcher = (text) => {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word && word !== "-");
  return (content) => words.every((word) =>
    word.startsWith("-") ? !content.includes(word.slice(1)) : content.includes(word));
};

function filter(input) {
  const rows = [...byId(input.dataset.for).tBodies[0].rows];
  const fits = matcher(input.value);
  rows.forEach((row) => { row.hidden = !fits(row.textContent.toLowerCase()); });
  const shown = rows.filter((row) => !row.hidden).length;
  const count = document.querySelector(`[data-count="${input.dataset.for}"]`);
  count.textContent = input.value.trim() ? `${shown} of ${rows.length} rows` : "";
}

// The second frozen column stays beside the first one, as wide as that is now.
function freeze() {
  all("table[data-frozen='2']").forEach((table) =>
    table.style.setProperty("--name", `${table.tHead.rows[0].cells[0].offsetWidth}px`));
}

freeze();
window.addEventListener("resize", freeze);
all("thead button").forEach((button) =>
  button.addEventListener("click", () => sort(button.closest("table"), button.closest("th"))));
all("input[data-for]").forEach((input) => input.addEventListener("input", () => filter(input)));

// On a phone what is long shows its beginning; what has the keyboard's focus is never hidden.
const narrow = window.matchMedia("(max-width: 44rem)");
all(".long").forEach((part) => {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "more", textContent: "more" });
  button.setAttribute("aria-label", `more of ${part.closest("section").querySelector("h2").textContent}`);
  const whole = () => { part.classList.remove("clamped"); button.hidden = true; };
  const check = () => {
    if (!part.classList.contains("clamped")) return;
    button.hidden = part.scrollHeight <= part.clientHeight + 8;
    part.classList.toggle("clamped", !button.hidden || !narrow.matches);
  };
  part.classList.add("clamped");
  part.after(button);
  button.addEventListener("click", () => { whole(); part.querySelector("[tabindex], summary").focus(); });
  part.addEventListener("focusin", (event) => { if (narrow.matches && event.target.matches("tbody *, summary, .marks")) whole(); });
  narrow.addEventListener("change", check);
  check();
});
