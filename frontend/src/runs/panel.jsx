// The runs of the project: started, watched, stopped, listed; one or several opened side by side.

import { Opened } from "./opened.jsx";
import { RunList } from "./list.jsx";
import { Processes } from "./progress.jsx";
import { StartForm } from "./start.jsx";
import { board, opened, refused } from "./state.js";

export function RunsPanel() {
  return (
    <main class="page runs">
      {refused.value && (
        <p class="notice bad" role="alert">
          {refused.value}
        </p>
      )}
      {opened.value ? (
        <Opened names={opened.value} />
      ) : (
        <>
          <h1>Runs</h1>
          <StartForm />
          <Processes />
          {board.value ? <RunList /> : <p class="soft">Reading the runs ...</p>}
        </>
      )}
    </main>
  );
}
