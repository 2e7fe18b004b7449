// What runs now, and what the last processes ended with.

import { choose, chosen, moment, openRuns, processes, request, runBefore, runNamed } from "./state.js";

const STATES = { running: "running", finished: "finished", stopped: "stopped", failed: "failed" };

export function Processes() {
  if (!processes.value.length) return null;
  return (
    <section aria-label="Started runs">
      <h2>Started here</h2>
      <div class="cards plain">
        {processes.value.map((one) => (
          <Process key={one.id} process={one} />
        ))}
      </div>
    </section>
  );
}

function Process({ process }) {
  const { state, folder, progress } = process;
  const isRunning = state === "running";
  const before = folder && runBefore(folder);
  const isListed = folder && runNamed(folder);
  return (
    <article class={`card process ${state}`} aria-label={`${folder ?? process.run_file}, ${STATES[state]}`}>
      <header>
        <div class="prompt">
          {folder ?? process.run_file} <span class={`badge ${state}`}>{STATES[state]}</span>
        </div>
        <div class="tools">
          {isRunning && (
            <button type="button" onClick={() => request("stop", { process: process.id })}>
              Stop
            </button>
          )}
          {(state === "stopped" || state === "failed") && (
            <button
              type="button"
              onClick={() => request("start", { run_file: process.run_file, overrides: process.overrides, resume: isListed ? folder : null })}
            >
              {isListed ? "Resume" : "Start again"}
            </button>
          )}
          {isListed && (
            <button type="button" onClick={() => openRuns([folder])}>
              Open
            </button>
          )}
          {isListed && !isRunning && before && (
            <button type="button" title={`Compare with ${before}`} onClick={() => openRuns([before, folder])}>
              Compare with the run before
            </button>
          )}
        </div>
      </header>
      <p class="soft">
        <code>{process.command.join(" ")}</code>, {moment(process.started)}
      </p>
      {isRunning && !progress.length && <p class="state">Starting, and loading the model ...</p>}
      <Stages process={process} planned={isListed?.planned ?? []} />
      {state === "failed" && <pre class="notice bad">{process.problem || "The process ended without a message."}</pre>}
      {process.notices.length > 0 && state !== "failed" && (
        <details>
          <summary>Messages ({process.notices.length})</summary>
          <pre class="lines">{process.notices.join("\n")}</pre>
        </details>
      )}
    </article>
  );
}

function Stages({ process, planned }) {
  const seen = process.progress.map((step) => step.label);
  const later = process.state === "running" ? planned.filter((name) => !seen.includes(name)) : [];
  const last = process.progress.length - 1;
  if (!seen.length && !later.length) return null;
  return (
    <ol class="stages">
      {process.progress.map((step, number) => (
        <li key={step.label} class={number === last && process.state === "running" ? "current" : ""}>
          <span class="name">{step.label}</span>
          <progress max={step.total ?? 1} value={step.total ? step.done : undefined} aria-label={`${step.label}, done`} />
          <span class="numbers">
            {step.done.toLocaleString()}
            {step.total !== null && ` of ${step.total.toLocaleString()}`} done, {step.about}
          </span>
        </li>
      ))}
      {later.map((name) => (
        <li key={name} class="later">
          <span class="name">{name}</span>
          <span class="numbers">not begun</span>
        </li>
      ))}
    </ol>
  );
}

export function Tick({ run }) {
  return (
    <label class="tick">
      <input type="checkbox" checked={chosen.value.includes(run)} onChange={() => choose(run)} />
      <span class="word">Compare</span>
      <span class="visually-hidden"> {run}</span>
    </label>
  );
}
