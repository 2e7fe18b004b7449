r"""The files beside the paper "Constitutional AI" (Bai et al. 2022, arXiv 2212.08073).

    CritiqueRevisionInstructions.json    16 requests for a critique and a revision, by name
    RLMadisonInstructions.json           16 requests for a comparison, without names
    CritiqueRevisionFewShotPrompts.json  transcripts with critique and revision
    RLMadisonFewShotPrompts.json         a prompt with a good and a bad answer each
    RLMadisonPrecogFewShotPrompts.json   the same with step-by-step reasoning, for another labeler

The texts were cut for a plain language model: `\n\nCritiqueRequest: ... \n\nCritique:`. What surrounds a
request is taken off here and put back by `constitution.importers.anthropic_export`.
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
"""In the order in which they are read: few-shots need the principles that they belong to."""


class Affixes(NamedTuple):
    """What stands before and behind a text."""

    before: str
    behind: str

    def around(self, text: str) -> str:
        """Return the text as the files have it."""
        return f"{self.before}{text}{self.behind}"


CRITIQUE = Affixes("\n\nCritiqueRequest: ", "\n\nCritique:")
REVISION = Affixes("\n\nRevisionRequest: ", "\n\nRevision:")
COMPARISON = Affixes("\n", " Options:")
PROMPT = Affixes("\n\nHuman: ", "\n\nAssistant:")

_TURN = re.compile(r"\n\n(Human|Assistant|CritiqueRequest|Critique|RevisionRequest|Revision):")
_REVISED = ["Human", "Assistant", "CritiqueRequest", "Critique", "RevisionRequest", "Revision"]


class AnthropicFiles:
    """The files of the paper, one of them or the folder."""

    name = "anthropic"
    summary = "the Constitutional AI paper's files, or the folder that holds them"
    takes_columns = False

    def recognises(self, file: ForeignFile) -> str | None:
        """Return why a file looks like one of the paper's."""
        if file.name in FILES:
            return f"it is called {file.name}"
        value = file.value if file.structured else None
        if isinstance(value, dict) and any(_is_request(entry) for entry in value.values()):
            return "its entries have prompt and edit_request"
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(first, str) and first.rstrip().endswith(COMPARISON.behind):
            return f"its texts end in {COMPARISON.behind.strip()}"
        return "its texts have CritiqueRequest:" if _is_transcript(first) else None

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Gather the principles or the few-shots of one file."""
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
    """Take a request for a critique with its request for a revision."""
    if not isinstance(entry, Mapping):
        reading.refuse(
            f"{name} is {yaml_line(entry)}", file.where(name), "an object with prompt and edit_request"
        )
        return
    prompts = entry.get("prompt")
    critiques = prompts if isinstance(prompts, list) and prompts else [prompts]
    for index in range(1, len(critiques)):
        reading.leave_out("a second request for a critique in one entry", file.where(name, "prompt", index))
    reading.pass_over([key for key in entry if key not in ("prompt", "edit_request")])
    places = {"prompt": file.where(name, "prompt"), "edit_request": file.where(name, "edit_request")}
    critique = _bare(critiques[0], "prompt", CRITIQUE, places["prompt"], reading)
    revision = _bare(entry.get("edit_request"), "edit_request", REVISION, places["edit_request"], reading)
    if critique and revision:
        reading.take(file.where(name), {"critique": critique, "revision": revision}, name=name)


def _comparison(text: object, where: str, reading: Reading) -> None:
    bare = _bare(text, "a comparison", COMPARISON, where, reading)
    if bare:
        reading.take(where, {"comparison": bare})


def _bare(value: object, what: str, affixes: Affixes, where: str, reading: Reading) -> str | None:
    """Return a text without what surrounds it, which may be missing; None if there is no text."""
    text = reading.text_at(value, what, where)
    if text is None:
        return None
    start, end = affixes.before.strip(), affixes.behind.strip()
    bare = text.removeprefix(start)
    reading.stripped[start] += bare != text
    within = bare.removesuffix(end)
    reading.stripped[end] += within != bare
    if affixes.around(within.strip()) != value:
        reading.note("what surrounds a text is not as in the paper's files; an export writes theirs", where)
    return reading.text_at(within, what, where)


def _few_shot(entry: object, where: str, reading: Reading) -> None:
    """Take a prompt with a good and a bad answer, for every principle that compares.

    The paper shows its few-shots with whichever comparison principle was drawn.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("prompt"), str):
        reading.refuse(
            f"a few-shot is {yaml_line(entry)}", where, "an object with prompt, corrects and incorrects"
        )
        return
    if "corrects" not in entry and "{}" in entry["prompt"]:
        reading.leave_out(
            "a few-shot whose point is step-by-step reasoning, which examples do not hold", where
        )
        return
    turns = list(_turns(entry["prompt"]))
    good, bad = _only(entry.get("corrects")), _only(entry.get("incorrects"))
    if good is None or bad is None:
        reading.refuse("corrects and incorrects are not one text each", where, "lists of one text")
    elif [role for role, text in turns if text] != ["Human"]:
        reading.leave_out(SEVERAL_TURNS, where)
    else:
        shot = Shot(turns[0][1], good.strip(), bad.strip())
        owners = [i for i, found in enumerate(reading.principles) if "comparison" in found.texts]
        reading.attach(owners, shot, where)
        if not owners:
            reading.leave_out("a few-shot without a comparison principle beside it", where)


def _only(texts: object) -> str | None:
    one = texts[0] if isinstance(texts, list) and len(texts) == 1 else None
    return one if isinstance(one, str) and one.strip() else None


def _transcript(text: object, where: str, reading: Reading) -> None:
    """Take a transcript as an example of the principle whose request for a critique it shows."""
    if not isinstance(text, str):
        reading.refuse(
            f"a few-shot is {yaml_line(text)}", where, "a transcript with CritiqueRequest and Revision"
        )
        return
    turns = list(_turns(text))
    if turns and turns[-1] == ("Human", ""):
        turns.pop()  # of the paper's five, four end with the beginning of a next turn
        reading.stripped["Human:"] += 1
    roles, texts = [role for role, _ in turns], [said for _, said in turns]
    if roles[-4:] != _REVISED[2:] or not all(texts):
        reading.refuse(
            "a transcript is not complete", where, f"turns that end with {', '.join(_REVISED[2:])}"
        )
    elif roles != _REVISED:
        reading.leave_out(SEVERAL_TURNS, where)
    else:
        attach_revision(reading, Revised(*texts), where)


def _turns(text: str) -> Iterator[tuple[str, str]]:
    """Yield the turns of a transcript, each with who speaks."""
    parts = _TURN.split("\n\n" + text.lstrip())
    yield from ((role, said.strip()) for role, said in zip(parts[1::2], parts[2::2], strict=True))
