// A prompt on the bench with its answers, what changed between them, and their labels.

import { useState } from "preact/hooks";
import { PlainText, WordDiff } from "../shared/text.jsx";
import { Labels, Probability } from "./labels.jsx";
import { change, isFlipped, waits } from "./state.js";

const STATES = {
  waiting: "waiting for its turn",
  drafting: "writing the draft ...",
  critiquing: "criticising ...",
  revising: "revising ...",
  labelling: "labelling ...",
  done: "",
  stopped: "stopped",
  failed: "failed",
};

export function Card({ card }) {
  const prompt = card.messages.at(-1).content;
  return (
    <article id={`card-${card.id}`} tabIndex={-1} class={isFlipped(card) ? "card flipped" : "card"} aria-label={`Prompt: ${prompt.slice(0, 60)}`}>
      <header>
        <div class="prompt">
          {card.messages.length > 1 && <span class="turns">turn {card.messages.length}</span>}
          <PlainText text={prompt} />
        </div>
        <div class="tools">
          {isFlipped(card) && <span class="badge flips">flipped</span>}
          {card.stale && (
            <button
              type="button"
              class="badge stale"
              title="The edit changes how these answers are written: write them again"
              onClick={() => change("rewrite", { ids: [card.id] })}
            >
              Rewrite
              <span class="visually-hidden">: the rules for writing these answers changed</span>
            </button>
          )}
          <button
            type="button"
            class="quiet"
            aria-pressed={card.pinned}
            title={card.pinned ? "In bench.jsonl; press to take it out" : "Keep this prompt, in bench.jsonl"}
            onClick={() => change("pin", { id: card.id, pinned: !card.pinned })}
          >
            {card.pinned ? "Pinned" : "Pin"}
          </button>
          <button type="button" class="quiet" aria-label="Remove this prompt" title="Remove this prompt" onClick={() => change("remove", { id: card.id })}>
            ×
          </button>
        </div>
      </header>
      <p class="state" role="status">
        {waits(card) ? "waiting for the end of the principle" : STATES[card.state]}
      </p>
      {card.problem && <p class="bad">{card.problem}</p>}
      <Overall card={card} />
      <Answers card={card} />
      <Labels card={card} />
      <Critiques card={card} />
    </article>
  );
}

function Overall({ card }) {
  const { p, why, before, flipped } = card.overall;
  if (p === null && !why) return null;
  const said = p === null ? `Not compared: ${why}` : Math.abs(p - 0.5) < 0.05 ? "No clear difference" : p > 0.5 ? "Revision is better" : "Draft is better";
  return (
    <p class={flipped ? "overall flipped" : "overall"}>
      <strong>{said}</strong>
      {p !== null && <Probability p={p} before={before} flipped={flipped} />}
      {p !== null && <span class="soft">for the revision</span>}
    </p>
  );
}

function Answers({ card }) {
  const [shown, show] = useState("diff");
  const [isOpen, open] = useState(false);
  if (card.draft === null || card.draft === undefined) return null;
  const text = { draft: card.draft, revision: card.revision };
  const ways = card.revision ? ["diff", "draft", "revision"] : ["draft"];
  const isBeingRevised = card.state === "revising" && !card.rounds.length; // a change of what is not written yet says nothing
  const way = isBeingRevised && card.revision ? "revision" : ways.includes(shown) ? shown : "draft";
  const isLong = Math.max(card.draft.length, card.revision?.length ?? 0) > 320;
  return (
    <div class="answers">
      <div class="ways" role="group" aria-label="Answer shown">
        {ways.map((one) => (
          <button key={one} type="button" class="quiet" aria-pressed={one === way} onClick={() => show(one)}>
            {{ diff: "Changes", draft: "Draft", revision: "Revision" }[one]}
          </button>
        ))}
        {card.discarded && <span class="badge" title="The critique loop would not keep this revision; it is labelled to show what an edit changes">a run discards this revision</span>}
        {isLong && (
          <button type="button" class="quiet more" aria-expanded={isOpen} onClick={() => open(!isOpen)}>
            {isOpen ? "Show less" : "Show all"}
          </button>
        )}
      </div>
      <div class={isOpen || !isLong ? "answer" : "answer clipped"}>
        {way === "diff" ? <WordDiff before={card.draft} after={card.revision} /> : <PlainText text={text[way]} />}
      </div>
    </div>
  );
}

function Critiques({ card }) {
  const rounds = card.rounds.filter((round) => round.critique);
  if (!rounds.length && !card.critique) return null;
  return (
    <details class="critiques">
      <summary>{rounds.length > 1 ? `${rounds.length} critiques` : "Critique"}</summary>
      {card.critique && <PlainText text={card.critique} />}
      {rounds.map((round, number) => (
        <div key={number}>
          <h4>
            {round.principles.join(", ")}
            {round.kept ? "" : ` (not kept${round.dropped ? `: ${round.dropped}` : ""}${round.flags.length ? `, ${round.flags.join(", ")}` : ""})`}
          </h4>
          <PlainText text={round.critique} />
        </div>
      ))}
    </details>
  );
}
