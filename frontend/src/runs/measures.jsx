// The measures of one run by variant, or of several runs with their paired differences; gates.

import { useState } from "preact/hooks";

const OUTCOMES = { better: "better", worse: "worse", other: "changed", noise: "within noise", same: "unchanged" };

/** What a measure is that is not a principle of the constitution. */
const MEANINGS = {
  compliance: "share of the machine checks that answers pass",
  words: "mean length of an answer",
  finished: "answers that the model ended itself, not cut off at the length limit",
  empty: "answers without text",
  repeated: "answers that repeat the same words over and over",
  duplicate: "answers that are also the answer to another prompt",
  sameness: "answers that nearly are the answer to another prompt",
};

export function Measures({ found }) {
  return found.runs.length > 1 ? <Movement found={found} /> : <OneRun run={found.runs[0]} />;
}

function OneRun({ run }) {
  if (!run.rows.length) return <p class="soft">This run has not been evaluated. The stage eval follows the training, or run publius eval.</p>;
  return (
    <>
      <Table heads={run.variants} rows={run.rows} about='Differences are from base, paired by prompt, with 95 % intervals in brackets. "within noise" is what chance explains, all measures considered.'  />
      <Gates runs={[run]} />
    </>
  );
}

/** How each principle and measure moved from the first group of runs to the others. */
function Movement({ found }) {
  const variants = [...new Set(found.measures.map((row) => row.variant))];
  const [picked, setPicked] = useState("");
  const common = variants.find((name) => found.measures.some((row) => row.variant === name && row.cells.every(Boolean)));
  const variant = variants.includes(picked) ? picked : (common ?? variants[0]);
  if (!variants.length) return <p class="soft">None of these runs has been evaluated, so only their answers and preferences can be compared.</p>;
  const rows = found.measures.filter((row) => row.variant === variant);
  const prompts = found.prompts[variant];
  return (
    <>
      <div class="filters">
        <label>
          Variant
          <select value={variant} onChange={(event) => setPicked(event.currentTarget.value)}>
            {variants.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </div>
      <Table
        heads={found.groups.map((group) => group.key)}
        rows={rows}
        about={
          prompts === undefined
            ? "These runs share no prompts, so that only means are compared."
            : `Differences are from A, paired by the ${prompts} prompts that all runs answered, with 95 % intervals in brackets. "within noise" is what chance explains, all measures considered.`
        }
      />
      <Gates runs={found.runs} />
    </>
  );
}

function Table({ heads, rows, about }) {
  return (
    <>
      <p class="soft">{about}</p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Measures">
        <table class="measures">
          <thead>
            <tr>
              <th scope="col">Measure</th>
              {heads.map((head) => (
                <th key={head} scope="col">
                  {head}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.measure}>
                <th scope="row">
                  {row.title}
                  <span class="under">{row.about || MEANINGS[row.measure]}</span>
                </th>
                {row.cells.map((cell, number) => (
                  <td key={number}>{cell ? <MeasureCell cell={cell} /> : <span class="soft">–</span>}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function MeasureCell({ cell }) {
  return (
    <>
      <strong>{cell.value.text}</strong>
      {cell.value.interval && <span class="under">({cell.value.interval})</span>}
      {cell.delta && (
        <span class="under">
          {cell.delta.text} {cell.delta.interval && `(${cell.delta.interval})`}
        </span>
      )}
      {cell.not_compared && <span class="under sentence">{cell.not_compared}</span>}
      {cell.outcome && <span class={`outcome ${cell.outcome}`}>{OUTCOMES[cell.outcome]}</span>}
    </>
  );
}

function Gates({ runs }) {
  const gates = runs.flatMap((run) => run.gates.map((gate) => ({ ...gate, run })));
  if (!gates.length) return null;
  return (
    <section aria-label="Gates">
      <h2>Gates</h2>
      <ul class="gate-list">
        {gates.map((gate, number) => (
          <li key={number}>
            <span class={`outcome ${{ pass: "better", fail: "worse" }[gate.outcome] ?? "noise"}`}>{gate.outcome}</span>{" "}
            {runs.length > 1 && `${gate.run.key}: `}
            {gate.name} {gate.value.text} {gate.value.interval && `(${gate.value.interval})`}, limit {gate.limit}
          </li>
        ))}
      </ul>
    </section>
  );
}
