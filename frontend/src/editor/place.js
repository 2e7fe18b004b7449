// Where in a YAML text a position is: the keys above it, and whether a key or a value is written there.
// It works on unfinished text, so it reads lines and indentation in place of a whole document.

const KEY = /^("(?:[^"\\]|\\.)*"|'[^']*'|[^\s#:,{}[\]"'&*!|>%@`][^#:,{}[\]]*?)\s*:(?=\s|$)/;
const BLOCK_TEXT = /^[|>][-+0-9]*\s*(#.*)?$/;

const bare = (key) => key.replace(/^["']|["']$/g, "");

/**
 * Return the place of the end of a text.
 *
 * path: keys and "[]" for an entry of a list, from the outside in.
 * kind: "key" where a key may be written, "value" behind a key, or "text" inside of a block of text.
 * prefix: what is written there already.
 * flow: true inside of braces or brackets.
 * siblings: keys that the same mapping has above or in the same braces, with their values.
 */
export function placeIn(before) {
  const lines = before.split("\n");
  const last = lines.pop();
  const open = []; // {indent, name}, name "[]" for an entry
  let blockText = -1;
  for (const line of lines) {
    if (!line.trim() || /^\s*#/.test(line)) continue;
    const indent = line.search(/\S/);
    if (blockText >= 0 && indent > blockText) continue;
    blockText = -1;
    const entered = enter(open, line);
    if (entered.key !== null && BLOCK_TEXT.test(entered.rest)) blockText = entered.column;
  }
  if (blockText >= 0 && last.trim() && last.search(/\S/) <= blockText) blockText = -1;
  if (blockText >= 0) return { path: names(open), kind: "text", prefix: "", flow: false, siblings: {} };
  const entered = enter(open, last, true);
  if (entered.key === null) {
    const flow = inFlow(entered.rest);
    if (flow) return { ...flow, path: [...names(open), ...flow.path], flow: true };
    return { path: names(open), kind: "key", prefix: entered.rest, flow: false, siblings: entered.siblings };
  }
  const flow = inFlow(entered.rest);
  const path = names(open);
  if (flow) return { ...flow, path: [...path, ...flow.path], flow: true };
  return { path, kind: "value", prefix: entered.rest, flow: false, siblings: entered.siblings };
}

const names = (open) => open.map((one) => one.name);

/** Read a line into the stack of open keys and entries. */
function enter(open, line, isLast = false) {
  let column = line.search(/\S/);
  if (column < 0) column = line.length;
  let rest = line.slice(column);
  for (let dash = /^-(\s+|$)/.exec(rest); dash; dash = /^-(\s+|$)/.exec(rest)) {
    while (open.length && (open.at(-1).indent > column || (open.at(-1).indent === column && open.at(-1).name === "[]"))) open.pop();
    open.push({ indent: column, name: "[]", keys: {} });
    const width = dash[0].length > 1 ? dash[0].length : 2;
    column += width;
    rest = rest.slice(dash[0].length);
  }
  const found = KEY.exec(rest);
  if (!found) {
    if (isLast || rest) while (open.length && open.at(-1).indent >= column) open.pop();
    return { key: null, column, rest, siblings: open.at(-1)?.keys ?? rootKeys(open) };
  }
  while (open.length && open.at(-1).indent >= column) open.pop();
  const keys = open.at(-1)?.keys ?? rootKeys(open);
  const key = bare(found[1]);
  const value = rest.slice(found[0].length).trim();
  const siblings = { ...keys };
  keys[key] = value;
  open.push({ indent: column, name: key, keys: {} });
  return { key, column, rest: rest.slice(found[0].length).replace(/^\s+/, ""), siblings };
}

const rootKeys = (open) => (open.root ??= {});

/** Return the place inside of braces and brackets, or null outside of them. */
function inFlow(value) {
  const open = [];
  let word = "";
  let quote = "";
  for (const character of value) {
    const top = open.at(-1);
    if (quote) {
      word += character;
      if (character === quote) quote = "";
    } else if (character === '"' || character === "'") {
      quote = character;
      word += character;
    } else if (character === "{" || character === "[") {
      if (!open.length && word.trim()) return null;
      open.push({ map: character === "{", key: null, keys: {} });
      word = "";
    } else if (character === "}" || character === "]") {
      open.pop();
      word = "";
      if (!open.length) return null;
    } else if (top && character === ",") {
      if (top.map && top.key !== null) top.keys[top.key] = word.trim();
      top.key = null;
      word = "";
    } else if (top?.map && top.key === null && character === ":") {
      top.key = bare(word.trim());
      word = "";
    } else word += character;
  }
  if (!open.length) return null;
  const path = [];
  open.forEach((one, depth) => {
    if (!one.map) path.push("[]");
    else if (one.key !== null) path.push(one.key);
    else if (depth < open.length - 1) path.push("?");
  });
  const top = open.at(-1);
  const isKey = top.map && top.key === null;
  return { path, kind: isKey ? "key" : "value", prefix: word.replace(/^\s+/, ""), siblings: top.keys };
}
