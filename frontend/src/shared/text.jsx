// Texts of models and files, and what changed between two of them. Everything is shown as text.

import { diffWordsWithSpace } from "diff";
import { useMemo } from "preact/hooks";

const LONGEST = 20000;

/** A text as it was written. */
export function PlainText({ text }) {
  return <div class="text">{text}</div>;
}

/** The words that a text has lost and gained. */
export function WordDiff({ before, after }) {
  const parts = useMemo(
    () => (before.length + after.length > LONGEST ? null : diffWordsWithSpace(before, after)),
    [before, after],
  );
  if (!parts) return <PlainText text={after} />;
  return (
    <div class="text">
      {parts.map((part, number) =>
        part.added ? (
          <ins key={number}>{part.value}</ins>
        ) : part.removed ? (
          <del key={number}>{part.value}</del>
        ) : (
          part.value
        ),
      )}
    </div>
  );
}
