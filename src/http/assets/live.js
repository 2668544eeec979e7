// Keeps the page current: every few seconds it fetches the page again and brings what is marked with `data-live` up to
// date. It pauses while the page is hidden and when the reader presses the button. Times appear in the reader's zone.
"use strict";

const SECONDS = 5;
const PATIENCE_SECONDS = 20;
const button = document.getElementById("refresh");
const stale = document.getElementById("stale");
let paused = false;
let fetching = false;

function localize(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title ||= time.textContent;
    time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }
}

// What identifies a node among its siblings. A row with a button has a key, so that the button never becomes another's.
function key(node) {
  return node.id || node.dataset?.key;
}

// Makes `old` equal to `fresh` and touches only what differs: focus, selection, scroll positions, and what the reader
// has typed or opened stay.
function morph(old, fresh) {
  if (old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
  } else if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
  } else {
    morphAttributes(old, fresh);
    morphChildren(old, fresh);
  }
}

function morphAttributes(old, fresh) {
  for (const name of old.getAttributeNames()) {
    const isOpened = name === "open" && old.nodeName === "DETAILS";
    if (!isOpened && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function morphChildren(old, fresh) {
  const wanted = new Set([...fresh.children].map(key));
  const known = new Map();
  for (const child of [...old.children].filter(key)) {
    if (wanted.has(key(child))) known.set(key(child), child); else child.remove();
  }
  let at = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    const same = key(node) ? known.get(key(node)) : at && !key(at) ? at : null;
    if (!same) { old.insertBefore(node, at); continue; }
    if (same === at) at = at.nextSibling; else old.insertBefore(same, at);
    morph(same, node);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function replace(fresh) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(old.id);
    if (!now) continue;
    localize(now);
    morph(old, now);
  }
}

async function refresh() {
  if (paused || fetching || document.hidden) return;
  fetching = true;
  try {
    const signal = AbortSignal.timeout(PATIENCE_SECONDS * 1000);
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store", signal });
    if (answer.redirected) { location.reload(); return; }
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const text = await answer.text();
    if (!paused) replace(new DOMParser().parseFromString(text, "text/html"));
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  } finally {
    fetching = false;
  }
}

localize(document);
if (button && stale && document.querySelector("[data-live]") && !document.querySelector("[data-once]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Resume refresh" : "Pause refresh";
    refresh();
  });
  document.addEventListener("visibilitychange", refresh);
  (async () => {
    for (;;) {
      await new Promise((done) => setTimeout(done, SECONDS * 1000));
      await refresh();
    }
  })();
}
