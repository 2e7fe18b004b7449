// The form that starts a run.

import { useState } from "preact/hooks";
import { board, request } from "./state.js";

export function StartForm() {
  const [settings, setSettings] = useState("");
  const [file, setFile] = useState("");
  const files = board.value?.run_files ?? [];
  if (board.value && !files.length) {
    return <p class="notice quiet-notice">This project has no run file. Add run.yaml (publius init writes one) to start runs here.</p>;
  }
  const start = async (event) => {
    event.preventDefault();
    const overrides = settings.split("\n").map((line) => line.trim()).filter(Boolean);
    await request("start", { run_file: file || files[0], overrides });
  };
  return (
    <form class="start" onSubmit={start}>
      <label>
        Run file
        <select value={file || files[0]} onChange={(event) => setFile(event.currentTarget.value)}>
          {files.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label class="wide">
        Settings that differ from the run file (optional), one a line
        <textarea
          rows={Math.min(6, settings.split("\n").length)}
          placeholder="for example label.principles=3"
          spellcheck={false}
          value={settings}
          onInput={(event) => setSettings(event.currentTarget.value)}
        />
      </label>
      <button class="main" disabled={!files.length}>
        Start a run
      </button>
    </form>
  );
}
