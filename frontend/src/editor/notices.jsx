// What the user has to decide about the open file: another version on disk, or a text that was not saved.

import { diffLines } from "diff";
import { file, merged, offered, settle, settleOffered, text, theirs } from "./document.js";

/** Another version is on disk while there are changes here. */
export function OtherVersion() {
  if (!theirs.value) return null;
  const { conflicts } = merged.value;
  const base = file.value.text;
  return (
    <section class="notice" role="alertdialog" aria-labelledby="other-title">
      <h2 id="other-title">{file.value.name} changed on disk while you were editing</h2>
      <p>
        {theirs.value.digest ? "" : "The file was removed. "}
        {conflicts
          ? `Both changed the same lines in ${conflicts === 1 ? "one place" : `${conflicts} places`}: a merge keeps both there, between comments, for you to choose.`
          : "The changes are in different places and can be merged."}{" "}
        Nothing is written until you save.
      </p>
      <div class="row">
        <button type="button" class="main" onClick={() => settle("merge")}>
          Merge both
        </button>
        <button type="button" onClick={() => settle("mine")}>
          Keep mine
        </button>
        <button type="button" onClick={() => settle("theirs")}>
          Take the version on disk
        </button>
      </div>
      <details>
        <summary>What changed</summary>
        <h3>On disk</h3>
        <LineDiff before={base} after={theirs.value.text} />
        <h3>Yours</h3>
        <LineDiff before={base} after={text.value} />
      </details>
    </section>
  );
}

/** A page that was closed left a text that was not saved. */
export function UnsavedText() {
  const draft = offered.value;
  if (!draft) return null;
  return (
    <section class="notice" role="alertdialog" aria-labelledby="unsaved-title">
      <h2 id="unsaved-title">There is unsaved text from {new Date(draft.at).toLocaleString()}</h2>
      <div class="row">
        <button type="button" class="main" onClick={() => settleOffered(true)}>
          Restore it
        </button>
        <button type="button" onClick={() => settleOffered(false)}>
          Discard it
        </button>
      </div>
      <details>
        <summary>What it changes</summary>
        <LineDiff before={file.value.text} after={draft.text} />
      </details>
    </section>
  );
}

function LineDiff({ before, after }) {
  const parts = diffLines(before, after).filter((part) => part.added || part.removed);
  if (!parts.length) return <p>Nothing</p>;
  return (
    <pre class="lines">
      {parts.map((part, number) =>
        part.added ? <ins key={number}>{part.value}</ins> : <del key={number}>{part.value}</del>,
      )}
    </pre>
  );
}
