// What the page shows of the bench: the cards, which of them flipped, and the requests to change it.

import { computed, signal } from "@preact/signals";
import { call, Refused } from "../net.js";
import { topic } from "../store.js";
import { shownPart } from "../editor/shown.js";

export const bench = topic("bench");
export const engine = topic("engine");
export const onlyFlipped = signal(false);
export const refused = signal("");

export const isFlipped = (card) =>
  card.overall.flipped || card.labels.some((label) => label.flipped) || card.checks.some((check) => check.flipped);

/** Whether a card waits for the end of a principle that is being typed. */
export const waits = (card) => card.labels.some((label) => label.pending && label.principle === bench.value?.unfinished);

export const flipped = computed(() => (bench.value?.cards ?? []).filter(isFlipped));
export const stale = computed(() => (bench.value?.cards ?? []).filter((card) => card.stale));

let lastShown = "";

/** Show the flipped card after the one that was shown last, and give it the focus. */
export function showNextFlipped() {
  const cards = flipped.value;
  if (!cards.length) return;
  const next = cards[(cards.findIndex((card) => card.id === lastShown) + 1) % cards.length];
  lastShown = next.id;
  shownPart.value = "bench"; // a narrow screen shows one part at a time
  requestAnimationFrame(() => {
    const card = document.getElementById(`card-${next.id}`);
    card?.scrollIntoView({ block: "start" });
    card?.focus({ preventScroll: true });
  });
}

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
  return parts.join(", ") || "nothing";
}
