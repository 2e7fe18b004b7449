// Which runs are chosen and opened, and the requests about runs.

import { computed, signal } from "@preact/signals";
import { call, Refused } from "../net.js";
import { topic } from "../store.js";

export const board = topic("runs");
export const chosen = signal([]); // names of runs with a tick, in the order in which they were ticked
export const opened = signal(null); // names of the runs that are shown side by side; null for the list
export const refused = signal("");

export const runs = computed(() => board.value?.runs ?? []);
export const processes = computed(() => board.value?.processes ?? []);
export const runNamed = (name) => runs.value.find((run) => run.run === name);

/** Tick a run, or take the tick away. */
export function choose(name) {
  chosen.value = chosen.value.includes(name) ? chosen.value.filter((one) => one !== name) : [...chosen.value, name];
}

/** Show runs side by side, or one alone. */
export function openRuns(names) {
  opened.value = names;
  scrollTo(0, 0);
}

/** Return the finished run before a run, which it is compared with; null if there is none. */
export function runBefore(name) {
  const at = runs.value.findIndex((run) => run.run === name);
  return (at < 0 ? [] : runs.value.slice(at + 1)).find((run) => run.state === "finished" || run.evaluation)?.run ?? null;
}

/** Ask the server to start, resume or stop a run; say so if it refuses. */
export async function request(what, body) {
  refused.value = "";
  try {
    return await call(`/api/runs/${what}`, body);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refused.value = error.message;
    return null;
  }
}

/** Return a share as the report writes it. */
export const percent = (value) => `${(100 * value).toFixed(1)} %`;

/** Return a duration in seconds in words. */
export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Return a time as the reader's clock shows it. */
export const moment = (text) => (text ? new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "");
