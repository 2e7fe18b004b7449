// Pairs of answers to rate, one at a time, by keyboard alone if wanted.

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { call, Refused } from "../net.js";
import { topic } from "../store.js";
import { useKey } from "../shared/keys.jsx";
import { PlainText } from "../shared/text.jsx";

const view = signal(null); // what is on the screen
const said = signal("");
const sending = signal("");

const VERDICTS = [
  ["first", "1", "First is better"],
  ["second", "2", "Second is better"],
  ["tie", "t", "Equally good"],
  ["both_bad", "b", "Both bad"],
  ["skip", "s", "Skip"],
];

let last = Promise.resolve();
const underWay = new Set();

/** Ask the server after what was asked before: a key that is pressed meanwhile counts, once for each pair. */
function send(path, body, saying) {
  const about = body?.task ?? path;
  if (underWay.has(about)) return;
  underWay.add(about);
  last = last
    .catch(() => {})
    .then(() => deliver(path, body, saying))
    .finally(() => underWay.delete(about));
}

/** Show the server's answer; what cannot be delivered is kept and sent again. */
async function deliver(path, body, saying) {
  sending.value = path;
  if (saying) said.value = "";
  try {
    view.value = await call(`/api/ratings/${path}`, body);
    if (saying) said.value = saying(view.value);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    said.value = error.message;
    if (error.status === 409) view.value = await call("/api/ratings/view");
  } finally {
    sending.value = "";
  }
}

export function RatingsPanel() {
  const queued = topic("ratings").value;
  useEffect(() => {
    send("view"); // without a word, which would replace what was said of the change
  }, [queued?.queued]);
  const shown = view.value;
  return (
    <main class="page ratings">
      <div class="bar flat">
        <h1>Ratings</h1>
        {shown && (
          <p class="soft" id="progress">
            Pairs: {shown.decided} decided, {shown.left} left
          </p>
        )}
        {shown?.left > 1 && <Clear left={shown.left} />}
        <span class="space" />
        {shown && <FromRun />}
      </div>
      {!shown && <p class="soft">{said.value || "Opening the ratings ..."}</p>}
      {shown && (shown.task ? <Pair key={shown.task.id} shown={shown} /> : <Done shown={shown} />)}
      <p class="said" role="status">
        {said.value}
      </p>
      {shown && (
        <p class="soft">
          Ratings are stored in <code>{shown.folder}/</code> as judgments of {shown.annotator}. With <code>{`label: {humans: [${shown.folder}]}`}</code> in a run file they decide these pairs;{" "}
          <code>publius audit labeler --gold {shown.folder}</code> measures the model's labels by them.
        </p>
      )}
    </main>
  );
}

function Pair({ shown }) {
  const { task, question } = shown;
  const began = useRef(performance.now());
  const [comment, setComment] = useState("");
  const decide = (verdict) =>
    send(
      "decide",
      {
        request: crypto.randomUUID(),
        task: task.id,
        verdict,
        comment,
        duration_s: Math.round(performance.now() - began.current) / 1000,
      },
      (next) => (next.left ? `Stored. ${next.left} left` : "Stored. That was the last one"),
    );
  for (const [verdict, key, title] of VERDICTS) useKey(key, `rate: ${title.toLowerCase()}`, () => decide(verdict));
  const remove = () =>
    send("remove", { task: task.id }, (next) => (next.removed ? `Taken out of the queue. ${next.left} left` : "It was taken out already"));
  useKey("x", "take the pair out of the queue", remove);
  useKey("ArrowLeft", "rate: the first is better", () => decide("first"));
  useKey("ArrowRight", "rate: the second is better", () => decide("second"));
  return (
    <section class="pair" aria-label="Pair to rate">
      <article class="card">
        <div class="prompt whole">
          {task.prompt.map((message, number) => (
            <div key={number} class={number === task.prompt.length - 1 ? "" : "turns"}>
              {task.prompt.length > 1 && <span class="turns">{message.role}</span>}
              <PlainText text={message.content} />
            </div>
          ))}
        </div>
        <div class="side two">
          {task.answers.map((text, number) => (
            <div class="one" key={number}>
              <h3>{number === 0 ? "First" : "Second"}</h3>
              <PlainText text={text} />
            </div>
          ))}
        </div>
      </article>
      <h2>{question.text}</h2>
      {question.guide.length > 0 && (
        <details>
          <summary>Show the {question.guide.length} principles to judge by</summary>
          <ul class="guide">
            {question.guide.map((text) => (
              <li key={text}>
                <PlainText text={text} />
              </li>
            ))}
          </ul>
        </details>
      )}
      <label class="comment">
        Comment (optional), stored with your rating
        <input value={comment} maxLength={4000} onInput={(event) => setComment(event.currentTarget.value)} />
      </label>
      <div class="verdicts" role="group" aria-label="Your rating">
        {VERDICTS.map(([verdict, key, title]) => (
          <button key={verdict} type="button" aria-disabled={Boolean(sending.value)} aria-keyshortcuts={key} onClick={() => decide(verdict)}>
            {title} <kbd>{key}</kbd>
          </button>
        ))}
        <Undo shown={shown} title="Undo" />
        <button type="button" class="quiet wide" aria-keyshortcuts="x" title="Rate it never; it can be queued again" onClick={remove}>
          Remove from the queue <kbd>x</kbd>
        </button>
      </div>
    </section>
  );
}

function Undo({ shown, title }) {
  const undo = () => shown.undo && send("undo", { judgment: shown.undo }, () => "Taken back; rate it again");
  useKey("u", "take the last rating back", undo);
  return (
    <button type="button" class="quiet" disabled={!shown.undo} aria-keyshortcuts="u" title="Take the last rating back" onClick={undo}>
      {title} <kbd>u</kbd>
    </button>
  );
}

function Done({ shown }) {
  const hasRuns = labelledRuns().length > 0;
  return (
    <section class="card">
      <h2>{shown.decided ? "Nothing is left to rate" : "Nothing to rate yet"}</h2>
      {shown.decided > 0 && (
        <p>
          {shown.decided} {shown.decided === 1 ? "rating is" : "ratings are"} stored. The last lines say how to use them.
        </p>
      )}
      {hasRuns ? (
        <p>
          Choose a run above: <em>Queue</em> takes the pairs of its answers that ratings would help most. Or ask a question in{" "}
          <a href="#talk">Talk</a> and queue its answers; <em>Good</em> and <em>Bad</em> there are ratings too.
        </p>
      ) : (
        <p>
          Pairs come from a run that has labelled some: start one in <a href="#runs">Runs</a>. Or ask a question in <a href="#talk">Talk</a> and queue
          its answers; <em>Good</em> and <em>Bad</em> there are ratings too.
        </p>
      )}
      <div class="row">
        <Undo shown={shown} title="Undo the last rating" />
      </div>
    </section>
  );
}

/** Take all pairs that are left out of the queue, after a second press. */
function Clear({ left }) {
  const [isAsked, ask] = useState(false);
  const clear = () => {
    ask(false);
    send("remove", { task: null }, (next) => `${next.removed} pairs are taken out of the queue; ratings are kept`);
  };
  return (
    <div class="row clear">
      {isAsked ? (
        <>
          <span>Take {left} pairs out of the queue? Ratings are kept.</span>
          <button type="button" class="main" onClick={clear}>
            Take them out
          </button>
          <button type="button" onClick={() => ask(false)}>
            Keep them
          </button>
        </>
      ) : (
        <button type="button" class="quiet" onClick={() => ask(true)}>
          Empty the queue
        </button>
      )}
    </div>
  );
}

const labelledRuns = () => (topic("runs").value?.runs ?? []).filter((run) => "label" in run.stages);

function FromRun() {
  const runs = labelledRuns();
  const [run, setRun] = useState("");
  const [count, setCount] = useState(20);
  if (!runs.length) return null;
  const name = runs.some((one) => one.run === run) ? run : runs[0].run;
  const fill = (event) => {
    event.preventDefault();
    send("select", { run: name, count }, (answer) => (answer.added ? `${answer.added} pairs of ${name} are queued` : `All selected pairs of ${name} are in the queue already`));
  };
  return (
    <form class="filters" onSubmit={fill}>
      <label>
        Queue pairs of the run
        <select value={name} onChange={(event) => setRun(event.currentTarget.value)}>
          {runs.map((one) => (
            <option key={one.run}>{one.run}</option>
          ))}
        </select>
      </label>
      <label>
        How many
        <input type="number" min={1} max={1000} value={count} onInput={(event) => setCount(Number(event.currentTarget.value) || 1)} />
      </label>
      <button>Queue</button>
    </form>
  );
}
