// Which part of the panel a narrow screen shows, and whether the bench can follow the text.

import { computed, signal } from "@preact/signals";
import { topic } from "../store.js";
import { file, problems } from "./document.js";

export const shownPart = signal("text");

/** Whether a mistake keeps the bench from the rules of the text. */
export const hasMistake = computed(() => {
  if (!file.value) return false;
  if (file.value.name === topic("project").value?.constitution) return problems.value.some((problem) => problem.severity === "error");
  return topic("bench").value === null;
});

/** Show the text on a narrow screen. */
export function showText() {
  shownPart.value = "text";
}
