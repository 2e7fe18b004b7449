// Requests to the server. What cannot be delivered is sent again until it is; a refusal is an error of its own.

const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 5000;
const PATIENCE_MS = 20000;

/** The server understood, and will not do it. */
export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/** Return the server's answer to a request; with a body it is a POST. `tell` hears of trouble, and of its end. */
export async function call(path, body, tell) {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const [response, trouble] = await attempt(path, body);
    if (response) {
      tell("");
      const answer = await response.json();
      if (!response.ok) throw new Refused(response.status, answer.error);
      return answer;
    }
    tell(`${trouble} Nothing is lost: this page tries again by itself.`);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** Return the response of a server that could deal with the request, or what is wrong. */
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

/** Take the token out of the address, where it would be seen and kept; return it, or null. */
export function takeToken(key) {
  if (location.hash.length > 1) {
    sessionStorage.setItem(key, location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(key);
}
