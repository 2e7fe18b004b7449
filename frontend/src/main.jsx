// The studio: the panel that the address names, what is wrong with the connection, and the navigation.

import { render } from "preact";
import { signal } from "@preact/signals";
import { connected, enter, locked } from "./net.js";
import { connect, topic } from "./store.js";
import { panels } from "./panels.js";
import { KeyHelp } from "./shared/keys.jsx";

const shown = signal(location.hash.slice(1));
addEventListener("hashchange", () => {
  shown.value = location.hash.slice(1);
});

function Studio() {
  if (locked.value) return <Locked />;
  const current = panels.find((one) => one.id === shown.value) ?? panels[0];
  const project = topic("project").value;
  const Panel = current.panel;
  return (
    <>
      <header class="top">
        <span class="brand">Publius</span>
        <span class="project" title={project && `Project folder ${project.folder}`}>
          {project?.name ?? ""}
        </span>
        {panels.length > 1 && (
          <nav aria-label="Panels">
            {panels.map((one) => (
              <a key={one.id} href={`#${one.id}`} aria-current={one === current ? "page" : undefined}>
                {one.title}
              </a>
            ))}
          </nav>
        )}
        <span class="space" />
        <KeyHelp />
        <button
          type="button"
          class="quiet"
          aria-label="Switch between light and dark"
          title="Switch between light and dark"
          onClick={() => dispatchEvent(new Event("publius-theme"))}
        >
          ◐
        </button>
      </header>
      <p class="trouble" role="alert" hidden={connected.value}>
        {connected.value ? "" : "The server cannot be reached. What you typed is kept here; the page reconnects by itself."}
      </p>
      <Panel />
    </>
  );
}

function Locked() {
  return (
    <main class="sheet">
      <h1>Open the link again</h1>
      <p>{locked.value}</p>
      <p>
        The command <code>publius studio</code> prints the link; it ends with a secret token.
      </p>
    </main>
  );
}

async function begin() {
  const root = document.getElementById("app");
  root.replaceChildren();
  render(<Studio />, root);
  await enter().catch(() => {});
  if (!locked.value) connect();
}

begin();
