// The panel with the editor at the left and the bench at the right; on a narrow screen one of them at a time.

import { Bench } from "../bench/bench.jsx";
import { Summary } from "../bench/summary.jsx";
import { file, offered, problems, theirs } from "./document.js";
import { Editor } from "./editor.jsx";
import { shownPart as shown } from "./shown.js";

export function EditPanel() {
  return (
    <main class={`edit shows-${shown.value}`}>
      <div class="switch" role="group" aria-label="Shown">
        {["text", "bench"].map((part) => (
          <button key={part} type="button" aria-pressed={shown.value === part} onClick={() => (shown.value = part)}>
            {part === "text" ? `Text${attention()}` : "Bench"}
          </button>
        ))}
        <Summary />
      </div>
      <Editor />
      <Bench />
    </main>
  );
}

/** What the text asks of the user, who may be looking at the bench. */
function attention() {
  if (theirs.value) return ": changed on disk";
  if (offered.value) return ": unsaved text";
  const errors = file.value ? problems.value.filter((problem) => problem.severity === "error").length : 0;
  return errors ? `: ${errors} ${errors === 1 ? "error" : "errors"}` : "";
}
