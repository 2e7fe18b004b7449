"""What people are to compare: the comparisons of a run or folder, and the files that choose among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.digests import derive_uniform
from core.errors import ConfigError, DataError, RunStateError
from core.records import Comparison, Judgment
from core.store.files import is_there
from core.store.jsonl import Unreadable, read_errors, rows
from labelers.ai import AI_LABELER as AI
from labelers.page.session import GoldTask
from labelers.page.tasks import pair_task
from publius.runs.reader import RecordsReader, RunReader
from publius.sources.pairs import read_pairs

_SELECTED = '{"comparison_id": "..."} on each line, as `publius select RUN --budget N --to FILE` writes it'


@dataclass(frozen=True)
class AnnotationSource:
    """Comparisons to be judged by people, with what is known about them."""

    folder: Path
    comparisons: tuple[Comparison, ...]
    """In order of id, which is no order at all: ids are digests."""
    constitution: Constitution | None
    seed: int
    ai_judgments: dict[str, list[Judgment]]
    """What the AI labeler said, by comparison."""

    def principle(self, identity: str) -> Principle:
        """Return a principle of the constitution. Raises ConfigError if it has none of that id."""
        principle = self.constitution.find(identity) if self.constitution else None
        if principle is not None:
            return principle
        known = ", ".join(p.id for p in self.constitution.principles) if self.constitution else ""
        raise ConfigError(
            f"no principle '{identity}'",
            where="--principle",
            accepted=f"one of {known}" if known else f"a run; {self.folder} has no constitution",
        )

    def asked(self, principle: str | None) -> list[Comparison]:
        """Return the comparisons whose prompts a principle is about; all without one."""
        if principle is None:
            return list(self.comparisons)
        wanted = self.principle(principle)
        found = [comparison for comparison in self.comparisons if in_scope(wanted, comparison.prompt)]
        if not found:
            raise DataError(
                f"the principle '{principle}' is about none of the {len(self.comparisons)} prompts",
                where="--principle",
                accepted="a principle whose applies_to fits some prompt",
            )
        return found

    def ai_opinions(self, comparison: Comparison, principle: str | None) -> list[Judgment]:
        """Return what the AI labeler said about a comparison, under one principle or all."""
        said = self.ai_judgments.get(comparison.id, [])
        return [judgment for judgment in said if principle in (None, judgment.principle_id)]


def read_annotation_source(folder: Path) -> AnnotationSource:
    """Return the comparisons of a run or of another folder of records.

    Comparisons that the label stage left out, such as near duplicates, are left out here too.

    Raises:
        DataError: there are none.
        RunStateError: the folder is not there, or its record files cannot be read.
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
        "there are no comparisons",
        where=str(folder),
        accepted="a run folder whose stage compare has run, or a folder with comparisons.jsonl",
        run="publius compare RUN.yaml",
    )


def chosen_by(path: Path, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons that a file of `publius select` names, in its order, each once.

    Raises:
        DataError: the file cannot be read, is empty, or names a comparison that is not there.
    """
    known = {comparison.id: comparison for comparison in comparisons}
    chosen: dict[str, Comparison] = {}
    for where, row in _rows(path):
        identity = row.get("comparison_id") if isinstance(row, dict) else None
        if not isinstance(identity, str):
            raise DataError("no comparison_id", where=where, accepted=_SELECTED)
        if identity not in known:
            raise DataError(
                f"no comparison '{identity}' among the {len(known)} that can be asked",
                where=where,
                accepted="ids of comparisons of this run",
                run="publius select RUN --budget N --to FILE",
            )
        chosen.setdefault(identity, known[identity])
    if not chosen:
        raise DataError("the file names no comparisons", where=str(path), accepted=_SELECTED)
    return list(chosen.values())


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the lines of a JSONL file as values, each with its place."""
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
    """Return comparisons drawn at random among those that the AI labeler has judged; the same ones each time.

    Raises:
        DataError: there are too few.
    """
    judged = [c for c in comparisons if any(j.p_a is not None for j in source.ai_opinions(c, principle))]
    if len(judged) < count:
        raise DataError(
            f"the AI labeler has judged {len(judged)} of the {len(comparisons)} comparisons",
            where=f"--gold {count}",
            accepted=f"a number up to {len(judged)}" if judged else "a run whose AI labeler has judged",
            run=None if judged else "publius label RUN.yaml",
        )
    return sorted(judged, key=lambda c: derive_uniform(source.seed, "gold slice", c.id))[:count]


def gold_questions(path: Path) -> tuple[GoldTask, ...]:
    """Return the questions of a file of pairs whose better answer is known.

    Raises:
        DataError: the file is not one of pairs, or does not say which answer is better.
    """
    gold = []
    for comparison in read_pairs(path):
        if "chosen" not in (comparison.origin_a, comparison.origin_b):
            raise DataError(
                "the pair does not say which answer is better",
                where=comparison.group,
                accepted='{"prompt", "chosen", "rejected"} on each line of --gold-questions',
            )
        gold.append(GoldTask(pair_task(comparison), "a" if comparison.origin_a == "chosen" else "b"))
    return tuple(gold)
