"""What a command is given beside a constitution: a file of prompts, and tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from constitution.schema import Constitution
from core.errors import ConfigError
from core.notices import counted, note, warn
from core.records import Prompt
from core.text.explain import one_of
from core.text.yaml_writing import yaml_flow
from prompts.conditions import Conditions
from prompts.sources import ToolTurns
from publius.config.run_file import PromptColumn, PromptsConfig, PromptSplit, SplitConfig
from publius.sources.prompt_survey import MappedBy, survey
from publius.sources.splits.mapping import described_others
from publius.sources.texts.reading import (
    IN_COMMAND,
    IN_RUN_FILE,
    KEPT,
    UNSAID,
    TextReading,
    TextsSeen,
    Ways,
)
from publius.sources.texts.tools import tools_in_words
from publius.stages.prompts import (
    admitted_rows,
    described_columns,
    notes_in_words,
    splits_in_words,
    warn_if_all_held_out,
)

_PLACES = 3
"""Skipped rows of a reason that are named."""
_SHOWN_TAGS = 3
"""Tags without a rule that are named."""
_WITHOUT_OPTION = IN_COMMAND._replace(tools="prompts.tools: drop in a run file leaves them out")
"""What reads texts otherwise where a command has no option for conversations with calls of tools."""


@dataclass(frozen=True)
class GivenPrompts:
    """The prompts of a file, as a run would use them, and the rows that it would skip."""

    name: str
    prompts: tuple[Prompt, ...]
    rows: int
    skipped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Places of the skipped rows, by reason."""
    unread: str = ""
    """In one line, the splits of the data set that are not read."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """The columns that are carried to the export, and those that are not read, as in a run's manifest."""
    texts: TextsSeen = field(default_factory=TextsSeen)
    """How many prompts have HTML, or quoted mail."""
    reading: TextReading = KEPT
    """How they were read: what it leaves open is warned of."""
    tools: str = ""
    """How many conversations lost how many tool turns, in words."""
    notes: Mapping[str, int] = field(default_factory=dict)
    """Rows by how their prompt was read, where that is not plain: without quoted mail, for example."""

    def as_json(self) -> dict[str, Any]:
        """Return the counts, and the places of skipped rows by reason."""
        return {"rows": self.rows, "prompts": len(self.prompts), "skipped": dict(self.skipped)}

    def line(self) -> str:
        """Return the number of prompts and tags, and why rows are skipped."""
        tags = Counter(tag for prompt in self.prompts for tag in prompt.tags)
        tagged = ", ".join(f"{tag} {count:,}" for tag, count in tags.most_common()) or "none"
        reasons = "".join(f"; {len(at):,} skipped: {why} ({_places(at)})" for why, at in self.skipped.items())
        used = f"{counted(len(self.prompts), 'prompt')} of {counted(self.rows, 'row')}"
        return f"{self.name}: {used}{reasons}{self._asked_again()}; tags: {tagged}"

    def lines(self) -> Iterator[str]:
        """Yield what was read: the counts, what texts and conversations lost, and what is not read."""
        yield self.line()
        notes = (f"{self.name}: {line}" for line in notes_in_words(self.notes))
        yield from filter(None, (self.tools, *notes, self.unread))

    def _asked_again(self) -> str:
        """Return how many prompts have the text of an earlier one and other tags; empty if none."""
        cases = {(prompt.messages, frozenset(prompt.tags)) for prompt in self.prompts}
        again = len(cases) - len({messages for messages, _ in cases})
        if not again:
            return ""
        return f"; {again:,} {'has' if again == 1 else 'have'} the text of an earlier one, with other tags"


def read_given(
    path: Path,
    columns: Mapping[str, str] | None = None,
    where: Conditions | None = None,
    split: Mapping[str, str] | None = None,
    reading: TextReading = UNSAID,
    tools: ToolTurns | None = None,
    ways: Ways = _WITHOUT_OPTION,
) -> GivenPrompts:
    """Return the prompts of a file.

    Args:
        path: the file, a data set folder or a Hugging Face id.
        columns: the file's column for each of ours, as in `prompts.columns` of a run file.
        where: values that columns must have, as in `prompts.where`.
        split: the data set's or the rows' split for each one of the run, as in `prompts.split`.
        reading: how texts are read, as by `prompts.html` and `prompts.quotes`.
        tools: what becomes of conversations with calls of tools, as in `prompts.tools`.
        ways: what reads skipped conversations, as their reason says it.

    Raises:
        ConfigError: if a column is not one of ours.
        DataError: if the file cannot be read.
    """
    known = get_args(PromptColumn)
    for ours in columns or {}:
        if ours not in known:
            raise ConfigError(f"unknown column {ours!r}", where="--columns", accepted=one_of(known, ours))
    config = PromptsConfig.model_validate(
        {
            "path": path,
            "columns": dict(columns or {}),
            "where": dict(where or {}),
            "split": split,
            "html": reading.html,
            "quotes": reading.quotes,
            "tools": tools or "skip",
        }
    )
    return prompts_of_run(config, SplitConfig(), "--columns", ways)


def parse_splits(given: Sequence[str]) -> dict[str, str]:
    """Return `prompts.split` from options like `train=dev,test=test`.

    Raises:
        ConfigError: if one does not have the form OURS=THEIRS, or is not a split of the run.
    """
    found: dict[str, str] = {}
    for part in (part.strip() for option in given for part in option.split(",") if part.strip()):
        ours, _, theirs = (word.strip() for word in part.partition("="))
        if not theirs:
            accepted = "OURS=THEIRS, as in train=dev,test=test"
            raise ConfigError(f"found {part!r}", where="--split", accepted=accepted)
        if ours not in get_args(PromptSplit) or ours in found:
            what = f"{ours} is given twice" if ours in found else f"unknown split {ours!r}"
            raise ConfigError(what, where="--split", accepted=one_of(get_args(PromptSplit), ours))
        found[ours] = theirs
    return found


def prompts_of_run(
    config: PromptsConfig, split: SplitConfig, mapped_by: MappedBy = "run file", ways: Ways = IN_RUN_FILE
) -> GivenPrompts:
    """Return the prompts that a run with these settings would use. Raises DataError."""
    prompts: list[Prompt] = []
    skipped: dict[str, list[str]] = {}
    rows = 0
    found = survey(config, mapped_by, ways)
    for entry in admitted_rows(config, split, found, ways=ways):
        rows += 1
        reason = entry.row.reason if entry.admission is None else entry.admission.reason
        if entry.admission is not None and not reason:
            prompts.append(entry.admission.prompt)
        else:
            skipped.setdefault(reason or "no prompt", []).append(entry.row.place)
    carried = found.carried(config.keep)
    columns = {"carried": list(carried), "ignored": found.unread(carried)}
    reading, tools = TextReading(config.html, config.quotes), tools_in_words(found.tools)
    return GivenPrompts(
        config.path.name,
        tuple(prompts),
        rows,
        skipped,
        found.unread_splits,
        columns,
        found.texts,
        reading,
        tools,
        dict(found.notes),
    )


def note_split(given: GivenPrompts) -> None:
    """Log how the prompts of a new project are split, and how to hold some out if none are."""
    splits = Counter(str(prompt.split) for prompt in given.prompts)
    note(splits_in_words({name: splits[name] for name in SplitConfig().shares()}))
    warn_if_all_held_out(splits)
    if not splits["test"]:
        note(
            "no prompt is held out for publius eval: add split: {train: 0.4, preference: 0.4, test: 0.2} to "
            "run.yaml, or {train: 0, preference: 0, test: 1} and train: [] to train nothing"
        )


def note_given(given: GivenPrompts | None) -> None:
    """Log what was read of a file of prompts."""
    if given is not None:
        for line in given.lines():
            note(line)
        given.texts.tell(given.reading, "prompts", IN_COMMAND)


def note_columns(given: GivenPrompts) -> None:
    """Log which columns a new project's export will have, and how to choose others."""
    for line in described_columns(given.columns):
        note(f"{given.name}: {line}")
    if carried := given.columns["carried"]:
        keep = yaml_flow({"keep": carried[:1]}).strip("{}")
        them = "this column" if len(carried) == 1 else "these columns"
        note(
            f"every row of an export will have {them}, also where they hold personal data: under prompts in "
            f"run.yaml, {keep} carries only what it names, keep: [] nothing"
        )


def note_mapped(path: Path, splits: Mapping[str, str] | None) -> None:
    """Log which splits of a data set a new project's run reads as which of its own."""
    if splits is not None:
        others = described_others(path, set(splits.values()))
        note(
            f"{path.name}: the split {splits['train']} is for training and {splits['test']} is held out: "
            f"prompts.split is {yaml_flow(dict(splits))}{f'; not read: {others}' if others else ''}"
        )


def warn_of_unknown_tags(tags: Iterable[str], constitutions: Iterable[Constitution]) -> None:
    """Log a warning for each of the first tags that no principle is for, nor excepts.

    Where the rules have no tags at all, one note says so.
    """
    scopes = [
        scope
        for constitution in constitutions
        for principle in constitution.principles
        for scope in (principle.applies_to, principle.exempt)
        if scope is not None
    ]
    known = list(dict.fromkeys(tag for scope in scopes for tag in scope.tags))
    unknown = [tag for tag in dict.fromkeys(tags) if tag not in known]
    shown, more = unknown[:_SHOWN_TAGS], len(unknown) - _SHOWN_TAGS
    if unknown and not known:
        named = ", ".join(map(repr, shown)) + (", ..." if more > 0 else "")
        note(f"the rules have no tags, so {named} {'selects' if len(unknown) == 1 else 'select'} none")
        return
    for tag in shown:
        warn(f"no rule is for the tag {tag!r}; the rules have {one_of(known, tag)}")
    if more > 0:
        warn(f"no rule is for {counted(more, 'more tag')}")


def _places(at: Sequence[str]) -> str:
    return ", ".join(at[:_PLACES]) + (", ..." if len(at) > _PLACES else "")
