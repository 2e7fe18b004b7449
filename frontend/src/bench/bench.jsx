// The bench: the prompts, and what is done with all of them.

import { useState } from "preact/hooks";
import { useKey } from "../shared/keys.jsx";
import { sentence } from "../shared/words.js";
import { Card } from "./card.jsx";
import { hasMistake, showText } from "../editor/shown.js";
import { bench, change, engine, flipped, inWords, onlyFlipped, refused, stale } from "./state.js";

export function Bench() {
  const now = bench.value;
  const cards = onlyFlipped.value ? flipped.value : (now?.cards ?? []);
  useKey("s", "stop, or resume", () => change(bench.value?.stopped ? "work" : "stop"));
  useKey("r", "rewrite the answers that the edit touches", () => change("rewrite", { ids: [] }));
  useKey("b", "set as baseline: compare with the rules as they are now", () => change("baseline"));
  useKey("f", "show flipped prompts only", () => (onlyFlipped.value = !onlyFlipped.value));
  useKey("p", "type a prompt", () => document.getElementById("new-prompt").focus());
  return (
    <section class="bench" aria-label="Bench">
      <div class="bar">
        <label class="check">
          <input type="checkbox" checked={onlyFlipped.value} onChange={(event) => (onlyFlipped.value = event.currentTarget.checked)} />
          Flipped only
        </label>
        <span class="space" />
        {stale.value.length > 0 && (
          <button
            type="button"
            title="The edit changes how these answers are written: write them again"
            onClick={() => change("rewrite", { ids: [] })}
            aria-keyshortcuts="r"
          >
            Rewrite {stale.value.length} {stale.value.length === 1 ? "answer" : "answers"}
          </button>
        )}
        <button
          type="button"
          title="Compare with the rules as they are now: flips are counted from here"
          disabled={!now || now.digest === now.before}
          onClick={() => change("baseline")}
          aria-keyshortcuts="b"
        >
          Set as baseline
        </button>
        {now?.stopped ? (
          <button type="button" class="main" onClick={() => change("work")} aria-keyshortcuts="s">
            Resume
          </button>
        ) : (
          <button type="button" title="Stop what is under way; answers so far are kept" disabled={!now?.busy} onClick={() => change("stop")} aria-keyshortcuts="s">
            Stop
          </button>
        )}
      </div>
      <Engine />
      {refused.value && (
        <p class="notice bad" role="alert">
          {refused.value}
        </p>
      )}
      {now?.problem && <p class="notice bad">{now.problem}</p>}
      {!now && hasMistake.value && <Mistake />}
      {now && <Introduction />}
      <NewPrompt />
      <div class="cards">
        {cards.map((card) => (
          <Card key={card.id} card={card} />
        ))}
        {now && !cards.length && (
          <p class="empty">{onlyFlipped.value ? "Nothing flipped." : "No prompts yet. Type one above, or press Add 4 of the run."}</p>
        )}
      </div>
      {now && <Cost now={now} />}
    </section>
  );
}

/** The text has had a mistake from the beginning. */
function Mistake() {
  return (
    <div class="notice" role="status">
      <p>The bench begins once the constitution has no mistakes. They are listed below its text.</p>
      <div class="row to-text">
        <button type="button" onClick={showText}>
          Show the text
        </button>
      </div>
    </div>
  );
}

/** What a card shows, until the user has read it. */
function Introduction() {
  const [isRead, setRead] = useState(() => localStorage.getItem("bench-introduction") === "read");
  if (isRead) return null;
  const close = () => {
    localStorage.setItem("bench-introduction", "read");
    setRead(true);
  };
  return (
    <div class="notice quiet-notice introduction">
      <p>
        Each card takes a prompt through the constitution: a draft, its revision after critique, and which of the two each principle
        prefers, from 0 % (the draft) to 100 % (the revision). Edit a principle or a check in the text: what flips lights up here.
      </p>
      <button type="button" onClick={close}>
        Got it
      </button>
    </div>
  );
}

function Engine() {
  const now = engine.value;
  if (!now) return null;
  if (now.state === "failed") {
    return (
      <p class="notice bad" role="alert">
        The model cannot be used: {now.problem}
      </p>
    );
  }
  return now.notes.map((said) => (
    <p class="notice quiet-notice" key={said}>
      {sentence(said)}
    </p>
  ));
}

function NewPrompt() {
  const [text, setText] = useState("");
  const add = async (event) => {
    event.preventDefault();
    if (text.trim() && (await change("add", { text }))) setText("");
  };
  return (
    <form class="new" onSubmit={add}>
      <label class="visually-hidden" for="new-prompt">
        A prompt to add
      </label>
      <input
        id="new-prompt"
        value={text}
        maxLength="20000"
        placeholder="Type a prompt to try"
        autocomplete="off"
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
      />
      <button disabled={!text.trim()}>Add</button>
      <button type="button" title="Add four prompts of the run file, drawn at random" onClick={() => change("sample", { count: 4 })}>
        Add 4 of the run
      </button>
    </form>
  );
}

const models = () => (engine.value ? [...new Set(Object.values(engine.value.models))].join(" and ") : "the model");

function Cost({ now }) {
  const tokens = (now.prompt_tokens + now.completion_tokens).toLocaleString();
  return (
    <p class="cost">
      Asked of {models()} since the studio was opened: {inWords(now.asked)}; {tokens} tokens
      {now.usd > 0 ? `, ${now.usd.toFixed(4)} USD` : ""}. What was asked before comes from the request cache.
    </p>
  );
}
