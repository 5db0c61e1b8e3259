// What the page does beyond plain HTML: times in the reader's own zone, live steps of a test push, live figures.

const TEST_POLL_MS = 1000;
const TEST_PATIENCE_MS = 120_000;
const REFRESH_MS = 5000;
const FORM_PATIENCE_MS = 15_000;
const MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

const language = navigator.languages.find((tag) => tag.startsWith("en")) ?? "en-GB";
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const moment = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(language, { timeStyle: "short" });
const seconds = new Intl.DateTimeFormat(language, { timeStyle: "medium" });

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function ago(date) {
  const passed = Math.max(0, (Date.now() - date) / 1000);
  if (passed < MINUTE) return "just now";
  if (passed < HOUR) return relative.format(-Math.floor(passed / MINUTE), "minute");
  if (passed < DAY) return relative.format(-Math.floor(passed / HOUR), "hour");
  return moment.format(date);
}

function sameDay(date) {
  return date.toDateString() === new Date().toDateString();
}

function timeText(date, style) {
  if (style === "ago") return ago(date);
  if (style === "clock") return sameDay(date) ? clock.format(date) : moment.format(date);
  if (style === "seconds") return seconds.format(date);
  return moment.format(date);
}

function showTimes(root = document) {
  for (const element of root.querySelectorAll("time[data-style]")) {
    const date = new Date(element.dateTime);
    element.textContent = timeText(date, element.dataset.style);
    element.title = moment.format(date);
  }
}

function forgetQuery() {
  // A reload should not repeat a message that has been read.
  const address = new URL(location.href);
  for (const name of ["notice", "error", "connected"]) address.searchParams.delete(name);
  if (address.href !== location.href) history.replaceState(null, "", address);
}

function release(form) {
  delete form.dataset.sent;
  form.querySelector("button")?.removeAttribute("aria-disabled");
}

function guardForms() {
  // A second press while the first is under way would do it twice.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    form.querySelector("button")?.setAttribute("aria-disabled", "true");
    setTimeout(release, FORM_PATIENCE_MS, form);
  });
  addEventListener("pageshow", () => [...document.forms].forEach(release));
}

function offerCopies() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const field = document.getElementById(button.dataset.copy), line = document.getElementById(button.dataset.says);
    button.hidden = false;
    button.addEventListener("click", async () => {
      field.select();
      // There is no clipboard without TLS, and a browser may ask its user or refuse.
      const copied = await navigator.clipboard?.writeText(field.value).then(() => true, () => false);
      line.textContent = copied ? button.dataset.copied : button.dataset.refused;
      if (!copied) field.focus();
    });
    field.focus();
  }
}

function showTest(box, test, words) {
  for (const step of test.steps) {
    const line = box.querySelector(`[data-step="${CSS.escape(step.name)}"]`);
    if (!line) continue;
    line.className = step.state;
    line.querySelector("[data-step-state]").textContent = words.steps[step.state] ?? step.state;
    line.querySelector("[data-step-detail]").textContent = step.detail ?? "";
    line.querySelector("[data-step-time]").textContent = step.at ? seconds.format(new Date(step.at)) : "";
  }
  say(box, words.summaries[test.state]);
}

function say(box, summary) {
  box.querySelector("[data-test-status]").className = `status ${summary.tone}`;
  for (const [part, sentence] of [["headline", summary.headline], ["detail", summary.detail]]) {
    const line = box.querySelector(`[data-test-${part}]`);
    // What is set again would be read aloud again.
    if (line.textContent !== sentence) line.textContent = sentence;
  }
}

async function followTest(box) {
  const words = JSON.parse(box.dataset.words);
  const end = Date.now() + TEST_PATIENCE_MS;
  while (Date.now() < end) {
    await pause(TEST_POLL_MS);
    const answer = await fetch(box.dataset.testPush, { headers: { Accept: "application/json" } }).catch(() => null);
    if (answer && [401, 404].includes(answer.status)) {
      say(box, words.summaries.lost);
      return;
    }
    if (!answer?.ok) continue; // the network, or us for a moment: ask again
    const test = await answer.json();
    showTest(box, test, words);
    if (test.state !== "running") return;
  }
  say(box, words.summaries.slow);
}

async function refresh() {
  const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.status === 401) return false; // signed out: the next click says so
  if (!answer?.ok) return true;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const main = document.querySelector("main"), freshMain = fresh.querySelector("main");
  if (freshMain.dataset.state !== main.dataset.state) {
    location.replace(location.pathname); // another state is another page
    return false;
  }
  for (const region of document.querySelectorAll("[data-live]")) {
    const replacement = fresh.getElementById(region.id);
    // Whoever has a button of it under the finger keeps it.
    if (replacement && !region.contains(document.activeElement)) region.replaceWith(replacement);
  }
  showTimes();
  return "refresh" in freshMain.dataset;
}

async function keepFresh() {
  do {
    await pause(REFRESH_MS);
  } while (document.hidden || (await refresh()));
}

showTimes();
setInterval(() => showTimes(), 30_000);
forgetQuery();
guardForms();
offerCopies();
document.querySelector("main > .notice.bad")?.focus();
for (const box of document.querySelectorAll('[data-test-state="running"]')) followTest(box);
if (document.querySelector("main[data-refresh]")) keepFresh();
