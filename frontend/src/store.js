// The last content of each topic of the event stream, as signals.

import { signal } from "@preact/signals";
import { listen } from "./net.js";

const topics = new Map();

/** Return the signal of a topic: its last content, or null before the first one. */
export function topic(name) {
  if (!topics.has(name)) topics.set(name, signal(null));
  return topics.get(name);
}

/** Begin to listen. */
export function connect() {
  listen((message) => {
    topic(message.topic).value = message.content;
  });
}

/** Id of this page, the same after it was loaded again. */
export const tab = (() => {
  const known = sessionStorage.getItem("tab") ?? crypto.getRandomValues(new Uint32Array(3)).join("-");
  sessionStorage.setItem("tab", known);
  return known;
})();
