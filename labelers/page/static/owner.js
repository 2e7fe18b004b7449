// The owner's page: read-only metrics, fetched every few seconds.

import { byId, make, tell } from "./draw.js";
import { call, Refused, takeToken } from "./net.js";

const EVERY_MS = 4000;

const percent = (share) => (share === null ? "–" : `${Math.round(share * 100)} %`);
const number = (value, digits) => (value === null ? "–" : value.toFixed(digits));

const PEOPLE = [
  ["Name", (p) => p.name],
  ["Decisions", (p) => p.decided],
  ["Ties", (p) => p.ties],
  ["Both bad", (p) => p.both_bad],
  ["Skipped", (p) => p.skipped],
  ["Chose first", (p) => percent(p.first_share)],
  ["Median time", (p) => (p.median_s === null ? "–" : `${number(p.median_s, 1)} s`)],
  ["Gold correct", (p) => (p.gold_asked ? `${p.gold_right} of ${p.gold_asked}` : "–")],
];
const PAIRS = [
  ["Annotators", (a) => a.names.join(" and ")],
  ["Comparisons", (a) => a.n],
  ["Agreement", (a) => percent(a.agreed)],
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

function draw(metrics) {
  const share = metrics.wanted ? metrics.given / metrics.wanted : 0;
  const state = metrics.complete ? ", complete" : "";
  byId("progress").textContent = `${metrics.given} of ${metrics.wanted} answers${state}`;
  byId("bar").value = share;
  byId("question").textContent = metrics.question;
  byId("people").replaceChildren(table(PEOPLE, metrics.annotators, "No decisions yet."));
  byId("agreement").replaceChildren(
    table(PAIRS, metrics.agreement, "No two annotators have judged the same comparison yet."),
    ...moreThan(metrics.agreement.length, metrics.agreement_pairs));
}

/** Return a note if the table shows only some of the pairs. */
function moreThan(shown, all) {
  return all > shown ? [make("p", "note", `The ${shown} pairs with most comparisons in common, of ${all}.`)] : [];
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
