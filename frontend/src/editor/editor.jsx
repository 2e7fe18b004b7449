// The editor: the files of the project, the text, and its problems.

import { useEffect, useRef } from "preact/hooks";
import { topic } from "../store.js";
import { useKey } from "../shared/keys.jsx";
import { bindEditor, file, isChanged, moved, note, open, opening, problems, revert, save, saving, text, typed } from "./document.js";
import { OtherVersion, UnsavedText } from "./notices.jsx";
import { goTo, makeEditor, sayProblem, setText, showProblems, unfinishedLine } from "./setup.js";

const SEVERITIES = { error: "error", warning: "warning", note: "note" };

export function Editor() {
  const place = useRef(null);
  const editor = useRef(null);
  const shownName = useRef("");
  useEffect(() => {
    editor.current = makeEditor(place.current, { kindOf: () => file.value?.kind, typed, moved, saved: save });
    const put = (content) => {
      setText(editor.current, content, shownName.current !== file.value.name);
      shownName.current = file.value.name;
    };
    bindEditor(put, () => unfinishedLine(editor.current));
    if (file.value) {
      // The user was at another panel, or changed the text from there.
      setText(editor.current, text.value, true);
      shownName.current = file.value.name;
    }
    return () => {
      bindEditor(
        () => {},
        () => null,
      );
      editor.current.view.destroy();
    };
  }, []);
  const names = Object.keys(topic("files").value?.files ?? {});
  useEffect(() => {
    if (!file.value && names.length && !opening.value) open(names[0]);
  }, [names.length]);
  useEffect(() => {
    if (editor.current && file.value) showProblems(editor.current, problems.value);
  }, [problems.value, file.value?.name]);
  useKey("Mod-s", "save the file", save);
  useKey("e", "go to the editor", () => editor.current.view.focus());
  return (
    <section class="editor" aria-label="Editor">
      <div class="bar">
        <label class="visually-hidden" for="file">
          File
        </label>
        <select id="file" value={file.value?.name ?? ""} onChange={(event) => open(event.currentTarget.value)}>
          {names.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <Status />
        <button type="button" class="quiet" title="Go back to the text on disk" disabled={!isChanged.value} onClick={revert}>
          Discard
        </button>
        <button type="button" class="main" disabled={saving.value || !isChanged.value} onClick={save} aria-keyshortcuts="Control+S">
          Save
        </button>
      </div>
      <OtherVersion />
      <UnsavedText />
      <div class="code" ref={place} />
      <Problems go={(problem) => goTo(editor.current, problem)} />
    </section>
  );
}

function Status() {
  const said = opening.value
    ? `Opening ${opening.value}`
    : saving.value
      ? "Saving"
      : note.value || (isChanged.value ? "Unsaved" : file.value ? "Saved" : "");
  return (
    <p class="status" role="status" title={said}>
      {said}
    </p>
  );
}

function Problems({ go }) {
  const found = problems.value;
  const count = (severity) => found.filter((one) => one.severity === severity).length;
  const said = Object.keys(SEVERITIES)
    .filter(count)
    .map((severity) => `${count(severity)} ${severity}${count(severity) === 1 ? "" : "s"}`)
    .join(", ");
  return (
    <section class="problems" aria-label="Problems">
      <p role="status" class={count("error") ? "bad" : ""}>
        {said || "No problems"}
      </p>
      <ul>
        {found.map((problem, number) => (
          <li key={number}>
            <button type="button" class={`problem ${problem.severity}`} onClick={() => go(problem)}>
              <span class="where">
                {[problem.severity, problem.code].filter(Boolean).join(" ")}, line {problem.line}
              </span>
              <span>{sayProblem(problem)}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
