"""Import of prompts: survey the data set, assign splits and copy the prompts into the run folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from core.notices import counted, note, warn
from core.records import PromptColumns
from prompts.sources import Admission, Admissions, PromptIdentities
from publius.config.run_file import PromptsConfig, SplitConfig
from publius.runs.folder import Run
from publius.runs.inputs import digest_lines
from publius.sources.column_names import listed_columns
from publius.sources.prompt_survey import (
    PromptSurvey,
    carried_values,
    described_detail,
    described_row,
    survey,
)
from publius.sources.prompts import PromptRow, read_prompt_rows
from publius.sources.texts.reading import IN_RUN_FILE, TextReading, Ways
from publius.sources.texts.tools import tools_in_words

PROMPTS_SUMMARY = "prompts"
"""Key of the summary of the import in the manifest."""
_SHOWN_EXAMPLES = 2
"""Near-duplicates that are not used, shown beside their number."""


@dataclass(frozen=True)
class AdmittedRow:
    """A row of the data set with the decision about its prompt."""

    row: PromptRow
    admission: Admission | None
    """None if the row has no usable prompt."""


class PromptIngestion:
    """The import of a run's prompts: `check` before the run folder exists, then a call with the open run."""

    def __init__(self, prompts: PromptsConfig, split: SplitConfig) -> None:
        self._prompts = prompts
        self._split = split

    @cached_property
    def _survey(self) -> PromptSurvey:
        return survey(self._prompts)

    def check(self) -> None:
        """Read the whole data set. Raises DataError or ConfigError if a run cannot use it."""
        _ = self._survey

    def __call__(self, run: Run) -> None:
        """Copy the prompts into the run, each with its split; exclude skipped rows with their reasons."""
        if not run.holds_prompts():
            self._copy(run)
        elif (run.manifest.get(PROMPTS_SUMMARY) or self._prompts.keep) and not self._has_carried(run):
            run.manifest[PROMPTS_SUMMARY] = (run.manifest.get(PROMPTS_SUMMARY) or {}) | self._carry(run)
            run.record_prompts()

    def _copy(self, run: Run) -> None:
        rows, near, same_words, excluded, splits = 0, 0, 0, Counter[str](), Counter[str]()
        examples: list[str] = []
        carried = self._survey.carried(self._prompts.keep)
        for entry in admitted_rows(self._prompts, self._split, self._survey, carried):
            rows += 1
            if entry.admission is None:
                run.exclude("prompts", entry.row.place, entry.row.reason, entry.row.detail)
                excluded[entry.row.reason] += 1
            elif entry.admission.reason:
                prompt = entry.admission.prompt
                run.exclude("prompts", prompt.id, entry.admission.reason, entry.admission.detail)
                excluded[entry.admission.reason] += 1
                if entry.admission.is_similar and len(examples) < _SHOWN_EXAMPLES:
                    examples.append(entry.admission.detail)
            else:
                run.prompts.append(entry.admission.prompt)
                near += entry.admission.near
                same_words += entry.admission.same_words
                splits[str(entry.admission.prompt.split)] += 1
        run.manifest[PROMPTS_SUMMARY] = {
            "rows": rows,
            "near_duplicates": near,
            "splits": {name: splits[name] for name in self._split.shares()},
            "unreadable": dict(self._survey.lost),
            "tools": tools_in_words(self._survey.tools),
            **self._carry(run),
        }
        run.record_prompts()
        _report(self._survey, run.manifest[PROMPTS_SUMMARY], excluded)
        reading = TextReading(self._prompts.html, self._prompts.quotes)
        self._survey.texts.tell(reading, "prompts", IN_RUN_FILE)
        self._note_near(near, same_words)
        for example in examples:
            note(f"prompts: {example}")
        self._note_limit(splits["test"])
        if run.config.train:
            warn_if_all_held_out(splits)

    def _note_near(self, near: int, same_words: int) -> None:
        """Log how many near-duplicates are used, and what would skip them.

        Args:
            near: number of prompts that nearly repeat an earlier one.
            same_words: number of these that have its words, and other tags, case or punctuation.
        """
        skips = self._prompts.duplicates
        if same_words:
            note(
                f"prompts: {counted(same_words, 'prompt')} with the words of an earlier one (other tags, "
                "case or punctuation), asked again and used in its split; "
                "to skip them: --set prompts.duplicates=normalised"
            )
        if near > same_words:
            how = (
                "each with another number of turns"
                if skips == "near"
                else "to skip them: --set prompts.duplicates=near"
            )
            found = f"{counted(near - same_words, 'near-duplicate')} of other prompts"
            where = "used in the split of those, or in the one that the file gives"
            note(f"prompts: {found}, {where}; {how}")

    def _note_limit(self, held_out: int) -> None:
        """Log that the limit has no part in the test prompts, if there are more of them."""
        limit = self._prompts.limit
        if limit is not None and held_out > limit:
            note(
                f"prompts: prompts.limit is for training; all {held_out:,} test prompts are kept, and "
                f"--set eval.prompts={limit} answers no more than {limit:,} of them"
            )

    def _has_carried(self, run: Run) -> bool:
        """Return True if the run has the columns that were asked for, as they were written."""
        summary = run.manifest.get(PROMPTS_SUMMARY) or {}
        return (summary.get("keep"), summary.get("lines")) == (self._keep, _digest_of_columns(run))

    def _carry(self, run: Run) -> dict[str, Any]:
        """Write the carried columns of the prompts, if there are any; return what the manifest holds."""
        carried = self._survey.carried(self._prompts.keep)
        if carried or (run.folder / "prompt_columns.jsonl").exists():
            run.replace_prompt_columns(self._column_records(run, carried))
        return {
            "keep": self._keep,
            "carried": carried,
            "ignored": self._survey.unread(carried),
            "lines": _digest_of_columns(run),
        }

    def _column_records(self, run: Run, carried: dict[str, str]) -> Iterator[PromptColumns]:
        with closing(PromptIdentities(self._prompts.duplicates)) as identities:
            for row in read_prompt_rows(self._prompts) if carried else ():
                if row.parsed is None:
                    continue
                prompt, repeated = identities.identify(row.parsed.prompt, row.place)
                if not repeated and prompt.id in run.prompts:
                    cells = carried_values(row.values, carried)
                    yield PromptColumns(id=prompt.id, row=row.place, columns=cells)

    @property
    def _keep(self) -> list[str] | None:
        return None if self._prompts.keep is None else list(self._prompts.keep)


def _digest_of_columns(run: Run) -> str:
    return digest_lines(run.folder / "prompt_columns.jsonl").digest


def admitted_rows(
    prompts: PromptsConfig,
    split: SplitConfig,
    found: PromptSurvey,
    carried: Mapping[str, str] | None = None,
    ways: Ways = IN_RUN_FILE,
) -> Iterator[AdmittedRow]:
    """Yield every row of a data set with the decision about its prompt, as a run would make it.

    Args:
        prompts: the data set.
        split: shares of the splits.
        found: the survey of the data set.
        carried: columns whose cells name a row, beside its place, in the detail of a row that is not used.
        ways: what reads skipped conversations, as their reason says it.
    """
    with Admissions(split.shares(), found.grams, prompts.limit, prompts.duplicates) as admissions:
        for row in read_prompt_rows(prompts, ways=ways):
            parsed = row.parsed
            if parsed is None:
                detail = described_detail(row.detail, row.values, carried or {})
                yield AdmittedRow(replace(row, detail=detail), None)
                continue
            place = described_row(row.place, row.values, carried or {})
            yield AdmittedRow(row, admissions.decide(parsed.prompt, place))


def splits_in_words(splits: Mapping[str, int]) -> str:
    """Return how many prompts are in each split, and what is kept from training and labels."""
    what = "only for the evaluation, which eval.prompts limits; docs/run-settings.md, split"
    held_out = f"{splits['test']:,} test ({what})"
    used = f"{sum(splits.values()):,} used"
    return f"{used}: {splits['train']:,} train, {splits['preference']:,} preference, {held_out}"


def warn_if_all_held_out(splits: Mapping[str, int]) -> None:
    """Log a warning if no prompt is for training or preferences."""
    if splits["test"] and not splits["train"] and not splits["preference"]:
        warn(
            f"prompts: nothing to critique, compare or train on: all {splits['test']:,} prompts are held "
            "out; give rows the split train or preference, or leave out train in the run file (train: [])"
        )


def _report(found: PromptSurvey, summary: dict[str, Any], excluded: Counter[str]) -> None:
    """Log what the user should know about the import: skipped rows and columns."""
    if excluded:
        reasons = ", ".join(f"{reason} ({number:,})" for reason, number in excluded.most_common())
        note(f"prompts: {counted(summary['rows'], 'row')}, {excluded.total():,} skipped: {reasons}")
    note(f"prompts: {splits_in_words(summary['splits'])}")
    if found.unread_splits:
        note(f"prompts: {found.unread_splits}")
    if found.tools:
        note(f"prompts: {tools_in_words(found.tools)}")
    for line in notes_in_words(found.notes):
        note(f"prompts: {line}")
    for name, ours in found.misspelt().items():
        warn(
            f"prompts: the column {name!r} is not read; did you mean {ours!r}? "
            f"(prompts.columns: {{{ours}: {name}}})"
        )
    for line in described_columns(summary):
        note(f"prompts: {line}")
    for name, rows in summary["unreadable"].items():
        warn(f"prompts: {name} could not be read in {counted(rows, 'row')}, whose prompts are used without")


def notes_in_words(notes: Mapping[str, int]) -> Iterator[str]:
    """Yield how rows were read, each with their number, such as `3 rows: HTML was read as text`."""
    yield from (f"{counted(rows, 'row')}: {how}" for how, rows in notes.items())


def described_columns(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield which of the user's columns are carried to the export, and which are not read."""
    for title, names in (
        ("carried to the export", list(summary["carried"])),
        ("not read", summary["ignored"]),
    ):
        if names:
            yield f"columns {title}: {listed_columns(names)}"
