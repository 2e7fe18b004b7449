// Texts of models and files, and what changed between two of them. Everything is shown as text.

import { useMemo } from "preact/hooks";
import { wordChanges } from "./words.js";

const LONGEST = 20000;

/** A text as it was written. */
export function PlainText({ text }) {
  return <div class="text">{text}</div>;
}

/** The words that a text has lost and gained. */
export function WordDiff({ before, after }) {
  const parts = useMemo(() => (before.length + after.length > LONGEST ? null : wordChanges(before, after)), [before, after]);
  if (!parts) return <PlainText text={after} />;
  return (
    <div class="text">
      {parts.map((part, number) =>
        part.kept !== undefined ? (
          part.kept
        ) : (
          <span key={number}>
            {part.removed && <del>{part.removed}</del>}
            {part.added && <ins>{part.added}</ins>}
          </span>
        ),
      )}
    </div>
  );
}
