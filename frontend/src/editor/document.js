// The open file: the version that it is based on, what was typed, and what others wrote meanwhile.
//
// The text on disk is the truth. A text is saved only on top of the version that it was based on. If the file
// has changed by then, the user is shown both and decides; nothing is overwritten without being asked.

import { batch, computed, effect, signal } from "@preact/signals";
import { diff3Merge } from "node-diff3";
import { call, Refused } from "../net.js";
import { tab, topic } from "../store.js";

const DRAFT_MS = 120;

export const file = signal(null); // {name, kind, text, digest}: the version that the text is based on
export const text = signal(""); // what is in the editor
export const theirs = signal(null); // {text, digest}: another version on disk, which the user has not seen
export const offered = signal(null); // a draft of a page that was closed
export const problems = signal([]);
export const note = signal(""); // what happened last, for the status line
export const saving = signal(false);
export const opening = signal("");

export const isChanged = computed(() => file.value !== null && text.value !== file.value.text);

let setEditor = () => {}; // replaces the text in the editor
let unfinished = () => null; // the line at whose unfinished end the user types
let toldUnfinished = null; // what the server knows of it
let timer = 0;
let sending = null;

/** Tell the document how to put a text into the editor, and how to find the line that is being typed. */
export function bindEditor(set, line) {
  setEditor = set;
  unfinished = line;
}

/** Open a file as it is on disk, with what this page had typed and not saved. */
export async function open(name) {
  opening.value = name;
  await flush();
  const found = await call(`/api/files/${encodeURIComponent(name)}`);
  const own = found.drafts.find((draft) => draft.tab === tab);
  const other = found.drafts.find((draft) => draft.tab !== tab);
  batch(() => {
    file.value = { name: found.name, kind: found.kind, text: found.text, digest: found.digest };
    theirs.value = null;
    offered.value = other ?? null;
    problems.value = found.problems;
    note.value = "";
    opening.value = "";
    replace(own ? own.text : found.text);
  });
  if (own && own.base !== found.digest) theirs.value = { text: found.text, digest: found.digest };
  if (own) draftSoon();
}

/** The user has typed. */
export function typed(content) {
  text.value = content;
  note.value = "";
  draftSoon();
}

/** The cursor has moved: a line that was being typed may be finished. */
export function moved() {
  if (toldUnfinished !== null && unfinished() !== toldUnfinished) draftSoon();
}

/** Change a file from another panel: `change` gets its text and returns the new one, or null to leave it. */
export async function editElsewhere(name, change) {
  if (file.value?.name !== name) await open(name);
  const content = await change(text.value);
  if (content === null || file.value.name !== name) return false;
  replace(content);
  note.value = "";
  draftSoon();
  return true;
}

function replace(content) {
  text.value = content;
  setEditor(content);
}

function draftSoon() {
  clearTimeout(timer);
  timer = setTimeout(sendDraft, DRAFT_MS);
}

/** Send what was typed, one request at a time: the last text is always the last to arrive. */
function sendDraft() {
  clearTimeout(timer);
  timer = 0;
  if (sending) {
    sending.again = true;
    return sending.done;
  }
  const now = { again: false };
  sending = now;
  now.done = (async () => {
    do {
      now.again = false;
      const { name, digest } = file.value;
      const content = text.value;
      toldUnfinished = unfinished();
      try {
        const answer = await call("/api/draft", { name, text: content, base: digest, tab, typing: toldUnfinished });
        if (file.value.name === name && text.value === content) problems.value = answer.problems;
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        note.value = error.message;
      }
    } while (now.again);
    sending = null;
  })();
  return now.done;
}

async function flush() {
  if (timer) await sendDraft();
  else if (sending) await sending.done;
}

/** Save the text, unless the file has changed. */
export async function save() {
  if (saving.value || file.value === null) return;
  if (!isChanged.value && file.value.digest) {
    note.value = "Nothing to save";
    return;
  }
  saving.value = true;
  try {
    await flush();
    const content = text.value;
    const { name, digest } = file.value;
    const answer = await call("/api/save", { name, text: content, base: digest, tab });
    file.value = { ...file.value, text: content, digest: answer.digest };
    note.value = "Saved";
  } catch (error) {
    if (error.status === 409) meet(error.answer);
    else note.value = `Not saved: ${error.message}`;
  } finally {
    saving.value = false;
  }
}

/** Another version is on disk. */
function meet(version) {
  const mine = text.value;
  const seen = { ...file.value, text: version.text, digest: version.digest };
  if (version.text === mine) {
    file.value = seen;
    theirs.value = null;
  } else if (!isChanged.value) {
    batch(() => {
      file.value = seen;
      replace(version.text);
      note.value = version.digest ? "The file changed on disk; this is the new text" : "The file was removed";
    });
    draftSoon();
  } else {
    theirs.value = { text: version.text, digest: version.digest };
  }
}

/** What both sides changed since they were the same, as one text; `conflicts` is the number of places in both. */
export const merged = computed(() => {
  if (!theirs.value || !file.value) return null;
  const parts = diff3Merge(text.value.split("\n"), file.value.text.split("\n"), theirs.value.text.split("\n"), {
    excludeFalseConflicts: true,
  });
  const lines = [];
  let conflicts = 0;
  for (const part of parts) {
    if (part.ok) lines.push(...part.ok);
    else {
      conflicts += 1;
      lines.push("# <<<<<<< yours", ...part.conflict.a, "# ======= on disk", ...part.conflict.b, "# >>>>>>>");
    }
  }
  return { text: lines.join("\n"), conflicts };
});

/** Settle with the other version: `merge`, `mine` or `theirs`. Nothing is written until the user saves. */
export function settle(how) {
  const other = theirs.value;
  const merge = merged.value;
  const content = { merge: () => merge.text, mine: () => text.value, theirs: () => other.text }[how]();
  batch(() => {
    file.value = { ...file.value, text: other.text, digest: other.digest };
    theirs.value = null;
    replace(content);
    note.value = {
      merge: merge.conflicts ? "Choose at the lines marked with # <<<<<<<, then save" : "Both changes are in the text; it is not saved yet",
      mine: "Your text is kept; saving it replaces the version on disk",
      theirs: "This is the version on disk",
    }[how];
  });
  draftSoon();
}

/** Take the text of a page that was closed, or forget it. */
export async function settleOffered(take) {
  const draft = offered.value;
  offered.value = null;
  if (take) {
    replace(draft.text);
    if (draft.base !== file.value.digest) theirs.value = { text: file.value.text, digest: file.value.digest };
    draftSoon();
    await flush();
  }
  await call("/api/draft/drop", { name: draft.name, tab: draft.tab });
  if (take) draftSoon();
}

/** Go back to the version that the text is based on. */
export async function revert() {
  replace(file.value.text);
  note.value = "Changes undone";
  draftSoon();
}

// Others write too: an editor, the command line, another tab.
let looking = false;
effect(() => {
  const digests = topic("files").value?.files;
  const current = file.peek();
  if (!digests || !current || saving.value || looking) return;
  const digest = digests[current.name] ?? "";
  if (digest === current.digest || digest === theirs.peek()?.digest) return;
  looking = true;
  call(`/api/files/${encodeURIComponent(current.name)}`)
    .then((found) => {
      if (file.value.name === current.name && found.digest !== file.value.digest) meet(found);
    })
    .catch((error) => {
      note.value = error.message;
    })
    .finally(() => {
      looking = false;
    });
});
