// Build the visible elements. Text of models and users only ever becomes a text node.

export const byId = (id) => document.getElementById(id);

/** Return an element with a class, text and children. */
export function make(tag, className = "", text = null, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== null) element.textContent = text;
  element.append(...children);
  return element;
}

/** Return an element with untrusted text, whose writing direction is isolated from the rest of the page. */
function foreign(text) {
  const element = make("div", "text", text);
  element.dir = "auto";
  return element;
}

/** Show one part of the page, and hide the others. */
export function showOnly(id) {
  for (const part of ["enter", "message", "task"]) byId(part).hidden = part !== id;
  byId("actions").hidden = id === "enter";
}

export function drawQuestion(question) {
  byId("question").textContent = question.text;
  byId("guide").hidden = question.guide.length === 0;
  byId("principles").replaceChildren(...question.guide.map((text) => make("li", "", text)));
}

const SPEAKERS = { system: "System", user: "User", assistant: "Assistant" };

export function drawPrompt(messages) {
  const turns = messages.map((message) =>
    make("div", `turn ${message.role}`, null, make("h2", "", SPEAKERS[message.role]), foreign(message.content)));
  byId("prompt").replaceChildren(...turns);
}

/** Scroll a long conversation to its last turn. */
export function scrollToLastTurn() {
  const prompt = byId("prompt");
  const last = prompt.lastElementChild;
  // Show the beginning of a last turn that does not fit.
  prompt.scrollTop = last.offsetHeight > prompt.clientHeight
    ? last.offsetTop - prompt.offsetTop : prompt.scrollHeight;
  markHidden();
}

function markHidden() {
  byId("prompt").classList.toggle("more-above", byId("prompt").scrollTop > 4);
}

byId("prompt")?.addEventListener("scroll", markHidden, { passive: true });

/** Draw the answers; with more than two, each gets buttons for its rank, which call `onPlace(answer, rank)`. */
export function drawAnswers(answers, onPlace) {
  const cards = answers.map((text, number) => {
    const head = make("div", "head", null, make("h2", "", `Answer ${number + 1}`));
    const card = make("article", "answer", null, head, foreign(text));
    card.setAttribute("aria-label", `Answer ${number + 1}`);
    if (answers.length > 2) head.append(places(answers.length, number, onPlace));
    return card;
  });
  byId("answers").replaceChildren(...cards);
}

function places(count, answer, onPlace) {
  const group = make("div", "places");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", `Rank of answer ${answer + 1}; 1 is best`);
  for (let place = 1; place <= count; place++) {
    const button = make("button", "place", String(place));
    button.type = "button";
    button.addEventListener("click", () => onPlace(answer, place));
    group.append(button);
  }
  return group;
}

/** Show the ranks given so far, and the selected answer. */
export function drawPlaces(ranks, marked) {
  [...byId("answers").children].forEach((card, answer) => {
    card.classList.toggle("marked", answer === marked);
    card.querySelectorAll(".place").forEach((button, index) =>
      button.setAttribute("aria-pressed", String(ranks[answer] === index + 1)));
  });
}

/** Show the buttons that apply to this number of answers. */
export function drawChoices(count) {
  const forPairs = ["first", "second", "tie"];
  for (const button of document.querySelectorAll("[data-verdict]")) {
    const verdict = button.dataset.verdict;
    button.hidden = count === 0 || (verdict === "ranking" ? count === 2 : forPairs.includes(verdict) && count > 2);
  }
  byId("comment-toggle").hidden = count === 0;
  byId("bad-label").textContent = count > 2 ? "All bad" : "Both bad";
}

export function drawProgress(decided, left) {
  byId("progress").textContent = left ? `${decided} decided, about ${left} left` : `${decided} decided`;
  byId("bar").hidden = false;
  byId("bar").value = decided + left ? decided / (decided + left) : 0;
}

export function tell(trouble) {
  byId("trouble").textContent = trouble;
  byId("trouble").hidden = !trouble;
}
