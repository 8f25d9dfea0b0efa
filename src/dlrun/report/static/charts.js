// What a mark of a chart stands for is read below the chart, of the one pointed at or walked to by arrow keys; stands
// behind tables.js.

const BY = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 };

// `place` has the keyboard's focus, `marks()` are there to be read, in order; `tell(mark)` gets null where none is.
function reading(place, marks, tell) {
  let now = null;
  const read = (mark) => {
    now?.classList.remove("chosen");
    now = mark;
    now?.classList.add("chosen");
    tell(mark);
  };
  place.addEventListener("keydown", (event) => {
    const by = BY[event.key];
    if (!by) return;
    event.preventDefault();
    const known = marks();
    const at = known.indexOf(now);
    const next = known[at < 0 ? (by > 0 ? 0 : known.length - 1) : at + by];
    if (next) read(next);
    next?.scrollIntoView({ block: "nearest" });
  });
  place.addEventListener("blur", () => read(null));
  return read;
}

// The interval of a row that is read lies across all rows, so that one sees which of them it meets.
function readRows(axis) {
  const table = byId(axis.dataset.table);
  const [body] = table.tBodies;
  const readout = byId(`${table.id}-readout`);
  const read = reading(axis, () => [...body.rows].filter((row) => !row.hidden), (row) => {
    const band = row?.querySelector(".band");
    table.classList.toggle("reading", Boolean(band));
    if (band) ["from", "to"].forEach((end) => table.style.setProperty(`--${end}`, band.dataset[end]));
    const about = row?.querySelector("svg.dots").getAttribute("aria-label");
    readout.textContent = row ? `${row.querySelector("th").textContent.trim()}: ${about}` : "";
  });
  body.addEventListener("pointerover", (event) => read(event.target.closest("tr")));
  body.addEventListener("pointerleave", () => read(null));
}

function readMarks(chart) {
  const readout = chart.nextElementSibling;
  const marks = all("[data-told]", chart);
  const ordered = chart.parentElement.matches(".across") ? marks.reverse() : marks; // the best lies on top, and last
  const read = reading(chart, () => ordered, (mark) => {
    readout.textContent = mark?.dataset.told ?? "";
  });
  chart.addEventListener("pointerover", (event) => read(event.target.closest("[data-told]")));
  chart.addEventListener("pointerleave", () => read(null));
}

all("svg.ticks[data-table]").forEach(readRows);
all("svg.marks").forEach(readMarks);
