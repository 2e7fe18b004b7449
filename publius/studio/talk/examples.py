"""An example of a principle, written into the text of a constitution file; comments and form are kept."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from constitution.file_form import as_mapping
from constitution.ids import id_from
from core.errors import DataError
from core.text.explain import Loc
from core.text.yaml_file import Mark, YamlDocument, parse_yaml

_FIELDS = ("prompt", "good", "bad")
_UNUSABLE = re.compile("[\0\x85\u2028\u2029\ud800-\udfff]")
"""Characters that a constitution cannot contain."""
_CONTROL = re.compile("[\x7f-\x9f\ufeff\ufffe\uffff]")
"""Characters that YAML allows as an escape only, and JSON as they are."""


def with_example(text: str, path: Path, principle: str, prompt: str, good: str, bad: str) -> str:
    """Return a constitution's text with one more example of a principle.

    Lines are inserted, and no other line is changed.

    Args:
        text: the text of the file.
        path: the file, for messages.
        principle: id of the principle.
        prompt: the user's message.
        good: the answer that follows the principle.
        bad: the answer that violates it.

    Raises:
        ConfigError: the text is not valid YAML.
        DataError: the file does not have the principle itself, or an example does not fit its form.
    """
    document = as_mapping(parse_yaml(text, path))
    number, entry = _principle(document, principle, path)
    texts = (_UNUSABLE.sub(" ", one) for one in (prompt, good, bad))
    example = dict(zip(_FIELDS, texts, strict=True))
    result = _in_brackets(text, number, example)
    if result is None:
        lines = text.split("\n")
        end, column = _place(document, lines, number, entry)
        added = _item(column, example)
        if "examples" not in entry:
            added.insert(0, f"{' ' * (column - 2)}examples:")
        result = "\n".join([*lines[:end], *added, *lines[end:]])
    _require_added(document, as_mapping(parse_yaml(result, path)), number, example)
    return result


def principle_ids(text: str, path: Path) -> list[str]:
    """Return the ids of the principles that a file itself has. Raises ConfigError if it is not valid YAML."""
    value = as_mapping(parse_yaml(text, path)).value
    entries = value.get("principles") if isinstance(value, dict) else None
    return [name for entry in entries or () if (name := _id_of(entry))]


def _principle(document: YamlDocument, principle: str, path: Path) -> tuple[int, dict[str, Any]]:
    """Return the number and the mapping of a principle."""
    value = document.value
    entries = value.get("principles") if isinstance(value, dict) else None
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        if _id_of(entry) == principle:
            if isinstance(entry, dict):
                return number, entry
            raise DataError(
                f"the principle '{principle}' is written as a sentence, which cannot have examples",
                where=document.where(("principles", number)),
                accepted="- id: ... and text: ... on lines of their own",
            )
    raise DataError(
        f"{path.name} has no principle '{principle}' of its own",
        accepted="a principle of this file; one of a base file can have examples there",
    )


def _in_brackets(text: str, number: int, example: Mapping[str, str]) -> str | None:
    """Return the text with an example in a principle or a list of examples written in brackets, else None."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    entries = _child(root, "principles") if isinstance(root, yaml.MappingNode) else root
    principle = entries.value[number] if isinstance(entries, yaml.SequenceNode) else None
    if not isinstance(principle, yaml.MappingNode):
        return None
    written = "{" + ", ".join(f"{name}: {_quoted(value)}" for name, value in example.items()) + "}"
    examples = _child(principle, "examples")
    if isinstance(examples, yaml.SequenceNode) and examples.flow_style:
        node: yaml.Node = examples
        added = written if not examples.value else f", {written}"
    elif examples is None and principle.flow_style:
        node = principle
        added = f", examples: [{written}]"
    else:
        return None
    end = node.end_mark.index - 1  # of the closing bracket
    before = text[:end].rstrip()
    return (before.removesuffix(",") if added.startswith(",") else before) + added + text[end:]


def _child(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in node.value if name.value == key), None)


def _place(
    document: YamlDocument, lines: list[str], number: int, entry: Mapping[str, Any]
) -> tuple[int, int]:
    """Return the number of lines before a new example, and the column of its dash, from 0."""
    loc: Loc = ("principles", number)
    mark = document.mark(loc)
    if "examples" not in entry:
        column = mark.column - 1
        if not _is_flow(lines, mark):
            return _end_of_block(lines, mark.line, lambda line, indent: indent >= column), column + 2
    elif isinstance(entry["examples"], list) and entry["examples"]:
        opening, first = document.mark((*loc, "examples")), document.mark((*loc, "examples", 0))
        dash = lines[first.line - 1].rfind("-", 0, first.column - 1)
        if dash >= 0 and not (_is_flow(lines, mark) or _is_flow(lines, opening)):
            end = _end_of_block(
                lines, first.line, lambda line, indent: indent > dash or line.startswith("-", dash)
            )
            return end, dash
    raise DataError(
        "this principle is written in a way that an example does not fit into",
        where=document.where(loc),
        accepted="its fields, and each of its examples, on lines of their own",
    )


def _is_flow(lines: list[str], mark: Mark) -> bool:
    return lines[mark.line - 1][mark.column - 1 : mark.column] in ("{", "[")


def _id_of(entry: object) -> str | None:
    if isinstance(entry, str):
        return id_from(entry)
    if not isinstance(entry, dict):
        return None
    given = entry.get("id")
    text = entry.get("text")
    return given if isinstance(given, str) else id_from(text) if isinstance(text, str) else None


def _end_of_block(lines: list[str], start: int, belongs: Callable[[str, int], bool]) -> int:
    """Return the number of lines up to the last one of the block that begins on a line, counted from 1.

    Blank lines and comments at its end are not part of it.
    """
    end = start
    for number, line in enumerate(lines[start:], start + 1):
        if line.strip() and not line.lstrip().startswith("#"):
            if not belongs(line, len(line) - len(line.lstrip(" "))):
                break
            end = number
    return end


def _item(column: int, example: Mapping[str, str]) -> list[str]:
    """Return the lines of a list entry; texts are in double quotes, as JSON, which is YAML."""
    lines = [f"{' ' * (column + 2)}{name}: {_quoted(value)}" for name, value in example.items()]
    return [f"{' ' * column}- {lines[0].lstrip()}", *lines[1:]]


def _require_added(
    before: YamlDocument, after: YamlDocument, number: int, example: Mapping[str, str]
) -> None:
    """Raise DataError unless the example is the only difference between two documents."""
    expected = copy.deepcopy(before.value)
    expected["principles"][number].setdefault("examples", []).append(dict(example))
    if after.value != expected:
        raise DataError(
            "the example does not fit into the file as it is written",
            where=before.where(("principles", number)),
            accepted="an example that is typed into the file",
        )


def _quoted(value: str) -> str:
    quoted = json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
