// Wrapped lines go on below the beginning of their text, so that the layout of YAML stays visible.

import { RangeSetBuilder } from "@codemirror/state";
import { Decoration, ViewPlugin } from "@codemirror/view";

const DEEPEST = 24; // columns; deeper lines would leave too little room on a narrow screen
const EDGE = "6px"; // the padding of a line without indentation

const decorations = Array.from({ length: DEEPEST + 1 }, (_, columns) =>
  Decoration.line({ attributes: { style: `text-indent: -${columns}ch; padding-left: calc(${columns}ch + ${EDGE})` } }),
);

/** Return the column at which the text of a line begins, behind the dashes of a list. */
const columnOfText = (line) => Math.min(/^ *(?:- +)*/.exec(line)[0].length, DEEPEST);

function indented(view) {
  const ranges = new RangeSetBuilder();
  for (const { from, to } of view.visibleRanges) {
    for (let position = from; position <= to; ) {
      const line = view.state.doc.lineAt(position);
      const columns = columnOfText(line.text);
      if (columns) ranges.add(line.from, line.from, decorations[columns]);
      position = line.to + 1;
    }
  }
  return ranges.finish();
}

/** Indent the further rows of each wrapped line. */
export const hangingIndent = ViewPlugin.fromClass(
  class {
    constructor(view) {
      this.decorations = indented(view);
    }
    update(update) {
      if (update.docChanged || update.viewportChanged) this.decorations = indented(update.view);
    }
  },
  { decorations: (plugin) => plugin.decorations },
);
