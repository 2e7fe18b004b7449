// Completion and hover help of the editor, from the JSON Schema of the file's kind.

import { autocompletion, snippet } from "@codemirror/autocomplete";
import { hoverTooltip } from "@codemirror/view";
import { call } from "../net.js";
import { placeIn } from "./place.js";
import { keysAt, meaningOf, valuesAt } from "./schema.js";

const schemas = {};

/** Return a promise of the schema of a kind of file; of null for a kind without one, or if it did not arrive. */
function schemaOf(kind) {
  if (kind !== "constitution" && kind !== "run") return Promise.resolve(null);
  schemas[kind] ??= call(`/api/schema/${kind}`).catch(() => {
    delete schemas[kind];
    return null;
  });
  return schemas[kind];
}

const SNIPPETS = { check: "check: {kind: ${}}", examples: "examples:\n\t- prompt: ${}\n\t  good: ${}\n\t  bad: ${}" };

/** The extensions, for a file whose kind a function returns. */
export function assistance(kindOf) {
  schemaOf(kindOf());

  async function complete(context) {
    const schema = await schemaOf(kindOf());
    if (!schema) return null;
    const line = context.state.doc.lineAt(context.pos);
    if (/^\s*#/.test(line.text.slice(0, context.pos - line.from))) return null;
    const place = placeIn(context.state.doc.sliceString(0, context.pos));
    if (place.kind === "text") return null;
    const behind = context.state.doc.sliceString(context.pos, line.to);
    const from = context.pos - place.prefix.length;
    if (place.kind === "key") {
      if (!place.prefix && !context.explicit && !place.flow) return null;
      const later = place.flow ? keysBehind(behind) : keysBelow(context.state, context.pos, line, place);
      const options = keysAt(schema, place.path, { ...place.siblings, ...later }).map((key, number) => ({
        label: key.name,
        type: "property",
        detail: key.type,
        info: key.about || undefined,
        boost: key.required ? 50 : -number / 10,
        apply: applied(key, place.flow, /^\s*:/.test(behind)),
      }));
      return options.length ? { from, options, validFor: /^[\w-]*$/ } : null;
    }
    const options = valuesAt(schema, place.path, place.siblings).map(({ value, about }) => ({
      label: value,
      type: "constant",
      info: about || undefined,
      apply: place.path.at(-1) === "kind" && place.flow ? `${value}${/value\s*:/.test(behind) ? "" : ", value: "}` : value,
    }));
    return options.length ? { from, options, validFor: /^[\w-]*$/ } : null;
  }

  const help = hoverTooltip(async (view, position) => {
    const schema = await schemaOf(kindOf());
    const line = view.state.doc.lineAt(position);
    const word = wordAt(line.text, position - line.from);
    if (!schema || !word) return null;
    const place = placeIn(view.state.doc.sliceString(0, line.from + word.to));
    const isKey = place.kind === "key" && /^\s*["']?\s*:/.test(line.text.slice(word.to));
    const path = isKey ? [...place.path, word.text] : place.path;
    if (place.kind === "text" || (!isKey && place.kind === "key")) return null;
    let said = meaningOf(schema, path, isKey ? {} : place.siblings);
    if (!isKey) {
      const value = valuesAt(schema, place.path, place.siblings).find((one) => one.value === word.text);
      if (!value?.about) return null;
      said = { about: value.about, type: "" };
    }
    if (!said?.about) return null;
    return { pos: line.from + word.from, end: line.from + word.to, above: true, create: () => ({ dom: tooltip(word.text, said) }) };
  });

  return [autocompletion({ override: [complete], maxRenderedOptions: 60 }), help];
}

function applied(key, flow, hasColon) {
  if (hasColon) return key.name;
  if (!flow && SNIPPETS[key.name]) return snippet(SNIPPETS[key.name]);
  return `${key.name}: `;
}

function wordAt(text, column) {
  for (const found of text.matchAll(/[\w-]+/g)) {
    if (found.index <= column && column <= found.index + found[0].length) {
      return { text: found[0], from: found.index, to: found.index + found[0].length };
    }
  }
  return null;
}

/** Return the keys that the rest of a line in braces has. */
function keysBehind(text) {
  return Object.fromEntries([...text.matchAll(/([\w-]+)\s*:\s*([^,}]*)/g)].map(([, key, value]) => [key, value.trim()]));
}

/** Return the keys of the same mapping in the lines below. */
function keysBelow(state, position, line, place) {
  const column = position - place.prefix.length - line.from;
  const found = {};
  for (let number = line.number + 1; number <= state.doc.lines; number += 1) {
    const text = state.doc.line(number).text;
    if (!text.trim()) continue;
    const indent = text.search(/\S/);
    if (indent < column) break;
    const key = indent === column ? /^([\w-]+)\s*:/.exec(text.trim()) : null;
    if (key) found[key[1]] = "";
    else if (indent === column) break;
  }
  return found;
}

function tooltip(name, said) {
  const box = document.createElement("div");
  box.className = "meaning";
  const title = document.createElement("strong");
  title.textContent = said.type ? `${name}: ${said.type}` : name;
  const body = document.createElement("p");
  body.textContent = said.about;
  box.append(title, body);
  return box;
}
