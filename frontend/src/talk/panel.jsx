// A talk with several variants of the policy at once; what the user makes of their answers.

import { useEffect, useRef, useState } from "preact/hooks";
import { call, Refused } from "../net.js";
import { topic } from "../store.js";
import { useKey } from "../shared/keys.jsx";
import { Turn } from "./turn.jsx";
import { sentence } from "../shared/words.js";
import { picked, refused, titles } from "./state.js";

const MOST = 4;

export function TalkPanel() {
  const shown = topic("talk").value;
  if (!shown) {
    return (
      <main class="page">
        <p class="soft">Opening the talk ...</p>
      </main>
    );
  }
  const { talk, variants, busy } = shown;
  const names = variants.map((one) => one.name);
  const model = topic("engine").value?.models.policy;
  const chosen = (picked.value ?? defaultNames(variants)).filter((name) => names.includes(name));
  return (
    <main class="page talk">
      <div class="bar flat">
        <h1>Talk</h1>
        <span class="space" />
        <NewTalk disabled={!talk.turns.length} />
      </div>
      {shown.problem && <p class="notice bad">{shown.problem}</p>}
      {shown.made_up && <p class="notice quiet-notice">{sentence(shown.made_up)}</p>}
      <fieldset class="columns">
        <legend>Who answers (at most {MOST})</legend>
        {variants.map((one) => (
          <label key={one.name} class="check">
            <input
              type="checkbox"
              checked={chosen.includes(one.name)}
              disabled={!chosen.includes(one.name) && chosen.length >= MOST}
              onChange={() => (picked.value = chosen.includes(one.name) ? chosen.filter((name) => name !== one.name) : names.filter((name) => name === one.name || chosen.includes(name)))}
            />{" "}
            {one.title}
            {one.run && <span class="soft"> of {one.run}</span>}
          </label>
        ))}
        {variants.length === 2 && <p class="soft">Trained variants appear here when a run of this project has trained one.</p>}
        <p class="soft about">
          <em>base</em> is the model{model && !shown.made_up && ` (${model})`} as it is; <em>prompted</em> has the constitution in its prompt.
        </p>
      </fieldset>
      {!talk.turns.length && <p class="soft">Ask a question. Each variant answers it, and remembers its own earlier answers. A turn can become a test prompt, an example of a principle, or a pair to rate.</p>}
      <div class="talk-turns">
        {talk.turns.map((turn) => (
          <Turn key={turn.id} turn={turn} isFirst={turn === talk.turns[0]} shown={shown} title={titles(variants)} />
        ))}
      </div>
      {refused.value && (
        <p class="notice bad" role="alert">
          {refused.value}
        </p>
      )}
      <Composer chosen={chosen} busy={busy} />
    </main>
  );
}

/** Begin a new talk, after a second press: the one on the page is not kept. */
function NewTalk({ disabled }) {
  const [isAsked, ask] = useState(false);
  if (!isAsked || disabled) {
    return (
      <button type="button" disabled={disabled} onClick={() => ask(true)}>
        New talk
      </button>
    );
  }
  const begin = () => {
    ask(false);
    send("new", {});
  };
  return (
    <div class="row clear">
      <span>Remove this talk? Ratings, prompts and examples made of it are kept.</span>
      <button type="button" class="main" onClick={begin}>
        Begin a new one
      </button>
      <button type="button" onClick={() => ask(false)}>
        Keep it
      </button>
    </div>
  );
}

function Composer({ chosen, busy }) {
  const [question, setQuestion] = useState("");
  const field = useRef(null);
  const end = useRef(null);
  const count = topic("talk").value.talk.turns.length;
  useKey("q", "ask a question", () => field.current.focus());
  useEffect(() => {
    if (count) end.current.scrollIntoView({ block: "end" });
  }, [count]);
  const ask = async (event) => {
    event?.preventDefault();
    if (busy || !question.trim() || !chosen.length) return;
    if (await send("", { question, variants: chosen })) setQuestion("");
  };
  return (
    <form class="composer" onSubmit={ask} ref={end}>
      <label class="visually-hidden" for="question">
        Question
      </label>
      <textarea
        id="question"
        ref={field}
        rows={2}
        maxLength={20000}
        placeholder="Your question. Enter sends it, Shift+Enter begins a new line"
        value={question}
        onInput={(event) => setQuestion(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) ask(event);
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
      {busy ? (
        <button type="button" onClick={() => send("stop", {})}>
          Stop
        </button>
      ) : (
        <button class="main" disabled={!question.trim() || !chosen.length}>
          Ask
        </button>
      )}
    </form>
  );
}

/** Begin with base, prompted, and the newest trained variant. */
function defaultNames(variants) {
  const trained = variants.find((one) => one.run);
  return ["base", "prompted", ...(trained ? [trained.name] : [])];
}

/** Send a request of the talk; return whether it was accepted, and say so if not. */
async function send(what, body) {
  refused.value = "";
  try {
    await call(what ? `/api/talk/${what}` : "/api/talk", body);
    return true;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refused.value = error.message;
    return false;
  }
}
