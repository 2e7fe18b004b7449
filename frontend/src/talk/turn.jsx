// A question with the answers side by side, thumbs, and what the turn can become.

import { useEffect, useRef, useState } from "preact/hooks";
import { call, Refused } from "../net.js";
import { editElsewhere } from "../editor/document.js";
import { topic } from "../store.js";
import { PlainText, WordDiff } from "../shared/text.jsx";

export function Turn({ turn, isFirst, shown, title }) {
  const names = Object.keys(turn.answers);
  const written = names.filter((name) => turn.answers[name].text?.trim());
  const [said, setSaid] = useState("");
  const [link, setLink] = useState(""); // the panel that has what was kept
  const [isRefused, setRefused] = useState(false);
  const [isDiff, setDiff] = useState(false);
  const [isOpen, open] = useState(false);

  const keep = async (body, saying) => {
    setSaid("");
    setLink("");
    setRefused(false);
    try {
      setSaid(saying(await call("/api/talk/keep", { turn: turn.id, ...body })));
      setLink(body.kind === "comparison" ? "ratings" : "edit");
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setSaid(error.message);
      setRefused(true);
      return false;
    }
  };
  const queue = async () => {
    let added = 0;
    for (const [first, second] of pairsOf(written.filter((name, at) => written.findIndex((other) => turn.answers[other].text === turn.answers[name].text) === at))) {
      await keep({ kind: "comparison", first, second }, (answer) => ((added += answer.added), ""));
    }
    setSaid(added ? `${added} ${added === 1 ? "pair is" : "pairs are"} queued.` : "These pairs are in the queue already, or have equal answers.");
  };
  return (
    <article class="card turn" aria-label={`Question: ${turn.question.slice(0, 60)}`}>
      <div class="prompt">
        <PlainText text={turn.question} />
      </div>
      <div class="side">
        {names.map((name) => (
          <Reply key={name} turn={turn.id} name={name} title={title(name)} answer={turn.answers[name]} first={isDiff && name !== written[0] ? turn.answers[written[0]] : null} />
        ))}
      </div>
      {written.length > 0 && (
        <div class="bar flat keep">
          {written.length > 1 && (
            <button type="button" class="quiet" aria-pressed={isDiff} onClick={() => setDiff(!isDiff)}>
              Show changes from {title(written[0])}
            </button>
          )}
          <span class="space" />
          <button type="button" onClick={() => keep({ kind: "prompt", first: written[0] }, () => "Pinned on the bench, in bench.jsonl.")}>
            Make it a test prompt
          </button>
          {isFirst && written.length > 1 && (
            <button type="button" aria-expanded={isOpen} disabled={!shown.principles.length} onClick={() => open(!isOpen)}>
              Make it an example
            </button>
          )}
          {written.length > 1 && (
            <button type="button" onClick={queue}>
              Queue for rating
            </button>
          )}
        </div>
      )}
      {isOpen && <ExampleForm turn={turn} written={written} shown={shown} title={title} keep={keep} close={() => open(false)} />}
      <p class={isRefused ? "said bad" : "said"} role="status">
        {said}
        {link && !isRefused && (
          <>
            {" "}
            <a href={`#${link}`}>{link === "edit" ? "See it in Edit" : "Rate in Ratings"}</a>
          </>
        )}
      </p>
    </article>
  );
}

function Reply({ turn, name, title, answer, first }) {
  const now = topic("writing").value;
  const writing = now?.turn === turn ? now.answers[name] : null; // as far as it is written
  const [problem, setProblem] = useState("");
  const rate = async (thumb) => {
    setProblem("");
    try {
      await call("/api/talk/thumb", { turn, variant: name, thumb: answer.thumb === thumb ? null : thumb });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setProblem(error.message);
    }
  };
  const isWritten = answer.text !== null;
  return (
    <div class="one" aria-busy={!isWritten && !answer.problem}>
      <h3>
        {title}
        {isWritten && (
          <span class="thumbs" role="group" aria-label={`Answer of ${title}`}>
            <button type="button" class="quiet" aria-pressed={answer.thumb === "up"} aria-label={`Good answer of ${title}`} title="Two rated answers of a turn become a rating" onClick={() => rate("up")}>
              Good
            </button>
            <button type="button" class="quiet" aria-pressed={answer.thumb === "down"} aria-label={`Bad answer of ${title}`} title="Two rated answers of a turn become a rating" onClick={() => rate("down")}>
              Bad
            </button>
          </span>
        )}
      </h3>
      {answer.problem && <p class="bad">{answer.problem}</p>}
      {!isWritten && !answer.problem && <p class="state">{writing ? "answering ..." : "waiting for the model ..."}</p>}
      {!isWritten && !answer.problem && writing && <PlainText text={writing} />}
      {isWritten && !answer.text.trim() && <p class="soft">an empty answer</p>}
      {isWritten && (first?.text ? <WordDiff before={first.text} after={answer.text} /> : <PlainText text={answer.text} />)}
      {isWritten && !answer.finished && <span class="badge">cut off</span>}
      {problem && <p class="bad">{problem}</p>}
    </div>
  );
}

function ExampleForm({ turn, written, shown, title, keep, close }) {
  const thumbed = (thumb) => written.find((name) => turn.answers[name].thumb === thumb);
  const [principle, setPrinciple] = useState(shown.principles[0]);
  const [good, setGood] = useState(thumbed("up") ?? written.find((name) => name !== thumbed("down") && name !== written[0]) ?? written[0]);
  const [bad, setBad] = useState(thumbed("down") ?? written.find((name) => name !== good));
  const form = useRef(null);
  useEffect(() => form.current.scrollIntoView({ block: "center" }), []); // not behind the field for the next question
  const add = async (event) => {
    event.preventDefault();
    const isKept = await editElsewhere(shown.file, async (text) => {
      let edited = null;
      await keep({ kind: "example", first: good, second: bad, principle, text }, (answer) => {
        edited = answer.text;
        return `In your draft of ${shown.file}, not saved yet.`;
      });
      return edited;
    });
    if (isKept) close();
  };
  return (
    <form class="filters example" onSubmit={add} ref={form}>
      <label>
        Principle
        <select value={principle} onChange={(event) => setPrinciple(event.currentTarget.value)}>
          {shown.principles.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <Choice label="Good answer" value={good} set={setGood} names={written} title={title} />
      <Choice label="Bad answer" value={bad} set={setBad} names={written} title={title} />
      <button class="main" disabled={good === bad}>
        Add to the constitution
      </button>
      <button type="button" onClick={close}>
        Cancel
      </button>
    </form>
  );
}

function Choice({ label, value, set, names, title }) {
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => set(event.currentTarget.value)}>
        {names.map((name) => (
          <option key={name} value={name}>
            {title(name)}
          </option>
        ))}
      </select>
    </label>
  );
}

const pairsOf = (names) => names.flatMap((first, at) => names.slice(at + 1).map((second) => [first, second]));
