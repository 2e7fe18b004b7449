// The annotator's page: one decision after another, by key, click or touch.

import {
  byId, drawAnswers, drawChoices, drawPlaces, drawProgress, drawPrompt, drawQuestion, scrollToLastTurn, showOnly, tell,
} from "./draw.js";
import { call, Refused, takeToken } from "./net.js";

const LOOK_AGAIN_MS = 10000;
const REFUSAL_SHOWN_MS = 6000;

let view = null;       // the last response of the server
let shownAt = 0;       // when the answers were displayed
let busy = false;      // true while a decision is being sent
let ranks = [];        // the rank of each answer, 0 while it has none
let marked = 0;        // the selected answer, which a number key ranks
let lookAgain = 0;

async function start() {
  takeToken("token");
  try {
    show(await call("/api/view", undefined, tell));
    await sendUnsent();
  } catch (error) {
    askWho(error);
  }
}

function askWho(error) {
  if (!(error instanceof Refused)) throw error;
  byId("leave").hidden = true;
  if (sessionStorage.getItem("token")) {
    showOnly("enter");
    byId("name").focus();
  } else {
    say("Open your link", "This page needs the complete link that you were given, including everything after the #.");
    byId("actions").hidden = true;
  }
}

async function enter(event) {
  event.preventDefault();
  const entry = { token: sessionStorage.getItem("token"), annotator: byId("name").value };
  try {
    await call("/api/enter", entry, tell);
    await start();
  } catch (error) {
    refused(error);
  }
}

async function leave() {
  await call("/api/leave", {}, tell);
  sessionStorage.removeItem("unsent");
  location.reload();
}

function show(next) {
  view = next;
  clearTimeout(lookAgain);
  drawProgress(view.decided, view.left);
  byId("leave").hidden = false;
  byId("leave").textContent = view.annotator;
  byId("leave").setAttribute("aria-label", `Signed in as ${view.annotator}; sign out`);
  byId("undo").disabled = !view.undo;
  setComment(false);
  byId("comment").value = "";
  if (view.task) showTask(view.task);
  else showEnd();
}

function showTask(task) {
  showOnly("task");
  drawQuestion(view.question);
  drawPrompt(task.prompt);
  drawAnswers(task.answers, place);
  drawChoices(task.answers.length);
  ranks = task.answers.map(() => 0);
  marked = 0;
  refreshPlaces();
  window.scrollTo(0, 0);
  scrollToLastTurn();
  byId("question").focus({ preventScroll: true });
  shownAt = performance.now();
}

function showEnd() {
  drawChoices(0);
  if (view.waiting) say("Nothing to do right now", "Other annotators are working on the remaining questions. This page checks again automatically.");
  else say("All done, thank you", "Everything is saved. You can close this page.");
  lookAgain = setTimeout(start, LOOK_AGAIN_MS);
}

function say(title, text) {
  showOnly("message");
  byId("message-title").textContent = title;
  byId("message-text").textContent = text;
}

// A decision is kept in the session storage until the server has stored it, also across a reload of the page.

async function decide(verdict) {
  if (busy || !view?.task) return;
  const button = document.querySelector(`[data-verdict="${verdict}"]`);
  if (button.hidden || button.disabled) return;
  const body = {
    request: newRequest(),
    task: view.task.id,
    verdict,
    ranks: verdict === "ranking" ? ranks : [],
    comment: byId("comment").value,
    duration_s: (performance.now() - shownAt) / 1000,
  };
  sessionStorage.setItem("unsent", JSON.stringify({ annotator: view.annotator, body }));
  await sendUnsent();
}

async function sendUnsent() {
  const unsent = JSON.parse(sessionStorage.getItem("unsent") ?? "null");
  if (unsent?.annotator === view.annotator) await ask("/api/decide", unsent.body);
  sessionStorage.removeItem("unsent");
}

async function undo() {
  if (!busy && view?.undo) await ask("/api/undo", { judgment: view.undo });
}

/** Send a decision or an undo, and show the screen that the server returns. */
async function ask(path, body) {
  busy = true;
  document.body.classList.add("busy");
  try {
    show(await call(path, body, tell));
  } catch (error) {
    refused(error);
    if (error.status === 401) askWho(error);
    else show(await call("/api/view", undefined, () => {}));
  } finally {
    busy = false;
    document.body.classList.remove("busy");
  }
}

function refused(error) {
  if (!(error instanceof Refused)) throw error;
  tell(error.message);
  setTimeout(() => { if (byId("trouble").textContent === error.message) tell(""); }, REFUSAL_SHOWN_MS);
}

/** Return a unique request id. `crypto.randomUUID` is not available without HTTPS. */
function newRequest() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Ranks of the answers.

function place(answer, rank) {
  ranks[answer] = rank;
  const next = ranks.findIndex((given, index) => !given && index > answer);
  mark(next >= 0 ? next : ranks.includes(0) ? ranks.indexOf(0) : answer);
}

function clearPlace() {
  const answer = ranks[marked] || marked === 0 ? marked : marked - 1;
  ranks[answer] = 0;
  mark(answer);
}

function mark(answer) {
  marked = Math.min(Math.max(answer, 0), ranks.length - 1);
  refreshPlaces();
  byId("answers").children[marked].scrollIntoView({ block: "nearest" });
}

function refreshPlaces() {
  if (ranks.length > 2) drawPlaces(ranks, marked);
  document.querySelector('[data-verdict="ranking"]').disabled = ranks.includes(0);
}

// Comment, keys, clicks.

function setComment(open) {
  byId("comment-panel").hidden = !open;
  byId("comment-toggle").setAttribute("aria-expanded", String(open));
  if (open) byId("comment").focus();
  else document.activeElement?.blur();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || byId("help-dialog").open) return;
  if (event.target.matches("textarea, input")) {
    // Keep the comment, and let the keys decide again.
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "Enter" && event.target.matches("button, summary")) return;
  const action = actionFor(event.key);
  if (action && !byId("actions").hidden) {
    event.preventDefault();
    action();
  } else if (event.key === "?") {
    byId("help-dialog").showModal();
  }
}

function actionFor(key) {
  const common = {
    b: () => decide("both_bad"),
    s: () => decide("skip"),
    c: () => { if (view.task) setComment(true); },
    u: undo,
  };
  const forPairs = {
    1: () => decide("first"), ArrowLeft: () => decide("first"),
    2: () => decide("second"), ArrowRight: () => decide("second"),
    t: () => decide("tie"),
  };
  const forRankings = {
    ArrowLeft: () => mark(marked - 1), ArrowRight: () => mark(marked + 1),
    Backspace: clearPlace, Enter: () => decide("ranking"),
  };
  const count = view?.task?.answers.length ?? 0;
  if (count > 2 && key >= "1" && key <= String(count)) return () => place(marked, Number(key));
  const name = key.length === 1 ? key.toLowerCase() : key;
  return { ...common, ...(count === 2 ? forPairs : count > 2 ? forRankings : {}) }[name];
}

byId("enter").addEventListener("submit", enter);
byId("leave").addEventListener("click", leave);
byId("help").addEventListener("click", () => byId("help-dialog").showModal());
byId("comment-toggle").addEventListener("click", () => setComment(byId("comment-panel").hidden));
byId("undo").addEventListener("click", undo);
for (const button of document.querySelectorAll("[data-verdict]"))
  button.addEventListener("click", () => decide(button.dataset.verdict));
document.addEventListener("keydown", onKey);
window.addEventListener("hashchange", start);
start();
