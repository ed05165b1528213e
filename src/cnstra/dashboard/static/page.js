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

// --- live: each change asks for the page again, and takes over what differs

const PATIENCE = 15000;
const RETRY = 3000;

let asking = false;
let again = false;
let shownAt = new Date();

async function refresh() {
  if (asking || document.hidden) {
    again = true;
    return;
  }
  asking = true;
  again = false;
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    await takeIn(await fetch(location.href, { signal }));
  } catch {
    sayStale("The server of this page does not answer; it is asked again by itself.");
  } finally {
    asking = false;
    if (again) refresh();
  }
}

async function takeIn(answer) {
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (answer.redirected) {
    sayStale("Your visit is over.", { text: "Sign in", href: answer.url });
  } else if (answer.ok && byId("declined")) {
    location.reload();
  } else if (answer.ok) {
    takeOver(fresh);
    sayFresh();
  } else {
    const trouble = fresh.querySelector(".trouble:not(#stale)");
    sayStale(trouble?.textContent ?? `The server says ${answer.status}.`);
  }
}

function takeOver(fresh) {
  for (const part of all("[data-live]")) {
    const other = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (!other) continue;
    tellTimes(other);
    morph(part, other);
  }
}

function sayFresh() {
  shownAt = new Date();
  byId("stale").hidden = true;
}

function sayStale(reason, link) {
  const told = byId("stale");
  const text = `${reason} What is shown is from ${shownAt.toLocaleTimeString()}. `;
  if (!told.hidden && told.firstChild?.data === text) return;
  told.replaceChildren(text);
  if (link) {
    const anchor = document.createElement("a");
    anchor.textContent = link.text;
    anchor.href = link.href;
    told.append(anchor);
  }
  told.hidden = false;
}

// What stays the same stays the same node, with its focus, selection, scroll and open details.
// Nodes that a person may act on have a key: none becomes another one's under their hands.
const keyOf = (node) => node.id || node.dataset?.key;

function morph(part, other) {
  const wanted = new Set([...other.children].map(keyOf));
  const known = new Map();
  for (const child of [...part.children]) {
    const key = keyOf(child);
    if (key && !wanted.has(key)) child.remove();
    else if (key) known.set(key, child);
  }
  let at = part.firstChild;
  for (const next of [...other.childNodes]) {
    const key = keyOf(next);
    const same = key ? known.get(key) : isAlike(at, next) && at;
    if (!same) {
      part.insertBefore(next, at);
      continue;
    }
    known.delete(key);
    if (same === at) at = at.nextSibling;
    else part.insertBefore(same, at);
    update(same, next);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

const isAlike = (one, other) => one && !keyOf(one) && one.nodeName === other.nodeName;

function update(node, next) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (node.data !== next.data) node.data = next.data;
    return;
  }
  for (const { name } of [...node.attributes]) {
    if (name !== "open" && !next.hasAttribute(name)) node.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name !== "open" && node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  morph(node, next);
}

// A browser opens six connections to a server at most: pages that nobody looks at leave theirs.
let stream = null;
let missed = false;
let retrying = 0;

function listen() {
  clearTimeout(retrying);
  stream?.close();
  stream = null;
  showPulse(false);
  if (document.hidden || !body.dataset.liveFrom) return;
  stream = new EventSource(body.dataset.liveFrom);
  stream.onopen = () => {
    showPulse(true);
    if (missed) refresh();
    missed = false;
  };
  stream.onerror = () => {
    showPulse(false);
    missed = true;
    refresh();
    if (stream.readyState === EventSource.CLOSED) retrying = setTimeout(listen, RETRY);
  };
  stream.addEventListener("away", refresh);
  stream.addEventListener("changed", () => {
    if (document.querySelector("[data-live], #declined, #stale:not([hidden])")) refresh();
  });
}

function showPulse(isOn) {
  const pulse = byId("pulse");
  pulse.classList.toggle("on", isOn);
  pulse.title = isOn ? "Live" : "Not live";
  pulse.setAttribute("aria-label", pulse.title);
}

function onVisibility() {
  missed = true;
  listen();
}

// --- forms: sent once, and those that cannot be taken back ask first

const sure = new WeakSet();
const sent = new WeakSet();

function onSubmit(event) {
  const form = event.target;
  if (sent.has(form)) {
    event.preventDefault();
  } else if (form.dataset.confirm && !sure.has(form)) {
    event.preventDefault();
    ask(form.dataset.confirm, () => {
      sure.add(form);
      form.requestSubmit();
    });
  } else if (form.method === "post") {
    sent.add(form);
    form.querySelector("[type=submit]")?.setAttribute("aria-busy", "true");
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
  const here = rows.indexOf(document.activeElement.closest("[data-row]"));
  row = Math.min(rows.length - 1, Math.max(0, (here < 0 ? row : here) + step));
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

const LEGIBLE = 0.8;

function bindGraph(svg) {
  const frame = svg.parentElement;
  const whole = svg.getAttribute("viewBox").split(" ").map(Number);
  let [x, y, width, height] = whole;

  function show() {
    svg.setAttribute("viewBox", [x, y, width, height].join(" "));
    frame.classList.toggle("goes-on", x + width < whole[2]);
  }

  // Where the whole would be too small to read, it begins at the left and can be read.
  const scale = Math.min(1, svg.getBoundingClientRect().width / whole[2]);
  svg.style.height = `${whole[3] * Math.max(scale, LEGIBLE)}px`;
  if (scale < LEGIBLE) {
    const box = svg.getBoundingClientRect();
    [width, height] = [box.width / LEGIBLE, box.height / LEGIBLE];
    y = (whole[3] - height) / 2;
    show();
  }

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

  const place = (event) => {
    const box = svg.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };

  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && !frame.matches(":focus-within")) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, ...place(event));
  }, { passive: false });

  frame.addEventListener("focusin", (event) => {
    const box = event.target.closest(".node")?.querySelector("rect");
    if (!box) return;
    const sides = ["x", "y", "width", "height"];
    const [left, top, wide, high] = sides.map((side) => box[side].baseVal.value);
    if (left < x || left + wide > x + width) x = left + (wide - width) / 2;
    if (top < y || top + high > y + height) y = top + (high - height) / 2;
    show();
  });

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
listen();
addEventListener("pagehide", () => stream?.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());
document.addEventListener("visibilitychange", onVisibility);
document.addEventListener("submit", onSubmit);
addEventListener("keydown", onKey);
byId("theme").addEventListener("click", turn);
byId("help").addEventListener("click", () => byId("keys").showModal());
byId("keys").querySelector("button").addEventListener("click", () => byId("keys").close());
for (const form of all("form[data-auto]")) {
  for (const select of all("select", form)) select.addEventListener("change", () => form.submit());
}
if (byId("graph")) bindGraph(byId("graph"));
