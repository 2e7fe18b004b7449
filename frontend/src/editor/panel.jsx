// The panel with the editor at the left and the bench at the right; on a narrow screen one of them at a time.

import { signal } from "@preact/signals";
import { Bench } from "../bench/bench.jsx";
import { Summary } from "../bench/summary.jsx";
import { Editor } from "./editor.jsx";

const shown = signal("text");

export function EditPanel() {
  return (
    <main class={`edit shows-${shown.value}`}>
      <div class="switch" role="group" aria-label="Shown">
        {["text", "bench"].map((part) => (
          <button key={part} type="button" aria-pressed={shown.value === part} onClick={() => (shown.value = part)}>
            {part === "text" ? "Text" : "Bench"}
          </button>
        ))}
        <Summary />
      </div>
      <Editor />
      <Bench />
    </main>
  );
}
