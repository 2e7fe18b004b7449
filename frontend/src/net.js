// Requests to the server and its event stream. What cannot be delivered is repeated until it is.

import { signal } from "@preact/signals";

const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 5000;
const PATIENCE_MS = 30000;

/** False while the server cannot be reached. */
export const connected = signal(true);
/** Why the page may not be used, or "". */
export const locked = signal("");

/** The server refused a request; `answer` is what it said. */
export class Refused extends Error {
  constructor(status, answer) {
    super(answer.error ?? `status ${status}`);
    this.status = status;
    this.answer = answer;
  }
}

/** Return the server's answer; with a body the request is a POST. Raises Refused. */
export async function call(path, body) {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const response = await attempt(path, body);
    if (response) {
      const answer = await response.json().catch(() => ({}));
      if (response.ok) return answer;
      if (response.status === 401) locked.value = answer.error;
      throw new Refused(response.status, answer);
    }
    await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
  }
}

/** Return the response, or null if there was none. */
async function attempt(path, body) {
  const options = { headers: { "X-Publius": "1" }, signal: AbortSignal.timeout(PATIENCE_MS) };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  try {
    return await fetch(path, options);
  } catch {
    connected.value = false;
    return null;
  }
}

/** Sign in with the token of the link, if there is one, and take it out of the address and the history. */
export async function enter() {
  const token = location.hash.length > 12 ? location.hash.slice(1) : sessionStorage.getItem("token");
  if (!token) return;
  sessionStorage.setItem("token", token);
  if (location.hash.length > 12) history.replaceState(null, "", location.pathname);
  await call("/api/enter", { token });
}

/** Call a function with each message of the event stream, for ever. */
export function listen(receive) {
  const stream = new EventSource("/api/events");
  stream.onopen = () => {
    connected.value = true;
  };
  stream.onmessage = (event) => receive(JSON.parse(event.data));
  stream.onerror = () => {
    connected.value = false;
    if (stream.readyState === EventSource.CLOSED) {
      // The browser gave up, after a refusal or a server that was not there: begin again.
      setTimeout(() => listen(receive), 1000);
    }
  };
}
