// The bench in one line: what flipped, what is under way.

import { useKey } from "../shared/keys.jsx";
import { hasMistake } from "../editor/shown.js";
import { bench, engine, flipped, inWords, showNextFlipped, waits } from "./state.js";

export function Summary() {
  const now = bench.value;
  useKey("n", "go to the next prompt that flipped", showNextFlipped);
  if (!now) return <p class="summary" role="status" />;
  const isEdited = now.digest !== now.before;
  return (
    <div class="summary" role="status" aria-live="polite">
      <Flips count={flipped.value.length} of={now.cards.length} />
      {hasMistake.value ? (
        <span class="detail bad">The text has a mistake; the cards show the last rules without one.</span>
      ) : (
        <span class="detail">
          {isEdited ? "Compared with the rules before the edit." : "No edit yet."} Asked of the model: {inWords(now.asked_since_edit)}.
        </span>
      )}
      <span class="working">{underWay(now)}</span>
    </div>
  );
}

function Flips({ count, of }) {
  const said = `${count} of ${of} ${of === 1 ? "prompt" : "prompts"} flipped`;
  if (!count) return <strong>{said}</strong>;
  return (
    <button type="button" title="Go to the next prompt that flipped" aria-keyshortcuts="n" onClick={showNextFlipped}>
      {said} <span aria-hidden="true">↓</span>
    </button>
  );
}

/** What the bench waits for or works at; empty if it is idle. */
function underWay(now) {
  if (engine.value?.state === "loading") return `Loading ${engine.value.models.policy} ...`;
  if (now.cards.some(waits)) return "Waiting for the end of the principle: a full stop, or another line";
  if (now.stopped) return "Stopped. Resume goes on with what is left";
  const open = now.cards.filter((card) => !["done", "failed", "stopped"].includes(card.state) || card.labels.some((label) => label.pending)).length;
  return now.busy ? `Working${open ? ` on ${open} of ${now.cards.length} prompts` : ""} ...` : "";
}
