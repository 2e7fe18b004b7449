import assert from "node:assert/strict";
import { test } from "node:test";
import { sentence, wordChanges } from "./words.js";

const sides = (parts) => [parts.map((part) => part.kept ?? part.removed).join(""), parts.map((part) => part.kept ?? part.added).join("")];

test("both texts can be read from the parts", () => {
  for (const [before, after] of [
    ["one two three four five", "one two 3 four five"],
    ["the cat of the house", "the dog in the garden"],
    ["", "new"],
    ["gone", ""],
    ["a  b\n\nc", "a b\nc d"],
  ]) {
    assert.deepEqual(sides(wordChanges(before, after)), [before, after]);
  }
});

test("passages of three words and more stay; fewer between two changes belong to the change", () => {
  assert.deepEqual(wordChanges("one big red house here", "two big red car here"), [{ removed: "one big red house", added: "two big red car" }, { kept: " here" }]);
  assert.equal(wordChanges("one with a big red house", "two with a big red car").length, 3);
});

test("a clause becomes a sentence", () => {
  assert.equal(sentence("made up (scripted engine): no model wrote or judged this"), "Made up (scripted engine): no model wrote or judged this.");
});
