"use strict";

const PERIOD_MS = 2000;
const agenda = document.getElementById("agenda");
const state = document.getElementById("state");

function shownEtags() {
  return new Map([...agenda.querySelectorAll(".event")].map((event) => [event.id, event.dataset.etag]));
}

function scrolled() {
  return new Map([...agenda.querySelectorAll(".events")].map((list) => [list.dataset.calendar, list.scrollTop]));
}

// Only a changed agenda is put in place, so that nothing flickers; what was open or scrolled to stays so.
function replaceAgenda(html) {
  const before = shownEtags();
  const places = scrolled();
  const open = new Set([...agenda.querySelectorAll("details[open]")].map((details) => details.closest(".event").id));
  agenda.innerHTML = html; // escaped by the server's template
  for (const event of agenda.querySelectorAll(".event")) {
    if (before.get(event.id) !== event.dataset.etag) event.classList.add("fresh");
    if (open.has(event.id)) event.querySelector("details")?.setAttribute("open", "");
  }
  for (const list of agenda.querySelectorAll(".events")) list.scrollTop = places.get(list.dataset.calendar) ?? 0;
}

async function refresh() {
  try {
    const answer = await fetch(`/agenda.json?known=${agenda.dataset.version}`);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const { version, html } = await answer.json();
    if (html !== null) {
      replaceAgenda(html);
      agenda.dataset.version = version;
    }
    state.textContent = "Refreshes every two seconds.";
  } catch {
    state.textContent = "The sandbox does not answer; trying again.";
  }
  setTimeout(refresh, PERIOD_MS);
}

setTimeout(refresh, PERIOD_MS);
