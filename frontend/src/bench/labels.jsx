// The table of a card: each principle with its check of both answers and its label.

import { bench } from "./state.js";

/** All principles that say something about a pair. */
export function Labels({ card }) {
  const rows = rowsOf(card);
  if (!rows.length) return null;
  return (
    <table class="labels">
      <caption class="visually-hidden">Checks and labels by principle</caption>
      <thead>
        <tr>
          <th scope="col">Principle</th>
          <th scope="col">Draft</th>
          <th scope="col">Revision</th>
          <th scope="col" title="Probability: 0 % is the draft, 100 % the revision; the mark on the bar is the value before the edit">
            Revision is better
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <Row key={row.principle} {...row} />
        ))}
      </tbody>
    </table>
  );
}

function rowsOf(card) {
  const checks = new Map(card.checks.map((check) => [check.principle, check]));
  const labels = new Map(card.labels.map((label) => [label.principle, label]));
  const names = [...labels.keys(), ...[...checks.keys()].filter((name) => !labels.has(name))];
  return names
    .map((principle) => ({ principle, check: checks.get(principle), label: labels.get(principle) }))
    .filter((row) => row.label || row.check?.applies);
}

function Row({ principle, check, label }) {
  const isFlipped = check?.flipped || label?.flipped;
  const text = bench.value.principles[principle]?.text ?? "";
  return (
    <tr class={isFlipped ? "flipped" : ""}>
      <th scope="row" title={text}>
        {principle}
        {isFlipped && <span class="visually-hidden"> (flipped)</span>}
      </th>
      {check ? (
        <>
          <Outcome found={check.draft} before={check.before?.[0]} />
          <Outcome found={check.last} before={check.before?.[1]} />
        </>
      ) : (
        <td colSpan="2" class="by">
          {label?.labeler === "ai" && (
            <>
              judged<span class="word"> by the model</span>
            </>
          )}
        </td>
      )}
      <td>{label ? <Probability {...label} waits={bench.value.unfinished === principle} /> : null}</td>
    </tr>
  );
}

/** Whether a check passes, and what it finds if not. */
function Outcome({ found, before }) {
  const passes = found === null;
  const changed = before !== undefined && before !== passes;
  return (
    <td class={passes ? "pass" : "fail"} title={found ?? "passes"}>
      <span class="visually-hidden">{changed ? (passes ? "failed before, now " : "passed before, now ") : ""}</span>
      <span class="outcome-now">
        <span aria-hidden="true">{changed ? `${before ? "✓" : "✗"} → ` : ""}</span>
        {passes ? "✓" : "✗"} <span class="word">{passes ? "pass" : "fail"}</span>
      </span>
      {found && <span class="found">{found}</span>}
    </td>
  );
}

/** A probability with the one before the edit. */
export function Probability({ p, before, flipped, pending, problem, orders, why, waits }) {
  if (pending) return <span class="pending">{waits ? "waiting" : before === null ? "asked ..." : `${shown(before)} → ...`}</span>;
  if (p === null) return <span class="none">{why ?? sayProblem(problem)}</span>;
  const moved = before !== null && Math.abs(p - before) >= 0.005;
  return (
    <span class={flipped ? "p flipped" : "p"} title={orders ? sayOrders(orders) : undefined}>
      <Meter p={p} before={moved ? before : null} />
      <span class="number">
        {moved && <span class="before">{shown(before)} → </span>}
        {shown(p)}
      </span>
    </span>
  );
}

const shown = (p) => `${Math.round(100 * p)} %`;

function sayProblem(problem) {
  const said = {
    low_mass: "the model gave neither answer enough probability",
    unreadable: "no readable verdict",
    refused: "the model refused to judge",
    cut_off: "the answer was cut off",
    abstained: "the judge abstains",
  };
  return problem ? (said[problem] ?? "no valid answer") : "";
}

function sayOrders([first, second]) {
  const sign = (x) => `${x >= 0 ? "+" : "−"}${Math.abs(x).toFixed(2)}`;
  return `Log-odds that the revision is better, draft shown first: ${sign(first)}, draft shown second: ${sign(second)}`;
}

/** A bar from the middle: to the right, the revision is better. */
function Meter({ p, before }) {
  const from = Math.min(p, 0.5) * 100;
  const width = Math.abs(p - 0.5) * 100;
  return (
    <svg class="meter" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect class="ground" x="0" y="3" width="100" height="4" />
      <rect class={p >= 0.5 ? "up" : "down"} x={from} y="2" width={width} height="6" />
      <rect class="middle" x="49.6" y="0" width="0.8" height="10" />
      {before !== null && <rect class="earlier" x={before * 100 - 0.6} y="0" width="1.2" height="10" />}
    </svg>
  );
}
