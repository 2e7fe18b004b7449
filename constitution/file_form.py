"""Normalisation of the short forms of a constitution file to the full form, which the models validate.

Three forms are accepted and may be mixed: a list of sentences, a mapping whose principles are sentences, and
the full form of `constitution.file_schema`. A single text is accepted in place of a list of texts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from constitution.checks.kinds import KINDS_OF_PHRASES
from constitution.ids import id_from, unique
from constitution.schema import Principle
from core.errors import ConfigError, shell_command
from core.text.explain import Loc, Misfit, key_names, yaml_line
from core.text.yaml_file import YamlDocument

_RUN_FILE_KEYS = frozenset(
    (
        "prompts",
        "models",
        "engine",
        "train",
        "critique",
        "compare",
        "label",
        "sft",
        "dpo",
        "eval",
        "lora",
        "seed",
    )
)
_ENTRY = f"a sentence, or a mapping with the keys: {', '.join(key_names(Principle))}"


def as_mapping(document: YamlDocument) -> YamlDocument:
    """Return the document as a mapping; a bare list is moved under the key `principles`, marks included.

    Raises:
        ConfigError: The document is neither a list nor a mapping.
    """
    if isinstance(document.value, list):
        inner: Loc = ("principles",)
        return replace(
            document,
            value={"name": document.path.stem, "principles": document.value},
            marks={(): document.mark(), **{inner + loc: mark for loc, mark in document.marks.items()}},
            key_marks={inner + loc: mark for loc, mark in document.key_marks.items()},
            written={inner + loc: text for loc, text in document.written.items()},
        )
    if isinstance(document.value, dict) and _is_run_file(document.value):
        named = document.value.get("constitution")
        theirs = f", such as the one that it names, {yaml_line(named)}" if isinstance(named, str) else ""
        raise ConfigError(
            "this is a run file, not a constitution",
            where=document.where(),
            accepted=f"a constitution{theirs}",
            run=shell_command("publius", "check", "--run", document.path),
        )
    if not isinstance(document.value, dict):
        accepted = "a mapping with the keys name and principles, or a list of sentences"
        raise ConfigError(
            f"the file is {yaml_line(document.value)}", where=document.where(), accepted=accepted
        )
    return document


def _is_run_file(value: Mapping[str, object]) -> bool:
    """Return whether a mapping is a run file, which names a constitution or says how to train."""
    if "principles" in value or "extends" in value:
        return False
    return "constitution" in value or len(_RUN_FILE_KEYS & value.keys()) > 1


def written_out(document: YamlDocument, taken: Collection[str] = ()) -> YamlDocument:
    """Return the document in full form. Invalid entries are left unchanged for the models to reject.

    Args:
        document: A document whose value is a mapping.
        taken: Ids that a sentence must not get, in addition to those in the document.
    """
    value = dict(document.value)
    version = value.get("version")
    if isinstance(version, int | float) and not isinstance(version, bool):
        value["version"] = document.written["version",]  # the version 1.10 must not become the number 1.1
    for key in ("sections", "lint_ignore", "remove"):
        value.update(_as_list(value, key))
    if isinstance(value.get("principles"), list):
        value["principles"] = _principles_written_out(value["principles"], taken)
    return replace(document, value=value)


def _principles_written_out(entries: list[object], others: Collection[str]) -> list[object]:
    """Return the entries with sentences converted to mappings and missing ids generated."""
    taken = {entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)}
    taken.update(others)
    tried: dict[str, int] = {}
    written: list[object] = []
    for entry in entries:
        full = {"text": entry} if isinstance(entry, str) and entry.strip() else entry
        if isinstance(full, dict) and "id" not in full:
            full = {"id": unique(id_from(str(full.get("text", ""))), taken, tried), **full}
            taken.add(full["id"])
        written.append(_lists_written_out(full) if isinstance(full, dict) else full)
    return written


def _lists_written_out(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a principle with a single text in place of a list as a list of one."""
    full = {**entry, **_as_list(entry, "lint_ignore")}
    for key in ("applies_to", "except"):
        if isinstance(entry.get(key), dict):
            full[key] = {**entry[key], **_as_list(entry[key], "tags")}
    check = entry.get("check")
    if isinstance(check, dict) and check.get("kind") in KINDS_OF_PHRASES:
        full["check"] = {**check, **_as_list(check, "value")}
    return full


def _as_list(mapping: Mapping[str, Any], key: str) -> dict[str, list[str]]:
    """Return the key with its text as a list of one; nothing if it has no text, or one with commas.

    Between commas there may be several texts, so a list is asked for.
    """
    value = mapping.get(key)
    return {key: [value]} if isinstance(value, str) and value.strip() and "," not in value else {}


def misfit_entries(document: YamlDocument) -> Iterator[Misfit]:
    """Yield the mistakes of principles that are not in full form, in a document as read."""
    entries = document.value.get("principles")
    sentences: dict[str, Loc] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        loc: Loc = ("principles", index)
        if isinstance(entry, str) and entry.strip():
            words = " ".join(entry.split())
            if sentences.setdefault(words, loc) != loc:
                what = f"duplicate sentence {yaml_line(words)}"
                yield Misfit(loc, what, "each sentence once", first=sentences[words])
        elif isinstance(entry, dict):
            yield from _sentence_with_colon(entry, loc)
            if "source" in entry and document.written.get((*loc, "source")) == "":
                accepted = "the anchor in quotes, as in \"#refunds\": without quotes '#' begins a comment"
                yield Misfit((*loc, "source"), "source is empty", accepted, on_key=True)
        else:
            what = "empty" if isinstance(entry, str) else yaml_line(entry)
            yield Misfit(loc, f"principle {index + 1} is {what}", _ENTRY)


def _sentence_with_colon(entry: Mapping[str, object], loc: Loc) -> Iterator[Misfit]:
    """Yield a misfit for a sentence that YAML parsed as a mapping because it contains a colon."""
    key = next(iter(entry), "")
    if len(entry) == 1 and (" " in key or key[:1].isupper()):
        what = f"the colon after {yaml_line(key)} makes the sentence a key and a value"
        yield Misfit(loc, what, "quotes around a sentence that contains ': '")
