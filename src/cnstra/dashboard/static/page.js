// What the page does beyond HTML: it keeps itself up to date, and obeys the keyboard.
"use strict";

const body = document.body;
const byId = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// --- times, in words

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function inWords(seconds) {
  const span = Math.abs(seconds);
  if (span < 1) return "now";
  const [name, size] = UNITS.find(([, size]) => span >= 1.5 * size) ?? UNITS[3];
  const told = `${Math.round(span / size)} ${name}`;
  return seconds < 0 ? `in ${told}` : `${told} ago`;
}

function tellTimes(root = document) {
  const now = Date.now();
  for (const time of all("time[data-ago]", root)) {
    const at = new Date(time.dateTime);
    const words = inWords((now - at.getTime()) / 1000);
    if (time.textContent !== words) time.textContent = words;
    time.title = at.toLocaleString();
  }
}

// --- light and dark

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function turn() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("cnstra-theme", theme);
}

// --- live: each change asks for the page again, and takes over the parts that differ

let asking = false;
let again = false;

async function refresh() {
  if (asking || document.hidden) {
    again = true;
    return;
  }
  asking = true;
  again = false;
  try {
    const answer = await fetch(location.href, { headers: { "X-Live": "1" } });
    if (answer.ok && !answer.redirected) {
      takeOver(new DOMParser().parseFromString(await answer.text(), "text/html"));
    }
  } catch {
    // The server is away: the stream tells, and comes back by itself.
  } finally {
    asking = false;
    if (again) refresh();
  }
}

function takeOver(fresh) {
  for (const part of all("[data-live]")) {
    const other = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (!other || isInUse(part)) continue;
    tellTimes(other);
    keepOpen(part, other);
    if (part.innerHTML !== other.innerHTML) part.replaceChildren(...other.childNodes);
  }
  bindForms();
}

// A person who types, selects or walks through a part is not disturbed.
function isInUse(part) {
  const selection = getSelection();
  const selects = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  const active = document.activeElement;
  return selects || (active !== null && active !== part && part.contains(active));
}

function keepOpen(part, other) {
  const before = all("details", part);
  all("details", other).forEach((details, place) => {
    const known = details.id ? byId(details.id) : before[place];
    if (known) details.open = known.open;
  });
}

function listen() {
  const pulse = byId("pulse");
  const stream = new EventSource(body.dataset.liveFrom);
  stream.onopen = () => pulse.classList.add("on");
  stream.onerror = () => pulse.classList.remove("on");
  stream.addEventListener("changed", refresh);
  addEventListener("pagehide", () => stream.close());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && again) refresh();
  });
}

// --- forms: those that cannot be taken back ask first

function bindForms() {
  for (const form of all("form[data-confirm]:not([data-bound])")) {
    form.dataset.bound = "yes";
    form.addEventListener("submit", (event) => {
      if (form.dataset.sure) return;
      event.preventDefault();
      ask(form.dataset.confirm, () => {
        form.dataset.sure = "yes";
        form.requestSubmit();
      });
    });
  }
}

function ask(question, then) {
  const dialog = byId("confirm");
  byId("confirm-question").textContent = question;
  const [no, yes] = all("button", dialog);
  no.onclick = () => dialog.close();
  yes.onclick = () => {
    dialog.close();
    then();
  };
  dialog.showModal();
  yes.focus();
}

// --- the keyboard

let waitsForPage = false;
let row = -1;

function walk(step) {
  const rows = all("[data-row]");
  if (!rows.length) return;
  rows[row]?.classList.remove("here");
  row = Math.min(rows.length - 1, Math.max(0, row + step));
  rows[row].classList.add("here");
  rows[row].scrollIntoView({ block: "nearest" });
  rows[row].querySelector("a")?.focus({ preventScroll: true });
}

function goTo(key) {
  document.querySelector(`.tabs a[data-key="${CSS.escape(key)}"]`)?.click();
}

function onKey(event) {
  const types = event.target.closest("input, textarea, select, [contenteditable]");
  if (types || event.ctrlKey || event.metaKey || event.altKey) return;
  if (waitsForPage) {
    waitsForPage = false;
    goTo(event.key);
    return;
  }
  const keys = {
    g: () => { waitsForPage = true; },
    j: () => walk(1),
    k: () => walk(-1),
    t: turn,
    "/": () => document.querySelector("[data-search]")?.focus(),
    "?": () => byId("keys").showModal(),
  };
  if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
}

// --- the graph: wheel, fingers, keys and buttons move it

const LEGIBLE = 0.9;

function bindGraph(svg) {
  const frame = svg.parentElement;
  const whole = svg.getAttribute("viewBox").split(" ").map(Number);
  let [x, y, width, height] = whole;

  const show = () => svg.setAttribute("viewBox", [x, y, width, height].join(" "));

  function zoom(factor, atX = 0.5, atY = 0.5) {
    const to = Math.min(whole[2] * 3, Math.max(whole[2] / 20, width * factor));
    const scale = to / width;
    x += width * atX * (1 - scale);
    y += height * atY * (1 - scale);
    width = to;
    height *= scale;
    show();
  }

  function move(byX, byY) {
    x += byX * width;
    y += byY * height;
    show();
  }

  function reset() {
    [x, y, width, height] = whole;
    show();
  }

  // Where the whole would be too small to read, it begins at the left and can be read.
  const scale = svg.getBoundingClientRect().width / whole[2];
  if (scale < LEGIBLE) zoom(scale / LEGIBLE, 0);

  const place = (event) => {
    const box = svg.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };

  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && !frame.matches(":focus-within")) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, ...place(event));
  }, { passive: false });

  const fingers = new Map();
  let dragged = false;
  frame.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, place(event));
    dragged = false;
  });
  frame.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = place(event);
    if (fingers.size === 1) {
      const [byX, byY] = [before[0] - now[0], before[1] - now[1]];
      if (!dragged && Math.hypot(byX, byY) < 0.01) return;
      dragged = true;
      move(byX, byY);
    } else {
      const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const apart = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 0.01;
      dragged = true;
      zoom(apart(before) / apart(now), ...other);
    }
    fingers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
    frame.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }
  frame.addEventListener("click", (event) => {
    if (dragged) event.preventDefault();
  }, true);
  frame.addEventListener("dragstart", (event) => event.preventDefault());

  frame.addEventListener("keydown", (event) => {
    const keys = {
      "+": () => zoom(1 / 1.25), "=": () => zoom(1 / 1.25), "-": () => zoom(1.25), "0": reset,
      ArrowLeft: () => move(-0.08, 0), ArrowRight: () => move(0.08, 0),
      ArrowUp: () => move(0, -0.08), ArrowDown: () => move(0, 0.08),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  for (const button of all("[data-zoom]")) {
    const acts = { in: () => zoom(1 / 1.25), out: () => zoom(1.25), all: reset };
    button.addEventListener("click", acts[button.dataset.zoom]);
  }
}

// --- all together

tellTimes();
setInterval(tellTimes, 5000);
bindForms();
listen();
addEventListener("keydown", onKey);
byId("theme").addEventListener("click", turn);
byId("keys").querySelector("button").addEventListener("click", () => byId("keys").close());
for (const form of all("form[data-auto]")) {
  for (const select of all("select", form)) select.addEventListener("change", () => form.submit());
}
if (byId("graph")) bindGraph(byId("graph"));
