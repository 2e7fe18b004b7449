// Run by `npm test`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { placeIn } from "./place.js";
import { keysAt, schemasAt, valuesAt } from "./schema.js";

const at = (text) => {
  const { path, kind, prefix } = placeIn(text);
  return [path.join("."), kind, prefix];
};

test("block mappings and lists", () => {
  assert.deepEqual(at("na"), ["", "key", "na"]);
  assert.deepEqual(at("name: x\nprinciples:\n  - i"), ["principles.[]", "key", "i"]);
  assert.deepEqual(at("principles:\n- id: a\n  te"), ["principles.[]", "key", "te"]);
  assert.deepEqual(at("principles:\n  - id: a\n    check:\n      ki"), ["principles.[].check", "key", "ki"]);
  assert.deepEqual(at("principles:\n  - id: a\nse"), ["", "key", "se"]);
  assert.deepEqual(at("priority: st"), ["priority", "value", "st"]);
});

test("braces and brackets", () => {
  assert.deepEqual(at("principles:\n  - {id: a, ch"), ["principles.[]", "key", "ch"]);
  assert.deepEqual(at("  check: {kind: ma"), ["check.kind", "value", "ma"]);
  assert.deepEqual(at("  check: {kind: max_words, va"), ["check", "key", "va"]);
  assert.deepEqual(at("remove: [a, b"), ["remove.[]", "value", "b"]);
  assert.deepEqual(placeIn("check: {kind: max_words, va").siblings, { kind: "max_words" });
});

test("text blocks and comments are no place for a key", () => {
  assert.equal(placeIn("preamble: |\n  some wo").kind, "text");
  assert.deepEqual(at("preamble: |\n  some words\nna"), ["", "key", "na"]);
  assert.deepEqual(at("# a comment: {\nna"), ["", "key", "na"]);
});

test("a schema's keys and values at a place", () => {
  const schema = {
    properties: {
      checks: { items: { anyOf: [{ $ref: "#/$defs/One" }, { $ref: "#/$defs/Two" }] } },
      flag: { type: "boolean", description: "A flag" },
    },
    $defs: {
      One: { description: "The first", properties: { kind: { const: "one" }, a: { type: "integer" } } },
      Two: { description: "The second", properties: { kind: { const: "two" }, b: { type: "string" } } },
    },
  };
  assert.deepEqual(keysAt(schema, [], {}).map((key) => key.name), ["checks", "flag"]);
  assert.deepEqual(keysAt(schema, ["checks", "[]"], { kind: "two" }).map((key) => key.name), ["b"]);
  assert.deepEqual(valuesAt(schema, ["checks", "[]", "kind"], {}), [
    { value: "one", about: "The first" },
    { value: "two", about: "The second" },
  ]);
  assert.deepEqual(valuesAt(schema, ["flag"], {}).map((one) => one.value), ["true", "false"]);
  assert.equal(schemasAt(schema, ["missing"]).length, 0);
});
