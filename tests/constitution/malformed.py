"""Files that are no constitution, each with the whole line that reports its one mistake.

The third part of an entry says why a JSON Schema cannot refuse the file; where there is none, it must.
"""

from __future__ import annotations

from typing import get_args

from constitution.schema import Check
from core.text.encodings import SAVED_AS_UTF8

HEAD = "name: x\nprinciples:\n"
ONE = HEAD + "- id: a\n  text: t\n"

TWICE = "a schema does not compare two values"
CROSS = "what is right depends on another key"
REGEX = "whether Python compiles a pattern is not for a schema to know"
INFINITE = "JSON has no infinity"
FILES = "what is right depends on another file"

TOP_KEYS = (
    "one of: name, version, preamble, priority, sections, passages, lint_ignore, principles, extends, "
    "remove, document"
)
KEYS = (
    "id, text, section, source, hard, antithesis, critique, revision, comparison, weight, applies_to, "
    "except, examples, check, lint_ignore"
)
ENTRY = f"a sentence, or a mapping with the keys: {KEYS}"
KINDS = "one of: " + ", ".join(
    get_args(check.model_fields["kind"].annotation)[0] for check in get_args(get_args(Check)[0])
)
PATTERN = "a regular expression of Python's re module"
KEBAB = "at most 64 of a-z, 0-9 and '-', beginning with a letter or digit"

# fmt: off
# Neither a mapping nor a list of principles.
LISTS: list[tuple[str, str] | tuple[str, str, str]] = [
    ('hello',
     "1:1: the file is 'hello'; accepted: a mapping with the keys name and principles, "
     "or a list of sentences"),
    ('- Choose the reply: be kind',
     "1:3: the colon after 'Choose the reply' makes the sentence a key and a value; "
     "accepted: quotes around a sentence that contains ': '"),
    ('- The reply is kind.\n- The reply is\n  kind.\n',
     "2:3: duplicate sentence 'The reply is kind.' (first in line 1); accepted: each sentence once",
     TWICE),
    ('- {id: a, text: t}\n- {id: a, text: u}',
     "2:8: duplicate id 'a' (first in line 1); accepted: each id once",
     TWICE),
    ('- [[a]]',
     f'1:3: principle 1 is a list; accepted: {ENTRY}'),
    ('[[a, b]]',
     f'1:2: principle 1 is a list; accepted: {ENTRY}'),
    ('3',
     '1:1: the file is 3; accepted: a mapping with the keys name and principles, or a list of sentences'),
    ('true',
     '1:1: the file is true; accepted: a mapping with the keys name and principles, '
     'or a list of sentences'),
    ('"a sentence"',
     "1:1: the file is 'a sentence'; accepted: a mapping with the keys name and principles, "
     "or a list of sentences"),
]

# The keys of the file.
TOP: list[tuple[str, str] | tuple[str, str, str]] = [
    ('principles: [a]',
     "1:1: the key 'name' is missing; accepted: a line 'name: ...'"),
    ('name: x',
     "1:1: the key 'principles' is missing; accepted: a line 'principles: ...'"),
    ('name: x\nprincples: [a]\nprinciples: [b]',
     f"2:1: unknown key 'princples'; accepted: {TOP_KEYS} (did you mean 'principles'?)"),
    ('name:\nprinciples: [a]',
     '1:6: name is empty; accepted: text'),
    ('name: 2024\nprinciples: [a]',
     '1:7: name is 2024; accepted: text, in quotes: "2024"'),
    ('name: x\nprinciples: []',
     '2:13: principles is empty; accepted: a list of at least 1 entry'),
    ('name: x\nprinciples: kind',
     "2:13: principles is 'kind'; accepted: a list"),
    (HEAD + '  kind: The reply is kind.',
     '3:3: principles is a mapping; accepted: a list'),
    ('name: x\npriority: strickt\nprinciples: [a]',
     "2:11: priority is 'strickt'; accepted: one of: holistic, strict (did you mean 'strict'?)"),
    ('name: x\npriority: strict\nprinciples: [a]',
     '2:11: priority is strict, but there are no sections; '
     'accepted: a list of sections, or priority: holistic',
     CROSS),
    ('name: x\npriority: strict\nsections: [s, t]\nprinciples:\n- a1',
     "5:3: the principle 'a1' has no section, but priority is strict; accepted: a section, one of: s, t",
     CROSS),
    ('name: x\nsections: [s, s]\nprinciples: [a]',
     "2:15: duplicate section 's' (first in line 2); accepted: each section once"),
    (HEAD + '- 42',
     f'3:3: principle 1 is 42; accepted: {ENTRY}'),
    (HEAD + '- [a]',
     f'3:3: principle 1 is a list; accepted: {ENTRY}'),
    (HEAD + "- ''",
     f'3:3: principle 1 is empty; accepted: {ENTRY}'),
    (HEAD + '- a b\n-\n- c d',
     f'4:2: principle 2 is empty; accepted: {ENTRY}'),
    ('name: x\npreamble: [a]\nprinciples: [a]',
     '2:11: preamble is a list; accepted: text'),
    ('name: x\npreamble: 7\nprinciples: [a]',
     '2:11: preamble is 7; accepted: text, in quotes: "7"'),
    ('name: x\nversion: true\nprinciples: [a]',
     '2:10: version is true; accepted: text, in quotes: "true"'),
    ('name: x\nversion: [1]\nprinciples: [a]',
     '2:10: version is a list; accepted: text'),
    ('name: x\nversion:\nprinciples: [a]',
     '2:9: version is empty; accepted: text'),
    ("name: ' '\nprinciples: [a]",
     '1:7: name is empty; accepted: text that is not empty'),
    ('name: [x]\nprinciples: [a]',
     '1:7: name is a list; accepted: text'),
    ('name: x\npriority: 1\nprinciples: [a]',
     '2:11: priority is 1; accepted: one of: holistic, strict'),
    ('name: x\nsections: safety, form\nprinciples: [a]',
     "2:11: sections is 'safety, form'; accepted: a list: [safety, form]"),
    ('name: x\nsections: [1]\nprinciples: [a]',
     '2:12: entry 1 of sections is 1; accepted: text, in quotes: "1"'),
    ("name: x\nsections: [a, '']\nprinciples: [a]",
     '2:15: entry 2 of sections is empty; accepted: text that is not empty'),
    ('name: x\npassages: [a]\nprinciples: [a]',
     '2:11: passages is a list; accepted: a mapping'),
    ("name: x\npassages: {a: ''}\nprinciples: [a]",
     '2:15: a is empty; accepted: text that is not empty'),
    ('name: x\npassages: {a: 3}\nprinciples: [a]',
     '2:15: a is 3; accepted: text, in quotes: "3"'),
    ("name: x\npassages: {'#a': t}\nprinciples: [a]",
     "2:18: invalid passage name '#a'; accepted: the anchor without '#' and without spaces"),
    ('name: x\npassages: {a b: t}\nprinciples: [a]',
     "2:17: invalid passage name 'a b'; accepted: the anchor without '#' and without spaces"),
    ('name: x\nlint_ignore: L101, L102\nprinciples: [a]',
     "2:14: lint_ignore is 'L101, L102'; accepted: a list: [L101, L102]"),
    ('name: x\nlint_ignore: [l101]\nprinciples: [a]',
     "2:15: entry 1 of lint_ignore is 'l101'; accepted: text that matches ^[A-Z][0-9]{3}$"),
    ('name: x\nprinciples:\n',
     '2:12: principles is empty; accepted: a list'),
    ('name: x\rprinciples:\r- 4\r',
     f'3:3: principle 1 is 4; accepted: {ENTRY}'),
]

# The keys of a principle.
PRINCIPLES: list[tuple[str, str] | tuple[str, str, str]] = [
    ('name: x\nsections: [safety, manner]\nprinciples: [{id: a, text: t, section: safty}]',
     "3:40: unknown section 'safty'; accepted: one of: safety, manner (did you mean 'safety'?)",
     CROSS),
    (ONE + '- id: a\n  text: u',
     "5:7: duplicate id 'a' (first in line 3); accepted: each id once",
     TWICE),
    (HEAD + '- id: No Harm\n  text: t',
     f"3:7: the id 'No Harm' is not in kebab-case; accepted: {KEBAB}"),
    (HEAD + '- id: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n  text: t',
     f"3:7: the id 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...' is not in kebab-case; "
     f"accepted: {KEBAB}"),
    (HEAD + '- id: 7\n  text: t',
     '3:7: id is 7; accepted: text, in quotes: "7"'),
    (HEAD + '- id: a',
     "3:3: the key 'text' is missing; accepted: a line 'text: ...'"),
    (HEAD + '- weight: 2',
     "3:3: the key 'text' is missing; accepted: a line 'text: ...'"),
    (HEAD + "- id: a\n  text: ' '",
     '4:9: text is empty; accepted: text that is not empty'),
    (ONE + '  wieght: 2',
     f"5:3: unknown key 'wieght'; accepted: one of: {KEYS} (did you mean 'weight'?)"),
    (ONE + '  weight: heavy',
     "5:11: weight is 'heavy'; accepted: a number of at least 0"),
    (ONE + '  weight: -0.5',
     '5:11: weight is -0.5; accepted: a number of at least 0'),
    (ONE + '  hard: true\n  weight: 0',
     "6:11: a principle with `hard: true` has weight 0, by which it is only measured; "
     "accepted: a weight of more than 0, or hard: false",
     CROSS),
    (ONE + '  weight: true',
     '5:11: weight is true; accepted: a number of at least 0'),
    (ONE + '  weight: .inf',
     '5:11: weight is inf; accepted: a finite number of at least 0',
     INFINITE),
    (ONE + '  hard: very',
     "5:9: hard is 'very'; accepted: true or false"),
    (HEAD + '- id:\n  text: t',
     '3:6: id is empty; accepted: text'),
    (HEAD + "- id: ''\n  text: t",
     f"3:7: the id '' is not in kebab-case; accepted: {KEBAB}"),
    (HEAD + '- id: [a]\n  text: t',
     '3:7: id is a list; accepted: text'),
    (HEAD + '- id: -a\n  text: t',
     f"3:7: the id '-a' is not in kebab-case; accepted: {KEBAB}"),
    (HEAD + '- id: a\n  text:',
     '4:8: text is empty; accepted: text'),
    (HEAD + '- id: a\n  text: 3',
     '4:9: text is 3; accepted: text, in quotes: "3"'),
    (HEAD + '- id: a\n  text: [t]',
     '4:9: text is a list; accepted: text'),
    (ONE + '  section: 3',
     '5:12: section is 3; accepted: text, in quotes: "3"'),
    (ONE + "  section: ''",
     '5:12: section is empty; accepted: text that is not empty'),
    (ONE + '  source: care',
     "5:11: 'care' is not a passage reference; "
     "accepted: '#' followed by the passage's anchor, without spaces"),
    (ONE + '  source: 3',
     '5:11: source is 3; accepted: text, in quotes: "3"'),
    (ONE + "  source: '#a b'",
     "5:11: '#a b' is not a passage reference; "
     "accepted: '#' followed by the passage's anchor, without spaces"),
    (ONE + "  source: '#care'",
     "5:11: unknown passage '#care'; accepted: an entry under passages, or a heading in a document",
     CROSS),
    (ONE + "  source: '#cares'\npassages: {care: Be kind.}\n",
     "5:11: unknown passage '#cares'; accepted: one of: #care (did you mean '#care'?)",
     CROSS),
    (ONE + '  hard: yes',
     "5:9: hard is 'yes'; accepted: true or false"),
    (ONE + '  hard: 1',
     '5:9: hard is 1; accepted: true or false'),
    (ONE + '  hard:',
     '5:8: hard is empty; accepted: true or false'),
    (ONE + '  antithesis: [a]',
     '5:15: antithesis is a list; accepted: text'),
    (ONE + "  antithesis: ''",
     '5:15: antithesis is empty; accepted: text that is not empty'),
    (ONE + '  critique: 1',
     '5:13: critique is 1; accepted: text, in quotes: "1"'),
    (ONE + '  revision: {a: b}',
     '5:13: revision is a mapping; accepted: text'),
    (ONE + '  comparison: false',
     '5:15: comparison is false; accepted: text, in quotes: "false"'),
    (ONE + '  weight: -1',
     '5:11: weight is -1; accepted: a number of at least 0'),
    (ONE + '  weight: .nan',
     '5:11: weight is nan; accepted: a finite number of at least 0',
     INFINITE),
    (ONE + "  weight: '2'",
     "5:11: weight is '2'; accepted: a number of at least 0"),
    (ONE + '  weight:',
     '5:10: weight is empty; accepted: a number of at least 0'),
    (ONE + '  weight: 1e999',
     '5:11: weight is inf; accepted: a finite number of at least 0',
     INFINITE),
    (ONE + '  lint_ignore: [101]',
     '5:17: entry 1 of lint_ignore is 101; accepted: text, in quotes: "101"'),
    (ONE + "  lint_ignore: ['L1']",
     "5:17: entry 1 of lint_ignore is 'L1'; accepted: text that matches ^[A-Z][0-9]{3}$"),
    (ONE + '  <<: {weight: 3}',
     f"5:3: unknown key '<<'; accepted: one of: {KEYS}"),
    (HEAD + '- id: “a”\n  text: t',
     f"3:7: the id '“a”' is not in kebab-case; accepted: {KEBAB}"),
    ('name: x\r\nprinciples:\r\n- id: a\r\n  text: t\r\n  weight: x\r\n',
     "5:11: weight is 'x'; accepted: a number of at least 0"),
]

# `applies_to` and `except`.
SCOPES: list[tuple[str, str] | tuple[str, str, str]] = [
    (ONE + "  applies_to: {tags: 'red, blue'}",
     "5:22: tags is 'red, blue'; accepted: a list: [red, blue]"),
    (ONE + "  applies_to: {pattern: 'a**'}",
     f"5:25: the pattern 'a**' is invalid at character 3: multiple repeat; accepted: {PATTERN}",
     REGEX),
    (ONE + '  applies_to: [red]',
     '5:15: applies_to is a list; accepted: a mapping with the keys: tags, pattern'),
    (ONE + '  applies_to: {tag: [red]}',
     "5:16: unknown key 'tag'; accepted: one of: tags, pattern (did you mean 'tags'?)"),
    (ONE + '  applies_to: {tags: [1]}',
     '5:23: entry 1 of tags is 1; accepted: text, in quotes: "1"'),
    (ONE + '  applies_to: {pattern: 3}',
     '5:25: pattern is 3; accepted: text, in quotes: "3"'),
    (ONE + "  applies_to: {pattern: ''}",
     '5:25: pattern is empty; accepted: text that is not empty'),
    (ONE + "  applies_to: {pattern: '[[a]'}",
     f"5:25: the pattern '[[a]' is invalid: Possible nested set at position 1; accepted: {PATTERN}",
     REGEX),
    (ONE + "  applies_to: {pattern: 'a{99999999999}'}",
     f"5:25: the pattern 'a{{99999999999}}' cannot be used: the repetition number is too large; "
     f"accepted: {PATTERN}",
     REGEX),
    (ONE + '  except: quiz',
     "5:11: except is 'quiz'; accepted: a mapping with the keys: tags, pattern"),
    (ONE + '  except: {tags: [a], patern: b}',
     "5:23: unknown key 'patern'; accepted: one of: tags, pattern (did you mean 'pattern'?)"),
    (ONE + "  except: {pattern: '('}",
     f"5:21: the pattern '(' is invalid at character 1: missing ), unterminated subpattern; "
     f"accepted: {PATTERN}",
     REGEX),
]

# `examples`.
EXAMPLES: list[tuple[str, str] | tuple[str, str, str]] = [
    (ONE + '  examples: [{prompt: p, good: g}]',
     "5:14: the key 'bad' is missing; accepted: a line 'bad: ...'"),
    (ONE + '  examples: [{prompt: p, good: g, bad: b, use: tests}]',
     "5:48: use is 'tests'; accepted: one of: test, few_shot (did you mean 'test'?)"),
    (ONE + '  examples: {prompt: p, good: g, bad: b}',
     '5:13: examples is a mapping; accepted: a list'),
    (ONE + '  examples: [p]',
     "5:14: entry 1 of examples is 'p'; accepted: a mapping with the keys: prompt, good, bad, why, use"),
    (ONE + '  examples: [{prompt: p, good: g, bad: b, reason: r}]',
     "5:43: unknown key 'reason'; accepted: one of: prompt, good, bad, why, use"),
    (ONE + "  examples: [{prompt: '', good: g, bad: b}]",
     '5:23: prompt is empty; accepted: text that is not empty'),
    (ONE + '  examples: [{prompt: p, good: 1, bad: b}]',
     '5:32: good is 1; accepted: text, in quotes: "1"'),
    (ONE + '  examples: [{prompt: p, good: g, bad: [b]}]',
     '5:40: bad is a list; accepted: text'),
    (ONE + '  examples: [{prompt: p, good: g, bad: b, why: 2}]',
     '5:48: why is 2; accepted: text, in quotes: "2"'),
]

# `check`.
CHECKS: list[tuple[str, str] | tuple[str, str, str]] = [
    (ONE + '  check: 60',
     '5:10: check is 60; accepted: a mapping such as {kind: max_words, value: 60}'),
    (ONE + '  check: no emojis',
     "5:10: check is 'no emojis'; accepted: check: {kind: not_regex, "
     r"value: '[\u2600-\u27BF\u2B50\U0001F000-\U0001FAFF]'}"),
    (ONE + '  check: be kind',
     "5:10: check is 'be kind'; accepted: a mapping such as {kind: max_words, value: 60}"),
    (ONE + '  check: {max_words: 80}',
     "5:10: the key 'kind' is missing; accepted: check: {kind: max_words, value: 80}"),
    (ONE + '  max_words: 80',
     "5:3: unknown key 'max_words'; accepted: check: {kind: max_words, value: 80}"),
    (ONE + '  kind: max_words\n  value: 80',
     "5:3: unknown key 'kind'; accepted: check: {kind: max_words, value: 80}"),
    (ONE + '  checks: [{kind: max_words, value: 80}]',
     "5:3: unknown key 'checks'; accepted: check: {kind: max_words, value: 80}"),
    (ONE + '  check: {kind: not_contains, value: [sorry]}',
     "5:17: kind is 'not_contains'; accepted: check: {kind: contains_none, value: [sorry]}"),
    (ONE + '  check: {kind: not_json, value: {}}',
     f"5:17: kind is 'not_json'; accepted: {KINDS}"),
    (ONE + '  check: {kind: max_word, value: 3}',
     "5:17: kind is 'max_word'; accepted: check: {kind: max_words, value: 3}"),
    (ONE + '  check: {value: 3}',
     "5:10: the key 'kind' is missing; accepted: a line 'kind: ...'"),
    (ONE + '  check: {kind: max_words, max: 3, value: 3}',
     "5:28: unknown key 'max'; accepted: check: {kind: max_words, value: 3}"),
    (ONE + '  check: {kind: max_words, value: 0}',
     '5:35: value is 0; accepted: a whole number of at least 1'),
    (ONE + '  check: {kind: max_words, value: 2.5}',
     '5:35: value is 2.5; accepted: a whole number of at least 1'),
    (ONE + "  check: {kind: regex, value: 'a(b'}",
     f"5:31: the pattern 'a(b' is invalid at character 2: missing ), unterminated subpattern; "
     f"accepted: {PATTERN}",
     REGEX),
    (ONE + '  check: {kind: contains, value: []}',
     '5:34: value is empty; accepted: a list of at least 1 entry'),
    (ONE + "  check: {kind: contains, value: [a, '']}",
     '5:38: entry 2 of value is empty; accepted: check: {kind: contains, value: [a]}'),
    (ONE + '  check: {kind: max_words}',
     "5:10: the key 'value' is missing; accepted: a line such as check: {kind: max_words, value: 60}"),
    (ONE + "  check: {kind: min_words, value: '5'}",
     "5:35: value is '5'; accepted: check: {kind: min_words, value: 5}"),
    (ONE + '  check: [max_words, 3]',
     '5:10: check is a list; accepted: check: {kind: max_words, value: 3}'),
    (ONE + '  check: {kind: 3, value: 3}',
     f"5:17: kind is '3'; accepted: {KINDS}"),
    (ONE + '  check: {kind: }',
     f"5:17: kind is empty; accepted: {KINDS}"),
    (ONE + "  check: {kind: not_regex, value: 'a)'}",
     f"5:35: the pattern 'a)' is invalid at character 2: unbalanced parenthesis; accepted: {PATTERN}",
     REGEX),
    (ONE + "  check: {kind: contains, value: 'a, b'}",
     "5:34: value is 'a, b'; accepted: check: {kind: contains, value: [a, b]}"),
    (ONE + '  check: {kind: contains_none, value: [1]}',
     '5:40: entry 1 of value is 1; accepted: check: {kind: contains_none, value: ["1"]}'),
    (ONE + '  check: {kind: max_words, value: true}',
     '5:35: value is true; accepted: a whole number of at least 1'),
]

# `extends`, `remove` and `document`, as far as one file can get them wrong.
BASES: list[tuple[str, str] | tuple[str, str, str]] = [
    ('name: x\nextends: 3\nprinciples: [a]',
     '2:10: extends is 3; accepted: text, in quotes: "3"'),
    ('name: x\nextends: [harmless]\nprinciples: [a]',
     '2:10: extends is a list; accepted: text'),
    ("name: x\nextends: ' '\nprinciples: [a]",
     '2:10: extends is empty; accepted: text that is not empty'),
    ('name: x\nextends:\nprinciples: [a]',
     '2:9: extends is empty; accepted: text'),
    ('extends: harmless\n',
     "1:1: the key 'name' is missing; accepted: a line 'name: ...'"),
    ('name: x\nremove: [a]\nprinciples: [a]',
     "2:1: remove requires extends; accepted: a line 'extends: ...' as well"),
    ('name: x\nextends: harmless\nremove: no-harm, no-lies',
     "3:9: remove is 'no-harm, no-lies'; accepted: a list: [no-harm, no-lies]"),
    ('name: x\nextends: harmless\nremove: [3]',
     '3:10: entry 1 of remove is 3; accepted: text, in quotes: "3"'),
    ('name: x\nextends: harmless\nremove: [No Harm]',
     f"3:10: the id 'No Harm' is not in kebab-case; accepted: {KEBAB}"),
    ('name: x\ndocument: 3\nprinciples: [a]',
     '2:11: document is 3; accepted: text, in quotes: "3"'),
    ("name: x\ndocument: ''\nprinciples: [a]",
     '2:11: document is empty; accepted: text that is not empty'),
]

# No YAML of the kind that is read.
YAML: list[tuple[str, str] | tuple[str, str, str]] = [
    ('~',
     '1:1: the file is empty; accepted: a YAML mapping or list'),
    (HEAD + "- !!python/object/apply:os.system ['x']",
     "3:3: '!!python/object/apply:os.system' is YAML syntax that is not supported; "
     "accepted: no tags; quotes around a text that begins with !"),
    ('name: !!str x\nprinciples: [a]',
     "1:7: '!!str' is YAML syntax that is not supported; accepted: no tags; "
     "quotes around a text that begins with !"),
    ('name: &n x\nprinciples: [a]',
     "1:7: '&n' is YAML syntax that is not supported; accepted: no anchors and aliases; "
     "quotes around a text that begins with &"),
    (HEAD + '- *n',
     "3:3: '*n' is YAML syntax that is not supported; accepted: no anchors and aliases; "
     "quotes around a text that begins with *"),
    (ONE + '  true: 3',
     '5:3: a key is true; accepted: text, in quotes: "true"'),
    ('name: x\n: y\nprinciples: [a]',
     "2:1: not valid YAML: while parsing a block mapping, did not find expected key; "
     "accepted: equal indentation for entries of the same level, "
     "and quotes around a text that contains ': ' or begins with a special character"),
    ('name: x\n? [a]\n: y\nprinciples: [a]',
     '2:3: a key is a list; accepted: text; quotes around a text that begins with { or ['),
    ('name: x\nname: y\nprinciples: [a]',
     "2:1: duplicate key 'name' (first in line 1); accepted: each key once"),
    (ONE + '  text: u',
     "5:3: duplicate key 'text' (first in line 4); accepted: each key once"),
    ('name: x\nprinciples: [a]\n---\nname: y\n',
     "3:1: a second document begins; accepted: one document per file, without a line '---'"),
    ('',
     '1:1: the file is empty; accepted: a YAML mapping or list'),
    ('# a\n# b\n',
     '1:1: the file is empty; accepted: a YAML mapping or list'),
    ('---\n',
     '1:1: the file is empty; accepted: a YAML mapping or list'),
    (HEAD + '\t- a',
     '3:1: not valid YAML: while scanning for the next token, '
     'found character that cannot start any token; accepted: spaces for indentation, no tabs'),
    ('name:\tx\nprinciples:\n- a\n\t- b',
     '3:3: not valid YAML: while scanning a plain scalar, '
     'found a tab character that violates indentation; accepted: spaces for indentation, no tabs'),
    ('name: x\nprinciples: [a, b\n',
     "2:13: not valid YAML: while parsing a flow sequence, did not find expected ',' or ']'; "
     "accepted: a matching closing character for [, or quotes around the whole text"),
    (HEAD + "- 'a\n- b\n",
     "3:3: not valid YAML: while scanning a quoted scalar, found unexpected end of stream; "
     "accepted: a matching closing character for ', or quotes around the whole text"),
    (ONE + '  check: {kind: max_words\n',
     "5:10: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'; "
     "accepted: a matching closing character for {, or quotes around the whole text"),
    ('name: x\n principles:\n - a',
     "2:12: not valid YAML: mapping values are not allowed in this context; "
     "accepted: quotes around a text that contains ': ', "
     "and equal indentation for entries of the same level"),
    (ONE + ' weight: 2',
     "5:2: not valid YAML: while parsing a block mapping, did not find expected key; "
     "accepted: equal indentation for entries of the same level, "
     "and quotes around a text that contains ': ' or begins with a special character"),
    (HEAD + '  - a\n - b',
     "4:2: not valid YAML: while parsing a block mapping, did not find expected key; "
     "accepted: equal indentation for entries of the same level, "
     "and quotes around a text that contains ': ' or begins with a special character"),
    ('name: x: y\nprinciples: [a]',
     "1:8: not valid YAML: mapping values are not allowed in this context; "
     "accepted: quotes around a text that contains ': ', "
     "and equal indentation for entries of the same level"),
    (HEAD + '- @a',
     '3:3: not valid YAML: while scanning for the next token, '
     'found character that cannot start any token; accepted: quotes around a text that begins with @'),
    (HEAD + '- `a`',
     '3:3: not valid YAML: while scanning for the next token, '
     'found character that cannot start any token; accepted: quotes around a text that begins with `'),
    ('%FOO\nname: x',
     '1:1: not valid YAML: while scanning a directive, found unknown directive name; '
     'accepted: quotes around a text that begins with %'),
    (HEAD + '- *very* kind',
     '3:3: not valid YAML: while scanning an alias, '
     'did not find expected alphabetic or numeric character; '
     'accepted: quotes around a text that begins with *'),
    ('name: {{ x }}\nprinciples: [a]',
     '1:8: a key is a mapping; accepted: text; quotes around a text that begins with { or ['),
    (HEAD + '- a\x07b',
     '3:4: the character U+0007 is not allowed in YAML; accepted: printable text'),
    (HEAD + '- a\x00b',
     '3:4: the character U+0000 is not allowed in YAML; accepted: printable text'),
    (HEAD + '- a\u2028b',
     '3:4: the character U+2028 is not allowed in YAML; accepted: printable text'),
    (HEAD + '- "a\\0b"',
     '3:3: an escape in this text gives the character U+0000, which is not allowed; '
     'accepted: text without this escape'),
    (HEAD + '- "a\\qb"',
     "3:5: not valid YAML: while parsing a quoted scalar, found unknown escape character; "
     "accepted: '\\\\' for a backslash in double quotes, or single quotes around the text"),
    (HEAD + '- "a\\ud800b"',
     "3:7: not valid YAML: while parsing a quoted scalar, found invalid Unicode character escape code; "
     "accepted: equal indentation for entries of the same level, "
     "and quotes around a text that contains ': ' or begins with a special character"),
    ('name: x\nprinciples: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[',
     '2:44: this value is nested too deeply; accepted: at most 32 levels'),
    ('[' * 100000,
     '1:33: this value is nested too deeply; accepted: at most 32 levels'),
    ('{a: ' * 40,
     '1:129: this value is nested too deeply; accepted: at most 32 levels'),
]

# No text.
ENCODING: list[tuple[bytes, str]] = [
    ('name: x'.encode('utf-16'),
     f'1:1: the byte 0xff is not UTF-8: the file is UTF-16; accepted: {SAVED_AS_UTF8}'),
    (b'n\x00a\x00m\x00e\x00:\x00 \x00x\x00',
     '1:2: the character U+0000 is not allowed in YAML; accepted: printable text'),
    (b'name: caf\xe9\nprinciples: [a]',
     f'1:10: the byte 0xe9 is not UTF-8; accepted: {SAVED_AS_UTF8}'),
    (b'\xef\xbb\xbfname: x\nprinciples: [3]',
     f'2:14: principle 1 is 3; accepted: {ENTRY}'),
    (b'\xef\xbb\xbf\xef\xbb\xbfname: x\nprinciples: [3]',
     f'2:14: principle 1 is 3; accepted: {ENTRY}'),
    (b'name: x\nprinciples: [\xe2\x82',
     f'2:14: the byte 0xe2 is not UTF-8; accepted: {SAVED_AS_UTF8}'),
    (b'name: \xc0\xaf',
     f'1:7: the byte 0xc0 is not UTF-8; accepted: {SAVED_AS_UTF8}'),
]
# fmt: on

OF_THE_FORM = [*LISTS, *TOP, *PRINCIPLES, *SCOPES, *EXAMPLES, *CHECKS, *BASES]
MALFORMED = [*OF_THE_FORM, *YAML, *ENCODING]
