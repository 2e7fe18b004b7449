r"""Importer for the files released with the paper "Constitutional AI" (Bai et al. 2022, arXiv 2212.08073).

    CritiqueRevisionInstructions.json    16 pairs of a critique and a revision request, by name
    RLMadisonInstructions.json           16 comparison requests, without names
    CritiqueRevisionFewShotPrompts.json  transcripts with critique and revision
    RLMadisonFewShotPrompts.json         prompts, each with a good and a bad answer
    RLMadisonPrecogFewShotPrompts.json   the same with step-by-step reasoning, for another labeler

The texts are formatted for a base language model: `\n\nCritiqueRequest: ... \n\nCritique:`. This module
strips the affixes around a request, and `constitution.importers.anthropic_export` adds them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from constitution.importers.few_shots import SEVERAL_TURNS, Revised, attach_revision
from constitution.importers.reading import Reading, Shot
from constitution.importers.source import ForeignFile
from core.text.explain import yaml_line

REQUESTS = "CritiqueRevisionInstructions.json"
COMPARISONS = "RLMadisonInstructions.json"
TRANSCRIPTS = "CritiqueRevisionFewShotPrompts.json"
PAIRS = "RLMadisonFewShotPrompts.json"
REASONED = "RLMadisonPrecogFewShotPrompts.json"
FILES = (REQUESTS, COMPARISONS, TRANSCRIPTS, PAIRS, REASONED)
"""File names in reading order. Few-shots come last because they are attached to principles."""


class Affixes(NamedTuple):
    """Prefix and suffix of a text in the paper's files."""

    before: str
    after: str

    def around(self, text: str) -> str:
        """Return the text with its affixes, as the files have it."""
        return f"{self.before}{text}{self.after}"


CRITIQUE = Affixes("\n\nCritiqueRequest: ", "\n\nCritique:")
REVISION = Affixes("\n\nRevisionRequest: ", "\n\nRevision:")
COMPARISON = Affixes("\n", " Options:")
PROMPT = Affixes("\n\nHuman: ", "\n\nAssistant:")

_TURN = re.compile(r"\n\n(Human|Assistant|CritiqueRequest|Critique|RevisionRequest|Revision):")
_REVISED = ["Human", "Assistant", "CritiqueRequest", "Critique", "RevisionRequest", "Revision"]


class AnthropicFiles:
    """The files of the paper: a single file, or the folder that contains them."""

    name = "anthropic"
    summary = "the Constitutional AI paper's files, or the folder that holds them"
    takes_columns = False

    def recognises(self, file: ForeignFile) -> str | None:
        """Return the reason why a file looks like one of the paper's; None if it does not."""
        if file.name in FILES:
            return f"it is called {file.name}"
        value = file.value if file.structured else None
        if isinstance(value, dict) and any(_is_request(entry) for entry in value.values()):
            return "its entries have prompt and edit_request"
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(first, str) and first.rstrip().endswith(COMPARISON.after):
            return f"its texts end in {COMPARISON.after.strip()}"
        return "its texts have CritiqueRequest:" if _is_transcript(first) else None

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Add the principles or few-shots of one file to `reading`."""
        value = file.value
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(value, dict):
            for key, entry in value.items():
                _request(key, entry, file, reading)
        elif _is_transcript(first):
            _each(file, reading, _transcript)
        elif isinstance(first, str):
            _each(file, reading, _comparison)
        elif isinstance(first, dict):
            _each(file, reading, _few_shot)
        else:
            accepted = f"one of the paper's files: {', '.join(FILES)}"
            reading.refuse(f"the file is {yaml_line(value)}", file.where(), accepted)


def _is_request(entry: object) -> bool:
    return isinstance(entry, dict) and {"prompt", "edit_request"} <= entry.keys()


def _is_transcript(text: object) -> bool:
    return isinstance(text, str) and "\n\nCritiqueRequest:" in text and "\n\nHuman:" in text


def _each(file: ForeignFile, reading: Reading, read: Any) -> None:
    for index, entry in enumerate(file.value):
        read(entry, file.where(index), reading)


def _request(name: str, entry: object, file: ForeignFile, reading: Reading) -> None:
    """Add a principle with a critique request and its revision request."""
    if not isinstance(entry, Mapping):
        reading.refuse(
            f"{name} is {yaml_line(entry)}", file.where(name), "an object with prompt and edit_request"
        )
        return
    prompts = entry.get("prompt")
    first, *others = prompts if isinstance(prompts, list) and prompts else [prompts]
    request, at = entry.get("edit_request"), file.where(name, "edit_request")
    for index, other in enumerate(others, start=1):
        place = file.where(name, "prompt", index)
        if not _begins(other, REVISION):
            reading.skip("a second critique request in one entry", place, str(other))
        elif _says_something(request):
            reading.skip("a second revision request in one entry", place, str(other))
        else:  # the key only opens the request
            request, at = other, place
    reading.ignore([key for key in entry if key not in ("prompt", "edit_request")])
    critique = _bare(first, "prompt", CRITIQUE, file.where(name, "prompt"), reading)
    revision = _bare(request, "edit_request", REVISION, at, reading)
    if critique and revision:
        reading.take(file.where(name), {"critique": critique, "revision": revision}, name=name)


def _comparison(text: object, where: str, reading: Reading) -> None:
    bare = _bare(text, "a comparison", COMPARISON, where, reading)
    if bare:
        reading.take(where, {"comparison": bare})


def _bare(value: object, what: str, affixes: Affixes, where: str, reading: Reading) -> str | None:
    """Return a text without its affixes, which may be missing; None if the value is not text."""
    text = reading.text_at(value, what, where)
    if text is None:
        return None
    start, end = affixes.before.strip(), affixes.after.strip()
    bare = _spelled(start, "^%s").sub("", text)
    reading.stripped[start] += bare != text
    within = _spelled(end, "%s$").sub("", bare)
    reading.stripped[end] += within != bare
    if affixes.around(within.strip()) != value:
        reading.note("a text's affixes are not the paper's; an export writes the paper's", where)
    return reading.text_at(within, what, where)


def _spelled(affix: str, place: str) -> re.Pattern[str]:
    """Return a pattern of an affix at its place, with or without a space between its words, in any case."""
    words = [re.escape(word) for word in re.findall("[A-Z][^A-Z]*", affix)]
    return re.compile(place % "[ _]?".join(words), re.IGNORECASE) if affix else re.compile("(?!)")


def _begins(text: object, affixes: Affixes) -> bool:
    """Return whether a text begins with what the paper's files have before a request."""
    return isinstance(text, str) and bool(_spelled(affixes.before.strip(), "^%s").match(text.strip()))


def _says_something(request: object) -> bool:
    """Return whether a revision request has words of its own."""
    opened = _spelled(REVISION.before.strip(), "^%s")
    return isinstance(request, str) and bool(opened.sub("", request.strip()).strip())


def _few_shot(entry: object, where: str, reading: Reading) -> None:
    """Attach a prompt with a good and a bad answer to every principle with a comparison.

    In the paper, the few-shots are the same for every comparison principle.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("prompt"), str):
        reading.refuse(
            f"a few-shot is {yaml_line(entry)}", where, "an object with prompt, corrects and incorrects"
        )
        return
    if "corrects" not in entry and "{}" in entry["prompt"]:
        reading.skip("a few-shot with step-by-step reasoning, which examples have no field for", where)
        return
    turns = list(_turns(entry["prompt"]))
    good, bad = _only(entry.get("corrects")), _only(entry.get("incorrects"))
    if good is None or bad is None:
        reading.refuse("corrects and incorrects do not have one text each", where, "lists of one text")
    elif [role for role, text in turns if text] != ["Human"]:
        reading.skip(SEVERAL_TURNS, where)
    else:
        shot = Shot(turns[0][1], good.strip(), bad.strip())
        owners = [i for i, found in enumerate(reading.principles) if "comparison" in found.texts]
        reading.attach(owners, shot, where)
        if not owners:
            reading.skip("a few-shot with no comparison principle to attach it to", where)


def _only(texts: object) -> str | None:
    one = texts[0] if isinstance(texts, list) and len(texts) == 1 else None
    return one if isinstance(one, str) and one.strip() else None


def _transcript(text: object, where: str, reading: Reading) -> None:
    """Attach a transcript as an example to the principles with its critique request."""
    if not isinstance(text, str):
        reading.refuse(
            f"a few-shot is {yaml_line(text)}", where, "a transcript with CritiqueRequest and Revision"
        )
        return
    turns = list(_turns(text))
    if turns and turns[-1] == ("Human", ""):
        turns.pop()  # four of the paper's five transcripts end with an empty next turn
        reading.stripped["Human:"] += 1
    roles, texts = [role for role, _ in turns], [text for _, text in turns]
    if roles[-4:] != _REVISED[2:] or not all(texts):
        reading.refuse("a transcript is incomplete", where, f"turns that end with {', '.join(_REVISED[2:])}")
    elif roles != _REVISED:
        reading.skip(SEVERAL_TURNS, where)
    else:
        attach_revision(reading, Revised(*texts), where)


def _turns(text: str) -> Iterator[tuple[str, str]]:
    """Yield the turns of a transcript as (role, text)."""
    parts = _TURN.split("\n\n" + text.lstrip())
    yield from ((role, content.strip()) for role, content in zip(parts[1::2], parts[2::2], strict=True))
