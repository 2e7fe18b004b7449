// The bench in one line: what flipped, what is under way.

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
      <span class="detail">
        {isEdited ? "compared with the rules before the edit" : "no edit yet"}; requests since: {inWords(now.asked_since_edit)}
      </span>
      <span class="working">{loading || working}</span>
    </p>
  );
}
