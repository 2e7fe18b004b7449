// What the page shows of the bench: the cards, which of them flipped, and the requests to change it.

import { computed, signal } from "@preact/signals";
import { call, Refused } from "../net.js";
import { topic } from "../store.js";

export const bench = topic("bench");
export const engine = topic("engine");
export const onlyFlipped = signal(false);
export const refused = signal("");

export const isFlipped = (card) =>
  card.overall.flipped || card.labels.some((label) => label.flipped) || card.checks.some((check) => check.flipped);

export const flipped = computed(() => (bench.value?.cards ?? []).filter(isFlipped));
export const stale = computed(() => (bench.value?.cards ?? []).filter((card) => card.stale));

/** Ask the server to change the bench; say so if it refuses. */
export async function change(what, body = {}) {
  refused.value = "";
  try {
    return await call(`/api/bench/${what}`, body);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refused.value = error.message;
    return null;
  }
}

/** Return counts of requests in words, such as `8 drafts, 16 labels`. */
export function inWords(counts) {
  const names = { draft: "draft", critique: "critique", revision: "revision", label: "label" };
  const parts = Object.entries(counts).map(([purpose, count]) => `${count} ${names[purpose] ?? purpose}${count === 1 ? "" : "s"}`);
  return parts.join(", ") || "none";
}
