// The list of runs with their stages, compliance, win rate and gates.

import { Tick } from "./progress.jsx";
import { sentence } from "../shared/words.js";
import { board, chosen, moment, openRuns, percent, request, runs } from "./state.js";

const OUTCOMES = { better: "better", worse: "worse", other: "changed", noise: "within noise", same: "unchanged" };

export function RunList() {
  const names = runs.value.map((run) => run.run).filter((name) => chosen.value.includes(name)).reverse(); // oldest first
  if (!runs.value.length) return <p class="soft">No run yet. Start one above, or with publius run; it appears here as soon as it has a folder in runs/.</p>;
  return (
    <section aria-label="All runs">
      <div class="bar flat">
        <h2>All runs</h2>
        <span class="space" />
        <button type="button" class="main" disabled={names.length < 2} onClick={() => openRuns(names)}>
          {names.length < 2 ? "Tick two runs to compare" : `Compare ${names.length} runs`}
        </button>
      </div>
      <table class="list">
        <thead>
          <tr>
            <th>
              <span class="visually-hidden">Compare</span>
            </th>
            <th>Run</th>
            <th>State</th>
            <th title="Share of machine checks that the answers pass, before and after training">Checks passed, base → trained</th>
            <th title="How often a judge prefers the trained answers to those of base">Win rate over base</th>
            <th title="Limits of the run file that measures must keep">Gates</th>
            <th>
              <span class="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {runs.value.map((run) => (
            <Row key={run.run} run={run} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Row({ run }) {
  const found = run.evaluation;
  const done = run.planned.filter((stage) => stage in run.stages).length;
  const models = [...new Set(Object.values(run.models))].join(", ");
  return (
    <tr>
      <td>
        <Tick run={run.run} />
      </td>
      <th scope="row">
        <button type="button" class="link" onClick={() => openRuns([run.run])}>
          {run.run}
        </button>
        <span class="under">
          {moment(run.created)}
          {models && !run.made_up && `, model ${models}`}
        </span>
        {run.made_up && <span class="under made-up">{sentence(run.made_up)}</span>}
        {run.problem && <span class="under bad">{run.problem}</span>}
      </th>
      <td data-title="State">
        <span class={`badge ${run.state}`}>{run.state}</span>
        {run.planned.length > 0 && run.state !== "finished" && (
          <span class="under">
            {done} of {run.planned.length} stages
          </span>
        )}
      </td>
      <td data-title="Checks passed" class={found ? "" : "none"}>{found ? <Compliance found={found} /> : <span class="soft">not evaluated</span>}</td>
      <td data-title="Win rate over base" class={found?.win_rate ? "" : "none"}>{found?.win_rate ? <Cell cell={found.win_rate} /> : <span class="soft">{found ? "not measured" : "–"}</span>}</td>
      <td data-title="Gates" class={found ? "" : "none"}>{found ? <Gates found={found} /> : <span class="soft">–</span>}</td>
      <td class="tools">
        {run.state === "unfinished" && <Resume run={run} />}
        <button type="button" onClick={() => openRuns([run.run])}>
          Open<span class="visually-hidden"> {run.run}</span>
        </button>
      </td>
    </tr>
  );
}

function Resume({ run }) {
  const { run_file, overrides } = run.source ?? { run_file: board.value.run_files[0], overrides: [] };
  if (!run_file) return null;
  const settings = overrides.map((one) => ` --set ${one}`).join("");
  return (
    <button
      type="button"
      title={`publius run ${run_file}${settings} --resume runs/${run.run}`}
      onClick={() => request("start", { run_file, overrides, resume: run.run })}
    >
      Resume<span class="visually-hidden"> {run.run}</span>
    </button>
  );
}

function Compliance({ found }) {
  const base = found.compliance.base;
  const main = found.compliance[found.main];
  if (!main) return <span class="soft">no check</span>;
  return (
    <>
      {base && found.main !== "base" && `${percent(base.value)} → `}
      <Cell cell={main} />
      <span class="under">
        {found.main}, {found.prompts} prompts
      </span>
    </>
  );
}

function Cell({ cell }) {
  return (
    <>
      <strong>{percent(cell.value)}</strong> {cell.outcome && <span class={`outcome ${cell.outcome}`}>{OUTCOMES[cell.outcome]}</span>}
    </>
  );
}

function Gates({ found }) {
  const failed = found.gates.filter((gate) => gate.blocks);
  const unclear = found.gates.filter((gate) => gate.outcome === "inconclusive" && !gate.blocks);
  const passed = found.gates.filter((gate) => gate.outcome === "pass");
  const lines = [...found.gates.map((gate) => `${gate.outcome}: ${gate.line}`), ...found.unchecked];
  if (!lines.length) return <span class="soft">none</span>;
  return (
    <details class="gates">
      <summary>
        {passed.length > 0 && <span class="outcome better">✓ {passed.length} passed </span>}
        {failed.length > 0 && <span class="outcome worse">✗ {failed.length} failed </span>}
        {unclear.length > 0 && <span class="outcome noise">? {unclear.length} open </span>}
        {found.unchecked.length > 0 && <span class="outcome noise">{found.unchecked.length} not checked</span>}
      </summary>
      <ul>
        {lines.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
    </details>
  );
}
