// The page: the list of cases, one or two panes, notes, and the keys.

import { Pane } from "./pane.js";

const byId = (id) => document.getElementById(id);
const MARKS = { right: "\u2713", near: "\u2248", wrong: "\u2717", far: "\u2717", unknown: "?" };
let index = null;
let notes = {};
let panes = [];
let active = 0;
let current = -1;
let order = [];
let baselines = null;
let following = false;

const get = {
  address: (path) => path,
  json: async (path, settings) => {
    const answer = await fetch(path, settings);
    if (!answer.ok) { throw new Error(await answer.text()); }
    return answer.json();
  },
};

function make(tag, settings = {}, ...inside) {
  const found = Object.assign(document.createElement(tag), settings);
  found.append(...inside);
  return found;
}

function tell(words) {
  byId("told").textContent = words;
  byId("told").hidden = !words;
}

// ------------------------------------------------------------------ the list

function targetOf(row) {
  const name = byId("target").value;
  return row.targets.find((each) => each.target === name);
}

function key(row) {
  const mine = targetOf(row), by = byId("order").value;
  if (by === "name") { return 0; }
  if (by === "tissue") { return row.tissue === null ? 2 : row.tissue; }
  if (!mine) { return index.targets.length ? Infinity : 0; }
  if (by === "right") { return mine.order < 0 ? Infinity : mine.order; }
  return by === "value" ? -mine.value : -mine.order;
}

function fits(row) {
  const text = byId("find").value.trim().toLowerCase();
  const names = [row.patient_id, row.site, ...row.slides.map((slide) => index.slides[slide])].join(" ");
  if (text && !names.toLowerCase().includes(text)) { return false; }
  const wanted = byId("show").value;
  if (wanted === "all") { return true; }
  if (wanted === "explained") { return row.explained.length > 0; }
  if (wanted === "noted") { return Boolean(notes[row.patient_id]); }
  const mine = targetOf(row);
  if (!mine) { return false; }
  const same = { wrong: ["wrong", "far"], right: ["right", "near"], unknown: ["unknown"] };
  return wanted.startsWith("truth:") ? mine.truth === wanted.slice(6) : same[wanted].includes(mine.verdict);
}

function resultWords(item) {
  const truth = item.truth ? `truth ${item.truth}, ` : "";
  return `${truth}predicted ${item.predicted}${item.value_words ? ` (${item.value_words})` : ""}`;
}

function verdict(item) {
  return make("span", { className: `verdict ${item.verdict}`, textContent: `${MARKS[item.verdict]} ${item.verdict_words}` });
}

function drawList() {
  const list = byId("cases");
  order = index.cases.map((row, number) => ({ row, number, key: key(row) })).filter((each) => fits(each.row));
  order.sort((a, b) => a.key - b.key
    || a.row.patient_id.localeCompare(b.row.patient_id, undefined, { numeric: true }));
  list.replaceChildren(...order.map(({ row, number }) => {
    const item = make("button", { type: "button" });
    item.dataset.case = number;
    if (row.picture !== null) {
      const picture = make("img", { alt: "", loading: "lazy", src: get.address(`data/slides/${row.picture}/small.jpg`) });
      picture.addEventListener("error", () => picture.remove());
      item.append(make("span", { className: "thumb" }, picture));
    } else { item.append(make("span", { className: "thumb" })); }
    const words = make("span", { className: "lines" }, make("strong", { textContent: row.patient_id }));
    const mine = targetOf(row);
    if (mine) { words.append(verdict(mine), make("span", { className: "small", textContent: resultWords(mine) })); }
    const marks = [row.site, row.tissue_words, row.explained.length ? "map" : "", notes[row.patient_id] ? "note" : ""];
    words.append(make("span", { className: "small quiet", textContent: marks.filter(Boolean).join(" \u00b7 ") }));
    item.append(words);
    item.addEventListener("click", () => openCase(number));
    return make("li", {}, item);
  }));
  byId("count").textContent = `${order.length} of ${index.cases.length} shown`;
  markCurrent();
}

function markCurrent() {
  for (const item of byId("cases").querySelectorAll("button")) {
    const mine = Number(item.dataset.case) === current;
    item.setAttribute("aria-current", mine ? "true" : "false");
    if (mine) { item.scrollIntoView({ block: "nearest" }); }
  }
}

function step(by) {
  const at = order.findIndex((each) => each.number === current);
  const next = order[at < 0 ? 0 : at + by];
  if (next) { openCase(next.number); }
}

// ------------------------------------------------------------------ one case

function choices(number) {
  return index.cases[number].slides.map((slide) => ({ number: slide, name: index.slides[slide] }));
}

async function openCase(number) {
  // A note that is not saved stays in its field, and its patient on the page.
  if (!(await saveNote())) { return; }
  current = number;
  const row = index.cases[number];
  history.replaceState(null, "", `#${number}`);
  markCurrent();
  drawCase(row);
  drawNote(row);
  const all = choices(number);
  // The second pane keeps another patient's slide only if it was asked to.
  await Promise.all(panes.map((pane, k) => pane.pinned && k ? null : pane.open(all[Math.min(k, all.length - 1)].number, withOthers(all))));
  rebase();
}

// Slides of the patient first, then all others, so that any two can be held against each other.
function withOthers(own) {
  if (panes.length < 2) { return own; }
  const names = new Set(own.map((each) => each.number));
  const others = index.slides.map((name, number) => ({ number, name })).filter((each) => !names.has(each.number));
  return [...own, ...others];
}

function drawCase(row) {
  const lines = row.targets.map((item) => line(item, index.models.length > 1 ? index.models[0] : ""));
  lines.push(...row.other.map((item) => line(item, index.models[1])));
  byId("case").replaceChildren(make("h2", { textContent: row.patient_id }),
    make("span", { className: "small quiet", textContent: [row.site, row.tissue_words].filter(Boolean).join(" \u00b7 ") }),
    make("ul", {}, ...lines));
}

function line(item, model) {
  const target = index.targets.find((each) => each.name === item.target);
  return make("li", {}, `${model ? `${model}: ` : ""}${target ? target.label : item.target}: `, verdict(item), `: ${resultWords(item)}`);
}

// ------------------------------------------------------------------ notes

let noteOf = null;
let noteBefore = "";
// The note was changed elsewhere: nothing is saved over it before the field was looked at again.
let noteClash = false;

function drawNote(row) {
  if (!index.notes) { return; }
  byId("note-box").hidden = false;
  noteOf = row.patient_id;
  noteBefore = notes[noteOf] || "";
  noteClash = false;
  byId("note-of").textContent = noteOf;
  byId("note").value = noteBefore;
  byId("note-state").textContent = noteBefore ? "saved" : "";
}

// Whether the field holds nothing that is not saved.
async function saveNote() {
  if (!index.notes || noteOf === null || byId("note").value === noteBefore) { return true; }
  if (noteClash) { return false; }
  const patient = noteOf, note = byId("note").value;
  let answer;
  try {
    answer = await fetch("data/notes.json", { method: "POST", headers: { "content-type": "application/json" },
      body: JSON.stringify({ patient_id: patient, note, before: noteBefore }) });
  } catch {
    tell("The note was not saved: the viewer has ended. Copy it before you close the page.");
    return false;
  }
  if (answer.status === 409) {
    const now = (await answer.json()).note;
    notes[patient] = now;
    if (noteOf !== patient) { return false; }
    noteBefore = now;
    noteClash = true;
    tell(`The note on ${patient} was changed elsewhere meanwhile and now says: "${now}". Yours is still in the field; go into the field and leave it again to save it in its place.`);
    return false;
  }
  if (!answer.ok) { tell(`The note was not saved: ${await answer.text()}`); return false; }
  notes[patient] = note;
  if (noteOf === patient) { noteBefore = note; byId("note-state").textContent = `saved to ${index.notes_file}`; }
  tell("");
  // More may have been typed meanwhile.
  return noteOf !== patient || byId("note").value === note || saveNote();
}

// ------------------------------------------------------------------ two panes

function addPane() {
  const name = panes.length ? "right slide" : "slide";
  const pane = new Pane(byId("panes"), name, get, moved, chosen);
  // Beside the first run stands the second, if there is one.
  pane.group = index.models[Math.min(panes.length, index.models.length - 1)];
  pane.box.addEventListener("pointerdown", () => { active = panes.indexOf(pane); }, true);
  pane.box.addEventListener("focusin", () => { active = panes.indexOf(pane); });
  pane.box.addEventListener("wheel", () => { active = panes.indexOf(pane); }, { capture: true, passive: true });
  panes.push(pane);
  return pane;
}

async function toggleTwo() {
  const two = panes.length < 2;
  byId("two").setAttribute("aria-pressed", String(two));
  byId("panes").classList.toggle("two", two);
  byId("link").hidden = !two;
  if (two) {
    const pane = addPane();
    if (current >= 0) {
      const all = choices(current);
      const second = all.length > 1 && index.models.length < 2 ? all[1] : all[0];
      await pane.open(second.number, withOthers(all));
      panes[0].slideSelect.append(...withOthers(all).slice(all.length).map((each) => make("option", { value: each.number, textContent: each.name })));
      panes[0].slideLabel.hidden = panes[0].slideSelect.length < 2;
    }
    rebase();
  } else {
    panes.pop().remove();
    active = 0;
    baselines = null;
  }
}

async function chosen(pane, slide) {
  const all = choices(current);
  pane.pinned = !all.some((each) => each.number === slide);
  await pane.open(slide, withOthers(all));
  rebase();
}

// From here on the panes move together. One slide twice stands still at the same place; two slides at the same scale.
function rebase() {
  baselines = null;
  if (panes.length < 2 || !panes.every((pane) => pane.facts && pane.viewer.isOpen())) { return; }
  const [first, second] = panes;
  if (byId("link").getAttribute("aria-pressed") === "true") {
    const place = first.place;
    following = true;
    second.place = first.slide === second.slide ? place : { ...second.place, size: place.size };
    following = false;
  }
  baselines = panes.map((pane) => pane.place);
}

function moved(pane) {
  if (!baselines || following || panes.indexOf(pane) !== active || byId("link").getAttribute("aria-pressed") !== "true") { return; }
  const other = panes[1 - active], now = pane.place, mine = baselines[active], its = baselines[1 - active];
  const wanted = { x: its.x + now.x - mine.x, y: its.y + now.y - mine.y, size: its.size * now.size / mine.size };
  const there = other.place;
  if (Math.abs(wanted.x - there.x) + Math.abs(wanted.y - there.y) > there.size / 20 || Math.abs(wanted.size / there.size - 1) > 1e-4) {
    following = true;
    other.place = wanted;
    following = false;
  }
}

// ------------------------------------------------------------------ keys

function onKey(event) {
  const typing = event.target.closest("input:not([type=range]):not([type=checkbox]), textarea, select");
  if (event.key === "Escape") { document.activeElement.blur(); return; }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) { return; }
  const onRange = event.target.closest("input[type=range]") && event.key.startsWith("Arrow");
  if (onRange) { return; }
  const pane = panes[active] || panes[0];
  const far = event.shiftKey ? 300 : 80;
  const acts = {
    j: () => step(1), k: () => step(-1), "/": () => byId("find").focus(),
    n: () => { if (index.notes) { byId("note").focus(); } },
    "+": () => pane.zoomBy(1.5), "=": () => pane.zoomBy(1.5), "-": () => pane.zoomBy(1 / 1.5),
    0: () => pane.home(), 1: () => pane.oneToOne(), 2: toggleTwo, o: () => pane.toggle(),
    l: () => pane.stepLayer(1), L: () => pane.stepLayer(-1),
    g: () => pane.grey.click(), t: () => pane.next("most"), b: () => pane.next("least"),
    "[": () => { pane.opacity.stepDown(10); pane.draw(); }, "]": () => { pane.opacity.stepUp(10); pane.draw(); },
    ArrowLeft: () => pane.panBy(-far, 0), ArrowRight: () => pane.panBy(far, 0),
    ArrowUp: () => pane.panBy(0, -far), ArrowDown: () => pane.panBy(0, far),
    "?": () => byId("keys").click(),
  };
  // In the list arrows scroll, as everywhere.
  if (event.key.startsWith("Arrow") && event.target.closest("aside")) { return; }
  const act = acts[event.key];
  if (act) { event.preventDefault(); act(); }
}

// ------------------------------------------------------------------ begin

async function begin() {
  try {
    index = await get.json("data/index.json");
    notes = index.notes ? await get.json("data/notes.json") : {};
  } catch (error) {
    tell(`The viewer cannot be opened: ${error.message}`);
    if (!index) { return; }
  }
  document.title = `${index.title} \u00b7 histonic view`;
  byId("title").textContent = [index.title, ...index.models.slice(1)].join(" beside ");
  byId("target").replaceChildren(...index.targets.map((each) => make("option", { value: each.name, textContent: each.label })));
  byId("target-label").hidden = index.targets.length < 2;
  if (!index.targets.length) {
    for (const option of byId("order").querySelectorAll("option")) { option.hidden = option.disabled = !["tissue", "name"].includes(option.value); }
    for (const option of byId("show").querySelectorAll("option")) { option.hidden = option.disabled = !["all", "noted"].includes(option.value); }
    byId("order").value = "name";
  }
  const truths = () => {
    byId("show").querySelectorAll("option[data-truth]").forEach((option) => option.remove());
    const target = index.targets.find((each) => each.name === byId("target").value);
    for (const name of target ? target.classes : []) {
      const option = make("option", { value: `truth:${name}`, textContent: `truth ${name}` });
      option.dataset.truth = name;
      byId("show").append(option);
    }
  };
  truths();
  byId("target").addEventListener("change", () => { truths(); drawList(); });
  for (const id of ["order", "show"]) { byId(id).addEventListener("change", drawList); }
  byId("find").addEventListener("input", drawList);
  byId("two").addEventListener("click", toggleTwo);
  byId("link").addEventListener("click", () => {
    byId("link").setAttribute("aria-pressed", String(byId("link").getAttribute("aria-pressed") !== "true"));
    rebase();
  });
  byId("keys").addEventListener("click", () => {
    byId("help").hidden = !byId("help").hidden;
    byId("keys").setAttribute("aria-expanded", String(!byId("help").hidden));
  });
  // Not when the whole window is left: the field is still the active one then.
  byId("note").addEventListener("blur", () => { if (document.activeElement !== byId("note")) { saveNote(); } });
  byId("note").addEventListener("focus", () => { noteClash = false; });
  byId("note").addEventListener("input", () => { byId("note-state").textContent = "not saved yet: leave the field to save"; });
  document.addEventListener("keydown", onKey);
  window.addEventListener("beforeunload", (event) => {
    if (noteOf !== null && byId("note").value !== noteBefore) { event.preventDefault(); }
  });
  document.querySelector("main").classList.toggle("alone", index.cases.length === 1);
  addPane();
  // For tests and for the curious.
  window.histonicView = { panes, openCase, index };
  drawList();
  const asked = Number.parseInt(location.hash.slice(1), 10);
  const first = index.cases[asked] ? asked : order.length ? order[0].number : -1;
  if (first >= 0) { await openCase(first); }
}

begin();
