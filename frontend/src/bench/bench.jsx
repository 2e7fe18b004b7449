// The bench: the prompts, and what is done with all of them.

import { useState } from "preact/hooks";
import { useKey } from "../shared/keys.jsx";
import { Card } from "./card.jsx";
import { bench, change, engine, flipped, inWords, onlyFlipped, refused, stale } from "./state.js";

export function Bench() {
  const now = bench.value;
  const cards = onlyFlipped.value ? flipped.value : (now?.cards ?? []);
  useKey("s", "stop, or go on", () => change(bench.value?.stopped ? "work" : "stop"));
  useKey("r", "rewrite the answers that the edit touches", () => change("rewrite", { ids: [] }));
  useKey("b", "compare with the rules as they are now", () => change("baseline"));
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
          <button type="button" onClick={() => change("rewrite", { ids: [] })} aria-keyshortcuts="r">
            Rewrite {stale.value.length}
          </button>
        )}
        <button type="button" disabled={!now || now.digest === now.before} onClick={() => change("baseline")} aria-keyshortcuts="b">
          Compare from here
        </button>
        {now?.stopped ? (
          <button type="button" class="main" onClick={() => change("work")} aria-keyshortcuts="s">
            Go on
          </button>
        ) : (
          <button type="button" disabled={!now?.busy} onClick={() => change("stop")} aria-keyshortcuts="s">
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
      {!now && (
        <p class="notice">The bench waits for a constitution without mistakes. The problems are listed below the text.</p>
      )}
      <NewPrompt />
      <div class="cards">
        {cards.map((card) => (
          <Card key={card.id} card={card} />
        ))}
        {now && !cards.length && (
          <p class="empty">{onlyFlipped.value ? "Nothing flipped." : "No prompts yet. Type one above, or sample some of the run's."}</p>
        )}
      </div>
      {now && <Cost now={now} />}
    </section>
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
      {said}
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
      <button type="button" onClick={() => change("sample", { count: 4 })}>
        Sample 4
      </button>
    </form>
  );
}

function Cost({ now }) {
  const tokens = (now.prompt_tokens + now.completion_tokens).toLocaleString();
  return (
    <p class="cost">
      Asked since the studio was opened: {inWords(now.asked)}; {tokens} tokens
      {now.usd > 0 ? `, ${now.usd.toFixed(4)} USD` : ""}. Everything else came from the request cache.
    </p>
  );
}
