// The curves of trainings over their steps, as drawings that a screen reader can say.

import { useEffect, useState } from "preact/hooks";
import { call } from "../net.js";
import { processes, runNamed } from "./state.js";

const WIDTH = 320;
const HEIGHT = 120;
const EDGE = 4;
const FIRST = 4;

export function Curves({ found, names }) {
  const [trainings, setTrainings] = useState(null);
  const [problem, setProblem] = useState("");
  const key = Object.fromEntries(found.runs.map((run) => [run.run, run.key]));
  // A running process writes a line whenever it has gone on, so that its curves are read again.
  const seen = processes.value.filter((one) => names.includes(one.folder)).map((one) => JSON.stringify(one.progress)).join() + names.map((n) => runNamed(n)?.state).join();
  useEffect(() => {
    let isCurrent = true;
    Promise.all(names.map((name) => call(`/api/runs/${encodeURIComponent(name)}/curves`)))
      .then((answers) => isCurrent && setTrainings(answers.map((answer, number) => ({ run: names[number], trainings: answer.trainings }))))
      .catch((error) => isCurrent && setProblem(error.message));
    return () => {
      isCurrent = false;
    };
  }, [names.join("\n"), seen]);
  if (problem) return <p class="notice bad">{problem}</p>;
  if (!trainings) return <p class="soft">Reading ...</p>;
  const methods = [...new Set(trainings.flatMap((one) => one.trainings.map((training) => training.name)))];
  if (!methods.length) return <p class="soft">{names.length > 1 ? "These runs train" : "This run trains"} nothing, or no training has begun.</p>;
  return methods.map((method) => (
    <Training
      key={method}
      name={method}
      runs={trainings.flatMap((one) => one.trainings.filter((training) => training.name === method).map((training) => ({ ...training, key: key[one.run] })))}
      isOne={names.length === 1}
    />
  ));
}

function Training({ name, runs, isOne }) {
  const [isAll, setAll] = useState(false);
  const metrics = [...new Set(runs.flatMap((run) => run.curves.map((curve) => curve.name)))];
  return (
    <section class="training" aria-label={`Training ${name}`}>
      <h2>{name}</h2>
      {runs.map((run) => (
        <p key={run.key} class="soft">
          {!isOne && `${run.key}: `}
          {run.finished ? "finished" : "in progress"}
          {Object.entries(run.figures).map(([title, text]) => `, ${title} ${text}`)}
        </p>
      ))}
      <Warnings lines={runs.flatMap((run) => run.warnings.map((line) => (isOne ? line : `${run.key}: ${line}`)))} />
      <div class="plots">
        {(isAll ? metrics : metrics.slice(0, FIRST)).map((metric) => (
          <Plot
            key={metric}
            name={metric}
            isOne={isOne}
            lines={runs.flatMap((run) => run.curves.filter((curve) => curve.name === metric).map((curve) => ({ ...curve, key: run.key })))}
          />
        ))}
      </div>
      {metrics.length > FIRST && (
        <button type="button" class="quiet" aria-expanded={isAll} onClick={() => setAll(!isAll)}>
          {isAll ? "Show fewer curves" : `Show all ${metrics.length} curves`}
        </button>
      )}
    </section>
  );
}

function Warnings({ lines }) {
  if (!lines.length) return null;
  return (
    <div class="notice">
      <strong>Before you rely on this</strong>
      <ul class="points">
        {lines.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
    </div>
  );
}

const short = (value) => (Number.isInteger(value) && Math.abs(value) < 1e5 ? String(value) : Number(value.toPrecision(3)).toString());

function Plot({ name, lines, isOne }) {
  const xs = lines.flatMap((line) => line.steps);
  const ys = lines.flatMap((line) => line.values);
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const share = (value, least, most) => (most > least ? (value - least) / (most - least) : 0.5);
  const x = (step) => EDGE + share(step, left, right) * (WIDTH - 2 * EDGE);
  const y = (value) => HEIGHT - EDGE - share(value, low, high) * (HEIGHT - 2 * EDGE);
  const about = lines[0].about; // what the metric means; empty for one that is not known
  const said = lines.map((line) => `${isOne ? "" : `${line.key}: `}${short(line.values[0])} at step ${line.steps[0]}, ${short(line.values.at(-1))} at step ${line.steps.at(-1)}`);
  return (
    <figure class="plot">
      <figcaption>
        {name}
        {about && <span class="under">{about}</span>}
      </figcaption>
      <p class="scale" aria-hidden="true">
        <span>{short(high)}</span>
        {low !== high && <span>{short(low)}</span>}
      </p>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${name}. ${about ? `${about}. ` : ""}${said.join("; ")}`}>
        <rect class="ground" width={WIDTH} height={HEIGHT} />
        {lines.map((line, number) =>
          line.values.length > 1 ? (
            <polyline key={line.key} class={`line n${number % 6}`} points={line.steps.map((step, at) => `${x(step).toFixed(1)},${y(line.values[at]).toFixed(1)}`).join(" ")} />
          ) : (
            <circle key={line.key} class={`dot n${number % 6}`} cx={x(line.steps[0])} cy={y(line.values[0])} r="3" />
          ),
        )}
      </svg>
      <p class="ends">
        <span>step {left}</span>
        {left !== right && <span>step {right}</span>}
      </p>
      <p class="keys">
        {lines.map((line, number) => (
          <span key={line.key} class={isOne ? "" : `key n${number % 6}`}>
            {!isOne && `${line.key}: `}
            {line.values.length > 1 && `first ${short(line.values[0])}, `}last {short(line.values.at(-1))}
          </span>
        ))}
      </p>
    </figure>
  );
}
