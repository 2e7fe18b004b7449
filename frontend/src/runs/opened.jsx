// One run, or several side by side: answers, measures, preferences, training and report.

import { useEffect, useState } from "preact/hooks";
import { call } from "../net.js";
import { Answers } from "./answers.jsx";
import { Curves } from "./curves.jsx";
import { Measures } from "./measures.jsx";
import { Preferences } from "./preferences.jsx";
import { Report } from "./report.jsx";
import { sentence } from "../shared/words.js";
import { openRuns, runNamed } from "./state.js";

const VIEWS = [
  ["answers", "Answers", Answers],
  ["measures", "Measures", Measures],
  ["preferences", "Preferences", Preferences],
  ["training", "Training", Curves],
  ["report", "Report", Report],
];

export function Opened({ names }) {
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState("");
  const [view, setView] = useState("answers");
  const key = names.map((name) => `${name} ${JSON.stringify(runNamed(name)?.stages)} ${Boolean(runNamed(name)?.evaluation)}`).join("\n");
  useEffect(() => {
    let isCurrent = true;
    call(`/api/runs/compare?${names.map((name) => `run=${encodeURIComponent(name)}`).join("&")}`)
      .then((answer) => isCurrent && (setFound(answer), setProblem("")))
      .catch((error) => isCurrent && setProblem(error.message));
    return () => {
      isCurrent = false;
    };
  }, [key]);
  const shown = VIEWS.filter(([id]) => id !== "preferences" || names.length > 1);
  const View = shown.find(([id]) => id === view)?.[2] ?? Answers;
  return (
    <section class="opened" aria-label={names.length > 1 ? "Runs side by side" : "Run"}>
      <div class="bar flat">
        <button type="button" onClick={() => openRuns(null)}>
          ← All runs
        </button>
        <h1>{names.length > 1 ? `${names.length} runs side by side` : names[0]}</h1>
      </div>
      <div class="bar flat" role="group" aria-label="Shown of the runs">
        {shown.map(([id, title]) => (
          <button key={id} type="button" aria-pressed={view === id} onClick={() => setView(id)}>
            {title}
          </button>
        ))}
      </div>
      {names
        .filter((name) => runNamed(name)?.made_up)
        .map((name) => (
          <p class="notice quiet-notice" key={name}>
            {names.length > 1 && `${name}: `}
            {sentence(runNamed(name).made_up)}
          </p>
        ))}
      {problem && (
        <p class="notice bad" role="alert">
          {problem}
        </p>
      )}
      {!found && !problem && (
        <p class="soft" role="status">
          Reading ...
        </p>
      )}
      {found && <Legend found={found} />}
      {found && <View found={found} names={names} />}
    </section>
  );
}

function Legend({ found }) {
  if (found.runs.length < 2) {
    const { summary, problem } = found.runs[0];
    return (
      <>
        {summary && <p class="summary-line">{summary}</p>}
        {problem && <p class="notice bad">{problem}</p>}
      </>
    );
  }
  const first = found.groups[0];
  return (
    <ul class="legend">
      {found.groups.map((group) => (
        <li key={group.key}>
          <strong>{group.key}</strong> {group.runs.join(", ")}
          {group !== first && <Differences group={group} />}
        </li>
      ))}
    </ul>
  );
}

/** A value as it is written in the file: `{kind: max_words, value: 60}`. */
function inYaml(value) {
  if (Array.isArray(value)) return `[${value.map(inYaml).join(", ")}]`;
  if (value === null || typeof value !== "object") return String(value);
  return `{${Object.entries(value).map(([key, one]) => `${key}: ${inYaml(one)}`).join(", ")}}`;
}

function Differences({ group }) {
  const lines = [
    ...group.changes.map((change) => ({
      what: [change.principle, change.field].filter(Boolean).join(": ") || change.kind,
      before: change.before,
      after: change.after,
    })),
    ...group.settings.map((change) => ({ what: change.setting, before: change.before, after: change.after })),
  ];
  if (!lines.length) return <span class="soft"> same constitution and settings as {"A"}</span>;
  return (
    <details open={lines.length < 4}>
      <summary>
        {lines.length} {lines.length === 1 ? "difference" : "differences"} from A
      </summary>
      <ul>
        {lines.map((line, number) => (
          <li key={number} class="difference">
            <code>{line.what}</code> {line.before === null ? "not set" : <del>{inYaml(line.before)}</del>} → {line.after === null ? "not set" : <ins>{inYaml(line.after)}</ins>}
          </li>
        ))}
      </ul>
    </details>
  );
}
