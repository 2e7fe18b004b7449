"""Comparisons to annotate: those of a run or folder, and the files that select among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.digests import derive_uniform
from core.errors import ConfigError, DataError, RunStateError
from core.notices import counted, note
from core.records import Comparison, Judgment, Preference
from core.store.files import is_there
from core.store.jsonl import Unreadable, read_errors, rows
from core.store.scan import scan_records
from labelers.ai import AI_LABELER as AI
from labelers.page.session import GoldTask
from labelers.page.tasks import pair_task
from publius.runs.pairs.filters import PreferenceFilter
from publius.runs.reader import RecordsReader, RunReader
from publius.sources.pairs import read_pair_rows
from publius.sources.prompts import PromptFile

_SELECTED = '{"comparison_id": "..."} on each line, as `publius select RUN --budget N --to FILE` writes it'
_GOLD = "prompt, chosen and rejected, or another form of labels with one verdict a pair, in --gold-questions"


@dataclass(frozen=True)
class AnnotationSource:
    """Comparisons to annotate, with the constitution, seed and AI judgments of their run."""

    folder: Path
    comparisons: tuple[Comparison, ...]
    """Sorted by id, which is arbitrary: ids are hashes."""
    constitution: Constitution | None
    seed: int
    ai_judgments: dict[str, list[Judgment]]
    """The AI labeler's judgments, by comparison id."""

    def principle(self, identity: str) -> Principle:
        """Return a principle of the constitution by id. Raises ConfigError if there is none."""
        principle = self.constitution.find(identity) if self.constitution else None
        if principle is not None:
            return principle
        known = ", ".join(p.id for p in self.constitution.principles) if self.constitution else ""
        raise ConfigError(
            f"unknown principle '{identity}'",
            where="--principle",
            accepted=f"one of {known}" if known else f"a run; {self.folder} has no constitution",
        )

    def comparisons_about(self, principle: str | None) -> list[Comparison]:
        """Return the comparisons whose prompts a principle applies to; all if it is None."""
        if principle is None:
            return list(self.comparisons)
        wanted = self.principle(principle)
        found = [comparison for comparison in self.comparisons if in_scope(wanted, comparison.prompt)]
        if not found:
            raise DataError(
                f"the principle '{principle}' applies to none of {counted(len(self.comparisons), 'prompt')}",
                where="--principle",
                accepted="a principle whose applies_to matches a prompt",
            )
        return found

    def ai_opinions(self, comparison: Comparison, principle: str | None) -> list[Judgment]:
        """Return the AI labeler's judgments of a comparison, under one principle or all."""
        judgments = self.ai_judgments.get(comparison.id, [])
        return [judgment for judgment in judgments if principle in (None, judgment.principle_id)]


def passing_comparisons(
    folder: Path, comparisons: Sequence[Comparison], conditions: PreferenceFilter
) -> list[Comparison]:
    """Return the comparisons whose preference passes a filter; say how many do not, and why.

    Raises:
        DataError: none passes.
    """
    if not conditions:
        return list(comparisons)
    preferences = {p.comparison_id: p for p in scan_records(folder / "preferences.jsonl", Preference)}
    found, reasons = [], Counter[str]()
    for comparison in comparisons:
        preference = preferences.get(comparison.id)
        if preference is not None:
            reason = conditions.reason(preference)
        else:
            reason = conditions.reason_for_tags(comparison.prompt.tags) or _unlabelled(conditions)
        if reason is None:
            found.append(comparison)
        else:
            reasons[reason] += 1
    counts = [f"{count:,} {reason}" for reason, count in reasons.items()]
    if not found:
        raise DataError(
            f"no comparison of {len(comparisons):,} passes: {'; '.join(counts)}",
            where=str(conditions),
            accepted="conditions that a comparison meets; publius show RUN has the tags and sources",
        )
    note(f"{counted(len(found), 'comparison')} to ask about" + "".join(f"; left out: {c}" for c in counts))
    return found


def _unlabelled(conditions: PreferenceFilter) -> str | None:
    """Return the reason to leave out a comparison without a preference, or None if only its tags matter."""
    if conditions.min_p is None and not conditions.principles and not conditions.sources:
        return None
    return "without a preference"


def read_annotation_source(folder: Path) -> AnnotationSource:
    """Return the comparisons of a run or of another folder of records.

    Comparisons that the label stage excluded, such as near duplicates, are excluded here too.

    Raises:
        DataError: the folder has no comparisons.
        RunStateError: the folder does not exist, or its record files cannot be read.
    """
    if not is_there(folder / "comparisons.jsonl"):
        raise _nothing_in(folder)
    is_run = is_there(folder / "manifest.json")
    with RunReader(folder) if is_run else RecordsReader(folder) as files:
        excluded = {e.record_id for e in files.exclusions if e.stage == "label"}
        comparisons = tuple(c for c in files.comparisons.sorted() if c.id not in excluded)
        if not comparisons:
            raise _nothing_in(folder)
        ai: dict[str, list[Judgment]] = {}
        for judgment in files.judgments:
            if judgment.labeler == AI:
                ai.setdefault(judgment.comparison_id, []).append(judgment)
    if not isinstance(files, RunReader):
        return AnnotationSource(folder, comparisons, None, 0, ai)
    return AnnotationSource(folder, comparisons, files.constitution, int(files.manifest.get("seed", 0)), ai)


def _nothing_in(folder: Path) -> DataError | RunStateError:
    if not is_there(folder):
        return RunStateError("no such folder", where=str(folder), run="ls runs")
    return DataError(
        "no comparisons found",
        where=str(folder),
        accepted="a run folder whose stage compare has run, or a folder with comparisons.jsonl",
        run="publius compare RUN.yaml",
    )


def chosen_by(path: Path, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons listed in a file of `publius select`, in its order, without repeats.

    Raises:
        DataError: the file cannot be read, is empty, or lists a comparison that does not exist.
    """
    known = {comparison.id: comparison for comparison in comparisons}
    chosen: dict[str, Comparison] = {}
    for where, row in _rows(path):
        identity = row.get("comparison_id") if isinstance(row, dict) else None
        if not isinstance(identity, str):
            raise DataError("no comparison_id", where=where, accepted=_SELECTED)
        if identity not in known:
            raise DataError(
                f"comparison '{identity}' is not among the {len(known)} that can be asked",
                where=where,
                accepted="ids of comparisons of this run",
                run="publius select RUN --budget N --to FILE",
            )
        chosen.setdefault(identity, known[identity])
    if not chosen:
        raise DataError("the file lists no comparisons", where=str(path), accepted=_SELECTED)
    return list(chosen.values())


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the values of a JSONL file, each with its place."""
    with read_errors(path, _SELECTED):
        lines = path.read_text(encoding="utf-8").splitlines()
    for number, row in rows(lines):
        where = f"{path}:{number}"
        if isinstance(row, Unreadable):
            raise DataError(str(row), where=where, accepted=_SELECTED)
        yield where, row


def gold_slice(
    source: AnnotationSource, comparisons: Sequence[Comparison], count: int, principle: str | None
) -> list[Comparison]:
    """Return comparisons drawn at random from those that the AI labeler has judged.

    The draw depends only on the run's seed and the ids, so the slice is the same each time.

    Raises:
        DataError: the AI labeler has judged fewer than `count`.
    """
    judged = [c for c in comparisons if any(j.p_a is not None for j in source.ai_opinions(c, principle))]
    if len(judged) < count:
        raise DataError(
            f"the AI labeler has judged only {len(judged)} of {counted(len(comparisons), 'comparison')}",
            where=f"--gold {count}",
            accepted=f"a number up to {len(judged)}" if judged else "a run whose AI labeler has judged",
            run=None if judged else "publius label RUN.yaml",
        )
    return sorted(judged, key=lambda c: derive_uniform(source.seed, "gold slice", c.id))[:count]


def gold_questions(path: Path) -> tuple[GoldTask, ...]:
    """Return the questions of a file of pairs whose better answer is known.

    Raises:
        DataError: the file does not hold pairs, or a pair does not say which answer is better.
    """
    gold = []
    for row in read_pair_rows(PromptFile(path), verdicts=True):
        if not row.pairs:
            why = row.skipped[0]
            what = f"{why.reason} ({why.detail})" if why.detail else why.reason
            raise DataError(what, where=str(path.parent / row.place), accepted=_GOLD)
        for pair in row.pairs:
            if pair.better is None:
                what = "the pair does not say which answer is better"
                raise DataError(what, where=str(path.parent / row.place), accepted=_GOLD)
            gold.append(GoldTask(pair_task(pair.comparison), pair.better))
    return tuple(gold)
