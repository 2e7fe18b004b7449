// The bench in one line: what flipped, what is under way.

import { hasMistake } from "../editor/shown.js";
import { bench, engine, flipped, inWords } from "./state.js";

export function Summary() {
  const now = bench.value;
  if (!now) return <p class="summary" role="status" />;
  const loading = engine.value?.state === "loading" ? `Loading ${engine.value.models.policy} ...` : "";
  const working = now.busy ? "Working ..." : "";
  const isEdited = now.digest !== now.before;
  return (
    <p class="summary" role="status" aria-live="polite">
      <strong class={flipped.value.length ? "flips" : ""}>
        {flipped.value.length} of {now.cards.length} flipped
      </strong>
      {hasMistake.value ? (
        <span class="detail bad">the text has a mistake; the cards have the last rules without one</span>
      ) : (
        <span class="detail">
          {isEdited ? "compared with the rules before the edit; asked for it: " : "no edit yet; asked so far: "}
          {inWords(now.asked_since_edit)}
        </span>
      )}
      <span class="working">{loading || working}</span>
    </p>
  );
}
