// The words that differ between two texts, in passages that can be read.

import { diffWordsWithSpace } from "diff";

const FEWEST_KEPT = 3;

/**
 * Return the parts of two texts as {kept} or {removed, added}. Fewer than three words that are the same between two
 * changes belong to the change: texts that share only "the" and "of" would otherwise alternate word by word.
 */
export function wordChanges(before, after) {
  const parts = diffWordsWithSpace(before, after);
  const found = [];
  let change = null;
  const open = () => {
    if (!change) found.push((change = { removed: "", added: "" }));
    return change;
  };
  parts.forEach((part, number) => {
    if (part.removed) open().removed += part.value;
    else if (part.added) open().added += part.value;
    else if (change && number < parts.length - 1 && wordsIn(part.value) < FEWEST_KEPT) {
      change.removed += part.value;
      change.added += part.value;
    } else {
      change = null;
      found.push({ kept: part.value });
    }
  });
  return found;
}

const wordsIn = (text) => text.match(/[\p{L}\p{N}]+/gu)?.length ?? 0;

/** Return a clause as a sentence. */
export const sentence = (clause) => `${clause.charAt(0).toUpperCase()}${clause.slice(1)}.`;
