// Requests to the server. A request that cannot be delivered is repeated until it is; a rejected one is an error.

const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 30000;
const PATIENCE_MS = 20000;

/** The server rejected the request. */
export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/** Return the server's response; with a body the request is a POST. `tell` is called with a problem, or with "". */
export async function call(path, body, tell) {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const [response, trouble] = await attempt(path, body);
    if (response) {
      tell("");
      const answer = await response.json();
      if (!response.ok) throw new Refused(response.status, answer.error);
      return answer;
    }
    tell(`${trouble} Nothing is lost: this page retries automatically.`);
    // At random, so that many pages do not return to a busy server at the same moment.
    const wait = pause * (0.5 + Math.random() / 2);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** Return the response if the server handled the request, otherwise a description of the problem. */
async function attempt(path, body) {
  const options = { headers: { "X-Publius": "1" }, signal: AbortSignal.timeout(PATIENCE_MS) };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  try {
    const response = await fetch(path, options);
    if (response.status < 500) return [response, ""];
    const answer = await response.json().catch(() => ({}));
    return [null, answer.error ?? "The server has a problem."];
  } catch {
    return [null, "The server cannot be reached."];
  }
}

/** Remove the token from the address, where it would be visible and stored in the history; return it, or null. */
export function takeToken(key) {
  if (location.hash.length > 1) {
    sessionStorage.setItem(key, location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(key);
}
