// Keeps the page current: every few seconds it fetches the page again and replaces what is marked with `data-live`.
// It pauses while the page is hidden and when the reader presses the button. Times appear in the reader's time zone.
"use strict";

const SECONDS = 5;
const button = document.getElementById("refresh");
const stale = document.getElementById("stale");
let paused = false;

function localize(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title ||= time.textContent;
    time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }
}

// What the reader has opened or is typing into stays.
function isInUse(element) {
  return element.contains(document.activeElement) && document.activeElement !== document.body;
}

function replace(fresh) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(old.id);
    if (!now || isInUse(old)) continue;
    const open = [...old.querySelectorAll("details")].map((details) => details.open);
    now.querySelectorAll("details").forEach((details, i) => { details.open = open[i] ?? false; });
    localize(now);
    old.replaceWith(document.adoptNode(now));
  }
}

async function refresh() {
  if (paused || document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (answer.redirected) { location.reload(); return; }
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  }
}

localize(document);
if (button && stale && document.querySelector("[data-live]") && !document.querySelector("[data-once]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
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
