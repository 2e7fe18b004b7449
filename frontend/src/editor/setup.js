// CodeMirror as the studio uses it: YAML, our completion and lint, the page's colours.

import { closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, HighlightStyle, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, Transaction } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { assistance } from "./assist.js";
import { hangingIndent } from "./indent.js";

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--key)" },
  { tag: [tags.string, tags.special(tags.string), tags.content], color: "var(--ink)" },
  { tag: [tags.number, tags.bool, tags.keyword, tags.atom], color: "var(--value)" },
  { tag: tags.comment, color: "var(--soft)", fontStyle: "italic" },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: "var(--soft)" },
]);

const language = new Compartment();

/** Return a view in an element. `typed` is called with the text after each change by the user, `moved` when the cursor has. */
export function makeEditor(parent, { kindOf, typed, moved, saved }) {
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: "",
      extensions: [
        EditorView.cspNonce.of(document.querySelector("meta[name=style-nonce]").content),
        lineNumbers(),
        history(),
        drawSelection(),
        indentUnit.of("  "),
        bracketMatching(),
        closeBrackets(),
        highlightActiveLine(),
        highlightSelectionMatches(),
        EditorView.lineWrapping,
        hangingIndent,
        syntaxHighlighting(colours),
        language.of([]),
        lintGutter(),
        keymap.of([
          { key: "Mod-s", run: () => (saved(), true), preventDefault: true },
          { key: "Escape", run: (target) => (target.contentDOM.blur(), true) },
          ...closeBracketsKeymap,
          ...defaultKeymap,
          ...searchKeymap,
          ...historyKeymap,
          ...completionKeymap,
          ...lintKeymap,
        ]),
        EditorView.contentAttributes.of({ "aria-label": "Text of the file" }),
        EditorView.updateListener.of((update) => {
          const byUser = update.transactions.some((one) => one.docChanged && one.annotation(Transaction.userEvent));
          if (update.docChanged && byUser) typed(update.state.doc.toString());
          else if (update.selectionSet || update.focusChanged) moved();
        }),
      ],
    }),
  });
  return { view, kindOf };
}

/** Return the line at whose unfinished end the cursor is, from 1; null if it is elsewhere or the sentence has ended. */
export function unfinishedLine({ view }) {
  const { main } = view.state.selection;
  const line = view.state.doc.lineAt(main.head);
  const before = line.text.slice(0, main.head - line.from);
  const behind = line.text.slice(main.head - line.from);
  const isAtEnd = view.hasFocus && main.empty && before.trim() && /^["'\s}\]]*(#.*)?$/.test(behind);
  return isAtEnd && !/[.!?。！？]["'’”)\s}\]]*$/u.test(before) ? line.number : null;
}

/** Put a text into the editor, changing only what differs, so that the cursor stays where it is. */
export function setText({ view, kindOf }, text, isOther) {
  const before = view.state.doc.toString();
  let start = 0;
  const shorter = Math.min(before.length, text.length);
  while (start < shorter && before[start] === text[start]) start += 1;
  let end = 0;
  while (end < shorter - start && before.at(-1 - end) === text.at(-1 - end)) end += 1;
  const effects = isOther ? language.reconfigure(isYaml(kindOf()) ? [yaml(), assistance(kindOf)] : []) : [];
  view.dispatch({
    changes: { from: start, to: before.length - end, insert: text.slice(start, text.length - end) },
    effects,
    annotations: Transaction.addToHistory.of(!isOther),
    ...(isOther ? { selection: { anchor: 0 }, scrollIntoView: true } : {}),
  });
}

const isYaml = (kind) => kind === "constitution" || kind === "run";

/** Show the server's diagnostics at their places. */
export function showProblems({ view }, problems) {
  const { doc } = view.state;
  const diagnostics = problems.map((problem) => {
    const line = doc.line(Math.min(Math.max(problem.line, 1), doc.lines));
    const from = Math.min(line.from + problem.column - 1, line.to);
    return {
      from,
      to: Math.max(from, endOfValue(line, from)),
      severity: problem.severity === "note" ? "info" : problem.severity,
      message: sayProblem(problem),
      source: problem.code || undefined,
    };
  });
  diagnostics.sort((one, other) => one.from - other.from);
  view.dispatch(setDiagnostics(view.state, diagnostics));
}

/** A problem in one sentence. */
export const sayProblem = (problem) => [problem.what, problem.hint && `${problem.code ? "" : "accepted: "}${problem.hint}`].filter(Boolean).join("; ");

function endOfValue(line, from) {
  const word = /^[^\s,{}[\]]+/.exec(line.text.slice(from - line.from));
  return word ? from + word[0].length : line.to;
}

/** Move the cursor to a place, and into the editor. */
export function goTo({ view }, { line, column }) {
  const target = view.state.doc.line(Math.min(line, view.state.doc.lines));
  view.dispatch({ selection: { anchor: Math.min(target.from + column - 1, target.to) }, scrollIntoView: true });
  view.focus();
}
