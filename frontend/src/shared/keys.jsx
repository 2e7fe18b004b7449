// Keyboard shortcuts of the page, and the list of them.

import { useEffect, useRef, useState } from "preact/hooks";

const shortcuts = new Map();

/** Call a function at a key while a component is shown. Keys with `Mod` work in fields too. */
export function useKey(key, meaning, act) {
  useEffect(() => {
    shortcuts.set(key, { meaning, act });
    return () => shortcuts.delete(key);
  });
}

const isField = (element) => element.closest("input, textarea, select, [contenteditable='true'], dialog");

/** Whether Esc leaves a field: the editor and open lists have their own use for it. */
const isLeft = (event) => event.key === "Escape" && !event.defaultPrevented && event.target.matches("input, textarea") && !event.target.closest("dialog, .cm-editor");

addEventListener("keydown", (event) => {
  if (isLeft(event)) event.target.blur();
  const mod = event.ctrlKey || event.metaKey;
  if (event.altKey || (!mod && isField(event.target))) return;
  const found = shortcuts.get(mod ? `Mod-${event.key}` : event.key);
  if (found) {
    event.preventDefault();
    found.act();
  }
});

const SYMBOLS = { ArrowLeft: "←", ArrowRight: "→" };
const shownKey = (key) => (key.startsWith("Mod-") ? ["Ctrl", key.slice(4).toUpperCase()] : [SYMBOLS[key] ?? key]);

/** The button and the dialog with all shortcuts. */
export function KeyHelp() {
  const dialog = useRef(null);
  const [, setOpened] = useState(0);
  const open = () => {
    setOpened((times) => times + 1); // the keys are those of the panel that is shown now
    dialog.current.showModal();
  };
  useKey("?", "this list", open);
  return (
    <>
      <button type="button" class="quiet" aria-keyshortcuts="?" onClick={open}>
        Keys <kbd>?</kbd>
      </button>
      <dialog ref={dialog} aria-labelledby="keys-title">
        <h2 id="keys-title">Keys</h2>
        <dl>
          {[...shortcuts].map(([key, { meaning }]) => (
            <div key={key}>
              <dt>
                {shownKey(key).map((part) => (
                  <kbd key={part}>{part}</kbd>
                ))}
              </dt>
              <dd>{meaning}</dd>
            </div>
          ))}
          {shortcuts.has("Mod-s") && (
            <div>
              <dt>
                <kbd>Ctrl</kbd>
                <kbd>Space</kbd>
              </dt>
              <dd>in the editor: complete a key or a value</dd>
            </div>
          )}
          <div>
            <dt>
              <kbd>Esc</kbd>
            </dt>
            <dd>leave a field or the editor, so that the keys above work</dd>
          </div>
        </dl>
        <form method="dialog">
          <button class="main">Close</button>
        </form>
      </dialog>
    </>
  );
}
