// The owner's page: read-only figures, fetched anew every few seconds.

import { byId, make, tell } from "./draw.js";
import { call, Refused, takeToken } from "./net.js";

const EVERY_MS = 4000;

const percent = (share) => (share === null ? "–" : `${Math.round(share * 100)} %`);
const number = (value, digits) => (value === null ? "–" : value.toFixed(digits));

const PEOPLE = [
  ["Name", (p) => p.name],
  ["Decided", (p) => p.decided],
  ["Ties", (p) => p.ties],
  ["Both bad", (p) => p.both_bad],
  ["Skipped", (p) => p.skipped],
  ["First", (p) => percent(p.first_share)],
  ["Median time", (p) => (p.median_s === null ? "–" : `${number(p.median_s, 1)} s`)],
  ["Gold right", (p) => (p.gold_asked ? `${p.gold_right} of ${p.gold_asked}` : "–")],
];
const PAIRS = [
  ["Who", (a) => a.names.join(" and ")],
  ["Comparisons", (a) => a.n],
  ["Agreed", (a) => percent(a.agreed)],
  ["Kappa", (a) => number(a.kappa, 2)],
];

function table(columns, rows, none) {
  if (!rows.length) return make("p", "note", none);
  const head = make("tr", "", null, ...columns.map(([title]) => {
    const cell = make("th", "", title);
    cell.scope = "col";
    return cell;
  }));
  const body = rows.map((row) => make("tr", "", null, ...columns.map(([, value]) => make("td", "", String(value(row))))));
  return make("table", "", null, make("thead", "", null, head), make("tbody", "", null, ...body));
}

function draw(figures) {
  const share = figures.wanted ? figures.given / figures.wanted : 0;
  const state = figures.complete ? ", complete" : "";
  byId("progress").textContent = `${figures.given} of ${figures.wanted} answers${state}`;
  byId("bar").value = share;
  byId("question").textContent = figures.question;
  byId("people").replaceChildren(table(PEOPLE, figures.annotators, "Nobody has decided anything yet."));
  byId("agreement").replaceChildren(
    table(PAIRS, figures.agreement, "No two people have judged the same comparison yet."));
}

async function refresh() {
  try {
    draw(await call("/api/overview", undefined, tell));
    setTimeout(refresh, EVERY_MS);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    tell(error.message);
  }
}

async function start() {
  const token = takeToken("owner-token");
  if (token) await call("/api/owner", { token }, tell).catch((error) => tell(error.message));
  await refresh();
}

start();
