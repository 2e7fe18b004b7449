// Prompts and the answers to them in chosen columns, with filters, checks and word diffs.

import { useMemo, useState } from "preact/hooks";
import { PlainText, WordDiff } from "../shared/text.jsx";

const STEP = 20;
const KINDS = { answer: "Held-out prompts", loop: "Critique loop" };

export function Answers({ found }) {
  const { data, runs } = found;
  const kinds = Object.keys(KINDS).filter((kind) => data.columns.some((column) => column.kind === kind));
  const [kind, setKind] = useState(() => kinds.find((one) => runs.every((run) => data.columns.some((column) => column.kind === one && column.run === run.label))) ?? kinds[0]);
  const [picked, setPicked] = useState({});
  const [filter, setFilter] = useState({ text: "", tag: "", principle: "", only: "" });
  const [count, setCount] = useState(STEP);
  const columns = data.columns.map((column, number) => ({ ...column, number })).filter((column) => column.kind === kind);
  const shown = picked[kind] ?? defaultColumns(columns, runs);
  const prompts = useMemo(
    () =>
      data.prompts
        .filter((prompt) => prompt.kinds.includes(kind) && passes(prompt, filter, shown, data))
        .sort((one, other) => answered(other, shown) - answered(one, shown)), // what can be compared comes first
    [data, kind, filter, shown.join()],
  );
  if (!kinds.length) return <p class="soft">No answers yet.</p>;
  const key = Object.fromEntries(runs.map((run) => [run.label, run.key]));
  const titled = (column) => (runs.length > 1 ? `${key[column.run]}: ${column.title}` : column.title);
  const tags = [...new Set(data.prompts.flatMap((prompt) => prompt.tags))].sort();
  const set = (name) => (event) => {
    setFilter({ ...filter, [name]: event.currentTarget.value });
    setCount(STEP);
  };
  const toggle = (number) =>
    setPicked({ ...picked, [kind]: shown.includes(number) ? shown.filter((one) => one !== number) : [...shown, number].sort((a, b) => a - b) });
  return (
    <section aria-label="Answers">
      <div class="filters">
        {kinds.length > 1 && (
          <label>
            Prompts
            <select value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
              {kinds.map((one) => (
                <option key={one} value={one}>
                  {KINDS[one]}
                </option>
              ))}
            </select>
          </label>
        )}
        <label>
          Text contains
          <input type="search" value={filter.text} onInput={set("text")} />
        </label>
        {tags.length > 0 && (
          <label>
            Tag
            <select value={filter.tag} onChange={set("tag")}>
              <option value="">all</option>
              {tags.map((tag) => (
                <option key={tag}>{tag}</option>
              ))}
            </select>
          </label>
        )}
        {data.principles.length > 0 && (
          <label>
            Check
            <select value={filter.principle} onChange={set("principle")}>
              <option value="">any</option>
              {data.principles.map((name, number) => (
                <option key={name} value={number}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        )}
        <label>
          Only
          <select value={filter.only} onChange={set("only")}>
            <option value="">all prompts</option>
            <option value="different">different answers</option>
            <option value="changed">a check's result differs</option>
            <option value="failed">a check fails</option>
          </select>
        </label>
      </div>
      <fieldset class="columns">
        <legend>Columns</legend>
        {columns.map((column) => (
          <label key={column.number} class="check">
            <input type="checkbox" checked={shown.includes(column.number)} onChange={() => toggle(column.number)} /> {titled(column)}
          </label>
        ))}
      </fieldset>
      <p class="soft" role="status">
        {prompts.length} of {found.data.found[kind]} prompts
        {found.data.found[kind] > found.shown[kind] && ` (the page has the first ${found.shown[kind]})`}
      </p>
      {prompts.slice(0, count).map((prompt) => (
        <PromptRow key={prompt.id} prompt={prompt} columns={shown.map((number) => data.columns[number])} numbers={shown} data={data} titled={titled} />
      ))}
      {prompts.length > count && (
        <button type="button" onClick={() => setCount(count + STEP)}>
          Show {Math.min(STEP, prompts.length - count)} more
        </button>
      )}
    </section>
  );
}

function PromptRow({ prompt, columns, numbers, data, titled }) {
  const answers = numbers.map((number) => prompt.answers.find((answer) => answer.c === number));
  const first = answers.find(Boolean);
  return (
    <article class="card compared">
      <div class="prompt">
        {prompt.messages.map(([role, text], number) => (
          <div key={number} class={number === prompt.messages.length - 1 ? "" : "turns"}>
            {prompt.messages.length > 1 && <span class="turns">{role}</span>}
            <PlainText text={data.texts[text]} />
          </div>
        ))}
      </div>
      <div class="side">
        {answers.map((answer, number) => (
          <Answer key={numbers[number]} answer={answer} first={first} firstTitle={titled(columns[answers.indexOf(first)] ?? columns[number])} title={titled(columns[number])} data={data} />
        ))}
      </div>
    </article>
  );
}

function Answer({ answer, first, firstTitle, title, data }) {
  const [isPlain, setPlain] = useState(false);
  const canDiffer = answer && first && answer !== first && answer.t !== first.t;
  return (
    <div class="one">
      <h3>
        {title}
        {canDiffer && (
          <button type="button" class="quiet" aria-pressed={!isPlain} title={`Words that changed from ${firstTitle}`} onClick={() => setPlain(!isPlain)}>
            Changes
          </button>
        )}
      </h3>
      {!answer && <p class="soft">no answer</p>}
      {answer && (canDiffer && !isPlain ? <WordDiff before={data.texts[first.t]} after={data.texts[answer.t]} /> : <PlainText text={data.texts[answer.t]} />)}
      {answer && answer !== first && answer.t === first?.t && <p class="soft">the same text as {firstTitle}</p>}
      {answer?.cut && <span class="badge">cut off</span>}
      {answer?.checks && (
        <ul class="checks">
          {Object.entries(answer.checks).map(([number, passed]) => {
            const before = first === answer ? undefined : first?.checks?.[number];
            const changed = before !== undefined && before !== passed;
            return (
              <li key={number} class={changed ? "changed" : ""}>
                <span class={passed ? "pass" : "fail"}>{passed ? "✓" : "✗"}</span> {data.principles[number]}
                {changed && ` (was ${before ? "✓" : "✗"})`}
              </li>
            );
          })}
        </ul>
      )}
    </div>
  );
}

const answered = (prompt, shown) => prompt.answers.filter((answer) => shown.includes(answer.c)).length;

/** Return the columns to begin with: each run's last variant, and base of a single run. */
function defaultColumns(columns, runs) {
  const last = runs.map((run) => columns.filter((column) => column.run === run.label).at(-1)?.number).filter((one) => one !== undefined);
  return runs.length > 1 ? last : [...new Set([columns[0]?.number, ...last].filter((one) => one !== undefined))];
}

function passes(prompt, filter, shown, data) {
  const answers = prompt.answers.filter((answer) => shown.includes(answer.c));
  const texts = [...prompt.messages.map(([, text]) => text), ...answers.map((answer) => answer.t)];
  const wanted = filter.text.toLowerCase();
  if (wanted && !texts.some((text) => data.texts[text].toLowerCase().includes(wanted))) return false;
  if (filter.tag && !prompt.tags.includes(filter.tag)) return false;
  const names = filter.principle === "" ? [...new Set(answers.flatMap((answer) => Object.keys(answer.checks ?? {})))] : [filter.principle];
  const results = names.map((name) => answers.map((answer) => answer.checks?.[name]).filter((one) => one !== undefined));
  if (filter.principle !== "" && !results[0].length) return false;
  if (filter.only === "different") return new Set(answers.map((answer) => answer.t)).size > 1;
  if (filter.only === "changed") return results.some((one) => new Set(one).size > 1);
  if (filter.only === "failed") return results.some((one) => one.includes(0));
  return true;
}
