"""Good constitutions of one file and of several, the first file the one that is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FULL = """\
# A comment.
name: full
version: 1.10
preamble: |
  Some prose.
priority: strict
sections: [safety, manner]
principles:
  - id: no-harm
    section: safety
    text: >
      The reply does
      no harm.
    hard: true
    antithesis: The reply does harm.
    weight: 2
    applies_to: {tags: [red-team, no], pattern: "(?i)how"}
    examples:
      - {prompt: p, good: g, bad: b, why: w, use: few_shot}
  - id: brief
    section: manner
    text: The reply is brief.
    check: {kind: max_words, value: 60}
"""

ALL_KEYS = """\
name: all
sections: [safety]
passages:
  care: |
    Be careful with people.
  unused: Nothing names this.
lint_ignore: [L101]
principles:
  - id: kind
    text: The reply is kind.
    section: safety
    source: "#care"
    hard: false
    antithesis: The reply is unkind.
    critique: Where is the reply unkind?
    revision: Make the reply kind.
    comparison: Which reply is kinder?
    weight: 0.5
    applies_to: {tags: [chat]}
    except: {pattern: joke}
    examples: [{prompt: p, good: g, bad: b}]
    lint_ignore: [L102]
  - text: The reply says what it does not know.
  - The reply is plain.
"""

BASE = """\
name: base
version: 3
preamble: From the base.
sections: [safety, manner]
document: rules.md
lint_ignore: [L101]
principles:
  - {id: kind, text: The reply is kind., section: safety, source: "#avoiding-harm", weight: 2, hard: true}
  - {id: brief, text: The reply is brief., section: manner, examples: [{prompt: p, good: g, bad: b}]}
  - The reply is honest about doubts.
"""

RULES = """\
# Rules

Before all.

## Avoiding harm

Never hurt anybody.

### In particular

Not even a little.

## Manner {#how}

Speak plainly.
"""

CHILD = """\
name: child
extends: base.yaml
remove: [brief]
principles:
  - id: kind
    weight: null
    antithesis: The reply is unkind.
  - id: plain
    text: The reply is plain.
    source: "#how"
  - The reply is honest about doubts.
"""

WELL_FORMED: dict[str, dict[str, str]] = {
    "list": {"house-rules.yaml": "- The reply is kind.\n- {text: The reply is brief., weight: 2}\n"},
    "sentences": {"a.yaml": "name: x\nprinciples: [The reply is kind.]\n"},
    "full": {"a.yaml": FULL},
    "all keys": {"a.yaml": ALL_KEYS},
    "numbered version": {"a.yaml": "name: x\nversion: 2\nprinciples: [a]\n"},
    "empty texts": {"a.yaml": "name: x\nversion: ''\npreamble: ''\nprinciples: [a]\nsections: []\n"},
    "document": {"a.yaml": BASE, "rules.md": RULES},
    "extended": {"child.yaml": CHILD, "base.yaml": BASE, "rules.md": RULES},
    "extended twice": {
        "a.yaml": "name: a\nextends: child.yaml\npreamble: ''\nprinciples: [{id: plain, source: null}]\n",
        "child.yaml": CHILD,
        "base.yaml": BASE,
        "rules.md": RULES,
    },
    "of a list": {"a.yaml": "name: a\nextends: b.yaml\nprinciples: []\n", "b.yaml": "- The reply is kind.\n"},
    "renamed": {"a.yaml": "name: a\nextends: b.yaml\n", "b.yaml": "- The reply is kind.\n"},
}


def write_all(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files into a folder and return the path of the first."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / next(iter(files))
