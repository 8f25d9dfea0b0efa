// Of a page that dlrun serves: it asks what has changed, and loads itself anew. What the reader chose stays chosen.

const LOOK_MILLISECONDS = 3000;
const KEPT = "dlrun";

const calledAs = (one) => one.id || `${one.name} ${one.closest("label")?.textContent ?? one.dataset.for ?? ""}`;
const asIs = (one) => (one.type === "checkbox" || one.type === "radio" ? one.checked : one.value);
const headOf = (one) => one.querySelector("summary").textContent;

function keep() {
  const fields = Object.fromEntries(all("input").map((one) => [calledAs(one), asIs(one)]));
  const open = Object.fromEntries(all("details").map((one) => [headOf(one), one.open]));
  const sorted = all("th[aria-sort]").map((head) =>
    [head.closest("table").id, head.textContent, head.getAttribute("aria-sort")]);
  sessionStorage.setItem(KEPT, JSON.stringify({ fields, open, sorted, at: window.scrollY }));
}

function restore() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  if (!kept) return;
  sessionStorage.removeItem(KEPT);
  all("details").forEach((one) => { one.open = kept.open[headOf(one)] ?? one.open; });
  const changed = all("input").filter((one) => (kept.fields[calledAs(one)] ?? asIs(one)) !== asIs(one));
  // All before the page hears of any: of several circles to tick one is ticked at any time.
  changed.forEach((one) => {
    const value = kept.fields[calledAs(one)];
    one[typeof value === "boolean" ? "checked" : "value"] = value;
  });
  changed.forEach((one) =>
    ["input", "change"].forEach((name) => one.dispatchEvent(new Event(name, { bubbles: true }))));
  kept.sorted.forEach(([id, text, order]) => {
    const head = all(`#${id} thead th`).find((one) => one.textContent === text);
    for (let turn = 0; head && turn < 2 && head.getAttribute("aria-sort") !== order; turn += 1) {
      head.querySelector("button")?.click();
    }
  });
  window.scrollTo(0, kept.at);
}

async function look() {
  try {
    const now = await (await fetch("state")).text();
    byId("live").textContent = "Live: loads itself anew as runs go on.";
    const typing = document.activeElement?.matches("input[type=search]");
    if (now !== document.body.dataset.state && !typing) {
      keep();
      location.reload();
    }
  } catch {
    byId("live").textContent = "No longer live: dlrun report --serve has ended.";
  }
}

restore();
setInterval(look, LOOK_MILLISECONDS);
